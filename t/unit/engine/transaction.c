/*
 * Tests of src/engine/transaction.c: the record knows best what a transaction was charged, and
 * the memo of the process knows what the record has forgotten.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "count/counter.h"
#include "engine/transaction.h"

#define MEMO_MAX 64 /* keys of one transaction */

static struct transaction_memo *memo;
static struct record record; /* remembers two transactions */

static int set_up(void **state)
{
	char bytes[1024];

	(void)state;
	memo = transaction_memo_new(9);
	new_record(&record, "3 s12 r2 1h", bytes);
	return !memo;
}

static int clean_up(void **state)
{
	(void)state;
	transaction_memo_free(memo);
	return 0;
}

static struct request_key key_of(unsigned number)
{
	struct request_key key = {.prefix = 2};

	key.length = (size_t)snprintf(key.text, sizeof(key.text), "r:%u", number);
	return key;
}

static struct record_transaction make(uint64_t instance, uint64_t charged)
{
	return (struct record_transaction){
	    .instance = instance, .charged = charged, .request = charged + 1000};
}

static void keep(unsigned key_number, uint64_t instance, uint64_t charged)
{
	struct request_key key = key_of(key_number);
	struct record_transaction transaction = make(instance, charged);

	transaction_keep(memo, &key, COUNT_RECIPIENTS, &transaction);
}

static void remember(uint64_t instance, uint64_t charged)
{
	struct record_transaction transaction = make(instance, charged);

	record_remember(&record, &transaction);
}

/* charged 0: nothing is known. */
static void check_charged(unsigned key_number, uint64_t instance, uint64_t charged)
{
	struct request_key key = key_of(key_number);
	struct record_transaction got = {.instance = 7, .charged = 7, .request = 7};
	bool found = transaction_find(memo, &key, &record, instance, &got);

	check(found == (charged > 0) && got.instance == instance && got.charged == charged &&
		got.request == (found ? charged + 1000 : 0),
	    "key %u, instance %u: found %d, instance %u, charged %u, request %u", key_number,
	    (unsigned)instance, found, (unsigned)got.instance, (unsigned)got.charged,
	    (unsigned)got.request);
}

/* What another process has charged since is in the record alone. */
static void test_record_first(void **state)
{
	(void)state;
	check_charged(1, 5, 0);
	keep(1, 5, 3);
	check_charged(1, 5, 3);
	remember(5, 4);
	check_charged(1, 5, 4);
	remember(6, 1);
	remember(7, 1);
	/* The record has forgotten it. */
	check_charged(1, 5, 3);
}

/* Each key has its own entry, and keeps the last that was kept. */
static void test_keys(void **state)
{
	struct record_transaction transaction = make(5, 9);
	struct request_key longer = key_of(12);

	(void)state;
	keep(1, 5, 3);
	keep(2, 5, 4);
	check_charged(1, 5, 3);
	check_charged(2, 5, 4);
	/* r:1 is how it begins. */
	check_charged(12, 5, 0);
	transaction_keep(memo, &longer, COUNT_RECIPIENTS, &transaction);
	check_charged(1, 5, 3);
	keep(1, 5, 6);
	check_charged(1, 5, 6);
	check_charged(2, 5, 4);
}

static void test_another_instance(void **state)
{
	(void)state;
	keep(1, 5, 3);
	keep(2, 5, 4);
	check_charged(1, 6, 0);
	check_charged(1, 5, 3);
	keep(1, 6, 8);
	check_charged(1, 6, 8);
	check_charged(2, 6, 0);
	check_charged(1, 5, 0);
	check_charged(2, 5, 0);
}

/* A request without an instance stands alone, even if the record has room for another one. */
static void test_no_instance(void **state)
{
	(void)state;
	check_charged(1, 0, 0);
	remember(5, 1);
	check_charged(1, 0, 0);
	keep(1, 0, 3);
	check_charged(1, 0, 0);
}

/* What was charged in other units, by an earlier configuration, is not known. */
static void test_another_count(void **state)
{
	struct request_key key = key_of(1);
	struct record_transaction transaction = make(5, 3);

	(void)state;
	transaction_keep(memo, &key, COUNT_BYTES, &transaction);
	check_charged(1, 5, 0);
	keep(1, 5, 4);
	check_charged(1, 5, 4);
}

/* Charges of an hour's window, one after the other, and what a repeated request has paid. */
static void test_paid(void **state)
{
	static const struct {
		int minute;
		uint64_t cost, paid;
	} cases[] = {{0, 2, 2}, {0, 1, 3}, {10, 4, 7}, {59, 0, 7}, {66, 0, 4}, {68, 1, 5},
	    {76, 0, 1}, {134, 0, 0}, {140, 3, 3}};
	const int64_t start_ms = INT64_C(1705312800000);
	struct record_transaction transaction = {.instance = 5, .at_ms = 0};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t paid;

		counter_advance(&record, start_ms + cases[i].minute * INT64_C(60000));
		if (cases[i].cost > 0) {
			transaction_pay(&transaction, &record, cases[i].cost);
		}
		paid = transaction_paid(&transaction, &record, 0);
		check(paid == cases[i].paid, "minute %d: %llu", cases[i].minute,
		    (unsigned long long)paid);
	}
	/* The request came first within the window: all that it was charged then is good. */
	transaction.charged = 9;
	transaction.at_ms = record.stamp_ms;
	check(transaction_paid(&transaction, &record, 0) == 9, "its answer may have got lost");
	/* It was denied: what it was charged then, too. */
	transaction.denied = true;
	check(transaction_paid(&transaction, &record, 0) == 12, "and it was denied");
	record.stamp_ms += 66 * INT64_C(60000);
	check(transaction_paid(&transaction, &record, 0) == 0, "not an hour later");
}

/* With a full memo no other key finds a place, and those that have one are kept up to date. */
static void test_full(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MEMO_MAX + 2; i++) {
		keep(i, 5, i + 1);
	}
	for (unsigned i = 0; i < MEMO_MAX + 2; i++) {
		check_charged(i, 5, i < MEMO_MAX ? i + 1 : 0);
	}
	keep(MEMO_MAX - 1, 5, 99);
	check_charged(MEMO_MAX - 1, 5, 99);
	keep(MEMO_MAX, 6, 1);
	check_charged(MEMO_MAX, 6, 1);
}

#define memo_test(function) cmocka_unit_test_setup_teardown(function, set_up, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    memo_test(test_record_first),
	    memo_test(test_keys),
	    memo_test(test_another_instance),
	    memo_test(test_no_instance),
	    memo_test(test_another_count),
	    memo_test(test_paid),
	    memo_test(test_full),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("transaction", tests, NULL, NULL);
}
