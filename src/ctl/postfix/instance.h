/*
 * One instance of Postfix as the command check sees it: the services that run the helper, and
 * the smtpd services that ask it.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_INSTANCE_H
#define CTL_INSTANCE_H

#include "ctl/check/check.h"
#include "ctl/postfix/postconf.h"

#include <stdbool.h>
#include <stddef.h>

#define HELPER "policyd-ratelimit"

/* A service that runs the helper. */
struct policy {
	const struct service *service; /* NULL: it is missing */
	const char *name;
	const char *endpoint; /* what check_policy_service should name: unix:private/NAME */
	const char *program;
	const char *config; /* of its -c; NULL: it has none */
	bool ours; /* reads the configuration that is checked */
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

/* An smtpd service; or main.cf itself, with service NULL, if master.cf has none. */
struct smtpd {
	const struct service *service;
	const struct settings *settings;
	bool has_users; /* users log in there */
	struct words list[LISTS]; /* with the content of restriction classes for their names */
	bool asks; /* any policy, in any list or class */
	bool asks_ours;
};

struct instance {
	struct check *check;
	struct postconf postconf;
	const char *main_cf;
	const char *master_cf;
	struct policy *policy;
	size_t policies;
	size_t room;
	struct smtpd *smtpd; /* filled by smtpd_read */
	size_t smtpds;
};

/* Reads an instance and its policies. False, after a finding, if that failed. */
bool instance_load(struct instance *instance, struct check *check, const char *dir);
void instance_free(struct instance *instance);

void instance_add_policy(struct instance *instance, struct policy policy);

/* Index of the field of a spawn entry that starts with "user=" or "argv=", or 0. */
unsigned instance_spawn_attribute(const struct service *service, const char *name);

bool instance_same_file(const char *a, const char *b);

/* "unix:private/NAME" of check_policy_service's argument, which may be { unix:..., ... }. */
const char *instance_endpoint(const struct instance *instance, const char *argument);

/* The NAME of an endpoint that looks like the helper's but has no entry in master.cf, or NULL. */
const char *instance_dangling(const struct instance *instance, const char *endpoint);

/* The policy that an argument of check_policy_service names, or NULL. */
const struct policy *instance_policy_of(const struct instance *instance, const char *argument);

#endif
