/*
 * Calendar windows in local time: a minute, an hour, a day from midnight, a week from Monday,
 * a month from the 1st, a year from January 1st. Windows of several units are counted from
 * the epoch. Pure, but for the time zone, which is the process's.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CALENDAR_H
#define CALENDAR_H

#include "count/limit.h"

#include <stdint.h>

/*
 * The first millisecond, since the epoch, of the calendar window that now_ms is in, and of
 * the window after it. When clocks change, a day lasts 23 or 25 hours; an hour may be shorter, if
 * they change by a part of one, but never longer.
 */
int64_t calendar_start(const struct limit_window *window, int64_t now_ms);
int64_t calendar_end(const struct limit_window *window, int64_t now_ms);

#endif
