/*
 * What holds for a key at a moment: the plan of the configuration, changed by what the
 * database has for the key (exception.h). The helper and the ctl both ask here.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef QUOTA_H
#define QUOTA_H

#include "base/error.h"
#include "engine/exception.h"
#include "config/config.h"
#include "store/store.h"

/* Plans that were made for allowances. */
struct quotas;

/* NULL if out of memory. */
struct quotas *quotas_new(void);
void quotas_free(struct quotas *quotas);

/* Forgets plans if there are many; none that quota_plan returned may be in use. */
void quotas_trim(struct quotas *quotas);

/*
 * The exception beside the counter with that key, without what has expired. False if there is
 * none, or only a damaged one. *kept, unless NULL: the database has one, even if it has expired;
 * it may be in force again after the clock was set back.
 */
bool quota_exception(struct store_txn *txn, const char *counter_key, size_t length,
    struct exception *exception, bool *kept);

/*
 * The plan for a key that has file by the configuration, and this exception. NULL and
 * why if it can't be with this configuration (any more).
 */
const struct config_plan *quota_plan(struct quotas *quotas, const struct rule *rule,
    const struct config_plan *file, const struct exception *exception, struct error *error);

#endif
