/*
 * Tests of src/count/calendar.c: windows against the calendar, in time zones with all kinds
 * of changes.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "count/calendar.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DAY INT64_C(86400000)

static void set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static int64_t utc_ms(const char *string)
{
	struct tm tm = {.tm_isdst = 0};
	const char *end = strptime(string, "%Y-%m-%d %H:%M", &tm);

	check(end && !*end, "\"%s\" is not a time", string);
	return timegm(&tm) * INT64_C(1000);
}

#define BERLIN "Europe/Berlin"
#define KOLKATA "Asia/Kolkata"
#define SAO_PAULO "America/Sao_Paulo"
#define HAVANA "America/Havana"
#define BEIRUT "Asia/Beirut"
#define LORD_HOWE "Australia/Lord_Howe"
#define ST_JOHNS "America/St_Johns"

static void test_bounds(void **state)
{
	static const struct {
		const char *zone;
		unsigned n;
		enum duration_unit unit;
		const char *now, *start, *end; /* in UTC */
	} cases[] = {
	    {"UTC", 1, UNIT_DAY, "2024-02-29 23:59", "2024-02-29 00:00", "2024-03-01 00:00"},
	    {"UTC", 1, UNIT_WEEK, "2024-01-14 23:59", "2024-01-08 00:00", "2024-01-15 00:00"},
	    {"UTC", 1, UNIT_MINUTE, "2024-01-15 10:45", "2024-01-15 10:45", "2024-01-15 10:46"},
	    {"UTC", 1, UNIT_YEAR, "2024-12-31 23:59", "2024-01-01 00:00", "2025-01-01 00:00"},
	    /* N > 1: counted from the epoch, weeks from the Monday before it. */
	    {"UTC", 15, UNIT_MINUTE, "2024-01-15 10:44", "2024-01-15 10:30", "2024-01-15 10:45"},
	    {"UTC", 2, UNIT_HOUR, "2024-01-15 11:59", "2024-01-15 10:00", "2024-01-15 12:00"},
	    {"UTC", 2, UNIT_DAY, "1970-01-02 12:00", "1970-01-01 00:00", "1970-01-03 00:00"},
	    {"UTC", 2, UNIT_WEEK, "1970-01-06 12:00", "1969-12-29 00:00", "1970-01-12 00:00"},
	    {"UTC", 3, UNIT_MONTH, "2024-06-30 23:59", "2024-04-01 00:00", "2024-07-01 00:00"},
	    {"UTC", 5, UNIT_YEAR, "2024-01-15 10:45", "2020-01-01 00:00", "2025-01-01 00:00"},
	    {BERLIN, 2, UNIT_DAY, "2024-01-15 10:45", "2024-01-13 23:00", "2024-01-15 23:00"},
	    /* Clocks go forward at 01:00 UTC, and back. */
	    {BERLIN, 1, UNIT_HOUR, "2024-03-31 01:45", "2024-03-31 01:00", "2024-03-31 02:00"},
	    {BERLIN, 1, UNIT_DAY, "2024-03-31 21:59", "2024-03-30 23:00", "2024-03-31 22:00"},
	    {BERLIN, 1, UNIT_HOUR, "2024-10-27 00:45", "2024-10-27 00:00", "2024-10-27 01:00"},
	    {BERLIN, 1, UNIT_HOUR, "2024-10-27 01:45", "2024-10-27 01:00", "2024-10-27 02:00"},
	    {BERLIN, 1, UNIT_DAY, "2024-10-27 22:59", "2024-10-26 22:00", "2024-10-27 23:00"},
	    {BERLIN, 1, UNIT_MONTH, "2024-10-27 12:00", "2024-09-30 22:00", "2024-10-31 23:00"},
	    {BERLIN, 1, UNIT_YEAR, "2024-07-01 12:00", "2023-12-31 23:00", "2024-12-31 23:00"},
	    {KOLKATA, 1, UNIT_HOUR, "2024-01-15 10:45", "2024-01-15 10:30", "2024-01-15 11:30"},
	    {KOLKATA, 1, UNIT_DAY, "2024-01-15 18:29", "2024-01-14 18:30", "2024-01-15 18:30"},
	    /* By half an hour: the clocks show 01:30 again at 02:00, and later 02:30 at 02:00. */
	    {LORD_HOWE, 1, UNIT_HOUR, "2024-04-06 14:59", "2024-04-06 14:00", "2024-04-06 15:00"},
	    {LORD_HOWE, 1, UNIT_HOUR, "2024-04-06 15:00", "2024-04-06 15:00", "2024-04-06 15:30"},
	    {LORD_HOWE, 1, UNIT_HOUR, "2024-04-06 15:30", "2024-04-06 15:30", "2024-04-06 16:30"},
	    {LORD_HOWE, 1, UNIT_HOUR, "2024-10-05 15:29", "2024-10-05 14:30", "2024-10-05 15:30"},
	    {LORD_HOWE, 1, UNIT_HOUR, "2024-10-05 15:30", "2024-10-05 15:30", "2024-10-05 16:00"},
	    {LORD_HOWE, 1, UNIT_DAY, "2024-04-06 15:00", "2024-04-06 13:00", "2024-04-07 13:30"},
	    /* At a minute past midnight. */
	    {ST_JOHNS, 1, UNIT_HOUR, "2010-11-07 02:30", "2010-11-07 02:30", "2010-11-07 02:31"},
	    {ST_JOHNS, 1, UNIT_HOUR, "2010-11-07 02:31", "2010-11-07 02:31", "2010-11-07 03:30"},
	    /* Days that begin at 01:00, have 23:00 twice, or 00:00 twice. */
	    {SAO_PAULO, 1, UNIT_DAY, "2018-11-04 02:59", "2018-11-03 03:00", "2018-11-04 03:00"},
	    {SAO_PAULO, 1, UNIT_DAY, "2018-11-04 03:00", "2018-11-04 03:00", "2018-11-05 02:00"},
	    {SAO_PAULO, 1, UNIT_DAY, "2018-02-18 02:30", "2018-02-17 02:00", "2018-02-18 03:00"},
	    {BEIRUT, 1, UNIT_DAY, "2024-03-30 22:00", "2024-03-30 22:00", "2024-03-31 21:00"},
	    {HAVANA, 1, UNIT_DAY, "2024-11-03 05:30", "2024-11-03 04:00", "2024-11-04 05:00"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct limit_window window = {cases[i].n, cases[i].unit, 0};
		int64_t start_ms = utc_ms(cases[i].start), end_ms = utc_ms(cases[i].end);
		int64_t now_ms = utc_ms(cases[i].now) + 30500, late_ms;
		char name[64];

		snprintf(name, sizeof(name), "%s, %u of unit %d, %s", cases[i].zone, cases[i].n,
		    cases[i].unit, cases[i].now);
		set_zone(cases[i].zone);
		window.length_ms = cases[i].n * duration_units[cases[i].unit].ms;
		late_ms = calendar_start(&window, now_ms) - start_ms;
		check(late_ms == 0, "%s: starts %lld ms late", name, (long long)late_ms);
		late_ms = calendar_end(&window, now_ms) - end_ms;
		check(late_ms == 0, "%s: ends %lld ms late", name, (long long)late_ms);
	}
}

/* Each moment is in one window; the next begins where it ends, on the right day. */
static void test_windows_meet(void **state)
{
	static const char *const zones[] = {
	    "UTC", BERLIN, KOLKATA, SAO_PAULO, HAVANA, BEIRUT, LORD_HOWE, ST_JOHNS};
	static const unsigned numbers[] = {1, 1, 2, 3, 7, 30};
	uint64_t seed = random_seed("calendar windows", 314159);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(zones) * 4000; i++) {
		struct limit_window window = {.n = numbers[i % 6], .unit = i % 7};
		/* 1990 to 2037; every fifth near a change in Sao Paulo, some near one in Lord Howe.
		 */
		int64_t now_ms = i % 5 ? (int64_t)random_below(&seed, 48 * 365 * DAY) + 7305 * DAY
		    : i % 10           ? (int64_t)random_below(&seed, 3 * DAY) + 17838 * DAY
			     : (int64_t)random_below(&seed, DAY / 8) + 19819 * DAY + 13 * DAY / 24;
		int64_t start, end;
		struct tm tm;
		char name[64];

		if (i % 4000 == 0) {
			set_zone(zones[i / 4000]);
		}
		snprintf(name, sizeof(name), "%s, %u of unit %d, %lld", zones[i / 4000], window.n,
		    window.unit, (long long)now_ms);
		window.length_ms = window.n * duration_units[window.unit].ms;
		start = calendar_start(&window, now_ms);
		end = calendar_end(&window, now_ms);
		check(start <= now_ms && now_ms < end, "%s: not within", name);
		check(calendar_start(&window, end) == end, "%s: the next starts elsewhere", name);
		check(calendar_start(&window, end - 1) == start, "%s: ends elsewhere", name);
		check(calendar_end(&window, start) == end, "%s: the start is outside", name);
		check(window.unit > UNIT_HOUR || end - start <= window.length_ms, "%s: too long",
		    name);
		localtime_r(&(time_t){end / 1000}, &tm);
		check((window.unit != UNIT_WEEK || tm.tm_wday == 1) &&
			(window.unit != UNIT_MONTH || tm.tm_mday == 1) &&
			(window.unit != UNIT_YEAR || tm.tm_yday == 0),
		    "%s: the next starts on a wrong day", name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_windows_meet),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("calendar", tests, NULL, NULL);
}
