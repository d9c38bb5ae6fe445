/*
 * The log of a moving window's record, a ring of events: see record.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/record.h"

#include "count/record_codec.h"

static uint64_t event_position(const struct record *record, size_t i)
{
	uint64_t events = record->layout.events;

	return (record->log_head + events - record->log_used + i) % events;
}

static struct event log_at(const void *data, size_t i)
{
	const struct record *record = data;
	const char *p = event_at(record, (char *)record->log_bytes, event_position(record, i));
	struct event event;

	event.stamp_ms = (int64_t)base64_get(&p, WIDTH_STAMP);
	event.before = base64_get(&p, count_width(&record->layout));
	/* The total wraps around; the differences are right. */
	event.before =
	    record->log_total - ((record->log_total - event.before) & count_max(&record->layout));
	return event;
}

struct event_log record_log(const struct record *record)
{
	return (struct event_log){log_at, record, record->log_used, record->log_total};
}

void record_log_add(struct record *record, char *bytes, int64_t now_ms, uint64_t cost)
{
	char *p = event_at(record, bytes, record->log_head);
	uint64_t most = count_max(&record->layout) / record->layout.events;

	/* Still over any limit of a moving window, and the sum of a full log stays in range. */
	cost = cost < most ? cost : most;
	/* A time before 1970 can't be written. */
	now_ms = now_ms > 0 ? now_ms : 0;
	/* Stamps never fall: if the clock was set back, time stands still for a while. */
	if (record->log_used > 0) {
		int64_t newest_ms = log_at(record, record->log_used - 1).stamp_ms;

		now_ms = now_ms < newest_ms ? newest_ms : now_ms;
	}
	base64_put(&p, WIDTH_STAMP, (uint64_t)now_ms);
	base64_put(&p, count_width(&record->layout), record->log_total);
	record->log_total = (record->log_total + cost) & count_max(&record->layout);
	record->log_head = (record->log_head + 1) % record->layout.events;
	/* One place stays unused: it may hold the newest event of the other slot. */
	if (record->log_used < record->layout.events - 1) {
		record->log_used++;
	}
}

void record_log_forget(struct record *record)
{
	record->log_used = 0;
	record->log_total = 0;
}

bool record_log_repair(struct record *record)
{
	uint64_t most = count_max(&record->layout) / record->layout.events;
	uint64_t younger = 0;
	int64_t stamp_ms = INT64_MAX;
	size_t good = 0;

	/* From the newest, which the slot's checksum covers, to the oldest. */
	while (good < record->log_used) {
		struct event event = log_at(record, record->log_used - 1 - good);
		uint64_t sum = record->log_total - event.before;

		if (event.stamp_ms > stamp_ms || sum < younger || sum - younger > most) {
			record->log_used = good;
			return true;
		}
		stamp_ms = event.stamp_ms;
		younger = sum;
		good++;
	}
	return false;
}

void record_log_clamp(struct record *record, char *bytes, int64_t now_ms)
{
	for (size_t i = record->log_used; i-- > 0;) {
		char *p = event_at(record, bytes, event_position(record, i));

		if (log_at(record, i).stamp_ms <= now_ms) {
			break;
		}
		base64_put(&p, WIDTH_STAMP, (uint64_t)now_ms);
	}
}
