/*
 * Tests of src/config/options.c: defaults, values as they are printed, and what is wrong with a
 * value.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "config/file.h"
#include "config/options.h"
#include "config/rule.h"

#include <syslog.h>

struct sections {
	struct config config;
	struct rule rule;
};

static void init(struct sections *sections)
{
	*sections = (struct sections){.config = {.rules = 0}};
	check(options_init(options_global, &sections->config) == 0, "no memory");
	check(options_init(options_rule, &sections->rule) == 0, "no memory");
}

static void finish(struct sections *sections)
{
	rule_free(&sections->rule);
	config_free(&sections->config);
}

/* The option of that name in a table, or NULL. */
static const struct config_option *find(const struct config_option *table, const char *name)
{
	while (table->name && strcmp(table->name, name) != 0) {
		table++;
	}
	return table->name ? table : NULL;
}

/* Sets an option, of the rule if it has one of that name. */
static int set(struct sections *sections, const char *name, const char *value, struct error *error)
{
	const struct config_option *option = find(options_rule, name);
	void *section = option ? (void *)&sections->rule : &sections->config;

	option = option ? option : find(options_global, name);
	check(option, "there is no option %s", name);
	return options_set(option, section, value, 0, error);
}

static void print(const struct sections *sections, const char *name, struct strbuf *text)
{
	const struct config_option *option = find(options_rule, name);
	const void *section = option ? (const void *)&sections->rule : &sections->config;

	option = option ? option : find(options_global, name);
	options_print(option, section, text);
}

static void test_values(void **state)
{
	static const struct {
		const char *name, *value;
		const char *printed; /* NULL: like value */
	} cases[] = {
	    {"database", DEFAULT_DATABASE},
	    {"database", "/"},
	    {"database_mode", "0640"},
	    {"database_mode", "600", "0600"},
	    {"database_mode", "0644"},
	    {"database_max_size", "256M"},
	    {"database_max_size", "64K"},
	    {"database_max_size", "65536", "64K"},
	    {"database_max_size", "65537"},
	    {"database_max_size", "4G"},
	    {"user", DEFAULT_USER},
	    {"user", "a.b-c_d"},
	    {"on_error", "DUNNO"},
	    {"on_error", "451 4.3.0 {no placeholder"},
	    {"success_action", "DUNNO"},
	    {"success_action", "prepend X-A: b"},
	    {"lock_timeout", "2s"},
	    {"lock_timeout", "10ms"},
	    {"lock_timeout", "1500ms"},
	    {"lock_timeout", "60000ms", "60s"},
	    {"log", "denied"},
	    {"log", "none"},
	    {"log", "all"},
	    {"log_target", "syslog"},
	    {"log_target", "syslog:local7"},
	    {"log_target", "file:/var/log/x"},
	    {"key", "everything"},
	    {"key", "sasl_username, sender + recipient"},
	    {"count", "recipients"},
	    {"count", "bytes"},
	    {"strategy", "sliding-window"},
	    {"strategy", "fixed-window"},
	    {"resolution", "12"},
	    {"resolution", "1"},
	    {"resolution", "60"},
	    {"action", "REJECT {{ {sender} {retry_after}"},
	    {"mode", "enforce"},
	    {"mode", "observe"},
	    {"count_denied", "no"},
	    {"count_denied", "yes"},
	    {"warn_at", "80", "80%"},
	    {"warn_at", "100%"},
	    {"warn_at", "1%"},
	    {"ipv4_prefix", "32"},
	    {"ipv4_prefix", "0"},
	    {"ipv6_prefix", "64"},
	    {"ipv6_prefix", "128"},
	    {"fold_case", "yes"},
	    {"strip_extension", "+-"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].name;
		struct sections sections;
		struct error error = {""};
		char buffer[400];
		struct strbuf text;

		init(&sections);
		check(
		    set(&sections, name, cases[i].value, &error) == 0, "%s: %s", name, error.text);
		strbuf_init(&text, buffer, sizeof(buffer));
		print(&sections, name, &text);
		check_string(buffer, cases[i].printed ? cases[i].printed : cases[i].value, name);
		finish(&sections);
	}
}

/* What the manual says. Each is also a value that can be set; and "" means that there is none. */
static void test_defaults(void **state)
{
	static const struct {
		const char *name, *value;
	} cases[] = {
	    {"database", DEFAULT_DATABASE},
	    {"database_mode", "0600"},
	    {"database_max_size", "256M"},
	    {"state_directory", DEFAULT_STATE},
	    {"user", DEFAULT_USER},
	    {"on_error", "DUNNO"},
	    {"success_action", "DUNNO"},
	    {"lock_timeout", "2s"},
	    {"log", "denied"},
	    {"log_target", "syslog"},
	    {"count", "recipients"},
	    {"strategy", "sliding-window"},
	    {"resolution", "12"},
	    {"action",
		"DEFER_IF_PERMIT 4.7.1 Limit of {limit} reached for {key}, try again in "
		"{retry_after}"},
	    {"mode", "enforce"},
	    {"count_denied", "no"},
	    {"warn_at", ""},
	    {"ipv4_prefix", "32"},
	    {"ipv6_prefix", "64"},
	    {"fold_case", "yes"},
	    {"strip_extension", ""},
	};
	struct sections sections;
	size_t options = 0;

	(void)state;
	init(&sections);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct error error = {""};
		char buffer[400];
		struct strbuf text;

		strbuf_init(&text, buffer, sizeof(buffer));
		print(&sections, cases[i].name, &text);
		check_string(buffer, cases[i].value, cases[i].name);
		check(!buffer[0] || set(&sections, cases[i].name, buffer, &error) == 0, "%s: %s",
		    cases[i].name, error.text);
	}
	for (const struct config_option *option = options_global; option->name; option++) {
		options += option->usual != NULL;
	}
	for (const struct config_option *option = options_rule; option->name; option++) {
		options += option->usual != NULL;
	}
	check(options == COUNT_OF(cases), "%zu options have defaults", options);
	finish(&sections);
}

/* A bad value says why, and leaves the option as it was. */
static void test_errors(void **state)
{
	static const struct {
		const char *name, *value, *error;
	} cases[] = {
	    {"database", "a/b", "\"a/b\" is not an absolute path"},
	    {"database", "", "\"\" is not an absolute path"},
	    {"database_mode", "0602", NULL},
	    {"database_mode", "0660", NULL},
	    {"database_mode", "0400", NULL},
	    {"database_mode", "01600", NULL},
	    {"database_mode", "60", NULL},
	    {"database_mode", "0680", NULL},
	    {"database_max_size", "65535", "\"65535\" is not a size from 64K to 4G, such as 256M"},
	    {"database_max_size", "4097M", NULL},
	    {"user", "", "\"\" is not the name of an account"},
	    {"user", "a:b", NULL},
	    {"on_error", "WARN {rule}",
		"placeholders are for the actions of rules; write it without '{'"},
	    {"state_directory", "state", "\"state\" is not an absolute path"},
	    {"on_error", "OK", "OK would skip all later restrictions; use DUNNO"},
	    {"on_error", "", NULL},
	    {"on_error", "600 x", NULL},
	    {"success_action", "filter", "FILTER needs an argument, see access(5)"},
	    {"lock_timeout", "9ms", "\"9ms\" is not a time from 10ms to 60s, such as 2s"},
	    {"lock_timeout", "61s", NULL},
	    {"lock_timeout", "2", NULL},
	    {"lock_timeout", "s", NULL},
	    {"log", "All", "\"All\" is not none, denied or all"},
	    {"log_target", "file:x", "\"file:x\" is not syslog, syslog:FACILITY or file:/PATH"},
	    {"log_target", "syslog:", NULL},
	    {"key", "sasl_usernme",
		"unknown attribute \"sasl_usernme\", did you mean "
		"\"sasl_username\"?"},
	    {"count", "", "\"\" is not messages, recipients or bytes"},
	    {"strategy", "fixed", "\"fixed\" is not fixed-window, sliding-window or moving-window"},
	    {"resolution", "0", "\"0\" is not a number from 1 to 60"},
	    {"resolution", "61", NULL},
	    {"action", "REJECT {recipent}", NULL},
	    {"action", "REJECT {sender_domain}", NULL},
	    {"mode", "observed", "\"observed\" is not enforce or observe"},
	    {"warn_at", "0%", "\"0%\" is not a number from 1% to 100%"},
	    {"warn_at", "101", NULL},
	    {"warn_at", "%", NULL},
	    {"ipv4_prefix", "33", "\"33\" is not a number from 0 to 32"},
	    {"ipv6_prefix", "129", "\"129\" is not a number from 0 to 128"},
	    {"fold_case", "1", "\"1\" is not no or yes"},
	    {"strip_extension", "a", NULL},
	    {"strip_extension", "", NULL},
	    {"match", "", "the value is missing"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].name;
		const struct config_option *option = find(options_rule, name);
		struct sections sections;
		struct error error = {""};
		char before[400], after[400];
		struct strbuf text;

		init(&sections);
		strbuf_init(&text, before, sizeof(before));
		if (!option || option->type != OPTION_LINES) {
			print(&sections, name, &text);
		}
		check(set(&sections, name, cases[i].value, &error) == -1, "%s = %s: no error", name,
		    cases[i].value);
		check(error.text[0] && !error.no_memory, "%s = %s", name, cases[i].value);
		check_string(error.text, cases[i].error ? cases[i].error : error.text, name);
		strbuf_init(&text, after, sizeof(after));
		if (!option || option->type != OPTION_LINES) {
			print(&sections, name, &text);
		}
		check_string(after, before, name);
		finish(&sections);
	}
}

static void test_log_target(void **state)
{
	struct sections sections;
	struct error error;

	(void)state;
	init(&sections);
	check(!sections.config.log_path && sections.config.log_facility == LOG_MAIL, "default");
	set(&sections, "log_target", "file:/var/log/x", &error);
	check_string(sections.config.log_path, "/var/log/x", "path");
	set(&sections, "log_target", "syslog:local3", &error);
	check(!sections.config.log_path && sections.config.log_facility == LOG_LOCAL3, "facility");
	finish(&sections);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_log_target),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
