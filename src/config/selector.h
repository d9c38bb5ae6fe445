/*
 * What `key` and `match` name: attributes of a request, pairs of them, patterns for their
 * values.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SELECTOR_H
#define SELECTOR_H

#include "base/error.h"
#include "config/file.h"

/* Reads the value of a `key` into rule->key; 0, or -1 and why, with the number of keys as it was.
 */
int config_key_parse(struct rule *rule, const char *value, struct error *error);

/*
 * Reads the value of a `match`; line is cut up, and what match points at lies in it.
 * 0, or -1 and why. match->pattern is to be freed in any case.
 */
int config_match_parse(struct config_match *match, char *line, struct error *error);

/* Whether the key can be a single attribute of that kind, not one of a pair. */
bool config_key_can_be(const struct rule *rule, enum key_kind kind);

#endif
