/*
 * A verdict in words: see verdict.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "verdict.h"

#include "config_options.h"
#include "template.h"

#include <string.h>

/* What could end a field of a log line early, or be taken for another one. */
#define LOG_ESCAPE " ,<>"

struct expansion {
	const struct engine_verdict *verdict;
	const struct policy_request *request;
	char *buffer;
	size_t size;
};

static void add_limit(const struct engine_verdict *verdict, struct text *text)
{
	if (verdict->limit) {
		limit_format(verdict->limit, verdict->rule->count, text);
	} else {
		text_puts(text, "deny");
	}
}

/* The attribute, or the pair, that gave the key. */
static void add_field(const struct engine_verdict *verdict, struct text *text)
{
	const struct config_key *source = verdict->key->source;

	if (!source) {
		text_puts(text, "everything");
	}
	for (unsigned i = 0; source && i < source->parts; i++) {
		text_puts(text, i ? "+" : "");
		text_add(text, source->part[i].field, source->part[i].field_length);
	}
}

static void add_wait(int64_t wait_ms, struct text *text)
{
	if (wait_ms == RATE_NEVER) {
		text_puts(text, "never");
	} else {
		duration_format(wait_ms, text);
	}
}

/* The value of one of template_names; false: it is an attribute's name. */
static bool own_value(
    const struct engine_verdict *verdict, const char *name, size_t length, struct text *text)
{
	const struct rule *rule = verdict->rule;

	if (ascii_same(name, length, "rule")) {
		text_puts(text, rule->name);
	} else if (ascii_same(name, length, "key")) {
		text_add(text, verdict->key->text + verdict->key->prefix,
		    verdict->key->length - verdict->key->prefix);
	} else if (ascii_same(name, length, "field")) {
		add_field(verdict, text);
	} else if (ascii_same(name, length, "limit")) {
		add_limit(verdict, text);
	} else if (ascii_same(name, length, "used")) {
		text_printf(text, "%llu", (unsigned long long)verdict->used);
	} else if (ascii_same(name, length, "remaining")) {
		text_printf(text, "%llu", (unsigned long long)verdict->remaining);
	} else if (ascii_same(name, length, "count")) {
		text_puts(text, config_count_words[rule->count]);
	} else if (ascii_same(name, length, "window")) {
		int64_t ms = verdict->limit ? verdict->limit->window.length_ms : 0;

		text_printf(text, "%lld", (long long)(ms / 1000));
	} else if (ascii_same(name, length, "retry_after")) {
		add_wait(verdict->wait_ms, text);
	} else {
		return false;
	}
	return true;
}

static const char *look_up(const void *data, const char *name, size_t length, size_t *value_length)
{
	const struct expansion *expansion = data;
	const struct policy_attribute *attribute;
	struct text text;

	text_init(&text, expansion->buffer, expansion->size);
	if (own_value(expansion->verdict, name, length, &text)) {
		*value_length = text.length;
		return text.buffer;
	}
	attribute = policy_find(expansion->request, name, length);
	*value_length = attribute ? attribute->value_length : 0;
	return attribute ? attribute->value : "";
}

/*
 * Whether an action that has something behind its first word came out without it, its
 * placeholders being empty: to Postfix "450" alone means OK.
 */
static bool lost_argument(const char *template, const char *action)
{
	const char *wanted = template + strcspn(template, " \t");
	const char *got = action + strcspn(action, " \t");

	return wanted[strspn(wanted, " \t")] && !got[strspn(got, " \t")];
}

HOT const char *verdict_action(const struct engine_verdict *verdict, const struct config *config,
    const struct policy_request *request, struct text *text)
{
	char buffer[KEY_MAX + 1];
	struct expansion expansion = {verdict, request, buffer, sizeof(buffer)};

	switch (verdict->status) {
	case ENGINE_ALLOWED:
		return config->success_action;
	case ENGINE_DENIED:
		template_expand(verdict->rule->action, look_up, &expansion, text);
		if (lost_argument(verdict->rule->action, text->buffer)) {
			text_init(text, text->buffer, text->size);
			text_puts(text, "DEFER_IF_PERMIT 4.7.1 Limit reached");
		}
		return text->buffer;
	default:
		return config->on_error;
	}
}

static void add_value(struct text *text, const char *before, const char *value, const char *after)
{
	char buffer[TEMPLATE_VALUE_MAX + 1];
	struct text printable;

	text_init(&printable, buffer, sizeof(buffer));
	text_printable(&printable, value, strlen(value), LOG_ESCAPE);
	text_puts(text, before);
	text_add(text, printable.buffer, printable.length);
	text_puts(text, after);
}

static void add_attribute(struct text *text, const char *before,
    const struct policy_request *request, const char *name, const char *after)
{
	add_value(text, before, policy_value(request, name), after);
}

static void add_numbers(struct text *text, const struct engine_verdict *verdict)
{
	const struct limit *limit = verdict->limit;
	uint64_t count = limit ? limit->count : 0;
	int64_t window_ms = limit ? limit->window.length_ms : 0;

	text_printf(text, ", used=%llu/", (unsigned long long)verdict->used);
	if (verdict->unlimited) {
		text_puts(text, "unlimited");
	} else {
		text_printf(text, "%llu", (unsigned long long)count);
	}
	text_printf(text, ", window=%lld", (long long)(window_ms / 1000));
}

void verdict_line(const struct engine_verdict *verdict, const struct policy_request *request,
    const struct error *error, struct text *text)
{
	static const char *const names[] = {"allowed", "denied", "observed", "warning", "error"};
	const char *queue_id = policy_value(request, "queue_id");
	const char *recipients = policy_value(request, "recipient_count");
	int64_t wait_ms = verdict->wait_ms;

	add_value(text, "", queue_id[0] ? queue_id : "NOQUEUE", "");
	add_attribute(text, ": client=", request, "client_name", "");
	add_attribute(text, "[", request, "client_address", "]");
	add_attribute(text, ", sasl_method=", request, "sasl_method", "");
	add_attribute(text, ", sasl_username=", request, "sasl_username", "");
	add_attribute(text, ", sender=<", request, "sender", ">");
	add_value(text, ", recipient_count=", recipients[0] ? recipients : "0", "");
	text_puts(text, ", rule=");
	text_puts(text, verdict->rule ? verdict->rule->name : "-");
	add_value(
	    text, ", key=", verdict->rule ? verdict->key->text + verdict->key->prefix : "-", "");
	add_numbers(text, verdict);
	text_printf(text, ", status=%s", names[verdict->status]);
	if (wait_ms == RATE_NEVER) {
		text_puts(text, ", retry_after=never");
	} else {
		text_printf(
		    text, ", retry_after=%lld", (long long)(wait_ms / 1000 + (wait_ms % 1000 > 0)));
	}
	if (error) {
		text_puts(text, ", reason=");
		text_printable(text, error->text, strlen(error->text), NULL);
	}
}
