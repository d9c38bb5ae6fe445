/*
 * A rule that applies to a request, with the counter of its key and what holds for that key.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CANDIDATE_H
#define CANDIDATE_H

#include "count/record.h"
#include "engine/exception.h"
#include "engine/limits.h"
#include "engine/request.h"
#include "store/store.h"

struct candidate {
	/* Set by the caller before candidate_open. */
	const struct rule *rule;
	struct request_key key;
	const struct effective *file; /* what holds for the key by the configuration */

	/* Set by candidate_open. */
	const struct effective *effective; /* what holds for the key now */
	bool allowed; /* the database has an exception that is in force */
	bool kept; /* it has one, perhaps expired */
	struct exception exception;
	struct record record;
	char *bytes; /* of the record, in its item */
	bool ahead; /* the record is of a time after now, and must be written */
	bool rebuilt; /* bytes must replace the whole record in the store */

	/* The caller's. */
	struct record_transaction transaction;
	uint64_t window_cost[LIMITS_MAX]; /* of each window of the record */
	uint64_t cost; /* the highest of them */
	bool again; /* this very request was charged before */
	bool room;
	bool skipped; /* it has no counter, and the store is full */
};

/*
 * In a change function: reads the item's record, advances it to now and converts it to the layout
 * that holds for its key. 0, or -1 and why it can't be used.
 */
int candidate_open(struct candidate *candidate, struct effective_limits *limits,
    struct store_txn *txn, struct store_item *item, struct error *error);

/*
 * In a change function, after candidate_open: gives the record more places for transactions. 0, or
 * -1 if out of memory; then the record is as it was.
 */
int candidate_grow(struct candidate *candidate, struct store_txn *txn, struct store_item *item);

#endif
