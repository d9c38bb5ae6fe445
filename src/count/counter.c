/*
 * A counter at a moment: see counter.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/counter.h"

#include <string.h>

#define AHEAD_TOLERATED_MS 1000
/* A step back of at most this fraction of the shortest window leaves fixed windows alone. */
#define STAYS_SHARE 12

/*
 * Whether the clock was set back so little that the record stays where it is. Otherwise a
 * calendar window that has just ended would end a second time.
 */
static bool stays(const struct record *record, int64_t now_ms)
{
	const struct record_layout *layout = &record->layout;
	int64_t back_ms = record->stamp_ms - now_ms;

	for (unsigned i = 0; i < layout->windows; i++) {
		if (back_ms > layout->window[i].length_ms / STAYS_SHARE) {
			return false;
		}
	}
	return layout->strategy == STRATEGY_FIXED && back_ms > 0;
}

void counter_advance(struct record *record, int64_t now_ms)
{
	const struct record_layout *layout = &record->layout;

	if (stays(record, now_ms)) {
		return;
	}
	for (unsigned i = 0; layout->strategy != STRATEGY_MOVING && i < layout->windows; i++) {
		window_advance(&record->window[i], layout->strategy, layout->resolution,
		    record->stamp_ms, now_ms);
	}
	record->stamp_ms = now_ms;
	if (record->denied_s > now_ms / 1000) {
		record->denied_s = now_ms / 1000;
	}
	if (record->denied_first_s > record->denied_s) {
		record->denied_first_s = record->denied_s;
	}
}

bool counter_is_ahead(const struct record *record, int64_t now_ms)
{
	return (record->stamp_ms > now_ms + AHEAD_TOLERATED_MS && !stays(record, now_ms)) ||
	    (record->log_events > 0 &&
		record_event(record, record->log_events - 1).stamp_ms >
		    now_ms + AHEAD_TOLERATED_MS);
}

uint64_t counter_used(const struct record *record, unsigned window)
{
	const struct record_layout *layout = &record->layout;

	if (layout->strategy == STRATEGY_MOVING) {
		return record_log_used(record, layout->window[window].length_ms);
	}
	return window_used(&record->window[window], layout->resolution);
}

int64_t counter_wait(const struct record *record, unsigned window, uint64_t limit, uint64_t cost)
{
	const struct record_layout *layout = &record->layout;

	if (layout->strategy == STRATEGY_MOVING) {
		int64_t length_ms = layout->window[window].length_ms;
		int64_t wait_ms = record_log_wait(record, length_ms, limit, cost);

		/* The next request sets events in the future to now. */
		return wait_ms != WINDOW_NEVER && wait_ms > length_ms ? length_ms : wait_ms;
	}
	return window_wait(&record->window[window], layout->strategy, layout->resolution,
	    record->stamp_ms, limit, cost);
}

void counter_charge(struct record *record, char *bytes, uint64_t cost)
{
	const struct record_layout *layout = &record->layout;

	if (layout->strategy == STRATEGY_MOVING) {
		record_log_add(record, bytes, record->stamp_ms, cost);
		return;
	}
	for (unsigned i = 0; i < layout->windows; i++) {
		window_charge(&record->window[i], cost);
	}
}

bool counter_counts(const struct record *record, unsigned window, int64_t at_ms)
{
	const struct record_layout *layout = &record->layout;

	if (layout->strategy == STRATEGY_MOVING) {
		return at_ms > record->stamp_ms - layout->window[window].length_ms;
	}
	return window_bucket(&record->window[window], layout->strategy, layout->resolution,
		   record->stamp_ms, at_ms) >= 0;
}

void counter_take_back(struct record *record, char *bytes, int64_t at_ms, uint64_t amount)
{
	const struct record_layout *layout = &record->layout;

	if (layout->strategy == STRATEGY_MOVING) {
		record_log_take(record, bytes, at_ms, amount);
		return;
	}
	for (unsigned i = 0; i < layout->windows; i++) {
		struct window *window = &record->window[i];
		int at = window_bucket(
		    window, layout->strategy, layout->resolution, record->stamp_ms, at_ms);

		if (at >= 0) {
			window->bucket[at] -=
			    amount < window->bucket[at] ? amount : window->bucket[at];
		}
	}
}

void counter_deny(struct record *record, const uint8_t client[RECORD_CLIENT_BYTES])
{
	int64_t now_s = record->stamp_ms / 1000;

	if (record->denied == 0 || now_s - record->denied_s >= COUNTER_KEEP_DENIED_S) {
		record->denied = 0;
		record->denied_first_s = now_s;
	}
	record->denied++;
	record->denied_s = now_s;
	memcpy(record->denied_client, client, sizeof(record->denied_client));
}

void counter_reset(struct record *record)
{
	for (unsigned i = 0; i < record->layout.windows; i++) {
		memset(record->window[i].bucket, 0, sizeof(record->window[i].bucket));
	}
	record->log_events = 0;
	record->log_total = 0;
	record_forget_payments(record);
}

void counter_forget_denials(struct record *record)
{
	record->denied = 0;
	record->denied_first_s = 0;
	record->denied_s = 0;
	memset(record->denied_client, 0, sizeof(record->denied_client));
}

bool counter_is_used(const struct record *record)
{
	for (unsigned i = 0; i < record->layout.windows; i++) {
		if (counter_used(record, i) > 0) {
			return true;
		}
	}
	return false;
}

bool counter_is_alive(const struct record *record)
{
	return counter_is_used(record) ||
	    (record->denied > 0 &&
		record->stamp_ms / 1000 - record->denied_s < COUNTER_KEEP_DENIED_S);
}
