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
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EPOCH_MIN_S 1000000000 /* smaller numbers are durations */
#define EPOCH_MAX_S INT64_C(253402300799) /* the end of the year 9999 */
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

static size_t count_letters(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
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

/* Reads length digits at *s, a number from min to max, and moves *s behind them. */
static int read_field(const char **s, size_t length, int min, int max, int *field)
{
	uint64_t number;

	if (strspn(*s, digits) != length || number_parse(*s, length, (uint64_t)max, &number) ||
	    number < (uint64_t)min) {
		return -1;
	}
	*field = (int)number;
	*s += length;
	return 0;
}

static bool skip(const char **s, char c)
{
	if (**s != c) {
		return false;
	}
	++*s;
	return true;
}

/* Reads "14:00" or "14:00:05". */
static int read_clock(const char **s, struct tm *tm)
{
	if (read_field(s, 2, 0, 23, &tm->tm_hour) || !skip(s, ':') ||
	    read_field(s, 2, 0, 59, &tm->tm_min)) {
		return -1;
	}
	return skip(s, ':') ? read_field(s, 2, 0, 59, &tm->tm_sec) : 0;
}

/* Reads "Z", "+01:00" or "+0100" as seconds east of Greenwich. Leaves *zoned if there is none. */
static int read_zone(const char **s, bool *zoned, int *east_s)
{
	bool west = **s == '-';
	const char *p = *s + 1;
	int hours, minutes;

	if (**s == 'Z' || **s == 'z') {
		*zoned = true;
		*s = p;
		return 0;
	}
	if (**s != '+' && **s != '-') {
		return 0;
	}
	if (strspn(p, digits) == 4) {
		if (read_field(&p, 4, 0, 1459, &hours) || hours % 100 > 59) {
			return -1;
		}
		minutes = hours % 100;
		hours /= 100;
	} else if (read_field(&p, 2, 0, 14, &hours) || !skip(&p, ':') ||
	    read_field(&p, 2, 0, 59, &minutes)) {
		return -1;
	}
	*east_s = (hours * 60 + minutes) * (west ? -60 : 60);
	*zoned = true;
	*s = p;
	return 0;
}

static int days_in(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

static int parse_date(const char *s, int64_t *then_s)
{
	struct tm tm = {.tm_isdst = -1};
	bool zoned = false;
	int year, month, east_s = 0;

	if (read_field(&s, 4, 1970, 9999, &year) || !skip(&s, '-') ||
	    read_field(&s, 2, 1, 12, &month) || !skip(&s, '-') ||
	    read_field(&s, 2, 1, days_in(year, month), &tm.tm_mday)) {
		return -1;
	}
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	if (!ends(s)) {
		if (!skip(&s, 'T') && !skip(&s, 't') && strspn(s, blanks) == 0) {
			return -1;
		}
		s += strspn(s, blanks);
		if (read_clock(&s, &tm)) {
			return -1;
		}
		s += strspn(s, blanks);
		if (read_zone(&s, &zoned, &east_s) || !ends(s)) {
			return -1;
		}
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
	size_t letters = count_letters(s);
	char quoted[QUOTED_SIZE];
	int64_t ago_ms;

	for (int days_ago = 0; days_ago <= 1 && ends(s + letters); days_ago++) {
		if (ascii_same(s, letters, days_ago ? "yesterday" : "today")) {
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
	struct tm tm;

	localtime_r(&time, &tm);
	strbuf_printf(text, "%04d-%02d-%02d %02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min);
}
