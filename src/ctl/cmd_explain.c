/*
 * The command explain: what a request would get and why, by the same judge as the helper's.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/error.h"
#include "base/strbuf.h"
#include "base/suggest.h"
#include "count/counter.h"
#include "ctl/cell.h"
#include "ctl/commands.h"
#include "ctl/print.h"
#include "ctl/when.h"
#include "engine/judge.h"
#include "engine/reply.h"
#include "policy/attributes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* Adds NAME=VALUE, which must outlive the request. 0, or -1 and an error. */
static int add_attribute(struct policy_request *request, const char *line, struct error *error)
{
	const char *equals = strchr(line, '=');

	if (!equals || equals == line) {
		return error_set(error,
		    "\"%.60s\" is not ATTRIBUTE=VALUE, such as sasl_username=user@example.com",
		    line);
	}
	if (strlen(equals + 1) > POLICY_VALUE_MAX) {
		return error_set(error, "the value of %.*s is longer than %d bytes",
		    (int)(equals - line), line, POLICY_VALUE_MAX);
	}
	if (policy_add(request, line, (size_t)(equals - line), equals + 1, strlen(equals + 1))) {
		return error_set(error, "more than %d attributes", POLICY_ATTRIBUTES_MAX);
	}
	return 0;
}

/* A name that Postfix does not send is more likely a mistake than a new Postfix. */
static int check_name(const char *line, struct error *error)
{
	size_t length = strcspn(line, "=");
	struct suggestion near;
	const char *best;

	if (attributes_is_sent(line, length)) {
		return 0;
	}
	suggest_init(&near, line, length);
	for (const struct attribute *attribute = attributes; attribute->name; attribute++) {
		if (attribute->kind != ATTRIBUTE_DOMAIN) {
			suggest_try(&near, attribute->name);
		}
	}
	best = suggest_best(&near);
	return error_set(error, "Postfix sends no attribute \"%.*s\"%s%s%s", (int)length, line,
	    best ? "; perhaps " : "", best ? best : "", best ? "?" : "");
}

/* The protocol_state in which Postfix gives the costs that the request has. */
static const char *state_that_counts(const struct policy_request *request)
{
	struct policy_request copy = *request;
	struct request at_end;

	policy_add(&copy, "protocol_state", strlen("protocol_state"), "END-OF-MESSAGE",
	    strlen("END-OF-MESSAGE"));
	request_init(&at_end, &copy);
	return at_end.size > 0           ? "protocol_state=END-OF-MESSAGE"
	    : at_end.recipient_count > 0 ? "protocol_state=DATA"
					 : "protocol_state=RCPT";
}

/* Reads a request as Postfix sends it, up to an empty line. *text holds it, to be freed. */
static int read_stdin(struct policy_request *request, char **text, struct error *error)
{
	size_t size = 0, room = POLICY_REQUEST_MAX + 1;
	char *buffer = ctl_must(malloc(room));
	size_t got;

	*text = buffer;
	if (isatty(STDIN_FILENO)) {
		fputs(
		    "enter a request, one ATTRIBUTE=VALUE per line, then an empty line:\n", stderr);
	}
	while (size < room - 1 && fgets(buffer + size, (int)(room - size), stdin)) {
		char *line = buffer + size;

		got = strlen(line);
		line[strcspn(line, "\r\n")] = '\0';
		if (!*line && request->attributes > 0) {
			return 0;
		}
		if (*line && add_attribute(request, line, error)) {
			return -1;
		}
		size += got + 1;
	}
	return request->attributes > 0 ? 0 : error_set(error, "no request on stdin");
}

/* Where the key's limits come from. */
static void print_source(const struct judge_finding *finding)
{
	const struct request_key *key = finding->key;
	const struct exception *exception = finding->exception;
	char until[64];
	struct strbuf text;

	if (exception && exception->limits[0]) {
		printf("  limits: set in the database");
		if (exception->until_s) {
			strbuf_init(&text, until, sizeof(until));
			when_format(exception->until_s, &text);
			printf(", until %s", until);
		}
	} else if (key->override) {
		fputs("  limits: override ", stdout);
		print_text(stdout, key->pattern, strlen(key->pattern));
		fputs(" in the configuration", stdout);
	} else {
		printf("  limits: of the rule");
	}
	for (unsigned i = 0; exception && i < exception->grants; i++) {
		strbuf_init(&text, until, sizeof(until));
		when_format(exception->grant[i].until_s, &text);
		printf(", +%llu granted until %s", (unsigned long long)exception->grant[i].count,
		    until);
	}
	if (finding->effective->limits.kind != LIMITS_WINDOWS) {
		printf(
		    ": %s", finding->effective->limits.kind == LIMITS_DENY ? "deny" : "unlimited");
	}
	putchar('\n');
}

static void print_window(const struct judge_finding *finding, unsigned i)
{
	const struct rule *rule = finding->rule;
	const struct limit *limit = &finding->effective->limits.at[i];
	unsigned window = finding->effective->window[i];
	uint64_t used = counter_used(finding->record, window);
	int64_t wait_ms = counter_wait(finding->record, window, limit->count, finding->cost);
	char buffer[LIMIT_TEXT_SIZE + 200];
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	limit_format(limit, rule->count, &text);
	strbuf_puts(&text, ": ");
	cell_format_used(used, rule->count, &text);
	strbuf_puts(&text, " used, ");
	cell_format_used(limit->count > used ? limit->count - used : 0, rule->count, &text);
	strbuf_puts(&text, " left, ");
	if (wait_ms == 0) {
		strbuf_puts(&text, "room");
	} else {
		strbuf_puts(&text, wait_ms == WINDOW_NEVER ? "room " : "no room, ");
		cell_format_wait(wait_ms, &text);
	}
	printf("  %s\n", buffer);
}

static void print_applying(const struct judge_finding *finding)
{
	const struct rule *rule = finding->rule;
	char cost[40];
	struct strbuf text;

	fputs("applies, key ", stdout);
	print_text(stdout, finding->key->text + finding->key->prefix,
	    finding->key->length - finding->key->prefix);
	strbuf_init(&text, cost, sizeof(cost));
	cell_format_used(finding->cost, rule->count, &text);
	printf(", costs %s%s%s\n", cost,
	    finding->again && finding->cost == 0 ? " (was charged before)" : "",
	    rule->mode == CONFIG_OBSERVE ? ", observes only" : "");
	print_source(finding);
	if (finding->skipped) {
		puts("  it has no counter yet, and there is no room for a new one");
		return;
	}
	for (unsigned i = 0; i < finding->effective->limits.n; i++) {
		print_window(finding, i);
	}
}

/* Prints what the judge found out about a rule. */
static void print_finding(const struct policy_request *request, const struct judge_finding *finding)
{
	const struct rule *rule = finding->rule;
	const struct config_match *match;
	const struct policy_attribute *attribute;
	const char *state;

	printf("rule %s: ", rule->name);
	switch (finding->kind) {
	case FINDING_APPLIES:
		print_applying(finding);
		break;
	case FINDING_COUNTS_NOTHING:
		printf("does not apply: count = %s: there is nothing to count at ",
		    rule->count == COUNT_BYTES          ? "bytes"
			: rule->count == COUNT_MESSAGES ? "messages"
							: "recipients");
		state = policy_value(request, "protocol_state");
		print_text(stdout, state, strlen(state));
		putchar('\n');
		break;
	case FINDING_NO_MATCH:
		match = &rule->match[finding->match];
		attribute =
		    policy_find(request, match->attribute.source, strlen(match->attribute.source));
		printf("does not apply: match = %s: it is \"",
		    rule->match_lines.line[finding->match].text);
		print_text(stdout, attribute ? attribute->value : "",
		    attribute ? attribute->value_length : 0);
		puts("\"");
		break;
	default:
		printf("does not apply: key = %s: it is empty, or its value can't be a key\n",
		    rule->key_text);
	}
}

int cmd_explain(struct ctl *ctl, int argc, char **argv)
{
	struct policy_request request = {.attributes = 0};
	struct judge_finding finding[CONFIG_RULES_MAX];
	char buffer[POLICY_ACTION_MAX + 1];
	struct strbuf answer;
	struct judge *judge = NULL;
	size_t findings;
	struct verdict verdict;
	struct error error = {""};
	enum store_result result;
	char *text = NULL;
	int status = EX_DATAERR;

	if (argc > 1 && argv[1][0] == '-') {
		return CTL_USAGE;
	}
	for (int i = 1; i < argc; i++) {
		if (add_attribute(&request, argv[i], &error) || check_name(argv[i], &error)) {
			print_warning("%s", error.text);
			return EX_DATAERR;
		}
	}
	if (argc == 1 && read_stdin(&request, &text, &error)) {
		print_warning("%s", error.text);
		goto out;
	}
	if (!policy_find(&request, "protocol_state", strlen("protocol_state"))) {
		add_attribute(&request, state_that_counts(&request), &error);
	}
	judge = ctl_must(judge_new(&ctl->config, ctl->store, NULL));
	result = judge_explain(judge, &request, &verdict, &error);
	status = ctl_store_failed(result, &error);
	if (status && result != STORE_FULL) {
		goto out;
	}
	findings = judge_findings(judge, finding);
	for (size_t i = 0; i < findings; i++) {
		print_finding(&request, &finding[i]);
	}
	strbuf_init(&answer, buffer, sizeof(buffer));
	printf("answer: %s\n", reply_action(&verdict, &ctl->config, &request, &answer));
	if (status == EX_OK && verdict.status == VERDICT_DENIED) {
		status = CTL_NO_MATCH;
	}
out:
	judge_free(judge);
	free(text);
	return status;
}
