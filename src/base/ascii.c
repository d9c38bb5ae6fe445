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
		if (bytes[i] >= 'A' && bytes[i] <= 'Z') {
			bytes[i] = (char)(bytes[i] + 'a' - 'A');
		}
	}
}

bool ascii_same(const char *a, size_t a_length, const char *b)
{
	return strlen(b) == a_length && strncasecmp(a, b, a_length) == 0;
}
