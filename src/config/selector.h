/*
 * The options `key` and `match`: which attributes of a request a rule looks at, and which values
 * it applies to.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SELECTOR_H
#define SELECTOR_H

#include "base/error.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Cuts the next word off *s: the text before one of the stops, without the blanks around it. *stop
 * is set to that stop, or to NUL at the end.
 */
char *selector_next_word(char **s, const char *stops, char *stop);

/* Finds the attribute with that name in policy/attributes.h. Returns 0, or -1 if there is none. */
int selector_find(struct config_attribute *attribute, const char *name, size_t length);

/*
 * Parses the value of a `key` into rule->key and rule->keys. Returns 0; or -1 with the reason, and
 * rule->keys unchanged.
 */
int selector_parse_key(struct rule *rule, const char *value, struct error *error);

/*
 * Which kinds of attributes the key can be: 1 << KIND for each alternative that is a single
 * attribute, and SELECTOR_PAIR if there is a pair. 0 for `everything`.
 */
#define SELECTOR_PAIR (1U << 8)
unsigned selector_key_kinds(const struct rule *rule);

/* Whether the key can be a single attribute of that kind; a part of a pair does not count. */
bool selector_key_can_be(const struct rule *rule, enum key_kind kind);

/*
 * Parses the value of a `match`. Returns 0, or -1 with the reason. In both cases match is for
 * selector_free_match.
 */
int selector_parse_match(struct config_match *match, const char *value, struct error *error);
void selector_free_match(struct config_match *match);

/* Whether a value of the attribute fulfils the match. */
bool selector_matches(const struct config_match *match, const char *value, size_t length);

#endif
