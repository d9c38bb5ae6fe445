/*
 * Strict numbers: see number.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/number.h"

#include <string.h>

int number_parse(const char *string, size_t length, uint64_t max, uint64_t *number)
{
	uint64_t value = 0;

	if (length == 0) {
		return -1;
	}
	for (size_t i = 0; i < length; i++) {
		unsigned digit = (unsigned)(string[i] - '0');

		if (digit > 9 || digit > max || value > (max - digit) / 10) {
			return -1;
		}
		value = value * 10 + digit;
	}
	*number = value;
	return 0;
}

int size_parse(const char *string, uint64_t max, uint64_t *bytes)
{
	static const char units[] = "KMG";
	size_t length = strlen(string);
	const char *unit = length > 1 ? strchr(units, string[length - 1]) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	uint64_t value;

	if (number_parse(string, length - (unit != NULL), max >> shift, &value)) {
		return -1;
	}
	*bytes = value << shift;
	return 0;
}

int64_t number_divide_down(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}
