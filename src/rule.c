/*
 * From a request to what a rule makes of it: see rule.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "rule.h"

#include <stdio.h>
#include <string.h>

#define EVERYTHING "everything"

/* "~" and 64 bits in hex: what makes a key unique again that was cut. */
#define KEY_TAIL 17

void rule_request_init(struct rule_request *request, const struct policy_request *policy)
{
	static const struct {
		const char *name;
		enum rule_state state;
	} states[] = {{"RCPT", RULE_STATE_RCPT}, {"DATA", RULE_STATE_DATA},
	    {"END-OF-MESSAGE", RULE_STATE_END}};
	const char *state = policy_value(policy, "protocol_state");
	const char *number;

	*request = (struct rule_request){.policy = policy};
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		if (strcmp(state, states[i].name) == 0) {
			request->state = states[i].state;
		}
	}
	number = policy_value(policy, "recipient_count");
	number_parse(number, strlen(number), LIMIT_COUNT_MAX, &request->recipient_count);
	number = policy_value(policy, "size");
	number_parse(number, strlen(number), LIMIT_BYTES_MAX, &request->size);
	request->instance = policy_find(policy, "instance", strlen("instance"));
	if (request->instance && request->instance->value_length == 0) {
		request->instance = NULL;
	}
}

uint64_t rule_amount(const struct rule *rule, const struct rule_request *request)
{
	if (request->state == RULE_STATE_OTHER) {
		return 0;
	}
	switch (rule->count) {
	case COUNT_MESSAGES:
		return 1;
	case COUNT_RECIPIENTS:
		return request->state == RULE_STATE_RCPT ? 1 : request->recipient_count;
	default:
		return request->state == RULE_STATE_END ? request->size : 0;
	}
}

uint64_t rule_cost(const struct rule *rule, const struct rule_request *request, uint64_t charged,
    bool again)
{
	uint64_t amount = rule_amount(rule, request);

	if (again) {
		return 0;
	}
	if (rule->count == COUNT_BYTES) {
		return charged ? 0 : amount;
	}
	if (rule->count == COUNT_RECIPIENTS && request->state == RULE_STATE_RCPT) {
		return amount;
	}
	return amount > charged ? amount - charged : 0;
}

void rule_key_of_bytes(const struct rule *rule, const char *bytes, size_t length,
    const uint8_t secret[HASH_KEY_BYTES], struct rule_key *key)
{
	size_t kept = length;

	key->prefix = strlen(rule->name) + 1;
	memcpy(key->text, rule->name, key->prefix - 1);
	key->text[key->prefix - 1] = ':';
	if (length > CONFIG_KEY_MAX) {
		kept = CONFIG_KEY_MAX - KEY_TAIL;
		while (kept > 0 && ((unsigned char)bytes[kept] & 0xc0) == 0x80) {
			kept--;
		}
	}
	memcpy(key->text + key->prefix, bytes, kept);
	if (rule->fold_case) {
		ascii_lower(key->text + key->prefix, kept);
	}
	key->length = key->prefix + kept;
	if (kept < length) {
		char whole[POLICY_VALUE_MAX];
		size_t size = length < sizeof(whole) ? length : sizeof(whole);

		memcpy(whole, bytes, size);
		if (rule->fold_case) {
			ascii_lower(whole, size);
		}
		snprintf(key->text + key->length, KEY_TAIL + 1, "~%016llx",
		    (unsigned long long)hash_keyed(secret, whole, size));
		key->length += KEY_TAIL;
	}
	key->text[key->length] = '\0';
}

bool rule_key_of_request(const struct rule *rule, const struct policy_request *request,
    const uint8_t secret[HASH_KEY_BYTES], struct rule_key *key)
{
	const struct policy_attribute *attribute;
	const char *value;
	size_t length;

	if (!rule->key.attribute) {
		rule_key_of_bytes(rule, EVERYTHING, strlen(EVERYTHING), secret, key);
		return true;
	}
	attribute = policy_find(request, rule->key.attribute, rule->key.attribute_length);
	if (!attribute) {
		return false;
	}
	value = attribute->value;
	length = attribute->value_length;
	if (rule->key.domain) {
		const char *at = memrchr(value, '@', length);

		if (!at) {
			return false;
		}
		length -= (size_t)(at + 1 - value);
		value = at + 1;
	}
	if (length == 0) {
		return false;
	}
	rule_key_of_bytes(rule, value, length, secret, key);
	return true;
}
