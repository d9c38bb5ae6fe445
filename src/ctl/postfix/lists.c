/*
 * Findings in the restriction lists of smtpd: see lists.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/lists.h"

#include "base/duration.h"

#include <string.h>
#include <strings.h>

/* The default of smtpd_policy_service_default_action, which a client gets without a helper. */
#define STOCK_DEFAULT_ACTION "451 4.3.5 Server configuration problem"

#define RELAY_FIRST "smtpd_relay_before_recipient_restrictions"

/* What check_policy_service's argument should have, and how long Postfix may wait at most. */
#define ATTRIBUTES "timeout=10s, default_action=DUNNO"
#define TIMEOUT_MAX_MS 30000

/*
 * The faults of one list, and the list as it should be. All faults show the same line, so that
 * following one of them does not undo another.
 */
struct plan {
	struct words words; /* NULL in place of a word that goes away */
	const char *front; /* what comes in front of them */
	const char *more; /* further settings: "; write: ...", or "" */
	bool changed; /* the list itself, not only other settings */
	const char **fault;
	size_t faults;
};

/* A check_policy_service that asks one of our policies. */
struct call {
	struct check *check;
	const struct smtpd *smtpd;
	unsigned n; /* of its list */
	const struct words *list;
	size_t i; /* of the word check_policy_service */
	const struct policy *policy;
	struct plan *plan;
};

static void add_fault(struct call *call, const char *fault)
{
	struct plan *plan = call->plan;

	/* Each check has three at most. */
	plan->fault[plan->faults++] = fault;
}

bool lists_asks(const struct smtpd *smtpd, unsigned n)
{
	const struct words *list = &smtpd->list[n];

	return instance_find_check(smtpd->instance, list, 0, true) < list->n;
}

const char *lists_where(const struct smtpd *smtpd, unsigned n)
{
	const struct instance *instance = smtpd->instance;
	const char *name = instance_lists[n];

	if (settings_get(&smtpd->service->own, name)) {
		return check_text(instance->check, "%s: %s: %s", instance->master_cf,
		    smtpd->service->field.at[SERVICE_NAME], name);
	}
	return check_text(instance->check, "%s: %s", instance->main_cf, name);
}

const char *lists_setting(const struct smtpd *smtpd, const char *name, const char *value, bool own)
{
	struct check *check = smtpd->instance->check;
	const char *blank = *value ? " " : "";

	if (!own && !settings_get(&smtpd->service->own, name)) {
		return check_text(check, "write: %s =%s%s", name, blank, value);
	}
	return check_text(check, *value ? "write: -o { %s = %s }" : "write: -o %s=%s", name, value);
}

/* The line that sets list n to front and these words, of which some may be NULL. */
static const char *list_setting(
    const struct smtpd *smtpd, unsigned n, const char *front, const struct words *words, bool own)
{
	char *text = NULL;
	size_t size;
	FILE *out = ctl_must(open_memstream(&text, &size));

	fputs(front, out);
	for (size_t i = 0; i < words->n; i++) {
		const char *word = words->at[i];
		/* Unlike names of restrictions, arguments have other characters than these. */
		bool is_argument =
		    word && word[strspn(word, "abcdefghijklmnopqrstuvwxyz_")] != '\0';

		if (word) {
			fprintf(out, "%s%s", ftell(out) == 0 ? "" : is_argument ? " " : ", ", word);
		}
	}
	fclose(out);
	return lists_setting(
	    smtpd, instance_lists[n], check_keep(smtpd->instance->check, text), own);
}

const char *lists_setting_with_check(
    const struct smtpd *smtpd, unsigned n, const struct policy *policy, bool own)
{
	const char *front = check_text(smtpd->instance->check,
	    "check_policy_service { %s, " ATTRIBUTES " }", policy->endpoint);

	return list_setting(smtpd, n, front, &smtpd->list[n], own);
}

/* Whether the argument { ... } has no closing brace. */
static bool is_unclosed(const char *argument)
{
	int depth = 0;

	for (; *argument; argument++) {
		depth += (*argument == '{') - (*argument == '}');
	}
	return depth > 0;
}

/* Whether that word of a list should be within the braces of the check in front of it. */
static bool is_attribute(const struct words *list, size_t i)
{
	return i < list->n &&
	    (strchr(list->at[i], '=') || strcmp(list->at[i], "}") == 0 ||
		strcmp(list->at[i], "{") == 0);
}

/* Whether a word after the first is "NAME=..." or "{ NAME = ... }". */
static bool has_attribute(const struct words *words, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 1; i < words->n; i++) {
		const char *word = words->at[i] + strspn(words->at[i], "{" SEPARATORS);

		if (strncmp(word, name, length) == 0 &&
		    word[length + strspn(word + length, SEPARATORS)] == '=') {
			return true;
		}
	}
	return false;
}

static bool waits_too_long(const struct smtpd *smtpd)
{
	int64_t timeout_ms;

	return duration_parse(settings_text(smtpd->settings, "smtpd_policy_service_timeout"),
		   &timeout_ms) != 0 ||
	    timeout_ms > TIMEOUT_MAX_MS;
}

/* The argument with that endpoint, all of its attributes, and those that it lacks. */
static const char *right_argument(const struct call *call, const struct words *words,
    const char *endpoint, bool lacks_action, bool lacks_timeout)
{
	struct check *check = call->check;
	const char *text = check_text(check, "{ %s", endpoint);
	size_t i = 1;

	/* If the closing brace is missing, what follows may be other restrictions. */
	for (; i < words->n && strchr(words->at[i], '='); i++) {
		text = check_text(check, "%s, %s", text, words->at[i]);
	}
	text = check_text(check, "%s%s%s }", text, lacks_timeout ? ", timeout=10s" : "",
	    lacks_action ? ", default_action=DUNNO" : "");
	for (; i < words->n; i++) {
		bool is_argument = strpbrk(words->at[i], ":/.") != NULL;

		text = check_text(check, "%s%s %s", text, is_argument ? "" : ",", words->at[i]);
	}
	return text;
}

/* How a check names the helper, and what it says for the case that there is none. */
static bool check_argument(struct call *call)
{
	struct check *check = call->check;
	const struct smtpd *smtpd = call->smtpd;
	const char *argument = call->list->at[call->i + 1];
	const char *endpoint = instance_endpoint(smtpd->instance, argument);
	const char *own = call->policy->endpoint;
	bool elsewhere = strncmp(endpoint, "unix:", 5) == 0 && strcmp(endpoint, own) != 0;
	bool unclosed = is_unclosed(argument);
	bool unopened = false;
	size_t length = strlen(argument);
	size_t i = call->i + 2;
	struct words words;
	bool lacks_action, lacks_timeout;

	while (*argument != '{' && is_attribute(call->list, i)) {
		/* They are taken for the names of restrictions. */
		argument = check_text(check, "%s %s", argument,
		    words_trim(check, call->list->at[i], "{}" SEPARATORS));
		call->plan->words.at[i++] = NULL;
		unopened = true;
	}
	if (*argument == '{') {
		argument =
		    check_text(check, "%.*s", (int)(length - (unclosed ? 1 : 2)), argument + 1);
	}
	words = words_split(check, argument, SEPARATORS);
	lacks_action = !has_attribute(&words, "default_action") &&
	    settings_is(
		smtpd->settings, "smtpd_policy_service_default_action", STOCK_DEFAULT_ACTION);
	lacks_timeout = !has_attribute(&words, "timeout") && waits_too_long(smtpd);
	if (unclosed) {
		add_fault(call, "missing }: smtpd ends with an error, Postfix accepts no mail");
	} else if (unopened) {
		add_fault(call, "missing {: smtpd does not know these words, and rejects all mail");
	} else if (elsewhere) {
		add_fault(call,
		    check_text(check,
			"it asks %s, but the service is %s: nothing listens there, mail is not "
			"limited",
			endpoint, own));
	} else if (lacks_action) {
		add_fault(call,
		    "check_policy_service without default_action: Postfix accepts no mail while "
		    "the helper can't be started");
	} else if (lacks_timeout) {
		add_fault(call,
		    "check_policy_service without timeout: each message waits for 60 to 200 s "
		    "while the helper can't be started");
	} else {
		return true;
	}
	call->plan->changed = true;
	call->plan->words.at[call->i + 1] = right_argument(call, &words,
	    elsewhere         ? own
		: words.n > 0 ? words.at[0]
			      : own,
	    lacks_action, lacks_timeout);
	return !unclosed;
}

/* Takes the check out of the list. */
static void drop(struct call *call)
{
	call->plan->words.at[call->i] = NULL;
	call->plan->words.at[call->i + 1] = NULL;
	call->plan->changed = true;
}

static bool is_one_of(const char *word, const char *const *words)
{
	while (*words && strcasecmp(word, *words) != 0) {
		words++;
	}
	return *words;
}

/* Whether what precedes the check makes it harmless. */
static void check_warning(struct call *call)
{
	if (call->i > 0 && strcasecmp(call->list->at[call->i - 1], "warn_if_reject") == 0) {
		add_fault(call,
		    "check_policy_service comes after warn_if_reject: what it denies is only "
		    "logged, mail is not limited");
		call->plan->words.at[call->i - 1] = NULL;
		call->plan->changed = true;
	}
}

/* Whether restrictions before the check end the list, for some clients or for all. */
static void check_reached(struct call *call)
{
	static const char *const ending[] = {"permit", "reject", "defer", NULL};
	struct check *check = call->check;
	struct plan *plan = call->plan;
	const char *ends = "", *text;

	for (size_t i = 0; i < call->i; i++) {
		const char *word = call->list->at[i];

		if (strcasecmp(word, "warn_if_reject") == 0) {
			i++;
		} else if (strncasecmp(word, "permit_", 7) == 0 || is_one_of(word, ending)) {
			ends = check_text(check, "%s%s%s", ends, *ends ? ", " : "", word);
		}
	}
	if (*ends) {
		add_fault(call,
		    check_text(check,
			"check_policy_service comes after %s: clients that are permitted or "
			"rejected there are not limited",
			ends));
		text = check_text(check, "check_policy_service %s", plan->words.at[call->i + 1]);
		if (!strstr(plan->front, text)) {
			plan->front = check_text(
			    check, "%s%s%s", plan->front, *plan->front ? ", " : "", text);
		}
		drop(call);
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

static void check_order(struct call *call)
{
	const struct smtpd *smtpd = call->smtpd;
	const struct words *relay = &smtpd->list[LIST_RELAY];
	struct plan *plan = call->plan;
	bool too_early =
	    call->n < LIST_RELAY && settings_is(smtpd->settings, "smtpd_delay_reject", "no");
	const char *more = NULL;

	if (!too_early && comes_after_decision(call)) {
		return;
	}
	if (call->n == LIST_RECIPIENT && relay->n == 0) {
		more = lists_setting(smtpd, instance_lists[LIST_RELAY],
		    "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
		    false);
	} else if (call->n == LIST_RECIPIENT && decides(relay, relay->n) &&
	    settings_get(smtpd->settings, RELAY_FIRST)) {
		more = lists_setting(smtpd, RELAY_FIRST, "yes", false);
	} else {
		plan->front = "";
		drop(call);
		if (!lists_asks(smtpd, LIST_DATA)) {
			more = lists_setting_with_check(smtpd, LIST_DATA, call->policy, false);
		}
	}
	plan->more = more ? check_text(call->check, "; %s", more) : "";
	add_fault(call,
	    too_early ? "check_policy_service with smtpd_delay_reject = no: Postfix asks before it "
			"knows a recipient, so nothing is counted"
		      : "check_policy_service comes before reject_unauth_destination: strangers "
			"who try to relay are counted although they are rejected");
}

static void check_list(const struct smtpd *smtpd, unsigned n)
{
	const struct instance *instance = smtpd->instance;
	struct check *check = instance->check;
	const struct words *list = &smtpd->list[n];
	struct plan plan = {
	    .words = {.at = check_alloc(check, list->n + 1, sizeof(*plan.words.at)), .n = list->n},
	    .front = "",
	    .more = "",
	    .fault = check_alloc(check, 4 * list->n + 1, sizeof(*plan.fault)),
	};
	const char *line = "";

	for (size_t i = 0; i < list->n; i++) {
		plan.words.at[i] = list->at[i];
	}
	for (size_t i = 0; (i = instance_find_check(instance, list, i, true)) < list->n; i++) {
		struct call call = {
		    .check = check,
		    .smtpd = smtpd,
		    .n = n,
		    .list = list,
		    .i = i,
		    .policy = instance_policy_of(instance, list->at[i + 1]),
		    .plan = &plan,
		};

		if (check_argument(&call)) {
			check_warning(&call);
			check_reached(&call);
			check_order(&call);
		}
	}
	if (plan.changed) {
		line = check_text(
		    check, "; %s", list_setting(smtpd, n, plan.front, &plan.words, false));
	}
	for (size_t i = 0; i < plan.faults; i++) {
		check_finding(
		    check, "%s: %s%s%s", lists_where(smtpd, n), plan.fault[i], line, plan.more);
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
		    lists_setting_with_check(
			smtpd, n == LISTS ? LIST_DATA : n, instance->ours, true));
	}
	if (!anybody && !named) {
		check_finding(check,
		    "%s: no list has check_policy_service for %s: mail is not limited; %s",
		    instance->main_cf, instance->ours->endpoint,
		    lists_setting_with_check(
			&instance->smtpd[0], LIST_DATA, instance->ours, false));
	}
}

void lists_check(const struct instance *instance)
{
	check_who_asks(instance);
	for (size_t i = 0; i < instance->smtpds; i++) {
		for (unsigned n = 0; n < LISTS; n++) {
			check_list(&instance->smtpd[i], n);
		}
	}
}
