/*
 * A rule that applies to a request: see candidate.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/candidate.h"

#include "count/counter.h"

#include <stdlib.h>
#include <string.h>

/* Finds what holds for the key. An exception that does not fit the configuration is ignored. */
static void find_effective(
    struct candidate *candidate, struct effective_limits *limits, struct store_txn *txn)
{
	const struct request_key *key = &candidate->key;
	const struct effective *with;
	struct error error;

	candidate->allowed = effective_limits_find_exception(
	    txn, key->text, key->length, &candidate->exception, &candidate->kept);
	if (candidate->allowed) {
		with = effective_limits_with(
		    limits, candidate->rule, candidate->effective, &candidate->exception, &error);
		candidate->effective = with ? with : candidate->effective;
	}
}

/* Builds the record of another layout, or with other stamps, which replaces the old one. */
static int rebuild_record(struct candidate *candidate, struct store_txn *txn,
    struct store_item *item, struct error *error)
{
	struct record *record = &candidate->record;
	struct record old = *record;
	size_t size = candidate->effective->initial_size;
	char *bytes = malloc(size);

	if (!bytes) {
		return error_no_memory(error);
	}
	record_init(record, &candidate->effective->layout);
	record_write_new(record, bytes);
	if (item->size > 0) {
		record_migrate(&old, record, bytes);
		record_log_clamp(record, bytes, store_txn_now_ms(txn));
	}
	if (store_txn_resize(txn, item, size)) {
		free(bytes);
		return error_no_memory(error);
	}
	memcpy(item->data, bytes, size);
	free(bytes);
	record_write(record, item->data);
	candidate->rebuilt = true;
	return 0;
}

int candidate_open(struct candidate *candidate, struct effective_limits *limits,
    struct store_txn *txn, struct store_item *item, struct error *error)
{
	struct record *record = &candidate->record;
	int64_t now_ms = store_txn_now_ms(txn);

	candidate->effective = candidate->file;
	candidate->allowed = candidate->kept = candidate->ahead = candidate->rebuilt = false;
	if ((item->exists || item->size > 0) &&
	    record_read_again(record, item->data, item->size, error)) {
		return -1;
	}
	if (!item->exists || record->exception) {
		find_effective(candidate, limits, txn);
	}
	if (candidate->effective->layout.windows == 0) {
		record_init(record, &candidate->effective->layout);
		return 0;
	}
	candidate->ahead = item->exists && counter_is_ahead(record, now_ms);
	/* An absent record appears with its initial bytes, which tell of no exception. */
	if ((item->size == 0 ||
		!record_layout_same(&record->layout, &candidate->effective->layout) ||
		(candidate->ahead && record->layout.strategy == STRATEGY_MOVING) ||
		(!item->exists && candidate->kept)) &&
	    rebuild_record(candidate, txn, item, error)) {
		return -1;
	}
	candidate->bytes = item->data;
	record->exception = candidate->kept;
	counter_advance(record, now_ms);
	return 0;
}
