/*
 * What the commands of policyd-ratelimit-ctl share.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_H
#define CTL_H

#include "config.h"
#include "quota.h"
#include "store.h"

/* Exit statuses; those of sysexits.h mean what they mean there. */
#define CTL_NO_MATCH 1

/* A command gets its own name and arguments as argc and argv, and returns the exit status. */
struct ctl {
	const char *config_path;
	struct config config;
	struct store *store; /* not opened yet */
	struct quotas *quotas;
};

/* The commands; each is documented in policyd-ratelimit-ctl(8). */
int ctl_config(struct ctl *ctl, int argc, char **argv);
int ctl_reset(struct ctl *ctl, int argc, char **argv);
int ctl_show(struct ctl *ctl, int argc, char **argv);
int ctl_top(struct ctl *ctl, int argc, char **argv);

/* Says how the command is used, on stderr; returns EX_USAGE. */
int ctl_usage(const char *command);

/* Prints the error of a store's function; returns the exit status for it. */
int ctl_store_failed(enum store_result result, const struct error *error);

/* The rule of that name, or NULL. */
const struct rule *ctl_rule(const struct ctl *ctl, const char *name, size_t length);

/* The same for an option --rule; complains and sets *status if there is none. NULL name: NULL. */
const struct rule *ctl_rule_option(const struct ctl *ctl, const char *name, int *status);

#endif
