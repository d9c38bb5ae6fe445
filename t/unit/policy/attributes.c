/*
 * Tests of src/policy/attributes.c: the table holds what it promises, and names are found whole.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "policy/attributes.h"

static void test_find(void **state)
{
	static const struct {
		const char *name;
		size_t length;
		bool found, sent;
		enum attribute_kind kind;
		const char *source;
	} cases[] = {
	    {"request", 7, true, true, ATTRIBUTE_TEXT, NULL},
	    {"mail_version", 12, true, true, ATTRIBUTE_TEXT, NULL},
	    {"policy_context", 14, true, true, ATTRIBUTE_TEXT, NULL},
	    {"senders", 6, true, true, ATTRIBUTE_MAILBOX, NULL},
	    {"recipient", 9, true, true, ATTRIBUTE_MAILBOX, NULL},
	    {"sasl_username", 13, true, true, ATTRIBUTE_MAILBOX, NULL},
	    {"sasl_sender", 11, true, true, ATTRIBUTE_MAILBOX, NULL},
	    {"client_address", 14, true, true, ATTRIBUTE_ADDRESS, NULL},
	    {"server_address", 14, true, true, ATTRIBUTE_ADDRESS, NULL},
	    {"sasl_domain", 11, true, false, ATTRIBUTE_DOMAIN, "sasl_username"},
	    {"sender_domain", 13, true, false, ATTRIBUTE_DOMAIN, "sender"},
	    {"recipient_domain", 16, true, false, ATTRIBUTE_DOMAIN, "recipient"},
	    {"senders", 7, false, false, ATTRIBUTE_TEXT, NULL},
	    {"sende", 5, false, false, ATTRIBUTE_TEXT, NULL},
	    {"Sender", 6, false, false, ATTRIBUTE_TEXT, NULL},
	    {"size\0", 5, false, false, ATTRIBUTE_TEXT, NULL},
	    {"", 0, false, false, ATTRIBUTE_TEXT, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].name, *source = cases[i].source;
		const struct attribute *found = attributes_find(name, cases[i].length);

		check((found != NULL) == cases[i].found, "case %zu, %s: found %d", i, name,
		    found != NULL);
		if (found) {
			check(!found->source == !source, "%s: a source", name);
			check_string(source ? found->source : "", source ? source : "", name);
			check(found->kind == cases[i].kind, "%s: kind %d", name, found->kind);
		}
		check(attributes_is_sent(name, cases[i].length) == cases[i].sent,
		    "case %zu, %s: expected sent to be %d", i, name, cases[i].sent);
	}
}

/* Names differ, and a derived attribute is taken from a mailbox that Postfix sends. */
static void test_table(void **state)
{
	(void)state;
	for (const struct attribute *attribute = attributes; attribute->name; attribute++) {
		const char *name = attribute->name, *source = attribute->source;
		const struct attribute *found =
		    source ? attributes_find(source, strlen(source)) : NULL;

		check(attributes_find(name, strlen(name)) == attribute, "%s stands twice", name);
		check((attribute->kind == ATTRIBUTE_DOMAIN) == (source != NULL),
		    "%s: a source", name);
		check(!source || (found && found->kind == ATTRIBUTE_MAILBOX), "the source of %s",
		    name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_table),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("attributes", tests, NULL, NULL);
}
