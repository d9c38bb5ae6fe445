/*
 * One instance of Postfix as the command check sees it: the services that run the helper, and
 * the smtpd services with the restriction lists that ask it.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_INSTANCE_H
#define CTL_INSTANCE_H

#include "ctl/postfix/postconf.h"

/* A service that runs the helper. */
struct policy {
	const struct service *service; /* NULL: it is missing */
	const char *name;
	const char *endpoint; /* what check_policy_service should name: unix:private/NAME */
	const char *user; /* NULL: it has none */
	const char *program;
	const char *config; /* of its -c, or the default */
	const char *unknown; /* an argument that the helper ignores; NULL: none */
	bool ours; /* reads the configuration that is checked */
	int socket; /* connected to the running service; -1: errno is in socket_failure */
	int socket_failure;
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

/* Names of the lists: smtpd_client_restrictions, ... */
extern const char *const instance_lists[LISTS];

/* An smtpd service. If master.cf has none, one with the settings of main.cf stands for it. */
struct smtpd {
	const struct instance *instance;
	const struct service *service;
	const struct settings *settings; /* of the service */
	bool has_users; /* users log in there */
	struct words list[LISTS]; /* with the content of restriction classes for their names */
};

struct instance {
	struct check *check;
	struct postconf postconf;
	const char *dir; /* NULL: the default */
	const char *main_cf;
	const char *master_cf;
	struct policy *policy; /* with room for one more */
	size_t policies;
	struct policy *ours; /* the first that is; NULL if none */
	struct smtpd *smtpd;
	size_t smtpds;
	enum { RUNS, RUNS_STALE, RUNS_NOT, RUNS_UNKNOWN } runs; /* as live.h tells */
	const char *stale; /* with RUNS_STALE: the file that was changed */
	const char *dangling; /* NAME that a check asks, if that seems to mean a missing helper */
};

/* Reads an instance, which lives as long as the check. NULL, after a finding, if that failed. */
struct instance *instance_load(struct check *check, const char *dir);

bool instance_same_file(const char *a, const char *b);

/* "unix:private/NAME" of check_policy_service's argument, which may be { unix:..., ... }. */
const char *instance_endpoint(const struct instance *instance, const char *argument);

/* The policy that an argument of check_policy_service names, or NULL. */
const struct policy *instance_policy_of(const struct instance *instance, const char *argument);

/* Index of the first check at or after i that asks a policy, or one of ours; list->n if none. */
size_t instance_find_check(
    const struct instance *instance, const struct words *list, size_t i, bool ours);

/* Whether any list, or any class, asks a policy, or one of ours. */
bool instance_asks(const struct smtpd *smtpd, bool ours);

#endif
