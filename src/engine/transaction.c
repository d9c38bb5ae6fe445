/*
 * What is known of a mail transaction: see transaction.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/transaction.h"

#include "count/counter.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 64

struct transaction_memo {
	uint64_t connection;
	uint64_t instance;
	size_t entries;
	struct entry {
		enum limit_count count;
		struct record_transaction transaction;
		size_t length;
		char key[sizeof(((struct request_key *)0)->text)];
	} entry[ENTRIES_MAX];
};

struct transaction_memo *transaction_memo_new(uint64_t connection)
{
	struct transaction_memo *memo = malloc(sizeof(*memo));

	/* Not all of it: most processes never use more than its first entries. */
	if (memo) {
		memo->connection = connection & RECORD_CONNECTION_MASK;
		memo->instance = 0;
		memo->entries = 0;
	}
	return memo;
}

void transaction_memo_free(struct transaction_memo *memo)
{
	free(memo);
}

static struct entry *find_entry(struct transaction_memo *memo, const struct request_key *key)
{
	for (size_t i = 0; i < memo->entries; i++) {
		struct entry *entry = &memo->entry[i];

		if (entry->length == key->length &&
		    memcmp(entry->key, key->text, key->length) == 0) {
			return entry;
		}
	}
	return NULL;
}

bool transaction_find(struct transaction_memo *memo, const struct request_key *key,
    const struct record *record, uint64_t instance, struct record_transaction *transaction)
{
	const struct entry *entry =
	    memo && instance && memo->instance == instance ? find_entry(memo, key) : NULL;
	bool found = instance && record_transaction(record, instance, transaction);

	/* The memo may be of a configuration that counted something else. */
	if (!found && entry && entry->count == record->layout.count) {
		*transaction = entry->transaction;
		found = true;
	}
	if (!found) {
		*transaction = (struct record_transaction){.instance = instance};
	}
	transaction->connection = memo ? memo->connection : 0;
	return found;
}

void transaction_keep(struct transaction_memo *memo, const struct request_key *key,
    enum limit_count count, const struct record_transaction *transaction)
{
	struct entry *entry;

	if (memo->instance != transaction->instance) {
		memo->instance = transaction->instance;
		memo->entries = 0;
	}
	entry = find_entry(memo, key);
	if (!entry && memo->entries < ENTRIES_MAX) {
		entry = &memo->entry[memo->entries++];
		entry->length = key->length;
		memcpy(entry->key, key->text, key->length);
	}
	if (entry) {
		entry->transaction = *transaction;
		entry->count = count;
	}
}

static bool counts_anywhere(const struct record *record, int64_t at_ms)
{
	for (unsigned i = 0; i < record->layout.windows; i++) {
		if (counter_counts(record, i, at_ms)) {
			return true;
		}
	}
	return false;
}

uint64_t transaction_paid(const struct record_transaction *transaction,
    const struct record *record, unsigned window)
{
	uint64_t counted = 0, first = transaction->charged;

	for (unsigned i = 0; i < 2; i++) {
		const struct record_payment *payment = &transaction->paid[i];

		if (payment->amount > 0 && counter_counts(record, window, payment->at_ms)) {
			counted += payment->amount;
		}
		if (transaction->denied && payment->at_ms >= transaction->at_ms) {
			first += payment->amount;
		}
	}
	return first > counted && counter_counts(record, window, transaction->at_ms) ? first
										     : counted;
}

void transaction_pay(
    struct record_transaction *transaction, const struct record *record, uint64_t cost)
{
	struct record_payment *last = &transaction->paid[0], *before = &transaction->paid[1];

	if (last->amount > 0 && last->at_ms != record->stamp_ms) {
		if (before->amount > 0 && counts_anywhere(record, before->at_ms)) {
			before->amount += last->amount;
		} else {
			*before = *last;
		}
		last->amount = 0;
	}
	last->amount += cost;
	last->at_ms = record->stamp_ms;
}
