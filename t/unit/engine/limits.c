/*
 * Tests of src/engine/limits.c: what is compiled of a rule's limits, its overrides and exceptions.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine.h"

#include "engine/limits.h"

static struct config config;
static struct effective_limits *limits;

/* A configuration with one rule of these options. */
static void set_up(const char *options)
{
	char text[1024];

	snprintf(text, sizeof(text), "[rule r]\n%s", options);
	load_config(&config, text);
	limits = effective_limits_new(&config);
	check(limits != NULL, "no limits");
}

static void clean_up(void)
{
	effective_limits_free(limits);
	config_free(&config);
}

/* Keys share windows, logs have one length, and the initial record is one of its layout. */
static void test_of_file(void **state)
{
	static const struct {
		const char *options;
		unsigned windows, override_windows, events, transactions;
		size_t overrides;
	} cases[] = {
	    {"key = sender\nlimit = 5/hour, 9/day\noverride = a 7/day\noverride = b 7/day\n"
	     "override = c 7/week\n",
		2, 2, 0, 3, 2},
	    {"key = sender\nlimit = unlimited\noverride = a 7/day, 9/week\n", 0, 2, 0, 3, 1},
	    {"key = everything\nlimit = 5/hour\nstrategy = moving-window\n", 1, 0, 7, 3, 0},
	    {"key = sender\nlimit = 5/hour\nstrategy = moving-window\noverride = a 50/hour\n", 1, 1,
		52, 3, 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].options;
		const struct rule *rule;

		set_up(name);
		rule = &config.rule[0];
		check(rule->overrides == cases[i].overrides, "%s: %zu overrides", name,
		    rule->overrides);
		for (size_t j = 0; j <= rule->overrides; j++) {
			const struct effective *effective = effective_limits_of_file(
			    limits, rule, j > 0 ? rule->override[j - 1] : NULL);
			unsigned windows = j == 1 ? cases[i].override_windows : cases[i].windows;
			struct record record;
			struct error error = {""};

			check(effective->layout.events == cases[i].events, "%s: %u events", name,
			    effective->layout.events);
			check(effective->layout.transactions == cases[i].transactions,
			    "%s: %u transactions", name, effective->layout.transactions);
			check(j > 1 || effective->layout.windows == windows, "%s: %u windows", name,
			    effective->layout.windows);
			if (effective->layout.windows == 0) {
				check(!effective->initial, "%s: a record", name);
				continue;
			}
			check(record_read(&record, effective->initial, effective->initial_size,
				  &error) == 0,
			    "%s: %s", name, error.text);
			check(record_layout_same(&record.layout, &effective->layout), "%s: layout",
			    name);
		}
		clean_up();
	}
}

/* Limits that were set in the database. */
static void test_with_exception(void **state)
{
	static const struct {
		const char *limits, *error; /* "" : none */
		unsigned windows;
	} cases[] = {
	    {"7/hour", "", 1},
	    {"7/day, 1/hour", "", 2},
	    {"unlimited", "", 1},
	    {"8/hour",
		"a limit above 7: the records of this moving-window have no room for more; raise "
		"the rule's limit, or an override, in the configuration first",
		1},
	    {"10001/hour",
		"a moving-window remembers each event, 10000 at most; for a limit above that use "
		"strategy = sliding-window",
		1},
	    {"1/m,1/2m,1/3m,1/4m,1/5m,1/6m,1/7m,1/8m", "with those of the rule more than 8 windows",
		0},
	};
	const struct rule *rule;
	const struct effective *file;

	(void)state;
	set_up("key = sender\nlimit = 5/hour\nstrategy = moving-window\noverride = a 7/day\n");
	rule = &config.rule[0];
	file = effective_limits_of_file(limits, rule, NULL);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].limits;
		struct exception exception = {.grants = 0};
		const struct effective *with;
		struct error error = {""};

		snprintf(exception.limits, sizeof(exception.limits), "%s", name);
		with = effective_limits_with(limits, rule, file, &exception, &error);
		check(!with || effective_limits_check(with, &error) == 0 || error.text[0],
		    "%s: no reason", name);
		check_string(error.text, cases[i].error, name);
		check(!with == (cases[i].windows == 0), "%s: limits or none", name);
		/* What there is room for holds, and nothing is ignored. */
		check(!with || with->limits.n == 0 || with->limits.at[0].count <= 7, "%s: above 7",
		    name);
		check(!with || with->layout.windows == cases[i].windows, "%s: windows", name);
		check(
		    !with || with == effective_limits_with(limits, rule, file, &exception, &error),
		    "%s: compiled twice", name);
	}
	clean_up();
}

/* Grants add to each window, up to the largest count; many different ones are forgotten. */
static void test_grants(void **state)
{
	struct exception exception = {.grants = 0};
	const struct effective *file, *with;
	struct error error = {""};

	(void)state;
	set_up("key = sender\nlimit = 5/hour, 9/day\n");
	file = effective_limits_of_file(limits, &config.rule[0], NULL);
	check(exception_grant(&exception, 1, 3) == 0, "grant");
	check(exception_grant(&exception, 2, 4) == 0, "grant");
	with = effective_limits_with(limits, &config.rule[0], file, &exception, &error);
	check(with && with->limits.at[0].count == 12 && with->limits.at[1].count == 16, "%s",
	    error.text);
	exception.grant[0].count = LIMIT_COUNT_MAX;
	with = effective_limits_with(limits, &config.rule[0], file, &exception, &error);
	check(with && with->limits.at[0].count == LIMIT_COUNT_MAX, "more than the largest count");
	for (uint64_t i = 1; i < 1000; i++) {
		effective_limits_trim(limits);
		exception.grant[0].count = i;
		with = effective_limits_with(limits, &config.rule[0], file, &exception, &error);
		check(with && with->limits.at[0].count == 9 + i, "grant %u", (unsigned)i);
	}
	clean_up();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_of_file),
	    cmocka_unit_test(test_with_exception),
	    cmocka_unit_test(test_grants),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
