/*
 * Tests of src/base/ascii.c: letter case.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/ascii.h"

#include <string.h>

static void test_ascii(void **state)
{
	static const struct {
		const char *a;
		size_t length;
		const char *b;
		bool same;
	} cases[] = {
	    {"hour", 4, "hour", true}, {"HoUr", 4, "hOuR", true}, {"hours", 4, "hour", true},
	    {"hours", 5, "hour", false}, {"hou", 3, "hour", false}, {"", 0, "", true},
	    {"", 0, "x", false}, {"hou\0", 4, "hour", false}, {"hour\0", 5, "hour", false},
	    {"a@b", 3, "a`b", false}, {"[", 1, "{", false},
	    {"\xc3\x84", 2, "\xc3\xa4", false}, /* umlauts are not ASCII */
	};
	char bytes[] = "AZaz@[`{09-\xc3\x84\xc3\xa4Q";

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		check(ascii_same(cases[i].a, cases[i].length, cases[i].b) == cases[i].same,
		    "\"%.*s\" and \"%s\": expected %d", (int)cases[i].length, cases[i].a,
		    cases[i].b, cases[i].same);
	}
	ascii_lower(bytes, sizeof(bytes) - 2);
	check_string(bytes, "azaz@[`{09-\xc3\x84\xc3\xa4Q", "ascii_lower but the last byte");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ascii),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ascii", tests, NULL, NULL);
}
