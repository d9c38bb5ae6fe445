/*
 * Postfix's side of the command check: the entries of master.cf that run the helper, and
 * which instances there are. What smtpd makes of them is in ctl_postfix_lists.c.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/postfix.h"

#include "base/duration.h"
#include "base/error.h"
#include "base/number.h"
#include "ctl/table.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELPER "policyd-ratelimit"

/* What is given as spawn's time limit unless smtpd's own time is longer. */
#define TIME_LIMIT_S 3600

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

long time_parse(const char *text)
{
	enum duration_unit unit = UNIT_SECOND;
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	if (number_parse(text, digits, 1000000000, &number) || (text[digits] && text[digits + 1]) ||
	    (text[digits] && duration_unit_parse(text + digits, 1, &unit))) {
		return -1;
	}
	return (long)number * (long)(duration_units[unit].ms / 1000);
}

/* The value of spawn's attribute "user=" or "argv="; its place among the fields, or 0. */
static unsigned spawn_attribute(const struct service *service, const char *name)
{
	for (unsigned i = SERVICE_ARGUMENTS; i < service->field.n; i++) {
		if (strncmp(service->field.at[i], name, strlen(name)) == 0) {
			return i;
		}
		/* The rest is the command's. */
		if (strncmp(service->field.at[i], "argv=", 5) == 0) {
			break;
		}
	}
	return 0;
}

/* An argument of spawn's command without the braces that blanks in it need. */
static const char *argument_of(struct check *check, const char *word)
{
	size_t length = strlen(word);

	if (length < 2 || word[0] != '{' || word[length - 1] != '}') {
		return word;
	}
	word += 1 + strspn(word + 1, " \t");
	length = strlen(word) - 1;
	while (length > 0 && strchr(" \t", word[length - 1])) {
		length--;
	}
	return check_text(check, "%.*s", (int)length, word);
}

/* The FILE of the helper's -c FILE, in the four ways that getopt_long takes it. */
static const char *config_option(
    struct check *check, const struct service *service, unsigned argument)
{
	const char *config = NULL;

	for (; argument < service->field.n; argument++) {
		const char *word = argument_of(check, service->field.at[argument]);
		bool is_last = argument + 1 == service->field.n;

		if ((strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0) && !is_last) {
			config = argument_of(check, service->field.at[++argument]);
		} else if (strncmp(word, "--config=", 9) == 0) {
			config = word + 9;
		} else if (strncmp(word, "-c", 2) == 0) {
			config = word + 2;
		}
	}
	return config;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return strcmp(a, b) == 0 ||
	    (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static void add_limiter(struct instance *instance, struct limiter limiter)
{
	instance->limiter = table_must(
	    reallocarray(instance->limiter, instance->limiters + 1, sizeof(*instance->limiter)));
	instance->limiter[instance->limiters++] = limiter;
}

static void read_limiters(struct instance *instance)
{
	struct check *check = instance->check;

	for (size_t i = 0; i < instance->postfix.services; i++) {
		const struct service *service = &instance->postfix.service[i];
		struct limiter limiter = {
		    .service = service, .name = service->field.at[SERVICE_NAME]};
		unsigned argv = service_is(service, SERVICE_COMMAND, "spawn")
		    ? spawn_attribute(service, "argv=")
		    : 0;

		if (argv == 0) {
			continue;
		}
		limiter.program = argument_of(check, service->field.at[argv] + 5);
		if (strcmp(base_name(limiter.program), HELPER) != 0) {
			continue;
		}
		limiter.endpoint = service_is(service, SERVICE_TYPE, "inet")
		    ? check_text(check, "inet:%s%s",
			  strchr(limiter.name, ':') ? "" : "127.0.0.1:", limiter.name)
		    : check_text(check, "unix:%s/%s",
			  service_is(service, SERVICE_PRIVATE, "n") ? "public" : "private",
			  limiter.name);
		limiter.config = config_option(check, service, argv + 1);
		limiter.ours =
		    same_file(limiter.config ? limiter.config : DEFAULT_CONFIG, check->config_path);
		add_limiter(instance, limiter);
	}
}

/* The entry as it should be. */
static const char *right_entry(struct instance *instance, const struct limiter *limiter)
{
	struct check *check = instance->check;
	const struct service *service = limiter->service;
	const char *config = limiter->ours && limiter->service ? limiter->config
	    : same_file(DEFAULT_CONFIG, check->config_path)    ? NULL
							       : check->config_path;
	const char *option = "";

	if (config) {
		option = check_text(check, strpbrk(config, " \t") ? " -c {%s}" : " -c %s", config);
	}
	return check_text(check, "%s %s %s n n - 0 spawn user=%s argv=%s%s", limiter->name,
	    service ? service->field.at[SERVICE_TYPE] : "unix",
	    service ? service->field.at[SERVICE_PRIVATE] : "-", check->ctl->config.user,
	    strchr(limiter->program, '/') && access(limiter->program, X_OK) ? DEFAULT_HELPER
									    : limiter->program,
	    option);
}

static void entry_finding(struct instance *instance, const struct limiter *limiter,
    const char *what, const char *consequence)
{
	check_finding(instance->check, "%s: %s: %s: %s; write: %s", instance->master_cf,
	    limiter->name, what, consequence, right_entry(instance, limiter));
}

static void check_user(struct instance *instance, const struct limiter *limiter)
{
	struct check *check = instance->check;
	const char *user = check->ctl->config.user;
	const char *mail_owner = settings_get(&instance->postfix.main, "mail_owner");
	unsigned field = spawn_attribute(limiter->service, "user=");
	const char *value = field ? limiter->service->field.at[field] + 5 : NULL;

	if (!value) {
		entry_finding(instance, limiter,
		    "it has no user=", "spawn(8) does not start the helper, mail is not limited");
	} else if (strncmp(value, user, strlen(user)) != 0 ||
	    (value[strlen(user)] != '\0' && value[strlen(user)] != ':')) {
		entry_finding(instance, limiter,
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

static void check_entry(struct instance *instance, const struct limiter *limiter)
{
	struct check *check = instance->check;
	const struct service *service = limiter->service;
	const char *level = settings_get(&instance->postfix.main, "compatibility_level");
	bool level_0 = level && strtol(level, NULL, 10) < 1;

	check_user(instance, limiter);
	if (service_is(service, SERVICE_CHROOT, "y") ||
	    (level_0 && service_is(service, SERVICE_CHROOT, "-"))) {
		entry_finding(instance, limiter, "chroot is y",
		    "the helper can't reach its files, mail is not limited");
	}
	if (!service_is(service, SERVICE_UNPRIV, "n")) {
		entry_finding(instance, limiter, "unpriv is y",
		    "spawn(8) can't take on the account of user=, mail is not limited");
	}
	if (!service_is(service, SERVICE_MAXPROC, "0")) {
		const char *maxproc = service->field.at[SERVICE_MAXPROC];
		bool is_default = strcmp(maxproc, "-") == 0;
		const char *limit = settings_get(&instance->postfix.main, "default_process_limit");

		entry_finding(instance, limiter,
		    check_text(check, "maxproc is %s, not 0",
			is_default ? limit ? limit : "100" : maxproc),
		    "with more connections than that mail waits for a helper");
	}
	if (strchr(limiter->program, '/') && access(limiter->program, X_OK)) {
		entry_finding(instance, limiter,
		    check_text(check, "%s can't be run: %s", limiter->program, strerror(errno)),
		    "no helper is started, mail is not limited");
	}
}

static void check_time_limit(struct instance *instance, const struct limiter *limiter)
{
	struct check *check = instance->check;
	const char *name = check_text(check, "%s_time_limit", limiter->name);
	const char *value = settings_get(&limiter->service->settings, name);
	long max_ttl = instance_max_ttl(instance);
	long limit = value ? time_parse(value) : -1;

	if (limit < 0 || max_ttl < 0 || limit > max_ttl) {
		return;
	}
	check_finding(check,
	    "%s: %s is %s, not above smtpd_policy_service_max_ttl (%lds): spawn(8) ends helpers "
	    "that smtpd still asks, and mail waits; write: %s = %ld",
	    instance->main_cf, name, value, max_ttl, name,
	    max_ttl < TIME_LIMIT_S ? TIME_LIMIT_S : 2 * max_ttl);
}

/* The limiters to go on with: at least one is ours after this. */
static void check_limiters(struct instance *instance)
{
	struct check *check = instance->check;
	struct limiter *first;
	bool found = false;

	read_limiters(instance);
	for (size_t i = 0; i < instance->limiters; i++) {
		found = found || instance->limiter[i].ours;
	}
	if (found) {
		return;
	}
	if (instance->limiters > 0) {
		first = &instance->limiter[0];
		entry_finding(instance, first,
		    check_text(check, "the helper reads %s, not %s",
			first->config ? first->config : DEFAULT_CONFIG, check->config_path),
		    "what is checked here limits nothing");
		first->ours = true;
		first->config =
		    same_file(DEFAULT_CONFIG, check->config_path) ? NULL : check->config_path;
	} else {
		const char *name = instance_dangling(instance);
		struct limiter missing = {.name = name ? name : HELPER, .program = DEFAULT_HELPER};

		missing.endpoint = check_text(check, "unix:private/%s", missing.name);
		missing.ours = true;
		add_limiter(instance, missing);
		check_finding(check,
		    "%s: no service runs the helper: mail is not limited; write: %s",
		    instance->master_cf, right_entry(instance, &instance->limiter[0]));
	}
}

static void check_instance(struct instance *instance)
{
	check_limiters(instance);
	instance_find_asking(instance);
	for (size_t i = 0; i < instance->limiters; i++) {
		const struct limiter *limiter = &instance->limiter[i];

		if (limiter->ours && limiter->service) {
			check_entry(instance, limiter);
			check_time_limit(instance, limiter);
		}
	}
	instance_check_lists(instance);
}

/* Whether it is there at all that mail should be limited: asked of instances that nobody named. */
static bool concerns_us(struct instance *instance)
{
	bool concerns = instance_dangling(instance) != NULL;

	for (size_t i = 0; i < instance->postfix.services && !concerns; i++) {
		const struct service *service = &instance->postfix.service[i];
		unsigned argv = spawn_attribute(service, "argv=");

		concerns = argv && strcmp(base_name(service->field.at[argv] + 5), HELPER) == 0;
	}
	for (size_t i = 0; i < instance->callers && !concerns; i++) {
		concerns = instance->caller[i].has_users;
	}
	return concerns;
}

static void unload(struct instance *instance)
{
	for (size_t i = 0; i < instance->callers; i++) {
		for (unsigned list = 0; list < LISTS; list++) {
			words_free(&instance->caller[i].list[list]);
		}
	}
	free(instance->caller);
	free(instance->limiter);
	postfix_free(&instance->postfix);
}

/* Reads an instance. False, and a finding, if that is not possible. */
static bool load(struct check *check, struct instance *instance, const char *dir)
{
	enum postconf_result result;
	struct error error;
	const char *folder;

	*instance = (struct instance){.check = check};
	result = postfix_load(&instance->postfix, dir, &error);
	if (result != POSTCONF_OK) {
		unload(instance);
	}
	if (result == POSTCONF_MISSING) {
		check_finding(check,
		    "postconf: it is neither in PATH nor in /usr/sbin: Postfix's side was not "
		    "checked; run: PATH=$PATH:/FOLDER/OF/POSTCONF policyd-ratelimit-ctl check");
		return false;
	}
	if (result != POSTCONF_OK) {
		check_finding(check, "%s: %s: Postfix's side was not checked; run: postconf%s%s -n",
		    dir ? dir : "postfix", error.text, dir ? " -c " : "",
		    dir ? check_quote(check, dir) : "");
		return false;
	}
	folder = settings_get(&instance->postfix.main, "config_directory");
	folder = folder ? folder : dir ? dir : "/etc/postfix";
	instance->main_cf = check_text(check, "%s/main.cf", folder);
	instance->master_cf = check_text(check, "%s/master.cf", folder);
	instance_read_callers(instance);
	return true;
}

void check_postfix(struct check *check, const char *const *dir, size_t dirs)
{
	struct instance *instance = table_must(calloc(dirs + 1, sizeof(*instance)));
	struct words more = {0};
	size_t n = 0, concerned = 0;

	for (size_t i = 0; i < dirs; i++) {
		n += load(check, &instance[n], dir[i]);
	}
	if (dirs == 0 && load(check, &instance[0], NULL)) {
		const char *value =
		    settings_get(&instance[0].postfix.main, "multi_instance_directories");

		n = 1;
		more = words_split(value ? value : "", ", \t");
		instance = table_must(reallocarray(instance, more.n + 1, sizeof(*instance)));
		for (size_t i = 0; i < more.n; i++) {
			n += load(check, &instance[n], more.at[i]);
		}
		for (size_t i = 0; i < n; i++) {
			concerned += concerns_us(&instance[i]);
		}
	}
	for (size_t i = 0; i < n; i++) {
		/* An instance that only passes mail on needs no limit. */
		if (dirs > 0 || (concerned == 0 ? i == 0 : concerns_us(&instance[i]))) {
			check_instance(&instance[i]);
		}
		unload(&instance[i]);
	}
	words_free(&more);
	free(instance);
}
