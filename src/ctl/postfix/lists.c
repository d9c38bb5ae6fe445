/*
 * Findings in the restriction lists of smtpd: see lists.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/lists.h"

#include "ctl/postfix/smtpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The default of smtpd_policy_service_default_action, which a client gets without a helper. */
#define STOCK_DEFAULT_ACTION "451 4.3.5 Server configuration problem"

static bool is_one_of(const char *word, const char *const *words)
{
	for (; *words; words++) {
		if (strcasecmp(word, *words) == 0) {
			return true;
		}
	}
	return false;
}

/* Whether the restriction ends a list, for some clients or for all. */
static bool is_end(const char *word)
{
	static const char *const ends[] = {"permit", "reject", "defer", NULL};

	return strncasecmp(word, "permit_", 7) == 0 || is_one_of(word, ends);
}

/* Whether the restriction rejects strangers who want to relay. */
static bool is_relay_decision(const char *word)
{
	static const char *const decisions[] = {
	    "reject_unauth_destination", "defer_unauth_destination", "reject", "defer", NULL};

	return is_one_of(word, decisions);
}

/* The list as text after front, without the two words of a check at skip, with other at place. */
static const char *list_text(struct check *check, const char *front, const struct words *list,
    size_t skip, size_t place, const char *other)
{
	char *buffer = NULL;
	size_t size;
	FILE *out = ctl_must(open_memstream(&buffer, &size));
	const char *text;

	fputs(front, out);
	for (size_t i = 0; i < list->n; i++) {
		const char *word = i == place ? other : list->at[i];
		/* Unlike names of restrictions, arguments have other characters than these. */
		bool is_argument = word[strspn(word, "abcdefghijklmnopqrstuvwxyz_")] != '\0';

		if (i != skip && i != skip + 1) {
			fprintf(out, "%s%s", ftell(out) == 0 ? "" : is_argument ? " " : ", ", word);
		}
	}
	fclose(out);
	text = check_text(check, "%s", (const char *)ctl_must(buffer));
	free(buffer);
	return text;
}

#define NO_WORD ((size_t)-2)

/* "main.cf: LIST", or "master.cf: SERVICE: LIST" if the entry has its own. */
static const char *where(
    const struct instance *instance, const struct smtpd *smtpd, const char *name)
{
	if (smtpd->service && postconf_own(&instance->postconf, smtpd->service, name)) {
		return check_text(instance->check, "%s: %s: %s", instance->master_cf,
		    smtpd->service->field.at[SERVICE_NAME], name);
	}
	return check_text(instance->check, "%s: %s", instance->main_cf, name);
}

/* The line that sets it: in main.cf, or below the entry if that has its own setting. */
static const char *setting(const struct instance *instance, const struct smtpd *smtpd,
    const char *name, const char *value, bool own)
{
	if (!own && !(smtpd->service && postconf_own(&instance->postconf, smtpd->service, name))) {
		return check_text(
		    instance->check, "write: %s =%s%s", name, *value ? " " : "", value);
	}
	return *value ? check_text(instance->check, "write: -o { %s = %s }", name, value)
		      : check_text(instance->check, "write: -o %s=", name);
}

static const char *check_words(const struct instance *instance, const struct policy *policy)
{
	return check_text(
	    instance->check, "check_policy_service { %s, default_action=DUNNO }", policy->endpoint);
}

static const struct policy *our_policy(const struct instance *instance)
{
	const struct policy *policy = instance->policy;

	while (!policy->ours) {
		policy++;
	}
	return policy;
}

/* The line that puts a check in front of the list. */
static const char *setting_with_check(const struct instance *instance, const struct smtpd *smtpd,
    unsigned list, const struct policy *policy, bool own)
{
	return setting(instance, smtpd, smtpd_lists[list],
	    list_text(instance->check, check_words(instance, policy), &smtpd->list[list], NO_WORD,
		NO_WORD, NULL),
	    own);
}

static bool asks_elsewhere(
    const struct instance *instance, const char *argument, const struct policy *policy)
{
	const char *endpoint = instance_endpoint(instance, argument);

	return strncmp(endpoint, "unix:", 5) == 0 && strcmp(endpoint, policy->endpoint) != 0;
}

static bool lacks_action(const struct smtpd *smtpd, const char *argument)
{
	return !strstr(argument, "default_action") &&
	    strcmp(settings_text(smtpd->settings, "smtpd_policy_service_default_action"),
		STOCK_DEFAULT_ACTION) == 0;
}

/* The argument of a check as it should be. Every repair of a list writes it so. */
static const char *right_argument(const struct instance *instance, const struct smtpd *smtpd,
    const char *argument, const struct policy *policy)
{
	size_t start = strspn(argument, "{ \t");
	size_t length = strcspn(argument + start, "}");

	if (asks_elsewhere(instance, argument, policy)) {
		return check_text(
		    instance->check, "{ %s, default_action=DUNNO }", policy->endpoint);
	}
	if (!lacks_action(smtpd, argument)) {
		return argument;
	}
	while (length > 0 && strchr(SEPARATORS, argument[start + length - 1])) {
		length--;
	}
	return check_text(
	    instance->check, "{ %.*s, default_action=DUNNO }", (int)length, argument + start);
}

/* How a check names the helper, and whether it has a default action. */
static void check_argument(const struct instance *instance, const struct smtpd *smtpd, unsigned n,
    size_t i, const struct policy *policy)
{
	struct check *check = instance->check;
	const struct words *list = &smtpd->list[n];
	const char *argument = list->at[i + 1];
	const char *at = where(instance, smtpd, smtpd_lists[n]);
	const char *repair = setting(instance, smtpd, smtpd_lists[n],
	    list_text(
		check, "", list, NO_WORD, i + 1, right_argument(instance, smtpd, argument, policy)),
	    false);

	if (asks_elsewhere(instance, argument, policy)) {
		check_finding(check,
		    "%s: it asks %s, but the service is %s: nothing answers there, mail is not "
		    "limited; %s",
		    at, instance_endpoint(instance, argument), policy->endpoint, repair);
	} else if (lacks_action(smtpd, argument)) {
		check_finding(check,
		    "%s: check_policy_service without default_action: no mail is taken when the "
		    "helper can't be started; %s",
		    at, repair);
	}
}

/* Whether restrictions before the check end the list. */
static void check_reached(const struct instance *instance, const struct smtpd *smtpd, unsigned n,
    size_t i, const struct policy *policy)
{
	struct check *check = instance->check;
	const struct words *list = &smtpd->list[n];
	const char *ends = "";
	const char *front;

	for (size_t before = 0; before < i; before++) {
		if (strcasecmp(list->at[before], "warn_if_reject") == 0) {
			before++;
		} else if (is_end(list->at[before])) {
			ends =
			    check_text(check, "%s%s%s", ends, *ends ? ", " : "", list->at[before]);
		}
	}
	if (*ends) {
		front = check_text(check, "%s %s", list->at[i],
		    right_argument(instance, smtpd, list->at[i + 1], policy));
		check_finding(check,
		    "%s: check_policy_service comes after %s: clients for which that ends the "
		    "list are not limited; %s",
		    where(instance, smtpd, smtpd_lists[n]), ends,
		    setting(instance, smtpd, smtpd_lists[n],
			list_text(check, front, list, i, NO_WORD, NULL), false));
	}
}

/* Whether a list rejects strangers before its word at end. */
static bool decides(const struct words *list, size_t end)
{
	for (size_t i = 0; i < end; i++) {
		if (strcasecmp(list->at[i], "warn_if_reject") == 0) {
			i++;
		} else if (strcasecmp(list->at[i], "permit") == 0) {
			return false;
		} else if (is_relay_decision(list->at[i])) {
			return true;
		}
	}
	return false;
}

static bool relay_list_is_first(const struct smtpd *smtpd)
{
	return settings_yes(smtpd->settings, "smtpd_relay_before_recipient_restrictions");
}

/* Whether the check at i of list n comes after the decision on who may relay. */
static bool comes_after_decision(const struct smtpd *smtpd, unsigned n, size_t i)
{
	if (n >= LIST_DATA || decides(&smtpd->list[n], i)) {
		return true;
	}
	for (unsigned before = 0; before < LIST_DATA; before++) {
		bool is_before = before < n;

		/* The order of these two is a setting. */
		if (before + n == LIST_RELAY + LIST_RECIPIENT) {
			is_before = (before == LIST_RELAY) == relay_list_is_first(smtpd);
		}
		if (is_before && decides(&smtpd->list[before], smtpd->list[before].n)) {
			return true;
		}
	}
	return false;
}

static void check_order(const struct instance *instance, const struct smtpd *smtpd, unsigned n,
    size_t i, const struct policy *policy)
{
	static const char relay_first[] = "smtpd_relay_before_recipient_restrictions";
	struct check *check = instance->check;
	const struct words *list = &smtpd->list[n];
	bool too_early = n < LIST_RELAY &&
	    strcasecmp(settings_text(smtpd->settings, "smtpd_delay_reject"), "no") == 0;
	const struct words *data = &smtpd->list[LIST_DATA];
	const char *repair;

	if (!too_early && comes_after_decision(smtpd, n, i)) {
		return;
	}
	if (n == LIST_RECIPIENT && !decides(&smtpd->list[LIST_RELAY], smtpd->list[LIST_RELAY].n)) {
		repair = setting(instance, smtpd, smtpd_lists[LIST_RELAY],
		    "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
		    false);
	} else if (n == LIST_RECIPIENT && settings_get(smtpd->settings, relay_first)) {
		repair = setting(instance, smtpd, relay_first, "yes", false);
	} else {
		repair = setting(instance, smtpd, smtpd_lists[n],
		    list_text(check, "", list, i, NO_WORD, NULL), false);
		if (smtpd_find_check(instance, data, 0, true) == data->n) {
			repair = check_text(check, "%s; %s", repair,
			    setting_with_check(instance, smtpd, LIST_DATA, policy, false));
		}
	}
	check_finding(check, "%s: check_policy_service %s; %s",
	    where(instance, smtpd, smtpd_lists[n]),
	    too_early ? "with smtpd_delay_reject = no: it is asked before there is a recipient, "
			"nothing is counted"
		      : "stands before reject_unauth_destination: strangers who try to relay are "
			"counted before they are rejected",
	    repair);
}

static void check_smtpd(const struct instance *instance, const struct smtpd *smtpd)
{
	for (unsigned n = 0; n < LISTS; n++) {
		const struct words *list = &smtpd->list[n];

		for (size_t i = 0; (i = smtpd_find_check(instance, list, i, true)) < list->n; i++) {
			const struct policy *policy = instance_policy_of(instance, list->at[i + 1]);

			check_argument(instance, smtpd, n, i, policy);
			check_reached(instance, smtpd, n, i, policy);
			check_order(instance, smtpd, n, i, policy);
		}
	}
}

/* Only the last list knows the size of a message. */
static void check_bytes(const struct instance *instance)
{
	const struct ctl *ctl = instance->check->ctl;
	const struct rule *rule = NULL;
	bool anywhere = false;

	for (size_t i = 0; i < ctl->config.rules && !ctl->config_is_bad && !rule; i++) {
		rule = ctl->config.rule[i].count == COUNT_BYTES ? &ctl->config.rule[i] : NULL;
	}
	for (size_t i = 0; i < instance->smtpds; i++) {
		const struct words *list = &instance->smtpd[i].list[LIST_END];

		anywhere = anywhere || smtpd_find_check(instance, list, 0, true) < list->n;
	}
	for (size_t i = 0; i < instance->smtpds && rule; i++) {
		const struct smtpd *smtpd = &instance->smtpd[i];
		const struct words *list = &smtpd->list[LIST_END];

		if (!smtpd->asks_ours || (anywhere && !smtpd->has_users) ||
		    smtpd_find_check(instance, list, 0, true) < list->n) {
			continue;
		}
		check_finding(instance->check,
		    "%s: no check_policy_service: rule %s, count = bytes, never counts anything; "
		    "%s",
		    where(instance, smtpd, smtpd_lists[LIST_END]), rule->name,
		    setting_with_check(instance, smtpd, LIST_END, our_policy(instance), anywhere));
	}
}

/* The list of main.cf that has a check but is replaced by the entry's own -o; LISTS if none. */
static unsigned replaced_list(const struct instance *instance, const struct smtpd *smtpd)
{
	unsigned n;

	for (n = 0; smtpd->service && n < LISTS; n++) {
		struct words words = words_split(
		    settings_text(&instance->postconf.main, smtpd_lists[n]), SEPARATORS);
		bool asks = smtpd_find_check(instance, &words, 0, true) < words.n;

		words_free(&words);
		if (asks && postconf_own(&instance->postconf, smtpd->service, smtpd_lists[n])) {
			return n;
		}
	}
	return LISTS;
}

static void check_who_asks(const struct instance *instance)
{
	const struct policy *policy = our_policy(instance);
	bool anybody = false, named = false;

	for (size_t i = 0; i < instance->smtpds; i++) {
		anybody = anybody || instance->smtpd[i].asks_ours;
	}
	for (size_t i = 0; i < instance->smtpds; i++) {
		const struct smtpd *smtpd = &instance->smtpd[i];
		unsigned list = replaced_list(instance, smtpd);
		const char *name;

		if (smtpd->asks || (anybody ? !smtpd->has_users : list == LISTS)) {
			continue;
		}
		named = true;
		name = smtpd->service ? smtpd->service->field.at[SERVICE_NAME] : "smtpd";
		if (list < LISTS) {
			check_finding(instance->check,
			    "%s: %s: its own %s has no check_policy_service, and replaces that of "
			    "main.cf: what is sent there is not limited; %s",
			    instance->master_cf, name, smtpd_lists[list],
			    setting_with_check(instance, smtpd, list, policy, true));
		} else {
			check_finding(instance->check,
			    "%s: %s: users can log in, and no list has check_policy_service: what "
			    "they send there is not limited; %s",
			    instance->master_cf, name,
			    setting_with_check(instance, smtpd, LIST_DATA, policy, true));
		}
	}
	if (!anybody && !named) {
		check_finding(instance->check,
		    "%s: no list has check_policy_service for %s: mail is not limited; %s",
		    instance->main_cf, policy->endpoint,
		    setting_with_check(instance, &instance->smtpd[0], LIST_DATA, policy, false));
	}
}

void lists_check(const struct instance *instance)
{
	check_who_asks(instance);
	for (size_t i = 0; i < instance->smtpds; i++) {
		check_smtpd(instance, &instance->smtpd[i]);
	}
	check_bytes(instance);
}
