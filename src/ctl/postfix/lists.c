/*
 * Findings in the restriction lists of smtpd, for the command check: whether they ask the
 * helper, and in a place where that does something.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/postfix.h"

#include "ctl/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of smtpd_policy_service_default_action: what a client gets when there is no helper. */
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

/* What ends a list for some clients or for all, so that what stands behind is not reached. */
static bool is_end(const char *word)
{
	static const char *const ends[] = {"permit", "reject", "defer", NULL};

	return strncasecmp(word, "permit_", 7) == 0 || is_one_of(word, ends);
}

/* What turns strangers away who want to relay. */
static bool is_relay_decision(const char *word)
{
	static const char *const decisions[] = {
	    "reject_unauth_destination", "defer_unauth_destination", "reject", "defer", NULL};

	return is_one_of(word, decisions);
}

/* The list as text, without the two words of a check at skip, and with another word at place. */
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
		/* Arguments, unlike restrictions, have other characters in them than these. */
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

/* "FILE: LIST", and " of SERVICE" where it is the entry's own. */
static const char *where(
    const struct instance *instance, const struct caller *caller, const char *name)
{
	if (caller->service && postfix_own(&instance->postfix, caller->service, name)) {
		return check_text(instance->check, "%s: %s: %s", instance->master_cf,
		    caller->service->field.at[SERVICE_NAME], name);
	}
	return check_text(instance->check, "%s: %s", instance->main_cf, name);
}

/* The line that sets it: in main.cf, or under the entry if that has a setting of its own. */
static const char *setting(const struct instance *instance, const struct caller *caller,
    const char *name, const char *value, bool own)
{
	if (!own && !(caller->service && postfix_own(&instance->postfix, caller->service, name))) {
		return check_text(
		    instance->check, "write: %s =%s%s", name, *value ? " " : "", value);
	}
	return *value ? check_text(instance->check, "write: -o { %s = %s }", name, value)
		      : check_text(instance->check, "write: -o %s=", name);
}

static const char *check_words(const struct instance *instance, const struct limiter *limiter)
{
	return check_text(instance->check, "check_policy_service { %s, default_action=DUNNO }",
	    limiter->endpoint);
}

static const struct limiter *our_limiter(const struct instance *instance)
{
	const struct limiter *limiter = instance->limiter;

	while (!limiter->ours) {
		limiter++;
	}
	return limiter;
}

/* The line that puts a check in front of the list. */
static const char *setting_with_check(const struct instance *instance, const struct caller *caller,
    unsigned list, const struct limiter *limiter, bool own)
{
	return setting(instance, caller, instance_lists[list],
	    list_text(instance->check, check_words(instance, limiter), &caller->list[list], NO_WORD,
		NO_WORD, NULL),
	    own);
}

static bool asks_elsewhere(
    const struct instance *instance, const char *argument, const struct limiter *limiter)
{
	const char *endpoint = instance_endpoint(instance, argument);

	return strncmp(endpoint, "unix:", 5) == 0 && strcmp(endpoint, limiter->endpoint) != 0;
}

static bool lacks_action(const struct caller *caller, const char *argument)
{
	return !strstr(argument, "default_action") &&
	    strcmp(settings_text(caller->settings, "smtpd_policy_service_default_action"),
		STOCK_DEFAULT_ACTION) == 0;
}

/* The argument of a check as it should be; every line that mends a list has it so. */
static const char *right_argument(const struct instance *instance, const struct caller *caller,
    const char *argument, const struct limiter *limiter)
{
	size_t start = strspn(argument, "{ \t");
	size_t length = strcspn(argument + start, "}");

	if (asks_elsewhere(instance, argument, limiter)) {
		return check_text(
		    instance->check, "{ %s, default_action=DUNNO }", limiter->endpoint);
	}
	if (!lacks_action(caller, argument)) {
		return argument;
	}
	while (length > 0 && strchr(SEPARATORS, argument[start + length - 1])) {
		length--;
	}
	return check_text(
	    instance->check, "{ %.*s, default_action=DUNNO }", (int)length, argument + start);
}

/* How a check names the helper, and what happens where there is none. */
static void check_argument(const struct instance *instance, const struct caller *caller, unsigned n,
    size_t i, const struct limiter *limiter)
{
	struct check *check = instance->check;
	const struct words *list = &caller->list[n];
	const char *argument = list->at[i + 1];
	const char *at = where(instance, caller, instance_lists[n]);
	const char *mend = setting(instance, caller, instance_lists[n],
	    list_text(check, "", list, NO_WORD, i + 1,
		right_argument(instance, caller, argument, limiter)),
	    false);

	if (asks_elsewhere(instance, argument, limiter)) {
		check_finding(check,
		    "%s: it asks %s, and the service is %s: nobody answers there, mail is not "
		    "limited; %s",
		    at, instance_endpoint(instance, argument), limiter->endpoint, mend);
	} else if (lacks_action(caller, argument)) {
		check_finding(check,
		    "%s: check_policy_service without default_action: no mail is taken when the "
		    "helper can't be started; %s",
		    at, mend);
	}
}

/* Restrictions in front of the check that end the list. */
static void check_reached(const struct instance *instance, const struct caller *caller, unsigned n,
    size_t i, const struct limiter *limiter)
{
	struct check *check = instance->check;
	const struct words *list = &caller->list[n];
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
		    right_argument(instance, caller, list->at[i + 1], limiter));
		check_finding(check,
		    "%s: check_policy_service stands behind %s: never reached for those that this "
		    "ends the list for, they are not limited; %s",
		    where(instance, caller, instance_lists[n]), ends,
		    setting(instance, caller, instance_lists[n],
			list_text(check, front, list, i, NO_WORD, NULL), false));
	}
}

/* Whether a list turns strangers away before word end. */
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

static bool relay_list_is_first(const struct caller *caller)
{
	return settings_yes(caller->settings, "smtpd_relay_before_recipient_restrictions");
}

/* Whether the check at i of list n comes after the decision who may relay. */
static bool comes_after_decision(const struct caller *caller, unsigned n, size_t i)
{
	if (n >= LIST_DATA || decides(&caller->list[n], i)) {
		return true;
	}
	for (unsigned before = 0; before < LIST_DATA; before++) {
		bool is_before = before < n;

		/* The only two whose order can be chosen. */
		if (before + n == LIST_RELAY + LIST_RECIPIENT) {
			is_before = (before == LIST_RELAY) == relay_list_is_first(caller);
		}
		if (is_before && decides(&caller->list[before], caller->list[before].n)) {
			return true;
		}
	}
	return false;
}

static void check_order(const struct instance *instance, const struct caller *caller, unsigned n,
    size_t i, const struct limiter *limiter)
{
	static const char relay_first[] = "smtpd_relay_before_recipient_restrictions";
	struct check *check = instance->check;
	const struct words *list = &caller->list[n];
	bool too_early = n < LIST_RELAY &&
	    strcasecmp(settings_text(caller->settings, "smtpd_delay_reject"), "no") == 0;
	const struct words *data = &caller->list[LIST_DATA];
	const char *mend;

	if (!too_early && comes_after_decision(caller, n, i)) {
		return;
	}
	if (n == LIST_RECIPIENT &&
	    !decides(&caller->list[LIST_RELAY], caller->list[LIST_RELAY].n)) {
		mend = setting(instance, caller, instance_lists[LIST_RELAY],
		    "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
		    false);
	} else if (n == LIST_RECIPIENT && settings_get(caller->settings, relay_first)) {
		mend = setting(instance, caller, relay_first, "yes", false);
	} else {
		mend = setting(instance, caller, instance_lists[n],
		    list_text(check, "", list, i, NO_WORD, NULL), false);
		if (instance_find_check(instance, data, 0, true) == data->n) {
			mend = check_text(check, "%s; %s", mend,
			    setting_with_check(instance, caller, LIST_DATA, limiter, false));
		}
	}
	check_finding(check, "%s: check_policy_service %s; %s",
	    where(instance, caller, instance_lists[n]),
	    too_early ? "with smtpd_delay_reject = no: it is asked before there is a recipient, "
			"nothing is counted"
		      : "stands before reject_unauth_destination: strangers who try to relay are "
			"counted before they are refused",
	    mend);
}

static void check_caller(const struct instance *instance, const struct caller *caller)
{
	for (unsigned n = 0; n < LISTS; n++) {
		const struct words *list = &caller->list[n];

		for (size_t i = 0; (i = instance_find_check(instance, list, i, true)) < list->n;
		     i++) {
			const struct limiter *limiter =
			    instance_limiter_of(instance, list->at[i + 1]);

			check_argument(instance, caller, n, i, limiter);
			check_reached(instance, caller, n, i, limiter);
			check_order(instance, caller, n, i, limiter);
		}
	}
}

/* The size of a message is known in the last list only. */
static void check_bytes(const struct instance *instance)
{
	const struct ctl *ctl = instance->check->ctl;
	const struct rule *rule = NULL;
	bool anywhere = false;

	for (size_t i = 0; i < ctl->config.rules && !ctl->config_is_bad && !rule; i++) {
		rule = ctl->config.rule[i].count == COUNT_BYTES ? &ctl->config.rule[i] : NULL;
	}
	for (size_t i = 0; i < instance->callers; i++) {
		const struct words *list = &instance->caller[i].list[LIST_END];

		anywhere = anywhere || instance_find_check(instance, list, 0, true) < list->n;
	}
	for (size_t i = 0; i < instance->callers && rule; i++) {
		const struct caller *caller = &instance->caller[i];
		const struct words *list = &caller->list[LIST_END];

		if (!caller->asks_ours || (anywhere && !caller->has_users) ||
		    instance_find_check(instance, list, 0, true) < list->n) {
			continue;
		}
		check_finding(instance->check,
		    "%s: no check_policy_service: rule %s, count = bytes, never counts anything; "
		    "%s",
		    where(instance, caller, instance_lists[LIST_END]), rule->name,
		    setting_with_check(
			instance, caller, LIST_END, our_limiter(instance), anywhere));
	}
}

/* The list of main.cf that has a check, which the entry's own -o has replaced; LISTS if none. */
static unsigned replaced_list(const struct instance *instance, const struct caller *caller)
{
	unsigned n;

	for (n = 0; caller->service && n < LISTS; n++) {
		struct words words = words_split(
		    settings_text(&instance->postfix.main, instance_lists[n]), SEPARATORS);
		bool asks = instance_find_check(instance, &words, 0, true) < words.n;

		words_free(&words);
		if (asks && postfix_own(&instance->postfix, caller->service, instance_lists[n])) {
			return n;
		}
	}
	return LISTS;
}

static void check_callers_ask(const struct instance *instance)
{
	const struct limiter *limiter = our_limiter(instance);
	bool anybody = false, named = false;

	for (size_t i = 0; i < instance->callers; i++) {
		anybody = anybody || instance->caller[i].asks_ours;
	}
	for (size_t i = 0; i < instance->callers; i++) {
		const struct caller *caller = &instance->caller[i];
		unsigned list = replaced_list(instance, caller);
		const char *name;

		if (caller->asks || (anybody ? !caller->has_users : list == LISTS)) {
			continue;
		}
		named = true;
		name = caller->service ? caller->service->field.at[SERVICE_NAME] : "smtpd";
		if (list < LISTS) {
			check_finding(instance->check,
			    "%s: %s: its own %s has no check_policy_service, and replaces that of "
			    "main.cf: what is sent there is not limited; %s",
			    instance->master_cf, name, instance_lists[list],
			    setting_with_check(instance, caller, list, limiter, true));
		} else {
			check_finding(instance->check,
			    "%s: %s: users can log in, and no list has check_policy_service: what "
			    "they send there is not limited; %s",
			    instance->master_cf, name,
			    setting_with_check(instance, caller, LIST_DATA, limiter, true));
		}
	}
	if (!anybody && !named) {
		check_finding(instance->check,
		    "%s: no list has check_policy_service for %s: mail is not limited; %s",
		    instance->main_cf, limiter->endpoint,
		    setting_with_check(instance, &instance->caller[0], LIST_DATA, limiter, false));
	}
}

void instance_check_lists(const struct instance *instance)
{
	check_callers_ask(instance);
	for (size_t i = 0; i < instance->callers; i++) {
		check_caller(instance, &instance->caller[i]);
	}
	check_bytes(instance);
}
