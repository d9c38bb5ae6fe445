/*
 * Tests of src/config/selector.c: what a key is made of, which values a match takes, and every
 * mistake in either.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/strbuf.h"
#include "config/selector.h"

#define OTHERS ", or sasl_domain, sender_domain, recipient_domain"
#define SENDS "one that Postfix sends, such as sasl_username, sender, client_address"

/* "a(source,kind)+b(…), c(…)" for what a key was parsed into. */
static void format_key(const struct rule *rule, struct strbuf *text)
{
	static const char kinds[] = {
	    [KEY_TEXT] = 't', [KEY_MAILBOX] = 'm', [KEY_ADDRESS] = 'a', [KEY_DOMAIN] = 'd'};

	for (unsigned i = 0; i < rule->keys; i++) {
		for (unsigned j = 0; j < rule->key[i].parts; j++) {
			const struct config_attribute *part = &rule->key[i].part[j];

			strbuf_printf(text, "%s%s(%s,%c)",
			    j       ? "+"
				: i ? " "
				    : "",
			    part->name, part->source, kinds[part->kind]);
		}
	}
}

static void test_key(void **state)
{
	static const struct {
		const char *value, *key;
	} cases[] = {
	    {"everything", ""},
	    {"sender", "sender(sender,m)"},
	    {"helo_name", "helo_name(helo_name,t)"},
	    {"client_address", "client_address(client_address,a)"},
	    {"sasl_domain", "sasl_domain(sasl_username,d)"},
	    {"sender+recipient", "sender(sender,m)+recipient(recipient,m)"},
	    {" sender\t+ recipient_domain ", "sender(sender,m)+recipient_domain(recipient,d)"},
	    {"sasl_username,client_name",
		"sasl_username(sasl_username,m) client_name(client_name,t)"},
	    {"size+size, size", "size(size,t)+size(size,t) size(size,t)"},
	    {"size,size,size,size,size,size,size,size",
		"size(size,t) size(size,t) size(size,t) size(size,t) size(size,t) size(size,t) "
		"size(size,t) size(size,t)"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct rule rule = {.keys = 0};
		struct error error = {""};
		char buffer[400];
		struct strbuf text;

		check(selector_parse_key(&rule, cases[i].value, &error) == 0, "%s: %s",
		    cases[i].value, error.text);
		strbuf_init(&text, buffer, sizeof(buffer));
		format_key(&rule, &text);
		check_string(buffer, cases[i].key, cases[i].value);
	}
}

static void test_key_errors(void **state)
{
	static const char missing[] = "an attribute is missing; " SENDS OTHERS ", or everything";
	static const struct {
		const char *value, *error;
	} cases[] = {
	    {"", missing},
	    {"sender,", missing},
	    {",sender", missing},
	    {"sender+", missing},
	    {"sender + + size", missing},
	    {"Sender", "unknown attribute \"Sender\", did you mean \"sender\"?"},
	    {"sender_domian",
		"unknown attribute \"sender_domian\", did you mean "
		"\"sender_domain\"?"},
	    {"everythin", "unknown attribute \"everythin\", did you mean \"everything\"?"},
	    {"sender recipient",
		"unknown attribute \"sender recipient\"; " SENDS OTHERS ", or everything"},
	    {"sender, everything", "\"everything\" can't be combined"},
	    {"everything+sender", "\"everything\" can't be combined"},
	    {"a+sender", "unknown attribute \"a\"; " SENDS OTHERS ", or everything"},
	    {"size+size+size", "more than two attributes joined by '+'"},
	    {"size,size,size,size,size,size,size,size,size",
		"more than 8 attributes to choose from"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct rule rule = {.keys = 1};
		struct error error = {""};

		check(selector_parse_key(&rule, cases[i].value, &error) == -1, "%s: no error",
		    cases[i].value);
		check_string(error.text, cases[i].error, cases[i].value);
		check(rule.keys == 1, "%s: %u keys", cases[i].value, rule.keys);
	}
}

static void test_key_can_be(void **state)
{
	static const struct {
		const char *value, *kinds; /* m: mailbox, a: address, d: domain, t: text */
	} cases[] = {
	    {"everything", ""},
	    {"sender", "m"},
	    {"client_address, sasl_username", "ma"},
	    {"client_address + sasl_username", ""},
	    {"client_address + sasl_username, sender_domain, size", "dt"},
	};
	static const struct {
		char letter;
		enum key_kind kind;
	} kinds[] = {{'t', KEY_TEXT}, {'m', KEY_MAILBOX}, {'a', KEY_ADDRESS}, {'d', KEY_DOMAIN}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases) * COUNT_OF(kinds); i++) {
		const char *value = cases[i / COUNT_OF(kinds)].value;
		char letter = kinds[i % COUNT_OF(kinds)].letter;
		bool expected = strchr(cases[i / COUNT_OF(kinds)].kinds, letter) != NULL;
		struct rule rule = {.keys = 0};
		struct error error;

		check(selector_parse_key(&rule, value, &error) == 0, "%s", value);
		check(selector_key_can_be(&rule, kinds[i % COUNT_OF(kinds)].kind) == expected,
		    "%s, %c: expected %d", value, letter, expected);
	}
}

static void test_match(void **state)
{
	static const struct {
		const char *line, *value;
		bool matches;
	} cases[] = {
	    {"sender = a@x", "A@X", true},
	    {"sender=a@x", "a@y", false},
	    {"sender != a@x", "a@x", false},
	    {"sender!=a@x", "a@y", true},
	    {"sender = @x, .y", "b@x", true},
	    {"sender = @x, .y", "b@z.y", true},
	    {"sender = @x, .y", "b@y", false},
	    {"sender != @x, .y", "b@y", true},
	    {"sender !=\t@x , .y ", "b@z.y", false},
	    {"sasl_username =", "", true},
	    {"sasl_username = ", "u", false},
	    {"sasl_username != ", "u", true},
	    {"sasl_username = *", "", false},
	    {"sasl_username = *", "u", true},
	    {"client_address = 192.0.2.0/24, ::1", "192.0.2.9", true},
	    {"client_address = 192.0.2.0/24, ::1", "::1", true},
	    {"client_address = 192.0.2.0/24, ::1", "unknown", false},
	    {"client_address != 192.0.2.0/24", "unknown", true},
	    {"client_address = unknown", "unknown", true},
	    {"sender_domain = @x", "x", true},
	    {"sender_domain = x", "x", true},
	    {"sender_domain = .x", "y.x", true},
	    {"helo_name = a = b", "a = b", true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *value = cases[i].value;
		struct config_match match;
		struct error error = {""};

		check(selector_parse_match(&match, cases[i].line, &error) == 0, "%s: %s",
		    cases[i].line, error.text);
		check(selector_matches(&match, value, strlen(value)) == cases[i].matches,
		    "%s, \"%s\": expected %d", cases[i].line, value, cases[i].matches);
		selector_free_match(&match);
	}
}

static void test_match_errors(void **state)
{
	static const struct {
		const char *line, *error;
	} cases[] = {
	    {"sender", "\"sender\" is not ATTRIBUTE = VALUE or ATTRIBUTE != VALUE"},
	    {"= x", "an attribute is missing; " SENDS OTHERS},
	    {"sendr = x", "unknown attribute \"sendr\", did you mean \"sender\"?"},
	    {"everything = x", "unknown attribute \"everything\"; " SENDS OTHERS},
	    {"sender == x", "\"==\" is not an operator; one of = and !="},
	    {"sender = a,,b", "a value is missing before or after a ','"},
	    {"sender = a,", "a value is missing before or after a ','"},
	    {"sender = ,a", "a value is missing before or after a ','"},
	    {"sender = a*", "\"a*\": '*' must stand alone; write @domain or .domain"},
	    {"client_address = host", "\"host\" is not an IP address or network"},
	    {"client_address = 192.0.2.1/24",
		"\"192.0.2.1/24\" has bits set after its prefix; the network is 192.0.2.0/24"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct config_match match;
		struct error error = {""};

		check(selector_parse_match(&match, cases[i].line, &error) == -1, "%s: no error",
		    cases[i].line);
		check_string(error.text, cases[i].error, cases[i].line);
		selector_free_match(&match);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_key),
	    cmocka_unit_test(test_key_errors),
	    cmocka_unit_test(test_key_can_be),
	    cmocka_unit_test(test_match),
	    cmocka_unit_test(test_match_errors),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("selector", tests, NULL, NULL);
}
