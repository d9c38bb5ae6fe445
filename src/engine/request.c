/*
 * From a request to what a rule makes of it: see request.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/request.h"

#include "base/number.h"
#include "base/strbuf.h"
#include "config/rule.h"
#include "config/selector.h"

#include <string.h>

#define EVERYTHING "everything"

void request_init(struct request *request, const struct policy_request *policy)
{
	static const char *const states[] = {
	    [REQUEST_RCPT] = "RCPT", [REQUEST_DATA] = "DATA", [REQUEST_END] = "END-OF-MESSAGE"};
	const char *state = policy_value(policy, "protocol_state");
	const char *number;

	*request = (struct request){.policy = policy};
	for (unsigned i = REQUEST_RCPT; i <= REQUEST_END; i++) {
		if (strcmp(state, states[i]) == 0) {
			request->state = (enum request_state)i;
		}
	}
	if (request->state == REQUEST_DATA || request->state == REQUEST_END) {
		number = policy_value(policy, "recipient_count");
		number_parse(number, strlen(number), LIMIT_COUNT_MAX, &request->recipient_count);
		number = policy_value(policy, "size");
		number_parse(number, strlen(number), LIMIT_BYTES_MAX, &request->size);
	}
	request->instance = policy_find(policy, "instance", strlen("instance"));
	if (request->instance && request->instance->value_length == 0) {
		request->instance = NULL;
	}
}

uint64_t request_amount(const struct rule *rule, const struct request *request)
{
	if (request->state == REQUEST_OTHER) {
		return 0;
	}
	switch (rule->count) {
	case COUNT_MESSAGES:
		return 1;
	case COUNT_RECIPIENTS:
		return request->state == REQUEST_RCPT ? 1 : request->recipient_count;
	default:
		return request->state == REQUEST_END ? request->size : 0;
	}
}

uint64_t request_cost(
    const struct rule *rule, const struct request *request, uint64_t charged, bool again)
{
	uint64_t amount = request_amount(rule, request);

	if (again) {
		return 0;
	}
	if (rule->count == COUNT_BYTES) {
		return charged ? 0 : amount;
	}
	if (rule->count == COUNT_RECIPIENTS && request->state == REQUEST_RCPT) {
		return amount;
	}
	return amount > charged ? amount - charged : 0;
}

unsigned request_matches(const struct rule *rule, const struct policy_request *request)
{
	unsigned i = 0;

	for (; i < rule->matches; i++) {
		const struct config_attribute *attribute = &rule->match[i].attribute;
		const char *value = policy_value(request, attribute->source);
		size_t length = strlen(value);

		if (attribute->kind == KEY_DOMAIN) {
			const char *domain = pattern_domain(value, length, &length);

			length = domain == value ? 0 : length;
			value = domain;
		}
		if (!selector_matches(&rule->match[i], value, length)) {
			break;
		}
	}
	return i;
}

/*
 * The override for a key. A client can choose a user name or a sender that looks like an IP
 * address; no override for a network may apply to that.
 */
static const struct override *find_override(
    const struct rule *rule, const struct config_key *source, const char *key, size_t length)
{
	struct netaddr network;

	if (source && !(source->parts == 1 && source->part[0].kind == KEY_ADDRESS) &&
	    selector_key_can_be(rule, KEY_ADDRESS) &&
	    netaddr_read_network(key, length, &network) == 0) {
		return NULL;
	}
	return rule_find_override(rule, key, length);
}

/* Cuts the key to its length, and puts the rule's name before it. */
static void finish_key(const struct rule *rule, struct strbuf *text,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key)
{
	struct strbuf whole;

	key->override = find_override(rule, key->source, text->buffer, text->length);
	key_cut(text, secret);
	strbuf_init(&whole, key->text, sizeof(key->text));
	strbuf_puts(&whole, rule->name);
	strbuf_puts(&whole, ":");
	key->prefix = whole.length;
	strbuf_add(&whole, text->buffer, text->length);
	key->length = whole.length;
}

bool request_find_key(const struct rule *rule, const struct policy_request *request,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key)
{
	/* A pair, with every '+' escaped. Static, so that the stack stays within few pages. */
	static char buffer[4 * KEY_VALUE_MAX + 2];
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	key->source = NULL;
	if (rule->keys == 0) {
		strbuf_puts(&text, EVERYTHING);
	}
	for (unsigned i = 0; i < rule->keys && text.length == 0; i++) {
		key->source = &rule->key[i];
		for (unsigned j = 0; j < key->source->parts; j++) {
			const struct config_attribute *part = &key->source->part[j];
			const char *value = policy_value(request, part->source);

			if (!key_add(
				&text, value, strlen(value), part->kind, j > 0, &rule->folding)) {
				strbuf_init(&text, buffer, sizeof(buffer));
				break;
			}
		}
	}
	if (text.length == 0) {
		return false;
	}
	finish_key(rule, &text, secret, key);
	return true;
}

void request_parse_key(const struct rule *rule, const char *bytes, size_t length,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key)
{
	char buffer[KEY_VALUE_MAX + NETADDR_TEXT_SIZE];
	struct netaddr network;
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	key->source = NULL;
	if (selector_key_can_be(rule, KEY_ADDRESS) &&
	    netaddr_read_network(bytes, length, &network) == 0) {
		netaddr_mask(&network, network.bits == 32 ? rule->ipv4_prefix : rule->ipv6_prefix);
		netaddr_format(&network, &text);
	} else {
		key_add(&text, bytes, length,
		    selector_key_can_be(rule, KEY_MAILBOX) ? KEY_MAILBOX : KEY_TEXT, false,
		    &rule->folding);
	}
	finish_key(rule, &text, secret, key);
}
