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

#include <stdlib.h>
#include <string.h>

/* Parses the text of limits and adds their windows to *layout, if a counter can have them all. */
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

/* A rule that is being finished, and where in the file it is. */
struct finishing {
	struct rule *rule;
	rule_complain *complain;
	void *data;
	const char *option;
	unsigned line;
	unsigned mistakes;
	struct pattern_map *texts; /* from the texts of limits to overrides */
};

/* Complains about the value of the option. Returns 0, or -1 if the reason is a lack of memory. */
static int report(struct finishing *finishing, const struct error *error)
{
	if (error->no_memory) {
		return -1;
	}
	finishing->complain(
	    finishing->data, finishing->line, "%s: %s", finishing->option, error->text);
	finishing->mistakes++;
	return 0;
}

/* Appends a pattern for IP addresses. It is an error if it is only part of what shares a counter.
 */
static int fold_network(
    const struct rule *rule, const char *pattern, struct strbuf *text, struct error *error)
{
	struct netaddr network;
	unsigned prefix;

	if (netaddr_parse_network(pattern, strlen(pattern), &network, error)) {
		return -1;
	}
	prefix = key_prefix(&rule->folding, &network);
	if (network.prefix > prefix && strchr(pattern, '/')) {
		return error_set(error,
		    "\"%s\" is part of a /%u that shares one counter (ipv4_prefix, ipv6_prefix)",
		    pattern, prefix);
	}
	netaddr_mask(&network, prefix);
	netaddr_format(&network, text);
	return 0;
}

/* Refuses a pattern that no key of the rule can match. Returns -1 with the reason. */
static int check_pattern(const struct rule *rule, const char *pattern, struct error *error)
{
	size_t length = strlen(pattern);
	unsigned kinds = selector_key_kinds(rule);
	const char *at = strchr(pattern, '@');

	if (pattern_check(pattern, length, error)) {
		return -1;
	}
	if (strchr(pattern, ',')) {
		return error_set(
		    error, "\"%s\" contains a ','; write a line for each pattern", pattern);
	}
	if (length > 0 && pattern[length - 1] == ':') {
		return error_set(
		    error, "\"%s\" ends in ':'; write the pattern without it", pattern);
	}
	/* If there is no key_text, the key has been reported as a mistake already. */
	if (rule->key_text && rule->keys == 0 && strcmp(pattern, "everything") != 0) {
		return error_set(error,
		    "\"%s\" can't be the key, which is everything; change the limit", pattern);
	}
	if (kinds == 1U << KEY_DOMAIN && at && at > pattern) {
		return error_set(error, "\"%s\" is an address, but the key is a domain; write %s",
		    pattern, at + 1);
	}
	return 0;
}

/* Whether a pattern is for IP addresses: all of the rule's keys are, or some are and it is one. */
static bool is_network(const struct rule *rule, const char *pattern)
{
	unsigned kinds = selector_key_kinds(rule);
	struct netaddr network;

	return kinds == 1U << KEY_ADDRESS ||
	    (kinds & 1U << KEY_ADDRESS &&
		netaddr_parse(pattern, strcspn(pattern, "/"), &network) == 0);
}

/* Appends "@domain" or ".domain" in the form that pattern_map_find expects. */
static int fold_domain(
    const struct rule *rule, const char *pattern, struct strbuf *text, struct error *error)
{
	unsigned kinds = selector_key_kinds(rule);
	size_t length;

	pattern_domain(pattern, strlen(pattern), &length);
	length += pattern[0] == '@';
	if (length <= 1) {
		return error_set(error, "\"%s\" is not followed by a domain", pattern);
	}
	if (kinds == SELECTOR_PAIR) {
		return error_set(
		    error, "\"%s\" is a domain, but the key is a pair; write VALUE+VALUE", pattern);
	}
	/* If the key itself is a domain, "@domain" means all of it. */
	if (pattern[0] == '@' && kinds == 1U << KEY_DOMAIN) {
		pattern++;
		length--;
	}
	strbuf_add(text, pattern, length);
	if (rule->folding.fold_case) {
		ascii_lower(text->buffer, text->length);
	}
	return 0;
}

/*
 * Appends a pattern in the form that pattern_map_find expects: a network, a domain, or a key of the
 * alternative. Returns 1 if no value of the alternative can be that, -1 with the reason.
 */
static int fold_pattern(const struct rule *rule, const struct config_key *key, const char *pattern,
    struct strbuf *text, struct error *error)
{
	size_t length = strlen(pattern);
	struct netaddr network;

	if (is_network(rule, pattern)) {
		return fold_network(rule, pattern, text, error);
	}
	if (check_pattern(rule, pattern, error)) {
		return -1;
	}
	if (strchr(pattern, '/') && netaddr_read_network(pattern, length, &network) == 0) {
		return error_set(
		    error, "\"%s\" is a network, but the key is not an address", pattern);
	}
	if (pattern[0] == '@' || pattern[0] == '.') {
		return fold_domain(rule, pattern, text, error);
	}
	if (strchr(pattern, '*')) {
		return error_set(error,
		    "\"%s\": '*' is not a wildcard; write @domain or .domain, or change the limit",
		    pattern);
	}
	if (length == 0) {
		return error_set(error, "a key is missing");
	}
	if (!key) {
		strbuf_add(text, pattern, length);
		return 0;
	}
	return !selector_fold(rule, key, pattern, length, text);
}

/* The override with limits as in the file: an earlier one with the same text, or a new one. */
static struct override *override_for(
    struct finishing *finishing, const char *limits, struct error *error)
{
	struct rule *rule = finishing->rule;
	struct record_layout layout = rule->layout;
	struct override *override = pattern_map_find(finishing->texts, limits, strlen(limits));
	struct override **all;

	if (override) {
		return override;
	}
	all = array_grow(rule->override, rule->overrides, sizeof(struct override *));
	if (!all) {
		goto no_memory;
	}
	rule->override = all;
	override = calloc(1, sizeof(*override));
	if (!override) {
		goto no_memory;
	}
	override->index = rule->overrides;
	all[rule->overrides++] = override;
	if (read_limits(rule, limits, &override->limits, &layout, error)) {
		return NULL;
	}
	/* The logs of all keys have one length, so that an override may come and go. */
	rule->layout.events = layout.events;
	if (pattern_map_add(finishing->texts, limits, strlen(limits), override) == 0) {
		return override;
	}
no_memory:
	error_no_memory(error);
	return NULL;
}

/* Adds a pattern in the form of each alternative: what is stripped of one may stay in another. */
static int add_override(
    struct finishing *finishing, const char *pattern, const char *limits, struct error *error)
{
	struct rule *rule = finishing->rule;
	struct override *override = NULL;
	static char buffer[3 * SELECTOR_FOLD_MAX];
	bool possible = false;
	unsigned i = 0;

	do {
		struct strbuf text;
		int result, added;

		strbuf_init(&text, buffer, sizeof(buffer));
		result = strlen(pattern) > SELECTOR_FOLD_MAX
		    ? 1
		    : fold_pattern(
			  rule, rule->keys > 0 ? &rule->key[i] : NULL, pattern, &text, error);
		if (result < 0) {
			return -1;
		}
		if (result > 0) {
			continue;
		}
		if (!override && !(override = override_for(finishing, limits, error))) {
			return -1;
		}
		added = pattern_map_add(rule->patterns, buffer, text.length, override);
		if (added < 0) {
			return error_no_memory(error);
		}
		if (added > 0 && !possible) {
			return error_set(error, "\"%s\" already has an override", pattern);
		}
		possible = true;
	} while (++i < rule->keys);
	if (!possible && selector_key_kinds(rule) == SELECTOR_PAIR) {
		return error_set(error,
		    "\"%.60s\" is one value, but the key is a pair; write VALUE+VALUE", pattern);
	}
	/* What can't be a key, such as a mailbox where keys are domains, has no effect. */
	return override || override_for(finishing, limits, error) ? 0 : -1;
}

/* Reads a line of an option, and may cut text up. Returns 0, or -1 with the reason. */
typedef int read_line(struct finishing *finishing, char *text, struct error *error);

/* "PATTERN LIMITS" */
static int read_override(struct finishing *finishing, char *text, struct error *error)
{
	char *limits = text + strcspn(text, " \t");

	if (!*limits) {
		return error_set(error,
		    "\"%.60s\" is not PATTERN LIMITS, such as boss@example.com 5000/day", text);
	}
	*limits++ = '\0';
	return add_override(finishing, text, limits + strspn(limits, " \t"), error);
}

/* "PATTERN, PATTERN". Reports every mistake itself; -1: out of memory. */
static int read_exempt(struct finishing *finishing, char *text, struct error *error)
{
	char stop;

	do {
		const char *pattern = selector_next_word(&text, ",", &stop);
		int result = strpbrk(pattern, " \t")
		    ? error_set(
			  error, "\"%.60s\" contains blanks; separate patterns by ','", pattern)
		    : add_override(finishing, pattern, "unlimited", error);

		if (result && report(finishing, error)) {
			return -1;
		}
	} while (stop);
	return 0;
}

static int read_match(struct finishing *finishing, char *text, struct error *error)
{
	struct rule *rule = finishing->rule;

	if (rule->matches == CONFIG_MATCHES_MAX) {
		return error_set(error, "more than %d lines", CONFIG_MATCHES_MAX);
	}
	return selector_parse_match(&rule->match[rule->matches++], text, error);
}

/* Returns -1 if out of memory. */
static int read_lines(struct finishing *finishing, const char *option,
    const struct config_lines *lines, read_line *read)
{
	finishing->option = option;
	for (size_t i = 0; i < lines->lines; i++) {
		struct error error;
		char *text = alloc_copy(lines->line[i].text, &error);
		bool failed;

		finishing->line = lines->line[i].line;
		failed = (!text || read(finishing, text, &error)) && report(finishing, &error);
		free(text);
		if (failed) {
			return -1;
		}
	}
	return 0;
}

/* Returns -1 if out of memory. */
static int read_overrides(struct finishing *finishing)
{
	struct rule *rule = finishing->rule;
	int result;

	if (rule->override_lines.lines + rule->exempt_lines.lines == 0) {
		return 0;
	}
	finishing->texts = pattern_map_new();
	rule->patterns = pattern_map_new();
	result = !finishing->texts || !rule->patterns ||
		read_lines(finishing, "override", &rule->override_lines, read_override) ||
		read_lines(finishing, "exempt", &rule->exempt_lines, read_exempt)
	    ? -1
	    : 0;
	pattern_map_free(finishing->texts);
	return result;
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
	finishing->complain(finishing->data, line,
	    "match: the rule can never apply: %s are counted in %s",
	    options_count_words[rule->count],
	    rule->count == COUNT_BYTES ? "END-OF-MESSAGE alone" : "RCPT, DATA and END-OF-MESSAGE");
}

int rule_finish(
    struct rule *rule, unsigned key_line, unsigned limit_line, rule_complain *complain, void *data)
{
	struct finishing finishing = {rule, complain, data, "limit", limit_line};
	struct record_layout *layout = &rule->layout;
	struct error error;
	unsigned mistakes;

	if (!key_line) {
		complain(data, rule->line,
		    "[rule %s] has no key; say what is counted, such as key = sasl_username",
		    rule->name);
	}
	layout->strategy = rule->strategy;
	layout->resolution = rule->strategy == STRATEGY_SLIDING ? rule->resolution : 0;
	layout->count = rule->count;
	layout->transactions = RECORD_TRANSACTIONS_MIN;
	if (!limit_line) {
		complain(data, rule->line,
		    "[rule %s] has no limit; say how much, such as limit = 100/hour", rule->name);
	} else if (read_limits(rule, rule->limit_text, &rule->limits, layout, &error) &&
	    report(&finishing, &error)) {
		return -1;
	}
	mistakes = finishing.mistakes;
	if (read_lines(&finishing, "match", &rule->match_lines, read_match)) {
		return -1;
	}
	if (finishing.mistakes == mistakes) {
		check_states(&finishing);
	}
	return read_overrides(&finishing);
}

void rule_free(struct rule *rule)
{
	for (unsigned i = 0; i < rule->matches; i++) {
		selector_free_match(&rule->match[i]);
	}
	for (size_t i = 0; i < rule->overrides; i++) {
		free(rule->override[i]);
	}
	free(rule->override);
	pattern_map_free(rule->patterns);
	options_free(options_rule, rule);
}
