/*
 * Tests of src/match/pattern_map.c: the most specific pattern wins, however many there are and in
 * whichever order they were added.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/strbuf.h"
#include "match/netaddr.h"
#include "match/pattern_map.h"

#define PATTERNS 12
#define KEYS 14

static const struct {
	const char *pattern[PATTERNS];
	struct {
		const char *key;
		const char *expected; /* the pattern that wins; NULL: none */
	} find[KEYS];
} tables[] = {
    {{NULL}, {{"a", NULL}, {"a@x.org", NULL}, {"192.0.2.1", NULL}, {"", NULL}}},
    {{"bob"}, {{"bob", "bob"}, {"Bob", NULL}, {"bob@x", NULL}, {"bo", NULL}, {"", NULL}}},
    {{"a@x.org", "@x.org", ".x.org", ".org", "@b.x.org", "dave"},
	{{"a@x.org", "a@x.org"}, {"b@x.org", "@x.org"}, {"\"a@b\"@x.org", "@x.org"},
	    {"a@b.x.org", "@b.x.org"}, {"a@c.x.org", ".x.org"}, {"a@d.c.b.x.org", ".x.org"},
	    {"a@y.org", ".org"}, {"a@org", NULL}, {"x.org", ".org"}, {"c.x.org", ".x.org"},
	    {"a@x.org.net", NULL}, {"a@ax.org", ".org"}, {"dave@org", NULL}, {"@x.org", "@x.org"}}},
    {{".org", ".b.org", ".c.b.org"},
	{{"a@d.c.b.org", ".c.b.org"}, {"a@c.b.org", ".b.org"}, {"a@b.org", ".org"}, {"a@org", NULL},
	    {"a@b.org.", ".org"}, {"a@.org", ".org"}}},
    {{"192.0.2.7", "192.0.2.0/26", "192.0.2.0/24", "192.0.0.0/16", "0.0.0.0/0"},
	{{"192.0.2.7", "192.0.2.7"}, {"192.0.2.8", "192.0.2.0/26"}, {"192.0.2.64", "192.0.2.0/24"},
	    {"192.0.3.1", "192.0.0.0/16"}, {"10.0.0.1", "0.0.0.0/0"}, {"2001:db8::1", NULL},
	    {"192.0.2.0/24", "192.0.2.0/24"}, {"192.0.2.0/25", "192.0.2.0/24"},
	    {"192.0.0.0/8", "0.0.0.0/0"}, {"bob", NULL}}},
    {{"2001:db8::/64", "2001:db8::/32", "2001:db8:0:1::/64", "2001:db8:1::5", "::/0"},
	{{"2001:db8::/64", "2001:db8::/64"}, {"2001:db8:0:1::/64", "2001:db8:0:1::/64"},
	    {"2001:db8:0:2::/64", "2001:db8::/32"}, {"2001:db8:1::5", "2001:db8:1::5"},
	    {"2001:db8:1::6", "2001:db8::/32"}, {"2001:db8::/31", "::/0"}, {"fe80::/64", "::/0"},
	    {"192.0.2.1", NULL}}},
    {{"192.0.2.0/24", "@x.org", ".2.1"},
	{{"192.0.2.1", "192.0.2.0/24"}, {"192.0.3.1", NULL}, {"a@x.org", "@x.org"},
	    {"a@192.0.2.1", ".2.1"}, {"a+192.0.2.1", ".2.1"}}},
    {{"a+192.0.2.1", "a+b", "everything"},
	{{"a+192.0.2.1", "a+192.0.2.1"}, {"a+b", "a+b"}, {"everything", "everything"},
	    {"a", NULL}}},
};

/* Adds the patterns of each case forwards, backwards, and shuffled. */
static void test_tables(void **state)
{
	uint64_t seed = random_seed("orders", 20261120);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(tables) * 10; i++) {
		const char *pattern[PATTERNS];
		struct pattern_map *table = pattern_map_new();
		size_t t = i / 10, n = 0;

		while (n < PATTERNS && tables[t].pattern[n]) {
			pattern[n] = tables[t].pattern[n];
			n++;
		}
		for (size_t j = n; i % 10 > 0 && j > 1; j--) {
			size_t other = i % 10 == 1 ? 0 : random_below(&seed, j);
			const char *swapped = pattern[other];

			pattern[other] = pattern[j - 1];
			pattern[j - 1] = swapped;
		}
		for (size_t j = 0; j < n; j++) {
			check(pattern_map_add(
				  table, pattern[j], strlen(pattern[j]), (void *)pattern[j]) == 0,
			    "%s", pattern[j]);
		}
		for (size_t j = 0; j < KEYS && tables[t].find[j].key; j++) {
			const char *key = tables[t].find[j].key;
			const char *expected = tables[t].find[j].expected;
			const char *got = pattern_map_find(table, key, strlen(key));

			check(got == expected || (got && expected && strcmp(got, expected) == 0),
			    "table %zu, \"%s\": expected %s, got %s", t, key,
			    expected ? expected : "none", got ? got : "none");
		}
		pattern_map_free(table);
	}
}

static void test_add_twice(void **state)
{
	struct pattern_map *table = pattern_map_new();
	char pattern[] = "bob-and-more";
	int first = 1, second = 2;

	(void)state;
	check(pattern_map_add(table, pattern, 3, &first) == 0, "first");
	check(pattern_map_add(table, pattern, 3, &second) == 1, "a second one was taken");
	memset(pattern, 'x', sizeof(pattern) - 1);
	check(pattern_map_find(table, "bob", 3) == &first, "the first stays, and is a copy");
	check(!pattern_map_find(table, "bob-", 4), "up to its length");
	check(pattern_map_find(table, "bob-", 3) == &first, "up to its length");
	pattern_map_free(table);
	pattern_map_free(NULL);
}

/* Thousands of patterns of all kinds, compared with a search through all of them. */
static void test_many(void **state)
{
	enum { MANY = 3000 };
	static char pattern[MANY][64];
	static struct netaddr network[MANY];
	struct pattern_map *table = pattern_map_new();
	uint64_t seed = random_seed("many", 20261121);

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		struct strbuf text;

		strbuf_init(&text, pattern[i], sizeof(pattern[i]));
		if (i % 2) {
			network[i] = (struct netaddr){.bits = 32, .prefix = 32};
			for (unsigned j = 0; j < 4; j++) {
				network[i].bytes[j] = (uint8_t)random_below(&seed, 12);
			}
			netaddr_mask(&network[i], (unsigned)random_below(&seed, 33));
			netaddr_format(&network[i], &text);
		} else {
			strbuf_printf(&text, "user%zu@x%zu.example", i, i % 7);
		}
		if (pattern_map_add(table, pattern[i], text.length, pattern[i]) == 1) {
			pattern[i][0] = '\0';
		}
	}
	for (size_t i = 0; i < MANY; i++) {
		struct netaddr address = {.bits = 32, .prefix = 32};
		char buffer[NETADDR_TEXT_SIZE];
		struct strbuf text;
		const char *best = NULL;
		unsigned longest = 0;

		if (pattern[i][0]) {
			check(pattern_map_find(table, pattern[i], strlen(pattern[i])) == pattern[i],
			    "%s", pattern[i]);
		}
		for (unsigned j = 0; j < 4; j++) {
			address.bytes[j] = (uint8_t)random_below(&seed, 12);
		}
		strbuf_init(&text, buffer, sizeof(buffer));
		netaddr_format(&address, &text);
		for (size_t j = 1; j < MANY; j += 2) {
			if (pattern[j][0] && netaddr_contains(&network[j], &address) &&
			    (!best || network[j].prefix > longest)) {
				best = pattern[j];
				longest = network[j].prefix;
			}
		}
		check(pattern_map_find(table, buffer, text.length) == best, "%s: expected %s",
		    buffer, best ? best : "none");
	}
	pattern_map_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tables),
	    cmocka_unit_test(test_add_twice),
	    cmocka_unit_test(test_many),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("override", tests, NULL, NULL);
}
