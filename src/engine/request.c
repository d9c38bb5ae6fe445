/*
 * From a request to what a rule makes of it: see rule.h.
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
	static const struct {
		const char *name;
		enum request_state state;
	} states[] = {{"RCPT", REQUEST_RCPT}, {"DATA", REQUEST_DATA},
	    {"END-OF-MESSAGE", REQUEST_END}};
	const char *state = policy_value(policy, "protocol_state");
	const char *number;

	*request = (struct request){.policy = policy};
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		if (strcmp(state, states[i].name) == 0) {
			request->state = states[i].state;
			break;
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
		const struct policy_attribute *found =
		    policy_find(request, attribute->source, strlen(attribute->source));
		const char *value = found ? found->value : "";
		size_t length = found ? found->value_length : 0;

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
 * The override for a key. A client may call itself user or sender what looks like an IP
 * address: that must not bring it into a network of the overrides.
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

/* Puts the rule's name before a key that is cut to its length. */
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
	/* A pair, with every '+' escaped. Not on the stack, all else would be far from there. */
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
			const struct policy_attribute *attribute =
			    policy_find(request, part->source, strlen(part->source));

			if (!attribute ||
			    !key_add(&text, attribute->value, attribute->value_length, part->kind,
				j > 0, &rule->folding)) {
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
		netaddr_mask(&network, key_prefix(&rule->folding, &network));
		netaddr_format(&network, &text);
	} else {
		key_add(&text, bytes, length,
		    selector_key_can_be(rule, KEY_MAILBOX) ? KEY_MAILBOX : KEY_TEXT, false,
		    &rule->folding);
	}
	finish_key(rule, &text, secret, key);
}
