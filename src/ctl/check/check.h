/*
 * What the parts of the command check share: findings, and memory that lives as long as the check.
 * If memory runs out, these functions end the process.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_CHECK_H
#define CTL_CHECK_H

#include "ctl/common.h"

#include <pwd.h>
#include <stddef.h>

#define HELPER "policyd-ratelimit"

struct postfix;

struct check {
	const struct ctl *ctl;
	const struct passwd *user; /* the helper's account, uid and gid only; NULL if none */
	bool by_root; /* who started it */
	struct postfix *postfix; /* what was found out before the change of account */
	const char *config_path; /* absolute, if possible */
	const char **finding; /* what was printed */
	size_t findings;
	void **memory;
	size_t blocks;
};

/* As calloc. This memory and that below lives as long as the check. */
void *check_alloc(struct check *check, size_t n, size_t size);

/* Takes over memory from malloc or, if that failed, NULL. Returns it. */
void *check_keep(struct check *check, void *memory);

/* As sprintf. */
char *check_text(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The text as one word for sh(1). */
const char *check_quote(struct check *check, const char *text);

/* The bytes as printable UTF-8. */
const char *check_printable(struct check *check, const char *bytes, size_t length);

/*
 * Prints, as printf does, one line "WHERE: WHAT: CONSEQUENCE; write: LINE" or "...; run: COMMAND".
 * A line is printed once: several services may share the fault, in a list of main.cf.
 */
void check_finding(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Frees the check, which comes from calloc, and its memory. */
void check_free(struct check *check);

#endif
