/*
 * The name that somebody probably meant to write.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SUGGEST_H
#define SUGGEST_H

#include <stddef.h>

/*
 * Finding what somebody meant to write: suggest_init, suggest_try with each name that would be
 * right, then suggest_best is the one that differs least, or NULL if none is close.
 */
struct suggestion {
	const char *wrong;
	size_t length;
	const char *best;
	unsigned distance;
};

void suggest_init(struct suggestion *suggestion, const char *wrong, size_t length);
void suggest_try(struct suggestion *suggestion, const char *right);
const char *suggest_best(const struct suggestion *suggestion);

#endif
