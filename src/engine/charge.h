/*
 * What a request costs a counter after what its transaction was charged before, and the charge.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CHARGE_H
#define CHARGE_H

#include "engine/candidate.h"
#include "engine/request.h"
#include "engine/transaction.h"
#include "store/store.h"

/*
 * Sets the candidate's transaction, again, cost and window_cost. A request that comes again costs
 * what it asks for, less what its transaction has paid and the window still counts. hash:
 * RECORD_REQUEST_MASK of a hash of the request's state and recipient. memo may be NULL.
 */
void charge_find_cost(struct candidate *candidate, struct transaction_memo *memo,
    const struct request *request, uint64_t hash);

/*
 * In a change function: charges the cost of a request that is allowed, or denied but counted, and
 * remembers it. Returns whether the record has changed.
 */
bool charge_request(struct candidate *candidate, const struct request *request, uint64_t hash,
    bool denied, struct store_txn *txn, struct store_item *item);

#endif
