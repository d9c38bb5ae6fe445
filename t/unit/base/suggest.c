/*
 * Tests of src/base/suggest.c: which misspelt names are recognised.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/suggest.h"

#include <string.h>

static void test_suggest(void **state)
{
	static const char *const names[] = {"limit", "override", "resolution", "log", "log_target"};
	static const struct {
		const char *wrong, *best; /* NULL: none is close */
	} cases[] = {
	    {"limit", "limit"},
	    {"limits", "limit"},
	    {"limt", "limit"},
	    {"ilmit", "limit"},
	    {"lim", "limit"},
	    {"li", NULL},
	    {"lg", "log"},
	    {"xyg", NULL},
	    {"logtarget", "log_target"},
	    {"overryde", "override"},
	    {"ovrrydee", NULL}, /* three mistakes in eight letters */
	    {"rezollushion", NULL},
	    {"rezolushun", NULL}, /* four in ten */
	    {"rezolushon", "resolution"},
	    {"rezolutiom", "resolution"},
	    {"", NULL},
	    {"resolutionresolutionresolutionresolutionresolution", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct suggestion near;
		const char *best;

		suggest_init(&near, cases[i].wrong, strlen(cases[i].wrong));
		for (size_t j = 0; j < COUNT_OF(names); j++) {
			suggest_try(&near, names[j]);
		}
		best = suggest_best(&near);
		check_string(
		    best ? best : "none", cases[i].best ? cases[i].best : "none", cases[i].wrong);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_suggest),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("suggest", tests, NULL, NULL);
}
