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
 * some transactions; with very many at once on one key the memo keeps a message that comes back to
 * the same process from being charged twice. It outlives a judge, and so a configuration.
 */
struct transaction_memo;

/*
 * connection: a number of the connection to Postfix, such as the process's; 0: unknown. NULL if out
 * of memory.
 */
struct transaction_memo *transaction_memo_new(uint64_t connection);
void transaction_memo_free(struct transaction_memo *memo);

/*
 * What a counter was charged for a transaction, by its record or else by the memo, unless that is
 * NULL. False: nothing is known; *transaction then is one that was charged nothing.
 */
bool transaction_find(struct transaction_memo *memo, const struct request_key *key,
    const struct record *record, uint64_t instance, struct record_transaction *transaction);

/* Keeps what a counter of that kind was charged in the memo, which forgets other transactions. */
void transaction_keep(struct transaction_memo *memo, const struct request_key *key,
    enum limit_count count, const struct record_transaction *transaction);

/*
 * What the transaction has paid of its last request, if that comes again: what it was charged and
 * the window still counts. While the window counts the moment when the request came first, all that
 * it was charged then is good: its answer may have got lost.
 */
uint64_t transaction_paid(const struct record_transaction *transaction,
    const struct record *record, unsigned window);

/* Adds a charge, at record->stamp_ms, to what the transaction has paid. */
void transaction_pay(
    struct record_transaction *transaction, const struct record *record, uint64_t cost);

#endif
