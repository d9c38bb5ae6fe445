/*
 * What the parts of the command check share: findings, and texts for them. If memory runs out,
 * they end the process.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_CHECK_H
#define CTL_CHECK_H

#include "ctl/common.h"

#include <stddef.h>

struct check {
	const struct ctl *ctl;
	const char *config_path; /* absolute, if possible */
	unsigned findings;
	char **text; /* all texts, those of findings too */
	size_t texts;
	size_t room;
};

/* As printf. This text and those below live as long as the check. */
const char *check_text(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The text as one word for sh(1). */
const char *check_quote(struct check *check, const char *text);

/* The bytes as printable UTF-8. */
const char *check_printable(struct check *check, const char *bytes, size_t length);

/*
 * Prints a line "WHERE: WHAT: CONSEQUENCE; write: LINE", or "run: COMMAND", as printf does, unless
 * it was printed before.
 */
void check_finding(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void check_free(struct check *check);

#endif
