/*
 * Tests of src/ctl/when.c: durations and times as an administrator writes them.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"
#include "base/strbuf.h"
#include "ctl/when.h"

#include <string.h>
#include <time.h>

#define BAD (-1)
#define NOW 1795179600 /* 2026-11-20 13:00:00 UTC */
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3" /* whether there is a tzdata or not */

static void use_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static void test_duration(void **state)
{
	static const struct {
		const char *string;
		int64_t seconds;
	} cases[] = {
	    {"1", 1},
	    {"90", 90},
	    {" 90 ", 90},
	    {"45s", 45},
	    {"90m", 5400},
	    {"90 min", 5400},
	    {"2h", 7200},
	    {"2H", BAD},
	    {"2 Hours", 7200},
	    {"1 hour", 3600},
	    {"1d", 86400},
	    {"1 day", 86400},
	    {"3 days", 3 * 86400},
	    {"1w", 7 * 86400},
	    {"1 month", 30 * 86400},
	    {"1 year", 365 * 86400},
	    {"1h30m", 5400},
	    {"1h 30m", 5400},
	    {"1 hour 30 minutes", 5400},
	    {"1d12h30m5s", 131405},
	    {"3153600000", 3153600000},
	    {"100 years", 3153600000},
	    {"100 years 1s", BAD},
	    {"101 years", BAD},
	    {"3153600001", BAD},
	    {"99999999999999999999d", BAD},
	    {"18446744073709551617", BAD},
	    {"", BAD},
	    {" ", BAD},
	    {"0", BAD},
	    {"0h", BAD},
	    {"0h1s", 1},
	    {"-1h", BAD},
	    {"+1h", BAD},
	    {"1.5h", BAD},
	    {"h", BAD},
	    {"day", BAD},
	    {"1h30", BAD},
	    {"30 1h", BAD},
	    {"1x", BAD},
	    {"1M", BAD},
	    {"1h,", BAD},
	    {"1h-1m", BAD},
	    {"1hh", BAD},
	    {"1\n", BAD},
	    {"forever", BAD},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t ms = 0;
		struct error error = {.text = ""};
		int result = when_parse_duration(cases[i].string, &ms, &error);

		check(result == (cases[i].seconds == BAD ? BAD : 0), "\"%s\": got %d, %s",
		    cases[i].string, result, error.text);
		check(result == BAD || ms == cases[i].seconds * 1000, "\"%s\": got %lld ms",
		    cases[i].string, (long long)ms);
		check(result == 0 || strstr(error.text, "1h30m"), "\"%s\": \"%s\" is no help",
		    cases[i].string, error.text);
	}
}

/* As of NOW; Berlin is an hour ahead in winter, and two in summer. */
static void test_time(void **state)
{
	static const struct {
		const char *zone;
		const char *string;
		int64_t then_s;
	} cases[] = {
	    {"UTC", "24h", NOW - 86400},
	    {"UTC", "1 day", NOW - 86400},
	    {"UTC", "600", NOW - 600},
	    {"UTC", "999999999", NOW - 999999999},
	    {"UTC", "90 years", 0},
	    {"UTC", "1000000000", 1000000000},
	    {"UTC", "1795132800", 1795132800},
	    {"UTC", "@1795132800", 1795132800},
	    {"UTC", "@0", 0},
	    {"UTC", " @600 ", 600},
	    {"UTC", "@253402300799", 253402300799},
	    {"UTC", "@253402300800", BAD},
	    {"UTC", "@-1", BAD},
	    {"UTC", "@1h", BAD},
	    {"UTC", "@", BAD},
	    {"UTC", "today", 1795132800},
	    {"UTC", "Today", 1795132800},
	    {"UTC", "yesterday", 1795132800 - 86400},
	    {"UTC", "tomorrow", BAD},
	    {"UTC", "2026-11-20", 1795132800},
	    {"UTC", "2026-11-20 14:00", 1795183200},
	    {"UTC", "2026-11-20 14:00:05", 1795183205},
	    {"UTC", "2026-11-20T14:00:05", 1795183205},
	    {"UTC", " 2026-11-20  14:00 ", 1795183200},
	    {"UTC", "2024-02-29", 1709164800},
	    {"UTC", "2000-02-29", 951782400},
	    {"UTC", "1970-01-01", 0},
	    {"UTC", "9999-12-31 23:59:59", 253402300799},
	    {BERLIN, "today", 1795132800 - 3600},
	    {BERLIN, "yesterday", 1795132800 - 86400 - 3600},
	    {BERLIN, "2026-11-20 14:00", NOW},
	    {BERLIN, "2026-07-01 14:00", 1782907200},
	    {BERLIN, "2026-11-20 14:00Z", 1795183200},
	    {BERLIN, "2026-11-20T14:00:05z", 1795183205},
	    {BERLIN, "2026-11-20T14:00+01:00", NOW},
	    {BERLIN, "2026-11-20 14:00 +0100", NOW},
	    {BERLIN, "2026-11-20 14:00 -05:30", 1795183200 + 19800},
	    {BERLIN, "1970-01-01", BAD}, /* before the epoch there */
	    {"UTC", "", BAD},
	    {"UTC", "2026-11-31", BAD},
	    {"UTC", "2026-02-29", BAD},
	    {"UTC", "2100-02-29", BAD},
	    {"UTC", "2026-13-01", BAD},
	    {"UTC", "2026-00-01", BAD},
	    {"UTC", "2026-11-00", BAD},
	    {"UTC", "1969-12-31", BAD},
	    {"UTC", "2026-11", BAD},
	    {"UTC", "2026-1-2", BAD},
	    {"UTC", "26-11-20", BAD},
	    {"UTC", "2026-11-20x", BAD},
	    {"UTC", "2026-11-20T", BAD},
	    {"UTC", "2026-11-2014:00", BAD},
	    {"UTC", "2026-11-20 1:00", BAD},
	    {"UTC", "2026-11-20 14:00+01", 1795179600},
	    {"UTC", "2026-11-20 24:00", BAD},
	    {"UTC", "2026-11-20 14", BAD},
	    {"UTC", "2026-11-20 14:60", BAD},
	    {"UTC", "2026-11-20 14:00:60", BAD},
	    {"UTC", "2026-11-20 14:00:05.5", BAD},
	    {"UTC", "2026-11-20 14:00+1", BAD},
	    {"UTC", "2026-11-20 14:00+15:00", BAD},
	    {"UTC", "2026-11-20 14:00+0160", BAD},
	    {"UTC", "2026-11-20 14:00ZZ", BAD},
	    {"UTC", "2026-11-20Z", BAD},
	    {"UTC", "20.11.2026", BAD},
	    {"UTC", "never", BAD},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t then_s = 0;
		struct error error = {.text = ""};
		int result;

		use_zone(cases[i].zone);
		result = when_parse(cases[i].string, NOW, &then_s, &error);
		check(result == (cases[i].then_s == BAD ? BAD : 0), "\"%s\" in %s: got %d, %s",
		    cases[i].string, cases[i].zone, result, error.text);
		check(result == BAD || then_s == cases[i].then_s, "\"%s\" in %s: got %lld",
		    cases[i].string, cases[i].zone, (long long)then_s);
		check(result == 0 || strstr(error.text, "yesterday"), "\"%s\": \"%s\" is no help",
		    cases[i].string, error.text);
	}
}

/* A day that the clocks changed in has another length. */
static void test_yesterday(void **state)
{
	const int64_t now_s = 1792999800; /* 2026-10-26 08:30 in Berlin; the 25th had 25 hours */
	struct error error;
	int64_t then_s;

	(void)state;
	use_zone(BERLIN);
	check(when_parse("yesterday", now_s, &then_s, &error) == 0, "%s", error.text);
	check(then_s == now_s - (8 * 3600 + 1800) - 25 * 3600, "got %lld", (long long)then_s);
}

/* What is quoted may come from a file, and is cut and made printable. */
static void test_error_text(void **state)
{
	struct error error;
	int64_t number;

	(void)state;
	check(when_parse_duration("1h\n\x1b[31m", &number, &error) == BAD, "control characters");
	check(strstr(error.text, "\"1h??[31m\""), "got \"%s\"", error.text);
	check(when_parse("00000000000000000000000000000000000000000000000000000000000000x", NOW,
		  &number, &error) == BAD,
	    "a long one");
	check(strlen(error.text) < 300, "got \"%s\"", error.text);
}

static void test_format(void **state)
{
	char buffer[40];
	struct strbuf text;

	(void)state;
	use_zone(BERLIN);
	strbuf_init(&text, buffer, sizeof(buffer));
	when_format(NOW, &text);
	check_string(buffer, "2026-11-20 14:00", "in winter");
	strbuf_init(&text, buffer, sizeof(buffer));
	when_format(1782907259, &text);
	check_string(buffer, "2026-07-01 14:00", "in summer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_duration),
	    cmocka_unit_test(test_time),
	    cmocka_unit_test(test_yesterday),
	    cmocka_unit_test(test_error_text),
	    cmocka_unit_test(test_format),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("when", tests, NULL, NULL);
}
