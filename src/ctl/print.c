/*
 * Printing of untrusted texts: see print.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/print.h"

#include "base/strbuf.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 8192 /* a path and an error */

void print_text(FILE *stream, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length;) {
		uint32_t code;
		size_t size = utf8_length(bytes + i, length - i, &code);
		char printable[8];
		struct strbuf text;

		size = size ? size : 1;
		strbuf_init(&text, printable, sizeof(printable));
		strbuf_printable(&text, bytes + i, size, NULL);
		fputs(printable, stream);
		i += size;
	}
}

/* Prints a line on stderr. */
__attribute__((format(printf, 1, 0))) static void print_line(const char *format, va_list arguments)
{
	char line[LINE_SIZE] = "";

	vsnprintf(line, sizeof(line), format, arguments);
	print_text(stderr, line, strlen(line));
	fputc('\n', stderr);
}

void print_complaint(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line(format, arguments);
	va_end(arguments);
}

void print_warning(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	print_line(format, arguments);
	va_end(arguments);
}

/* Whether a text of that length starts with \xHH, except for a NUL. */
static bool is_escape(const char *s, size_t length)
{
	return length >= 4 && s[0] == '\\' && s[1] == 'x' && isxdigit((unsigned char)s[2]) &&
	    isxdigit((unsigned char)s[3]) && (s[2] != '0' || s[3] != '0');
}

void print_escaped(FILE *stream, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length;) {
		uint32_t code = 0;
		size_t size = utf8_length(bytes + i, length - i, &code);
		bool plain =
		    size > 0 && !utf8_is_invisible(code) && !is_escape(bytes + i, length - i);

		size = size ? size : 1;
		for (size_t j = 0; j < size; j++) {
			fprintf(stream, plain ? "%c" : "\\x%02x", (unsigned char)bytes[i + j]);
		}
		i += size;
	}
}

void print_unescape(char *string)
{
	char *to = string;

	for (const char *s = string; *s; to++) {
		if (is_escape(s, strlen(s))) {
			char digits[3] = {s[2], s[3]};

			*to = (char)strtoul(digits, NULL, 16);
			s += 4;
		} else {
			*to = *s++;
		}
	}
	*to = '\0';
}
