/*
 * What the parts of the command check share: findings, and texts for them.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_CHECK_H
#define CTL_CHECK_H

#include "ctl/common.h"

#include <stddef.h>

struct check {
	const struct ctl *ctl;
	const char *config_path; /* absolute, if that is possible */
	unsigned findings;
	char **text; /* everything that check_text made, findings too */
	size_t texts;
	size_t room;
};

/* As printf; the text lives as long as the check. Ends the process if memory runs out. */
const char *check_text(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The text as one word for sh(1). */
const char *check_quote(struct check *check, const char *text);

/*
 * Prints a line "WHERE: WHAT: CONSEQUENCE; write: LINE", or "run: COMMAND", as printf
 * makes it, unless it was printed already.
 */
void check_finding(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The instances of Postfix in these folders; none: the default one and those that it names. */
void check_postfix(struct check *check, const char *const *dir, size_t dirs);

#endif
