/*
 * Arithmetic of windows that are counted in buckets: what is used of a window, whether more
 * fits, and when it will. Pure: the time is an argument, in milliseconds since the epoch, and
 * may go backwards.
 *
 * fixed-window   one bucket, for the calendar window of the last event.
 * sliding-window resolution + 1 sub-buckets whose boundaries are counted from the epoch; the
 *                oldest counts in full: never more than the limit in any stretch of the
 *                window's length; a denial may last up to length/resolution longer than an
 *                exact log's.
 * moving-window  an exact log of events; see record_log_used in record.h.
 *
 * An event at time t is in a window of length L until, but not at, t + L.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef WINDOW_H
#define WINDOW_H

#include "count/limit.h"

#include <stdbool.h>
#include <stdint.h>

enum strategy { STRATEGY_FIXED, STRATEGY_SLIDING, STRATEGY_MOVING };

#define WINDOW_RESOLUTION_MAX 60
#define WINDOW_NEVER INT64_MAX

/*
 * A fixed or sliding window. bucket[age] is what was charged in the sub-bucket of that age,
 * 0 the newest; a fixed window has bucket[0] only, and resolution 0 in the functions below.
 */
struct window {
	struct limit_window window;
	uint64_t bucket[WINDOW_RESOLUTION_MAX + 1];
};

/*
 * Whether a counter of window a also counts for window b: their lengths are the same; calendar
 * windows must have the same unit.
 */
bool window_same(
    enum strategy strategy, const struct limit_window *a, const struct limit_window *b);

/*
 * Brings a window whose last event was at from_ms to the time to_ms: what has left it is
 * cleared. If the clock was set back (to_ms < from_ms), each bucket keeps its age or gets
 * younger by one: nothing is forgotten or leaves too soon, and nothing stays longer than a
 * window and a sub-bucket from now.
 */
void window_advance(struct window *window, enum strategy strategy, unsigned resolution,
    int64_t from_ms, int64_t to_ms);

/*
 * For a window that window_advance has brought to now_ms: index of the bucket that has what was
 * charged at at_ms; -1 if that has left the window.
 */
int window_bucket(const struct window *window, enum strategy strategy, unsigned resolution,
    int64_t now_ms, int64_t at_ms);

/* What is used of a window that window_advance has brought to now. */
uint64_t window_used(const struct window *window, unsigned resolution);

/* Adds cost to a window that window_advance has brought to now. */
void window_charge(struct window *window, uint64_t cost);

/*
 * For a window that window_advance has brought to now_ms: milliseconds until
 * used + cost <= limit; 0 = now, WINDOW_NEVER if cost > limit.
 */
int64_t window_wait(const struct window *window, enum strategy strategy, unsigned resolution,
    int64_t now_ms, uint64_t limit, uint64_t cost);

#endif
