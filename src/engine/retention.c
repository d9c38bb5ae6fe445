/*
 * What a rewrite of the counter file keeps, and what a salvage takes for sound: see judge.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/exception.h"
#include "base/clock.h"
#include "count/counter.h"
#include "engine/judge.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* How long a counter is kept for the sake of the transactions that it remembers. */
#define TRANSACTION_MS (600 * 1000)

/*
 * Sets a record right that was changed after now: left alone it would be kept until the clock
 * comes there again. The caller's bytes are not ours to change.
 */
static void set_right(struct retention *keeping, int64_t now_ms, struct record *record,
    const char **bytes, size_t size)
{
	struct error error;
	char *buffer;

	if (keeping->room < size) {
		buffer = realloc(keeping->buffer, size);
		if (!buffer) {
			return;
		}
		keeping->buffer = buffer;
		keeping->room = size;
	}
	memcpy(keeping->buffer, *bytes, size);
	record_read(record, keeping->buffer, size, &error);
	record_log_clamp(record, keeping->buffer, now_ms);
	counter_advance(record, now_ms);
	record_write(record, keeping->buffer);
	*bytes = keeping->buffer;
}

bool retention_keep(void *data, const char *key, size_t key_length, const char **bytes, size_t *size)
{
	struct retention *keeping = data;
	struct exception exception;
	struct record record;
	struct error error;
	size_t length;

	if (keeping->now_ms == 0) {
		keeping->now_ms = clock_now_ms();
	}
	if (exception_counter_key(key, key_length, &length)) {
		return exception_is_newer(*bytes, *size) ||
		    (exception_read(&exception, *bytes, *size, &error) == 0 &&
			exception_prune(&exception, keeping->now_ms / 1000));
	}
	if (record_read(&record, *bytes, *size, &error)) {
		return record_is_newer(*bytes, *size);
	}
	/* What was charged since the rewrite began is later, but not ahead of the clock. */
	if (counter_is_ahead(&record, keeping->now_ms)) {
		keeping->now_ms = clock_now_ms();
	}
	if (counter_is_ahead(&record, keeping->now_ms)) {
		set_right(keeping, keeping->now_ms, &record, bytes, *size);
	}
	/* A transaction that is still open may come back and must not be charged again. */
	if (keeping->now_ms - record.stamp_ms < TRANSACTION_MS) {
		return true;
	}
	counter_advance(&record, keeping->now_ms);
	return counter_is_alive(&record);
}

static bool mend(const char *key, size_t key_length, char *bytes, size_t size)
{
	struct exception exception;
	struct record record;
	struct error error;
	size_t length;

	if (exception_counter_key(key, key_length, &length)) {
		return exception_read(&exception, bytes, size, &error) == 0 ||
		    exception_is_newer(bytes, size);
	}
	if (record_is_newer(bytes, size)) {
		return true;
	}
	if (record_read(&record, bytes, size, &error)) {
		return false;
	}
	if (record.layout.strategy == STRATEGY_MOVING && record_log_repair(&record)) {
		record_write(&record, bytes);
	}
	return true;
}

static bool newer(const char *a, size_t a_size, const char *b, size_t b_size)
{
	struct exception a_exception, b_exception;
	struct record a_record, b_record;
	struct error error;

	if (exception_read(&a_exception, a, a_size, &error) == 0 &&
	    exception_read(&b_exception, b, b_size, &error) == 0) {
		return a_exception.changed_ms > b_exception.changed_ms;
	}
	if (record_read(&b_record, b, b_size, &error)) {
		/* A later version's, whose time nobody here can read. */
		return false;
	}
	return record_read(&a_record, a, a_size, &error) || record_is_later(&a_record, &b_record);
}

const struct store_salvage retention_salvage = {mend, newer};
