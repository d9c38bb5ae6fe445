/*
 * The log of a moving window's record, a ring of events: see record.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/record.h"

#include "count/record_codec.h"

/* The largest cost of an event: still over any limit, and the sum of a full log stays in range. */
static uint64_t cost_max(const struct record_layout *layout)
{
	return count_max(layout) / layout->events;
}

/* Offset of event i in the record's bytes. */
static size_t offset_of(const struct record *record, size_t i)
{
	uint64_t events = record->layout.events;

	return event_offset(record, (record->log_head + events - record->log_events + i) % events);
}

struct event record_event(const struct record *record, size_t i)
{
	const char *p = record->log_bytes + offset_of(record, i);
	struct event event;

	event.stamp_ms = (int64_t)base64_get(&p, WIDTH_STAMP);
	event.before = base64_get(&p, count_width(&record->layout));
	/* The total wraps around; the differences are right. */
	event.before =
	    record->log_total - ((record->log_total - event.before) & count_max(&record->layout));
	return event;
}

/*
 * Index of the first event after stamp_ms that, with all later ones, costs at most that much;
 * record->log_events if there is none.
 */
static size_t find_event(const struct record *record, int64_t stamp_ms, uint64_t most)
{
	size_t low = 0, high = record->log_events;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct event event = record_event(record, middle);

		if (event.stamp_ms <= stamp_ms || record->log_total - event.before > most) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

uint64_t record_log_used(const struct record *record, int64_t length_ms)
{
	size_t first = find_event(record, record->stamp_ms - length_ms, UINT64_MAX);

	return first < record->log_events ? record->log_total - record_event(record, first).before
					  : 0;
}

int64_t record_log_wait(
    const struct record *record, int64_t length_ms, uint64_t limit, uint64_t cost)
{
	size_t first;
	int64_t wait_ms;

	if (cost > limit) {
		return WINDOW_NEVER;
	}
	/* There is room when the event before the first that may stay has left the window. */
	first = find_event(record, INT64_MIN, limit - cost);
	if (first == 0) {
		return 0;
	}
	wait_ms = record_event(record, first - 1).stamp_ms + length_ms - record->stamp_ms;
	return wait_ms > 0 ? wait_ms : 0;
}

void record_log_add(struct record *record, char *bytes, int64_t now_ms, uint64_t cost)
{
	char *p = bytes + event_offset(record, record->log_head);

	cost = cost < cost_max(&record->layout) ? cost : cost_max(&record->layout);
	/* A time before 1970 can't be written. */
	now_ms = now_ms > 0 ? now_ms : 0;
	/* Stamps never fall: if the clock was set back, time stands still for a while. */
	if (record->log_events > 0) {
		int64_t newest_ms = record_event(record, record->log_events - 1).stamp_ms;

		now_ms = now_ms < newest_ms ? newest_ms : now_ms;
	}
	base64_put(&p, WIDTH_STAMP, (uint64_t)now_ms);
	base64_put(&p, count_width(&record->layout), record->log_total);
	record->log_total = (record->log_total + cost) & count_max(&record->layout);
	record->log_head = (record->log_head + 1) % record->layout.events;
	/* One place stays unused: it may hold the newest event of the other slot. */
	if (record->log_events < record->layout.events - 1) {
		record->log_events++;
	}
}

void record_log_take(struct record *record, char *bytes, int64_t at_ms, uint64_t amount)
{
	uint64_t places = record->layout.events, total = record->log_total;
	uint64_t first = (record->log_head + places - record->log_events) % places;
	uint64_t before = record->log_events > 0 ? record_event(record, 0).before : total;
	uint64_t running = before, kept = 0;

	/* Each event is read before its place, or one in front of it, is written. */
	for (size_t i = 0; i < record->log_events; i++) {
		struct event event = record_event(record, i);
		uint64_t after =
		    i + 1 < record->log_events ? record_event(record, i + 1).before : total;
		uint64_t cost = after - event.before;

		if (event.stamp_ms == at_ms) {
			uint64_t taken = cost < amount ? cost : amount;

			cost -= taken;
			amount -= taken;
		}
		if (cost > 0) {
			char *p = bytes + event_offset(record, (first + kept++) % places);

			base64_put(&p, WIDTH_STAMP, (uint64_t)event.stamp_ms);
			base64_put(&p, count_width(&record->layout),
			    running & count_max(&record->layout));
			running += cost;
		}
	}
	record->log_bytes = bytes;
	record->log_events = kept;
	record->log_head = (first + kept) % places;
	record->log_total = running & count_max(&record->layout);
}

bool record_log_repair(struct record *record)
{
	uint64_t younger = 0;
	int64_t stamp_ms = INT64_MAX;

	/* From the newest, which the slot's checksum covers, to the oldest. */
	for (size_t good = 0; good < record->log_events; good++) {
		struct event event = record_event(record, record->log_events - 1 - good);
		uint64_t sum = record->log_total - event.before;

		if (event.stamp_ms > stamp_ms || sum < younger ||
		    sum - younger > cost_max(&record->layout)) {
			record->log_events = good;
			return true;
		}
		stamp_ms = event.stamp_ms;
		younger = sum;
	}
	return false;
}

void record_log_clamp(struct record *record, char *bytes, int64_t now_ms)
{
	for (size_t i = record->log_events; i-- > 0;) {
		char *p = bytes + offset_of(record, i);

		if (record_event(record, i).stamp_ms <= now_ms) {
			break;
		}
		base64_put(&p, WIDTH_STAMP, (uint64_t)now_ms);
	}
}
