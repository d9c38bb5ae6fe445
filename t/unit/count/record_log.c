/*
 * Tests of src/count/record_log.c: a moving window against a slow log of all events.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "count/record.h"

#define DAY INT64_C(86400000)
#define START_MS INT64_C(1700000000000)
#define HOUR INT64_C(3600000)

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

		new_record(&record, "3 m300 m8 1h", bytes);
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

/* What is taken back is gone from every window, and nothing else is. */
static void test_take(void **state)
{
	static char bytes[8192];
	uint64_t seed = random_seed("taken back", 27182818);

	(void)state;
	for (size_t run = 0; run < 200; run++) {
		struct slow_log log = {.events = 0};
		int64_t now_ms = START_MS;
		struct record record;

		new_record(&record, run % 2 ? "3 m300 m8 1h" : "3 m12 m8 1h", bytes);
		for (unsigned step = 0; step < 30; step++) {
			size_t first = run % 2 || log.events < 11 ? 0 : log.events - 11;
			uint64_t cost = 1 + random_below(&seed, 5), amount, rest;
			int64_t at_ms;

			now_ms += (int64_t)random_below(&seed, 3) * 60000;
			record.stamp_ms = now_ms;
			slow_add(&log, now_ms, cost);
			record_log_add(&record, bytes, now_ms, cost);
			if (random_below(&seed, 3) > 0) {
				continue;
			}
			/* Of events that a short log still has. */
			at_ms = log.event[first + random_below(&seed, log.events - first)].at_ms;
			amount = rest = random_below(&seed, 12);
			record_log_take(&record, bytes, at_ms, amount);
			for (size_t i = 0; i < log.events; i++) {
				uint64_t *own = &log.event[i].cost;
				uint64_t taken = *own < rest ? *own : rest;

				if (log.event[i].at_ms == at_ms && (run % 2 || i >= first)) {
					*own -= taken;
					rest -= taken;
				}
			}
			for (int64_t ms = 60000; run % 2 && ms <= HOUR; ms += 60000) {
				uint64_t used = record_log_used(&record, ms);

				check(used == slow_used(&log, ms, now_ms),
				    "run %zu, step %u: %llu used of %lld ms", run, step,
				    (unsigned long long)used, (long long)ms);
			}
			record_write(&record, bytes);
			check(!record_log_repair(&record), "run %zu, step %u: no log", run, step);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_moving),
	    cmocka_unit_test(test_take),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("record_log", tests, NULL, NULL);
}
