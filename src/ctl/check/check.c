/*
 * What the parts of the command check share: see check.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/check/check.h"

#include "base/array.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void *check_keep(struct check *check, void *memory)
{
	check->memory = ctl_must(array_grow(check->memory, check->blocks, sizeof(*check->memory)));
	check->memory[check->blocks++] = ctl_must(memory);
	return memory;
}

void *check_alloc(struct check *check, size_t n, size_t size)
{
	return check_keep(check, calloc(n, size));
}

static char *print(struct check *check, const char *format, va_list args)
{
	char *text;

	return check_keep(check, vasprintf(&text, format, args) < 0 ? NULL : text);
}

char *check_text(struct check *check, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = print(check, format, args);
	va_end(args);
	return text;
}

const char *check_quote(struct check *check, const char *text)
{
	const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "_./@%+=:,-";
	size_t size = strlen(text) * 4 + 3;
	struct strbuf quoted;

	if (*text && text[strspn(text, plain)] == '\0') {
		return text;
	}
	strbuf_init(&quoted, check_alloc(check, 1, size), size);
	strbuf_puts(&quoted, "'");
	for (; *text; text++) {
		strbuf_add(&quoted, *text == '\'' ? "'\\''" : text, *text == '\'' ? 4 : 1);
	}
	strbuf_puts(&quoted, "'");
	return quoted.buffer;
}

const char *check_printable(struct check *check, const char *bytes, size_t length)
{
	size_t size = length * 3 + 1;
	struct strbuf text;

	strbuf_init(&text, check_alloc(check, 1, size), size);
	strbuf_printable(&text, bytes, length, NULL);
	return text.buffer;
}

void check_finding(struct check *check, const char *format, ...)
{
	va_list args;
	const char *line;

	va_start(args, format);
	line = print(check, format, args);
	va_end(args);
	/* postconf or the counter file may have had any bytes in it. */
	line = check_printable(check, line, strlen(line));
	for (size_t i = 0; i < check->findings; i++) {
		if (strcmp(check->finding[i], line) == 0) {
			return;
		}
	}
	puts(line);
	check->finding =
	    ctl_must(array_grow(check->finding, check->findings, sizeof(*check->finding)));
	check->finding[check->findings++] = line;
}

void check_free(struct check *check)
{
	while (check->blocks > 0) {
		free(check->memory[--check->blocks]);
	}
	free(check->memory);
	free(check->finding);
	free(check);
}
