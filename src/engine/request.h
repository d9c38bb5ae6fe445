/*
 * From a request to what a rule makes of it: whether it applies, to which key, and how much it
 * counts.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "base/hash.h"
#include "config/config.h"
#include "policy/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Protocol states that count; REQUEST_OTHER is every other. */
enum request_state { REQUEST_OTHER, REQUEST_RCPT, REQUEST_DATA, REQUEST_END };

/* The parts of a request that all rules use. */
struct request {
	const struct policy_request *policy;
	enum request_state state;
	uint64_t recipient_count; /* 0 in RCPT, as in Postfix */
	uint64_t size; /* 0 in RCPT: it may still grow */
	const struct policy_attribute *instance; /* NULL if empty */
};

void request_init(struct request *request, const struct policy_request *policy);

/*
 * The cost of the request if nothing has been charged for its transaction yet; 0: the rule does
 * not count it.
 */
uint64_t request_amount(const struct rule *rule, const struct request *request);

/* The cost of a new request after charged for its transaction. */
uint64_t request_cost(const struct rule *rule, const struct request *request, uint64_t charged);

/* How many matches of the rule hold before the first that does not; rule->matches: all. */
unsigned request_matches(const struct rule *rule, const struct policy_request *request);

/*
 * The key of a counter in the file, RULE:KEY. If the rule has several alternatives, KEY is VALUE
 * for the first, and ATTRIBUTE:VALUE for any other, so that none shares a counter with another. A
 * VALUE of the first that looks like one of another has its ATTRIBUTE before it too.
 */
struct request_key {
	char text[CONFIG_RULE_NAME_MAX + 1 + KEY_MAX + 1];
	size_t length;
	size_t prefix; /* length of "RULE:" */
	size_t value; /* where VALUE begins in text */
	const struct config_key *source; /* the rule's key that gave it; NULL for `everything` */
	const char *pattern; /* of the override; owned by the rule; NULL: none */
	const struct override *override; /* NULL: none */
};

/* Makes the key for a request. False if it is empty: the rule does not apply. */
bool request_find_key(const struct rule *rule, const struct policy_request *request,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key);

/*
 * Makes the key from what an administrator writes: KEY as it is kept, folded as the rule folds
 * values. False if no request can have that key.
 */
bool request_parse_key(const struct rule *rule, const char *bytes, size_t length,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key);

/*
 * The alternative that a KEY, kept or written, belongs to; NULL for `everything`. *value: where
 * VALUE begins.
 */
const struct config_key *request_key_source(
    const struct rule *rule, const char *bytes, size_t length, size_t *value);

/* The override for a kept KEY; NULL: none. */
const struct override *request_find_override(const struct rule *rule, const char *bytes,
    size_t length, const uint8_t secret[HASH_KEY_BYTES]);

#endif
