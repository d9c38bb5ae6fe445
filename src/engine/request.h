/*
 * From a request to what a rule makes of it: whether it applies, to which key, and
 * how much it counts.
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

/* What all rules want to know of a request. */
struct request {
	const struct policy_request *policy;
	enum request_state state;
	uint64_t recipient_count; /* 0 in RCPT, as Postfix has it; and so is size: it may grow */
	uint64_t size;
	const struct policy_attribute *instance; /* NULL if empty */
};

void request_init(struct request *request, const struct policy_request *policy);

/*
 * What the request counts if nothing of its transaction has been charged yet;
 * 0: it does not concern this rule.
 */
uint64_t request_amount(const struct rule *rule, const struct request *request);

/*
 * What there is to charge, when already was charged for the transaction. again: the
 * last charge was for this very request, which Postfix, or another restriction
 * list, sends a second time.
 */
uint64_t request_cost(
    const struct rule *rule, const struct request *request, uint64_t charged, bool again);

/* How many matches of the rule hold for the request, before the first that does not. */
unsigned request_matches(const struct rule *rule, const struct policy_request *request);

/* The key of a counter in the file, RULE:KEY. */
struct request_key {
	char text[CONFIG_RULE_NAME_MAX + 1 + KEY_MAX + 1];
	size_t length;
	size_t prefix; /* length of "RULE:" */
	const struct config_key *source; /* which of the rule's it is; NULL for `everything` */
	const struct override *override; /* of the key in its full length; NULL: none */
};

/* False if the request has nothing to count under: the rule does not apply. */
bool request_find_key(const struct rule *rule, const struct policy_request *request,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key);

/*
 * The key for bytes as an administrator writes them; folds as the rule does, but can't
 * know where the parts of a pair begin. source is NULL.
 */
void request_parse_key(const struct rule *rule, const char *bytes, size_t length,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key);

#endif
