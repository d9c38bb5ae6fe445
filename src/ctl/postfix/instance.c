/*
 * One instance of Postfix: see instance.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/instance.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

unsigned instance_spawn_attribute(const struct service *service, const char *name)
{
	for (unsigned i = SERVICE_ARGUMENTS; i < service->field.n; i++) {
		if (strncmp(service->field.at[i], name, strlen(name)) == 0) {
			return i;
		}
		/* The rest are arguments of the command. */
		if (strncmp(service->field.at[i], "argv=", 5) == 0) {
			break;
		}
	}
	return 0;
}

/* An argument of spawn's command, without the braces that are around one with blanks. */
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

/* The FILE of -c FILE, in the four forms that getopt_long accepts. NULL if there is none. */
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

bool instance_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return strcmp(a, b) == 0 ||
	    (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

void instance_add_policy(struct instance *instance, struct policy policy)
{
	instance->policy =
	    ctl_grow(instance->policy, instance->policies, &instance->room, sizeof(policy));
	instance->policy[instance->policies++] = policy;
}

static void read_policies(struct instance *instance)
{
	struct check *check = instance->check;

	for (size_t i = 0; i < instance->postconf.services; i++) {
		const struct service *service = &instance->postconf.service[i];
		struct policy policy = {
		    .service = service, .name = service->field.at[SERVICE_NAME]};
		unsigned argv = service_is(service, SERVICE_COMMAND, "spawn")
		    ? instance_spawn_attribute(service, "argv=")
		    : 0;

		if (argv == 0) {
			continue;
		}
		policy.program = argument_of(check, service->field.at[argv] + 5);
		if (strcmp(basename(policy.program), HELPER) != 0) {
			continue;
		}
		policy.endpoint = service_is(service, SERVICE_TYPE, "inet")
		    ? check_text(check, "inet:%s%s",
			  strchr(policy.name, ':') ? "" : "127.0.0.1:", policy.name)
		    : check_text(check, "unix:%s/%s",
			  service_is(service, SERVICE_PRIVATE, "n") ? "public" : "private",
			  policy.name);
		policy.config = config_option(check, service, argv + 1);
		policy.ours = instance_same_file(
		    policy.config ? policy.config : DEFAULT_CONFIG, check->config_path);
		instance_add_policy(instance, policy);
	}
}

const char *instance_endpoint(const struct instance *instance, const char *argument)
{
	const char *queue = settings_text(&instance->postconf.main, "queue_directory");
	const char *start = argument + strspn(argument, "{" SEPARATORS);
	const char *endpoint =
	    check_text(instance->check, "%.*s", (int)strcspn(start, "}" SEPARATORS), start);
	size_t length = strlen(queue);

	if (*queue && strncmp(endpoint, "unix:/", 6) == 0 &&
	    strncmp(endpoint + 5, queue, length) == 0 && endpoint[5 + length] == '/') {
		return check_text(instance->check, "unix:%s", endpoint + 5 + length + 1);
	}
	return endpoint;
}

/* NAME in unix:private/NAME, or PORT in inet:HOST:PORT. */
static const char *last_part(const char *endpoint)
{
	const char *slash = strrchr(endpoint, strncmp(endpoint, "inet:", 5) == 0 ? ':' : '/');

	return slash ? slash + 1 : endpoint;
}

const char *instance_dangling(const struct instance *instance, const char *endpoint)
{
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

const struct policy *instance_policy_of(const struct instance *instance, const char *argument)
{
	const char *endpoint = instance_endpoint(instance, argument);
	const struct policy *ours = NULL;

	for (size_t i = 0; i < instance->policies; i++) {
		const struct policy *policy = &instance->policy[i];

		if (strncmp(endpoint, policy->endpoint, 5) == 0 &&
		    strcmp(last_part(endpoint), last_part(policy->endpoint)) == 0) {
			return policy;
		}
		ours = policy->ours && !ours ? policy : ours;
	}
	/* Most likely a mistake in its name. */
	return instance_dangling(instance, endpoint) ? ours : NULL;
}

void instance_free(struct instance *instance)
{
	for (size_t i = 0; i < instance->smtpds; i++) {
		for (unsigned list = 0; list < LISTS; list++) {
			words_free(&instance->smtpd[i].list[list]);
		}
	}
	free(instance->smtpd);
	free(instance->policy);
	postconf_free(&instance->postconf);
}

bool instance_load(struct instance *instance, struct check *check, const char *dir)
{
	enum postconf_result result;
	struct error error;
	const char *folder;

	*instance = (struct instance){.check = check};
	result = postconf_load(&instance->postconf, dir, &error);
	if (result != POSTCONF_OK) {
		instance_free(instance);
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
	folder = settings_get(&instance->postconf.main, "config_directory");
	folder = folder ? folder : dir ? dir : "/etc/postfix";
	instance->main_cf = check_text(check, "%s/main.cf", folder);
	instance->master_cf = check_text(check, "%s/master.cf", folder);
	read_policies(instance);
	return true;
}
