/*
 * What is known of a mail transaction: see transaction.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/transaction.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 64

struct transaction_memo {
	uint64_t instance;
	size_t entries;
	struct entry {
		struct record_transaction transaction;
		size_t length;
		char key[sizeof(((struct request_key *)0)->text)];
	} entry[ENTRIES_MAX];
};

struct transaction_memo *transaction_memo_new(void)
{
	struct transaction_memo *memo = malloc(sizeof(*memo));

	/* Not all of it: most processes never use more than its first entries. */
	if (memo) {
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
	    instance && memo->instance == instance ? find_entry(memo, key) : NULL;

	if (instance && record_transaction(record, instance, transaction)) {
		return true;
	}
	*transaction =
	    entry ? entry->transaction : (struct record_transaction){.instance = instance};
	return entry != NULL;
}

void transaction_keep(struct transaction_memo *memo, const struct request_key *key,
    const struct record_transaction *transaction)
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
	}
}
