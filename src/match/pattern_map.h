/*
 * A table from patterns to whatever holds for the keys that they match: the most
 * specific pattern wins. Thousands of patterns cost a lookup no more than a few. Pure.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef OVERRIDE_H
#define OVERRIDE_H

#include <stddef.h>

struct pattern_map;

/* NULL if out of memory. */
struct pattern_map *pattern_map_new(void);
void pattern_map_free(struct pattern_map *table);

/*
 * Adds a pattern, which is copied: a key as key.h makes it, "@domain", ".domain", or a
 * network as netaddr.h formats it. value is the caller's. 0, 1 if the pattern is there
 * already, -1 if out of memory.
 */
int pattern_map_add(struct pattern_map *table, const char *pattern, size_t length, void *value);

/*
 * The value for a key: of the key itself, else of the longest network or domain that it
 * is in; NULL if no pattern matches.
 */
void *pattern_map_find(const struct pattern_map *table, const char *key, size_t length);

/* The pattern that it is the value of, the table's. */
const char *pattern_map_pattern(const struct pattern_map *table, const char *key, size_t length);

#endif
