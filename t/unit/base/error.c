/*
 * Tests of src/base/error.c: texts and their size.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"

#include <string.h>

static void test_error(void **state)
{
	struct error error;

	(void)state;
	check(error_set(&error, "%s is %d", "x", 7) == -1, "error_set returns -1");
	check_string(error.text, "x is 7", "error_set");
	error_set(&error, "%1000d", 7);
	check(strlen(error.text) == sizeof(error.text) - 1, "a long text is cut and terminated");
	error_set(&error, "%s", "a\nb\x1b[1mc\xff\xe2\x80\xae\xd8\x9c\xf3\xa0\x81\x81");
	check_string(error.text, "a?b?[1mc????", "a text is made printable");
	error_set(&error, "%*s\xc3\xa9", (int)sizeof(error.text) - 2, "");
	check(strlen(error.text) == sizeof(error.text) - 2, "no character is cut in two");
	check(error_no_memory(&error) == -1 && error.no_memory, "error_no_memory");
	check_string(error.text, "out of memory", "error_no_memory");
	error_set(&error, "x");
	check(!error.no_memory, "error_set: still out of memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_error),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
