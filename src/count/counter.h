/*
 * A counter at a moment: what is used of its windows, whether more fits, and what a charge
 * or a denial changes. The same for all strategies. Pure.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef COUNTER_H
#define COUNTER_H

#include "count/record.h"

#include <stdbool.h>
#include <stdint.h>

/* How long a counter with denials is kept after the last one. */
#define COUNTER_KEEP_DENIED_S (7 * 86400)

/*
 * Brings the record to now_ms. With fixed windows it stays where it is if the clock was set
 * back a little. The functions below, except counter_is_ahead, expect a record that was
 * brought to now.
 */
void counter_advance(struct record *record, int64_t now_ms);

/*
 * For a record as it was read: whether it, or an event of its log, is more than a second
 * ahead of the clock. Such a record must be written again, after record_log_clamp if it has a
 * log; otherwise it would stay ahead until the clock has caught up.
 */
bool counter_is_ahead(const struct record *record, int64_t now_ms);

/* What is used of the window with that index, at record->stamp_ms. */
uint64_t counter_used(const struct record *record, unsigned window);

/* Milliseconds until used + cost <= limit: 0 = now, WINDOW_NEVER if cost > limit. */
int64_t counter_wait(const struct record *record, unsigned window, uint64_t limit, uint64_t cost);

/* Charges all windows; bytes as for record_log_add. */
void counter_charge(struct record *record, char *bytes, uint64_t cost);

/* Whether what was charged at at_ms is part of what is used of the window with that index. */
bool counter_counts(const struct record *record, unsigned window, int64_t at_ms);

/*
 * Takes back up to amount of what was charged at at_ms from all windows that still count it. A
 * moving window's record must then be written as a whole: see record_log_take.
 */
void counter_take_back(struct record *record, char *bytes, int64_t at_ms, uint64_t amount);

/*
 * Counts a denial, of a client as in record->denied_client. After COUNTER_KEEP_DENIED_S without
 * one the number starts again at 1.
 */
void counter_deny(struct record *record, const uint8_t client[RECORD_CLIENT_BYTES]);

/*
 * Empties the counter; its denials stay. Transactions keep what they were charged, but no longer
 * count as paid.
 */
void counter_reset(struct record *record);

void counter_forget_denials(struct record *record);

/* Whether anything is used of a window. */
bool counter_is_used(const struct record *record);

/* Whether a window is used, or there were denials within COUNTER_KEEP_DENIED_S. */
bool counter_is_alive(const struct record *record);

#endif
