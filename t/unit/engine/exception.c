/*
 * Tests of src/exception.c: what `set` and `grant` keep reads back, a damaged record is
 * found out, and what has expired goes.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/strbuf.h"
#include "engine/exception.h"

#define NOW INT64_C(1795176000)
#define CHANGED_MS INT64_C(1795175999123)

static struct exception make(const char *limits, int64_t until_s)
{
	struct exception exception = {.changed_ms = CHANGED_MS, .until_s = until_s};

	snprintf(exception.limits, sizeof(exception.limits), "%s", limits);
	return exception;
}

static size_t format(const struct exception *exception, char *bytes)
{
	struct strbuf text;

	strbuf_init(&text, bytes, EXCEPTION_SIZE_MAX);
	exception_format(exception, &text);
	return text.length;
}

static void check_same(const struct exception *a, const struct exception *b, const char *name)
{
	check_string(a->limits, b->limits, name);
	check(a->changed_ms == b->changed_ms, "%s: changed %lld", name, (long long)a->changed_ms);
	check(a->until_s == b->until_s, "%s: until %lld", name, (long long)a->until_s);
	check(a->grants == b->grants, "%s: %u grants", name, a->grants);
	for (unsigned i = 0; i < a->grants; i++) {
		check(a->grant[i].until_s == b->grant[i].until_s &&
			a->grant[i].count == b->grant[i].count,
		    "%s: grant %u", name, i);
	}
}

/* One of each kind, and the largest that there can be. */
static size_t examples(struct exception *example)
{
	size_t n = 0, length = 0;

	example[n++] = make("5000/day", 0);
	example[n++] = make("10/minute, 5000/day", NOW + 60);
	example[n++] = make("unlimited", 0);
	example[n++] = make("deny", INT64_MAX / 1000);
	example[n] = make("", 0);
	exception_grant(&example[n++], NOW + 1, 1);
	example[n] = make("1/hour", NOW);
	exception_grant(&example[n], NOW + 1, 5);
	exception_grant(&example[n++], NOW + 2, LIMIT_BYTES_MAX);
	example[n] = make("", INT64_MAX / 1000);
	for (length = 0; length < EXCEPTION_LIMITS_SIZE - 1; length++) {
		example[n].limits[length] = 'x';
	}
	for (unsigned i = 0; i < EXCEPTION_GRANTS_MAX; i++) {
		exception_grant(&example[n], INT64_MAX, INT64_MAX);
	}
	return n + 1;
}

static void test_round_trip(void **state)
{
	struct exception example[8], back;
	size_t examples_n = examples(example);
	char bytes[EXCEPTION_SIZE_MAX];
	struct error error;

	(void)state;
	for (size_t i = 0; i < examples_n; i++) {
		size_t size = format(&example[i], bytes);

		check(size < sizeof(bytes) - 1, "%s: is cut", example[i].limits);
		for (size_t j = 0; j < size; j++) {
			check(bytes[j] >= ' ' && bytes[j] <= '~', "not printable");
		}
		check(exception_read(&back, bytes, size, &error) == 0, "%s: %s", bytes, error.text);
		check_same(&back, &example[i], bytes);
	}
	format(&example[5], bytes);
	check(
	    strncmp(bytes, "1 1795175999123 1795176000 1/hour|1795176001 +5|1795176002 +", 60) == 0,
	    "not the documented format: %s", bytes);
}

/* Also a record that was cut off, or that has something behind it. */
static void test_damage(void **state)
{
	struct exception example[8], back;
	size_t examples_n = examples(example);
	char bytes[EXCEPTION_SIZE_MAX];
	struct error error;

	(void)state;
	for (size_t i = 0; i < examples_n; i++) {
		size_t size = format(&example[i], bytes);

		for (size_t j = 0; j < size; j++) {
			char before = bytes[j];

			for (int bit = 0; bit < 8; bit++) {
				bytes[j] = (char)(before ^ (1 << bit));
				check(exception_read(&back, bytes, size, &error) == -1,
				    "example %zu: bit %d of byte %zu", i, bit, j);
				check(error.text[0], "without a reason");
				check(!back.limits[0] && back.grants == 0, "something is left");
			}
			bytes[j] = before;
			check(exception_read(&back, bytes, j, &error) == -1,
			    "example %zu: cut after %zu bytes", i, j);
		}
		bytes[size] = '0';
		check(exception_read(&back, bytes, size + 1, &error) == -1, "longer");
	}
}

/* A good checksum, but not what we write: the text stands for the record without it. */
static void test_foreign(void **state)
{
	static const char *const records[] = {"2 7 0 5/hour|", "10 7 0 5/hour|", " 7 0 5/hour|",
	    "1 0 5/hour|", "1 7 0 |", "1 7 0|", "1 7  5/hour|", "1 7 x 5/hour|", "1 x 0 5/hour|",
	    "1 7 -1 5/hour|", "1 7 0 5/hour|1 5|", "1 7 0 -|1 +|", "1 7 0 -|+5|", "1 7 0 -|1 +5",
	    "1 7 0 -|1 +5|x|", "1 7 0 -|9223372036854775808 +5|",
	    "1 7 0 -|1 +1|1 +1|1 +1|1 +1|1 +1|1 +1|1 +1|1 +1|1 +1|"};
	static const uint8_t secret[HASH_KEY_BYTES] = "ratelimit record";
	char bytes[EXCEPTION_SIZE_MAX];
	struct exception back;
	struct error error;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(records); i++) {
		int length = snprintf(bytes, sizeof(bytes), "%s%011llx", records[i],
		    (unsigned long long)hash_keyed(secret, records[i], strlen(records[i])) >> 20);

		check(exception_read(&back, bytes, (size_t)length, &error) == -1, "\"%s\" is read",
		    records[i]);
		check(!back.limits[0] && back.grants == 0, "\"%s\": something is left", records[i]);
	}
	/* The checksum here is the one of the format: with good text it is taken. */
	snprintf(bytes, sizeof(bytes), "1 7 0 5/hour|%011llx",
	    (unsigned long long)hash_keyed(secret, "1 7 0 5/hour|", 13) >> 20);
	check(exception_read(&back, bytes, strlen(bytes), &error) == 0, "%s", error.text);
}

static void test_prune(void **state)
{
	struct exception exception = make("1/hour", NOW);

	(void)state;
	exception_grant(&exception, NOW + 10, 5);
	exception_grant(&exception, NOW - 10, 6);
	exception_grant(&exception, 0, 7);
	exception_grant(&exception, NOW + 20, 8);
	assert_true(exception_prune(&exception, NOW - 11));
	assert_string_equal(exception.limits, "1/hour");
	assert_int_equal(exception.grants, 4);
	assert_true(exception_prune(&exception, NOW - 1));
	assert_string_equal(exception.limits, "1/hour");
	assert_int_equal(exception.grants, 3);
	assert_true(exception_prune(&exception, NOW)); /* it ends with the second */
	assert_string_equal(exception.limits, "");
	assert_int_equal(exception.until_s, 0);
	assert_int_equal(exception.grants, 3);
	assert_int_equal(exception.grant[0].count, 5);
	assert_int_equal(exception.grant[1].count, 7);
	assert_int_equal(exception.grant[2].count, 8);
	assert_true(exception_prune(&exception, NOW + 10));
	assert_int_equal(exception_granted(&exception), 15);
	assert_true(exception_prune(&exception, NOW + 20)); /* 0 is for good */
	assert_int_equal(exception_granted(&exception), 7);
	exception.grants = 0;
	assert_false(exception_prune(&exception, NOW));
	exception = make("deny", 0);
	assert_true(exception_prune(&exception, INT64_MAX));
}

static void test_grants(void **state)
{
	struct exception exception = make("", 0);

	(void)state;
	assert_int_equal(exception_granted(&exception), 0);
	for (unsigned i = 1; i <= EXCEPTION_GRANTS_MAX; i++) {
		assert_int_equal(exception_grant(&exception, NOW, i), 0);
		assert_int_equal(exception_granted(&exception), i * (i + 1) / 2);
	}
	assert_int_equal(exception_grant(&exception, NOW, 9), -1);
	assert_int_equal(exception.grants, EXCEPTION_GRANTS_MAX);
	assert_int_equal(exception_granted(&exception), 36);
}

static void test_sums_saturate(void **state)
{
	struct exception exception = make("", 0);

	(void)state;
	exception_grant(&exception, NOW, LIMIT_BYTES_MAX - 1);
	assert_int_equal(exception_granted(&exception), LIMIT_BYTES_MAX - 1);
	exception_grant(&exception, NOW, 1);
	assert_int_equal(exception_granted(&exception), LIMIT_BYTES_MAX);
	for (unsigned i = 2; i < EXCEPTION_GRANTS_MAX; i++) {
		exception_grant(&exception, NOW, LIMIT_BYTES_MAX);
		assert_int_equal(exception_granted(&exception), LIMIT_BYTES_MAX);
	}
}

static void test_keys(void **state)
{
	char key[64];
	struct strbuf text;
	const char *counter;
	size_t length;

	(void)state;
	strbuf_init(&text, key, sizeof(key));
	exception_key(&text, "users:a:b", 9);
	assert_string_equal(key, ":set:users:a:b");
	counter = exception_counter_key(key, text.length, &length);
	assert_non_null(counter);
	assert_int_equal(length, 9);
	assert_memory_equal(counter, "users:a:b", 9);
	assert_null(exception_counter_key(":meta", 5, &length));
	assert_null(exception_counter_key(":set:", 5, &length));
	assert_null(exception_counter_key("users:a:b", 9, &length));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_foreign),
	    cmocka_unit_test(test_prune),
	    cmocka_unit_test(test_grants),
	    cmocka_unit_test(test_sums_saturate),
	    cmocka_unit_test(test_keys),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("exception", tests, NULL, NULL);
}
