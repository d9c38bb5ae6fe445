/*
 * What the commands of policyd-ratelimit-ctl share.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_H
#define CTL_H

#include "base/error.h"
#include "base/strbuf.h"
#include "config/file.h"
#include "engine/limits.h"
#include "store/store.h"

#include <stdio.h>

/* Exit statuses; those of sysexits.h mean what they mean there. */
#define CTL_NO_MATCH 1
#define CTL_FAULTS 1

/* A command gets its own name and arguments as argc and argv, and returns the exit status. */
struct ctl {
	const char *config_path;
	struct config config;
	bool config_is_bad; /* for check alone: its rules must not be used */
	struct store *store; /* not opened yet */
	struct quotas *quotas;

	/* What load reads, opened before the account is taken on; and its option. */
	FILE *input;
	const char *input_name;
	bool replace;
};

/* The commands; each is documented in policyd-ratelimit-ctl(8). */
int cmd_check(struct ctl *ctl, int argc, char **argv);
int cmd_clean(struct ctl *ctl, int argc, char **argv);
int cmd_config(struct ctl *ctl, int argc, char **argv);
int cmd_dump(struct ctl *ctl, int argc, char **argv);
int cmd_explain(struct ctl *ctl, int argc, char **argv);
int cmd_grant(struct ctl *ctl, int argc, char **argv);
int cmd_limits(struct ctl *ctl, int argc, char **argv);
int cmd_load(struct ctl *ctl, int argc, char **argv);
int cmd_metrics(struct ctl *ctl, int argc, char **argv);
int cmd_report(struct ctl *ctl, int argc, char **argv);
int cmd_reset(struct ctl *ctl, int argc, char **argv);
int cmd_set(struct ctl *ctl, int argc, char **argv);
int cmd_show(struct ctl *ctl, int argc, char **argv);
int cmd_top(struct ctl *ctl, int argc, char **argv);
int cmd_unset(struct ctl *ctl, int argc, char **argv);

/* What comes before load takes on the account of the helper: opens the file. */
int ctl_load_open(struct ctl *ctl, int argc, char **argv);

/* Says how the command is used, on stderr; returns EX_USAGE. */
int ctl_usage(const char *command);

/* Prints the error of a store's function; returns the exit status for it. */
int ctl_store_failed(enum store_result result, const struct error *error);

/* The rule of that name, or NULL. */
const struct rule *ctl_rule(const struct ctl *ctl, const char *name, size_t length);

/* Appends the names of all rules, "users, strangers". */
void ctl_rule_names(const struct ctl *ctl, struct strbuf *text);

/* As ctl_rule for an option --rule; complains and sets *status if there is none. NULL name: NULL.
 */
const struct rule *ctl_rule_option(const struct ctl *ctl, const char *name, int *status);

#endif
