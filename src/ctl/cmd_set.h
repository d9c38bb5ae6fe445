/*
 * What the commands that change allowances share: see ctl_allow.c and ctl_load.c.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_ALLOW_H
#define CTL_ALLOW_H

#include "base/error.h"
#include "ctl/main.h"
#include "engine/request.h"

/* What one command, or one line of load, asks for. */
struct ctl_wish {
	const struct rule *rule;
	struct request_key key;
	char limits[EXCEPTION_LIMITS_SIZE]; /* "" if it is a grant */
	uint64_t granted;
	int64_t until_s; /* 0: for good */
};

/* The rule and the key, as people write them. 0, or -1 and why. */
int ctl_wish_key(struct ctl *ctl, struct ctl_wish *wish, const uint8_t *secret,
    const char *rule_name, const char *key, struct error *error);

/* LIMITS, or +N of a grant. 0, or -1 and why. */
int ctl_wish_limits(struct ctl_wish *wish, const char *limits, struct error *error);

/* Puts the wish into an exception, and looks whether the rule can have it. 0, or -1 and why. */
int ctl_wish_apply(
    struct ctl *ctl, const struct ctl_wish *wish, struct exception *exception, struct error *error);

/*
 * All allowances of the file, or those of a rule, sorted: one line for limits and for each grant.
 * Returns an exit status; to be freed by ctl_allowed_free in any case.
 */
struct ctl_allowed {
	const struct rule *rule; /* NULL: all */
	struct ctl_allowed_line {
		char *key; /* RULE:KEY */
		size_t key_length;
		size_t rule_length;
		char *limits; /* or "+N" */
		int64_t until_s;
	} * line;
	size_t lines;
	size_t room;
	int64_t now_s;
};

int ctl_allowed_read(struct ctl *ctl, struct ctl_allowed *allowed);
void ctl_allowed_free(struct ctl_allowed *allowed);

#endif
