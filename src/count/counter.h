/*
 * A record at a moment: what is used of its windows, what fits, what a charge
 * makes of it; the same questions for all three strategies. Pure.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef COUNTER_H
#define COUNTER_H

#include "count/record.h"

#include <stdbool.h>
#include <stdint.h>

/* How long a counter with refusals is kept after the last one. */
#define COUNTER_KEEP_DENIED_S (7 * 86400)

/* A step back of no more than this part of the shortest window does not move fixed windows. */
#define COUNTER_STAYS_SHARE 12

/*
 * Brings the record to now_ms; one of a fixed window stays where it is if the clock was set
 * back by a little. The functions below are for a record that was brought there.
 */
void counter_advance(struct record *record, int64_t now_ms);

/*
 * Of a record as it is in the file: whether the clock was set back behind its last change.
 * It has to be written then, a moving window after record_log_clamp, lest it stays there
 * until the clock comes there again. A second is no matter: events then stay that longer.
 */
bool counter_is_ahead(const struct record *record, int64_t now_ms);

/* What is used of the window with that index, at record->stamp_ms. */
uint64_t counter_used(const struct record *record, unsigned window);

/* Milliseconds until cost more fit into limit; 0, WINDOW_NEVER: see window_wait. */
int64_t counter_wait(const struct record *record, unsigned window, uint64_t limit, uint64_t cost);

/* Charges all windows; bytes as for record_log_add. */
void counter_charge(struct record *record, char *bytes, uint64_t cost);

/* Counts a refusal; after COUNTER_KEEP_DENIED_S without one the number starts anew. */
void counter_deny(struct record *record);

/* Empties the counter, refusals included; what is known of transactions stays. */
void counter_reset(struct record *record);

/* Index of that window; -1 if the record has none. */
int counter_window(const struct record *record, const struct limit_window *window);

/* Whether anything in the record still matters. */
bool counter_is_alive(const struct record *record);

#endif
