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

static size_t ring_place(int64_t number, unsigned size)
{
	int64_t index = number % (int64_t)size;

	return (size_t)(index < 0 ? index + (int64_t)size : index);
}

/*
 * Turns the ring back by whole sub-buckets, by no more than the clock was set back: nothing
 * leaves sooner than it would have. What would still be in the future goes into the newest.
 */
static void turn_ring_back(uint64_t *ring, unsigned size, int64_t from, int64_t to, int64_t shift)
{
	uint64_t turned[WINDOW_RESOLUTION_MAX + 1] = {0};

	for (unsigned age = 0; age < size; age++) {
		int64_t number = from - age - shift;

		turned[ring_place(number < to ? number : to, size)] +=
		    ring[ring_place(from - age, size)];
	}
	memcpy(ring, turned, size * sizeof(*ring));
}

bool window_same(enum strategy strategy, const struct limit_window *a, const struct limit_window *b)
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
		if (to_ms > from_ms && from_ms < calendar_start(&window->window, to_ms)) {
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
			window->bucket[ring_place(number, size)] = 0;
		}
	}
}

uint64_t window_used(const struct window *window, enum strategy strategy, unsigned resolution)
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
	    : ring_place(bucket_number(&window->window, resolution, now_ms), resolution + 1);

	window->bucket[i] += cost;
}

int64_t window_wait(const struct window *window, enum strategy strategy, unsigned resolution,
    int64_t now_ms, uint64_t limit, uint64_t cost)
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
		return calendar_end(&window->window, now_ms) - now_ms;
	}
	number = bucket_number(&window->window, resolution, now_ms) - resolution;
	for (;; number++) {
		used -= window->bucket[ring_place(number, resolution + 1)];
		if (used <= limit - cost) {
			break;
		}
	}
	return bucket_start(&window->window, resolution, number + resolution + 1) - now_ms;
}
