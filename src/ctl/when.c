/*
 * Times and durations as an administrator writes them: see when.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/when.h"

#include "base/ascii.h"
#include "base/duration.h"
#include "base/number.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EPOCH_MIN_S 1000000000 /* smaller numbers are durations */
#define EPOCH_MAX_S INT64_C(253402300799) /* the end of the year 9999 */
#define ZONE_MAX_S (14 * 3600)
#define QUOTED_SIZE 48

static const char digits[] = "0123456789";
static const char blanks[] = " \t";

/* The string made printable, for a message: it may come from a file. */
static const char *quote(const char *string, char quoted[QUOTED_SIZE])
{
	struct strbuf text;

	strbuf_init(&text, quoted, QUOTED_SIZE);
	strbuf_printable(&text, string, strlen(string), NULL);
	return quoted;
}

/* Whether only blanks are left. */
static bool ends(const char *s)
{
	return s[strspn(s, blanks)] == '\0';
}

int when_parse_duration(const char *string, int64_t *ms, struct error *error)
{
	char quoted[QUOTED_SIZE];

	if (duration_parse(string, ms)) {
		return error_set(error,
		    "\"%s\" is not a duration: seconds, or numbers with units such as 90m, 2h, "
		    "1h30m or \"3 days\" (second, minute, hour, day, week, month, year; s, m, h, "
		    "d, w), from 1s to 100 years",
		    quote(string, quoted));
	}
	return 0;
}

/*
 * Reads what the format of strftime would print, digit for digit, and moves *s behind it. strptime
 * alone also takes fewer digits, signs and blanks.
 */
static bool read_time(const char **s, const char *format, struct tm *tm)
{
	struct tm found = *tm;
	const char *end = strptime(*s, format, &found);
	char printed[32];
	size_t length = end ? strftime(printed, sizeof(printed), format, &found) : 0;

	if (!end || length != (size_t)(end - *s) || memcmp(printed, *s, length) != 0) {
		return false;
	}
	*tm = found;
	*s = end;
	return true;
}

static int parse_date(const char *s, int64_t *then_s)
{
	struct tm tm = {.tm_isdst = -1}, real;
	bool zoned = false;
	long east_s;

	if (!read_time(&s, "%Y-%m-%d", &tm)) {
		return -1;
	}
	if (!ends(s)) {
		if (!strchr("Tt \t", *s++)) {
			return -1;
		}
		s += strspn(s, blanks);
		if (!read_time(&s, "%H:%M:%S", &tm) && !read_time(&s, "%H:%M", &tm)) {
			return -1;
		}
		s += strspn(s, blanks);
		zoned = *s != '\0';
		if (zoned) {
			s = *s == 'z' ? s + 1 : strptime(s, "%z", &tm);
		}
		if (!s || !ends(s)) {
			return -1;
		}
	}
	east_s = tm.tm_gmtoff;
	/* strptime takes the 31st of any month, leap seconds, and zones that do not exist. */
	real = tm;
	timegm(&real);
	if (real.tm_mday != tm.tm_mday || real.tm_sec != tm.tm_sec || labs(east_s) > ZONE_MAX_S) {
		return -1;
	}
	*then_s = zoned ? (int64_t)timegm(&tm) - east_s : (int64_t)mktime(&tm);
	return *then_s < 0 ? -1 : 0;
}

static int64_t midnight(int64_t now_s, int days_ago)
{
	time_t now = (time_t)now_s;
	struct tm tm;

	localtime_r(&now, &tm);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_mday -= days_ago;
	tm.tm_isdst = -1;
	return (int64_t)mktime(&tm);
}

static int parse_epoch(const char *s, int64_t *then_s)
{
	size_t at = *s == '@';
	size_t length = strspn(s + at, digits);
	uint64_t number;

	if (!ends(s + at + length) || number_parse(s + at, length, EPOCH_MAX_S, &number) ||
	    (!at && number < EPOCH_MIN_S)) {
		return -1;
	}
	*then_s = (int64_t)number;
	return 0;
}

int when_parse(const char *string, int64_t now_s, int64_t *then_s, struct error *error)
{
	const char *s = string + strspn(string, blanks);
	size_t word = strcspn(s, blanks);
	char quoted[QUOTED_SIZE];
	int64_t ago_ms;

	for (int days_ago = 0; days_ago <= 1 && ends(s + word); days_ago++) {
		if (ascii_same(s, word, days_ago ? "yesterday" : "today")) {
			*then_s = midnight(now_s, days_ago);
			return 0;
		}
	}
	if (parse_epoch(s, then_s) == 0 || parse_date(s, then_s) == 0) {
		return 0;
	}
	if (duration_parse(s, &ago_ms)) {
		return error_set(error,
		    "\"%s\" is not a time: a date such as 2026-11-20 or \"2026-11-20 14:00\" "
		    "(local, or with Z or +01:00), today, yesterday, how long ago (24h, 90m, \"3 "
		    "days\"), or seconds since the epoch (@1795132800)",
		    quote(string, quoted));
	}
	*then_s = now_s > ago_ms / 1000 ? now_s - ago_ms / 1000 : 0;
	return 0;
}

void when_format(int64_t time_s, struct strbuf *text)
{
	time_t time = (time_t)time_s;
	char printed[32];
	struct tm tm;

	strftime(printed, sizeof(printed), "%Y-%m-%d %H:%M", localtime_r(&time, &tm));
	strbuf_puts(text, printed);
}
