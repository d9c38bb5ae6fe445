/*
 * The part of the command check that is about the counter file and its folder.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_CHECK_DATABASE_H
#define CTL_CHECK_DATABASE_H

#include "ctl/check/check.h"

/* 0, or an exit status if something could not be checked. */
int database_check(struct check *check);

#endif
