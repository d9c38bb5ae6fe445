/*
 * Tests of src/count/record_log.c: a moving window against a slow log of all events.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "count/record.h"

#define DAY INT64_C(86400000)
#define START_MS INT64_C(1700000000000)

static const int64_t lengths_ms[] = {1000, 60000, 3600000, DAY};

/*
 * The clock is sometimes set back: then stamps stand still, and some are in the future.
 */
static void test_moving(void **state)
{
	static char bytes[8192];
	uint64_t seed = random_seed("moving-window", 5551212);

	(void)state;
	for (size_t run = 0; run < 40; run++) {
		int64_t length_ms = lengths_ms[run % 4];
		uint64_t limit = 1 + random_below(&seed, 30);
		struct slow_log log = {.events = 0};
		int64_t now_ms = START_MS, newest_ms = 0, wait_ms = 0, exact_ms;
		struct record record;

		new_record(&record, "2 m300 m8 1h", bytes);
		check(record_log_wait(&record, length_ms, 5, 6) == WINDOW_NEVER, "never passes");
		for (unsigned step = 0; step < 200; step++) {
			uint64_t cost = 1 + random_below(&seed, limit), used;

			now_ms += next_moment(&seed, length_ms, wait_ms);
			now_ms -= step % 50 == 49 ? next_moment(&seed, length_ms, 0) : 0;
			record.stamp_ms = now_ms;
			used = record_log_used(&record, length_ms);
			check(used == slow_used(&log, length_ms, now_ms),
			    "run %zu, step %u: %llu used", run, step, (unsigned long long)used);
			wait_ms = record_log_wait(&record, length_ms, limit, cost);
			exact_ms = slow_wait(&log, length_ms, now_ms, limit, cost);
			check(wait_ms == exact_ms, "run %zu, step %u: waits %lld ms, not %lld", run,
			    step, (long long)wait_ms, (long long)exact_ms);
			/* Sometimes what is denied is charged too, as with count_denied. */
			if (wait_ms == 0 || step % 40 == 0) {
				newest_ms = now_ms > newest_ms ? now_ms : newest_ms;
				slow_add(&log, newest_ms, cost);
				record_log_add(&record, bytes, now_ms, cost);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_moving),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("record_log", tests, NULL, NULL);
}
