/*
 * Error texts: see error.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/error.h"

#include "base/strbuf.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *error, const char *format, ...)
{
	char raw[sizeof(error->text)];
	struct strbuf text;
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	if (length < 0) {
		raw[0] = '\0';
	} else if ((size_t)length >= sizeof(raw)) {
		raw[utf8_whole_length(raw, sizeof(raw) - 1)] = '\0';
	}
	strbuf_init(&text, error->text, sizeof(error->text));
	strbuf_printable(&text, raw, strlen(raw), NULL);
	error->no_memory = false;
	return -1;
}

int error_no_memory(struct error *error)
{
	error_set(error, "out of memory");
	error->no_memory = true;
	return -1;
}
