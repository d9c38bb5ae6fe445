/*
 * Findings in the restriction lists of smtpd: whether they ask the helper, and in the right place.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_LISTS_H
#define CTL_LISTS_H

#include "ctl/postfix/instance.h"

/* At least one policy must be ours. */
void lists_check(const struct instance *instance);

#endif
