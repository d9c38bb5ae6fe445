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

/* Whether list n has a check that asks one of ours. */
bool lists_asks(const struct smtpd *smtpd, unsigned n);

/* "main.cf: LIST", or "master.cf: SERVICE: LIST" if the entry has its own. */
const char *lists_where(const struct smtpd *smtpd, unsigned n);

/* The line that sets it: below the entry if own, or if that has its own setting; in main.cf. */
const char *lists_setting(const struct smtpd *smtpd, const char *name, const char *value, bool own);

/* The line that puts a check in front of list n. */
const char *lists_setting_with_check(
    const struct smtpd *smtpd, unsigned n, const struct policy *policy, bool own);

#endif
