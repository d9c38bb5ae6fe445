/*
 * Tests of src/rate.c: sliding and moving windows against a slow log of all events,
 * fixed windows against the calendar.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "count/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DAY INT64_C(86400000)
#define START_MS INT64_C(1700000000000)
#define STEPS 600

static const int64_t unit_ms[] = {1000, 60000, 3600000, DAY, 7 * DAY, 30 * DAY, 365 * DAY};

static const struct limit_window lengths[] = {
    {1, UNIT_SECOND, 1000}, {1, UNIT_MINUTE, 60000}, {1, UNIT_HOUR, 3600000}, {1, UNIT_DAY, DAY}};
static const unsigned resolutions[] = {1, 2, 12, 60};

/* The next moment: mostly soon, sometimes much later, or just when a wait is over. */
static int64_t next_moment(uint64_t *seed, int64_t length_ms, int64_t wait_ms)
{
	switch (random_below(seed, 8)) {
	case 0:
		return (int64_t)random_below(seed, (uint64_t)length_ms * 2);
	case 1:
		return length_ms;
	case 2:
		return wait_ms != WINDOW_NEVER ? wait_ms : 0;
	default:
		return (int64_t)random_below(seed, (uint64_t)length_ms / 8);
	}
}

/* What is used some time after now_ms if nothing is charged meanwhile. */
static uint64_t used_after(
    struct window ring, unsigned resolution, int64_t now_ms, int64_t after_ms)
{
	window_advance(&ring, STRATEGY_SLIDING, resolution, now_ms, now_ms + after_ms);
	return window_used(&ring, STRATEGY_SLIDING, resolution);
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
		check(window_used(&ring, STRATEGY_SLIDING, resolution) >=
			slow_used(&log, length_ms, now_ms),
		    "%s, step %u: less is used than a log has", name, step);
		if (wait_ms == 0) {
			check(window_used(&ring, STRATEGY_SLIDING, resolution) + cost <= limit,
			    "%s, step %u: more than the limit", name, step);
			window_charge(&ring, STRATEGY_SLIDING, resolution, now_ms, cost);
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

	/* Any stretch of the window's length: the fullest ones begin with an event. */
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
 * A clock that is set back: all is kept, leaves no sooner than it would have, later by
 * one sub-bucket at the most, and is gone one window, and one sub-bucket, after that.
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
			window_charge(&plain, STRATEGY_SLIDING, resolution, moment_ms, 1);
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

static struct event slow_event(const void *data, size_t i)
{
	const struct slow_log *log = data;
	struct event event = {log->event[i].at_ms, 7};

	for (size_t j = 0; j < i; j++) {
		event.before += log->event[j].cost;
	}
	return event;
}

/* The clock is set back at times: stamps stand still then, and some lie ahead of it. */
static void test_moving(void **state)
{
	uint64_t seed = random_seed("moving-window", 5551212);

	(void)state;
	for (size_t run = 0; run < 40; run++) {
		int64_t length_ms = lengths[run % 4].length_ms;
		uint64_t limit = 1 + random_below(&seed, 30);
		struct slow_log log = {.events = 0};
		struct event_log fast = {slow_event, &log, 0, 7};
		int64_t now_ms = START_MS, newest_ms = 0, wait_ms = 0, exact_ms;

		check(event_log_wait(&fast, length_ms, now_ms, 5, 6) == WINDOW_NEVER, "never passes");
		for (unsigned step = 0; step < 200; step++) {
			uint64_t cost = 1 + random_below(&seed, limit), used;

			now_ms += next_moment(&seed, length_ms, wait_ms);
			now_ms -= step % 50 == 49 ? next_moment(&seed, length_ms, 0) : 0;
			used = event_log_used(&fast, length_ms, now_ms);
			check(used == slow_used(&log, length_ms, now_ms),
			    "run %zu, step %u: %llu used", run, step, (unsigned long long)used);
			wait_ms = event_log_wait(&fast, length_ms, now_ms, limit, cost);
			exact_ms = slow_wait(&log, length_ms, now_ms, limit, cost);
			check(wait_ms == exact_ms, "run %zu, step %u: waits %lld ms, not %lld", run,
			    step, (long long)wait_ms, (long long)exact_ms);
			/* At times what is refused is charged too, as for count_denied. */
			if (wait_ms == 0 || step % 40 == 0) {
				newest_ms = now_ms > newest_ms ? now_ms : newest_ms;
				slow_add(&log, newest_ms, cost);
				fast.events = log.events;
				fast.total += cost;
			}
		}
	}
}

static void set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static int64_t utc_ms(const char *string)
{
	struct tm tm = {.tm_isdst = 0};
	const char *end = strptime(string, "%Y-%m-%d %H:%M", &tm);

	check(end && !*end, "\"%s\" is no moment", string);
	return timegm(&tm) * INT64_C(1000);
}

#define BERLIN "Europe/Berlin"
#define KOLKATA "Asia/Kolkata"
#define SAO_PAULO "America/Sao_Paulo"
#define HAVANA "America/Havana"
#define BEIRUT "Asia/Beirut"

static void test_fixed(void **state)
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
	    /* Days that begin at 01:00, have 23:00 twice, or 00:00 twice. */
	    {SAO_PAULO, 1, UNIT_DAY, "2018-11-04 02:59", "2018-11-03 03:00", "2018-11-04 03:00"},
	    {SAO_PAULO, 1, UNIT_DAY, "2018-11-04 03:00", "2018-11-04 03:00", "2018-11-05 02:00"},
	    {SAO_PAULO, 1, UNIT_DAY, "2018-02-18 02:30", "2018-02-17 02:00", "2018-02-18 03:00"},
	    {BEIRUT, 1, UNIT_DAY, "2024-03-30 22:00", "2024-03-30 22:00", "2024-03-31 21:00"},
	    {HAVANA, 1, UNIT_DAY, "2024-11-03 05:30", "2024-11-03 04:00", "2024-11-04 05:00"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct window window = {.window = {cases[i].n, cases[i].unit, 0}};
		int64_t start_ms = utc_ms(cases[i].start), end_ms = utc_ms(cases[i].end);
		int64_t now_ms = utc_ms(cases[i].now) + 30500, late_ms;
		char name[64];

		snprintf(name, sizeof(name), "%s, %u of unit %d, %s", cases[i].zone, cases[i].n,
		    cases[i].unit, cases[i].now);
		set_zone(cases[i].zone);
		window.window.length_ms = cases[i].n * unit_ms[cases[i].unit];
		late_ms = calendar_start_of(&window.window, now_ms) - start_ms;
		check(late_ms == 0, "%s: starts %lld ms late", name, (long long)late_ms);
		late_ms = calendar_end_of(&window.window, now_ms) - end_ms;
		check(late_ms == 0, "%s: ends %lld ms late", name, (long long)late_ms);

		/* What was counted stays to the end, through a clock that is set back too. */
		window_charge(&window, STRATEGY_FIXED, 0, start_ms, 5);
		check(window_wait(&window, STRATEGY_FIXED, 0, now_ms, 5, 1) == end_ms - now_ms &&
			window_wait(&window, STRATEGY_FIXED, 0, now_ms, 6, 1) == 0 &&
			window_wait(&window, STRATEGY_FIXED, 0, now_ms, 5, 6) == WINDOW_NEVER,
		    "%s: wrong wait", name);
		window_advance(&window, STRATEGY_FIXED, 0, start_ms, end_ms - 1);
		window_advance(&window, STRATEGY_FIXED, 0, end_ms - 1, start_ms - 1);
		window_advance(&window, STRATEGY_FIXED, 0, start_ms, now_ms);
		window_charge(&window, STRATEGY_FIXED, 0, now_ms, 2);
		check(window_used(&window, STRATEGY_FIXED, 0) == 7, "%s: not kept", name);
		window_advance(&window, STRATEGY_FIXED, 0, end_ms - 1, end_ms);
		check(window_used(&window, STRATEGY_FIXED, 0) == 0, "%s: kept too long", name);
	}
}

/* Each moment is in one window; where one ends the next begins, on the right day. */
static void test_fixed_windows_meet(void **state)
{
	static const char *const zones[] = {"UTC", BERLIN, KOLKATA, SAO_PAULO, HAVANA, BEIRUT};
	static const unsigned numbers[] = {1, 1, 2, 3, 7, 30};
	uint64_t seed = random_seed("fixed-window", 314159);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(zones) * 4000; i++) {
		struct limit_window window = {.n = numbers[i % 6], .unit = i % 7};
		/* 1990 to 2037, and each fifth in the days around a change in Sao Paulo. */
		int64_t now_ms = i % 5 ? (int64_t)random_below(&seed, 48 * 365 * DAY) + 7305 * DAY
				       : (int64_t)random_below(&seed, 3 * DAY) + 17838 * DAY;
		int64_t start, end;
		struct tm tm;
		char name[64];

		if (i % 4000 == 0) {
			set_zone(zones[i / 4000]);
		}
		snprintf(name, sizeof(name), "%s, %u of unit %d, %lld", zones[i / 4000], window.n,
		    window.unit, (long long)now_ms);
		window.length_ms = window.n * unit_ms[window.unit];
		start = calendar_start_of(&window, now_ms);
		end = calendar_end_of(&window, now_ms);
		check(start <= now_ms && now_ms < end, "%s: not within", name);
		check(calendar_start_of(&window, end) == end, "%s: the next starts elsewhere", name);
		check(calendar_start_of(&window, end - 1) == start, "%s: ends elsewhere", name);
		check(calendar_end_of(&window, start) == end, "%s: the start is outside", name);
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
	    cmocka_unit_test(test_sliding),
	    cmocka_unit_test(test_sliding_set_back),
	    cmocka_unit_test(test_moving),
	    cmocka_unit_test(test_fixed),
	    cmocka_unit_test(test_fixed_windows_meet),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
