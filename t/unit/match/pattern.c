/*
 * Tests of src/match/pattern.c: what a pattern is, and what it matches.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"
#include "match/pattern.h"

#define MATCHES 8

static void test_match(void **state)
{
	static const struct {
		const char *pattern;
		bool address;
		enum pattern_kind kind;
		const char *yes[MATCHES], *no[MATCHES];
	} cases[] = {
	    {"", false, PATTERN_EMPTY, {""}, {"a", "*", " "}},
	    {"*", false, PATTERN_ANY, {"a", "*", " "}, {""}},
	    {"@x.org", false, PATTERN_DOMAIN, {"a@x.org", "a@X.org."}, {"a@x.org.com", "x.org"}},
	    {"Word", false, PATTERN_WORD, {"word", "WORD", "Word"}, {"", "wor", "words", "a@word"}},
	    {"a@x.org", false, PATTERN_WORD, {"A@X.org", "a@x.org."},
		{"a@x.orga", "b@x.org", "x.org"}},
	    {"192.0.2.0/24", false, PATTERN_WORD, {"192.0.2.0/24"}, {"192.0.2.1", "192.0.2.0"}},
	    {"\xc3\x84", false, PATTERN_WORD, {"\xc3\x84"}, {"\xc3\xa4"}},
	    {"@X.org", false, PATTERN_DOMAIN, {"a@x.org", "@x.org", "a@b@X.ORG"},
		{"", "x.org", "a@b.x.org", "a@ax.org", "a@x.org@y", "a@", "a@x.or"}},
	    {"@localhost", false, PATTERN_DOMAIN, {"a@localhost"}, {"localhost"}},
	    {"@[192.0.2.1]", false, PATTERN_DOMAIN, {"a@[192.0.2.1]"}, {"192.0.2.1"}},
	    {".X.org", false, PATTERN_SUBDOMAIN, {"a@b.x.org", "a@c.b.X.ORG", "b.x.org"},
		{"", "a@x.org", "x.org", ".x.org", "a@bx.org", "b.x.org@y", "a@b.x.orgs"}},
	    {".org", false, PATTERN_SUBDOMAIN, {"a@b.org", "b.org"}, {"org", "a@org", "a.org@b"}},
	    {"..org", false, PATTERN_SUBDOMAIN, {"a..org"}, {"a.org", "..org"}},
	    {"", true, PATTERN_EMPTY, {""}, {"192.0.2.1", "unknown"}},
	    {"*", true, PATTERN_ANY, {"192.0.2.1", "unknown"}, {""}},
	    {"Unknown", true, PATTERN_WORD, {"unknown", "UNKNOWN"}, {"", "192.0.2.1", "unknown2"}},
	    {"192.0.2.1", true, PATTERN_NETWORK, {"192.0.2.1", "::ffff:192.0.2.1"},
		{"", "unknown", "192.0.2.10", "192.0.2.1/32", "::1"}},
	    {"192.0.2.0/24", true, PATTERN_NETWORK, {"192.0.2.0", "192.0.2.255", "::ffff:c000:2ff"},
		{"192.0.1.255", "192.0.3.0", "192.0.2.0/24", "::c000:200"}},
	    {"::ffff:0:0/96", true, PATTERN_NETWORK, {"0.0.0.0", "255.255.255.255"}, {"::1", ""}},
	    {"2001:DB8::/32", true, PATTERN_NETWORK, {"2001:db8::", "2001:0DB8:ffff::1"},
		{"2001:db9::", "2001:db7:ffff:ffff::", "32.1.13.184"}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].pattern;
		struct pattern pattern;
		struct error error = {""};

		check(pattern_parse(&pattern, name, strlen(name), cases[i].address, &error) == 0,
		    "\"%s\": %s", name, error.text);
		check(pattern.kind == cases[i].kind, "\"%s\": kind %d", name, pattern.kind);
		for (size_t j = 0; j < MATCHES && cases[i].yes[j]; j++) {
			check(pattern_match(&pattern, cases[i].yes[j], strlen(cases[i].yes[j])),
			    "\"%s\" does not match \"%s\"", name, cases[i].yes[j]);
		}
		for (size_t j = 0; j < MATCHES && cases[i].no[j]; j++) {
			check(!pattern_match(&pattern, cases[i].no[j], strlen(cases[i].no[j])),
			    "\"%s\" matches \"%s\"", name, cases[i].no[j]);
		}
	}
}

/* The length ends a text, not a NUL. */
static void test_length(void **state)
{
	static const struct {
		const char *pattern;
		size_t length;
		const char *value;
		size_t value_length;
		bool address, expected;
	} cases[] = {
	    {"words", 4, "wordy", 4, false, true},
	    {"words", 4, "wordy", 5, false, false},
	    {"@x.orgs", 6, "a@x.org.example", 7, false, true},
	    {"@x.orgs", 6, "a@x.org@y", 7, false, true},
	    {".x.orgs", 6, "a@b.x.org@y", 9, false, true},
	    {"192.0.2.0/245", 12, "192.0.2.99", 9, true, true},
	    {"*x", 1, "a", 0, false, false},
	    {"word", 4, "word\0", 5, false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pattern pattern;
		struct error error = {""};

		check(pattern_parse(&pattern, cases[i].pattern, cases[i].length, cases[i].address,
			  &error) == 0,
		    "%s: %s", cases[i].pattern, error.text);
		check(pattern_match(&pattern, cases[i].value, cases[i].value_length) ==
			cases[i].expected,
		    "%zu: %s, %s", i, cases[i].pattern, cases[i].value);
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *pattern;
		bool address;
		const char *error; /* NULL: any */
	} cases[] = {
	    {"@", false, "\"@\" is not followed by a domain"},
	    {"*x", false, "\"*x\": '*' must stand alone; write @domain or .domain"},
	    {".", false, "\".\" is not followed by a domain"},
	    {"localhost", true, "\"localhost\" is not an IP address or network"},
	    {"@x.org", true, "\"@x.org\" is not an IP address or network"},
	    {"192.0.2.1/24", true,
		"\"192.0.2.1/24\" has bits set after its prefix; the network is 192.0.2.0/24"},
	    {"192.0.2.0/33", true, NULL},
	    {"::/129", true, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].pattern;
		struct pattern pattern;
		struct error error = {""};

		check(pattern_parse(&pattern, name, strlen(name), cases[i].address, &error) == -1,
		    "\"%s\" was taken", name);
		check(error.text[0], "\"%s\": nothing is said", name);
		if (cases[i].error) {
			check_string(error.text, cases[i].error, name);
		}
	}
}

static void test_domain(void **state)
{
	static const struct {
		const char *value, *expected;
	} cases[] = {
	    {"a@x.org", "x.org"},
	    {"\"a@b\"@x.org", "x.org"},
	    {"@x.org", "x.org"},
	    {"a@", ""},
	    {"x.org", "x.org"},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t length = 99;
		const char *domain =
		    pattern_domain(cases[i].value, strlen(cases[i].value), &length);

		check(length == strlen(cases[i].expected) &&
			memcmp(domain, cases[i].expected, length) == 0,
		    "\"%s\": got \"%s\", %zu", cases[i].value, domain, length);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_match),
	    cmocka_unit_test(test_length),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_domain),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
