/*
 * What is known of a mail transaction: Postfix asks several times about one message, which is
 * charged once.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TRANSACTION_H
#define TRANSACTION_H

#include "count/record.h"
#include "engine/request.h"

/*
 * What this process charged for the transaction that it is in. A counter's record remembers only
 * some transactions; with many at once on one key the memo keeps a message that comes back to
 * the same process from being charged twice.
 */
struct transaction_memo;

/* NULL if out of memory. */
struct transaction_memo *transaction_memo_new(void);
void transaction_memo_free(struct transaction_memo *memo);

/*
 * What a counter was charged for a transaction, by its record or else by the memo. False: nothing
 * is known; *transaction then is one that was charged nothing.
 */
bool transaction_find(struct transaction_memo *memo, const struct request_key *key,
    const struct record *record, uint64_t instance, struct record_transaction *transaction);

/* Keeps it in the memo, which forgets other transactions. */
void transaction_keep(struct transaction_memo *memo, const struct request_key *key,
    const struct record_transaction *transaction);

#endif
