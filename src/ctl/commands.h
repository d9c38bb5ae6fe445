/*
 * The commands, for the table in main.c. policyd-ratelimit-ctl(8) documents them.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "ctl/common.h"

/*
 * Each gets its own name and arguments as argc and argv. Returns an exit status, or CTL_USAGE if
 * the arguments are wrong.
 */
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

/* Reads the arguments of load and opens its file, before ctl changes to the helper's account. */
int cmd_load_open(struct ctl *ctl, int argc, char **argv);

/* Reads the arguments of check, Postfix's settings, and opens its sockets, before that too. */
int cmd_check_open(struct ctl *ctl, int argc, char **argv);

#endif
