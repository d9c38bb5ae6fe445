/*
 * Letter case of ASCII, whatever the locale: for domain names and protocol words.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ASCII_H
#define ASCII_H

#include <stdbool.h>
#include <stddef.h>

/* Changes A to Z into a to z; all other bytes stay as they are. */
void ascii_lower(char *bytes, size_t length);

/* Whether the a_length bytes at a are the string b, ignoring the case of ASCII letters. */
bool ascii_same(const char *a, size_t a_length, const char *b);

#endif
