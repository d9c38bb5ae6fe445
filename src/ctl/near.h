/*
 * "Did you mean ...?" for keys: those of the database that are close to one it does not have.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_NEAR_H
#define CTL_NEAR_H

#include "ctl/common.h"

enum near_kind { NEAR_COUNTERS, NEAR_EXCEPTIONS };

/*
 * Warns that a rule, or all if it is NULL, has no counter or no exception for that key: `more`, and
 * the keys near it. Walks through the database.
 */
void near_warn(struct ctl *ctl, const struct rule *rule, enum near_kind kind, const char *wrong,
    const char *more);

#endif
