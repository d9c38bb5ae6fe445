/*
 * A record's state in another layout: see record_migrate in record.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/record.h"

#include "count/counter.h"

#include <string.h>

/* Copies the newest events of the old log, as many as the new one has room for. */
static void convert_log(const struct record *old, struct record *record, char *bytes)
{
	size_t room = record->layout.events - 1;
	size_t first = old->log_events > room ? old->log_events - room : 0;
	uint64_t before = old->log_events > 0 ? record_event(old, 0).before : 0;

	/* The oldest that is kept gets the cost of those that are not. */
	for (size_t i = first; i < old->log_events; i++) {
		struct event event = record_event(old, i);
		uint64_t after =
		    i + 1 < old->log_events ? record_event(old, i + 1).before : old->log_total;

		record_log_add(record, bytes, event.stamp_ms, after - before);
		before = after;
	}
}

/* Index of the longest window that is shorter than that; -1 if there is none. */
static int next_shorter(const struct record_layout *layout, int64_t longer_ms)
{
	int64_t longest_ms = 0;
	int found = -1;

	for (unsigned i = 0; i < layout->windows; i++) {
		int64_t length_ms = layout->window[i].length_ms;

		if (length_ms < longer_ms && length_ms > longest_ms) {
			longest_ms = length_ms;
			found = (int)i;
		}
	}
	return found;
}

/*
 * Makes events that fill each window as the old record's windows were: what a longer window has
 * more than the next shorter one came before the shorter one began.
 */
static void convert_to_log(const struct record *old, struct record *record, char *bytes)
{
	const struct limit_window *window = old->layout.window;

	for (int i = next_shorter(&old->layout, INT64_MAX), next; i >= 0; i = next) {
		uint64_t used = counter_used(old, (unsigned)i), newer;

		next = next_shorter(&old->layout, window[i].length_ms);
		newer = next >= 0 ? counter_used(old, (unsigned)next) : 0;
		if (used > newer) {
			record_log_add(record, bytes,
			    old->stamp_ms - (next >= 0 ? window[next].length_ms : 0), used - newer);
		}
	}
}

static void convert_windows(const struct record *old, struct record *record)
{
	const struct record_layout *layout = &record->layout;
	bool same_buckets = old->layout.strategy == layout->strategy &&
	    old->layout.resolution == layout->resolution;

	for (unsigned i = 0; i < layout->windows; i++) {
		for (unsigned j = 0; j < old->layout.windows; j++) {
			if (!window_same(same_buckets ? layout->strategy : STRATEGY_SLIDING,
				&old->layout.window[j], &layout->window[i])) {
				continue;
			}
			record->warned[i] = old->warned[j];
			if (same_buckets) {
				memcpy(record->window[i].bucket, old->window[j].bucket,
				    sizeof(record->window[i].bucket));
			} else {
				window_charge(&record->window[i], counter_used(old, j));
			}
		}
	}
}

/* Of the windows of a moving window: warnings that were given are not given again. */
static void copy_warnings(const struct record *old, struct record *record)
{
	for (unsigned i = 0; i < old->layout.windows; i++) {
		int window = record_layout_window(&record->layout, &old->layout.window[i]);

		if (window >= 0) {
			record->warned[window] = old->warned[i];
		}
	}
}

void record_migrate(const struct record *old, struct record *record, char *bytes)
{
	record->stamp_ms = old->stamp_ms;
	record->denied = old->denied;
	record->denied_first_s = old->denied_first_s;
	record->denied_s = old->denied_s;
	memcpy(record->denied_client, old->denied_client, sizeof(record->denied_client));
	record->exception = old->exception;
	if (old->layout.count != record->layout.count) {
		return;
	}
	record_migrate_transactions(old, record);
	if (record->layout.strategy != STRATEGY_MOVING) {
		convert_windows(old, record);
		return;
	}
	copy_warnings(old, record);
	if (old->layout.strategy == STRATEGY_MOVING) {
		convert_log(old, record, bytes);
	} else {
		convert_to_log(old, record, bytes);
	}
}
