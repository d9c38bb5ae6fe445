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
static int rebuild_record(struct candidate *candidate, unsigned transactions,
    struct store_txn *txn, struct store_item *item, struct error *error)
{
	struct record_layout layout = candidate->effective->layout;
	struct record *record = &candidate->record;
	struct record old = *record;
	size_t old_size = item->size, size;
	char *bytes;

	if (layout.transactions < transactions) {
		layout.transactions = transactions;
	}
	size = record_size(&layout);
	bytes = malloc(size);
	/* This keeps the bytes that the item has, which old may point to. */
	if (!bytes || store_txn_resize(txn, item, size > old_size ? size : old_size)) {
		free(bytes);
		return error_no_memory(error);
	}
	old.log_bytes = item->data;
	record_init(record, &layout);
	record_write_new(record, bytes);
	if (old_size > 0) {
		record_migrate(&old, record, bytes);
		record_log_clamp(record, bytes, store_txn_now_ms(txn));
	}
	item->size = size;
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
	    rebuild_record(candidate, item->size > 0 ? record->layout.transactions : 0, txn, item,
		error)) {
		return -1;
	}
	candidate->bytes = item->data;
	record->exception = candidate->kept;
	counter_advance(record, now_ms);
	return 0;
}

int candidate_grow(struct candidate *candidate, struct store_txn *txn, struct store_item *item)
{
	unsigned transactions = 2 * candidate->record.layout.transactions;
	struct error error;

	if (transactions > RECORD_TRANSACTIONS_MAX) {
		transactions = RECORD_TRANSACTIONS_MAX;
	}
	if (rebuild_record(candidate, transactions, txn, item, &error)) {
		return -1;
	}
	candidate->bytes = item->data;
	return 0;
}
