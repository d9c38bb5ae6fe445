/*
 * Findings in the services that run the helper: see postfix.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/postfix.h"

#include "base/duration.h"
#include "ctl/check/files.h"
#include "ctl/postfix/lists.h"
#include "ctl/postfix/live.h"
#include "ctl/postfix/rules.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The time limit of spawn that is suggested unless smtpd's own time is longer. */
#define TIME_LIMIT_S 3600

struct postfix {
	struct instance **instance;
	size_t n;
	bool are_named; /* by the administrator */
};

static bool can_be_run(const char *program)
{
	return !strchr(program, '/') || access(program, X_OK) == 0;
}

/* Whether programs can be run from the folder, or from the next one above it that exists. */
static bool may_hold_programs(struct check *check, const char *folder)
{
	struct statvfs disk;

	while (statvfs(folder, &disk) && errno == ENOENT && strcmp(folder, "/") != 0) {
		folder = dirname(check_text(check, "%s", folder));
	}
	return statvfs(folder, &disk) == 0 && !(disk.f_flag & ST_NOEXEC);
}

/* The program that the entry should have. It need not exist. */
static const char *right_program(struct check *check, const struct policy *policy)
{
	static const char *const place[] = {
	    DEFAULT_HELPER, "/usr/libexec/" HELPER, "/usr/sbin/" HELPER};

	if (can_be_run(policy->program)) {
		return policy->program;
	}
	for (size_t i = 0; i < sizeof(place) / sizeof(*place); i++) {
		const char *folder = dirname(check_text(check, "%s", place[i]));

		if (can_be_run(place[i]) ||
		    (strcmp(place[i], policy->program) != 0 && may_hold_programs(check, folder) &&
			!files_closed_folder(check, place[i]))) {
			return place[i];
		}
	}
	return DEFAULT_HELPER;
}

/* The entry as it should be. */
static const char *right_entry(const struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const struct service *service = policy->service;
	const char *config = policy->config;
	const char *option = "";

	if (!instance_same_file(config, DEFAULT_CONFIG)) {
		option = check_text(check, strpbrk(config, " \t") ? " -c {%s}" : " -c %s", config);
	}
	return check_text(check, "%s %s %s n n - 0 spawn user=%s argv=%s%s", policy->name,
	    service ? service->field.at[SERVICE_TYPE] : "unix",
	    service ? service->field.at[SERVICE_PRIVATE] : "-", check->ctl->config.user,
	    right_program(check, policy), option);
}

static void entry_finding(const struct instance *instance, const struct policy *policy,
    const char *what, const char *consequence)
{
	check_finding(instance->check, "%s: %s: %s: %s; write: %s", instance->master_cf,
	    policy->name, what, consequence, right_entry(instance, policy));
}

static void check_user(const struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const char *user = check->ctl->config.user;
	size_t length = strlen(user);

	if (!policy->user) {
		entry_finding(instance, policy,
		    "it has no user=", "spawn(8) does not start the helper, mail is not limited");
	} else if (strncmp(policy->user, user, length) != 0 ||
	    (policy->user[length] != '\0' && policy->user[length] != ':')) {
		entry_finding(instance, policy,
		    check_text(check, "user=%s is not the user of %s, %s", policy->user,
			check->config_path, user),
		    "the helper can't use the counters, mail is not limited");
	}
	if (strcmp(user, settings_text(&instance->postconf.main, "mail_owner")) == 0) {
		check_finding(check,
		    "%s: user = %s is mail_owner in %s: spawn(8) does not run programs as the "
		    "owner of the mail system; write: user = %s",
		    check->config_path, user, instance->main_cf, DEFAULT_USER);
	}
}

/* A program that the account can't run. */
static void check_program(const struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const char *program = policy->program;
	const char *quoted = check_quote(check, program);
	const char *reason = access(program, X_OK) ? strerror(errno) : "";
	const char *what = check_text(check, "%s can't be run: %s", program, reason);
	const char *right = right_program(check, policy);
	const char *repair = check_text(check, "write: %s", right_entry(instance, policy));
	const char *closed = files_closed_folder(check, program);
	struct statvfs disk;
	struct stat st;
	bool exists = stat(program, &st) == 0 && S_ISREG(st.st_mode);
	bool noexec = exists && statvfs(program, &disk) == 0 && (disk.f_flag & ST_NOEXEC);

	if (closed) {
		what = check_text(check, "%s can't be run: %s can't enter %s", program,
		    check->ctl->config.user, closed);
	} else if (noexec) {
		what = check_text(
		    check, "%s can't be run: its file system is mounted noexec", program);
	}
	if (exists && !noexec) {
		repair = check_text(check, "run: chmod 0755 %s", quoted);
	} else if (!can_be_run(right) && (closed || noexec)) {
		repair =
		    check_text(check, "run: install -D -m 0755 %s %s; %s", quoted, right, repair);
	} else if (!can_be_run(right) && strcmp(right, program) == 0) {
		repair = "run: make install";
	}
	check_finding(check, "%s: %s: %s: no helper is started, mail is not limited; %s",
	    instance->master_cf, policy->name, what, repair);
}

static void check_entry(const struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const struct service *service = policy->service;
	const struct settings *settings = &instance->postconf.main;
	const char *level = settings_text(settings, "compatibility_level");
	bool level_0 = *level && strtol(level, NULL, 10) < 1;

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
		const char *maxproc = service_is(service, SERVICE_MAXPROC, "-")
		    ? settings_text(settings, "default_process_limit")
		    : service->field.at[SERVICE_MAXPROC];

		entry_finding(instance, policy, check_text(check, "maxproc is %s, not 0", maxproc),
		    "mail waits if there are more connections than that");
	}
	if (policy->unknown) {
		entry_finding(instance, policy,
		    check_text(check, "the argument %s is unknown", policy->unknown),
		    "the helper ignores it");
	}
	if (!can_be_run(policy->program)) {
		check_program(instance, policy);
	}
}

static void check_time_limit(const struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const char *name = check_text(check, "%s_time_limit", policy->name);
	const char *limit = settings_text(&policy->service->settings, name);
	const char *ttl = settings_text(&instance->postconf.main, "smtpd_policy_service_max_ttl");
	int64_t limit_ms, ttl_ms;
	long long ttl_s;

	if (duration_parse(limit, &limit_ms) || duration_parse(ttl, &ttl_ms) || limit_ms > ttl_ms) {
		return;
	}
	ttl_s = ttl_ms / 1000;
	check_finding(check,
	    "%s: %s is %s, not above smtpd_policy_service_max_ttl (%llds): spawn(8) kills helpers "
	    "that smtpd still uses, and mail waits; write: %s = %lld",
	    instance->main_cf, name, limit, ttl_s, name,
	    ttl_s < TIME_LIMIT_S ? TIME_LIMIT_S : 2 * ttl_s);
}

/*
 * Makes sure that at least one policy is ours, for the checks that follow. The administrator may
 * check a new file before a service uses it; so another one is a fault only if it can't be read.
 */
static void check_policies(struct instance *instance)
{
	struct check *check = instance->check;
	struct policy *first = &instance->policy[0];
	const char *name = instance->dangling ? instance->dangling : HELPER;
	const char *fault;

	if (instance->ours) {
		return;
	}
	instance->ours = first;
	/* Another account than the helper's may just not see the file. */
	if (instance->policies > 0 &&
	    (access(first->config, R_OK) == 0 ||
		(errno != ENOENT && (!check->user || geteuid() != check->user->pw_uid)))) {
		first->ours = true;
	} else if (instance->policies > 0) {
		fault = check_text(
		    check, "the helper can't read %s: %s", first->config, strerror(errno));
		first->ours = true;
		first->config = check->config_path;
		entry_finding(instance, first, fault, "mail is not limited");
	} else {
		*first = (struct policy){
		    .name = name,
		    .endpoint = check_text(check, "unix:private/%s", name),
		    .program = DEFAULT_HELPER,
		    .config = check->config_path,
		    .ours = true,
		    .socket = -1,
		};
		instance->policies = 1;
		check_finding(check,
		    "%s: no service runs the helper: mail is not limited; write: %s",
		    instance->master_cf, right_entry(instance, first));
	}
}

static void check_instance(struct instance *instance)
{
	bool can_answer = live_check(instance);

	check_policies(instance);
	for (size_t i = 0; i < instance->policies; i++) {
		const struct policy *policy = &instance->policy[i];
		size_t findings = instance->check->findings;

		if (policy->ours && policy->service) {
			check_entry(instance, policy);
			check_time_limit(instance, policy);
			/* With a fault of its entry, it is no second fault that it fails. */
			if (can_answer && instance->check->findings == findings) {
				live_ask(instance, policy);
			}
		}
	}
	lists_check(instance);
	rules_check(instance);
}

/* Whether an instance that the administrator did not name should limit mail. */
static bool concerns_us(const struct instance *instance)
{
	bool concerns = instance->policies > 0 || instance->dangling;

	for (size_t i = 0; i < instance->smtpds && !concerns; i++) {
		concerns = instance->smtpd[i].has_users;
	}
	return concerns;
}

struct postfix *postfix_load(struct check *check, const char *const *dir, size_t dirs)
{
	struct postfix *postfix = check_alloc(check, 1, sizeof(*postfix));
	struct instance *standard;

	postfix->are_named = dirs > 0;
	standard = postfix->are_named ? NULL : instance_load(check, NULL);
	if (standard) {
		struct words more = words_split(check,
		    settings_text(&standard->postconf.main, "multi_instance_directories"),
		    SEPARATORS);

		dir = more.at;
		dirs = more.n;
	}
	postfix->instance = check_alloc(check, dirs + 1, sizeof(*postfix->instance));
	if (standard) {
		postfix->instance[postfix->n++] = standard;
	}
	for (size_t i = 0; i < dirs; i++) {
		struct instance *loaded = instance_load(check, dir[i]);

		if (loaded) {
			postfix->instance[postfix->n++] = loaded;
		}
	}
	for (size_t i = 0; i < postfix->n; i++) {
		live_open(postfix->instance[i]);
	}
	return postfix;
}

void postfix_check(const struct postfix *postfix)
{
	bool any_concerns = false;

	for (size_t i = 0; i < postfix->n; i++) {
		any_concerns = any_concerns || concerns_us(postfix->instance[i]);
	}
	for (size_t i = 0; i < postfix->n; i++) {
		struct instance *instance = postfix->instance[i];

		/* An instance that only relays mail needs no limit. */
		if (postfix->are_named || (any_concerns ? concerns_us(instance) : i == 0)) {
			check_instance(instance);
		}
	}
}
