/*
 * Postfix's side of the command check: which instances there are, the entries of master.cf that
 * run the helper and, in lists.c, the lists that ask it.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_POSTFIX_H
#define CTL_POSTFIX_H

#include "ctl/check/check.h"

struct postfix;

/*
 * Reads the settings of the instances in these folders; if none, of the default one and those that
 * it names; and connects to the services that run the helper. It lives as long as the check.
 */
struct postfix *postfix_load(struct check *check, const char *const *dir, size_t dirs);

/* Prints the findings. */
void postfix_check(const struct postfix *postfix);

#endif
