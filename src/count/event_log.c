/*
 * The log of a moving window: see event_log.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/event_log.h"

#include "count/window.h"

/* Index of the first event that is still in the window; log->events if none is. */
static size_t first_within(const struct event_log *log, int64_t length_ms, int64_t now_ms)
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
	size_t first = first_within(log, length_ms, now_ms);

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
	low = first_within(log, length_ms, now_ms);
	if (low == high || log->total - log->at(log->data, low).before <= limit - cost) {
		return 0;
	}
	/* Find the first event that may stay. There is room when the one before it leaves. */
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
