/*
 * Limits: see limit.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/limit.h"

#include "base/ascii.h"
#include "base/number.h"

#include <string.h>

static const struct {
	const char *name;
	uint64_t factor;
	bool bytes_only;
} suffixes[] = {
    /* The largest first: the first one that divides a number makes it shortest. */
    {"GiB", 1 << 30, true},
    {"G", 1000000000, false},
    {"MiB", 1 << 20, true},
    {"M", 1000000, false},
    {"KiB", 1 << 10, true},
    {"k", 1000, false},
};

#define SUFFIXES (sizeof(suffixes) / sizeof(*suffixes))

static const char digit_bytes[] = "0123456789";

/* The most units that a window may have. */
static uint64_t units_max(enum duration_unit unit)
{
	return (uint64_t)(LIMIT_WINDOW_MAX_MS / duration_units[unit].ms);
}

static void window_set(struct limit_window *window, unsigned n, enum duration_unit unit)
{
	window->n = n;
	window->unit = unit;
	window->length_ms = n * duration_units[unit].ms;
}

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

static size_t count_letters(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/* Reads the COUNT at *s with its suffix, and moves *s behind it. */
static int parse_count(
    const char **s, enum limit_count count, uint64_t *number, struct error *error)
{
	uint64_t max = count == COUNT_BYTES ? LIMIT_BYTES_MAX : LIMIT_COUNT_MAX;
	size_t digits = strspn(*s, digit_bytes);
	const char *suffix = *s + digits;
	size_t letters = count_letters(suffix);
	uint64_t factor = 1;

	/* A word that is no suffix is left for the caller: "100per hour" is valid. */
	for (size_t i = 0; i < SUFFIXES && letters > 0; i++) {
		/* A million is a capital M only. */
		if (ascii_same(suffix, letters, suffixes[i].name) && *suffix != 'm') {
			if (suffixes[i].bytes_only && count != COUNT_BYTES) {
				return error_set(error,
				    "\"%.*s\" is for count = bytes; here a number may end in k, M "
				    "or G",
				    (int)letters, suffix);
			}
			factor = suffixes[i].factor;
			*s = suffix + letters;
			break;
		}
	}
	if (factor == 1) {
		*s = suffix;
	}
	if (digits > 0 && letters == 2 && strchr("kKmMgG", suffix[0]) && strchr("bB", suffix[1])) {
		char unit = suffix[0] == 'k' || suffix[0] == 'K' ? 'K' : suffix[0] & 0x5f;

		return count == COUNT_BYTES
		    ? error_set(
			  error, "unknown suffix \"%.2s\", did you mean \"%ciB\"?", suffix, unit)
		    : error_set(error,
			  "\"%.2s\" is for bytes, and then \"%ciB\", with count = bytes; here a "
			  "number may end in k, M or G",
			  suffix, unit);
	}
	if (digits == 0) {
		return error_set(error,
		    "\"%.40s\" does not start with a number; a limit is "
		    "COUNT/UNIT such as 100/hour, or unlimited, or deny",
		    *s);
	}
	if (number_parse(suffix - digits, digits, max / factor, number)) {
		return error_set(error, "the number in \"%.40s\" is too large, the most is %llu",
		    suffix - digits, (unsigned long long)max);
	}
	*number *= factor;
	return 0;
}

int limit_count_parse(
    const char *string, enum limit_count count, uint64_t *number, struct error *error)
{
	const char *s = string;

	if (parse_count(&s, count, number, error)) {
		return -1;
	}
	return *s ? error_set(error, "\"%.40s\" is not a number", string) : 0;
}

/* Reads one "COUNT / N UNIT" at *s, and moves *s to its end. */
static int parse_one(
    const char **s, enum limit_count count, struct limit *limit, struct error *error)
{
	const char *p = *s;
	enum duration_unit unit;
	const char *number;
	size_t digits, size;
	uint64_t n = 1;

	if (parse_count(&p, count, &limit->count, error)) {
		return -1;
	}
	p = skip_blanks(p);
	if (*p == '/') {
		p++;
	} else if (count_letters(p) == 3 && ascii_same(p, 3, "per")) {
		p += 3;
	} else {
		return error_set(error, "a '/' or \"per\" must follow the number in \"%.40s\"", *s);
	}
	p = skip_blanks(p);
	number = p;
	digits = strspn(p, digit_bytes);
	p = skip_blanks(p + digits);
	size = count_letters(p);
	if (size == 0 || duration_unit_parse(p, size, &unit)) {
		return error_set(error,
		    "unknown unit \"%.*s\" in \"%.40s\"; one of second, minute, "
		    "hour, day, week, month, year",
		    (int)size, p, *s);
	}
	if (digits > 0 && (number_parse(number, digits, units_max(unit), &n) || n == 0)) {
		return error_set(error,
		    "the window of \"%.40s\" must be 1 second to 10 years, that is 1 to %llu %ss",
		    *s, (unsigned long long)units_max(unit), duration_units[unit].name);
	}
	window_set(&limit->window, (unsigned)n, unit);
	*s = skip_blanks(p + size);
	return 0;
}

int limits_parse(
    const char *string, enum limit_count count, struct limits *limits, struct error *error)
{
	const char *s = skip_blanks(string);
	size_t word = count_letters(s);
	uint64_t sum = 0;

	*limits = (struct limits){.kind = LIMITS_WINDOWS};
	if (word > 0 && *skip_blanks(s + word) == '\0') {
		limits->kind = ascii_same(s, word, "unlimited") ? LIMITS_UNLIMITED
		    : ascii_same(s, word, "deny")               ? LIMITS_DENY
								: LIMITS_WINDOWS;
		if (limits->kind != LIMITS_WINDOWS) {
			return 0;
		}
	}
	for (;;) {
		struct limit *limit = &limits->at[limits->n];

		if (limits->n == LIMITS_MAX) {
			return error_set(error, "more than %d limits", LIMITS_MAX);
		}
		if (parse_one(&s, count, limit, error)) {
			return -1;
		}
		for (unsigned i = 0; i < limits->n; i++) {
			if (limits->at[i].window.length_ms == limit->window.length_ms) {
				return error_set(error, "two limits have the same window");
			}
		}
		limits->n++;
		sum += limit->count;
		if (*s == '\0') {
			break;
		}
		if (*s != ',' && *s != '|') {
			return error_set(error,
			    "\"%.40s\" follows a limit; several are separated by ',' "
			    "or '|'",
			    s);
		}
		s = skip_blanks(s + 1);
	}
	if (sum == 0) {
		*limits = (struct limits){.kind = LIMITS_DENY};
	}
	return 0;
}

void limits_shorten(struct limits *limits)
{
	for (unsigned i = 0; i < limits->n; i++) {
		struct limit_window *window = &limits->at[i].window;
		unsigned unit = DURATION_UNITS - 1;

		while (window->length_ms % duration_units[unit].ms != 0) {
			unit--;
		}
		window_set(window, (unsigned)(window->length_ms / duration_units[unit].ms),
		    (enum duration_unit)unit);
	}
}

void limit_format(const struct limit *limit, enum limit_count count, struct strbuf *text)
{
	uint64_t number = limit->count;
	const char *suffix = "";

	if (number == LIMIT_UNLIMITED) {
		strbuf_puts(text, "unlimited");
		return;
	}
	for (size_t i = 0; count == COUNT_BYTES && number > 0 && i < SUFFIXES; i++) {
		if (number % suffixes[i].factor == 0) {
			number /= suffixes[i].factor;
			suffix = suffixes[i].name;
			break;
		}
	}
	strbuf_printf(text, "%llu%s/", (unsigned long long)number, suffix);
	if (limit->window.n > 1) {
		strbuf_printf(
		    text, "%u %ss", limit->window.n, duration_units[limit->window.unit].name);
	} else {
		strbuf_puts(text, duration_units[limit->window.unit].name);
	}
}

void limits_format(const struct limits *limits, enum limit_count count, struct strbuf *text)
{
	if (limits->kind != LIMITS_WINDOWS) {
		strbuf_puts(text, limits->kind == LIMITS_DENY ? "deny" : "unlimited");
	}
	for (unsigned i = 0; i < limits->n; i++) {
		strbuf_puts(text, i ? ", " : "");
		limit_format(&limits->at[i], count, text);
	}
}

void limit_window_format(const struct limit_window *window, struct strbuf *text)
{
	strbuf_printf(text, "%u%c", window->n, duration_units[window->unit].letter);
}

int limit_window_parse(const char *string, size_t length, struct limit_window *window)
{
	enum duration_unit unit = 0;
	uint64_t n;

	while (length >= 2 && unit < DURATION_UNITS &&
	    duration_units[unit].letter != string[length - 1]) {
		unit++;
	}
	if (length < 2 || unit == DURATION_UNITS ||
	    number_parse(string, length - 1, units_max(unit), &n) || n == 0) {
		return -1;
	}
	window_set(window, (unsigned)n, unit);
	return 0;
}
