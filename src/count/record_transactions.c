/*
 * The transactions that a record remembers: see record.h. They are kept as in the file, newest
 * first: most of them are only copied.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/record.h"

#include "count/record_codec.h"

/* How long after its last request a transaction is forgotten before a record grows. */
#define IDLE_MS (600 * 1000)
/* After END-OF-MESSAGE: Postfix asks again soon, if at all. */
#define ENDED_MS (120 * 1000)
/*
 * With so many places a record does not grow for transactions that another one came after on their
 * connection: with Postfix, those are finished. With fewer, they are kept at little cost.
 */
#define FEW_PLACES 6

/* Flags of a transaction. */
enum { DENIED = 1, ENDED = 2, OVER = 4, COUNTED = 8 };

#define OLD_WIDTH_CHARGED 3

/* Offsets of what is looked at in place. */
#define AT_FLAGS WIDTH_INSTANCE
#define AT_STAMP (AT_FLAGS + WIDTH_STATE_FLAGS + WIDTH_REQUEST + WIDTH_AMOUNT)
#define AT_CONNECTION (AT_STAMP + WIDTH_STAMP + WIDTH_PAYMENTS)

/* How much a transaction is worth a place, the least first. */
enum worth { FREE, FINISHED, IDLE, OVERTAKEN, JUST_ENDED, UNDER_WAY };

static void put_stamp(char **p, int64_t ms)
{
	base64_put(p, WIDTH_STAMP, ms > 0 ? (uint64_t)ms : 0);
}

static void put_transaction(
    const struct record_transaction *transaction, char to[RECORD_TRANSACTION_WIDTH])
{
	char *p = to;

	base64_put(&p, WIDTH_INSTANCE, transaction->instance);
	base64_put(&p, WIDTH_STATE_FLAGS,
	    (transaction->denied ? DENIED : 0) | (transaction->ended ? ENDED : 0) |
		(transaction->counted ? COUNTED : 0));
	base64_put(&p, WIDTH_REQUEST, transaction->request);
	base64_put(&p, WIDTH_AMOUNT, transaction->charged);
	put_stamp(&p, transaction->at_ms);
	for (unsigned i = 0; i < 2; i++) {
		base64_put(&p, WIDTH_AMOUNT, transaction->paid[i].amount);
		put_stamp(&p, transaction->paid[i].at_ms);
	}
	base64_put(&p, WIDTH_CONNECTION, transaction->connection);
}

static void get_transaction(const char *p, struct record_transaction *transaction)
{
	uint64_t flags;

	transaction->instance = base64_get(&p, WIDTH_INSTANCE);
	flags = base64_get(&p, WIDTH_STATE_FLAGS);
	transaction->denied = flags & DENIED;
	transaction->ended = flags & ENDED;
	transaction->over = flags & OVER;
	transaction->counted = flags & COUNTED;
	transaction->request = base64_get(&p, WIDTH_REQUEST);
	transaction->charged = base64_get(&p, WIDTH_AMOUNT);
	transaction->at_ms = (int64_t)base64_get(&p, WIDTH_STAMP);
	for (unsigned i = 0; i < 2; i++) {
		transaction->paid[i].amount = base64_get(&p, WIDTH_AMOUNT);
		transaction->paid[i].at_ms = (int64_t)base64_get(&p, WIDTH_STAMP);
	}
	transaction->connection = base64_get(&p, WIDTH_CONNECTION);
}

/* Where the transaction is among the transactions; their end if it is not there. */
static size_t find(const struct record *record, uint64_t instance)
{
	size_t end = transactions_size(&record->layout);
	char wanted[WIDTH_INSTANCE];
	char *p = wanted;
	size_t at = 0;

	base64_put(&p, WIDTH_INSTANCE, instance);
	while (at < end && memcmp(record->transactions + at, wanted, WIDTH_INSTANCE) != 0) {
		at += RECORD_TRANSACTION_WIDTH;
	}
	return at;
}

static enum worth worth_of(const struct record *record, size_t at)
{
	static const char none[] = "000000";
	const char *entry = record->transactions + at;
	const char *flags_at = entry + AT_FLAGS, *stamp_at = entry + AT_STAMP;
	uint64_t flags = base64_get(&flags_at, WIDTH_STATE_FLAGS);
	int64_t idle_ms;

	if (memcmp(entry, none, WIDTH_INSTANCE) == 0) {
		return FREE;
	}
	if ((flags & OVER) && (flags & ENDED)) {
		return FINISHED;
	}
	idle_ms = record->stamp_ms - (int64_t)base64_get(&stamp_at, WIDTH_STAMP);
	if (idle_ms >= (flags & ENDED ? ENDED_MS : IDLE_MS)) {
		return IDLE;
	}
	return flags & OVER ? OVERTAKEN : flags & ENDED ? JUST_ENDED : UNDER_WAY;
}

/*
 * The oldest place that nobody needs; if there is none, the one that is worth least, the oldest of
 * several. *worth becomes what it is worth.
 */
static size_t find_place(const struct record *record, enum worth *worth)
{
	size_t place = transactions_size(&record->layout) - RECORD_TRANSACTION_WIDTH;

	*worth = worth_of(record, place);
	for (size_t at = place; *worth > IDLE && at > 0;) {
		enum worth own;

		at -= RECORD_TRANSACTION_WIDTH;
		own = worth_of(record, at);
		if (own < *worth) {
			*worth = own;
			place = at;
		}
	}
	return place;
}

bool record_transaction(
    const struct record *record, uint64_t instance, struct record_transaction *transaction)
{
	size_t at = find(record, instance);

	if (at == transactions_size(&record->layout)) {
		return false;
	}
	get_transaction(record->transactions + at, transaction);
	return true;
}

bool record_has_place(const struct record *record, uint64_t instance)
{
	enum worth worth;

	if (record->layout.transactions >= RECORD_TRANSACTIONS_MAX ||
	    find(record, instance) < transactions_size(&record->layout)) {
		return true;
	}
	find_place(record, &worth);
	return worth <= (record->layout.transactions < FEW_PLACES ? IDLE : OVERTAKEN);
}

/* Marks the other transactions of the newest one's connection. */
static void mark_over(struct record *record)
{
	const char *connection = record->transactions + AT_CONNECTION;

	for (size_t at = RECORD_TRANSACTION_WIDTH; at < transactions_size(&record->layout);
	    at += RECORD_TRANSACTION_WIDTH) {
		char *entry = record->transactions + at;

		if (memcmp(entry + AT_CONNECTION, connection, WIDTH_CONNECTION) == 0) {
			const char *p = entry + AT_FLAGS;
			uint64_t flags = base64_get(&p, WIDTH_STATE_FLAGS);
			char *to = entry + AT_FLAGS;

			base64_put(&to, WIDTH_STATE_FLAGS, flags | OVER);
		}
	}
}

bool record_remember(struct record *record, const struct record_transaction *transaction)
{
	size_t at = find(record, transaction->instance);
	char entry[RECORD_TRANSACTION_WIDTH];
	char *first = record->transactions;
	enum worth worth;

	put_transaction(transaction, entry);
	/* If only the connection differs, two services ask about each request. */
	if (at == 0 && memcmp(first, entry, AT_CONNECTION) == 0) {
		return false;
	}
	if (at == transactions_size(&record->layout)) {
		at = find_place(record, &worth);
	}
	memmove(first + RECORD_TRANSACTION_WIDTH, first, at);
	memcpy(first, entry, RECORD_TRANSACTION_WIDTH);
	if (transaction->connection) {
		mark_over(record);
	}
	return true;
}

void record_forget_payments(struct record *record)
{
	for (size_t at = 0; !record->layout.old && at < transactions_size(&record->layout);
	    at += RECORD_TRANSACTION_WIDTH) {
		memset(record->transactions + at + AT_STAMP, base64_digits[0],
		    WIDTH_STAMP + WIDTH_PAYMENTS);
	}
}

/*
 * In version 2, a transaction has a hash of its last request. The lowest bit of the hash is set if
 * that request was denied. The time of a charge is not stored, nor is the number of bytes charged.
 */
static void convert_transaction(
    const struct record *old, const char *p, char to[RECORD_TRANSACTION_WIDTH])
{
	struct record_transaction transaction = {.instance = base64_get(&p, WIDTH_INSTANCE)};
	uint64_t charged = base64_get(&p, OLD_WIDTH_CHARGED);
	uint64_t request = base64_get(&p, WIDTH_INSTANCE);

	if (transaction.instance == 0) {
		return;
	}
	if (old->layout.count == COUNT_BYTES && charged > 0) {
		charged = RECORD_CHARGED_MAX;
	}
	transaction.charged = charged;
	transaction.denied = request & 1;
	transaction.counted = !transaction.denied;
	transaction.request = request >> 1 & RECORD_REQUEST_MASK;
	transaction.at_ms = old->stamp_ms;
	transaction.paid[0].amount = charged + transaction.denied;
	transaction.paid[0].at_ms = old->stamp_ms;
	put_transaction(&transaction, to);
}

void record_migrate_transactions(const struct record *old, struct record *record)
{
	unsigned transactions = old->layout.transactions < record->layout.transactions
	    ? old->layout.transactions
	    : record->layout.transactions;

	if (!old->layout.old) {
		memcpy(record->transactions, old->transactions,
		    transactions * (size_t)RECORD_TRANSACTION_WIDTH);
		return;
	}
	for (unsigned i = 0; i < transactions; i++) {
		convert_transaction(old, old->transactions + i * (size_t)WIDTH_OLD_TRANSACTION,
		    record->transactions + i * (size_t)RECORD_TRANSACTION_WIDTH);
	}
}
