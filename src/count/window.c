/*
 * Arithmetic of fixed and sliding windows: see window.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/window.h"

#include "base/number.h"
#include "count/calendar.h"

#include <string.h>

/*
 * The number of the sub-bucket that a moment is in. Boundaries are at exact multiples of
 * length/resolution, not at rounded ones, so that `resolution` buckets make a window.
 */
static int64_t bucket_number(const struct limit_window *window, unsigned resolution, int64_t ms)
{
	return number_divide_down(ms * (int64_t)resolution, window->length_ms);
}

/* First millisecond of a sub-bucket. */
static int64_t bucket_start(const struct limit_window *window, unsigned resolution, int64_t number)
{
	return -number_divide_down(-number * window->length_ms, (int64_t)resolution);
}

bool window_same(enum strategy strategy, const struct limit_window *a, const struct limit_window *b)
{
	return strategy == STRATEGY_FIXED ? a->n == b->n && a->unit == b->unit
					  : a->length_ms == b->length_ms;
}

void window_advance(struct window *window, enum strategy strategy, unsigned resolution,
    int64_t from_ms, int64_t to_ms)
{
	uint64_t *bucket = window->bucket;
	size_t size = resolution + 1;
	int64_t steps;

	if (strategy == STRATEGY_FIXED) {
		if (to_ms > from_ms && from_ms < calendar_start(&window->window, to_ms)) {
			bucket[0] = 0;
		}
		return;
	}
	steps = bucket_number(&window->window, resolution, to_ms) -
	    bucket_number(&window->window, resolution, from_ms);
	if (steps >= (int64_t)size) {
		memset(bucket, 0, size * sizeof(*bucket));
	} else if (steps > 0) {
		memmove(bucket + steps, bucket, (size - (size_t)steps) * sizeof(*bucket));
		memset(bucket, 0, (size_t)steps * sizeof(*bucket));
	} else if (steps < 0 &&
	    -steps > bucket_number(&window->window, resolution, from_ms - to_ms)) {
		/* The clock moved by a fraction of a sub-bucket more than whole ones. */
		bucket[1] += bucket[0];
		memmove(bucket, bucket + 1, (size - 1) * sizeof(*bucket));
		bucket[size - 1] = 0;
	}
}

int window_bucket(const struct window *window, enum strategy strategy, unsigned resolution,
    int64_t now_ms, int64_t at_ms)
{
	int64_t age;

	if (strategy == STRATEGY_FIXED) {
		return at_ms >= calendar_start(&window->window, now_ms) ? 0 : -1;
	}
	age = bucket_number(&window->window, resolution, now_ms) -
	    bucket_number(&window->window, resolution, at_ms);
	return age > (int64_t)resolution ? -1 : age > 0 ? (int)age : 0;
}

uint64_t window_used(const struct window *window, unsigned resolution)
{
	uint64_t sum = 0;

	for (unsigned age = 0; age <= resolution; age++) {
		sum += window->bucket[age];
	}
	return sum;
}

void window_charge(struct window *window, uint64_t cost)
{
	window->bucket[0] += cost;
}

int64_t window_wait(const struct window *window, enum strategy strategy, unsigned resolution,
    int64_t now_ms, uint64_t limit, uint64_t cost)
{
	uint64_t used = window_used(window, resolution);
	unsigned age = resolution;
	int64_t number;

	if (cost > limit) {
		return WINDOW_NEVER;
	}
	if (used <= limit - cost) {
		return 0;
	}
	if (strategy == STRATEGY_FIXED) {
		return calendar_end(&window->window, now_ms) - now_ms;
	}
	/* The oldest leaves first. Without the newest, age 0, nothing is used. */
	while (used - window->bucket[age] > limit - cost) {
		used -= window->bucket[age];
		age--;
	}
	number = bucket_number(&window->window, resolution, now_ms) - age + resolution + 1;
	return bucket_start(&window->window, resolution, number) - now_ms;
}
