/*
 * Calendar windows: see calendar.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/calendar.h"

#include "base/number.h"

#include <time.h>

/* Seconds by which local time is ahead of UTC at a moment. */
static int64_t utc_offset(int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

/*
 * The moment at which local clocks show a midnight, which is given as if it were UTC. If
 * they show it twice, the first; if they skip it, the moment of the skip.
 */
static int64_t local_midnight(int64_t as_utc)
{
	int64_t early = as_utc - utc_offset(as_utc - 86400);
	int64_t late = as_utc - utc_offset(as_utc + 86400);
	int64_t first = early < late ? early : late;
	int64_t last = early < late ? late : early;

	return first + utc_offset(first) == as_utc ? first : last;
}

/*
 * Windows of n days, weeks, months or years are numbered from 1970, those of weeks from the
 * Monday before it. The number of the window that a local date is in.
 */
static int64_t number_of(const struct limit_window *window, const struct tm *date)
{
	struct tm midnight = {
	    .tm_year = date->tm_year, .tm_mon = date->tm_mon, .tm_mday = date->tm_mday};
	int64_t day = number_divide_down(timegm(&midnight), 86400);
	int64_t units;

	switch (window->unit) {
	case UNIT_YEAR:
		units = date->tm_year - 70;
		break;
	case UNIT_MONTH:
		units = (int64_t)(date->tm_year - 70) * 12 + date->tm_mon;
		break;
	case UNIT_WEEK:
		units = number_divide_down(day + 3, 7);
		break;
	default:
		units = day;
	}
	return number_divide_down(units, window->n);
}

/* The first moment of the window with that number. */
static int64_t number_start(const struct limit_window *window, int64_t number)
{
	struct tm date = {.tm_year = 70, .tm_mday = 1};
	int units = (int)(number * window->n);

	switch (window->unit) {
	case UNIT_YEAR:
		date.tm_year += units;
		break;
	case UNIT_MONTH:
		date.tm_mon += units;
		break;
	case UNIT_WEEK:
		date.tm_mday += units * 7 - 3;
		break;
	default:
		date.tm_mday += units;
	}
	return local_midnight(timegm(&date)) * 1000;
}

/* The first second after `from`, up to `to`, at which the UTC offset is not that of `from`. */
static int64_t offset_change(int64_t from, int64_t to)
{
	int64_t offset = utc_offset(from);

	while (to - from > 1) {
		int64_t middle = from + (to - from) / 2;

		if (utc_offset(middle) == offset) {
			from = middle;
		} else {
			to = middle;
		}
	}
	return to;
}

/*
 * The second at which the hour of local time begins that now is in, or the one after it. Not every
 * time zone is whole hours from UTC, and some change their clocks by half an hour: the change then
 * ends an hour, or the next would be longer than one.
 */
static int64_t hour_boundary(int64_t now, const struct tm *tm, int64_t next)
{
	int64_t start = now - tm->tm_min * 60 - tm->tm_sec;
	int64_t end = start + 3600;

	if (next) {
		return utc_offset(end - 1) == tm->tm_gmtoff ? end : offset_change(now, end - 1);
	}
	return utc_offset(start) == tm->tm_gmtoff ? start : offset_change(start, now);
}

/* The start of the window that now_ms is in, or (next: 1) of the one after it. */
static int64_t boundary(const struct limit_window *window, int64_t now_ms, int64_t next)
{
	time_t now = (time_t)number_divide_down(now_ms, 1000);
	int64_t start_ms = number_divide_down(now_ms, window->length_ms) * window->length_ms;
	bool is_local_hour = window->unit == UNIT_HOUR && window->n == 1;
	struct tm tm;

	if ((window->unit >= UNIT_DAY || is_local_hour) && localtime_r(&now, &tm)) {
		if (!is_local_hour) {
			return number_start(window, number_of(window, &tm) + next);
		}
		return hour_boundary(now, &tm, next) * 1000;
	}
	return start_ms + next * window->length_ms;
}

int64_t calendar_start(const struct limit_window *window, int64_t now_ms)
{
	return boundary(window, now_ms, 0);
}

int64_t calendar_end(const struct limit_window *window, int64_t now_ms)
{
	return boundary(window, now_ms, 1);
}
