/*
 * One instance of Postfix as the command check sees it: the services that run the helper,
 * and the smtpd services that ask it.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_POSTFIX_H
#define CTL_POSTFIX_H

#include "ctl/check/check.h"
#include "ctl/postfix/postconf.h"

#include <stdbool.h>
#include <stddef.h>

/* A service that runs the helper. */
struct limiter {
	const struct service *service; /* NULL: it is missing */
	const char *name;
	const char *endpoint; /* what check_policy_service should name: unix:private/NAME */
	const char *program;
	const char *config; /* of its -c, NULL if there is none */
	bool ours; /* it reads the configuration that is checked */
};

/* Restriction lists, in the order in which smtpd evaluates them. */
enum {
	LIST_CLIENT,
	LIST_HELO,
	LIST_SENDER,
	LIST_RELAY,
	LIST_RECIPIENT,
	LIST_DATA,
	LIST_END,
	LISTS
};

/* An smtpd service; or main.cf itself, service NULL, where master.cf has none. */
struct caller {
	const struct service *service;
	const struct settings *settings;
	bool has_users; /* people log in there */
	struct words list[LISTS]; /* restriction classes replaced by what they hold */
	bool asks; /* any helper, in any list or class */
	bool asks_ours;
};

struct instance {
	struct check *check;
	struct postfix postfix;
	const char *main_cf;
	const char *master_cf;
	struct limiter *limiter;
	size_t limiters;
	struct caller *caller;
	size_t callers;
};

#define SEPARATORS ", \t\r\n"

/* Their names: smtpd_client_restrictions, ... */
extern const char *const instance_lists[LISTS];

/* The value, "" if there is no such setting; whether it is yes. */
const char *settings_text(const struct settings *settings, const char *name);
bool settings_yes(const struct settings *settings, const char *name);

/* Fills instance->caller. */
void instance_read_callers(struct instance *instance);

/* Which of them ask a helper; after instance->limiter is complete. */
void instance_find_asking(struct instance *instance);

/* The NAME in unix:private/NAME of a check whose service is missing, or NULL. */
const char *instance_dangling(const struct instance *instance);

/* "unix:private/NAME" of check_policy_service's argument, which may be { unix:..., ... }. */
const char *instance_endpoint(const struct instance *instance, const char *argument);

/* Which limiter it is that an argument of check_policy_service names, or NULL. */
const struct limiter *instance_limiter_of(const struct instance *instance, const char *argument);

/* The first check at or after i that asks a helper of ours, or of anybody; n if there is none. */
size_t instance_find_check(
    const struct instance *instance, const struct words *list, size_t i, bool ours);

/* Findings in the lists. */
void instance_check_lists(const struct instance *instance);

/* "3600", "1h": seconds, or -1. */
long time_parse(const char *text);

/* How long smtpd may keep a connection to the helper, in seconds, or -1. */
long instance_max_ttl(const struct instance *instance);

#endif
