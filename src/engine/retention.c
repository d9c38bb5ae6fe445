/*
 * What the store has to know about counters and exceptions: see retention.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/retention.h"

#include "count/counter.h"
#include "engine/exception.h"

/* How long a counter is kept for the sake of the transactions that it remembers. */
#define TRANSACTION_MS (600 * 1000)

static bool keep(const char *key, size_t key_length, char *data, size_t size, int64_t now_ms)
{
	struct exception exception;
	struct record record;
	struct error error;
	size_t length;

	if (exception_counter_key(key, key_length, &length)) {
		return exception_is_newer(data, size) ||
		    (exception_read(&exception, data, size, &error) == 0 &&
			exception_prune(&exception, now_ms / 1000));
	}
	if (record_read(&record, data, size, &error)) {
		return record_is_newer(data, size);
	}
	/* After the clock was set back it would be kept until the clock comes there again. */
	if (counter_is_ahead(&record, now_ms)) {
		record_log_clamp(&record, data, now_ms);
		counter_advance(&record, now_ms);
		record_write(&record, data);
	}
	/* A transaction that is still open may come back and must not be charged again. */
	if (now_ms - record.stamp_ms < TRANSACTION_MS) {
		return true;
	}
	counter_advance(&record, now_ms);
	return counter_is_alive(&record);
}

static bool repair(const char *key, size_t key_length, char *data, size_t size)
{
	struct exception exception;
	struct record record;
	struct error error;
	size_t length;

	if (exception_counter_key(key, key_length, &length)) {
		return exception_read(&exception, data, size, &error) == 0 ||
		    exception_is_newer(data, size);
	}
	if (record_is_newer(data, size)) {
		return true;
	}
	if (record_read(&record, data, size, &error)) {
		return false;
	}
	if (record.layout.strategy == STRATEGY_MOVING && record_log_repair(&record)) {
		record_write(&record, data);
	}
	return true;
}

static bool newer(const char *a, size_t a_size, const char *b, size_t b_size)
{
	struct exception a_exception, b_exception;
	struct record a_record, b_record;
	struct error error;

	/* What can't be read was written by a later version, and is taken for the later one. */
	if (exception_read(&b_exception, b, b_size, &error) == 0) {
		return exception_read(&a_exception, a, a_size, &error) ||
		    a_exception.changed_ms > b_exception.changed_ms;
	}
	return record_read(&b_record, b, b_size, &error) == 0 &&
	    (record_read(&a_record, a, a_size, &error) || record_is_later(&a_record, &b_record));
}

const struct store_codec retention_codec = {.repair = repair, .newer = newer, .keep = keep};
