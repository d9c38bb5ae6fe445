/*
 * Tests of src/count/counter.c: the same questions to counters of all strategies, and what
 * a counter remembers.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "record.h"
#include "unit.h"

#include "base/error.h"
#include "count/counter.h"

#include <stdlib.h>

#define START_MS INT64_C(1705312800000) /* 2024-01-15 10:00 UTC, a Monday */
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define NEVER WINDOW_NEVER

static const char *const headers[] = {"3 f m8 1h,1d", "3 s12 m8 1h,1d", "3 m20 m8 1h,1d"};

/* One step after the other: what is used and the wait for cost more, before the charge. */
static void test_windows(void **state)
{
	static const struct {
		int64_t at_ms; /* since START_MS */
		uint64_t charge, cost;
		int64_t expected[3][4]; /* used of hour and day; waits in ms for a limit of 5 */
	} cases[] = {
	    {0, 3, 5, {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}}},
	    {0, 0, 2, {{3, 3, 0, 0}, {3, 3, 0, 0}, {3, 3, 0, 0}}},
	    {0, 0, 3, {{3, 3, HOUR, 14 * HOUR}, {3, 3, 65 * MINUTE, 26 * HOUR}, {3, 3, HOUR, DAY}}},
	    {0, 0, 6, {{3, 3, NEVER, NEVER}, {3, 3, NEVER, NEVER}, {3, 3, NEVER, NEVER}}},
	    {30 * MINUTE, 2, 0, {{3, 3, 0, 0}, {3, 3, 0, 0}, {3, 3, 0, 0}}},
	    {30 * MINUTE, 0, 1,
		{{5, 5, 30 * MINUTE, 810 * MINUTE}, {5, 5, 35 * MINUTE, 1530 * MINUTE},
		    {5, 5, 30 * MINUTE, 1410 * MINUTE}}},
	    {30 * MINUTE, 0, 4,
		{{5, 5, 30 * MINUTE, 810 * MINUTE}, {5, 5, 65 * MINUTE, 1530 * MINUTE},
		    {5, 5, HOUR, DAY}}},
	    {HOUR - 1, 0, 0, {{5, 5, 0, 0}, {5, 5, 0, 0}, {5, 5, 0, 0}}},
	    {HOUR, 0, 0, {{0, 5, 0, 0}, {5, 5, 0, 0}, {2, 5, 0, 0}}},
	    {65 * MINUTE - 1, 0, 0, {{0, 5, 0, 0}, {5, 5, 0, 0}, {2, 5, 0, 0}}},
	    {65 * MINUTE, 0, 0, {{0, 5, 0, 0}, {2, 5, 0, 0}, {2, 5, 0, 0}}},
	    {90 * MINUTE, 0, 0, {{0, 5, 0, 0}, {2, 5, 0, 0}, {0, 5, 0, 0}}},
	    {95 * MINUTE, 1, 0, {{0, 5, 0, 0}, {0, 5, 0, 0}, {0, 5, 0, 0}}},
	    {95 * MINUTE, 0, 0,
		{{1, 6, 0, 14 * HOUR - 95 * MINUTE}, {1, 6, 0, 26 * HOUR - 95 * MINUTE},
		    {1, 6, 0, DAY - 95 * MINUTE}}},
	    {14 * HOUR, 0, 0, {{0, 0, 0, 0}, {0, 6, 0, 12 * HOUR}, {0, 6, 0, 10 * HOUR}}},
	    {DAY, 0, 0, {{0, 0, 0, 0}, {0, 6, 0, 2 * HOUR}, {0, 3, 0, 0}}},
	    {26 * HOUR, 0, 0, {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}}},
	};
	static const char *const names[] = {"hour", "day", "wait of hour", "wait of day"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct record record;

		new_record(&record, headers[i], bytes);
		for (size_t j = 0; j < COUNT_OF(cases); j++) {
			counter_advance(&record, START_MS + cases[j].at_ms);
			for (unsigned k = 0; k < 4; k++) {
				int64_t got = (int64_t)counter_used(&record, k & 1);

				if (k > 1) {
					got = counter_wait(&record, k & 1, 5, cases[j].cost);
				}
				check(got == cases[j].expected[i][k], "%s, case %zu: %s is %lld",
				    headers[i], j, names[k], (long long)got);
			}
			if (cases[j].charge) {
				counter_charge(&record, bytes, cases[j].charge);
			}
			write_and_read(&record);
		}
	}
}

/* A moving window is as exact as a slow log. */
static void test_moving(void **state)
{
	struct slow_log log = {.events = 0};
	uint64_t seed = random_seed("counters", 20240115);
	int64_t now_ms = START_MS;
	struct record record;

	(void)state;
	new_record(&record, "3 m1000 r1 5m,1h", bytes);
	while (log.events < 500) {
		uint64_t cost = random_below(&seed, 4), limit = 4 + random_below(&seed, 40);

		now_ms += (int64_t)random_below(&seed, log.events % 20 ? 20000 : 4000000);
		counter_advance(&record, now_ms);
		for (unsigned i = 0; i < 2; i++) {
			int64_t length_ms = record.layout.window[i].length_ms;
			int64_t wait_ms = counter_wait(&record, i, limit, cost);

			check(counter_used(&record, i) == slow_used(&log, length_ms, now_ms),
			    "event %zu, window %u: wrong use", log.events, i);
			check(wait_ms == slow_wait(&log, length_ms, now_ms, limit, cost),
			    "event %zu, window %u: %lld ms", log.events, i, (long long)wait_ms);
		}
		counter_charge(&record, bytes, cost);
		slow_add(&log, now_ms, cost);
		write_and_read(&record);
	}
}

/* What keeps a counter: use of any window, or a denial for 7 days. */
static void test_alive(void **state)
{
	static const struct {
		const char *name;
		uint64_t charge, denied;
		int64_t after_ms;
		bool alive;
	} cases[] = {
	    {"never used", 0, 0, 0, false},
	    {"used", 1, 0, 0, true},
	    {"used in the day", 1, 0, 2 * HOUR, true},
	    {"used before the longer one", 1, 0, 2 * DAY, false},
	    {"denied", 0, 1, 0, true},
	    {"denied, clock set back", 0, 1, -HOUR, true},
	    {"both", 1, 7, 3 * DAY, true},
	    {"denied, nearly 7 days ago", 0, 1, 7 * DAY - 1, true},
	    {"denied, 7 days ago", 0, 1, 7 * DAY, false},
	    {"denied, 7 days and a second ago", 0, 1, 7 * DAY + SECOND, false},
	    {"both, 7 days ago", 1, 1, 7 * DAY, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases) * COUNT_OF(headers); i++) {
		const char *header = headers[i % 3];
		size_t at = i / 3;
		struct record record;

		new_record(&record, header, bytes);
		counter_advance(&record, START_MS);
		if (cases[at].charge) {
			counter_charge(&record, bytes, cases[at].charge);
		}
		record.denied = cases[at].denied;
		record.denied_s = START_MS / 1000;
		write_and_read(&record);
		counter_advance(&record, START_MS + cases[at].after_ms);
		check(counter_is_alive(&record) == cases[at].alive, "%s: %s, got %d", header,
		    cases[at].name, !cases[at].alive);
	}
}

/* Stamps of a record, and of a moving window's events, that are ahead of the clock. */
static void test_ahead(void **state)
{
	static const int64_t nows_ms[] = {DAY, 0, -1, -1000, -1001, -DAY};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(nows_ms) * 3; i++) {
		const char *header = headers[i % 3];
		int64_t now_ms = START_MS + nows_ms[i / 3];
		struct record record;

		new_record(&record, header, bytes);
		check(!counter_is_ahead(&record, now_ms), "%s: ahead though empty", header);
		counter_advance(&record, START_MS - 2 * DAY);
		counter_charge(&record, bytes, 1);
		counter_advance(&record, START_MS);
		counter_charge(&record, bytes, 1);
		write_and_read(&record);
		/* A fixed window stays where it is. */
		check(counter_is_ahead(&record, now_ms) ==
			(nows_ms[i / 3] < (header[2] == 'f' ? -5 * MINUTE : -1000)),
		    "%s, case %zu: ahead or not", header, i / 3);
		/* The events stay ahead. */
		counter_advance(&record, now_ms);
		check(counter_is_ahead(&record, now_ms) ==
			(header[2] == 'm' && nows_ms[i / 3] < -1000),
		    "%s, case %zu: events ahead or not", header, i / 3);
	}
}

/*
 * What was charged while the clock was years ahead is gone one window after the clock was
 * set right, denials after 7 days.
 */
static void test_set_back(void **state)
{
	static const int64_t ahead_ms[] = {2 * SECOND, HOUR, 20 * DAY, 5 * 365 * DAY};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ahead_ms) * COUNT_OF(headers); i++) {
		const char *header = headers[i % 3];
		struct record record;

		new_record(&record, header, bytes);
		counter_advance(&record, START_MS + ahead_ms[i / 3]);
		counter_charge(&record, bytes, 5);
		counter_deny(&record, (uint8_t[RECORD_CLIENT_BYTES]){0});
		write_and_read(&record);
		counter_advance(&record, START_MS);
		for (unsigned window = 0; window < 2; window++) {
			int64_t length_ms = record.layout.window[window].length_ms;
			int64_t wait_ms = counter_wait(&record, window, 5, 1);

			check(counter_used(&record, window) == 5, "%s: forgotten", header);
			check(wait_ms > 0 && wait_ms <= length_ms + length_ms / 12,
			    "%s, window %u: waits %lld ms", header, window, (long long)wait_ms);
		}
		check(record.denied_s * SECOND <= START_MS + 2 * SECOND &&
			record.denied_first_s <= record.denied_s,
		    "%s: denied in the future", header);
		record_log_clamp(&record, bytes, START_MS);
		write_and_read(&record);
		counter_advance(&record, START_MS + 26 * HOUR);
		check(counter_used(&record, 1) == 0, "%s: stays too long", header);
		check(counter_is_alive(&record), "%s: the denial is gone", header);
		counter_advance(&record, START_MS + 7 * DAY + 2 * SECOND);
		check(!counter_is_alive(&record), "%s: the denial stays", header);
	}
}

/* A calendar window does not end twice because the clock was set back a little. */
static void test_fixed_set_back(void **state)
{
	static const struct {
		int64_t back_ms;
		bool kept[2]; /* in the hour and in the day that has just begun */
	} cases[] = {
	    {1, {true, true}},
	    {2 * SECOND, {true, true}},
	    {5 * MINUTE, {true, true}},
	    {6 * MINUTE, {false, false}},
	    {HOUR, {false, false}},
	};
	const int64_t midnight_ms = START_MS + 14 * HOUR;

	(void)state;
	setenv("TZ", "UTC", 1);
	for (size_t i = 0; i < COUNT_OF(cases) * 2; i++) {
		int64_t back_ms = cases[i / 2].back_ms;
		struct record record;

		new_record(&record, headers[0], bytes);
		counter_advance(&record, midnight_ms);
		counter_charge(&record, bytes, 5);
		write_and_read(&record);
		counter_advance(&record, midnight_ms - back_ms);
		/* Charged or only read, before midnight comes again. */
		if (i % 2) {
			counter_charge(&record, bytes, 1);
			write_and_read(&record);
		}
		check(counter_used(&record, 0) == 5 + i % 2, "back by %lld ms: forgotten",
		    (long long)back_ms);
		counter_advance(&record, midnight_ms);
		for (unsigned window = 0; window < 2; window++) {
			check((counter_used(&record, window) > 0) == cases[i / 2].kept[window],
			    "back by %lld ms, window %u: %llu", (long long)back_ms, window,
			    (unsigned long long)counter_used(&record, window));
		}
		counter_advance(&record, midnight_ms + HOUR);
		check(counter_used(&record, 0) == 0, "the hour does not end");
		counter_advance(&record, midnight_ms + DAY);
		check(counter_used(&record, 1) == 0, "the day does not end");
	}
}

/* The address of the last denial is kept until another denial or a reset. */
static void test_denied_client(void **state)
{
	static const uint8_t none[RECORD_CLIENT_BYTES] = {0};
	static const uint8_t ipv4[RECORD_CLIENT_BYTES] = {
	    [10] = 0xff, 0xff, 192, 0, 2, 10}; /* 192.0.2.10 */
	static const uint8_t ipv6[RECORD_CLIENT_BYTES] = {0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const struct {
		const char *name;
		const uint8_t *client;
	} cases[] = {{"IPv4", ipv4}, {"IPv6", ipv6}, {"unknown", none}, {"IPv4 again", ipv4}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		struct record record;

		new_record(&record, headers[i], bytes);
		for (size_t j = 0; j < COUNT_OF(cases); j++) {
			counter_advance(&record, START_MS + (int64_t)j * HOUR);
			counter_deny(&record, cases[j].client);
			write_and_read(&record);
			/* A charge keeps it. */
			counter_charge(&record, bytes, 1);
			write_and_read(&record);
			check(
			    memcmp(record.denied_client, cases[j].client, RECORD_CLIENT_BYTES) == 0,
			    "%s: %s", headers[i], cases[j].name);
			check(record.denied == j + 1, "%s: %llu denials", headers[i],
			    (unsigned long long)record.denied);
		}
		check(counter_is_used(&record), "%s: used", headers[i]);
		counter_reset(&record);
		write_and_read(&record);
		check(!counter_is_used(&record), "%s: used after a reset", headers[i]);
		check(record.denied == COUNT_OF(cases) && record.denied_first_s == START_MS / 1000,
		    "%s: a reset keeps the denials", headers[i]);
		counter_forget_denials(&record);
		write_and_read(&record);
		check(record.denied == 0 && record.denied_s == 0, "%s: forgotten", headers[i]);
		check(memcmp(record.denied_client, none, RECORD_CLIENT_BYTES) == 0,
		    "%s: the client is forgotten too", headers[i]);
	}
}

/* A window is found by its length; a fixed one by its unit too. */
static void test_window(void **state)
{
	static const struct {
		struct limit_window window;
		int sliding, fixed;
	} cases[] = {
	    {{1, UNIT_HOUR, HOUR}, 0, 0},
	    {{1, UNIT_DAY, DAY}, 1, -1},
	    {{24, UNIT_HOUR, DAY}, 1, 1},
	    {{1, UNIT_WEEK, 7 * DAY}, 2, 2},
	    {{7, UNIT_DAY, 7 * DAY}, 2, -1},
	    {{2, UNIT_DAY, 2 * DAY}, -1, -1},
	};
	struct record record;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		new_record(&record, "3 s12 m8 1h,24h,1w", bytes);
		check(record_layout_window(&record.layout, &cases[i].window) == cases[i].sliding,
		    "sliding %zu", i);
		new_record(&record, "3 f m8 1h,24h,1w", bytes);
		check(record_layout_window(&record.layout, &cases[i].window) == cases[i].fixed,
		    "fixed %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_windows),
	    cmocka_unit_test(test_moving),
	    cmocka_unit_test(test_alive),
	    cmocka_unit_test(test_ahead),
	    cmocka_unit_test(test_set_back),
	    cmocka_unit_test(test_fixed_set_back),
	    cmocka_unit_test(test_denied_client),
	    cmocka_unit_test(test_window),
	};

	setenv("TZ", "UTC", 1);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("counter", tests, NULL, NULL);
}
