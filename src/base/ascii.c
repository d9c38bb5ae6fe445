/*
 * ASCII letters: see ascii.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/ascii.h"

#include <string.h>
#include <strings.h>

void ascii_lower(char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		/* Without a branch, so that the compiler can vectorise the loop. */
		bytes[i] = (char)(byte | ((unsigned char)(byte - 'A') < 26 ? 'a' - 'A' : 0));
	}
}

bool ascii_same(const char *a, size_t a_length, const char *b)
{
	return strlen(b) == a_length && strncasecmp(a, b, a_length) == 0;
}
