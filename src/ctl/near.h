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
 * Appends "; near it: KEY, KEY" to text, or nothing. Walks through the database: of a rule, or of
 * all if it is NULL, through the keys with a counter or with an exception.
 */
void near_format(struct ctl *ctl, const struct rule *rule, enum near_kind kind, const char *wrong,
    struct strbuf *text);

#endif
