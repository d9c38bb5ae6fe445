/*
 * "Did you mean ...?": finds the name that is closest to a misspelt one.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SUGGEST_H
#define SUGGEST_H

#include <stddef.h>

/* Call suggest_init, then suggest_try with each valid name, then suggest_best. */
struct suggestion {
	const char *wrong;
	size_t length;
	const char *best;
	unsigned distance;
};

/* Starts a search; wrong is not copied. */
void suggest_init(struct suggestion *suggestion, const char *wrong, size_t length);

/* Compares with one valid name, which is not copied. */
void suggest_try(struct suggestion *suggestion, const char *right);

/* The name with the smallest Levenshtein distance, or NULL if none is close. */
const char *suggest_best(const struct suggestion *suggestion);

#endif
