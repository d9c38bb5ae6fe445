/*
 * Findings in the restriction lists of smtpd: see lists.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/lists.h"

#include <string.h>
#include <strings.h>

/* The default of smtpd_policy_service_default_action, which a client gets without a helper. */
#define STOCK_DEFAULT_ACTION "451 4.3.5 Server configuration problem"

#define RELAY_FIRST "smtpd_relay_before_recipient_restrictions"

/* A check_policy_service that asks one of our policies. */
struct call {
	struct check *check;
	const struct smtpd *smtpd;
	unsigned n; /* of its list */
	const struct words *list;
	size_t i; /* of the word check_policy_service */
	const struct policy *policy;
	const char *where; /* for the finding */
	const char *argument; /* as it should be */
};

static bool list_asks(const struct smtpd *smtpd, unsigned n)
{
	const struct words *list = &smtpd->list[n];

	return instance_find_check(smtpd->instance, list, 0, true) < list->n;
}

/* "main.cf: LIST", or "master.cf: SERVICE: LIST" if the entry has its own. */
static const char *where(const struct smtpd *smtpd, unsigned n)
{
	const struct instance *instance = smtpd->instance;
	const char *name = instance_lists[n];

	if (settings_get(&smtpd->service->own, name)) {
		return check_text(instance->check, "%s: %s: %s", instance->master_cf,
		    smtpd->service->field.at[SERVICE_NAME], name);
	}
	return check_text(instance->check, "%s: %s", instance->main_cf, name);
}

/* The line that sets it: below the entry if own, or if that has its own setting; in main.cf. */
static const char *setting(const struct smtpd *smtpd, const char *name, const char *value, bool own)
{
	struct check *check = smtpd->instance->check;
	const char *blank = *value ? " " : "";

	if (!own && !settings_get(&smtpd->service->own, name)) {
		return check_text(check, "write: %s =%s%s", name, blank, value);
	}
	return check_text(check, *value ? "write: -o { %s = %s }" : "write: -o %s=%s", name, value);
}

/*
 * The line that sets list n to its words after front, with this argument of its check at index at,
 * or without that check if argument is NULL.
 */
static const char *list_setting(const struct smtpd *smtpd, unsigned n, const char *front, size_t at,
    const char *argument, bool own)
{
	const struct words *list = &smtpd->list[n];
	char *text = NULL;
	size_t size;
	FILE *out = ctl_must(open_memstream(&text, &size));

	fputs(front, out);
	for (size_t i = 0; i < list->n; i++) {
		const char *word = argument && i == at + 1 ? argument : list->at[i];
		/* Unlike names of restrictions, arguments have other characters than these. */
		bool is_argument = word[strspn(word, "abcdefghijklmnopqrstuvwxyz_")] != '\0';

		if (argument || (i != at && i != at + 1)) {
			fprintf(out, "%s%s", ftell(out) == 0 ? "" : is_argument ? " " : ", ", word);
		}
	}
	fclose(out);
	return setting(smtpd, instance_lists[n], check_keep(smtpd->instance->check, text), own);
}

/* The line that puts a check in front of list n. */
static const char *setting_with_check(
    const struct smtpd *smtpd, unsigned n, const struct policy *policy, bool own)
{
	const char *front = check_text(smtpd->instance->check,
	    "check_policy_service { %s, default_action=DUNNO }", policy->endpoint);

	return list_setting(smtpd, n, front, smtpd->list[n].n, NULL, own);
}

/* How a check names the helper, and whether it has a default action. Sets call->argument. */
static void check_argument(struct call *call)
{
	struct check *check = call->check;
	const struct smtpd *smtpd = call->smtpd;
	const char *argument = call->list->at[call->i + 1];
	const char *endpoint = instance_endpoint(smtpd->instance, argument);
	bool elsewhere =
	    strncmp(endpoint, "unix:", 5) == 0 && strcmp(endpoint, call->policy->endpoint) != 0;
	bool lacks_action = !strstr(argument, "default_action") &&
	    settings_is(
		smtpd->settings, "smtpd_policy_service_default_action", STOCK_DEFAULT_ACTION);
	const char *repair;

	call->argument = argument;
	if (!elsewhere && !lacks_action) {
		return;
	}
	call->argument = check_text(check, "{ %s, default_action=DUNNO }",
	    elsewhere ? call->policy->endpoint : words_trim(check, argument, "{}" SEPARATORS));
	repair = list_setting(smtpd, call->n, "", call->i, call->argument, false);
	if (elsewhere) {
		check_finding(check,
		    "%s: it asks %s, but the service is %s: nothing listens there, mail is not "
		    "limited; %s",
		    call->where, endpoint, call->policy->endpoint, repair);
	} else {
		check_finding(check,
		    "%s: check_policy_service without default_action: Postfix accepts no mail "
		    "while the helper can't be started; %s",
		    call->where, repair);
	}
}

static bool is_one_of(const char *word, const char *const *words)
{
	while (*words && strcasecmp(word, *words) != 0) {
		words++;
	}
	return *words;
}

/* Whether restrictions before the check end the list, for some clients or for all. */
static void check_reached(const struct call *call)
{
	static const char *const ending[] = {"permit", "reject", "defer", NULL};
	struct check *check = call->check;
	const char *ends = "";

	for (size_t i = 0; i < call->i; i++) {
		const char *word = call->list->at[i];

		if (strcasecmp(word, "warn_if_reject") == 0) {
			i++;
		} else if (strncasecmp(word, "permit_", 7) == 0 || is_one_of(word, ending)) {
			ends = check_text(check, "%s%s%s", ends, *ends ? ", " : "", word);
		}
	}
	if (*ends) {
		check_finding(check,
		    "%s: check_policy_service comes after %s: clients that are permitted or "
		    "rejected there are not limited; %s",
		    call->where, ends,
		    list_setting(call->smtpd, call->n,
			check_text(check, "check_policy_service %s", call->argument), call->i, NULL,
			false));
	}
}

/* Whether a list rejects strangers who want to relay before its word at end. */
static bool decides(const struct words *list, size_t end)
{
	static const char *const deciding[] = {
	    "reject_unauth_destination", "defer_unauth_destination", "reject", "defer", NULL};

	for (size_t i = 0; i < end; i++) {
		if (strcasecmp(list->at[i], "warn_if_reject") == 0) {
			i++;
		} else if (strcasecmp(list->at[i], "permit") == 0) {
			return false;
		} else if (is_one_of(list->at[i], deciding)) {
			return true;
		}
	}
	return false;
}

/* Whether the check comes after the decision on who may relay. */
static bool comes_after_decision(const struct call *call)
{
	const struct smtpd *smtpd = call->smtpd;
	bool relay_first = settings_is(smtpd->settings, RELAY_FIRST, "yes");

	if (call->n >= LIST_DATA || decides(call->list, call->i)) {
		return true;
	}
	for (unsigned n = 0; n < LIST_DATA; n++) {
		bool is_before = n < call->n;

		/* The order of these two is a setting. */
		if (n + call->n == LIST_RELAY + LIST_RECIPIENT) {
			is_before = (n == LIST_RELAY) == relay_first;
		}
		if (is_before && decides(&smtpd->list[n], smtpd->list[n].n)) {
			return true;
		}
	}
	return false;
}

static void check_order(const struct call *call)
{
	const struct smtpd *smtpd = call->smtpd;
	const struct words *relay = &smtpd->list[LIST_RELAY];
	bool too_early =
	    call->n < LIST_RELAY && settings_is(smtpd->settings, "smtpd_delay_reject", "no");
	const char *repair;

	if (!too_early && comes_after_decision(call)) {
		return;
	}
	if (call->n == LIST_RECIPIENT && !decides(relay, relay->n)) {
		repair = setting(smtpd, instance_lists[LIST_RELAY],
		    "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
		    false);
	} else if (call->n == LIST_RECIPIENT && settings_get(smtpd->settings, RELAY_FIRST)) {
		repair = setting(smtpd, RELAY_FIRST, "yes", false);
	} else {
		repair = list_setting(smtpd, call->n, "", call->i, NULL, false);
		if (!list_asks(smtpd, LIST_DATA)) {
			repair = check_text(call->check, "%s; %s", repair,
			    setting_with_check(smtpd, LIST_DATA, call->policy, false));
		}
	}
	check_finding(call->check, "%s: check_policy_service %s; %s", call->where,
	    too_early ? "with smtpd_delay_reject = no: Postfix asks before it knows a recipient, "
			"so nothing is counted"
		      : "comes before reject_unauth_destination: strangers who try to relay are "
			"counted although they are rejected",
	    repair);
}

static void check_calls(const struct smtpd *smtpd)
{
	const struct instance *instance = smtpd->instance;

	for (unsigned n = 0; n < LISTS; n++) {
		const struct words *list = &smtpd->list[n];

		for (size_t i = 0; (i = instance_find_check(instance, list, i, true)) < list->n;
		     i++) {
			struct call call = {
			    .check = instance->check,
			    .smtpd = smtpd,
			    .n = n,
			    .list = list,
			    .i = i,
			    .policy = instance_policy_of(instance, list->at[i + 1]),
			    .where = where(smtpd, n),
			};

			check_argument(&call);
			check_reached(&call);
			check_order(&call);
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
		anywhere = anywhere || list_asks(&instance->smtpd[i], LIST_END);
	}
	for (size_t i = 0; i < instance->smtpds && rule; i++) {
		const struct smtpd *smtpd = &instance->smtpd[i];

		if (instance_asks(smtpd, true) && (!anywhere || smtpd->has_users) &&
		    !list_asks(smtpd, LIST_END)) {
			check_finding(instance->check,
			    "%s: no check_policy_service: rule %s, count = bytes, counts nothing; "
			    "%s",
			    where(smtpd, LIST_END), rule->name,
			    setting_with_check(smtpd, LIST_END, instance->ours, anywhere));
		}
	}
}

/* The list of main.cf that has a check but is replaced by the entry's own -o; LISTS if none. */
static unsigned replaced_list(const struct smtpd *smtpd)
{
	const struct instance *instance = smtpd->instance;

	for (unsigned n = 0; n < LISTS; n++) {
		struct words list = words_split(instance->check,
		    settings_text(&instance->postconf.main, instance_lists[n]), SEPARATORS);

		if (instance_find_check(instance, &list, 0, true) < list.n &&
		    settings_get(&smtpd->service->own, instance_lists[n])) {
			return n;
		}
	}
	return LISTS;
}

static void check_who_asks(const struct instance *instance)
{
	struct check *check = instance->check;
	bool anybody = false, named = false;

	for (size_t i = 0; i < instance->smtpds; i++) {
		anybody = anybody || instance_asks(&instance->smtpd[i], true);
	}
	for (size_t i = 0; i < instance->smtpds; i++) {
		const struct smtpd *smtpd = &instance->smtpd[i];
		const char *name = smtpd->service->field.at[SERVICE_NAME];
		unsigned n = replaced_list(smtpd);

		if (instance_asks(smtpd, false) || (anybody ? !smtpd->has_users : n == LISTS)) {
			continue;
		}
		named = true;
		check_finding(check, "%s: %s: %s: mail sent there is not limited; %s",
		    instance->master_cf, name,
		    n == LISTS ? "users can log in, and no list has check_policy_service"
			       : check_text(check,
				     "its own %s has no check_policy_service and replaces that of "
				     "main.cf",
				     instance_lists[n]),
		    setting_with_check(smtpd, n == LISTS ? LIST_DATA : n, instance->ours, true));
	}
	if (!anybody && !named) {
		check_finding(check,
		    "%s: no list has check_policy_service for %s: mail is not limited; %s",
		    instance->main_cf, instance->ours->endpoint,
		    setting_with_check(&instance->smtpd[0], LIST_DATA, instance->ours, false));
	}
}

void lists_check(const struct instance *instance)
{
	check_who_asks(instance);
	for (size_t i = 0; i < instance->smtpds; i++) {
		check_calls(&instance->smtpd[i]);
	}
	check_bytes(instance);
}
