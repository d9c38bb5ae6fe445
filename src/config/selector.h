/*
 * The options `key` and `match`: which attributes of a request a rule looks at, and which values
 * it applies to.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SELECTOR_H
#define SELECTOR_H

#include "base/error.h"
#include "base/strbuf.h"
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

/* Appends an alternative as the file names it: "sender", "sender+client_address". */
void selector_format_key(const struct config_key *key, struct strbuf *text);

/* Bytes of such a name, with the NUL. */
#define SELECTOR_NAME_SIZE 64

/*
 * Appends a value of an alternative as an administrator writes it, folded as key_add folds those of
 * requests: at most SELECTOR_FOLD_MAX bytes, which may become three times as many. In the first
 * part of a pair, "%2b" stands for '+', and "%25" for '%'. The first '+' that leaves two possible
 * parts divides them. False if no request can have that value.
 */
#define SELECTOR_FOLD_MAX (2 * KEY_VALUE_MAX)
bool selector_fold(const struct rule *rule, const struct config_key *key, const char *bytes,
    size_t length, struct strbuf *text);

/*
 * Parses the value of a `match`. Returns 0, or -1 with the reason. In both cases match is for
 * selector_free_match.
 */
int selector_parse_match(struct config_match *match, const char *value, struct error *error);
void selector_free_match(struct config_match *match);

/* Whether a value of the attribute fulfils the match. */
bool selector_matches(const struct config_match *match, const char *value, size_t length);

#endif
