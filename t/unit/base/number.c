/*
 * Tests of src/base/number.c: strict numbers and sizes.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/number.h"

#include <string.h>

#define BAD (-1)

static void test_number(void **state)
{
	static const struct {
		const char *string;
		uint64_t max;
		int result;
		uint64_t number;
	} cases[] = {
	    {"0", UINT64_MAX, 0, 0},
	    {"007", UINT64_MAX, 0, 7},
	    {"100", 100, 0, 100},
	    {"101", 100, BAD, 0},
	    {"0", 0, 0, 0},
	    {"1", 0, BAD, 0},
	    {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
	    {"18446744073709551615", UINT64_MAX - 1, BAD, 0},
	    {"18446744073709551616", UINT64_MAX, BAD, 0},
	    {"18446744073709551620", UINT64_MAX, BAD, 0},
	    {"18446744073709551626", 100, BAD, 0}, /* 2^64 + 10 */
	    {"184467440737095516160", UINT64_MAX, BAD, 0},
	};
	static const char *const garbage[] = {"", " 1", "1 ", "-1", "+1", "1a", "0x10", "1.0", "1/",
	    "1:", "\xb1", "\xd9\xa1"}; /* '1' with the high bit; U+0661, a digit elsewhere */
	uint64_t number = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int result =
		    number_parse(cases[i].string, strlen(cases[i].string), cases[i].max, &number);

		check(result == cases[i].result, "\"%s\", at most %llu: expected %d, got %d",
		    cases[i].string, (unsigned long long)cases[i].max, cases[i].result, result);
		check(result == BAD || number == cases[i].number, "\"%s\": expected %llu, got %llu",
		    cases[i].string, (unsigned long long)cases[i].number,
		    (unsigned long long)number);
	}
	for (size_t i = 0; i < COUNT_OF(garbage); i++) {
		check(number_parse(garbage[i], strlen(garbage[i]), UINT64_MAX, &number) == BAD,
		    "\"%s\" is no number", garbage[i]);
	}
	check(number_parse("123abc", 3, UINT64_MAX, &number) == 0 && number == 123,
	    "the first three bytes of \"123abc\": got %llu", (unsigned long long)number);
	check(number_parse("1\0002", 3, UINT64_MAX, &number) == BAD, "a NUL byte is no digit");
}

static void test_size(void **state)
{
	static const struct {
		const char *string;
		uint64_t max;
		int result;
		uint64_t bytes;
	} cases[] = {
	    {"0", UINT64_MAX, 0, 0},
	    {"1K", UINT64_MAX, 0, 1024},
	    {"3M", UINT64_MAX, 0, 3 << 20},
	    {"2G", UINT64_MAX, 0, UINT64_C(2) << 30},
	    {"4K", 4096, 0, 4096},
	    {"4K", 4095, BAD, 0},
	    {"5K", 5119, BAD, 0},
	    {"17179869183G", UINT64_MAX, 0, UINT64_C(17179869183) << 30},
	    {"17179869184G", UINT64_MAX, BAD, 0},
	    {"18446744073709551615K", UINT64_MAX, BAD, 0},
	    {"", UINT64_MAX, BAD, 0},
	    {"K", UINT64_MAX, BAD, 0},
	    {"1KB", UINT64_MAX, BAD, 0},
	    {"-1K", UINT64_MAX, BAD, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t bytes = 0;
		int result = size_parse(cases[i].string, cases[i].max, &bytes);

		check(result == cases[i].result, "\"%s\", at most %llu: expected %d, got %d",
		    cases[i].string, (unsigned long long)cases[i].max, cases[i].result, result);
		check(result == BAD || bytes == cases[i].bytes, "\"%s\": expected %llu, got %llu",
		    cases[i].string, (unsigned long long)cases[i].bytes, (unsigned long long)bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_number),
	    cmocka_unit_test(test_size),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
