/*
 * A table from patterns to values: see override.h. Open addressing, linear probing.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "match/pattern_map.h"

#include "base/hash.h"
#include "base/strbuf.h"
#include "match/netaddr.h"
#include "match/pattern.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	char *pattern; /* NULL: free */
	size_t length;
	void *value;
};

struct pattern_map {
	struct entry *entry;
	size_t size; /* a power of two */
	size_t used;
	size_t domains;
	/* How many networks there are of each prefix: only those are looked for. */
	size_t networks4[33];
	size_t networks6[129];
};

/* The file is the administrator's: nobody else chooses what is in the table. */
static const uint8_t hash_key[HASH_KEY_BYTES];

struct pattern_map *pattern_map_new(void)
{
	struct pattern_map *table = calloc(1, sizeof(*table));

	if (table) {
		table->size = 16;
		table->entry = calloc(table->size, sizeof(*table->entry));
		if (!table->entry) {
			free(table);
			return NULL;
		}
	}
	return table;
}

void pattern_map_free(struct pattern_map *table)
{
	if (!table) {
		return;
	}
	for (size_t i = 0; i < table->size; i++) {
		free(table->entry[i].pattern);
	}
	free(table->entry);
	free(table);
}

/* The entry of a pattern, or the free one where it belongs. */
static struct entry *find(const struct pattern_map *table, const char *pattern, size_t length)
{
	size_t i = hash_keyed(hash_key, pattern, length);

	for (;; i++) {
		struct entry *entry = &table->entry[i & (table->size - 1)];

		if (!entry->pattern ||
		    (entry->length == length && memcmp(entry->pattern, pattern, length) == 0)) {
			return entry;
		}
	}
}

static int grow(struct pattern_map *table)
{
	struct pattern_map larger = *table;

	if (table->used * 2 < table->size) {
		return 0;
	}
	larger.size = table->size * 2;
	larger.entry = calloc(larger.size, sizeof(*larger.entry));
	if (!larger.entry) {
		return -1;
	}
	for (size_t i = 0; i < table->size; i++) {
		if (table->entry[i].pattern) {
			*find(&larger, table->entry[i].pattern, table->entry[i].length) =
			    table->entry[i];
		}
	}
	free(table->entry);
	*table = larger;
	return 0;
}

int pattern_map_add(struct pattern_map *table, const char *pattern, size_t length, void *value)
{
	struct netaddr network;
	struct entry *entry;

	if (grow(table)) {
		return -1;
	}
	entry = find(table, pattern, length);
	if (entry->pattern) {
		return 1;
	}
	entry->pattern = malloc(length + 1);
	if (!entry->pattern) {
		return -1;
	}
	memcpy(entry->pattern, pattern, length);
	entry->pattern[length] = '\0';
	entry->length = length;
	entry->value = value;
	table->used++;
	table->domains += pattern[0] == '@' || pattern[0] == '.';
	if (netaddr_read_network(pattern, length, &network) == 0) {
		(network.bits == 32 ? table->networks4 : table->networks6)[network.prefix]++;
	}
	return 0;
}

static const struct entry *find_network(const struct pattern_map *table, struct netaddr network)
{
	const size_t *networks = network.bits == 32 ? table->networks4 : table->networks6;

	for (unsigned prefix = network.prefix + 1U; prefix-- > 0;) {
		char buffer[NETADDR_TEXT_SIZE];
		struct strbuf text;
		const struct entry *entry;

		if (networks[prefix] == 0) {
			continue;
		}
		netaddr_mask(&network, prefix);
		strbuf_init(&text, buffer, sizeof(buffer));
		netaddr_format(&network, &text);
		entry = find(table, buffer, text.length);
		if (entry->pattern) {
			return entry;
		}
	}
	return NULL;
}

static const struct entry *find_domain(
    const struct pattern_map *table, const char *key, size_t length)
{
	const struct entry *entry;
	size_t size;
	const char *domain = pattern_domain(key, length, &size);
	const char *end = domain + size;

	if (domain != key) {
		entry = find(table, domain - 1, size + 1);
		if (entry->pattern) {
			return entry;
		}
	}
	for (const char *dot = domain; (dot = memchr(dot, '.', (size_t)(end - dot))); dot++) {
		entry = find(table, dot, (size_t)(end - dot));
		if (entry->pattern) {
			return entry;
		}
	}
	return NULL;
}

static const struct entry *find_best(
    const struct pattern_map *table, const char *key, size_t length)
{
	const struct entry *entry = find(table, key, length);
	struct netaddr network;

	if (entry->pattern) {
		return entry;
	}
	if (netaddr_read_network(key, length, &network) == 0) {
		return find_network(table, network);
	}
	return table->domains ? find_domain(table, key, length) : NULL;
}

void *pattern_map_find(const struct pattern_map *table, const char *key, size_t length)
{
	const struct entry *entry = find_best(table, key, length);

	return entry ? entry->value : NULL;
}

const char *pattern_map_pattern(const struct pattern_map *table, const char *key, size_t length)
{
	const struct entry *entry = find_best(table, key, length);

	return entry ? entry->pattern : NULL;
}
