/*
 * Why something failed, as a text for the caller to print, to log or to drop.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ERROR_H
#define ERROR_H


/* Why something failed, for the caller to print or to drop. */
struct error {
	char text[400];
};

/*
 * Sets the text as printf does and returns -1, so that `return error_set(…)` reads well. cold:
 * the compiler takes whatever leads here out of the way of what happens with each request.
 */
int error_set(struct error *error, const char *format, ...)
    __attribute__((cold, format(printf, 2, 3)));

#endif
