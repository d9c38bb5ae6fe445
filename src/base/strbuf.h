/*
 * Building a text in a buffer of fixed size.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef STRBUF_H
#define STRBUF_H

#include <stddef.h>

/*
 * A text in the caller's buffer. It is always NUL-terminated. What does not fit is cut at the end
 * of a UTF-8 character, and everything appended later is dropped.
 */
struct strbuf {
	char *buffer;
	size_t size; /* bytes of the buffer, with the NUL */
	size_t length; /* bytes of the text, without the NUL */
};

/* Starts an empty text in a buffer of size bytes, at least 1. */
void strbuf_init(struct strbuf *text, char *buffer, size_t size);

/* Append length bytes, a string, what printf would print. */
void strbuf_add(struct strbuf *text, const char *bytes, size_t length);
void strbuf_puts(struct strbuf *text, const char *string);
void strbuf_printf(struct strbuf *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Appends untrusted bytes as printable UTF-8. An invisible character (utf8_is_invisible) and every
 * byte that is not part of well-formed UTF-8 become '?'. Characters in the string escape, which
 * are ASCII, become \xHH; escape may be NULL.
 */
void strbuf_printable(struct strbuf *text, const char *bytes, size_t length, const char *escape);

#endif
