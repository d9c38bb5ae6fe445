/*
 * What people read of texts that come from the database, a file or a request: no byte of them
 * reaches a terminal unless it is printable.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_PRINT_H
#define CTL_PRINT_H

#include <stddef.h>
#include <stdio.h>

/* Prints bytes as strbuf_printable makes them. */
void print_text(FILE *stream, const char *bytes, size_t length);

/*
 * Print a line on stderr, as printf and made printable; print_warning after the name of the
 * program.
 */
void print_complaint(const char *format, ...) __attribute__((format(printf, 1, 2)));
void print_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Prints bytes so that print_unescape has them back: those that are not printable, and a backslash
 * that looks like the start of this, as \xHH.
 */
void print_escaped(FILE *stream, const char *bytes, size_t length);

/* Turns each \xHH in a string into its byte, in place; \x00 stays as it is. */
void print_unescape(char *string);

#endif
