/*
 * Tests of src/config/rule.c: how counters are laid out, which limits hold for which key, and
 * the mistakes that only show when all options of a rule are known.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/strbuf.h"
#include "config/options.h"
#include "config/rule.h"

#include <stdarg.h>

#define KEY_LINE 90
#define LIMIT_LINE 91

static void take_complaint(void *data, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void take_complaint(void *data, unsigned line, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	strbuf_printf(data, "%u: %s\n", line, message);
}

/* Makes the rule of "OPTION = VALUE" lines, the first of which is line 1; complaints go to text. */
static void make_rule(struct rule *rule, const char *options, struct strbuf *text)
{
	char copy[2000], *lines = copy, *line;
	unsigned key_line = 0, limit_line = 0, number = 0;

	snprintf(copy, sizeof(copy), "%s", options);
	*rule = (struct rule){.name = "r", .line = 99};
	check(options_init(options_rule, rule) == 0, "no memory");
	while ((line = strsep(&lines, "\n"))) {
		char *value = strstr(line, " = ");
		const struct config_option *option = options_rule;
		struct error error = {""};

		if (!*line) {
			continue;
		}
		check(value, "\"%s\"", line);
		*value = '\0';
		value += 3;
		while (option->name && strcmp(option->name, line) != 0) {
			option++;
		}
		check(option->name, "there is no option %s", line);
		check(options_set(option, rule, value, ++number, &error) == 0, "%s", error.text);
		key_line = strcmp(line, "key") == 0 ? KEY_LINE : key_line;
		limit_line = strcmp(line, "limit") == 0 ? LIMIT_LINE : limit_line;
	}
	check(rule_finish(rule, key_line, limit_line, take_complaint, text) == 0, "no memory");
}

static void make_good_rule(struct rule *rule, const char *options)
{
	char buffer[1000];
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	make_rule(rule, options, &text);
	check_string(buffer, "", options);
}

/* Every complaint, word for word, with its line. */
static void test_complaints(void **state)
{
	static const struct {
		const char *options, *complaints;
	} cases[] = {
	    {"",
		"99: [rule r] has no key; say what is counted, such as key = sasl_username\n"
		"99: [rule r] has no limit; say how much, such as limit = 100/hour\n"},
	    {"key = sender\nlimit = 1/our\n",
		"91: limit: unknown unit \"our\" in \"1/our\"; one of second, minute, hour, day, "
		"week, month, year\n"},
	    {"key = sender\nlimit = 10001/day\nstrategy = moving-window\n",
		"91: limit: a moving-window remembers each event, 10000 at most; for a limit "
		"above that use strategy = sliding-window\n"},
	    {"key = sender\nlimit = 1/hour\noverride = a\noverride = b 1\n",
		"3: override: \"a\" is not PATTERN LIMITS, such as boss@example.com 5000/day\n"
		"4: override: a '/' or \"per\" must follow the number in \"1\"\n"},
	    {"key = sender\nlimit = 1/hour\noverride = A 2/hour\nexempt = b, a\n",
		"4: exempt: \"a\" already has an override\n"},
	    {"key = sender\nlimit = 1/hour\nexempt = a b\nexempt = a,\n",
		"3: exempt: \"a b\" contains blanks; separate patterns by ','\n"
		"4: exempt: a key is missing\n"},
	    {"key = sender\nlimit = 1/hour\nexempt = *\nexempt = @\nexempt = 192.0.2.0/24\n",
		"3: exempt: \"*\": '*' is not a wildcard; write @domain or .domain, or change the "
		"limit\n4: exempt: \"@\" is not followed by a domain\n"
		"5: exempt: \"192.0.2.0/24\" is a network, but the key is not an address\n"},
	    {"key = sender+recipient\nlimit = 1/hour\nexempt = @a\n",
		"3: exempt: \"@a\" is a domain, but the key is a pair; write VALUE+VALUE\n"},
	    {"key = client_address\nlimit = 1/hour\nipv4_prefix = 24\nexempt = 192.0.2.0/25\n"
	     "exempt = a\n",
		"4: exempt: \"192.0.2.0/25\" is part of a /24 that shares one counter "
		"(ipv4_prefix, "
		"ipv6_prefix)\n"
		"5: exempt: \"a\" is not an IP address or network\n"},
	    {"key = sender\nlimit = 1/m,1/h,1/d,1/w,1/2d,1/3d,1/4d,1/5d\noverride = a 1/6d\n",
		"3: override: with those of the rule more than 8 windows\n"},
	    {"key = sender\nlimit = 1/hour\nmatch = size == 1\n",
		"3: match: \"==\" is not an operator; one of = and !=\n"},
	    {"key = sender\nlimit = 1/hour\nmatch = size = 1\nmatch = protocol_state = VRFY\n",
		"4: match: the rule can never apply: recipients are counted in RCPT, DATA and "
		"END-OF-MESSAGE\n"},
	    {"key = sender\nlimit = 1M/hour\ncount = bytes\nmatch = protocol_state = RCPT\n",
		"4: match: the rule can never apply: bytes are counted in END-OF-MESSAGE "
		"alone\n"},
	    {"key = sender\nlimit = 1/hour\nmatch = protocol_state = rcpt\n", ""},
	    {"key = sender\nlimit = 1/hour\nmatch = protocol_state != DATA\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char buffer[1000];
		struct strbuf text;
		struct rule rule;

		strbuf_init(&text, buffer, sizeof(buffer));
		make_rule(&rule, cases[i].options, &text);
		check_string(buffer, cases[i].complaints, cases[i].options);
		rule_free(&rule);
	}
}

/* Which limits hold for a key: the most specific override's, or the rule's. */
static void test_overrides(void **state)
{
	static const struct {
		const char *options, *key, *limits;
	} cases[] = {
	    {"key = sender\n", "a@x", "9/hour"},
	    {"key = sender\noverride = a@x 1/day\n", "a@x", "1/day"},
	    {"key = sender\noverride = A@X 1/day\n", "a@x", "1/day"},
	    {"key = sender\nfold_case = no\noverride = A@X 1/day\n", "a@x", "9/hour"},
	    {"key = sender\noverride = @x 1/day\n", "a@x", "1/day"},
	    {"key = sender\noverride = @x 1/day\n", "a@y.x", "9/hour"},
	    {"key = sender\noverride = .x 1/day\n", "a@y.x", "1/day"},
	    {"key = sender\noverride = @x 1/day\nexempt = a@x\n", "a@x", "unlimited"},
	    {"key = sender\noverride = @x deny\nexempt = b@x\n", "a@x", "deny"},
	    {"key = sender\nstrip_extension = +\noverride = a+b@x 1/day\n", "a@x", "1/day"},
	    {"key = sender_domain\noverride = @x 1/day\n", "x", "1/day"},
	    {"key = sender_domain\noverride = .x 1/day\n", "y.x", "1/day"},
	    {"key = client_address\noverride = 192.0.2.0/24 1/day\n", "192.0.2.7", "1/day"},
	    {"key = client_address\noverride = 192.0.2.0/24 1/day\nexempt = 192.0.2.7\n",
		"192.0.2.7", "unlimited"},
	    {"key = client_address\noverride = 192.0.2.0/24 1/day\n", "192.0.3.7", "9/hour"},
	    {"key = client_address\noverride = 2001:db8::5 1/day\n", "2001:db8::/64", "1/day"},
	    {"key = sasl_username, client_address\noverride = 192.0.2.0/24 1/day\n", "192.0.2.7",
		"1/day"},
	    {"key = sender+recipient\noverride = a+b 1/day\n", "a+b", "1/day"},
	    {"key = everything\n", "everything", "9/hour"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *key = cases[i].key;
		const struct override *override;
		char options[300], buffer[100];
		struct strbuf text;
		struct rule rule;

		snprintf(options, sizeof(options), "%slimit = 9/hour\n", cases[i].options);
		make_good_rule(&rule, options);
		strbuf_init(&text, buffer, sizeof(buffer));
		override = rule_find_override(&rule, key, strlen(key));
		limits_format(override ? &override->limits : &rule.limits, rule.count, &text);
		check_string(buffer, cases[i].limits, options);
		rule_free(&rule);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_complaints),
	    cmocka_unit_test(test_overrides),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("rule", tests, NULL, NULL);
}
