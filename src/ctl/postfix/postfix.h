/*
 * Postfix's side of the command check: which instances there are, the entries of master.cf that
 * run the helper and, in lists.c, the lists that ask it.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_POSTFIX_H
#define CTL_POSTFIX_H

#include "ctl/check/check.h"

/* Checks the instances in these folders; if none, the default one and those that it names. */
void postfix_check(struct check *check, const char *const *dir, size_t dirs);

#endif
