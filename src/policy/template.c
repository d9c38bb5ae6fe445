/*
 * Templates: see template.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "policy/template.h"

#include "policy/attributes.h"

#include <string.h>

const char *const template_names[TEMPLATE_NAMES] = {
    "rule", "key", "field", "limit", "used", "remaining", "count", "window", "retry_after"};

/* Whether it is one of template_names. */
static bool is_own(const char *name, size_t length)
{
	for (size_t i = 0; i < TEMPLATE_NAMES; i++) {
		if (strlen(template_names[i]) == length &&
		    memcmp(template_names[i], name, length) == 0) {
			return true;
		}
	}
	return false;
}

int template_check(const char *template, struct error *error)
{
	const char *brace = template;

	while ((brace = strchr(brace, '{'))) {
		size_t length = strcspn(brace + 1, "{}");

		if (brace[1] == '{') {
			brace += 2;
			continue;
		}
		if (brace[1 + length] != '}') {
			return error_set(error, "a '{' without its '}'; for a brace write \"{{\"");
		}
		if (!is_own(brace + 1, length) && !attributes_is_sent(brace + 1, length)) {
			return error_set(error,
			    "unknown placeholder \"{%.*s}\"; one of {rule}, {key}, {field}, "
			    "{limit}, {used}, {remaining}, {count}, {window}, {retry_after} or a "
			    "request attribute such as {sasl_username}",
			    (int)length, brace + 1);
		}
		brace += length + 2;
	}
	return 0;
}

void template_expand(
    const char *template, template_lookup *lookup, const void *data, struct strbuf *text)
{
	for (const char *p = template; *p;) {
		size_t length = strcspn(p, "{");

		strbuf_add(text, p, length);
		p += length;
		if (p[0] == '{' && p[1] == '{') {
			strbuf_add(text, "{", 1);
			p += 2;
		} else if (p[0] == '{') {
			char buffer[TEMPLATE_VALUE_MAX + 1];
			struct strbuf value;
			size_t value_length = 0;
			const char *bytes;

			length = strcspn(p + 1, "}");
			bytes = lookup(data, p + 1, length, &value_length);
			strbuf_init(&value, buffer, sizeof(buffer));
			strbuf_printable(&value, bytes, value_length, NULL);
			strbuf_add(text, value.buffer, value.length);
			p += length + 1 + (p[length + 1] == '}');
		}
	}
}
