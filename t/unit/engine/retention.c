/*
 * Tests of src/engine/retention.c: which records are kept and for how long, which can be used,
 * and which of two copies is the later one.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "count/counter.h"
#include "engine/exception.h"
#include "engine/retention.h"

#define NOW_MS INT64_C(1772452800000) /* 12:00 UTC on a Monday */
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define COUNTER_KEY "r:jo"
#define EXCEPTION_KEY ":set:r:jo"

static char bytes[2][4096];

/* A counter that was charged, and perhaps denied, ago_ms before NOW_MS. Returns its size. */
static size_t make_counter(char *to, const char *header, int64_t ago_ms, uint64_t cost, bool denied)
{
	static const uint8_t unknown[RECORD_CLIENT_BYTES];
	struct record record;

	new_record(&record, header, to);
	counter_advance(&record, NOW_MS - ago_ms);
	if (cost > 0) {
		counter_charge(&record, to, cost);
	}
	if (denied) {
		counter_deny(&record, unknown);
	}
	record_write(&record, to);
	return record_size(&record.layout);
}

static size_t make_exception(char *to, const char *limits, int64_t until_s, int64_t changed_ms)
{
	struct exception exception = {.changed_ms = changed_ms, .until_s = until_s};
	struct strbuf text;

	snprintf(exception.limits, sizeof(exception.limits), "%s", limits);
	strbuf_init(&text, to, sizeof(bytes[0]));
	exception_format(&exception, &text);
	return text.length;
}

static bool keep(const char *key, char *data, size_t size)
{
	return retention_codec.keep(key, strlen(key), data, size, NOW_MS);
}

static bool repair(const char *key, char *data, size_t size)
{
	return retention_codec.repair(key, strlen(key), data, size);
}

static void test_keep_counter(void **state)
{
	static const struct {
		const char *header;
		int64_t ago_ms;
		uint64_t cost;
		bool denied, kept;
	} cases[] = {
	    /* A window is used: NOW_MS begins a sub-bucket. */
	    {"3 s12 r8 1h", HOUR_MS, 1, false, true},
	    {"3 s12 r8 1h", HOUR_MS + 1, 1, false, false},
	    {"3 m5 r8 1h", HOUR_MS - 1, 1, false, true},
	    {"3 m5 r8 1h", HOUR_MS, 1, false, false},
	    {"3 s12 r8 1h,1d", DAY_MS, 1, false, true},
	    {"3 s12 r8 1h,1d", DAY_MS + 1, 1, false, false},
	    {"3 f r8 1d", 12 * HOUR_MS, 1, false, true},
	    {"3 f r8 1d", 12 * HOUR_MS + 1, 1, false, false},
	    /* A transaction may still be open. */
	    {"3 s12 r8 1m", 10 * MINUTE_MS - 1, 1, false, true},
	    {"3 s12 r8 1m", 10 * MINUTE_MS, 1, false, false},
	    {"3 s12 r8 1m", 10 * MINUTE_MS - 1, 0, false, true},
	    {"3 s12 r8 1m", 10 * MINUTE_MS, 0, false, false},
	    /* It was denied. */
	    {"3 s12 r8 1m", 7 * DAY_MS - 1000, 1, true, true},
	    {"3 s12 r8 1m", 7 * DAY_MS, 1, true, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t size = make_counter(
		    bytes[0], cases[i].header, cases[i].ago_ms, cases[i].cost, cases[i].denied);

		memcpy(bytes[1], bytes[0], size);
		check(keep(COUNTER_KEY, bytes[0], size) == cases[i].kept, "case %zu: %s, %lld ms",
		    i, cases[i].header, (long long)cases[i].ago_ms);
		check(memcmp(bytes[0], bytes[1], size) == 0, "case %zu: changed", i);
	}
}

/* After the clock was set back a counter lasts as long as if it was charged now. */
static void test_keep_ahead(void **state)
{
	static const char *const headers[] = {"3 s12 r8 1h", "3 m5 r8 1h", "3 f r8 1h"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		const char *name = headers[i];
		size_t size = make_counter(bytes[0], name, -30 * DAY_MS, 3, true);
		struct record record;
		struct error error = {""};

		check(keep(COUNTER_KEY, bytes[0], size), "%s: not kept", name);
		check(
		    record_read(&record, bytes[0], size, &error) == 0, "%s: %s", name, error.text);
		check(record.stamp_ms == NOW_MS && record.denied_s == NOW_MS / 1000,
		    "%s: still ahead", name);
		check(!counter_is_ahead(&record, NOW_MS), "%s: its log is still ahead", name);
		check(
		    counter_used(&record, 0) == 3 && record.denied == 1, "%s: lost its use", name);
		counter_advance(&record, NOW_MS + 2 * HOUR_MS);
		check(counter_used(&record, 0) == 0, "%s: does not expire", name);
	}
}

/* Others than counters of this version. */
static void test_keep_and_repair(void **state)
{
	static const struct {
		const char *key, *text;
		bool kept, usable;
	} cases[] = {
	    {COUNTER_KEY, "4 s12 r8 1h|what a later version wrote", true, true},
	    {COUNTER_KEY, "3 s12 r8 1h|what nobody wrote", false, false},
	    {COUNTER_KEY, "1 s12 r8 1h|what nobody wrote", false, false},
	    {COUNTER_KEY, "", false, false},
	    {EXCEPTION_KEY, "2 what a later version wrote", true, true},
	    {EXCEPTION_KEY, "1 0 0 9/day|00000000000", false, false},
	    {EXCEPTION_KEY, "", false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t size = strlen(cases[i].text);

		memcpy(bytes[0], cases[i].text, size);
		check(keep(cases[i].key, bytes[0], size) == cases[i].kept, "%s: kept or not",
		    cases[i].text);
		check(repair(cases[i].key, bytes[0], size) == cases[i].usable, "%s: usable or not",
		    cases[i].text);
		check(memcmp(bytes[0], cases[i].text, size) == 0, "%s: changed", cases[i].text);
	}
}

static void test_exceptions(void **state)
{
	static const struct {
		int64_t until_s;
		bool kept;
	} cases[] = {{0, true}, {NOW_MS / 1000 + 1, true}, {NOW_MS / 1000, false}, {1, false}};
	size_t size;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size = make_exception(bytes[0], "9/day", cases[i].until_s, 1);
		check(keep(EXCEPTION_KEY, bytes[0], size) == cases[i].kept, "until %lld",
		    (long long)cases[i].until_s);
		check(repair(EXCEPTION_KEY, bytes[0], size), "until %lld: can't be used",
		    (long long)cases[i].until_s);
	}
	/* One that says nothing. */
	size = make_exception(bytes[0], "", 0, 1);
	check(!keep(EXCEPTION_KEY, bytes[0], size), "nothing is kept");
}

/* A log whose events are out of order loses those, and can be used. */
static void test_repair(void **state)
{
	struct record record, repaired;
	struct error error = {""};
	size_t size;
	char *event;

	(void)state;
	new_record(&record, "3 m5 r8 1h", bytes[0]);
	for (int i = 0; i < 3; i++) {
		counter_advance(&record, NOW_MS + i);
		counter_charge(&record, bytes[0], 1);
	}
	record_write(&record, bytes[0]);
	size = record_size(&record.layout);
	memcpy(bytes[1], bytes[0], size);
	check(repair(COUNTER_KEY, bytes[0], size) && memcmp(bytes[0], bytes[1], size) == 0,
	    "a good record was changed");
	/* The second event gets a time after that of the third. */
	event = bytes[0] + size - 5 * ((size - record.header_length - 2 * record.slot_size) / 5);
	event += (size - record.header_length - 2 * record.slot_size) / 5;
	*event = 'z';
	check(repair(COUNTER_KEY, bytes[0], size), "can't be used");
	check(record_read(&repaired, bytes[0], size, &error) == 0, "%s", error.text);
	check(counter_used(&repaired, 0) == 1, "used %u", (unsigned)counter_used(&repaired, 0));
	check(!record_log_repair(&repaired), "needs another repair");
	/* Both slots are damaged. */
	memset(bytes[0] + record.header_length, '-', 2 * record.slot_size);
	check(!repair(COUNTER_KEY, bytes[0], size), "without a good slot");
}

/* Makes a copy of kind: counters at an hour or a minute ago, exceptions, later versions. */
static size_t make_copy(char *to, char kind)
{
	switch (kind) {
	case 'c':
		return make_counter(to, "3 s12 r8 1h", HOUR_MS, 1, false);
	case 'C':
		return make_counter(to, "3 s12 r8 1h", MINUTE_MS, 1, false);
	case 'L':
		return make_counter(to, "3 s12 r8 1h,1d", MINUTE_MS, 1, false);
	case 'e':
		return make_exception(to, "9/day", 0, NOW_MS - 1);
	case 'E':
		return make_exception(to, "1/day", 0, NOW_MS);
	default:
		return (size_t)snprintf(to, sizeof(bytes[0]), "%s",
		    kind == 'v' ? "3 s12 r8 1h|what a later version wrote"
				: "2 an exception of a later version");
	}
}

static void test_newer(void **state)
{
	static const struct {
		char kinds[3];
		bool newer;
	} cases[] = {{"Cc", true}, {"cC", false}, {"cc", false}, {"Lc", true}, {"cL", false},
	    {"Ee", true}, {"eE", false}, {"ee", false}, {"vC", true}, {"Cv", false}, {"vv", false},
	    {"xE", true}, {"Ex", false}, {"xx", false}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t size[2];

		for (unsigned j = 0; j < 2; j++) {
			size[j] = make_copy(bytes[j], cases[i].kinds[j]);
		}
		check(retention_codec.newer(bytes[0], size[0], bytes[1], size[1]) == cases[i].newer,
		    "%s", cases[i].kinds);
	}
	/* Of the same moment, the one that was written after the other. */
	{
		struct record record;
		struct error error;
		size_t size = make_copy(bytes[0], 'C');

		memcpy(bytes[1], bytes[0], size);
		check(record_read(&record, bytes[1], size, &error) == 0, "no record");
		record_write(&record, bytes[1]);
		check(retention_codec.newer(bytes[1], size, bytes[0], size) &&
			!retention_codec.newer(bytes[0], size, bytes[1], size),
		    "sequence numbers");
	}
}

/* TDB may give NULL for a record of no bytes, which memchr and memcpy do not take. */
static void test_no_bytes(void **state)
{
	static const char *const keys[] = {COUNTER_KEY, EXCEPTION_KEY};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		check(!keep(keys[i], NULL, 0), "%s is kept", keys[i]);
		check(!repair(keys[i], NULL, 0), "%s is sound", keys[i]);
		check(!retention_codec.newer(NULL, 0, NULL, 0), "none is newer");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keep_counter),
	    cmocka_unit_test(test_keep_ahead),
	    cmocka_unit_test(test_keep_and_repair),
	    cmocka_unit_test(test_exceptions),
	    cmocka_unit_test(test_repair),
	    cmocka_unit_test(test_newer),
	    cmocka_unit_test(test_no_bytes),
	};

	setenv("TZ", "UTC", 1);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("retention", tests, NULL, NULL);
}
