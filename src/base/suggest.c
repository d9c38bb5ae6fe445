/*
 * Finding the closest name: see suggest.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/suggest.h"

#include <string.h>

#define NAME_MAX_LENGTH 48

void suggest_init(struct suggestion *suggestion, const char *wrong, size_t length)
{
	*suggestion = (struct suggestion){.wrong = wrong, .length = length, .distance = 4};
}

/* Computes the Levenshtein distance, row by row. */
void suggest_try(struct suggestion *suggestion, const char *right)
{
	unsigned row[NAME_MAX_LENGTH + 1];
	size_t length = strlen(right);

	if (suggestion->length > NAME_MAX_LENGTH || length > NAME_MAX_LENGTH) {
		return;
	}
	for (unsigned j = 0; j <= length; j++) {
		row[j] = j;
	}
	for (unsigned i = 1; i <= suggestion->length; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= length; j++) {
			unsigned replaced = diagonal + (suggestion->wrong[i - 1] != right[j - 1]);
			unsigned least = row[j] < row[j - 1] ? row[j] : row[j - 1];

			diagonal = row[j];
			row[j] = replaced < least + 1 ? replaced : least + 1;
		}
	}
	/* Half of a short name must be right; three mistakes are for long names only. */
	if (row[length] < suggestion->distance && row[length] * 2 <= length &&
	    (row[length] < 3 || length >= 10)) {
		suggestion->distance = row[length];
		suggestion->best = right;
	}
}

const char *suggest_best(const struct suggestion *suggestion)
{
	return suggestion->best;
}
