/*
 * Why something failed, as a text that the caller prints, logs or drops.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ERROR_H
#define ERROR_H

#include <stdbool.h>

/* Valid after a function that takes it has failed. */
struct error {
	char text[400]; /* one line, NUL-terminated */
	bool no_memory; /* the input may be good: trying again later can succeed */
};

/*
 * Sets the text as printf does, cut to its size and made printable (strbuf_printable), since it may
 * quote a request, a file or the database. Always returns -1: `return error_set(…)`.
 */
int error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets the text "out of memory", and no_memory. Always returns -1. */
int error_no_memory(struct error *error);

#endif
