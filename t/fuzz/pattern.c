/*
 * Fuzz target: patterns, networks, keys and maps of patterns. The first bytes say how values are
 * folded, the first line is a value, the others are patterns.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuzz.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/strbuf.h"
#include "match/key.h"
#include "match/netaddr.h"
#include "match/pattern_map.h"
#include "match/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERNS_MAX 32

static const uint8_t secret[HASH_KEY_BYTES] = "fuzz";

static bool same_network(const struct netaddr *a, const struct netaddr *b)
{
	return a->bits == b->bits && a->prefix == b->prefix &&
	    memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* A network is the same when parsed from its text, and contains itself and its first address. */
static void check_network(const struct netaddr *network)
{
	char buffer[NETADDR_TEXT_SIZE];
	struct netaddr again, first = *network;
	struct error error;
	struct strbuf text;

	must((network->bits == 32 || network->bits == 128) && network->prefix <= network->bits,
	    "/%u of %u", network->prefix, network->bits);
	strbuf_init(&text, buffer, sizeof(buffer));
	netaddr_format(network, &text);
	must(text.size == sizeof(buffer), "\"%s\" was cut", buffer);
	must(netaddr_parse_network(buffer, text.length, &again, &error) == 0, "%s", error.text);
	must(same_network(network, &again), "\"%s\" is another network", buffer);
	must(netaddr_contains(network, network), "\"%s\" does not hold itself", buffer);
	first.prefix = first.bits;
	must(netaddr_contains(network, &first), "\"%s\" does not hold its first address", buffer);
	must(
	    (netaddr_parse(buffer, text.length, &again) == 0) == (network->prefix == network->bits),
	    "\"%s\" is an address, or is not", buffer);
	for (unsigned prefix = 0; prefix <= network->prefix; prefix++) {
		struct netaddr wider = *network;

		netaddr_mask(&wider, prefix);
		must(wider.prefix == prefix && netaddr_contains(&wider, network), "/%u of \"%s\"",
		    prefix, buffer);
		must(prefix == network->prefix || !netaddr_contains(network, &wider),
		    "/%u is within \"%s\"", prefix, buffer);
	}
}

static void check_pattern(const char *pattern, const char *value, size_t value_length)
{
	for (int address = 0; address < 2; address++) {
		struct error error = {""};
		struct pattern parsed;
		bool matched;

		if (pattern_parse(&parsed, pattern, strlen(pattern), address, &error)) {
			must(error.text[0], "no error text for \"%s\"", pattern);
			continue;
		}
		matched = pattern_match(&parsed, value, value_length);
		must(!matched || parsed.kind == PATTERN_EMPTY || value_length > 0,
		    "\"%s\" matches nothing", pattern);
		if (parsed.kind == PATTERN_NETWORK) {
			check_network(&parsed.network);
		} else if (parsed.kind == PATTERN_WORD) {
			size_t length = strlen(pattern);

			/* "bob@x." is bob@x; other words are what they are. */
			must(length == 0 || pattern[length - 1] == '.' ||
				pattern_match(&parsed, pattern, length),
			    "\"%s\" does not match itself", pattern);
		}
	}
}

static struct strbuf make_text(size_t size)
{
	struct strbuf text;
	char *buffer = malloc(size);

	must(buffer, "out of memory");
	strbuf_init(&text, buffer, size);
	return text;
}

/* Folding a folded value changes nothing; a key that is too long is cut and stays UTF-8. */
static void check_key(
    const char *value, size_t length, enum key_kind kind, const struct key_folding *folding)
{
	size_t size = 3 * length + NETADDR_TEXT_SIZE + KEY_MAX;
	struct strbuf once = make_text(size), twice = make_text(size);
	bool clean = is_clean(value, length, "");

	if (!key_add(&once, value, length, kind, false, folding)) {
		must(once.length == 0 && !once.buffer[0], "no key, but \"%s\"", once.buffer);
		goto out;
	}
	must(once.length > 0 && strlen(once.buffer) == once.length, "length of a key");
	if (kind == KEY_TEXT || kind == KEY_MAILBOX) {
		must(key_add(&twice, once.buffer, once.length, kind, false, folding) &&
			strcmp(once.buffer, twice.buffer) == 0,
		    "\"%s\" folds to \"%s\"", once.buffer, twice.buffer);
	}
	key_cut(&once, secret);
	must(once.length <= KEY_MAX && strlen(once.buffer) == once.length, "length of a cut key");
	must(!clean || is_clean(once.buffer, once.length, ""), "cut within a character");
out:
	free(once.buffer);
	free(twice.buffer);
}

/* The first part of a pair can be told from the second. */
static void check_pair(const char *value, size_t length, const struct key_folding *folding)
{
	size_t size = 4 * length + KEY_MAX;
	struct strbuf pair = make_text(size), first = make_text(size), back = make_text(size);
	const char *joint;

	if (key_add(&first, value, length, KEY_TEXT, false, folding) &&
	    key_add(&pair, value, length, KEY_TEXT, false, folding) &&
	    key_add(&pair, value, length, KEY_TEXT, true, folding)) {
		joint = strchr(pair.buffer, '+');
		must(joint && strcmp(joint + 1, first.buffer) == 0, "\"%s\": no second part",
		    pair.buffer);
		for (const char *p = pair.buffer; p < joint; p++) {
			if (*p == '%') {
				strbuf_puts(&back, p[2] == 'b' ? "+" : "%");
				p += 2;
			} else {
				strbuf_add(&back, p, 1);
			}
		}
		must(strcmp(back.buffer, first.buffer) == 0, "\"%s\" from \"%s\"", back.buffer,
		    first.buffer);
	}
	free(pair.buffer);
	free(first.buffer);
	free(back.buffer);
}

/* The first entry that is exactly those bytes. */
static char *const *find_exact(
    char *const *pattern, size_t patterns, const char *bytes, size_t length)
{
	for (size_t i = 0; i < patterns; i++) {
		if (strlen(pattern[i]) == length && memcmp(pattern[i], bytes, length) == 0) {
			return &pattern[i];
		}
	}
	return NULL;
}

/* The value that pattern_map_find must find, by a search through all patterns. */
static char *const *find_slowly(
    char *const *pattern, size_t patterns, const char *key, size_t length)
{
	char *const *best = find_exact(pattern, patterns, key, length);
	struct netaddr address, network;
	size_t end = length, at;
	int longest = -1;

	if (best) {
		return best;
	}
	if (netaddr_read_network(key, length, &address) == 0) {
		for (size_t i = 0; i < patterns; i++) {
			if (netaddr_read_network(pattern[i], strlen(pattern[i]), &network) == 0 &&
			    netaddr_contains(&network, &address) && network.prefix > longest) {
				longest = network.prefix;
				best = &pattern[i];
			}
		}
		return best;
	}
	while (end > 0 && key[end - 1] == '.') {
		end--;
	}
	for (at = length; at > 0 && key[at - 1] != '@'; at--) {
	}
	if (at > 0) {
		best = find_exact(pattern, patterns, key + at - 1, end - (at - 1));
	}
	for (size_t i = at; i < end && !best; i++) {
		best = key[i] == '.' ? find_exact(pattern, patterns, key + i, end - i) : NULL;
	}
	return best;
}

static void check_overrides(char *const *pattern, size_t patterns, const char *key, size_t length)
{
	struct pattern_map *table = pattern_map_new();
	char *const *expected;
	char *const *got;

	must(table, "out of memory");
	for (size_t i = 0; i < patterns; i++) {
		char *const *first = find_exact(pattern, i, pattern[i], strlen(pattern[i]));
		int added = pattern_map_add(
		    table, pattern[i], strlen(pattern[i]), (void *)(uintptr_t)&pattern[i]);

		must(added == (first ? 1 : 0), "\"%s\": %d", pattern[i], added);
	}
	for (size_t i = 0; i < patterns; i++) {
		must(pattern_map_find(table, pattern[i], strlen(pattern[i])) ==
			find_exact(pattern, patterns, pattern[i], strlen(pattern[i])),
		    "\"%s\" is not found", pattern[i]);
	}
	expected = find_slowly(pattern, patterns, key, length);
	got = pattern_map_find(table, key, length);
	must(got == expected, "\"%s\": \"%s\" instead of \"%s\"", key, got ? *got : "nothing",
	    expected ? *expected : "nothing");
	pattern_map_free(table);
}

/* A pattern as the map has it: networks as netaddr_format prints them. */
static char *canonical(char *pattern, size_t length)
{
	struct strbuf text = make_text(length + NETADDR_TEXT_SIZE);
	struct netaddr network;

	if (netaddr_read_network(pattern, length, &network) == 0) {
		netaddr_format(&network, &text);
	} else {
		strbuf_add(&text, pattern, length);
	}
	free(pattern);
	return text.buffer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	uint8_t flags = input_byte(&input);
	struct key_folding folding = {.fold_case = flags & 1,
	    .strip_extension = flags & 2 ? "+-" : NULL,
	    .ipv4_prefix = input_byte(&input) % 33,
	    .ipv6_prefix = input_byte(&input) % 129};
	char *pattern[PATTERNS_MAX];
	size_t length, patterns = 0;
	char *value = input_line(&input, &length);
	struct netaddr address;

	if (netaddr_parse(value, length, &address) == 0) {
		must(address.prefix == address.bits, "an address of /%u", address.prefix);
		check_network(&address);
	}
	for (enum key_kind kind = KEY_TEXT; kind <= KEY_DOMAIN; kind++) {
		check_key(value, length, kind, &folding);
	}
	check_pair(value, length, &folding);
	while (input.size > 0 && patterns < PATTERNS_MAX) {
		size_t pattern_length;
		char *line = input_line(&input, &pattern_length);

		check_pattern(line, value, length);
		pattern[patterns++] = canonical(line, pattern_length);
	}
	check_overrides(pattern, patterns, value, length);
	while (patterns > 0) {
		free(pattern[--patterns]);
	}
	free(value);
	return 0;
}
