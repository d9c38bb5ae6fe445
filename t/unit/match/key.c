/*
 * Tests of src/match/key.c: the key that values of attributes make.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/hash.h"
#include "base/strbuf.h"
#include "base/utf8.h"
#include "match/key.h"

static const uint8_t secret[HASH_KEY_BYTES] = "0123456789abcde";

static void test_one(void **state)
{
	static const struct key_folding plain = {true, NULL, 32, 64};
	static const struct key_folding exact = {false, NULL, 32, 128};
	static const struct key_folding plus = {true, "+", 24, 48};
	static const struct key_folding both = {false, "+-", 0, 0};
	static const struct {
		const char *value;
		enum key_kind kind;
		const struct key_folding *folding;
		const char *expected; /* NULL: nothing is left */
	} cases[] = {
	    {"User@X.org", KEY_TEXT, &plain, "user@x.org"},
	    {"", KEY_TEXT, &plain, NULL},
	    {"User@X.org", KEY_TEXT, &exact, "User@X.org"},
	    {" ", KEY_TEXT, &plain, " "},
	    {"\xc3\x84Z", KEY_TEXT, &plain, "\xc3\x84z"},
	    {"a+b", KEY_TEXT, &plus, "a+b"},
	    {"a+b%2b", KEY_TEXT, &plain, "a+b%2b"},
	    {"User+tag@X.org", KEY_MAILBOX, &plain, "user+tag@x.org"},
	    {"User+tag@X.org", KEY_MAILBOX, &plus, "user@x.org"},
	    {"User+a+b@X.org", KEY_MAILBOX, &plus, "user@x.org"},
	    {"User+a-b@X.org", KEY_MAILBOX, &both, "User@X.org"},
	    {"User-a+b@X.org", KEY_MAILBOX, &both, "User@X.org"},
	    {"user-a@x.org", KEY_MAILBOX, &plus, "user-a@x.org"},
	    {"user+@x.org", KEY_MAILBOX, &plus, "user@x.org"},
	    {"+tag@x.org", KEY_MAILBOX, &plus, "+tag@x.org"},
	    {"user@x+y.org", KEY_MAILBOX, &plus, "user@x+y.org"},
	    {"user+tag", KEY_MAILBOX, &plus, "user"},
	    {"user", KEY_MAILBOX, &plus, "user"},
	    {"+", KEY_MAILBOX, &plus, "+"},
	    {"@x.org", KEY_MAILBOX, &plus, "@x.org"},
	    {"", KEY_MAILBOX, &plus, NULL},
	    {"\"a+b@c\"@x.org", KEY_MAILBOX, &plus, "\"a@x.org"},
	    {"192.0.2.77", KEY_ADDRESS, &plain, "192.0.2.77"},
	    {"192.0.2.77", KEY_ADDRESS, &plus, "192.0.2.0/24"},
	    {"192.0.2.77", KEY_ADDRESS, &both, "0.0.0.0/0"},
	    {"::ffff:192.0.2.77", KEY_ADDRESS, &plain, "192.0.2.77"},
	    {"::FFFF:192.0.2.77", KEY_ADDRESS, &plus, "192.0.2.0/24"},
	    {"2001:DB8:1:2:3::4", KEY_ADDRESS, &plain, "2001:db8:1:2::/64"},
	    {"2001:DB8:1:2:3::4", KEY_ADDRESS, &plus, "2001:db8:1::/48"},
	    {"2001:DB8:1:2:3::4", KEY_ADDRESS, &exact, "2001:db8:1:2:3::4"},
	    {"2001:DB8:1:2:3::4", KEY_ADDRESS, &both, "::/0"},
	    {"unknown", KEY_ADDRESS, &plain, NULL},
	    {"", KEY_ADDRESS, &plain, NULL},
	    {"192.0.2.0/24", KEY_ADDRESS, &plain, NULL},
	    {"User@X.org", KEY_DOMAIN, &plain, "x.org"},
	    {"User@X.org", KEY_DOMAIN, &exact, "X.org"},
	    {"a@b@X.org", KEY_DOMAIN, &plain, "x.org"},
	    {"user+a@x.org", KEY_DOMAIN, &plus, "x.org"},
	    {"x.org", KEY_DOMAIN, &plain, NULL},
	    {"user@", KEY_DOMAIN, &plain, NULL},
	    {"", KEY_DOMAIN, &plain, NULL},
	    {"@x.org", KEY_DOMAIN, &plain, "x.org"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].value;
		char buffer[256];
		struct strbuf text;
		bool got;

		strbuf_init(&text, buffer, sizeof(buffer));
		got = key_add(&text, name, strlen(name), cases[i].kind, false, cases[i].folding);
		check(got == (cases[i].expected != NULL), "%zu: \"%s\": got %d", i, name, got);
		check_string(buffer, got ? cases[i].expected : "", name);
		check(text.length == strlen(buffer), "%zu: \"%s\": length", i, name);
	}
}

static void make_pair(struct strbuf *text, const char *one, const char *other)
{
	static const struct key_folding folding = {true, NULL, 32, 64};

	check(key_add(text, one, strlen(one), KEY_TEXT, false, &folding) &&
		key_add(text, other, strlen(other), KEY_TEXT, true, &folding),
	    "%s, %s", one, other);
}

/* No two pairs give one key. */
static void test_pairs(void **state)
{
	static const char *const pairs[][2] = {
	    {"a", "b"},
	    {"a+b", "c"},
	    {"a", "b+c"},
	    {"a+", "+c"},
	    {"a", "++c"},
	    {"a++", "c"},
	    {"a%2b", "c"},
	    {"a%2bb", "c"},
	    {"a%2b", "b+c"},
	    {"a%", "c"},
	    {"a%25", "c"},
	    {"a%252b", "c"},
	    {"a", "%2bc"},
	    {"a", "%2b+c"},
	    {"+", "+"},
	    {"a+%2b", "c"},
	    {"a%2b+", "c"},
	};
	static char buffer[COUNT_OF(pairs)][256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		struct strbuf text;

		strbuf_init(&text, buffer[i], sizeof(buffer[i]));
		make_pair(&text, pairs[i][0], pairs[i][1]);
		check(text.length == strlen(buffer[i]), "%s: length", buffer[i]);
		for (size_t j = 0; j < i; j++) {
			check(strcmp(buffer[i], buffer[j]) != 0,
			    "%s, %s and %s, %s are both \"%s\"", pairs[j][0], pairs[j][1],
			    pairs[i][0], pairs[i][1], buffer[i]);
		}
	}
	check_string(buffer[0], "a+b", "a usual pair");
}

/* An empty second part of a pair leaves nothing in the text. */
static void test_half_a_pair(void **state)
{
	static const struct key_folding folding = {true, NULL, 32, 64};
	static const struct {
		const char *value;
		enum key_kind kind;
	} cases[] = {
	    {"", KEY_TEXT}, {"unknown", KEY_ADDRESS}, {"x.org", KEY_DOMAIN}, {"", KEY_MAILBOX}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char buffer[64];
		struct strbuf text;

		strbuf_init(&text, buffer, sizeof(buffer));
		strbuf_puts(&text, "bob");
		check(!key_add(&text, cases[i].value, strlen(cases[i].value), cases[i].kind, true,
			  &folding),
		    "\"%s\" was taken", cases[i].value);
		check_string(buffer, "bob", cases[i].value);
		check(text.length == 3, "\"%s\": length %zu", cases[i].value, text.length);
	}
}

static void fill(
    struct strbuf *text, char *buffer, size_t size, size_t before, const char *character, size_t n)
{
	strbuf_init(text, buffer, size);
	for (size_t i = 0; i < before; i++) {
		strbuf_puts(text, "a");
	}
	for (size_t i = 0; i < n; i++) {
		strbuf_puts(text, character);
	}
}

static void test_cut(void **state)
{
	static const char *const characters[] = {
	    "x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
	char buffer[2][2 * KEY_VALUE_MAX];
	struct strbuf text[2];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(characters) * 8; i++) {
		const char *character = characters[i / 8];
		uint32_t code;

		fill(&text[0], buffer[0], sizeof(buffer[0]), i % 8, character, 300);
		fill(&text[1], buffer[1], sizeof(buffer[1]), i % 8, character, 301);
		key_cut(&text[0], secret);
		key_cut(&text[1], secret);
		check(strcmp(buffer[0], buffer[1]) != 0, "%s: not unique", buffer[0]);
		check(text[0].length <= KEY_MAX && text[0].length > KEY_MAX - 7, "%s: %zu bytes",
		    buffer[0], text[0].length);
		check(text[0].length == strlen(buffer[0]), "%s: length", buffer[0]);
		for (size_t j = 0, size; j < text[0].length; j += size) {
			size = utf8_length(buffer[0] + j, text[0].length - j, &code);
			check(size > 0, "%s: not UTF-8", buffer[0]);
		}
		fill(&text[1], buffer[1], sizeof(buffer[1]), i % 8, character, 300);
		key_cut(&text[1], secret);
		check_string(buffer[1], buffer[0], "the same again");
		key_cut(&text[1], secret);
		check_string(buffer[1], buffer[0], "a cut one stays");
	}
}

static void test_not_cut(void **state)
{
	char buffer[512];
	uint8_t other[HASH_KEY_BYTES] = {1};
	char first[KEY_MAX + 1];
	struct strbuf text;

	(void)state;
	for (size_t n = KEY_MAX - 2; n <= KEY_MAX + 2; n++) {
		fill(&text, buffer, sizeof(buffer), n, "", 0);
		key_cut(&text, secret);
		check((strchr(buffer, '~') != NULL) == (n > KEY_MAX), "%zu bytes: %s", n, buffer);
		check(text.length == (n > KEY_MAX ? KEY_MAX : n), "%zu bytes: %zu", n, text.length);
	}
	strcpy(first, buffer);
	fill(&text, buffer, sizeof(buffer), KEY_MAX + 2, "", 0);
	key_cut(&text, other);
	check(strcmp(first, buffer) != 0, "the secret has no say");
	/* Bytes that are not UTF-8. */
	fill(&text, buffer, sizeof(buffer), 0, "\x80", 300);
	key_cut(&text, secret);
	check(text.length <= KEY_MAX && text.length == strlen(buffer), "%zu bytes", text.length);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one),
	    cmocka_unit_test(test_pairs),
	    cmocka_unit_test(test_half_a_pair),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_not_cut),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
