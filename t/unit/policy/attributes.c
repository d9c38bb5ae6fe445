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
		const char *source; /* NULL: there is no such attribute */
		enum attribute_kind kind;
		bool sent;
	} cases[] = {
	    {"request", 7, "request", ATTRIBUTE_TEXT, true},
	    {"mail_version", 12, "mail_version", ATTRIBUTE_TEXT, true},
	    {"policy_context", 14, "policy_context", ATTRIBUTE_TEXT, true},
	    {"senders", 6, "sender", ATTRIBUTE_MAILBOX, true},
	    {"recipient", 9, "recipient", ATTRIBUTE_MAILBOX, true},
	    {"sasl_username", 13, "sasl_username", ATTRIBUTE_MAILBOX, true},
	    {"sasl_sender", 11, "sasl_sender", ATTRIBUTE_MAILBOX, true},
	    {"client_address", 14, "client_address", ATTRIBUTE_ADDRESS, true},
	    {"server_address", 14, "server_address", ATTRIBUTE_ADDRESS, true},
	    {"sasl_domain", 11, "sasl_username", ATTRIBUTE_DOMAIN, false},
	    {"sender_domain", 13, "sender", ATTRIBUTE_DOMAIN, false},
	    {"recipient_domain", 16, "recipient", ATTRIBUTE_DOMAIN, false},
	    {"senders", 7, NULL, ATTRIBUTE_TEXT, false},
	    {"sende", 5, NULL, ATTRIBUTE_TEXT, false},
	    {"Sender", 6, NULL, ATTRIBUTE_TEXT, false},
	    {"size\0", 5, NULL, ATTRIBUTE_TEXT, false},
	    {"", 0, NULL, ATTRIBUTE_TEXT, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].name;
		const struct attribute *found = attributes_find(name, cases[i].length);

		check(!found == !cases[i].source, "case %zu, %s: found %d", i, name, found != NULL);
		if (found) {
			check_string(found->source, cases[i].source, name);
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
		const char *name = attribute->name;
		const struct attribute *source =
		    attributes_find(attribute->source, strlen(attribute->source));

		check(attributes_find(name, strlen(name)) == attribute, "%s stands twice", name);
		if (attribute->kind == ATTRIBUTE_DOMAIN) {
			check(
			    source && source->kind == ATTRIBUTE_MAILBOX, "the source of %s", name);
		} else {
			check(source == attribute, "%s has a source", name);
		}
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
