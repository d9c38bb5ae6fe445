/*
 * Costs and charges: see charge.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/charge.h"

#include "count/counter.h"

/* The windows that matter: those of the limits that hold for the key; if there are none, all. */
static unsigned windows_of(const struct candidate *candidate)
{
	unsigned limits = candidate->effective->limits.n;

	return limits > 0 ? limits : candidate->record.layout.windows;
}

/* The index in the record of one of these windows. */
static unsigned window_at(const struct candidate *candidate, unsigned i)
{
	return candidate->effective->limits.n > 0 ? candidate->effective->window[i] : i;
}

void charge_find_cost(struct candidate *candidate, struct transaction_memo *memo,
    const struct request *request, uint64_t hash)
{
	struct record_transaction *transaction = &candidate->transaction;
	const struct record *record = &candidate->record;
	uint64_t amount = request_amount(candidate->rule, request);
	bool found = transaction_find(
	    memo, &candidate->key, record, transaction->instance, transaction);

	candidate->again = found && transaction->request == hash;
	candidate->cost = request_cost(candidate->rule, request, transaction->charged);
	if (record->layout.windows == 0) {
		return;
	}
	for (unsigned i = 0; i < record->layout.windows; i++) {
		candidate->window_cost[i] = candidate->cost;
	}
	if (!candidate->again) {
		return;
	}
	candidate->cost = 0;
	for (unsigned i = 0; i < windows_of(candidate); i++) {
		unsigned window = window_at(candidate, i);
		uint64_t paid = transaction_paid(transaction, record, window);
		uint64_t cost = amount > paid ? amount - paid : 0;

		candidate->window_cost[window] = cost;
		candidate->cost = cost > candidate->cost ? cost : candidate->cost;
	}
}

/*
 * Charges the cost. Where windows differ in what they still count of earlier charges for this very
 * request, those are taken back first, so that all windows count the request from now on.
 */
static void pay(struct candidate *candidate)
{
	struct record_transaction *transaction = &candidate->transaction;
	struct record *record = &candidate->record;
	const uint64_t *cost = candidate->window_cost;
	unsigned highest = window_at(candidate, 0), lowest = highest;
	uint64_t rest;

	for (unsigned i = 1; i < windows_of(candidate); i++) {
		unsigned window = window_at(candidate, i);

		highest = cost[window] > cost[highest] ? window : highest;
		lowest = cost[window] < cost[lowest] ? window : lowest;
	}
	rest = cost[highest] - cost[lowest];
	for (unsigned i = 0; i < 2 && rest > 0; i++) {
		struct record_payment *paid = &transaction->paid[i];
		uint64_t taken = paid->amount < rest ? paid->amount : rest;

		if (taken > 0 && !counter_counts(record, highest, paid->at_ms)) {
			counter_take_back(record, candidate->bytes, paid->at_ms, taken);
			/* Its log has changed where the other slot needs it. */
			candidate->rebuilt |= record->layout.strategy == STRATEGY_MOVING;
			paid->amount -= taken;
			rest -= taken;
		}
	}
	counter_charge(record, candidate->bytes, candidate->cost);
	transaction_pay(transaction, record, candidate->cost);
}

/* What the transaction was charged once the request, which is allowed, has been. */
static void count_request(struct candidate *candidate, const struct request *request)
{
	const struct rule *rule = candidate->rule;
	struct record_transaction *transaction = &candidate->transaction;
	uint64_t amount = request_amount(rule, request);

	if (rule->count == COUNT_RECIPIENTS && request->state == REQUEST_RCPT) {
		amount += transaction->charged;
		/* The same recipient again. */
		amount -= candidate->again && transaction->counted;
	}
	if (amount > transaction->charged) {
		transaction->charged = amount < RECORD_CHARGED_MAX ? amount : RECORD_CHARGED_MAX;
	}
	transaction->counted = true;
	transaction->denied = false;
	transaction->ended = request->state == REQUEST_END;
}

bool charge_request(struct candidate *candidate, const struct request *request, uint64_t hash,
    bool denied, struct store_txn *txn, struct store_item *item)
{
	struct record_transaction *transaction = &candidate->transaction;
	bool changed = candidate->cost > 0;
	size_t more;

	if (changed) {
		pay(candidate);
	}
	if (!transaction->instance || (denied && !changed)) {
		return changed;
	}
	if (denied) {
		transaction->counted &= candidate->again;
		transaction->denied = true;
	} else {
		count_request(candidate, request);
	}
	if (!candidate->again) {
		transaction->at_ms = candidate->record.stamp_ms;
	}
	transaction->request = hash;
	/* Twice as many places; without memory or room for them, an older transaction gives way. */
	more = 2 * (size_t)candidate->record.layout.transactions * RECORD_TRANSACTION_WIDTH;
	if (!record_has_place(&candidate->record, transaction->instance) &&
	    store_txn_has_room(txn, item->size + more)) {
		candidate_grow(candidate, txn, item);
	}
	return record_remember(&candidate->record, transaction) || changed;
}
