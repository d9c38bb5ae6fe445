/*
 * The smtpd services of an instance and their restriction lists: which of them ask a helper.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_SMTPD_H
#define CTL_SMTPD_H

#include "ctl/postfix/instance.h"

/* Names of the lists: smtpd_client_restrictions, ... */
extern const char *const smtpd_lists[LISTS];

/* Fills instance->smtpd. The instance must not move in memory after that. */
void smtpd_read(struct instance *instance);

/* Sets which of them ask a policy. To be called when instance->policy is complete. */
void smtpd_find_asking(struct instance *instance);

/* The NAME of a check of unix:private/NAME whose service is missing, or NULL. */
const char *smtpd_dangling(const struct instance *instance);

/* Index of the first check at or after i that asks a policy, or one of ours; list->n if none. */
size_t smtpd_find_check(
    const struct instance *instance, const struct words *list, size_t i, bool ours);

#endif
