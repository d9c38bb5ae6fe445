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

/*
 * The cost of the request after charged for its transaction. again: the last charge was for this
 * very request, which Postfix sends a second time, perhaps from another restriction list.
 */
uint64_t request_cost(
    const struct rule *rule, const struct request *request, uint64_t charged, bool again);

/* How many matches of the rule hold before the first that does not; rule->matches: all. */
unsigned request_matches(const struct rule *rule, const struct policy_request *request);

/* The key of a counter in the file, RULE:KEY. */
struct request_key {
	char text[CONFIG_RULE_NAME_MAX + 1 + KEY_MAX + 1];
	size_t length;
	size_t prefix; /* length of "RULE:" */
	const struct config_key *source; /* the rule's key that gave it; NULL for `everything` */
	const struct override *override; /* for the key before it is cut; NULL: none */
};

/* Makes the key for a request. False if it is empty: the rule does not apply. */
bool request_find_key(const struct rule *rule, const struct policy_request *request,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key);

/*
 * Makes the key from what an administrator writes. Folds as the rule does, but can't know where
 * the parts of a pair begin. source is NULL.
 */
void request_parse_key(const struct rule *rule, const char *bytes, size_t length,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key);

#endif
