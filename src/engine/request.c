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

uint64_t request_cost(const struct rule *rule, const struct request *request, uint64_t charged)
{
	uint64_t amount = request_amount(rule, request);

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

/* The text "ATTRIBUTE:" of an alternative. */
static void format_name(
    const struct config_key *source, char name[SELECTOR_NAME_SIZE], struct strbuf *text)
{
	strbuf_init(text, name, SELECTOR_NAME_SIZE);
	selector_format_key(source, text);
	strbuf_puts(text, ":");
}

/* The alternative that bytes name, and the length of "ATTRIBUTE:"; NULL: they name none. */
static const struct config_key *named_source(
    const struct rule *rule, const char *bytes, size_t length, size_t *value)
{
	char buffer[SELECTOR_NAME_SIZE];
	struct strbuf name;

	if (rule->keys < 2 || !memchr(bytes, ':', length)) {
		return NULL;
	}
	for (unsigned i = 0; i < rule->keys; i++) {
		format_name(&rule->key[i], buffer, &name);
		if (length > name.length && memcmp(bytes, buffer, name.length) == 0) {
			*value = name.length;
			return &rule->key[i];
		}
	}
	return NULL;
}

const struct config_key *request_key_source(
    const struct rule *rule, const char *bytes, size_t length, size_t *value)
{
	const struct config_key *source = named_source(rule, bytes, length, value);

	if (source) {
		return source;
	}
	*value = 0;
	return rule->keys > 0 ? &rule->key[0] : NULL;
}

static bool is_address(const struct config_key *source)
{
	return source && source->parts == 1 && source->part[0].kind == KEY_ADDRESS;
}

/* A pattern that makes this kept key, which was cut: a key itself, before it is cut; NULL: none. */
static const char *find_cut_pattern(const struct rule *rule, const char *bytes, size_t length,
    size_t value, const uint8_t secret[HASH_KEY_BYTES])
{
	static char buffer[SELECTOR_NAME_SIZE + KEY_VALUE_MAX];
	const char *pattern;
	size_t position = 0;
	struct strbuf text;

	do {
		pattern = pattern_map_next_longer(rule->patterns, KEY_MAX - value, &position);
		strbuf_init(&text, buffer, sizeof(buffer));
		if (pattern) {
			strbuf_add(&text, bytes, value);
			strbuf_puts(&text, pattern);
			key_cut(&text, secret);
		}
	} while (pattern && (text.length != length || memcmp(buffer, bytes, length) != 0));
	return pattern;
}

/*
 * The pattern of the override for a kept key, whose VALUE begins at value. It looks at nothing but
 * the kept key, so that whoever has only that finds the same.
 */
static const char *find_pattern(const struct rule *rule, const struct config_key *source,
    const char *bytes, size_t length, size_t value, const uint8_t secret[HASH_KEY_BYTES])
{
	size_t kept = key_kept_length(bytes, length);
	const char *pattern = NULL;
	struct netaddr network;

	if (!rule->patterns) {
		return NULL;
	}
	/*
	 * A client can choose a user name or a sender that looks like an IP address; no override
	 * for a network may apply to that.
	 */
	if (source && !is_address(source) && selector_key_can_be(rule, KEY_ADDRESS) &&
	    netaddr_read_network(bytes + value, length - value, &network) == 0) {
		return NULL;
	}
	if (kept == length) {
		return pattern_map_pattern(rule->patterns, bytes + value, length - value);
	}
	pattern = find_cut_pattern(rule, bytes, length, value, secret);
	if (!pattern) {
		pattern = pattern_map_pattern(rule->patterns, bytes + value, kept - value);
		/* Of a cut key, only the end is what it was. */
		if (pattern &&
		    ((*pattern != '@' && *pattern != '.') || strlen(pattern) > KEY_TAIL - 3)) {
			pattern = NULL;
		}
	}
	return pattern;
}

static const struct override *override_of(const struct rule *rule, const char *pattern)
{
	return pattern ? rule_find_override(rule, pattern, strlen(pattern)) : NULL;
}

const struct override *request_find_override(
    const struct rule *rule, const char *bytes, size_t length, const uint8_t secret[HASH_KEY_BYTES])
{
	size_t value;
	const struct config_key *source = request_key_source(rule, bytes, length, &value);

	return override_of(rule, find_pattern(rule, source, bytes, length, value, secret));
}

/* Whether the VALUE of an alternative needs "ATTRIBUTE:" before it. */
static bool needs_name(
    const struct rule *rule, const struct config_key *source, const struct strbuf *text)
{
	size_t value;

	return source &&
	    (source != &rule->key[0] || named_source(rule, text->buffer, text->length, &value));
}

/* Makes text, a VALUE, into the kept KEY. Returns where VALUE begins. */
static size_t add_name(
    const struct rule *rule, const struct config_key *source, struct strbuf *text)
{
	char buffer[SELECTOR_NAME_SIZE];
	struct strbuf name;

	if (!needs_name(rule, source, text)) {
		return 0;
	}
	format_name(source, buffer, &name);
	memmove(text->buffer + name.length, text->buffer, text->length + 1);
	memcpy(text->buffer, buffer, name.length);
	text->length += name.length;
	return name.length;
}

/* Fills the key: the rule's name, and text, which is a kept KEY after it is cut. */
static void finish_key(const struct rule *rule, const struct config_key *source,
    struct strbuf *text, size_t value, const uint8_t secret[HASH_KEY_BYTES],
    struct request_key *key)
{
	struct strbuf whole;

	key_cut(text, secret);
	strbuf_init(&whole, key->text, sizeof(key->text));
	strbuf_puts(&whole, rule->name);
	strbuf_puts(&whole, ":");
	key->prefix = whole.length;
	key->value = whole.length + value;
	strbuf_add(&whole, text->buffer, text->length);
	key->length = whole.length;
	key->source = source;
	key->pattern = find_pattern(rule, source, text->buffer, text->length, value, secret);
	key->override = override_of(rule, key->pattern);
}

/* A pair, with every '+' escaped. Static, so that the stack stays within few pages. */
static char key_buffer[SELECTOR_NAME_SIZE + 4 * KEY_VALUE_MAX + 2];

bool request_find_key(const struct rule *rule, const struct policy_request *request,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key)
{
	const struct config_key *source = NULL;
	struct strbuf text;

	strbuf_init(&text, key_buffer, sizeof(key_buffer));
	if (rule->keys == 0) {
		strbuf_puts(&text, EVERYTHING);
	}
	for (unsigned i = 0; i < rule->keys && text.length == 0; i++) {
		source = &rule->key[i];
		for (unsigned j = 0; j < source->parts; j++) {
			const struct config_attribute *part = &source->part[j];
			const char *value = policy_value(request, part->source);

			if (!key_add(
				&text, value, strlen(value), part->kind, j > 0, &rule->folding)) {
				strbuf_init(&text, key_buffer, sizeof(key_buffer));
				break;
			}
		}
	}
	if (text.length == 0) {
		return false;
	}
	finish_key(rule, source, &text, add_name(rule, source, &text), secret, key);
	return true;
}

bool request_parse_key(const struct rule *rule, const char *bytes, size_t length,
    const uint8_t secret[HASH_KEY_BYTES], struct request_key *key)
{
	struct strbuf text;
	size_t value;
	const struct config_key *source = request_key_source(rule, bytes, length, &value);

	strbuf_init(&text, key_buffer, sizeof(key_buffer));
	if (length == 0 || length > SELECTOR_FOLD_MAX) {
		return false;
	}
	if (!source || key_kept_length(bytes, length) < length) {
		/* A key that was cut can't be folded again. */
		strbuf_add(&text, bytes, length);
	} else if (!selector_fold(rule, source, bytes + value, length - value, &text)) {
		return false;
	} else {
		value = add_name(rule, source, &text);
	}
	finish_key(rule, source, &text, value, secret, key);
	return true;
}
