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

/* Index of the key's entry, or the number of entries. */
static size_t find(const struct transaction_memo *memo, const struct request_key *key)
{
	size_t i = 0;

	while (i < memo->entries &&
	    (memo->entry[i].length != key->length ||
		memcmp(memo->entry[i].key, key->text, key->length) != 0)) {
		i++;
	}
	return i;
}

bool transaction_find(const struct transaction_memo *memo, const struct request_key *key,
    const struct record *record, uint64_t instance, struct record_transaction *transaction)
{
	size_t i;

	if (instance && record_transaction(record, instance, transaction)) {
		return true;
	}
	if (instance && memo->instance == instance) {
		i = find(memo, key);
		if (i < memo->entries) {
			*transaction = memo->entry[i].transaction;
			return true;
		}
	}
	*transaction = (struct record_transaction){.instance = instance};
	return false;
}

void transaction_keep(struct transaction_memo *memo, const struct request_key *key,
    const struct record_transaction *transaction)
{
	size_t i;

	if (memo->instance != transaction->instance) {
		memo->instance = transaction->instance;
		memo->entries = 0;
	}
	i = find(memo, key);
	if (i == ENTRIES_MAX) {
		return;
	}
	if (i == memo->entries) {
		memo->entry[i].length = key->length;
		memcpy(memo->entry[i].key, key->text, key->length);
		memo->entries++;
	}
	memo->entry[i].transaction = *transaction;
}
