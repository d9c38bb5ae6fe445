/*
 * Window arithmetic of the three strategies: see rate.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/window.h"

#include <string.h>
#include <time.h>

static int64_t divide_down(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/*
 * The sub-bucket of a moment. Boundaries are at multiples of length/resolution,
 * kept as fractions, so that exactly `resolution` buckets make a window.
 */
static int64_t bucket_number(const struct limit_window *window, unsigned resolution, int64_t ms)
{
	return divide_down(ms * (int64_t)resolution, window->length_ms);
}

/* First millisecond of a sub-bucket. */
static int64_t bucket_start(const struct limit_window *window, unsigned resolution, int64_t number)
{
	return -divide_down(-number * window->length_ms, (int64_t)resolution);
}

static size_t ring_index(int64_t number, unsigned size)
{
	int64_t index = number % (int64_t)size;

	return (size_t)(index < 0 ? index + (int64_t)size : index);
}

/*
 * Turns the ring back by whole sub-buckets, no more than the clock was: none leaves sooner
 * than it would have. What would still lie ahead comes into the newest.
 */
static void turn_ring_back(
    uint64_t *ring, unsigned size, int64_t from, int64_t to, int64_t shift)
{
	uint64_t turned[WINDOW_RESOLUTION_MAX + 1] = {0};

	for (unsigned age = 0; age < size; age++) {
		int64_t number = from - age - shift;

		turned[ring_index(number < to ? number : to, size)] +=
		    ring[ring_index(from - age, size)];
	}
	memcpy(ring, turned, size * sizeof(*ring));
}

bool window_same(
    enum strategy strategy, const struct limit_window *a, const struct limit_window *b)
{
	return strategy == STRATEGY_FIXED ? a->n == b->n && a->unit == b->unit
				      : a->length_ms == b->length_ms;
}

void window_advance(struct window *window, enum strategy strategy, unsigned resolution,
    int64_t from_ms, int64_t to_ms)
{
	unsigned size = resolution + 1;
	int64_t from, to;

	if (strategy == STRATEGY_FIXED) {
		if (to_ms > from_ms && from_ms < calendar_start_of(&window->window, to_ms)) {
			window->bucket[0] = 0;
		}
		return;
	}
	from = bucket_number(&window->window, resolution, from_ms);
	to = bucket_number(&window->window, resolution, to_ms);
	if (to < from) {
		turn_ring_back(window->bucket, size, from, to,
		    bucket_number(&window->window, resolution, from_ms - to_ms));
	} else if (to - from >= size) {
		memset(window->bucket, 0, size * sizeof(*window->bucket));
	} else {
		for (int64_t number = from + 1; number <= to; number++) {
			window->bucket[ring_index(number, size)] = 0;
		}
	}
}

uint64_t window_used(
    const struct window *window, enum strategy strategy, unsigned resolution)
{
	uint64_t sum = window->bucket[0];

	for (unsigned i = 1; strategy == STRATEGY_SLIDING && i <= resolution; i++) {
		sum += window->bucket[i];
	}
	return sum;
}

void window_charge(struct window *window, enum strategy strategy, unsigned resolution,
    int64_t now_ms, uint64_t cost)
{
	size_t i = strategy == STRATEGY_FIXED
	    ? 0
	    : ring_index(bucket_number(&window->window, resolution, now_ms), resolution + 1);

	window->bucket[i] += cost;
}

int64_t window_wait(const struct window *window, enum strategy strategy,
    unsigned resolution, int64_t now_ms, uint64_t limit, uint64_t cost)
{
	uint64_t used = window_used(window, strategy, resolution);
	int64_t number;

	if (cost > limit) {
		return WINDOW_NEVER;
	}
	if (used <= limit - cost) {
		return 0;
	}
	if (strategy == STRATEGY_FIXED) {
		return calendar_end_of(&window->window, now_ms) - now_ms;
	}
	number = bucket_number(&window->window, resolution, now_ms) - resolution;
	for (;; number++) {
		used -= window->bucket[ring_index(number, resolution + 1)];
		if (used <= limit - cost) {
			break;
		}
	}
	return bucket_start(&window->window, resolution, number + resolution + 1) - now_ms;
}

/* Seconds by which local time is ahead of UTC at a moment. */
static int64_t utc_offset(int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

/*
 * The moment at which local clocks show this midnight, given as if it were UTC.
 * Where they show it twice the first; where they skip it, the moment of the skip.
 */
static int64_t local_midnight(int64_t as_utc)
{
	int64_t early = as_utc - utc_offset(as_utc - 86400);
	int64_t late = as_utc - utc_offset(as_utc + 86400);
	int64_t first = early < late ? early : late;
	int64_t last = early < late ? late : early;

	return first + utc_offset(first) == as_utc ? first : last;
}

/*
 * The number of the window of n days, weeks, months or years that the local date
 * is in, counted from 1970 (weeks from the Monday before), and its first day.
 */
static int64_t calendar_number(const struct limit_window *window, const struct tm *date)
{
	struct tm midnight = {
	    .tm_year = date->tm_year, .tm_mon = date->tm_mon, .tm_mday = date->tm_mday};
	int64_t day = divide_down(timegm(&midnight), 86400);
	int64_t units;

	switch (window->unit) {
	case UNIT_YEAR:
		units = date->tm_year - 70;
		break;
	case UNIT_MONTH:
		units = (int64_t)(date->tm_year - 70) * 12 + date->tm_mon;
		break;
	case UNIT_WEEK:
		units = divide_down(day + 3, 7);
		break;
	default:
		units = day;
	}
	return divide_down(units, window->n);
}

static int64_t calendar_start(const struct limit_window *window, int64_t number)
{
	struct tm date = {.tm_year = 70, .tm_mday = 1};
	int units = (int)(number * window->n);

	switch (window->unit) {
	case UNIT_YEAR:
		date.tm_year += units;
		break;
	case UNIT_MONTH:
		date.tm_mon += units;
		break;
	case UNIT_WEEK:
		date.tm_mday += units * 7 - 3;
		break;
	default:
		date.tm_mday += units;
	}
	return local_midnight(timegm(&date)) * 1000;
}

static int64_t fixed_boundary(const struct limit_window *window, int64_t now_ms, int64_t next)
{
	time_t now = (time_t)divide_down(now_ms, 1000);
	struct tm tm;
	int64_t start;

	if (!localtime_r(&now, &tm)) {
		return divide_down(now_ms, window->length_ms) * window->length_ms +
		    next * window->length_ms;
	}
	if (window->unit >= UNIT_DAY) {
		return calendar_start(window, calendar_number(window, &tm) + next);
	}
	if (window->unit == UNIT_HOUR && window->n == 1) {
		/* Not every zone is whole hours from UTC. */
		start = (now - tm.tm_min * 60 - tm.tm_sec) * INT64_C(1000);
	} else {
		start = divide_down(now_ms, window->length_ms) * window->length_ms;
	}
	return start + next * window->length_ms;
}

int64_t calendar_start_of(const struct limit_window *window, int64_t now_ms)
{
	return fixed_boundary(window, now_ms, 0);
}

int64_t calendar_end_of(const struct limit_window *window, int64_t now_ms)
{
	return fixed_boundary(window, now_ms, 1);
}

/* Index of the first event that is still in the window; log->events if none is. */
static size_t log_first(const struct event_log *log, int64_t length_ms, int64_t now_ms)
{
	size_t low = 0, high = log->events;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (log->at(log->data, middle).stamp_ms <= now_ms - length_ms) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

uint64_t event_log_used(const struct event_log *log, int64_t length_ms, int64_t now_ms)
{
	size_t first = log_first(log, length_ms, now_ms);

	return first < log->events ? log->total - log->at(log->data, first).before : 0;
}

int64_t event_log_wait(
    const struct event_log *log, int64_t length_ms, int64_t now_ms, uint64_t limit, uint64_t cost)
{
	size_t low, high = log->events;
	int64_t wait_ms;

	if (cost > limit) {
		return WINDOW_NEVER;
	}
	low = log_first(log, length_ms, now_ms);
	if (low == high || log->total - log->at(log->data, low).before <= limit - cost) {
		return 0;
	}
	/* The first event that may stay: all before it have to leave, the last of them last. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (log->total - log->at(log->data, middle).before > limit - cost) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	wait_ms = log->at(log->data, low - 1).stamp_ms + length_ms - now_ms;
	return wait_ms > 0 ? wait_ms : 0;
}
