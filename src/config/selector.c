/*
 * The options `key` and `match`: see selector.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config/selector.h"

#include "base/alloc.h"
#include "base/array.h"
#include "base/suggest.h"
#include "policy/attributes.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int selector_find(struct config_attribute *attribute, const char *name, size_t length)
{
	/* By enum attribute_kind. */
	static const enum key_kind kinds[] = {KEY_TEXT, KEY_MAILBOX, KEY_ADDRESS, KEY_DOMAIN};
	const struct attribute *found = attributes_find(name, length);

	if (!found) {
		return -1;
	}
	*attribute = (struct config_attribute){
	    found->name, found->source ? found->source : found->name, kinds[found->kind]};
	return 0;
}

static int unknown_attribute(const char *name, bool everything, struct error *error)
{
	static const char allowed[] =
	    "one that Postfix sends, such as sasl_username, sender, client_address, or "
	    "sasl_domain, sender_domain, recipient_domain";
	const char *more = everything ? ", or everything" : "";
	struct suggestion near;

	if (!name[0]) {
		return error_set(error, "an attribute is missing; %s%s", allowed, more);
	}
	suggest_init(&near, name, strlen(name));
	for (const struct attribute *attribute = attributes; attribute->name; attribute++) {
		suggest_try(&near, attribute->name);
	}
	if (everything) {
		suggest_try(&near, "everything");
	}
	if (suggest_best(&near)) {
		return error_set(error, "unknown attribute \"%s\", did you mean \"%s\"?", name,
		    suggest_best(&near));
	}
	return error_set(error, "unknown attribute \"%.60s\"; %s%s", name, allowed, more);
}

char *selector_next_word(char **s, const char *stops, char *stop)
{
	char *word = *s + strspn(*s, " \t");
	char *end = word + strcspn(word, stops);

	*stop = *end;
	*s = *end ? end + 1 : end;
	while (end > word && (end[-1] == ' ' || end[-1] == '\t')) {
		end--;
	}
	*end = '\0';
	return word;
}

unsigned selector_key_kinds(const struct rule *rule)
{
	unsigned kinds = 0;

	for (unsigned i = 0; i < rule->keys; i++) {
		kinds |= rule->key[i].parts > 1 ? SELECTOR_PAIR : 1U << rule->key[i].part[0].kind;
	}
	return kinds;
}

bool selector_key_can_be(const struct rule *rule, enum key_kind kind)
{
	return selector_key_kinds(rule) & 1U << kind;
}

/* Parses ATTRIBUTE or ATTRIBUTE+ATTRIBUTE from *s on; *stop as in selector_next_word. */
static int parse_alternative(struct config_key *key, char **s, char *stop, struct error *error)
{
	key->parts = 0;
	do {
		const char *word = selector_next_word(s, ",+", stop);

		if (key->parts == 2) {
			return error_set(error, "more than two attributes joined by '+'");
		}
		if (strcmp(word, "everything") == 0) {
			return error_set(error, "\"everything\" can't be combined");
		}
		if (selector_find(&key->part[key->parts++], word, strlen(word))) {
			return unknown_attribute(word, true, error);
		}
	} while (*stop == '+');
	return 0;
}

int selector_parse_key(struct rule *rule, const char *value, struct error *error)
{
	char *names = alloc_copy(value, error);
	char *s = names;
	char stop = ',';
	unsigned keys = 0;
	int result = names ? 0 : -1;

	while (result == 0 && stop == ',' && strcmp(value, "everything") != 0) {
		result = keys == CONFIG_KEYS_MAX
		    ? error_set(error, "more than %d attributes to choose from", CONFIG_KEYS_MAX)
		    : parse_alternative(&rule->key[keys++], &s, &stop, error);
	}
	rule->keys = result == 0 ? keys : rule->keys;
	free(names);
	return result;
}

void selector_format_key(const struct config_key *key, struct strbuf *text)
{
	for (unsigned i = 0; i < key->parts; i++) {
		strbuf_puts(text, i ? "+" : "");
		strbuf_puts(text, key->part[i].name);
	}
}

/* Appends one part of a key as an administrator writes it. False if it can't be one. */
static bool add_written(const struct rule *rule, enum key_kind kind, const char *bytes,
    size_t length, struct strbuf *text)
{
	struct netaddr network;
	size_t domain_length;

	if (length > KEY_VALUE_MAX) {
		return false;
	}
	if (kind == KEY_ADDRESS) {
		if (netaddr_read_network(bytes, length, &network)) {
			return false;
		}
		netaddr_mask(&network, key_prefix(&rule->folding, &network));
		netaddr_format(&network, text);
		return true;
	}
	if (kind == KEY_DOMAIN) {
		if (pattern_domain(bytes, length, &domain_length) != bytes) {
			return false;
		}
		length = domain_length;
		kind = KEY_TEXT;
	}
	return key_add(text, bytes, length, kind, false, &rule->folding);
}

/* Appends the first part of a pair with "%2b" and "%25" as what they stand for. */
static void add_unescaped(const char *bytes, size_t length, struct strbuf *text)
{
	for (size_t i = 0; i < length; i++) {
		bool plus = length - i > 2 && strncasecmp(bytes + i, "%2b", 3) == 0;
		bool percent = length - i > 2 && memcmp(bytes + i, "%25", 3) == 0;

		strbuf_add(text, plus ? "+" : bytes + i, 1);
		i += plus || percent ? 2 : 0;
	}
}

/* Appends a pair as an administrator writes it: see selector_fold. */
static bool add_written_pair(const struct rule *rule, const struct config_key *key,
    const char *bytes, size_t length, struct strbuf *text)
{
	static char first[SELECTOR_FOLD_MAX], second[SELECTOR_FOLD_MAX];
	const char *plus = bytes;

	while ((plus = memchr(plus, '+', (size_t)(bytes + length - plus)))) {
		struct strbuf one, other;

		strbuf_init(&one, first, sizeof(first));
		strbuf_init(&other, second, sizeof(second));
		add_unescaped(bytes, (size_t)(plus - bytes), &one);
		plus++;
		if (add_written(
			rule, key->part[1].kind, plus, (size_t)(bytes + length - plus), &other) &&
		    add_written(rule, key->part[0].kind, first, one.length, text)) {
			return key_add(text, second, other.length, KEY_TEXT, true, &rule->folding);
		}
	}
	return false;
}

bool selector_fold(const struct rule *rule, const struct config_key *key, const char *bytes,
    size_t length, struct strbuf *text)
{
	return key->parts > 1 ? add_written_pair(rule, key, bytes, length, text)
			      : add_written(rule, key->part[0].kind, bytes, length, text);
}

int selector_parse_match(struct config_match *match, const char *value, struct error *error)
{
	char *sign, *s, *word;
	size_t size, length;
	char stop;

	*match = (struct config_match){.text = alloc_copy(value, error)};
	if (!match->text) {
		return -1;
	}
	s = match->text;
	sign = s + strcspn(s, "=!<>~");
	size = strspn(sign, "!<>~");
	size += strspn(sign + size, "=<>~");
	if (size == 0) {
		return error_set(
		    error, "\"%.60s\" is not ATTRIBUTE = VALUE or ATTRIBUTE != VALUE", s);
	}
	match->negated = size == 2 && memcmp(sign, "!=", 2) == 0;
	if (!match->negated && (size != 1 || *sign != '=')) {
		return error_set(error,
		    "\"%.*s\" is not an operator; one of = and !=", (int)(size < 60 ? size : 60),
		    sign);
	}
	if (match->negated) {
		*sign = ' ';
	}
	word = selector_next_word(&s, "=", &stop);
	if (selector_find(&match->attribute, word, strlen(word))) {
		return unknown_attribute(word, false, error);
	}
	do {
		struct pattern *pattern =
		    array_grow(match->pattern, match->patterns, sizeof(*pattern));

		if (!pattern) {
			return error_no_memory(error);
		}
		match->pattern = pattern;
		word = selector_next_word(&s, ",", &stop);
		if (word[0] == '=' || (word[0] == '!' && word[1] == '=')) {
			return error_set(error, "two operators before \"%.60s\"", word);
		}
		if (!word[0] && (stop || match->patterns > 0)) {
			return error_set(error, "a value is missing before or after a ','");
		}
		/* A derived domain has no '@', but "@domain" is what people write. */
		word += word[0] == '@' && word[1] && match->attribute.kind == KEY_DOMAIN;
		length = strlen(word);
		/* Nor does it end in dots. */
		while (
		    match->attribute.kind == KEY_DOMAIN && length > 1 && word[length - 1] == '.') {
			length--;
		}
		if (pattern_parse(&pattern[match->patterns++], word, length,
			match->attribute.kind == KEY_ADDRESS, error)) {
			return -1;
		}
	} while (stop);
	return 0;
}

void selector_free_match(struct config_match *match)
{
	free(match->text);
	free(match->pattern);
}

bool selector_matches(const struct config_match *match, const char *value, size_t length)
{
	for (size_t i = 0; i < match->patterns; i++) {
		if (pattern_match(&match->pattern[i], value, length)) {
			return !match->negated;
		}
	}
	return match->negated;
}
