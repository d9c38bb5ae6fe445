/*
 * Durations: see duration.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/duration.h"

#include "base/ascii.h"
#include "base/number.h"

#include <stdbool.h>
#include <string.h>

#define SECOND_MS INT64_C(1000)
#define DAY_MS (86400 * SECOND_MS)

const struct duration_unit_entry duration_units[DURATION_UNITS] = {
    [UNIT_SECOND] = {"second", 's', SECOND_MS},
    [UNIT_MINUTE] = {"minute", 'm', 60 * SECOND_MS},
    [UNIT_HOUR] = {"hour", 'h', 3600 * SECOND_MS},
    [UNIT_DAY] = {"day", 'd', DAY_MS},
    [UNIT_WEEK] = {"week", 'w', 7 * DAY_MS},
    [UNIT_MONTH] = {"month", 'M', 30 * DAY_MS},
    [UNIT_YEAR] = {"year", 'y', 365 * DAY_MS},
};

static const char blanks[] = " \t";

int duration_unit_parse(const char *word, size_t length, enum duration_unit *unit)
{
	size_t plural = length > 1 && (word[length - 1] == 's' || word[length - 1] == 'S');

	for (unsigned i = 0; i < DURATION_UNITS; i++) {
		bool has_letter = i != UNIT_MONTH && i != UNIT_YEAR;

		if (ascii_same(word, length - plural, duration_units[i].name) ||
		    (length == 1 && has_letter && word[0] == duration_units[i].letter)) {
			*unit = (enum duration_unit)i;
			return 0;
		}
	}
	if (ascii_same(word, length, "min")) {
		*unit = UNIT_MINUTE;
		return 0;
	}
	return -1;
}

/* Reads one "2 hours" at *s, adds it to *sum_s, and moves *s past it and the blanks after it. */
static int add_units(const char **s, bool first, int64_t *sum_s)
{
	size_t digits = strspn(*s, "0123456789");
	const char *word = *s + digits + strspn(*s + digits, blanks);
	size_t letters = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	enum duration_unit unit = UNIT_SECOND;
	bool alone = first && *word == '\0';
	int64_t unit_s;
	uint64_t n;

	if (!alone && duration_unit_parse(word, letters, &unit)) {
		return -1;
	}
	unit_s = duration_units[unit].ms / 1000;
	if (number_parse(*s, digits, (uint64_t)((DURATION_MAX_S - *sum_s) / unit_s), &n)) {
		return -1;
	}
	*sum_s += (int64_t)n * unit_s;
	*s = word + letters + strspn(word + letters, blanks);
	return 0;
}

int duration_parse(const char *string, int64_t *ms)
{
	const char *s = string + strspn(string, blanks);
	int64_t sum_s = 0;

	for (bool first = true; first || *s; first = false) {
		if (add_units(&s, first, &sum_s)) {
			return -1;
		}
	}
	if (sum_s == 0) {
		return -1;
	}
	*ms = sum_s * 1000;
	return 0;
}

void duration_format(int64_t ms, struct strbuf *text)
{
	/* Of each unit but the last; larger numbers read better in the next unit. */
	static const int64_t below[] = {[UNIT_SECOND] = 60, [UNIT_MINUTE] = 120, [UNIT_HOUR] = 48};
	const struct duration_unit_entry *unit = duration_units;
	int64_t n = ms / unit->ms + (ms % unit->ms > 0);

	for (size_t i = 0; i < sizeof(below) / sizeof(*below) && n >= below[i]; i++) {
		unit++;
		n = ms / unit->ms + (ms % unit->ms > 0);
	}
	strbuf_printf(text, "%lld%c", (long long)n, unit->letter);
}
