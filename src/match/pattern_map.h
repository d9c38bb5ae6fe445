/*
 * A map from patterns to values. A key has the value of the most specific pattern that matches it.
 * A lookup takes about as long with thousands of patterns as with a few. Pure.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PATTERN_MAP_H
#define PATTERN_MAP_H

#include <stddef.h>

struct pattern_map;

/* An empty map for pattern_map_free, which does not free values; NULL if out of memory. */
struct pattern_map *pattern_map_new(void);
void pattern_map_free(struct pattern_map *map);

/*
 * Adds a pattern of length bytes, which is copied: a key as key.h makes it, "@domain", ".domain",
 * or a network as netaddr_format prints it. Returns 0, 1 if the pattern is there already (its
 * value stays), or -1 if out of memory.
 */
int pattern_map_add(struct pattern_map *map, const char *pattern, size_t length, void *value);

/*
 * The value for a key: of the pattern that is the key itself, or else of the longest network or
 * domain that the key is in; NULL if no pattern matches.
 */
void *pattern_map_find(const struct pattern_map *map, const char *key, size_t length);

/*
 * The next pattern that is longer than that many bytes, owned by the map; NULL after the last.
 * *position is 0 at first.
 */
const char *pattern_map_next_longer(const struct pattern_map *map, size_t length, size_t *position);

/* The pattern that pattern_map_find takes the value of, owned by the map; NULL if none. */
const char *pattern_map_pattern(const struct pattern_map *map, const char *key, size_t length);

#endif
