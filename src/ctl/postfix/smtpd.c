/*
 * The smtpd services of an instance: see smtpd.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/smtpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Classes that are nested deeper, and words beyond this number, are left as they are. */
#define CLASS_DEPTH_MAX 4
#define WORDS_MAX 2000

const char *const smtpd_lists[LISTS] = {
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

/* Writes the words of value, with those of a class for its name, at most budget of them. */
static void expand(FILE *out, const struct settings *settings, const struct words *classes,
    const char *value, unsigned *budget, unsigned depth)
{
	struct words words = words_split(value, SEPARATORS);

	for (size_t i = 0; *budget > 0 && i < words.n; i++) {
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
 * Whether users log in there. On the loopback interface, where content filters return mail, only
 * if the entry itself says so.
 */
static bool has_users(const struct postconf *postconf, const struct smtpd *smtpd)
{
	static const char *const loopbacks[] = {"127.", "localhost:", "[::1]:", "::1:"};

	if (!settings_yes(smtpd->settings, "smtpd_sasl_auth_enable")) {
		return false;
	}
	for (size_t i = 0; smtpd->service && i < sizeof(loopbacks) / sizeof(*loopbacks); i++) {
		if (strncmp(smtpd->service->field.at[SERVICE_NAME], loopbacks[i],
			strlen(loopbacks[i])) == 0) {
			return postconf_own(postconf, smtpd->service, "smtpd_sasl_auth_enable");
		}
	}
	return true;
}

static void add_smtpd(struct instance *instance, const struct service *service)
{
	struct smtpd *smtpd = &instance->smtpd[instance->smtpds++];

	*smtpd = (struct smtpd){.service = service,
	    .settings = service ? &service->settings : &instance->postconf.main};
	smtpd->has_users = has_users(&instance->postconf, smtpd);
	for (unsigned n = 0; n < LISTS; n++) {
		smtpd->list[n] = expanded_list(smtpd->settings, smtpd_lists[n]);
	}
}

void smtpd_read(struct instance *instance)
{
	struct postconf *postconf = &instance->postconf;

	instance->smtpd = ctl_must(calloc(postconf->services + 1, sizeof(*instance->smtpd)));
	for (size_t i = 0; i < postconf->services; i++) {
		if (service_is(&postconf->service[i], SERVICE_COMMAND, "smtpd")) {
			add_smtpd(instance, &postconf->service[i]);
		}
	}
	if (instance->smtpds == 0) {
		add_smtpd(instance, NULL);
	}
}

const char *smtpd_dangling(const struct instance *instance)
{
	for (size_t i = 0; i < instance->smtpds; i++) {
		for (unsigned list = 0; list < LISTS; list++) {
			const struct words *words = &instance->smtpd[i].list[list];

			for (size_t j = 0; j < words->n; j++) {
				const char *name = is_check(words, j)
				    ? instance_dangling(
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

size_t smtpd_find_check(
    const struct instance *instance, const struct words *list, size_t i, bool ours)
{
	for (; i < list->n; i++) {
		const struct policy *policy =
		    is_check(list, i) ? instance_policy_of(instance, list->at[i + 1]) : NULL;

		if (policy && (policy->ours || !ours)) {
			return i;
		}
	}
	return list->n;
}

/* Also a class that no list names: access(5) tables may name it. */
static bool a_class_asks(
    const struct instance *instance, const struct settings *settings, bool ours)
{
	struct words classes =
	    words_split(settings_text(settings, "smtpd_restriction_classes"), SEPARATORS);
	bool asks = false;

	for (size_t i = 0; i < classes.n && !asks; i++) {
		struct words words =
		    words_split(settings_text(settings, classes.at[i]), SEPARATORS);

		asks = smtpd_find_check(instance, &words, 0, ours) < words.n;
		words_free(&words);
	}
	words_free(&classes);
	return asks;
}

void smtpd_find_asking(struct instance *instance)
{
	for (size_t i = 0; i < instance->smtpds; i++) {
		struct smtpd *smtpd = &instance->smtpd[i];

		smtpd->asks = a_class_asks(instance, smtpd->settings, false);
		smtpd->asks_ours = a_class_asks(instance, smtpd->settings, true);
		for (unsigned n = 0; n < LISTS; n++) {
			const struct words *list = &smtpd->list[n];

			smtpd->asks |= smtpd_find_check(instance, list, 0, false) < list->n;
			smtpd->asks_ours |= smtpd_find_check(instance, list, 0, true) < list->n;
		}
	}
}
