/*
 * Error texts: see error.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	error->no_memory = false;
	return -1;
}

int error_no_memory(struct error *error)
{
	error_set(error, "out of memory");
	error->no_memory = true;
	return -1;
}
