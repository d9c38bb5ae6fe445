/*
 * Tests of src/count/window.c: sliding windows against a slow log of all events, fixed
 * windows against the calendar.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "count/calendar.h"
#include "count/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DAY INT64_C(86400000)
#define START_MS INT64_C(1700000000000)
#define STEPS 600

static const struct limit_window lengths[] = {
    {1, UNIT_SECOND, 1000}, {1, UNIT_MINUTE, 60000}, {1, UNIT_HOUR, 3600000}, {1, UNIT_DAY, DAY}};
static const unsigned resolutions[] = {1, 2, 12, 60};

/* What is used some time after now_ms if nothing is charged meanwhile. */
static uint64_t used_after(
    struct window ring, unsigned resolution, int64_t now_ms, int64_t after_ms)
{
	window_advance(&ring, STRATEGY_SLIDING, resolution, now_ms, now_ms + after_ms);
	return window_used(&ring, resolution);
}

static void run_sliding(const struct limit_window *window, unsigned resolution, uint64_t *seed)
{
	int64_t length_ms = window->length_ms;
	int64_t late_ms = (length_ms + resolution - 1) / resolution;
	uint64_t limit = 1 + random_below(seed, 30);
	int64_t now_ms = START_MS + (int64_t)random_below(seed, DAY);
	struct window ring = {.window = *window};
	struct slow_log log = {.events = 0};
	int64_t from_ms = 0, wait_ms = 0, exact_ms;
	char name[64];

	snprintf(name, sizeof(name), "%llu in %lld ms, resolution %u", (unsigned long long)limit,
	    (long long)length_ms, resolution);
	for (unsigned step = 0; step < STEPS; step++, from_ms = now_ms) {
		uint64_t cost = 1 + random_below(seed, step % 4 ? limit / 4 + 1 : limit + 1);

		now_ms += step ? next_moment(seed, length_ms, wait_ms) : 0;
		window_advance(&ring, STRATEGY_SLIDING, resolution, from_ms, now_ms);
		wait_ms = window_wait(&ring, STRATEGY_SLIDING, resolution, now_ms, limit, cost);
		check(window_used(&ring, resolution) >= slow_used(&log, length_ms, now_ms),
		    "%s, step %u: less is used than a log has", name, step);
		if (wait_ms == 0) {
			check(window_used(&ring, resolution) + cost <= limit,
			    "%s, step %u: more than the limit", name, step);
			window_charge(&ring, cost);
			slow_add(&log, now_ms, cost);
		} else if (cost > limit) {
			check(wait_ms == WINDOW_NEVER, "%s, step %u: never passes", name, step);
		} else {
			exact_ms = slow_wait(&log, length_ms, now_ms, limit, cost);
			check(wait_ms > 0 && wait_ms <= exact_ms + late_ms,
			    "%s, step %u: waits %lld ms, a log %lld", name, step,
			    (long long)wait_ms, (long long)exact_ms);
			check(used_after(ring, resolution, now_ms, wait_ms - 1) + cost > limit &&
				used_after(ring, resolution, now_ms, wait_ms) + cost <= limit,
			    "%s, step %u: not just after %lld ms", name, step, (long long)wait_ms);
		}
	}
	check(log.events > 20, "%s: no more than %zu events passed", name, log.events);

	/* Any stretch of the window's length: the fullest stretches begin with an event. */
	for (size_t i = 0; i < log.events; i++) {
		uint64_t sum = 0;

		for (size_t j = i;
		     j < log.events && log.event[j].at_ms < log.event[i].at_ms + length_ms; j++) {
			sum += log.event[j].cost;
		}
		check(sum <= limit, "%s: %llu from event %zu on", name, (unsigned long long)sum, i);
	}
}

static void test_sliding(void **state)
{
	uint64_t seed = random_seed("sliding-window", 987654321);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lengths) * COUNT_OF(resolutions); i++) {
		run_sliding(&lengths[i / 4], resolutions[i % 4], &seed);
	}
}

/*
 * When the clock is set back nothing is lost, nothing leaves sooner than it would have, or
 * more than one sub-bucket later, and all is gone a window and a sub-bucket afterwards.
 */
static void test_sliding_set_back(void **state)
{
	uint64_t seed = random_seed("clock set back", 192837465);

	(void)state;
	for (size_t i = 0; i < 1600; i++) {
		unsigned resolution = resolutions[i / 4 % 4];
		struct window plain = {.window = lengths[i % 4]}, back;
		int64_t length_ms = plain.window.length_ms;
		int64_t late_ms = (length_ms + resolution - 1) / resolution;
		const int64_t back_ms[] = {1, late_ms, length_ms - 1, length_ms, 400 * DAY,
		    (int64_t)random_below(&seed, (uint64_t)length_ms * 3) + 1};
		int64_t at_ms = START_MS + (int64_t)random_below(&seed, DAY);
		int64_t before_ms = at_ms - back_ms[i / 16 % 6];
		struct slow_log log = {.events = 0};
		char name[64];

		snprintf(name, sizeof(name), "%lld ms, resolution %u, back by %lld",
		    (long long)length_ms, resolution, (long long)back_ms[i / 16 % 6]);
		/* Events with less and less time between them, the last at at_ms. */
		for (int64_t age_ms = length_ms, past_ms = 0; age_ms > 0; age_ms /= 2) {
			int64_t moment_ms = at_ms - age_ms;

			window_advance(&plain, STRATEGY_SLIDING, resolution, past_ms, moment_ms);
			window_charge(&plain, 1);
			slow_add(&log, moment_ms, 1);
			past_ms = moment_ms;
		}
		window_advance(&plain, STRATEGY_SLIDING, resolution, at_ms - 1, at_ms);
		back = plain;
		window_advance(&back, STRATEGY_SLIDING, resolution, at_ms, before_ms);
		for (int64_t after_ms = 0; after_ms <= length_ms; after_ms += late_ms) {
			int64_t sooner_ms =
			    after_ms - (after_ms > late_ms ? 2 * late_ms : after_ms);
			uint64_t used = used_after(back, resolution, before_ms, after_ms);

			check(used >= slow_used(&log, length_ms, at_ms + after_ms),
			    "%s: %llu after %lld ms, less than a log has", name,
			    (unsigned long long)used, (long long)after_ms);
			check(used <= used_after(plain, resolution, at_ms, sooner_ms),
			    "%s: %llu after %lld ms stay too long", name, (unsigned long long)used,
			    (long long)after_ms);
		}
		check(used_after(back, resolution, before_ms, length_ms + late_ms) == 0,
		    "%s: stays too long", name);
	}
}

/* What was counted stays to the end of its window, even if the clock is set back meanwhile. */
static void test_fixed(void **state)
{
	static const char *const zones[] = {"UTC", "Europe/Berlin", "America/Havana"};
	uint64_t seed = random_seed("fixed windows", 271828);

	(void)state;
	for (size_t i = 0; i < 3 * 500; i++) {
		struct window window = {.window = lengths[i % COUNT_OF(lengths)]};
		int64_t now_ms = START_MS + (int64_t)random_below(&seed, 366 * DAY);
		int64_t start_ms, end_ms;

		setenv("TZ", zones[i / 500], 1);
		tzset();
		start_ms = calendar_start(&window.window, now_ms);
		end_ms = calendar_end(&window.window, now_ms);
		window_charge(&window, 5);
		check(window_wait(&window, STRATEGY_FIXED, 0, now_ms, 5, 1) == end_ms - now_ms &&
			window_wait(&window, STRATEGY_FIXED, 0, now_ms, 6, 1) == 0 &&
			window_wait(&window, STRATEGY_FIXED, 0, now_ms, 5, 6) == WINDOW_NEVER,
		    "%s, %lld: wrong wait", zones[i / 500], (long long)now_ms);
		window_advance(&window, STRATEGY_FIXED, 0, start_ms, end_ms - 1);
		window_advance(&window, STRATEGY_FIXED, 0, end_ms - 1, start_ms - 1);
		window_advance(&window, STRATEGY_FIXED, 0, start_ms, now_ms);
		window_charge(&window, 2);
		check(window_used(&window, 0) == 7, "%s, %lld: not kept", zones[i / 500],
		    (long long)now_ms);
		window_advance(&window, STRATEGY_FIXED, 0, end_ms - 1, end_ms);
		check(window_used(&window, 0) == 0, "%s, %lld: kept too long", zones[i / 500],
		    (long long)now_ms);
	}
}

/* Calendar windows of the same length may end at different times. */
static void test_same(void **state)
{
	const struct limit_window day = {1, UNIT_DAY, DAY}, hours = {24, UNIT_HOUR, DAY};
	const struct limit_window week = {1, UNIT_WEEK, 7 * DAY};

	(void)state;
	check(window_same(STRATEGY_SLIDING, &day, &hours), "sliding, a day and 24 hours");
	check(window_same(STRATEGY_MOVING, &day, &hours), "moving, a day and 24 hours");
	check(!window_same(STRATEGY_FIXED, &day, &hours), "fixed, a day and 24 hours");
	check(window_same(STRATEGY_FIXED, &day, &day), "fixed, a day");
	check(!window_same(STRATEGY_SLIDING, &day, &week), "a day and a week");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sliding),
	    cmocka_unit_test(test_sliding_set_back),
	    cmocka_unit_test(test_fixed),
	    cmocka_unit_test(test_same),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
