/*
 * A text that is appended to in a buffer of fixed size.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef STRBUF_H
#define STRBUF_H

#include <stddef.h>

/*
 * A text that is appended to in a buffer of the caller's; what does not fit is
 * cut, on a UTF-8 boundary, and nothing is added after that. Always terminated; length
 * excludes the NUL.
 */
struct strbuf {
	char *buffer;
	size_t size;
	size_t length;
};

void strbuf_init(struct strbuf *text, char *buffer, size_t size);
void strbuf_add(struct strbuf *text, const char *bytes, size_t length);
void strbuf_puts(struct strbuf *text, const char *string);
void strbuf_printf(struct strbuf *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Appends bytes of any origin as printable UTF-8: a control character (C0, DEL,
 * C1, line separators, those for direction and other invisible ones) and every byte
 * that isn't part of well-formed UTF-8 (RFC 3629) become '?'. escape: these characters become \xHH
 * instead of themselves, NULL for none.
 */
void strbuf_printable(struct strbuf *text, const char *bytes, size_t length, const char *escape);

#endif
