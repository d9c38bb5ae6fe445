/*
 * Tests of src/base/duration.c: units by name and letter, durations read and written.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/duration.h"
#include "base/strbuf.h"

#include <string.h>

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define NONE (-1)

static void test_unit(void **state)
{
	static const struct {
		const char *word;
		int unit;
	} cases[] = {
	    {"second", UNIT_SECOND},
	    {"Minutes", UNIT_MINUTE},
	    {"min", UNIT_MINUTE},
	    {"HOURS", UNIT_HOUR},
	    {"day", UNIT_DAY},
	    {"weeks", UNIT_WEEK},
	    {"month", UNIT_MONTH},
	    {"years", UNIT_YEAR},
	    {"s", UNIT_SECOND},
	    {"m", UNIT_MINUTE},
	    {"h", UNIT_HOUR},
	    {"d", UNIT_DAY},
	    {"w", UNIT_WEEK},
	    {"M", NONE},
	    {"y", NONE},
	    {"H", NONE},
	    {"", NONE},
	    {"hou", NONE},
	    {"hourss", NONE},
	    {"ms", NONE},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum duration_unit unit = UNIT_SECOND;
		int result = duration_unit_parse(cases[i].word, strlen(cases[i].word), &unit);

		check(result == (cases[i].unit == NONE ? -1 : 0), "\"%s\": %d", cases[i].word,
		    result);
		check(result != 0 || (int)unit == cases[i].unit, "\"%s\" is unit %d", cases[i].word,
		    (int)unit);
	}
}

/* No two units share a letter, and each is longer than the one before. */
static void test_table(void **state)
{
	(void)state;
	for (unsigned i = 1; i < DURATION_UNITS; i++) {
		check(duration_units[i].ms > duration_units[i - 1].ms, "unit %u is too short", i);
		for (unsigned j = 0; j < i; j++) {
			check(duration_units[i].letter != duration_units[j].letter,
			    "units %u and %u share a letter", i, j);
		}
	}
}

static void test_parse(void **state)
{
	static const struct {
		const char *string;
		int64_t ms; /* NONE: not a duration */
	} cases[] = {
	    {"90", 90 * SECOND},
	    {"1s", SECOND},
	    {"90m", 90 * MINUTE},
	    {"1h30m", 90 * MINUTE},
	    {"2 hours 30 minutes", 150 * MINUTE},
	    {" 1 day ", DAY},
	    {"1month", 30 * DAY},
	    {"1 Year", 365 * DAY},
	    {"100 years", 36500 * DAY},
	    {"100 years 1s", NONE},
	    {"101 years", NONE},
	    {"99999999999999999999s", NONE},
	    {"0", NONE},
	    {"0h", NONE},
	    {"", NONE},
	    {"h", NONE},
	    {"1h30", NONE},
	    {"1x", NONE},
	    {"-1h", NONE},
	    {"1.5h", NONE},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t ms = NONE;
		int result = duration_parse(cases[i].string, &ms);

		check(result == (cases[i].ms == NONE ? -1 : 0) && ms == cases[i].ms,
		    "\"%s\": %d, %lld ms", cases[i].string, result, (long long)ms);
	}
}

static void test_format(void **state)
{
	static const struct {
		int64_t ms;
		const char *expected;
	} cases[] = {
	    {0, "0s"},
	    {1, "1s"},
	    {1000, "1s"},
	    {1001, "2s"},
	    {35 * SECOND, "35s"},
	    {59 * SECOND, "59s"},
	    {59 * SECOND + 1, "1m"},
	    {MINUTE, "1m"},
	    {MINUTE + 1, "2m"},
	    {119 * MINUTE, "119m"},
	    {119 * MINUTE + 1, "2h"},
	    {2 * HOUR + 1, "3h"},
	    {47 * HOUR, "47h"},
	    {47 * HOUR + 1, "2d"},
	    {2 * DAY + 1, "3d"},
	    {365 * DAY, "365d"},
	    {INT64_MAX, "106751991168d"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char buffer[32];
		struct strbuf text;

		strbuf_init(&text, buffer, sizeof(buffer));
		duration_format(cases[i].ms, &text);
		check_string(buffer, cases[i].expected, cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_unit),
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_format),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("duration", tests, NULL, NULL);
}
