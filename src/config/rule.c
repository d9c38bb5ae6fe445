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
 * Raises *events to what the log of a moving window must hold: as many events as the largest limit
 * allows, one more, which a denied request that is counted can add, and a free place for
 * record_log_add.
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

/* Adds to the layout of a plan the windows of its limits that it does not have yet. */
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

/* Parses plan->text and adds what its limits need to the plan's layout. */
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

/* Makes the record of a new counter; the layout must be final. Returns -1 if out of memory. */
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

struct config_plan *config_plan_new(const struct rule *rule, const struct config_plan *file,
    const struct limits *limits, struct error *error)
{
	struct config_plan *plan = calloc(1, sizeof(*plan));
	unsigned events = 0;

	if (!plan) {
		error_no_memory(error);
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
		error_no_memory(error);
		goto fail;
	}
	return plan;
fail:
	config_plan_free(plan);
	return NULL;
}

const struct config_plan *config_plan_of(const struct rule *rule, const char *key, size_t length)
{
	const struct config_plan *plan = NULL;

	if (rule->overrides) {
		plan = pattern_map_find(rule->overrides, key, length);
	}
	return plan ? plan : &rule->plan;
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
 * The plan for limits as in the file: that of an earlier override with the same text, or a new
 * one. plans maps texts to plans.
 */
static struct config_plan *plan_for(
    struct rule *rule, struct pattern_map *plans, const char *limits, struct error *error)
{
	struct config_plan *plan = pattern_map_find(plans, limits, strlen(limits));
	struct config_plan **all;

	if (plan) {
		return plan;
	}
	all = array_grow(rule->override_plan, rule->override_plans, sizeof(struct config_plan *));
	if (!all) {
		error_no_memory(error);
		return NULL;
	}
	rule->override_plan = all;
	plan = calloc(1, sizeof(*plan));
	if (!plan) {
		error_no_memory(error);
		return NULL;
	}
	rule->override_plan[rule->override_plans++] = plan;
	plan->text = alloc_copy(limits, error);
	plan->layout = rule->plan.layout;
	if (!plan->text || read_plan(rule, plan, error)) {
		return NULL;
	}
	if (pattern_map_add(plans, limits, strlen(limits), plan) < 0) {
		error_no_memory(error);
		return NULL;
	}
	return plan;
}

/* Adds one pattern with its limits; option is where it stands. Returns -1 if out of memory. */
static int add_override(struct finishing *finishing, struct pattern_map *plans, unsigned line,
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
		return complain_error(finishing, line, option, &error);
	}
	plan = plan_for(rule, plans, limits, &error);
	if (!plan) {
		return complain_error(finishing, line, option, &error);
	}
	added = pattern_map_add(rule->overrides, buffer, text.length, plan);
	if (added > 0) {
		complain(
		    finishing, line, "%s: a second one for \"%s\"; a key has one", option, pattern);
	}
	return added < 0 ? -1 : 0;
}

/* "PATTERN LIMITS"; text is cut up. Returns -1 if out of memory. */
static int read_override(
    struct finishing *finishing, struct pattern_map *plans, unsigned line, char *text)
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
	    finishing, plans, line, "override", text, text + length + strspn(text + length, " \t"));
}

/* "PATTERN, PATTERN"; text is cut up. Returns -1 if out of memory. */
static int read_exempt(
    struct finishing *finishing, struct pattern_map *plans, unsigned line, char *text)
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
		} else if (add_override(finishing, plans, line, "exempt", s, "unlimited")) {
			return -1;
		}
	}
	return 0;
}

typedef int read_line(
    struct finishing *finishing, struct pattern_map *plans, unsigned line, char *text);

static int read_lines(struct finishing *finishing, struct pattern_map *plans,
    const struct config_lines *lines, read_line *read)
{
	for (size_t i = 0; i < lines->lines; i++) {
		struct error error;
		char *text = alloc_copy(lines->line[i].text, &error);
		int result = text ? read(finishing, plans, lines->line[i].line, text) : -1;

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
	struct pattern_map *plans;
	int result = -1;

	if (rule->override_lines.lines + rule->exempt_lines.lines == 0) {
		return 0;
	}
	plans = pattern_map_new();
	rule->overrides = pattern_map_new();
	if (plans && rule->overrides &&
	    read_lines(finishing, plans, &rule->override_lines, read_override) == 0 &&
	    read_lines(finishing, plans, &rule->exempt_lines, read_exempt) == 0) {
		result = 0;
	}
	pattern_map_free(plans);
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

/* Makes the empty records of all plans. Returns -1 if out of memory. */
static int finish_plans(struct rule *rule)
{
	struct record_layout *layout = &rule->plan.layout;

	/* The logs of all keys have one length, so that an override may come and go. */
	for (size_t i = 0; i < rule->override_plans; i++) {
		unsigned events = rule->override_plan[i]->layout.events;

		layout->events = events > layout->events ? events : layout->events;
	}
	if (make_empty_record(&rule->plan, false)) {
		return -1;
	}
	for (size_t i = 0; i < rule->override_plans; i++) {
		rule->override_plan[i]->layout.events = layout->events;
		if (make_empty_record(rule->override_plan[i], false)) {
			return -1;
		}
	}
	return 0;
}

int rule_finish(struct rule *rule, unsigned key_line, unsigned limit_line,
    rule_complain *complain_to, void *data)
{
	struct finishing finishing = {rule, complain_to, data};
	struct record_layout *layout = &rule->plan.layout;
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
	} else if (read_plan(rule, &rule->plan, &error) &&
	    complain_error(&finishing, limit_line, "limit", &error)) {
		return -1;
	}
	if (read_matches(&finishing, &good)) {
		return -1;
	}
	if (good) {
		check_states(&finishing);
	}
	return read_overrides(&finishing) || finish_plans(rule) ? -1 : 0;
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
	free_plan(&rule->plan);
	for (size_t i = 0; i < rule->override_plans; i++) {
		config_plan_free(rule->override_plan[i]);
	}
	free(rule->override_plan);
	pattern_map_free(rule->overrides);
}
