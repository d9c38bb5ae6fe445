/*
 * What follows from the options of a rule once all of them are known: the layout of its counters,
 * its matches and overrides, and whether it can ever apply.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFIG_RULE_H
#define CONFIG_RULE_H

#include "base/error.h"
#include "config/config.h"

/* Called for each mistake, with the number of its line and a message without file and line. */
typedef void rule_complain(void *data, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Completes a rule whose section has ended. key_line and limit_line are the lines of these
 * options, 0 if they are missing. Mistakes are reported through complain alone. Returns 0, or -1
 * if out of memory.
 */
int rule_finish(
    struct rule *rule, unsigned key_line, unsigned limit_line, rule_complain *complain, void *data);

/* Frees what the rule owns. */
void rule_free(struct rule *rule);

/* The override for a key of the rule; NULL: none, the rule's own limits hold. */
const struct override *rule_find_override(const struct rule *rule, const char *key, size_t length);

#endif
