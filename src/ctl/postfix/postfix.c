/*
 * Findings in the services that run the helper: see postfix.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/postfix.h"

#include "ctl/postfix/lists.h"
#include "ctl/postfix/smtpd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The time limit of spawn that is suggested unless smtpd's own time is longer. */
#define TIME_LIMIT_S 3600

/* The entry as it should be. */
static const char *right_entry(struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const struct service *service = policy->service;
	const char *config = policy->ours && policy->service         ? policy->config
	    : instance_same_file(DEFAULT_CONFIG, check->config_path) ? NULL
								     : check->config_path;
	const char *option = "";

	if (config) {
		option = check_text(check, strpbrk(config, " \t") ? " -c {%s}" : " -c %s", config);
	}
	return check_text(check, "%s %s %s n n - 0 spawn user=%s argv=%s%s", policy->name,
	    service ? service->field.at[SERVICE_TYPE] : "unix",
	    service ? service->field.at[SERVICE_PRIVATE] : "-", check->ctl->config.user,
	    strchr(policy->program, '/') && access(policy->program, X_OK) ? DEFAULT_HELPER
									  : policy->program,
	    option);
}

static void entry_finding(struct instance *instance, const struct policy *policy, const char *what,
    const char *consequence)
{
	check_finding(instance->check, "%s: %s: %s: %s; write: %s", instance->master_cf,
	    policy->name, what, consequence, right_entry(instance, policy));
}

static void check_user(struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const char *user = check->ctl->config.user;
	const char *mail_owner = settings_get(&instance->postconf.main, "mail_owner");
	unsigned field = instance_spawn_attribute(policy->service, "user=");
	const char *value = field ? policy->service->field.at[field] + 5 : NULL;

	if (!value) {
		entry_finding(instance, policy,
		    "it has no user=", "spawn(8) does not start the helper, mail is not limited");
	} else if (strncmp(value, user, strlen(user)) != 0 ||
	    (value[strlen(user)] != '\0' && value[strlen(user)] != ':')) {
		entry_finding(instance, policy,
		    check_text(check, "user=%s is not the user of %s, %s", value,
			check->config_path, user),
		    "the helper can't use the counters, mail is not limited");
	}
	if (mail_owner && strcmp(user, mail_owner) == 0) {
		check_finding(check,
		    "%s: user = %s is mail_owner in %s: spawn(8) starts nothing as the owner of "
		    "the mail system; write: user = %s",
		    check->config_path, user, instance->main_cf, DEFAULT_USER);
	}
}

static void check_entry(struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const struct service *service = policy->service;
	const char *level = settings_get(&instance->postconf.main, "compatibility_level");
	bool level_0 = level && strtol(level, NULL, 10) < 1;

	check_user(instance, policy);
	if (service_is(service, SERVICE_CHROOT, "y") ||
	    (level_0 && service_is(service, SERVICE_CHROOT, "-"))) {
		entry_finding(instance, policy, "chroot is y",
		    "the helper can't reach its files, mail is not limited");
	}
	if (!service_is(service, SERVICE_UNPRIV, "n")) {
		entry_finding(instance, policy, "unpriv is y",
		    "spawn(8) can't change to the account of user=, mail is not limited");
	}
	if (!service_is(service, SERVICE_MAXPROC, "0")) {
		const char *maxproc = service->field.at[SERVICE_MAXPROC];
		bool is_default = strcmp(maxproc, "-") == 0;
		const char *limit = settings_get(&instance->postconf.main, "default_process_limit");

		entry_finding(instance, policy,
		    check_text(check, "maxproc is %s, not 0",
			is_default ? limit ? limit : "100" : maxproc),
		    "with more connections than that mail waits for a helper");
	}
	if (strchr(policy->program, '/') && access(policy->program, X_OK)) {
		entry_finding(instance, policy,
		    check_text(check, "%s can't be run: %s", policy->program, strerror(errno)),
		    "no helper is started, mail is not limited");
	}
}

static void check_time_limit(struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const char *name = check_text(check, "%s_time_limit", policy->name);
	long max_ttl = settings_seconds(&instance->postconf.main, "smtpd_policy_service_max_ttl");
	long limit = settings_seconds(&policy->service->settings, name);

	if (limit < 0 || max_ttl < 0 || limit > max_ttl) {
		return;
	}
	check_finding(check,
	    "%s: %s is %s, not above smtpd_policy_service_max_ttl (%lds): spawn(8) ends helpers "
	    "that smtpd still asks, and mail waits; write: %s = %ld",
	    instance->main_cf, name, settings_get(&policy->service->settings, name), max_ttl, name,
	    max_ttl < TIME_LIMIT_S ? TIME_LIMIT_S : 2 * max_ttl);
}

/* Makes sure that at least one policy is ours, for the checks that follow. */
static void check_policies(struct instance *instance)
{
	struct check *check = instance->check;
	struct policy *first;
	bool found = false;

	for (size_t i = 0; i < instance->policies; i++) {
		found = found || instance->policy[i].ours;
	}
	if (found) {
		return;
	}
	if (instance->policies > 0) {
		first = &instance->policy[0];
		entry_finding(instance, first,
		    check_text(check, "the helper reads %s, not %s",
			first->config ? first->config : DEFAULT_CONFIG, check->config_path),
		    "this configuration limits nothing");
		first->ours = true;
		first->config = instance_same_file(DEFAULT_CONFIG, check->config_path)
		    ? NULL
		    : check->config_path;
	} else {
		const char *name = smtpd_dangling(instance);
		struct policy missing = {.name = name ? name : HELPER, .program = DEFAULT_HELPER};

		missing.endpoint = check_text(check, "unix:private/%s", missing.name);
		missing.ours = true;
		instance_add_policy(instance, missing);
		check_finding(check,
		    "%s: no service runs the helper: mail is not limited; write: %s",
		    instance->master_cf, right_entry(instance, &instance->policy[0]));
	}
}

static void check_instance(struct instance *instance)
{
	check_policies(instance);
	smtpd_find_asking(instance);
	for (size_t i = 0; i < instance->policies; i++) {
		const struct policy *policy = &instance->policy[i];

		if (policy->ours && policy->service) {
			check_entry(instance, policy);
			check_time_limit(instance, policy);
		}
	}
	lists_check(instance);
}

/* Whether an instance that the administrator did not name should limit mail. */
static bool concerns_us(const struct instance *instance)
{
	bool concerns = instance->policies > 0 || smtpd_dangling(instance);

	for (size_t i = 0; i < instance->smtpds && !concerns; i++) {
		concerns = instance->smtpd[i].has_users;
	}
	return concerns;
}

void postfix_check(struct check *check, const char *const *dir, size_t dirs)
{
	struct instance *instance = ctl_must(calloc(dirs + 1, sizeof(*instance)));
	struct words more = {0};
	size_t n = 0, concerned = 0;

	for (size_t i = 0; i < dirs; i++) {
		n += instance_load(&instance[n], check, dir[i]);
	}
	if (dirs == 0 && instance_load(&instance[0], check, NULL)) {
		n = 1;
		more = words_split(
		    settings_text(&instance[0].postconf.main, "multi_instance_directories"),
		    SEPARATORS);
		instance = ctl_must(reallocarray(instance, more.n + 1, sizeof(*instance)));
		for (size_t i = 0; i < more.n; i++) {
			n += instance_load(&instance[n], check, more.at[i]);
		}
	}
	/* Only now: it keeps pointers into the instance. */
	for (size_t i = 0; i < n; i++) {
		smtpd_read(&instance[i]);
		concerned += concerns_us(&instance[i]);
	}
	for (size_t i = 0; i < n; i++) {
		/* An instance that only relays mail needs no limit. */
		if (dirs > 0 || (concerned == 0 ? i == 0 : concerns_us(&instance[i]))) {
			check_instance(&instance[i]);
		}
		instance_free(&instance[i]);
	}
	words_free(&more);
	free(instance);
}
