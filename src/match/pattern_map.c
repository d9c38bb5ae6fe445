/*
 * A map from patterns to values: see pattern_map.h. A hash table with linear probing.
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
	char *pattern; /* owned; NULL: the entry is free */
	size_t length;
	void *value;
};

struct pattern_map {
	struct entry *entry;
	size_t size; /* entries, a power of two */
	size_t used;
	size_t domains; /* patterns that are domains */
	size_t longest; /* bytes of the longest pattern */
	/* How many networks there are of each prefix: others are not looked up. */
	size_t networks4[33];
	size_t networks6[129];
};

/* Not secret: all patterns come from the administrator. */
static const uint8_t hash_key[HASH_KEY_BYTES];

/* The entry of a pattern, or the free entry for it. */
static struct entry *find(const struct pattern_map *map, const char *pattern, size_t length)
{
	size_t i = hash_keyed(hash_key, pattern, length);

	for (;; i++) {
		struct entry *entry = &map->entry[i & (map->size - 1)];

		if (!entry->pattern ||
		    (entry->length == length && memcmp(entry->pattern, pattern, length) == 0)) {
			return entry;
		}
	}
}

/* Makes room for one more pattern. Returns 0, or -1 if out of memory. */
static int grow(struct pattern_map *map)
{
	struct pattern_map larger = *map;

	if (map->used * 2 < map->size) {
		return 0;
	}
	larger.size = map->size ? map->size * 2 : 16;
	larger.entry = calloc(larger.size, sizeof(*larger.entry));
	if (!larger.entry) {
		return -1;
	}
	for (size_t i = 0; i < map->size; i++) {
		if (map->entry[i].pattern) {
			*find(&larger, map->entry[i].pattern, map->entry[i].length) = map->entry[i];
		}
	}
	free(map->entry);
	*map = larger;
	return 0;
}

struct pattern_map *pattern_map_new(void)
{
	struct pattern_map *map = calloc(1, sizeof(*map));

	if (map && grow(map)) {
		free(map);
		return NULL;
	}
	return map;
}

void pattern_map_free(struct pattern_map *map)
{
	if (!map) {
		return;
	}
	for (size_t i = 0; i < map->size; i++) {
		free(map->entry[i].pattern);
	}
	free(map->entry);
	free(map);
}

int pattern_map_add(struct pattern_map *map, const char *pattern, size_t length, void *value)
{
	struct netaddr network;
	struct entry *entry;

	if (grow(map)) {
		return -1;
	}
	entry = find(map, pattern, length);
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
	map->used++;
	map->longest = length > map->longest ? length : map->longest;
	map->domains += pattern[0] == '@' || pattern[0] == '.';
	if (netaddr_read_network(pattern, length, &network) == 0) {
		(network.bits == 32 ? map->networks4 : map->networks6)[network.prefix]++;
	}
	return 0;
}

/* The entry of a pattern; NULL: there is none. */
static const struct entry *get(const struct pattern_map *map, const char *pattern, size_t length)
{
	const struct entry *entry = find(map, pattern, length);

	return entry->pattern ? entry : NULL;
}

static const struct entry *find_network(const struct pattern_map *map, struct netaddr network)
{
	const size_t *networks = network.bits == 32 ? map->networks4 : map->networks6;
	const struct entry *entry = NULL;

	for (unsigned prefix = network.prefix + 1U; prefix-- > 0 && !entry;) {
		char buffer[NETADDR_TEXT_SIZE];
		struct strbuf text;

		if (networks[prefix] > 0) {
			netaddr_mask(&network, prefix);
			strbuf_init(&text, buffer, sizeof(buffer));
			netaddr_format(&network, &text);
			entry = get(map, buffer, text.length);
		}
	}
	return entry;
}

static const struct entry *find_domain(
    const struct pattern_map *map, const char *key, size_t length)
{
	size_t size;
	const char *domain = pattern_domain(key, length, &size);
	const char *dot = domain, *end = domain + size;
	const struct entry *entry = domain != key ? get(map, domain - 1, size + 1) : NULL;

	while (!entry && (dot = memchr(dot, '.', (size_t)(end - dot)))) {
		entry = get(map, dot, (size_t)(end - dot));
		dot++;
	}
	return entry;
}

static const struct entry *find_best(const struct pattern_map *map, const char *key, size_t length)
{
	const struct entry *entry = get(map, key, length);
	struct netaddr network;

	if (entry) {
		return entry;
	}
	if (netaddr_read_network(key, length, &network) == 0) {
		return find_network(map, network);
	}
	return map->domains ? find_domain(map, key, length) : NULL;
}

void *pattern_map_find(const struct pattern_map *map, const char *key, size_t length)
{
	const struct entry *entry = find_best(map, key, length);

	return entry ? entry->value : NULL;
}

const char *pattern_map_pattern(const struct pattern_map *map, const char *key, size_t length)
{
	const struct entry *entry = find_best(map, key, length);

	return entry ? entry->pattern : NULL;
}

const char *pattern_map_next_longer(const struct pattern_map *map, size_t length, size_t *position)
{
	while (map->longest > length && *position < map->size) {
		const struct entry *entry = &map->entry[(*position)++];

		if (entry->pattern && entry->length > length) {
			return entry->pattern;
		}
	}
	return NULL;
}
