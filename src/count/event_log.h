/*
 * Searches the log of a moving window: every event is remembered, so what is used is exact.
 * Pure; the time is an argument.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef EVENT_LOG_H
#define EVENT_LOG_H

#include <stddef.h>
#include <stdint.h>

#define EVENT_LOG_MAX 10000 /* the largest limit of a moving window */

/* An event, and the sum of the costs of all events before it. */
struct event {
	int64_t stamp_ms;
	uint64_t before;
};

/*
 * A log, wherever it is stored: at(data, 0) is the oldest event; stamps never fall. total is
 * the sum of the costs of all events ever.
 */
struct event_log {
	struct event (*at)(const void *data, size_t i);
	const void *data;
	size_t events;
	uint64_t total;
};

/* What is used of a window of length_ms at now_ms. Time: O(log events). */
uint64_t event_log_used(const struct event_log *log, int64_t length_ms, int64_t now_ms);

/*
 * Milliseconds until used + cost <= limit: 0 = now, WINDOW_NEVER (window.h) if cost > limit.
 * Time: O(log events).
 */
int64_t event_log_wait(
    const struct event_log *log, int64_t length_ms, int64_t now_ms, uint64_t limit, uint64_t cost);

#endif
