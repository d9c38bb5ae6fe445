/*
 * What follows from the options of a rule when all of them are known: how its counters
 * are laid out, its overrides and matches, and whether it can ever apply.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFIG_RULE_H
#define CONFIG_RULE_H

#include "base/error.h"
#include "config/file.h"

/* Is called once for each mistake, with the line that it is in. */
typedef void config_complain(void *data, unsigned line, const char *message);

/* key_line, limit_line: where these options stand, 0 if they are missing. */
void config_finish_rule(struct rule *rule, unsigned key_line, unsigned limit_line,
    config_complain *complain, void *data);

void config_free_rule(struct rule *rule);

/*
 * A plan with other limits than the configuration's, for a key that has file there; its
 * counter keeps the windows that file gives it. NULL and why: too many windows, or a moving window
 * above what the records of the rule have room for. The plan is the caller's, for config_plan_free.
 */
struct config_plan *config_plan_new(const struct rule *rule, const struct config_plan *file,
    const struct limits *limits, struct error *error);
void config_plan_free(struct config_plan *plan);

#endif
