/*
 * What `key` and `match` name: see config_key.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config/selector.h"

#include "base/suggest.h"
#include "config/options.h"
#include "policy/attributes.h"

#include <stdlib.h>
#include <string.h>

int config_attribute_find(struct config_attribute *attribute, const char *name, size_t length)
{
	static const enum key_kind kinds[] = {[ATTRIBUTE_TEXT] = KEY_TEXT,
	    [ATTRIBUTE_MAILBOX] = KEY_MAILBOX,
	    [ATTRIBUTE_ADDRESS] = KEY_ADDRESS,
	    [ATTRIBUTE_DOMAIN] = KEY_DOMAIN};
	const struct attribute *found = attributes_find(name, length);

	if (!found) {
		return -1;
	}
	*attribute = (struct config_attribute){found->name, found->source, kinds[found->kind]};
	return 0;
}

static int unknown_attribute(const char *name, size_t length, const char *more, struct error *error)
{
	struct suggestion near;

	if (length == 0) {
		return error_set(error,
		    "an attribute is missing; one that Postfix sends, such as "
		    "sasl_username, sender, client_address%s",
		    more);
	}
	suggest_init(&near, name, length);
	for (const struct attribute *attribute = attributes; attribute->name; attribute++) {
		suggest_try(&near, attribute->name);
	}
	if (strstr(more, "everything")) {
		suggest_try(&near, "everything");
	}
	if (suggest_best(&near)) {
		return error_set(error, "unknown attribute \"%.*s\", did you mean \"%s\"?",
		    (int)length, name, suggest_best(&near));
	}
	return error_set(error,
	    "unknown attribute \"%.*s\"; one that Postfix sends, such as "
	    "sasl_username, sender, client_address%s",
	    (int)(length < 60 ? length : 60), name, more);
}

/* Cuts a word, without the blanks around it, at *s up to one of the stops, which *stop tells. */
static char *next_word(char **s, const char *stops, char *stop)
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

bool config_key_can_be(const struct rule *rule, enum key_kind kind)
{
	for (unsigned i = 0; i < rule->keys; i++) {
		if (rule->key[i].parts == 1 && rule->key[i].part[0].kind == kind) {
			return true;
		}
	}
	return false;
}

int config_key_parse(struct rule *rule, const char *value, struct error *error)
{
	static const char more[] =
	    ", or sasl_domain, sender_domain, recipient_domain, or everything";
	char *names = config_copy(value);
	char *s = names;
	char stop = ',';
	unsigned keys = 0;

	while (stop == ',' && strcmp(value, "everything") != 0) {
		struct config_key *key = &rule->key[keys];
		const char *word;

		if (keys++ == CONFIG_KEYS_MAX) {
			free(names);
			return error_set(
			    error, "more than %d attributes to choose from", CONFIG_KEYS_MAX);
		}
		*key = (struct config_key){.parts = 0};
		do {
			word = next_word(&s, ",+", &stop);
			if (key->parts == 2) {
				free(names);
				return error_set(error, "more than two attributes joined by '+'");
			}
			if (strcmp(word, "everything") == 0) {
				free(names);
				return error_set(error, "\"everything\" stands alone");
			}
			if (config_attribute_find(&key->part[key->parts++], word, strlen(word))) {
				unknown_attribute(word, strlen(word), more, error);
				free(names);
				return -1;
			}
		} while (stop == '+');
	}
	free(rule->key_words);
	rule->key_words = names;
	rule->keys = keys;
	return 0;
}

int config_match_parse(struct config_match *match, char *line, struct error *error)
{
	char *equals = strchr(line, '=');
	char *s = line;
	char *word;
	char stop;

	if (!equals) {
		return error_set(
		    error, "\"%.60s\" is not ATTRIBUTE = VALUE or ATTRIBUTE != VALUE", line);
	}
	match->negated = equals > line && equals[-1] == '!';
	if (match->negated) {
		equals[-1] = ' ';
	}
	word = next_word(&s, "=", &stop);
	if (config_attribute_find(&match->attribute, word, strlen(word))) {
		return unknown_attribute(
		    word, strlen(word), ", or sasl_domain, sender_domain, recipient_domain", error);
	}
	do {
		struct pattern *pattern =
		    reallocarray(match->pattern, match->patterns + 1, sizeof(*pattern));

		if (!pattern) {
			abort();
		}
		match->pattern = pattern;
		word = next_word(&s, ",", &stop);
		if (word[0] == '=') {
			return error_set(error, "\"=%s\": compared is with = or !=", word);
		}
		if (!word[0] && (stop || match->patterns > 0)) {
			return error_set(error, "a value is missing beside a ','");
		}
		/* A derived domain has no '@' in it; "@domain" means the domain all the same. */
		word += word[0] == '@' && word[1] && match->attribute.kind == KEY_DOMAIN;
		if (pattern_parse(&pattern[match->patterns++], word, strlen(word),
			match->attribute.kind == KEY_ADDRESS, error)) {
			return -1;
		}
	} while (stop);
	return 0;
}
