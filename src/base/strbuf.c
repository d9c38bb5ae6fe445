/*
 * Building a text: see strbuf.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/strbuf.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void strbuf_init(struct strbuf *text, char *buffer, size_t size)
{
	text->buffer = buffer;
	text->size = size;
	text->length = 0;
	buffer[0] = '\0';
}

/* Leaves no room: what follows a cut would look as if it belonged there. */
static void close_text(struct strbuf *text)
{
	text->size = text->length + 1;
}

void strbuf_add(struct strbuf *text, const char *bytes, size_t length)
{
	size_t room = text->size - 1 - text->length;
	bool cut = length > room;

	if (cut) {
		length = room;
		/* The first byte that does not fit must start a character. */
		while (length > 0 && ((unsigned char)bytes[length] & 0xc0) == 0x80) {
			length--;
		}
	}
	memcpy(text->buffer + text->length, bytes, length);
	text->length += length;
	text->buffer[text->length] = '\0';
	if (cut) {
		close_text(text);
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
		/* vsnprintf may have cut within a character: drop all of it. */
		size_t kept = room - 1;
		size_t first = kept;
		uint32_t code;

		while (first > 0 && ((unsigned char)start[first - 1] & 0xc0) == 0x80) {
			first--;
		}
		first -= first > 0;
		if (kept > 0 && utf8_length(start + first, kept - first, &code) == 0) {
			kept = first;
		}
		text->length += kept;
		start[kept] = '\0';
		close_text(text);
	}
}

void strbuf_printable(struct strbuf *text, const char *bytes, size_t length, const char *escape)
{
	for (size_t i = 0; i < length;) {
		uint32_t code = 0;
		size_t size = utf8_length(bytes + i, length - i, &code);

		if (size == 0 || utf8_is_invisible(code)) {
			strbuf_add(text, "?", 1);
			i += size ? size : 1;
			continue;
		}
		if (size == 1 && escape && strchr(escape, bytes[i])) {
			strbuf_printf(text, "\\x%02x", (unsigned char)bytes[i]);
		} else {
			strbuf_add(text, bytes + i, size);
		}
		i += size;
	}
}
