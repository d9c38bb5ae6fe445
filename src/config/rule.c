/*
 * What follows from the options of a rule: see config_rule.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config/rule.h"

#include "base/ascii.h"
#include "base/strbuf.h"
#include "config/selector.h"
#include "config/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRANSACTIONS_PER_KEY 8
/* One counter for the whole server sees many transactions at once. */
#define TRANSACTIONS_EVERYTHING RECORD_TRANSACTIONS_MAX

/* A rule while its section ends. */
struct finishing {
	struct rule *rule;
	config_complain *report;
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
	finishing->report(finishing->data, line, message);
}

/*
 * The most events that a log must hold: one for each of the largest limit, one more, by
 * which refused tries that count are over it, and a free place (record_log_add).
 */
static int events_needed(const struct limits *limits, unsigned *events, struct error *error)
{
	uint64_t most = 1;

	for (unsigned i = 0; i < limits->n; i++) {
		most = limits->at[i].count > most ? limits->at[i].count : most;
	}
	if (most > EVENT_LOG_MAX) {
		return error_set(error,
		    "a moving-window remembers each event, %d at most; for a "
		    "limit above that use strategy = sliding-window",
		    EVENT_LOG_MAX);
	}
	if (*events < most + 2) {
		*events = (unsigned)most + 2;
	}
	return 0;
}

/* Adds the windows of a plan's limits to its layout, where it has none of that length. */
static int add_windows(struct config_plan *plan, struct error *error)
{
	struct record_layout *layout = &plan->layout;

	for (unsigned i = 0; i < plan->limits.n; i++) {
		const struct limit_window *window = &plan->limits.at[i].window;
		unsigned j = 0;

		while (j < layout->windows &&
		    !window_same(layout->strategy, &layout->window[j], window)) {
			j++;
		}
		if (j == LIMITS_MAX) {
			return error_set(
			    error, "with those of the rule more than %d windows", LIMITS_MAX);
		}
		if (j == layout->windows) {
			layout->window[layout->windows++] = *window;
		}
		plan->window[i] = j;
	}
	return 0;
}

/* Reads plan->text, which stands in that line, on top of the layout that the plan has. */
static int read_plan(const struct rule *rule, struct config_plan *plan, struct error *error)
{
	if (limits_parse(plan->text, rule->count, &plan->limits, error)) {
		return -1;
	}
	if (rule->strategy != STRATEGY_FIXED) {
		limits_shorten(&plan->limits);
	}
	if (rule->strategy == STRATEGY_MOVING &&
	    events_needed(&plan->limits, &plan->layout.events, error)) {
		return -1;
	}
	return add_windows(plan, error);
}

/* The record of a new key, when the layout is final. -1: out of memory. */
static int make_empty_record(struct config_plan *plan, bool exception)
{
	struct record record;

	if (plan->layout.windows == 0) {
		return 0;
	}
	plan->record_size = record_size(&plan->layout);
	plan->empty_record = malloc(plan->record_size);
	if (!plan->empty_record) {
		return -1;
	}
	record_init(&record, &plan->layout);
	record.exception = exception;
	record_write_new(&record, plan->empty_record);
	return 0;
}

static void finish_plan(struct config_plan *plan)
{
	if (make_empty_record(plan, false)) {
		abort();
	}
}

struct config_plan *config_plan_new(const struct rule *rule, const struct config_plan *file,
    const struct limits *limits, struct error *error)
{
	struct config_plan *plan = calloc(1, sizeof(*plan));
	unsigned events = 0;

	if (!plan) {
		error_set(error, "out of memory");
		return NULL;
	}
	plan->limits = *limits;
	plan->layout = file->layout;
	if (rule->strategy != STRATEGY_FIXED) {
		limits_shorten(&plan->limits);
	}
	if (rule->strategy == STRATEGY_MOVING) {
		if (events_needed(&plan->limits, &events, error)) {
			goto fail;
		}
		if (events > plan->layout.events) {
			error_set(error,
			    "a limit above %u: the records of this moving-window have no room "
			    "for more; raise the rule's limit, or an override, in the "
			    "configuration first",
			    plan->layout.events - 2);
			goto fail;
		}
	}
	if (add_windows(plan, error)) {
		goto fail;
	}
	if (make_empty_record(plan, true)) {
		error_set(error, "out of memory");
		goto fail;
	}
	return plan;
fail:
	config_plan_free(plan);
	return NULL;
}

static bool has_only(const struct rule *rule, enum key_kind kind)
{
	for (unsigned i = 0; i < rule->keys; i++) {
		if (rule->key[i].parts > 1 || rule->key[i].part[0].kind != kind) {
			return false;
		}
	}
	return rule->keys > 0;
}

static bool has_pairs_alone(const struct rule *rule)
{
	for (unsigned i = 0; i < rule->keys; i++) {
		if (rule->key[i].parts == 1) {
			return false;
		}
	}
	return rule->keys > 0;
}

/* A pattern for keys that are addresses: a network that shares no counter with others. */
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

/* Brings a pattern into the form in which override_find looks for it. */
static int fold_pattern(
    const struct rule *rule, const char *pattern, struct strbuf *text, struct error *error)
{
	size_t length = strlen(pattern);
	struct netaddr network;

	size_t address_length = strcspn(pattern, "/");

	if (has_only(rule, KEY_ADDRESS) ||
	    (config_key_can_be(rule, KEY_ADDRESS) &&
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
		if (has_pairs_alone(rule)) {
			return error_set(error,
			    "\"%s\" is a domain, but the key is a pair; write all of it, "
			    "VALUE+VALUE",
			    pattern);
		}
		/* Where the key is a domain already, it is the whole key. */
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
		config_key_can_be(rule, KEY_MAILBOX) ? KEY_MAILBOX : KEY_TEXT, false,
		&rule->folding)) {
		return error_set(error, "a key is missing");
	}
	return 0;
}

/* The plan for that text of limits: one that there is already, or a new one. */
static struct config_plan *plan_for(
    struct rule *rule, struct pattern_map *plans, const char *limits, struct error *error)
{
	struct config_plan *plan = pattern_map_find(plans, limits, strlen(limits));

	if (plan) {
		return plan;
	}
	plan = calloc(1, sizeof(*plan));
	rule->override_plan = reallocarray(
	    rule->override_plan, rule->override_plans + 1, sizeof(*rule->override_plan));
	if (!plan || !rule->override_plan) {
		abort();
	}
	rule->override_plan[rule->override_plans++] = plan;
	plan->text = config_copy(limits);
	plan->layout = rule->plan.layout;
	if (read_plan(rule, plan, error)) {
		return NULL;
	}
	if (pattern_map_add(plans, limits, strlen(limits), plan) < 0) {
		abort();
	}
	return plan;
}

static void add_override(struct finishing *finishing, struct pattern_map *plans, unsigned line,
    const char *option, const char *pattern, const char *limits)
{
	struct rule *rule = finishing->rule;
	struct config_plan *plan;
	char buffer[KEY_VALUE_MAX];
	struct strbuf text;
	struct error error;
	int added;

	strbuf_init(&text, buffer, sizeof(buffer));
	if (fold_pattern(rule, pattern, &text, &error)) {
		complain(finishing, line, "%s: %s", option, error.text);
		return;
	}
	plan = plan_for(rule, plans, limits, &error);
	if (!plan) {
		complain(finishing, line, "%s: %s", option, error.text);
		return;
	}
	added = pattern_map_add(rule->overrides, buffer, text.length, plan);
	if (added < 0) {
		abort();
	}
	if (added > 0) {
		complain(
		    finishing, line, "%s: a second one for \"%s\"; a key has one", option, pattern);
	}
}

/* Splits "PATTERN LIMITS", and "PATTERN, PATTERN". */
static void read_overrides(struct finishing *finishing)
{
	struct rule *rule = finishing->rule;
	struct pattern_map *plans;

	if (rule->override_lines.lines + rule->exempt_lines.lines == 0) {
		return;
	}
	plans = pattern_map_new();
	rule->overrides = pattern_map_new();
	if (!plans || !rule->overrides) {
		abort();
	}
	for (size_t i = 0; i < rule->override_lines.lines; i++) {
		const struct config_line *line = &rule->override_lines.line[i];
		char *text = config_copy(line->text);
		size_t length = strcspn(text, " \t");

		if (!text[length]) {
			complain(finishing, line->line,
			    "override: \"%.60s\" is not PATTERN LIMITS, such as "
			    "boss@example.com 5000/day",
			    text);
		} else {
			text[length++] = '\0';
			add_override(finishing, plans, line->line, "override", text,
			    text + length + strspn(text + length, " \t"));
		}
		free(text);
	}
	for (size_t i = 0; i < rule->exempt_lines.lines; i++) {
		const struct config_line *line = &rule->exempt_lines.line[i];
		char *text = config_copy(line->text);

		for (char *s = text, *end; s; s = end) {
			end = strchr(s, ',');
			if (end) {
				*end++ = '\0';
			}
			s += strspn(s, " \t");
			for (size_t last = strlen(s); last > 0 && strchr(" \t", s[last - 1]);
			     last--) {
				s[last - 1] = '\0';
			}
			if (strpbrk(s, " \t")) {
				complain(finishing, line->line,
				    "exempt: \"%.60s\" has blanks in it; several patterns are "
				    "separated by ','",
				    s);
			} else {
				add_override(
				    finishing, plans, line->line, "exempt", s, "unlimited");
			}
		}
		free(text);
	}
	pattern_map_free(plans);
}

/* Whether all lines are good. */
static bool read_matches(struct finishing *finishing)
{
	bool good = true;
	struct rule *rule = finishing->rule;
	struct error error;

	for (size_t i = 0; i < rule->match_lines.lines; i++) {
		const struct config_line *line = &rule->match_lines.line[i];
		struct config_match *match = &rule->match[rule->matches];

		if (rule->matches == CONFIG_MATCHES_MAX) {
			complain(
			    finishing, line->line, "match: more than %d lines", CONFIG_MATCHES_MAX);
			return false;
		}
		rule->matches++;
		match->text = config_copy(line->text);
		if (config_match_parse(match, match->text, &error)) {
			complain(finishing, line->line, "match: %s", error.text);
			good = false;
		}
	}
	return good;
}

/* A rule whose matches leave none of the protocol states in which it counts never applies. */
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
			    !config_matches(match, states[i], strlen(states[i]))) {
				possible = false;
				line = rule->match_lines.line[j].line;
			}
		}
		if (possible) {
			return;
		}
	}
	complain(finishing, line, "match: the rule can never apply: count = %s happens in %s",
	    rule->count == COUNT_BYTES          ? "bytes"
		: rule->count == COUNT_MESSAGES ? "messages"
						: "recipients",
	    rule->count == COUNT_BYTES ? "END-OF-MESSAGE alone" : "RCPT, DATA and END-OF-MESSAGE");
}

bool config_matches(const struct config_match *match, const char *value, size_t length)
{
	for (size_t i = 0; i < match->patterns; i++) {
		if (pattern_match(&match->pattern[i], value, length)) {
			return !match->negated;
		}
	}
	return match->negated;
}

/* What follows from a rule's options when all of them are known. */
void config_finish_rule(
    struct rule *rule, unsigned key_line, unsigned limit_line, config_complain *report, void *data)
{
	struct finishing whole = {rule, report, data};
	struct finishing *finishing = &whole;
	struct record_layout *layout = &rule->plan.layout;
	struct error error;

	if (!key_line) {
		complain(finishing, rule->line,
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
		complain(finishing, rule->line,
		    "[rule %s] has no limit; say how much, such as limit = "
		    "100/hour",
		    rule->name);
	} else if (read_plan(rule, &rule->plan, &error)) {
		complain(finishing, limit_line, "limit: %s", error.text);
	}
	if (read_matches(finishing)) {
		check_states(finishing);
	}
	read_overrides(finishing);

	/* All keys of the rule have logs of the same length: an override may come and go. */
	for (size_t i = 0; i < rule->override_plans; i++) {
		unsigned events = rule->override_plan[i]->layout.events;

		layout->events = events > layout->events ? events : layout->events;
	}
	finish_plan(&rule->plan);
	for (size_t i = 0; i < rule->override_plans; i++) {
		rule->override_plan[i]->layout.events = layout->events;
		finish_plan(rule->override_plan[i]);
	}
}

const struct config_plan *config_plan_of(
    const struct rule *rule, const char *key, size_t length)
{
	const struct config_plan *plan = NULL;

	if (rule->overrides) {
		plan = pattern_map_find(rule->overrides, key, length);
	}
	return plan ? plan : &rule->plan;
}

static void free_lines(struct config_lines *lines)
{
	for (size_t i = 0; i < lines->lines; i++) {
		free(lines->line[i].text);
	}
	free(lines->line);
}

static void free_plan(struct config_plan *plan)
{
	free(plan->text);
	free(plan->empty_record);
}

void config_plan_free(struct config_plan *plan)
{
	if (plan) {
		free_plan(plan);
		free(plan);
	}
}

void config_free_rule(struct rule *rule)
{
	free(rule->key_text);
	free(rule->key_words);
	free(rule->action);
	free(rule->strip_extension);
	free_lines(&rule->match_lines);
	free_lines(&rule->override_lines);
	free_lines(&rule->exempt_lines);
	for (unsigned j = 0; j < rule->matches; j++) {
		free(rule->match[j].text);
		free(rule->match[j].pattern);
	}
	free_plan(&rule->plan);
	for (size_t j = 0; j < rule->override_plans; j++) {
		config_plan_free(rule->override_plan[j]);
	}
	free(rule->override_plan);
	pattern_map_free(rule->overrides);
}
