/*
 * What the commands of policyd-ratelimit-ctl share: their context, exit statuses, options, rules
 * and memory.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_COMMON_H
#define CTL_COMMON_H

#include "base/error.h"
#include "base/strbuf.h"
#include "config/file.h"
#include "engine/limits.h"
#include "store/store.h"

#include <stdio.h>

/* Exit statuses, besides those of sysexits.h. */
#define CTL_NO_MATCH 1
#define CTL_FAULTS 1

/* Not an exit status: main prints how the command is used, and exits with EX_USAGE. */
#define CTL_USAGE (-1)

struct ctl {
	const char *config_path;
	struct config config;
	bool config_is_bad; /* only check runs then, and must not use the rules */
	struct store *store;
	struct effective_limits *limits;

	/* For load: its options, and its file, opened before ctl changes its account. */
	FILE *input;
	const char *input_name;
	bool replace;
	bool force;

	/* For check: what it found out before. */
	struct check *check;
};

/* The exit status for the result of a store function: 0, or another after printing the error. */
int ctl_store_failed(enum store_result result, const struct error *error);

/* A long option. The pointer that is set says what the option takes, and where that goes. */
struct ctl_option {
	const char *name; /* NULL ends a list of options */
	bool *flag; /* takes nothing */
	const char **text;
	const struct rule **rule; /* takes the name of a rule */
};

#define CTL_OPTIONS_MAX 8

/*
 * Reads the options and leaves optind at the first argument. 0, EX_DATAERR after a message if
 * there is no such rule, or CTL_USAGE, also if there are more than `most` arguments.
 */
int ctl_options(
    const struct ctl *ctl, const struct ctl_option *options, int argc, char **argv, int most);

/* The rule of that name. NULL, and an error that names the rules there are. */
const struct rule *ctl_rule(const struct ctl *ctl, const char *name, struct error *error);

/*
 * The rule in a counter's key "RULE:KEY", or NULL. *prefix: length of "RULE:", 0 if the key has
 * no colon.
 */
const struct rule *ctl_rule_of(
    const struct ctl *ctl, const char *key, size_t length, size_t *prefix);

/*
 * Whether a key, without the rule, matches a pattern as of the shell. It is matched as commands
 * print it. rule: NULL if it is no longer in the configuration.
 */
bool ctl_key_matches(const struct rule *rule, const char *key, size_t length, const char *glob);

/* The memory. Ends the process if it is NULL. */
void *ctl_must(void *memory);

#endif
