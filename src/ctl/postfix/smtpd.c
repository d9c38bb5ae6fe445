/*
 * The smtpd services and their restriction lists, for the command check: which of them
 * ask a helper, and whose. What is wrong there is ctl_postfix_lists.c's business.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/postfix.h"

#include "ctl/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Classes in classes in classes, and lists longer than this, are left as they are. */
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

static bool is_check(const struct words *list, size_t i)
{
	return i + 1 < list->n && strcasecmp(list->at[i], "check_policy_service") == 0;
}

const char *settings_text(const struct settings *settings, const char *name)
{
	const char *value = settings_get(settings, name);

	return value ? value : "";
}

bool settings_yes(const struct settings *settings, const char *name)
{
	return strcasecmp(settings_text(settings, name), "yes") == 0;
}

/* Writes the words of value, and those of a class instead of its name, budget of them at most. */
static void expand(FILE *out, const struct settings *settings, const struct words *classes,
    const char *value, unsigned *budget, unsigned depth)
{
	struct words words = words_split(value, SEPARATORS);

	for (size_t i = 0; i<words.n && * budget> 0; i++) {
		const char *content = NULL;

		--*budget;
		for (size_t k = 0; k < classes->n && depth < CLASS_DEPTH_MAX && !content; k++) {
			if (strcmp(classes->at[k], words.at[i]) == 0) {
				content = settings_text(settings, words.at[i]);
			}
		}
		if (content) {
			expand(out, settings, classes, content, budget, depth + 1);
		} else {
			fprintf(out, "%s ", words.at[i]);
		}
	}
	words_free(&words);
}

static struct words expanded_list(const struct settings *settings, const char *name)
{
	struct words classes =
	    words_split(settings_text(settings, "smtpd_restriction_classes"), SEPARATORS);
	unsigned budget = WORDS_MAX;
	struct words list;
	char *text = NULL;
	size_t size;
	FILE *out = ctl_must(open_memstream(&text, &size));

	expand(out, settings, &classes, settings_text(settings, name), &budget, 0);
	fclose(out);
	list = words_split(ctl_must(text), SEPARATORS);
	free(text);
	words_free(&classes);
	return list;
}

/*
 * Whether people log in there. One on the loopback interface, where content filters hand
 * mail back, counts only if its entry says so.
 */
static bool has_users(const struct postfix *postfix, const struct caller *caller)
{
	static const char *const loopbacks[] = {"127.", "localhost:", "[::1]:", "::1:"};

	if (!settings_yes(caller->settings, "smtpd_sasl_auth_enable")) {
		return false;
	}
	for (size_t i = 0; caller->service && i < sizeof(loopbacks) / sizeof(*loopbacks); i++) {
		if (strncmp(caller->service->field.at[SERVICE_NAME], loopbacks[i],
			strlen(loopbacks[i])) == 0) {
			return postfix_own(postfix, caller->service, "smtpd_sasl_auth_enable");
		}
	}
	return true;
}

static void add_caller(struct instance *instance, const struct service *service)
{
	struct caller *caller = &instance->caller[instance->callers++];

	*caller = (struct caller){
	    .service = service, .settings = service ? &service->settings : &instance->postfix.main};
	caller->has_users = has_users(&instance->postfix, caller);
	for (unsigned n = 0; n < LISTS; n++) {
		caller->list[n] = expanded_list(caller->settings, instance_lists[n]);
	}
}

void instance_read_callers(struct instance *instance)
{
	struct postfix *postfix = &instance->postfix;

	instance->caller = ctl_must(calloc(postfix->services + 1, sizeof(*instance->caller)));
	for (size_t i = 0; i < postfix->services; i++) {
		if (service_is(&postfix->service[i], SERVICE_COMMAND, "smtpd")) {
			add_caller(instance, &postfix->service[i]);
		}
	}
	if (instance->callers == 0) {
		add_caller(instance, NULL);
	}
}

const char *instance_endpoint(const struct instance *instance, const char *argument)
{
	const char *queue = settings_text(&instance->postfix.main, "queue_directory");
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

/* NAME of unix:private/NAME, the port of inet:host:port. */
static const char *last_part(const char *endpoint)
{
	const char *slash = strrchr(endpoint, strncmp(endpoint, "inet:", 5) == 0 ? ':' : '/');

	return slash ? slash + 1 : endpoint;
}

/* A name like the helper's in unix:private/ or public/ that no entry of master.cf has. */
static const char *dangling(const struct instance *instance, const char *endpoint)
{
	const char *name = last_part(endpoint);

	if ((strncmp(endpoint, "unix:private/", 13) != 0 &&
		strncmp(endpoint, "unix:public/", 12) != 0) ||
	    !strstr(name, "ratelimit")) {
		return NULL;
	}
	for (size_t i = 0; i < instance->postfix.services; i++) {
		const struct service *service = &instance->postfix.service[i];

		if (service_is(service, SERVICE_NAME, name) &&
		    !service_is(service, SERVICE_TYPE, "inet")) {
			return NULL;
		}
	}
	return name;
}

const char *instance_dangling(const struct instance *instance)
{
	for (size_t i = 0; i < instance->callers; i++) {
		for (unsigned list = 0; list < LISTS; list++) {
			const struct words *words = &instance->caller[i].list[list];

			for (size_t j = 0; j < words->n; j++) {
				const char *name = is_check(words, j)
				    ? dangling(
					  instance, instance_endpoint(instance, words->at[j + 1]))
				    : NULL;

				if (name) {
					return name;
				}
			}
		}
	}
	return NULL;
}

const struct limiter *instance_limiter_of(const struct instance *instance, const char *argument)
{
	const char *endpoint = instance_endpoint(instance, argument);
	const struct limiter *ours = NULL;

	for (size_t i = 0; i < instance->limiters; i++) {
		const struct limiter *limiter = &instance->limiter[i];

		if (strncmp(endpoint, limiter->endpoint, 5) == 0 &&
		    strcmp(last_part(endpoint), last_part(limiter->endpoint)) == 0) {
			return limiter;
		}
		ours = limiter->ours && !ours ? limiter : ours;
	}
	/* Most likely a slip. */
	return dangling(instance, endpoint) ? ours : NULL;
}

size_t instance_find_check(
    const struct instance *instance, const struct words *list, size_t i, bool ours)
{
	for (; i < list->n; i++) {
		const struct limiter *limiter =
		    is_check(list, i) ? instance_limiter_of(instance, list->at[i + 1]) : NULL;

		if (limiter && (limiter->ours || !ours)) {
			return i;
		}
	}
	return list->n;
}

/* Tables that access(5) describes may name a class too. */
static bool a_class_asks(
    const struct instance *instance, const struct settings *settings, bool ours)
{
	struct words classes =
	    words_split(settings_text(settings, "smtpd_restriction_classes"), SEPARATORS);
	bool asks = false;

	for (size_t i = 0; i < classes.n && !asks; i++) {
		struct words words =
		    words_split(settings_text(settings, classes.at[i]), SEPARATORS);

		asks = instance_find_check(instance, &words, 0, ours) < words.n;
		words_free(&words);
	}
	words_free(&classes);
	return asks;
}

void instance_find_asking(struct instance *instance)
{
	for (size_t i = 0; i < instance->callers; i++) {
		struct caller *caller = &instance->caller[i];

		caller->asks = a_class_asks(instance, caller->settings, false);
		caller->asks_ours = a_class_asks(instance, caller->settings, true);
		for (unsigned n = 0; n < LISTS; n++) {
			const struct words *list = &caller->list[n];

			caller->asks |= instance_find_check(instance, list, 0, false) < list->n;
			caller->asks_ours |= instance_find_check(instance, list, 0, true) < list->n;
		}
	}
}

long instance_max_ttl(const struct instance *instance)
{
	return time_parse(settings_text(&instance->postfix.main, "smtpd_policy_service_max_ttl"));
}
