/*
 * From a request to what a rule makes of it: whether it applies, to which key, and
 * how much it counts.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef RULE_H
#define RULE_H

#include "config.h"
#include "policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Protocol states that count; RULE_STATE_OTHER is every other. */
enum rule_state { RULE_STATE_OTHER, RULE_STATE_RCPT, RULE_STATE_DATA, RULE_STATE_END };

/* What all rules want to know of a request. */
struct rule_request {
	const struct policy_request *policy;
	enum rule_state state;
	uint64_t recipient_count; /* 0 in RCPT, as Postfix has it; and so is size: it may grow */
	uint64_t size;
	const struct policy_attribute *instance; /* NULL if empty */
};

void rule_request_init(struct rule_request *request, const struct policy_request *policy);

/*
 * What the request counts if nothing of its transaction has been charged yet;
 * 0: it does not concern this rule.
 */
uint64_t rule_amount(const struct rule *rule, const struct rule_request *request);

/*
 * What there is to charge, when already was charged for the transaction. again: the
 * last charge was for this very request, which Postfix, or another restriction
 * list, sends a second time.
 */
uint64_t rule_cost(
    const struct rule *rule, const struct rule_request *request, uint64_t charged, bool again);

/* How many matches of the rule hold for the request, before the first that does not. */
unsigned rule_matches(const struct rule *rule, const struct policy_request *request);

/* The key of a counter in the file, RULE:KEY. */
struct rule_key {
	char text[CONFIG_RULE_NAME_MAX + 1 + KEY_MAX + 1];
	size_t length;
	size_t prefix; /* length of "RULE:" */
	const struct config_key *source; /* which of the rule's it is; NULL for `everything` */
	const struct config_plan *plan; /* what holds for it, in its full length */
};

/* False if the request has nothing to count under: the rule does not apply. */
bool rule_key_of_request(const struct rule *rule, const struct policy_request *request,
    const uint8_t secret[HASH_KEY_BYTES], struct rule_key *key);

/*
 * The key for bytes as an administrator writes them; folds as the rule does, but can't
 * know where the parts of a pair begin. source is NULL.
 */
void rule_key_of_bytes(const struct rule *rule, const char *bytes, size_t length,
    const uint8_t secret[HASH_KEY_BYTES], struct rule_key *key);

#endif
