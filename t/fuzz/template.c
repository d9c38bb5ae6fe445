/*
 * Fuzz target: templates. The first byte gives the size of the buffer, the first line is the
 * template, and the rest is the value of every placeholder.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuzz.h"

#include "base/error.h"
#include "base/strbuf.h"
#include "policy/attributes.h"
#include "policy/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_placeholder(const char *name, size_t length)
{
	for (size_t i = 0; i < TEMPLATE_NAMES; i++) {
		if (strlen(template_names[i]) == length &&
		    memcmp(template_names[i], name, length) == 0) {
			return true;
		}
	}
	return attributes_is_sent(name, length);
}

static const char *look_up(const void *data, const char *name, size_t length, size_t *value_length)
{
	const struct input *value = data;

	must(is_placeholder(name, length), "\"%.*s\" was checked and is looked up", (int)length,
	    name);
	*value_length = value->size;
	return (const char *)value->bytes;
}

/* Expands into a buffer of that size, on the heap so that the sanitizers see an overflow. */
static char *expand(const char *template, const struct input *value, size_t size, size_t *length)
{
	char *buffer = malloc(size);
	struct strbuf text;

	must(buffer, "out of memory");
	strbuf_init(&text, buffer, size);
	template_expand(template, look_up, value, &text);
	must(text.length < size && strlen(buffer) == text.length, "length of the text");
	must(is_clean(buffer, text.length, "\t"), "\"%s\" is not printable", buffer);
	*length = text.length;
	return buffer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	size_t room = 1 + input_byte(&input) * 4u;
	size_t length, braces = 0, whole_length, short_length;
	char *template = input_line(&input, &length);
	struct error error = {""};
	char *whole, *cut;

	/* The configuration file takes nothing else. */
	if (!is_clean(template, length, "\t")) {
		goto out;
	}
	if (template_check(template, &error)) {
		must(error.text[0] && strchr(template, '{'), "an error text, and a reason");
		goto out;
	}
	for (const char *p = template; (p = strchr(p, '{')); p++) {
		braces++;
	}
	whole = expand(template, &input, length + braces * TEMPLATE_VALUE_MAX + 1, &whole_length);
	must(whole_length <= length + braces * TEMPLATE_VALUE_MAX, "a value was not cut");
	must(braces > 0 || strcmp(whole, template) == 0, "\"%s\" became \"%s\"", template, whole);
	cut = expand(template, &input, room, &short_length);
	must(short_length <= whole_length && memcmp(whole, cut, short_length) == 0,
	    "\"%s\" was not cut but changed to \"%s\"", whole, cut);
	must(
	    short_length == whole_length || short_length + 4 >= room, "cut too short: \"%s\"", cut);
	free(cut);
	free(whole);
out:
	free(template);
	return 0;
}
