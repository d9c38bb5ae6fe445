/*
 * A verdict in words: see reply.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/reply.h"

#include "base/ascii.h"
#include "config/options.h"
#include "config/selector.h"
#include "policy/template.h"

#include <string.h>

/* Characters that could end a field of a log line, or begin another one. */
#define LOG_ESCAPE " ,<>"

struct expansion {
	const struct verdict *verdict;
	const struct policy_request *request;
	char *buffer;
	size_t size;
};

/* The attribute, or the pair, that gave the key. */
static void add_field(const struct verdict *verdict, struct strbuf *text)
{
	const struct config_key *source = verdict->key->source;

	if (source) {
		selector_format_key(source, text);
	} else {
		strbuf_puts(text, "everything");
	}
}

static long long window_s(const struct verdict *verdict)
{
	return verdict->limit ? verdict->limit->window.length_ms / 1000 : 0;
}

/* Appends the value of one of template_names. False: name is an attribute's. */
static bool own_value(
    const struct verdict *verdict, const char *name, size_t length, struct strbuf *text)
{
	const struct rule *rule = verdict->rule;

	if (ascii_same(name, length, "rule")) {
		strbuf_puts(text, rule->name);
	} else if (ascii_same(name, length, "key")) {
		strbuf_add(text, verdict->key->text + verdict->key->value,
		    verdict->key->length - verdict->key->value);
	} else if (ascii_same(name, length, "field")) {
		add_field(verdict, text);
	} else if (ascii_same(name, length, "limit") && verdict->limit) {
		limit_format(verdict->limit, rule->count, text);
	} else if (ascii_same(name, length, "limit")) {
		strbuf_puts(text, "deny");
	} else if (ascii_same(name, length, "used")) {
		strbuf_printf(text, "%llu", (unsigned long long)verdict->used);
	} else if (ascii_same(name, length, "remaining")) {
		strbuf_printf(text, "%llu", (unsigned long long)verdict->remaining);
	} else if (ascii_same(name, length, "count")) {
		strbuf_puts(text, options_count_words[rule->count]);
	} else if (ascii_same(name, length, "window")) {
		strbuf_printf(text, "%lld", window_s(verdict));
	} else if (ascii_same(name, length, "retry_after") && verdict->wait_ms == WINDOW_NEVER) {
		strbuf_puts(text, "never");
	} else if (ascii_same(name, length, "retry_after")) {
		duration_format(verdict->wait_ms, text);
	} else {
		return false;
	}
	return true;
}

static const char *look_up(const void *data, const char *name, size_t length, size_t *value_length)
{
	const struct expansion *expansion = data;
	const struct policy_attribute *attribute;
	struct strbuf text;

	strbuf_init(&text, expansion->buffer, expansion->size);
	if (own_value(expansion->verdict, name, length, &text)) {
		*value_length = text.length;
		return text.buffer;
	}
	attribute = policy_find(expansion->request, name, length);
	*value_length = attribute ? attribute->value_length : 0;
	return attribute ? attribute->value : "";
}

/*
 * Whether only the first word is left of an action, since its placeholders are empty: to Postfix,
 * "450" alone means OK.
 */
static bool lost_argument(const char *template, const char *action)
{
	const char *wanted = template + strcspn(template, " \t");
	const char *got = action + strcspn(action, " \t");

	return wanted[strspn(wanted, " \t")] && !got[strspn(got, " \t")];
}

const char *reply_action(const struct verdict *verdict, const struct config *config,
    const struct policy_request *request, struct strbuf *text)
{
	char buffer[KEY_MAX + 1];
	struct expansion expansion = {verdict, request, buffer, sizeof(buffer)};

	switch (verdict->status) {
	case VERDICT_ALLOWED:
		return config->success_action;
	case VERDICT_DENIED:
		template_expand(verdict->rule->action, look_up, &expansion, text);
		if (lost_argument(verdict->rule->action, text->buffer)) {
			strbuf_init(text, text->buffer, text->size);
			strbuf_puts(text, "DEFER_IF_PERMIT 4.7.1 Limit reached");
		}
		return text->buffer;
	default:
		return config->on_error;
	}
}

static void add_value(struct strbuf *text, const char *before, const char *value, const char *after)
{
	char buffer[TEMPLATE_VALUE_MAX + 1];
	struct strbuf printable;

	strbuf_init(&printable, buffer, sizeof(buffer));
	strbuf_printable(&printable, value, strlen(value), LOG_ESCAPE);
	strbuf_puts(text, before);
	strbuf_add(text, printable.buffer, printable.length);
	strbuf_puts(text, after);
}

static void add_attribute(struct strbuf *text, const char *before,
    const struct policy_request *request, const char *name, const char *after)
{
	add_value(text, before, policy_value(request, name), after);
}

/* Appends the rule, the key and the limit that a line is about. */
static void add_counter(const struct verdict *verdict, struct strbuf *text)
{
	strbuf_printf(text, ", rule=%s", verdict->rule->name);
	add_value(text, ", key=", verdict->key->text + verdict->key->prefix, "");
	strbuf_printf(text, ", used=%llu/", (unsigned long long)verdict->used);
	if (verdict->unlimited) {
		strbuf_puts(text, "unlimited");
	} else {
		strbuf_printf(
		    text, "%llu", (unsigned long long)(verdict->limit ? verdict->limit->count : 0));
	}
	strbuf_printf(text, ", window=%lld", window_s(verdict));
}

void reply_log_line(const struct verdict *verdict, const struct policy_request *request,
    const struct error *error, struct strbuf *text)
{
	static const char *const names[] = {"allowed", "denied", "observed", "warning", "error"};
	const char *queue_id = policy_value(request, "queue_id");
	const char *recipients = policy_value(request, "recipient_count");
	int64_t wait_ms = verdict->wait_ms;
	/* Otherwise nothing is used, and there is nothing to wait for. */
	bool counted = verdict->rule && verdict->status != VERDICT_ERROR;

	add_value(text, "", queue_id[0] ? queue_id : "NOQUEUE", "");
	add_attribute(text, ": client=", request, "client_name", "");
	add_attribute(text, "[", request, "client_address", "]");
	add_attribute(text, ", sasl_method=", request, "sasl_method", "");
	add_attribute(text, ", sasl_username=", request, "sasl_username", "");
	add_attribute(text, ", sender=<", request, "sender", ">");
	add_value(text, ", recipient_count=", recipients[0] ? recipients : "0", "");
	if (counted) {
		add_counter(verdict, text);
	}
	strbuf_printf(text, ", status=%s", names[verdict->status]);
	if (counted && wait_ms == WINDOW_NEVER) {
		strbuf_puts(text, ", retry_after=never");
	} else if (counted) {
		strbuf_printf(
		    text, ", retry_after=%lld", (long long)(wait_ms / 1000 + (wait_ms % 1000 > 0)));
	}
	if (error) {
		strbuf_puts(text, ", reason=");
		strbuf_printable(text, error->text, strlen(error->text), NULL);
	}
}
