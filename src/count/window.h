/*
 * Window arithmetic: how much of a limit is used at a moment, whether more
 * fits, and when it will. Pure: no clock, no file; the time is an argument, in
 * milliseconds since the epoch, and no function minds if it goes backwards.
 *
 * fixed-window   one number, for the calendar window that the last event fell in.
 * sliding-window a ring of resolution + 1 sub-buckets, numbered from the epoch,
 *                the oldest counted whole: never more than the limit in any
 *                stretch of the window's length; a refusal may last up to
 *                length/resolution longer than an exact log's.
 * moving-window  a log of every event: exact.
 *
 * An event at time t is in a window of length L until, but not at, t + L.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef WINDOW_H
#define WINDOW_H

#include "count/limit.h"

#include <stddef.h>
#include <stdint.h>

enum strategy { STRATEGY_FIXED, STRATEGY_SLIDING, STRATEGY_MOVING };

#define WINDOW_RESOLUTION_MAX 60
#define EVENT_LOG_MAX 10000
#define WINDOW_NEVER INT64_MAX

/* A fixed or sliding window. A fixed one uses bucket[0] alone. */
struct window {
	struct limit_window window;
	uint64_t bucket[WINDOW_RESOLUTION_MAX + 1];
};

/* Whether a counter of one window is one of the other: calendar windows must also end together. */
bool window_same(
    enum strategy strategy, const struct limit_window *a, const struct limit_window *b);

/*
 * Brings a window whose last event was at from_ms to the time to_ms: what has
 * left it is cleared. If the clock was set back (to_ms < from_ms) the ring is
 * turned back with it, every bucket keeping its age, or getting up to one sub-bucket
 * younger: nothing is forgotten or leaves too soon, and nothing stays longer than one
 * window and a sub-bucket from now.
 */
void window_advance(struct window *window, enum strategy strategy, unsigned resolution,
    int64_t from_ms, int64_t to_ms);

/* The three below are for a window that window_advance has brought to now_ms. */

uint64_t window_used(
    const struct window *window, enum strategy strategy, unsigned resolution);

void window_charge(struct window *window, enum strategy strategy, unsigned resolution,
    int64_t now_ms, uint64_t cost);

/* Milliseconds until used + cost <= limit: 0 = now, WINDOW_NEVER if cost > limit. */
int64_t window_wait(const struct window *window, enum strategy strategy,
    unsigned resolution, int64_t now_ms, uint64_t limit, uint64_t cost);

/* First millisecond of the calendar window, in local time, that now_ms is in, or of the next. */
int64_t calendar_start_of(const struct limit_window *window, int64_t now_ms);
int64_t calendar_end_of(const struct limit_window *window, int64_t now_ms);

/* An event of a moving window, and the sum of the costs of all events before it. */
struct event {
	int64_t stamp_ms;
	uint64_t before;
};

/*
 * The log of a moving window: at(data, 0) is the oldest of its events, stamps
 * never fall; total is the sum of the costs of all events ever.
 */
struct event_log {
	struct event (*at)(const void *data, size_t i);
	const void *data;
	size_t events;
	uint64_t total;
};

/* As window_used and window_wait. Time: O(log events). */
uint64_t event_log_used(const struct event_log *log, int64_t length_ms, int64_t now_ms);
int64_t event_log_wait(
    const struct event_log *log, int64_t length_ms, int64_t now_ms, uint64_t limit, uint64_t cost);

#endif
