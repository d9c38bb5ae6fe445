/*
 * Tests of src/count/record_transactions.c: which transactions a record remembers, which gives way
 * to a new one, when the record should grow, and what is kept of each.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "record.h"
#include "unit.h"

#include "base/error.h"
#include "count/counter.h"

#define START_MS INT64_C(1705312800000) /* 2024-01-15 10:00 UTC */
#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)

/*
 * A request of a transaction is a letter and the digit of its connection; an END-OF-MESSAGE of
 * transaction a is A. '>' is three minutes, '#' eleven.
 */
static void hear(struct record *record, const char *heard)
{
	for (const char *p = heard; *p; p++) {
		struct record_transaction transaction = {.instance = 0};
		bool ended = *p >= 'A' && *p <= 'Z';
		uint64_t instance = (uint64_t)(ended ? *p - 'A' : *p - 'a') + 1;

		if (*p == '>' || *p == '#') {
			counter_advance(record, record->stamp_ms + (*p == '>' ? 3 : 11) * MINUTE);
			continue;
		}
		record_transaction(record, instance, &transaction);
		transaction.instance = instance;
		transaction.charged++;
		transaction.at_ms = record->stamp_ms;
		transaction.ended = ended;
		transaction.connection = (uint64_t)(*++p - '0');
		check(record_remember(record, &transaction), "\"%s\": no change", heard);
		write_and_read(record);
	}
}

static void test_places(void **state)
{
	static const struct {
		const char *heard, *remembered; /* by the alphabet */
		bool has_place;
	} cases[] = {
	    {"", "", true},
	    {"a1", "a", true},
	    {"a1b2c3", "abc", true},
	    {"a1b2c3d4", "abcd", false},
	    {"a1b2c3d4e5", "bcde", false},
	    {"a1b2c3d4a1e5", "acde", false},
	    /* Ended, and a later one came on its connection: it is finished for sure. */
	    {"b2a1A1c1d3", "abcd", true},
	    {"b2a1A1c1d3e4", "bcde", false},
	    /* Ended, but the answer may have got lost. */
	    {"b2a1A1c3d4", "abcd", false},
	    {"b2a1A1c3d4e5", "bcde", false},
	    {"b2a1A1c3d4>", "abcd", true},
	    /* A later one came on its connection. */
	    {"b2a1c1d3", "abcd", false},
	    {"b2a1c1d3e4", "bcde", false},
	    {"b2a1c1d3>", "abcd", false},
	    {"b2a1c1d3#", "abcd", true},
	    /* It is not over after all. */
	    {"b2a1c1a1d3e4", "abde", false},
	    /* The oldest of several that are finished. */
	    {"x2a1b1c1C1d1D1e1", "bdex", true},
	    {"x2a1A1b1B1c1", "abcx", true},
	    {"x2a1A1b1B1c1d3", "bcdx", true},
	    /* Nothing is known of connections. */
	    {"b0a0c0d0e0", "acde", false},
	    /* One that has been silent for long. */
	    {"a1b2c3d4#", "abcd", true},
	    {"a1b2#c3d4e5", "bcde", true},
	    {"a1b2c3d4>>>", "abcd", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct record_transaction transaction;
		struct record record;
		char remembered[32] = "", *p = remembered;

		new_record(&record, "3 f m4 1h", bytes);
		counter_advance(&record, START_MS);
		hear(&record, cases[i].heard);
		for (uint64_t instance = 1; instance <= 26; instance++) {
			if (record_transaction(&record, instance, &transaction)) {
				*p++ = (char)('a' + instance - 1);
			}
		}
		check_string(remembered, cases[i].remembered, cases[i].heard);
		check(record_has_place(&record, 27) == cases[i].has_place, "\"%s\": place %d",
		    cases[i].heard, !cases[i].has_place);
		check(remembered[0] == '\0' ||
			record_has_place(&record, (uint64_t)(remembered[0] - 'a') + 1),
		    "\"%s\": no place for one that is there", cases[i].heard);
	}
}

/* With more places, a transaction that another one came after on its connection is finished. */
static void test_many_places(void **state)
{
	struct record record;

	(void)state;
	new_record(&record, "3 f m6 1h", bytes);
	counter_advance(&record, START_MS);
	hear(&record, "a1b2c3d4e5f6");
	check(!record_has_place(&record, 27), "a place in vain");
	hear(&record, "f5");
	check(record_has_place(&record, 27), "no place for e");
}

/* It can't grow any more. */
static void test_full(void **state)
{
	struct record_transaction transaction;
	struct record record;

	(void)state;
	new_record(&record, "3 f m64 1h", bytes);
	counter_advance(&record, START_MS);
	for (uint64_t instance = 1; instance <= 65; instance++) {
		record_remember(&record,
		    &(struct record_transaction){.instance = instance,
			.at_ms = START_MS,
			.connection = instance});
		check(record_has_place(&record, 100), "no place after %llu",
		    (unsigned long long)instance);
	}
	for (uint64_t instance = 1; instance <= 65; instance++) {
		check(record_transaction(&record, instance, &transaction) == (instance > 1),
		    "%llu", (unsigned long long)instance);
	}
}

static void test_kept(void **state)
{
	static const char *const headers[] = {"3 f m2 1h", "3 s2 r2 1h", "3 m5 b2 1h"};
	const struct record_transaction transaction = {.instance = RECORD_INSTANCE_MASK,
	    .request = RECORD_REQUEST_MASK,
	    .denied = true,
	    .counted = true,
	    .charged = RECORD_CHARGED_MAX,
	    .at_ms = START_MS - 2,
	    .paid = {{3, START_MS}, {RECORD_CHARGED_MAX, START_MS - 1}},
	    .connection = RECORD_CONNECTION_MASK};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		struct record_transaction found, same = transaction, later = {.instance = 5};
		struct record record;

		new_record(&record, headers[i], bytes);
		counter_advance(&record, START_MS);
		check(record_remember(&record, &transaction), "%s: not new", headers[i]);
		write_and_read(&record);
		check(record_transaction(&record, RECORD_INSTANCE_MASK, &found), "%s: not found",
		    headers[i]);
		check(found.request == transaction.request && found.denied && found.counted &&
			!found.ended && !found.over && found.charged == transaction.charged &&
			found.at_ms == transaction.at_ms &&
			memcmp(found.paid, transaction.paid, sizeof(found.paid)) == 0 &&
			found.connection == transaction.connection,
		    "%s: not as it was", headers[i]);
		/* Another service asks as well. */
		same.connection = 7;
		check(!record_remember(&record, &same), "%s: changed", headers[i]);
		same.ended = true;
		check(record_remember(&record, &same), "%s: not changed", headers[i]);
		later.connection = 7;
		check(record_remember(&record, &later), "%s: not new", headers[i]);
		write_and_read(&record);
		check(record_transaction(&record, RECORD_INSTANCE_MASK, &found) && found.over &&
			found.ended,
		    "%s: not over", headers[i]);
		record_forget_payments(&record);
		check(record_transaction(&record, RECORD_INSTANCE_MASK, &found) &&
			found.charged == transaction.charged && found.paid[0].amount == 0 &&
			found.paid[1].amount == 0,
		    "%s: still paid", headers[i]);
	}
}

/* A record of version 2: it can be read and written as it is, and converted. */
static void test_old(void **state)
{
	static const char transactions[] = "IL-EoJ001hjAWKa" "3U_FAq00ahjAWKb";
	static const struct {
		const char *instance;
		uint64_t charged;
		bool denied;
	} cases[] = {{"IL-EoJ", 1, false}, {"3U_FAq", 36, true}};
	struct record_layout layout = layout_of("3 s12 r3 1h,1d");
	struct record old, record;
	struct error error = {""};
	char old_bytes[1024];

	(void)state;
	new_record(&old, "2 s12 r8 1h,1d", old_bytes);
	check(record_size(&old.layout) == 751, "%zu bytes", record_size(&old.layout));
	counter_advance(&old, START_MS);
	counter_charge(&old, old_bytes, 37);
	memcpy(old.transactions, transactions, strlen(transactions));
	record_write(&old, old_bytes);
	check(record_read(&old, old_bytes, 751, &error) == 0, "%s", error.text);
	check(!record_layout_same(&old.layout, &layout), "as if it was of this version");

	record_init(&record, &layout);
	record_write_new(&record, bytes);
	record_migrate(&old, &record, bytes);
	write_and_read(&record);
	check(counter_used(&record, 0) == 37 && counter_used(&record, 1) == 37, "lost its use");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *entry = record.transactions + i * RECORD_TRANSACTION_WIDTH;
		struct record_transaction found;
		uint64_t instance = 0;

		check(memcmp(entry, cases[i].instance, 6) == 0, "lost %s", cases[i].instance);
		for (unsigned j = 0; j < 6; j++) {
			static const char digits[] =
			    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

			instance = instance << 6 |
			    (uint64_t)(strchr(digits, cases[i].instance[j]) - digits);
		}
		check(record_transaction(&record, instance, &found) &&
			found.charged == cases[i].charged && found.denied == cases[i].denied &&
			found.paid[0].amount == cases[i].charged + cases[i].denied &&
			found.paid[0].at_ms == START_MS,
		    "%s: not as it was", cases[i].instance);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_places),
	    cmocka_unit_test(test_many_places),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_kept),
	    cmocka_unit_test(test_old),
	};

	setenv("TZ", "UTC", 1);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("record_transactions", tests, NULL, NULL);
}
