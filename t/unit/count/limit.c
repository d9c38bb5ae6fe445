/*
 * Tests of src/limit.c: the grammar of limits and its errors, word for word, and back
 * from numbers to text.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"
#include "base/strbuf.h"
#include "count/limit.h"

#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* As they stand in the tables. */
#define M COUNT_MESSAGES
#define R COUNT_RECIPIENTS
#define B COUNT_BYTES

static const int64_t unit_ms[] = {SECOND, MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY};

static void check_limit(
    const char *name, const struct limit *got, uint64_t count, unsigned n, enum duration_unit unit)
{
	check(got->count == count, "%s: expected %llu, got %llu", name, (unsigned long long)count,
	    (unsigned long long)got->count);
	check(got->window.n == n && got->window.unit == unit,
	    "%s: expected %u of unit %d, got %u of unit %d", name, n, unit, got->window.n,
	    got->window.unit);
	check(got->window.length_ms == n * unit_ms[unit], "%s: got %lld ms", name,
	    (long long)got->window.length_ms);
}

static void test_windows(void **state)
{
	static const struct {
		const char *string;
		enum limit_count count;
		unsigned limits;
		struct {
			uint64_t count;
			unsigned n;
			enum duration_unit unit;
		} at[3];
	} cases[] = {
	    {"100/hour", M, 1, {{100, 1, UNIT_HOUR}}},
	    {"100 Per Hour", M, 1, {{100, 1, UNIT_HOUR}}},
	    {"100per hour", M, 1, {{100, 1, UNIT_HOUR}}},
	    {"100 / 2 hours", M, 1, {{100, 2, UNIT_HOUR}}},
	    {" \t100\t/\thour \t", M, 1, {{100, 1, UNIT_HOUR}}},
	    {"10/h|20/d", M, 2, {{10, 1, UNIT_HOUR}, {20, 1, UNIT_DAY}}},
	    {"1/s , 2 per 3 weeks | 4/month", M, 3,
		{{1, 1, UNIT_SECOND}, {2, 3, UNIT_WEEK}, {4, 1, UNIT_MONTH}}},
	    {"0/hour, 5/day", M, 2, {{0, 1, UNIT_HOUR}, {5, 1, UNIT_DAY}}},
	    {"6/61 m, 1/60 m", M, 2, {{6, 61, UNIT_MINUTE}, {1, 60, UNIT_MINUTE}}},
	    {"5k/day", M, 1, {{5000, 1, UNIT_DAY}}},
	    {"5K/day", R, 1, {{5000, 1, UNIT_DAY}}},
	    {"2M/month", R, 1, {{2000000, 1, UNIT_MONTH}}},
	    {"1G/month", R, 1, {{1000000000, 1, UNIT_MONTH}}},
	    {"3KIB/day", B, 1, {{3 << 10, 1, UNIT_DAY}}},
	    {"10MiB/day", B, 1, {{10 << 20, 1, UNIT_DAY}}},
	    {"7gib per 2 weeks", B, 1, {{UINT64_C(7) << 30, 2, UNIT_WEEK}}},
	    {"68719476735/day", M, 1, {{LIMIT_COUNT_MAX, 1, UNIT_DAY}}},
	    {"18014398509481983/day", B, 1, {{LIMIT_BYTES_MAX, 1, UNIT_DAY}}},
	    {"1/10 years", M, 1, {{1, 10, UNIT_YEAR}}},
	    {"150/86400 seconds", M, 1, {{150, 86400, UNIT_SECOND}}},
	    {"1/315360000 s", M, 1, {{1, 315360000, UNIT_SECOND}}},
	};
	struct limits limits;
	struct error error;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].string;

		error.text[0] = '\0';
		check(limits_parse(name, cases[i].count, &limits, &error) == 0, "%s: %s", name,
		    error.text);
		check(limits.kind == LIMITS_WINDOWS && limits.n == cases[i].limits,
		    "%s: expected %u windows, got %u", name, cases[i].limits, limits.n);
		for (unsigned j = 0; j < limits.n; j++) {
			check_limit(name, &limits.at[j], cases[i].at[j].count, cases[i].at[j].n,
			    cases[i].at[j].unit);
		}
	}
}

/* Every unit by its name, plural and letter; a month has no letter, m is the minute. */
static void test_units(void **state)
{
	static const struct {
		const char *words[5];
		enum duration_unit unit;
	} cases[] = {
	    {{"second", "seconds", "Second", "SECONDS", "s"}, UNIT_SECOND},
	    {{"minute", "minutes", "Minute", "MINUTES", "m"}, UNIT_MINUTE},
	    {{"hour", "hours", "Hour", "HOURS", "h"}, UNIT_HOUR},
	    {{"day", "days", "Day", "DAYS", "d"}, UNIT_DAY},
	    {{"week", "weeks", "Week", "WEEKS", "w"}, UNIT_WEEK},
	    {{"month", "months", "Month", "MONTHS", "mOnth"}, UNIT_MONTH},
	    {{"year", "years", "Year", "YEARS", "yeaRs"}, UNIT_YEAR},
	};
	static const char *const separators[] = {"/", " per ", "/3", "/3 ", " per 3 "};
	struct limits limits;
	struct error error;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases) * COUNT_OF(separators) * 5; i++) {
		char buffer[64];
		struct strbuf text;

		strbuf_init(&text, buffer, sizeof(buffer));
		strbuf_printf(&text, "100%s%s", separators[i % 5], cases[i / 25].words[i / 5 % 5]);
		error.text[0] = '\0';
		check(limits_parse(buffer, M, &limits, &error) == 0, "%s: %s", buffer, error.text);
		check_limit(buffer, &limits.at[0], 100, i % 5 < 2 ? 1 : 3, cases[i / 25].unit);
	}
}

static void test_words(void **state)
{
	static const struct {
		int kind;
		const char *strings[4];
	} cases[] = {
	    {LIMITS_UNLIMITED, {"unlimited", " Unlimited\t", "UNLIMITED", "unlimited "}},
	    {LIMITS_DENY, {"deny", "DENY ", "0/hour", "0 per 3 days"}},
	    {LIMITS_DENY, {"0/hour, 0/day", "0k/hour", "00/hour", " deny"}},
	};
	struct limits limits;
	struct error error;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases) * 4; i++) {
		const char *string = cases[i / 4].strings[i % 4];

		error.text[0] = '\0';
		check(limits_parse(string, M, &limits, &error) == 0, "\"%s\": %s", string,
		    error.text);
		check((int)limits.kind == cases[i / 4].kind && limits.n == 0,
		    "\"%s\": got kind %d, %u windows", string, (int)limits.kind, limits.n);
	}
}

/* Every error, word for word; %s stands for the whole string. */
static void test_errors(void **state)
{
	static const struct {
		const char *error;
		enum limit_count count;
		const char *strings[6];
	} cases[] = {
	    {"\"%s\" does not start with a number; a limit is COUNT/UNIT such as 100/hour, or "
	     "unlimited, or deny",
		M, {"", "many/hour", "-5/hour", "/hour", "unlimited/hour", "deny, 5/hour"}},
	    {"\"deny\" does not start with a number; a limit is COUNT/UNIT such as 100/hour, or "
	     "unlimited, or deny",
		M, {"5/hour, deny", "5/hour|deny"}},
	    {"\",6/day\" does not start with a number; a limit is COUNT/UNIT such as 100/hour, or "
	     "unlimited, or deny",
		M, {"5/hour,,6/day"}},
	    {"a '/' or \"per\" must follow the number in \"%s\"", M,
		{"100", "100 hour", "5x/day", "5 k/day", "1.5/day", "100perhour"}},
	    {"\"MiB\" is for count = bytes; here a number may end in k, M or G", M,
		{"10MiB/day", "1/h, 1MiB/d"}},
	    {"\"kib\" is for count = bytes; here a number may end in k, M or G", R, {"10kib/day"}},
	    {"unknown unit \"\" in \"%s\"; one of second, minute, hour, day, week, month, year", M,
		{"100/", "100/2", "100/-2 hours", "100 per "}},
	    {"unknown unit \"M\" in \"%s\"; one of second, minute, hour, day, week, month, year", M,
		{"100/M", "100/3 M"}},
	    {"unknown unit \"hou\" in \"%s\"; one of second, minute, hour, day, week, month, year",
		M, {"100/hou", "100 per hou,"}},
	    {"the window of \"%s\" must be 1 second to 10 years, that is 1 to 87600 hours", M,
		{"1/0 hours", "1/87601 hours"}},
	    {"the window of \"%s\" must be 1 second to 10 years, that is 1 to 315360000 seconds", M,
		{"1/315360001 s", "1/18446744073709551617 s"}},
	    {"the window of \"%s\" must be 1 second to 10 years, that is 1 to 10 years", M,
		{"1/11 years"}},
	    {"unknown suffix \"MB\", did you mean \"MiB\"?", B, {"100MB/day"}},
	    {"unknown suffix \"kb\", did you mean \"KiB\"?", B, {"1kb/h"}},
	    {"unknown suffix \"gB\", did you mean \"GiB\"?", B, {"1/h, 1gB/d"}},
	    {"\"MB\" is for bytes, and then \"MiB\", with count = bytes; here a number may end in "
	     "k, M or G",
		R, {"100MB/day"}},
	    {"the number in \"%s\" is too large, the most is 68719476735", M,
		{"68719476736/day", "18446744073709551617/day", "69G/day", "68719477k/day"}},
	    {"the number in \"%s\" is too large, the most is 18014398509481983", B,
		{"18014398509481984/day", "16777216GiB/day", "18014399G/day"}},
	    {"\"6/day\" follows a limit; several are separated by ',' or '|'", M, {"5/h 6/day"}},
	    {"\"; 6/day\" follows a limit; several are separated by ',' or '|'", M, {"5/h; 6/day"}},
	    {"two limits have the same window", M,
		{"5/hour, 6/hour", "5/60 minutes, 6/1 hour", "5/week, 1/day, 6/7 days"}},
	    {"more than 8 limits", M, {"1/s,2/m,3/h,4/d,5/w,6/month,7/year,8/2h,9/3h"}},
	};
	struct limits limits;
	struct error error;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases) * 6; i++) {
		const char *string = cases[i / 6].strings[i % 6];
		char expected[400];

		if (!string) {
			continue;
		}
		snprintf(expected, sizeof(expected), cases[i / 6].error, string);
		error.text[0] = '\0';
		check(limits_parse(string, cases[i / 6].count, &limits, &error) == -1,
		    "\"%s\" was taken", string);
		check_string(error.text, expected, string);
	}
	check(limits_parse("1/s,2/m,3/h,4/d,5/w,6/month,7/year,8/2h", M, &limits, &error) == 0,
	    "eight limits: %s", error.text);
}

/* What limits_format makes of a text, before and after limits_shorten. */
static void test_format_and_shorten(void **state)
{
	static const struct {
		const char *string;
		enum limit_count count;
		const char *format, *shorter; /* NULL: the same */
	} cases[] = {
	    {"10/2h|20/d", M, "10/2 hours, 20/day", NULL},
	    {"5k per day", M, "5000/day", NULL},
	    {"unlimited", M, "unlimited", NULL},
	    {"0/day", M, "deny", NULL},
	    {"1/60 m", M, "1/60 minutes", "1/hour"},
	    {"1/90 s", M, "1/90 seconds", NULL},
	    {"1/120 s, 1/48 h", M, "1/120 seconds, 1/48 hours", "1/2 minutes, 1/2 days"},
	    {"1/7 d", M, "1/7 days", "1/week"},
	    {"1/28 d", M, "1/28 days", "1/4 weeks"},
	    {"1/30 d", M, "1/30 days", "1/month"},
	    {"1/365 d", M, "1/365 days", "1/year"},
	    {"1/52 w", M, "1/52 weeks", NULL},
	    {"1/12 months", M, "1/12 months", NULL},
	    {"1/73 months", M, "1/73 months", "1/6 years"},
	    {"10MiB/day", B, "10MiB/day", NULL},
	    {"1024KiB/day", B, "1MiB/day", NULL},
	    {"3000000/day", B, "3M/day", NULL},
	    {"1001/day", B, "1001/day", NULL},
	    {"0/h, 1GiB/d", B, "0/hour, 1GiB/day", NULL},
	    {"1000KiB/day", B, "1000KiB/day", NULL},
	    {"1000MiB/day", B, "1000MiB/day", NULL},
	    {"1024GiB/day", B, "1024GiB/day", NULL},
	};
	struct error error = {""};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *shorter = cases[i].shorter ? cases[i].shorter : cases[i].format;
		struct limits limits;
		char buffer[LIMITS_MAX * LIMIT_TEXT_SIZE];
		struct strbuf text;

		check(limits_parse(cases[i].string, cases[i].count, &limits, &error) == 0, "%s: %s",
		    cases[i].string, error.text);
		strbuf_init(&text, buffer, sizeof(buffer));
		limits_format(&limits, cases[i].count, &text);
		check_string(buffer, cases[i].format, cases[i].string);
		limits_shorten(&limits);
		strbuf_init(&text, buffer, sizeof(buffer));
		limits_format(&limits, cases[i].count, &text);
		check_string(buffer, shorter, cases[i].string);
	}
}

/* Any limit, as it is formatted, reads back as the same limit. */
static void test_round_trip(void **state)
{
	static const uint64_t factors[] = {1, 1000, 1024, 1000000, 1 << 20, 1000000000, 1 << 30};
	uint64_t seed = random_seed("limits", 20240229);

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		enum limit_count count = (enum limit_count)random_below(&seed, 3);
		uint64_t factor = factors[random_below(&seed, COUNT_OF(factors))];
		uint64_t max = (count == COUNT_BYTES ? LIMIT_BYTES_MAX : LIMIT_COUNT_MAX) / factor;
		uint64_t few = (1 + random_below(&seed, 9)) * (i % 5 ? 1000 : 1024);
		uint64_t number = i % 3 && few < max ? few : 1 + random_below(&seed, max);
		int64_t most = LIMIT_WINDOW_MAX_MS / duration_units[i % 7].ms;
		unsigned n = 1 + (unsigned)random_below(&seed, (uint64_t)most);
		struct limit limit = {number * factor, {.n = i % 2 ? 1 : n, .unit = i % 7}};
		struct limits limits;
		struct error error = {""};
		char buffer[LIMIT_TEXT_SIZE];
		struct strbuf text;

		strbuf_init(&text, buffer, sizeof(buffer));
		limit_format(&limit, count, &text);
		check(limits_parse(buffer, count, &limits, &error) == 0, "\"%s\": %s", buffer,
		    error.text);
		check_limit(buffer, &limits.at[0], limit.count, limit.window.n, limit.window.unit);
	}
}

static void test_window_names(void **state)
{
	static const struct {
		const char *name;
		int64_t length_ms; /* 0: no such window */
	} cases[] = {
	    {"1s", SECOND},
	    {"90m", 90 * MINUTE},
	    {"1h", HOUR},
	    {"2d", 2 * DAY},
	    {"3w", 21 * DAY},
	    {"1M", 30 * DAY},
	    {"1y", 365 * DAY},
	    {"10y", 3650 * DAY},
	    {"11y", 0},
	    {"86400s", DAY},
	    {"315360000s", 3650 * DAY},
	    {"315360001s", 0},
	    {"", 0},
	    {"h", 0},
	    {"1", 0},
	    {"0h", 0},
	    {"1H", 0},
	    {"1x", 0},
	    {"1hh", 0},
	    {"-1h", 0},
	    {" 1h", 0},
	    {"1 h", 0},
	    {"1h ", 0},
	    {"18446744073709551617h", 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct limit_window window = {.length_ms = 0};
		char buffer[LIMIT_TEXT_SIZE];
		struct strbuf text;
		int result = limit_window_parse(cases[i].name, strlen(cases[i].name), &window);

		check(result == (cases[i].length_ms ? 0 : -1) &&
			window.length_ms == cases[i].length_ms,
		    "\"%s\": got %d, %lld ms", cases[i].name, result, (long long)window.length_ms);
		if (result == 0) {
			strbuf_init(&text, buffer, sizeof(buffer));
			limit_window_format(&window, &text);
			check_string(buffer, cases[i].name, cases[i].name);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_windows),
	    cmocka_unit_test(test_units),
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_format_and_shorten),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_window_names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
