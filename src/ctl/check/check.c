/*
 * What the parts of the command check share: see check.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/check/check.h"

#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *keep(struct check *check, char *text)
{
	check->text = ctl_grow(check->text, check->texts, &check->room, sizeof(*check->text));
	check->text[check->texts++] = text;
	return text;
}

static char *print(const char *format, va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) < 0) {
		ctl_must(NULL);
	}
	return text;
}

const char *check_text(struct check *check, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = print(format, args);
	va_end(args);
	return keep(check, text);
}

const char *check_quote(struct check *check, const char *text)
{
	const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "_./@%+=:,-";
	struct strbuf quoted;
	size_t size = strlen(text) * 4 + 3;
	char *buffer;

	if (*text && text[strspn(text, plain)] == '\0') {
		return text;
	}
	buffer = ctl_must(malloc(size));
	strbuf_init(&quoted, buffer, size);
	strbuf_puts(&quoted, "'");
	for (; *text; text++) {
		strbuf_add(&quoted, *text == '\'' ? "'\\''" : text, *text == '\'' ? 4 : 1);
	}
	strbuf_puts(&quoted, "'");
	return keep(check, buffer);
}

const char *check_printable(struct check *check, const char *bytes, size_t length)
{
	size_t size = length * 3 + 1;
	char *line = ctl_must(malloc(size));
	struct strbuf text;

	strbuf_init(&text, line, size);
	strbuf_printable(&text, bytes, length, NULL);
	return keep(check, line);
}

void check_finding(struct check *check, const char *format, ...)
{
	va_list args;
	const char *line;
	char *text;

	va_start(args, format);
	text = print(format, args);
	va_end(args);
	/* A finding is one line, whatever postconf or the counter file had in it. */
	line = check_printable(check, text, strlen(text));
	free(text);
	/* Several services may have the same fault, in a list of main.cf that they share. */
	for (size_t i = 0; i + 1 < check->texts; i++) {
		if (strcmp(check->text[i], line) == 0) {
			return;
		}
	}
	puts(line);
	check->findings++;
}

void check_free(struct check *check)
{
	for (size_t i = 0; i < check->texts; i++) {
		free(check->text[i]);
	}
	free(check->text);
}
