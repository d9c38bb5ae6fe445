/*
 * What follows from the options of a rule: see rule.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config/rule.h"

#include "base/alloc.h"
#include "base/array.h"
#include "base/ascii.h"
#include "base/strbuf.h"
#include "config/options.h"
#include "config/selector.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Transactions that a counter remembers; one for the whole server sees many at once. */
#define TRANSACTIONS_PER_KEY 8
#define TRANSACTIONS_EVERYTHING RECORD_TRANSACTIONS_MAX

/*
 * Parses the text of limits, and sees that a counter with the windows of layout, and theirs, can
 * be. *layout becomes that counter's.
 */
static int read_limits(const struct rule *rule, const char *text, struct limits *limits,
    struct record_layout *layout, struct error *error)
{
	unsigned window[LIMITS_MAX];

	if (limits_parse(text, rule->count, limits, error)) {
		return -1;
	}
	if (rule->strategy != STRATEGY_FIXED) {
		limits_shorten(limits);
	}
	return record_layout_add(layout, limits, window, error);
}

const struct override *rule_find_override(const struct rule *rule, const char *key, size_t length)
{
	return rule->patterns ? pattern_map_find(rule->patterns, key, length) : NULL;
}

/* A rule that is being finished. */
struct finishing {
	struct rule *rule;
	rule_complain *complain;
	void *data;
};

static void complain(struct finishing *finishing, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct finishing *finishing, unsigned line, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	finishing->complain(finishing->data, line, message);
}

/* Complains about the value of an option. Returns 0, or -1 if it is for lack of memory. */
static int complain_error(
    struct finishing *finishing, unsigned line, const char *option, const struct error *error)
{
	if (error->no_memory) {
		return -1;
	}
	complain(finishing, line, "%s: %s", option, error->text);
	return 0;
}

/* Whether every alternative of the key is a single attribute of that kind. */
static bool has_only(const struct rule *rule, enum key_kind kind)
{
	for (unsigned i = 0; i < rule->keys; i++) {
		if (rule->key[i].parts > 1 || rule->key[i].part[0].kind != kind) {
			return false;
		}
	}
	return rule->keys > 0;
}

static bool has_only_pairs(const struct rule *rule)
{
	for (unsigned i = 0; i < rule->keys; i++) {
		if (rule->key[i].parts == 1) {
			return false;
		}
	}
	return rule->keys > 0;
}

/* A pattern for keys that are IP addresses. A part of what shares one counter is an error. */
static int fold_network(
    const struct rule *rule, const char *pattern, struct strbuf *text, struct error *error)
{
	struct netaddr network;
	unsigned prefix;

	if (netaddr_parse_network(pattern, strlen(pattern), &network, error)) {
		return -1;
	}
	prefix = network.bits == 32 ? rule->ipv4_prefix : rule->ipv6_prefix;
	if (network.prefix > prefix && strchr(pattern, '/')) {
		return error_set(error,
		    "\"%s\" is smaller than the networks of /%u that share a "
		    "counter; see ipv4_prefix and ipv6_prefix",
		    pattern, prefix);
	}
	netaddr_mask(&network, prefix);
	netaddr_format(&network, text);
	return 0;
}

/* Appends a pattern in the form that pattern_map_find expects. Returns -1 with the reason. */
static int fold_pattern(
    const struct rule *rule, const char *pattern, struct strbuf *text, struct error *error)
{
	size_t length = strlen(pattern);
	struct netaddr network;
	size_t address_length = strcspn(pattern, "/");

	if (has_only(rule, KEY_ADDRESS) ||
	    (selector_key_can_be(rule, KEY_ADDRESS) &&
		netaddr_parse(pattern, address_length, &network) == 0)) {
		return fold_network(rule, pattern, text, error);
	}
	if (strchr(pattern, '/') && netaddr_read_network(pattern, length, &network) == 0) {
		return error_set(error, "\"%s\" is a network, but the key is no address", pattern);
	}
	if (pattern[0] == '@' || pattern[0] == '.') {
		if (length == 1) {
			return error_set(error, "\"%s\" is not followed by a domain", pattern);
		}
		if (has_only_pairs(rule)) {
			return error_set(error,
			    "\"%s\" is a domain, but the key is a pair; write all of it, "
			    "VALUE+VALUE",
			    pattern);
		}
		/* If the key itself is a domain, "@domain" means all of it. */
		strbuf_puts(text, pattern + (pattern[0] == '@' && has_only(rule, KEY_DOMAIN)));
		if (rule->fold_case) {
			ascii_lower(text->buffer, text->length);
		}
		return 0;
	}
	if (strchr(pattern, '*')) {
		return error_set(error,
		    "\"%s\": '*' is no wildcard here; write @domain or .domain, or another limit",
		    pattern);
	}
	if (!key_add(text, pattern, length,
		selector_key_can_be(rule, KEY_MAILBOX) ? KEY_MAILBOX : KEY_TEXT, false,
		&rule->folding)) {
		return error_set(error, "a key is missing");
	}
	return 0;
}

/*
 * The override with limits as in the file: an earlier one with the same text, or a new one. texts
 * maps texts to overrides.
 */
static struct override *override_for(
    struct rule *rule, struct pattern_map *texts, const char *limits, struct error *error)
{
	struct override *override = pattern_map_find(texts, limits, strlen(limits));
	struct record_layout layout = rule->layout;
	struct override **all;

	if (override) {
		return override;
	}
	all = array_grow(rule->override, rule->overrides, sizeof(struct override *));
	if (!all) {
		error_no_memory(error);
		return NULL;
	}
	rule->override = all;
	override = calloc(1, sizeof(*override));
	if (!override) {
		error_no_memory(error);
		return NULL;
	}
	override->index = rule->overrides;
	rule->override[rule->overrides++] = override;
	override->text = alloc_copy(limits, error);
	if (!override->text ||
	    read_limits(rule, override->text, &override->limits, &layout, error)) {
		return NULL;
	}
	/* The logs of all keys have one length, so that an override may come and go. */
	rule->layout.events = layout.events;
	if (pattern_map_add(texts, limits, strlen(limits), override) < 0) {
		error_no_memory(error);
		return NULL;
	}
	return override;
}

/* Adds one pattern with its limits; option is where it stands. Returns -1 if out of memory. */
static int add_override(struct finishing *finishing, struct pattern_map *texts, unsigned line,
    const char *option, const char *pattern, const char *limits)
{
	struct rule *rule = finishing->rule;
	struct override *override;
	char buffer[KEY_VALUE_MAX];
	struct strbuf text;
	struct error error;
	int added;

	strbuf_init(&text, buffer, sizeof(buffer));
	if (fold_pattern(rule, pattern, &text, &error)) {
		return complain_error(finishing, line, option, &error);
	}
	override = override_for(rule, texts, limits, &error);
	if (!override) {
		return complain_error(finishing, line, option, &error);
	}
	added = pattern_map_add(rule->patterns, buffer, text.length, override);
	if (added > 0) {
		complain(
		    finishing, line, "%s: a second one for \"%s\"; a key has one", option, pattern);
	}
	return added < 0 ? -1 : 0;
}

/* "PATTERN LIMITS"; text is cut up. Returns -1 if out of memory. */
static int read_override(
    struct finishing *finishing, struct pattern_map *texts, unsigned line, char *text)
{
	size_t length = strcspn(text, " \t");

	if (!text[length]) {
		complain(finishing, line,
		    "override: \"%.60s\" is not PATTERN LIMITS, such as "
		    "boss@example.com 5000/day",
		    text);
		return 0;
	}
	text[length++] = '\0';
	return add_override(
	    finishing, texts, line, "override", text, text + length + strspn(text + length, " \t"));
}

/* "PATTERN, PATTERN"; text is cut up. Returns -1 if out of memory. */
static int read_exempt(
    struct finishing *finishing, struct pattern_map *texts, unsigned line, char *text)
{
	for (char *s = text, *end; s; s = end) {
		end = strchr(s, ',');
		if (end) {
			*end++ = '\0';
		}
		s += strspn(s, " \t");
		for (size_t last = strlen(s); last > 0 && strchr(" \t", s[last - 1]); last--) {
			s[last - 1] = '\0';
		}
		if (strpbrk(s, " \t")) {
			complain(finishing, line,
			    "exempt: \"%.60s\" has blanks in it; several patterns are "
			    "separated by ','",
			    s);
		} else if (add_override(finishing, texts, line, "exempt", s, "unlimited")) {
			return -1;
		}
	}
	return 0;
}

typedef int read_line(
    struct finishing *finishing, struct pattern_map *texts, unsigned line, char *text);

static int read_lines(struct finishing *finishing, struct pattern_map *texts,
    const struct config_lines *lines, read_line *read)
{
	for (size_t i = 0; i < lines->lines; i++) {
		struct error error;
		char *text = alloc_copy(lines->line[i].text, &error);
		int result = text ? read(finishing, texts, lines->line[i].line, text) : -1;

		free(text);
		if (result) {
			return -1;
		}
	}
	return 0;
}

/* Returns -1 if out of memory. */
static int read_overrides(struct finishing *finishing)
{
	struct rule *rule = finishing->rule;
	struct pattern_map *texts;
	int result = -1;

	if (rule->override_lines.lines + rule->exempt_lines.lines == 0) {
		return 0;
	}
	texts = pattern_map_new();
	rule->patterns = pattern_map_new();
	if (texts && rule->patterns &&
	    read_lines(finishing, texts, &rule->override_lines, read_override) == 0 &&
	    read_lines(finishing, texts, &rule->exempt_lines, read_exempt) == 0) {
		result = 0;
	}
	pattern_map_free(texts);
	return result;
}

/* *good: no line has a mistake. Returns -1 if out of memory. */
static int read_matches(struct finishing *finishing, bool *good)
{
	struct rule *rule = finishing->rule;
	struct error error;

	*good = true;
	for (size_t i = 0; i < rule->match_lines.lines; i++) {
		const struct config_line *line = &rule->match_lines.line[i];

		if (rule->matches == CONFIG_MATCHES_MAX) {
			complain(
			    finishing, line->line, "match: more than %d lines", CONFIG_MATCHES_MAX);
			*good = false;
			return 0;
		}
		if (selector_parse_match(&rule->match[rule->matches++], line->text, &error)) {
			if (complain_error(finishing, line->line, "match", &error)) {
				return -1;
			}
			*good = false;
		}
	}
	return 0;
}

/* A rule never applies if its matches exclude every protocol state in which it counts. */
static void check_states(struct finishing *finishing)
{
	static const char *const states[] = {"END-OF-MESSAGE", "DATA", "RCPT"};
	const struct rule *rule = finishing->rule;
	unsigned counting = rule->count == COUNT_BYTES ? 1 : 3;
	unsigned line = rule->line;

	for (unsigned i = 0; i < counting; i++) {
		bool possible = true;

		for (unsigned j = 0; j < rule->matches; j++) {
			const struct config_match *match = &rule->match[j];

			if (strcmp(match->attribute.source, "protocol_state") == 0 &&
			    !selector_matches(match, states[i], strlen(states[i]))) {
				possible = false;
				line = rule->match_lines.line[j].line;
			}
		}
		if (possible) {
			return;
		}
	}
	complain(finishing, line, "match: the rule can never apply: count = %s happens in %s",
	    options_count_words[rule->count],
	    rule->count == COUNT_BYTES ? "END-OF-MESSAGE alone" : "RCPT, DATA and END-OF-MESSAGE");
}

int rule_finish(struct rule *rule, unsigned key_line, unsigned limit_line,
    rule_complain *complain_to, void *data)
{
	struct finishing finishing = {rule, complain_to, data};
	struct record_layout *layout = &rule->layout;
	struct error error;
	bool good;

	if (!key_line) {
		complain(&finishing, rule->line,
		    "[rule %s] has no key; say what is counted, such as key = "
		    "sasl_username",
		    rule->name);
	}
	rule->folding = (struct key_folding){.fold_case = rule->fold_case,
	    .strip_extension = rule->strip_extension[0] ? rule->strip_extension : NULL,
	    .ipv4_prefix = rule->ipv4_prefix,
	    .ipv6_prefix = rule->ipv6_prefix};
	layout->strategy = rule->strategy;
	layout->resolution = rule->strategy == STRATEGY_SLIDING ? rule->resolution : 0;
	layout->count = rule->count;
	layout->transactions = rule->keys ? TRANSACTIONS_PER_KEY : TRANSACTIONS_EVERYTHING;
	if (!limit_line) {
		complain(&finishing, rule->line,
		    "[rule %s] has no limit; say how much, such as limit = "
		    "100/hour",
		    rule->name);
	} else if (read_limits(rule, rule->limit_text, &rule->limits, layout, &error) &&
	    complain_error(&finishing, limit_line, "limit", &error)) {
		return -1;
	}
	if (read_matches(&finishing, &good)) {
		return -1;
	}
	if (good) {
		check_states(&finishing);
	}
	return read_overrides(&finishing);
}

static void free_lines(struct config_lines *lines)
{
	for (size_t i = 0; i < lines->lines; i++) {
		free(lines->line[i].text);
	}
	free(lines->line);
}

void rule_free(struct rule *rule)
{
	free(rule->key_text);
	free(rule->action);
	free(rule->strip_extension);
	free_lines(&rule->match_lines);
	free_lines(&rule->override_lines);
	free_lines(&rule->exempt_lines);
	for (unsigned i = 0; i < rule->matches; i++) {
		selector_free_match(&rule->match[i]);
	}
	free(rule->limit_text);
	for (size_t i = 0; i < rule->overrides; i++) {
		free(rule->override[i]->text);
		free(rule->override[i]);
	}
	free(rule->override);
	pattern_map_free(rule->patterns);
}
