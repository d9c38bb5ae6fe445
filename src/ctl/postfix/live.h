/*
 * The running Postfix: whether it runs, has read its files since they were changed, and whether
 * the service that it has answers.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_LIVE_H
#define CTL_LIVE_H

#include "ctl/postfix/instance.h"

/*
 * Looks at the master process, and connects to the instance's policies. Only root is sure to see
 * these.
 */
void live_open(struct instance *instance);

/* Findings about master. Whether the policies can be asked. */
bool live_check(const struct instance *instance);

/* Asks the policy a question that counts nothing; findings about its answer. */
void live_ask(const struct instance *instance, const struct policy *policy);

#endif
