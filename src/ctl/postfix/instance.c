/*
 * One instance of Postfix: see instance.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/instance.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Classes that are nested deeper are left as they are. Words beyond this number are left out. */
#define CLASS_DEPTH_MAX 4
#define WORDS_MAX 2000

const char *const instance_lists[LISTS] = {
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
};

bool instance_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return strcmp(a, b) == 0 ||
	    (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* An argument of spawn's command, without the braces that are around one with blanks. */
static const char *argument_of(struct check *check, const char *word)
{
	return *word == '{' ? words_trim(check, word, "{} \t") : word;
}

/* Reads the arguments of a spawn entry. False if it does not run the helper. */
static bool read_spawn(struct check *check, struct policy *policy)
{
	const struct words *field = &policy->service->field;
	size_t i = SERVICE_ARGUMENTS;

	for (; i < field->n && strncmp(field->at[i], "argv=", 5) != 0; i++) {
		if (strncmp(field->at[i], "user=", 5) == 0) {
			policy->user = field->at[i] + 5;
		}
	}
	if (i >= field->n) {
		return false;
	}
	policy->program = argument_of(check, field->at[i] + 5);
	policy->config = DEFAULT_CONFIG;
	/* Its -c FILE, in the four forms that getopt_long accepts. */
	while (++i < field->n) {
		const char *word = argument_of(check, field->at[i]);
		bool is_last = i + 1 == field->n;

		if ((strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0) && !is_last) {
			policy->config = argument_of(check, field->at[++i]);
		} else if (strncmp(word, "--config=", 9) == 0) {
			policy->config = word + 9;
		} else if (strncmp(word, "-c", 2) == 0 && word[2] != '\0') {
			policy->config = word + 2;
		} else if (!policy->unknown) {
			policy->unknown = word;
		}
	}
	return strcmp(basename(policy->program), HELPER) == 0;
}

static void add_policy(struct instance *instance, const struct service *service)
{
	struct check *check = instance->check;
	const char *name = service->field.at[SERVICE_NAME];
	struct policy *policy = &instance->policy[instance->policies];

	*policy = (struct policy){.service = service, .name = name, .socket = -1};
	if (!read_spawn(check, policy)) {
		return;
	}
	instance->policies++;
	if (service_is(service, SERVICE_TYPE, "inet")) {
		policy->endpoint =
		    check_text(check, "inet:%s%s", strchr(name, ':') ? "" : "127.0.0.1:", name);
	} else {
		policy->endpoint = check_text(check, "unix:%s/%s",
		    service_is(service, SERVICE_PRIVATE, "n") ? "public" : "private", name);
	}
	policy->ours = instance_same_file(policy->config, check->config_path);
	if (policy->ours && !instance->ours) {
		instance->ours = policy;
	}
}

const char *instance_endpoint(const struct instance *instance, const char *argument)
{
	const char *start = argument + strspn(argument, "{" SEPARATORS);
	const char *endpoint =
	    check_text(instance->check, "%.*s", (int)strcspn(start, "}" SEPARATORS), start);
	const char *queue = check_text(instance->check, "unix:%s/",
	    settings_text(&instance->postconf.main, "queue_directory"));

	if (strncmp(endpoint, queue, strlen(queue)) == 0) {
		return check_text(instance->check, "unix:%s", endpoint + strlen(queue));
	}
	return endpoint;
}

/* NAME in unix:private/NAME, or PORT in inet:HOST:PORT. */
static const char *last_part(const char *endpoint)
{
	const char *slash = strrchr(endpoint, strncmp(endpoint, "inet:", 5) == 0 ? ':' : '/');

	return slash ? slash + 1 : endpoint;
}

/* The NAME in an argument that seems to mean the helper but has no entry in master.cf, or NULL. */
static const char *dangling_name(const struct instance *instance, const char *argument)
{
	const char *endpoint = instance_endpoint(instance, argument);
	const char *name = last_part(endpoint);

	if ((strncmp(endpoint, "unix:private/", 13) != 0 &&
		strncmp(endpoint, "unix:public/", 12) != 0) ||
	    !strstr(name, "ratelimit")) {
		return NULL;
	}
	for (size_t i = 0; i < instance->postconf.services; i++) {
		const struct service *service = &instance->postconf.service[i];

		if (service_is(service, SERVICE_NAME, name) &&
		    !service_is(service, SERVICE_TYPE, "inet")) {
			return NULL;
		}
	}
	return name;
}

static bool is_check(const struct words *list, size_t i)
{
	return i + 1 < list->n && strcasecmp(list->at[i], "check_policy_service") == 0;
}

/* The words of the list, with those of a class for its name. */
static struct words expanded_list(
    struct check *check, const struct settings *settings, const char *name)
{
	struct words list = words_split(check, settings_text(settings, name), SEPARATORS);

	for (unsigned depth = 0; depth < CLASS_DEPTH_MAX; depth++) {
		struct words more = {.at = check_alloc(check, WORDS_MAX, sizeof(*more.at))};

		for (size_t i = 0; i < list.n && more.n < WORDS_MAX; i++) {
			/* No other word is the name of a setting. */
			const char *class = settings_get(settings, list.at[i]);
			struct words words =
			    words_split(check, class ? class : list.at[i], SEPARATORS);

			for (size_t k = 0; k < words.n && more.n < WORDS_MAX; k++) {
				more.at[more.n++] = words.at[k];
			}
		}
		list = more;
	}
	return list;
}

/*
 * Whether users log in there. On the loopback interface, where content filters return mail, only
 * if the entry itself says so.
 */
static bool has_users(const struct service *service)
{
	static const char *const loopbacks[] = {"127.", "localhost:", "[::1]:", "::1:"};
	const char *name = service->field.at[SERVICE_NAME];

	for (size_t i = 0; i < sizeof(loopbacks) / sizeof(*loopbacks); i++) {
		if (strncmp(name, loopbacks[i], strlen(loopbacks[i])) == 0 &&
		    !settings_get(&service->own, "smtpd_sasl_auth_enable")) {
			return false;
		}
	}
	return settings_is(&service->settings, "smtpd_sasl_auth_enable", "yes");
}

static void add_smtpd(struct instance *instance, const struct service *service)
{
	struct smtpd *smtpd = &instance->smtpd[instance->smtpds++];

	*smtpd = (struct smtpd){
	    .instance = instance,
	    .service = service,
	    .settings = &service->settings,
	    .has_users = has_users(service),
	};
	for (unsigned n = 0; n < LISTS; n++) {
		const struct words *list = &smtpd->list[n];

		smtpd->list[n] =
		    expanded_list(instance->check, &service->settings, instance_lists[n]);
		for (size_t i = 0; i < list->n && !instance->dangling; i++) {
			if (is_check(list, i)) {
				instance->dangling = dangling_name(instance, list->at[i + 1]);
			}
		}
	}
}

struct instance *instance_load(struct check *check, const char *dir)
{
	struct instance *instance = check_alloc(check, 1, sizeof(*instance));
	struct postconf *postconf = &instance->postconf;
	struct service *service;

	instance->check = check;
	instance->dir = dir;
	if (!postconf_load(postconf, check, dir)) {
		return NULL;
	}
	dir = dir ? dir : settings_text(&postconf->main, "config_directory");
	instance->main_cf = check_text(check, "%s/main.cf", dir);
	instance->master_cf = check_text(check, "%s/master.cf", dir);
	instance->policy = check_alloc(check, postconf->services + 1, sizeof(*instance->policy));
	instance->smtpd = check_alloc(check, postconf->services + 1, sizeof(*instance->smtpd));
	for (size_t i = 0; i < postconf->services; i++) {
		service = &postconf->service[i];
		if (service_is(service, SERVICE_COMMAND, "spawn")) {
			add_policy(instance, service);
		} else if (service_is(service, SERVICE_COMMAND, "smtpd")) {
			add_smtpd(instance, service);
		}
	}
	if (instance->smtpds == 0) {
		service = check_alloc(check, 1, sizeof(*service));
		service->field = words_split(check, "smtpd", SEPARATORS);
		service->settings = postconf->main;
		add_smtpd(instance, service);
	}
	return instance;
}

const struct policy *instance_policy_of(const struct instance *instance, const char *argument)
{
	const char *endpoint = instance_endpoint(instance, argument);

	for (size_t i = 0; i < instance->policies; i++) {
		const struct policy *policy = &instance->policy[i];

		if (strncmp(endpoint, policy->endpoint, 5) == 0 &&
		    strcmp(last_part(endpoint), last_part(policy->endpoint)) == 0) {
			return policy;
		}
	}
	/* Most likely a mistake in its name. */
	return dangling_name(instance, argument) ? instance->ours : NULL;
}

size_t instance_find_check(
    const struct instance *instance, const struct words *list, size_t i, bool ours)
{
	for (; i < list->n; i++) {
		const struct policy *policy =
		    is_check(list, i) ? instance_policy_of(instance, list->at[i + 1]) : NULL;

		if (policy && (policy->ours || !ours)) {
			break;
		}
	}
	return i;
}

bool instance_asks(const struct smtpd *smtpd, bool ours)
{
	const struct instance *instance = smtpd->instance;
	/* Also a class that no list names: access(5) tables may name it. */
	struct words classes =
	    expanded_list(instance->check, smtpd->settings, "smtpd_restriction_classes");
	bool asks = instance_find_check(instance, &classes, 0, ours) < classes.n;

	for (unsigned n = 0; n < LISTS && !asks; n++) {
		asks = instance_find_check(instance, &smtpd->list[n], 0, ours) < smtpd->list[n].n;
	}
	return asks;
}
