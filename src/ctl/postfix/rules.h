/*
 * Rules of the configuration that can't count, wherever the lists of smtpd ask.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_RULES_H
#define CTL_RULES_H

#include "ctl/postfix/instance.h"

/* Findings in the rules, for an instance with at least one policy of ours. */
void rules_check(const struct instance *instance);

#endif
