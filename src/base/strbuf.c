/*
 * Building a text: see strbuf.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/strbuf.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void strbuf_init(struct strbuf *text, char *buffer, size_t size)
{
	text->buffer = buffer;
	text->size = size;
	text->length = 0;
	buffer[0] = '\0';
}

void strbuf_add(struct strbuf *text, const char *bytes, size_t length)
{
	size_t room = text->size - 1 - text->length;
	size_t kept = length > room ? utf8_whole_length(bytes, room) : length;

	memcpy(text->buffer + text->length, bytes, kept);
	text->length += kept;
	text->buffer[text->length] = '\0';
	if (kept < length) {
		/* Leave no room: what follows a cut would look as if it belonged there. */
		text->size = text->length + 1;
	}
}

void strbuf_puts(struct strbuf *text, const char *string)
{
	strbuf_add(text, string, strlen(string));
}

void strbuf_printf(struct strbuf *text, const char *format, ...)
{
	size_t room = text->size - text->length;
	char *start = text->buffer + text->length;
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(start, room, format, args);
	va_end(args);
	if (length < 0) {
		*start = '\0';
	} else if ((size_t)length < room) {
		text->length += (size_t)length;
	} else {
		text->length += utf8_whole_length(start, room - 1);
		text->buffer[text->length] = '\0';
		text->size = text->length + 1;
	}
}

void strbuf_printable(struct strbuf *text, const char *bytes, size_t length, const char *escape)
{
	for (size_t i = 0; i < length;) {
		uint32_t code = 0;
		size_t size = utf8_length(bytes + i, length - i, &code);

		if (size == 0 || utf8_is_invisible(code)) {
			strbuf_add(text, "?", 1);
		} else if (size == 1 && escape && strchr(escape, bytes[i])) {
			strbuf_printf(text, "\\x%02x", (unsigned char)bytes[i]);
		} else {
			strbuf_add(text, bytes + i, size);
		}
		i += size ? size : 1;
	}
}
