/*
 * Letter case of ASCII, whatever the locale: domain names and protocol words.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ASCII_H
#define ASCII_H

#include <stdbool.h>
#include <stddef.h>

/* ASCII letters only: what is compared here are domain names and protocol words. */
void ascii_lower(char *bytes, size_t length);
bool ascii_same(const char *a, size_t a_length, const char *b);

#endif
