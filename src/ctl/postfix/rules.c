/*
 * Rules that can't count with the lists that there are: see rules.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/rules.h"

#include "ctl/postfix/lists.h"

#include <string.h>

/* The states in which Postfix asks, as bits. */
enum { STATE_RCPT = 1, STATE_DATA = 2, STATE_END = 4, STATE_ALL = 7 };

static unsigned states_asked(const struct smtpd *smtpd)
{
	bool early = settings_is(smtpd->settings, "smtpd_delay_reject", "no");
	unsigned states = 0;

	for (unsigned n = 0; n < LISTS; n++) {
		if (lists_asks(smtpd, n)) {
			states |= n == LIST_END ? STATE_END
			    : n == LIST_DATA    ? STATE_DATA
			    : n >= LIST_RELAY   ? STATE_RCPT
			    : early             ? 0
						: STATE_RCPT;
		}
	}
	return states;
}

static bool match_accepts(const struct config_match *match, const char *value)
{
	bool found = false;

	for (size_t i = 0; i < match->patterns; i++) {
		found = found || pattern_match(&match->pattern[i], value, strlen(value));
	}
	return found != match->negated;
}

/*
 * Whether the rule applies only if an attribute whose name begins so has a value: each
 * alternative of its key has it, or a match asks for it.
 */
static bool rule_needs(const struct rule *rule, const char *prefix)
{
	size_t length = strlen(prefix);
	bool needs = rule->keys > 0;

	for (unsigned i = 0; i < rule->keys; i++) {
		bool has = false;

		for (unsigned k = 0; k < rule->key[i].parts; k++) {
			has = has || strncmp(rule->key[i].part[k].source, prefix, length) == 0;
		}
		needs = needs && has;
	}
	for (unsigned i = 0; i < rule->matches && !needs; i++) {
		const struct config_match *match = &rule->match[i];

		needs = strncmp(match->attribute.source, prefix, length) == 0 &&
		    !match_accepts(match, "");
	}
	return needs;
}

/* The states in which the rule can count, and what is lost in the others. */
static unsigned states_needed(const struct rule *rule, const char **loss)
{
	static const char *const names[] = {"RCPT", "DATA", "END-OF-MESSAGE"};
	unsigned states = STATE_ALL;

	*loss = "its match on protocol_state, counts nothing";
	for (unsigned i = 0; i < rule->matches; i++) {
		for (unsigned k = 0; k < sizeof(names) / sizeof(*names); k++) {
			if (strcmp(rule->match[i].attribute.source, "protocol_state") == 0 &&
			    !match_accepts(&rule->match[i], names[k])) {
				states &= ~(1U << k);
			}
		}
	}
	if (rule->count == COUNT_BYTES) {
		*loss = "count = bytes, counts nothing";
		states &= STATE_END;
	} else if (rule_needs(rule, "recipient") && !rule_needs(rule, "recipient_count")) {
		*loss = "the recipient, misses messages to several recipients";
		states &= STATE_RCPT;
	}
	return states;
}

/* A rule may count in some states only: the size, say, is known to the last list alone. */
static void check_states(const struct instance *instance, const struct rule *rule)
{
	const char *loss;
	unsigned needed = states_needed(rule, &loss);
	unsigned n = needed & STATE_DATA ? LIST_DATA
	    : needed & STATE_RCPT        ? LIST_RECIPIENT
					 : LIST_END;
	bool anywhere = false;

	for (size_t i = 0; i < instance->smtpds; i++) {
		anywhere = anywhere || (states_asked(&instance->smtpd[i]) & needed);
	}
	for (size_t i = 0; i < instance->smtpds && needed != 0 && needed != STATE_ALL; i++) {
		const struct smtpd *smtpd = &instance->smtpd[i];

		if (instance_asks(smtpd, true) && (!anywhere || smtpd->has_users) &&
		    !(states_asked(smtpd) & needed)) {
			check_finding(instance->check,
			    "%s: no check_policy_service: rule %s, %s; %s", lists_where(smtpd, n),
			    rule->name, loss,
			    lists_setting_with_check(smtpd, n, instance->ours, anywhere));
		}
	}
}

/* A rule on sasl_username needs a service where users log in. */
static void check_logins(const struct instance *instance, const struct rule *rule)
{
	const struct smtpd *smtpd = &instance->smtpd[0];

	for (size_t i = 0; i < instance->smtpds; i++) {
		const char *name = instance->smtpd[i].service->field.at[SERVICE_NAME];

		/* A proxy that users log in to may tell their names with XCLIENT. */
		if (settings_is(instance->smtpd[i].settings, "smtpd_sasl_auth_enable", "yes") ||
		    *settings_text(instance->smtpd[i].settings, "smtpd_authorized_xclient_hosts")) {
			return;
		}
		if (strncmp(name, "submission", 10) == 0 || strcmp(name, "587") == 0) {
			smtpd = &instance->smtpd[i];
		}
	}
	if (rule_needs(rule, "sasl_")) {
		bool own = smtpd != &instance->smtpd[0];

		check_finding(instance->check,
		    "%s: smtpd_sasl_auth_enable is no everywhere: rule %s needs a login, and "
		    "counts nothing; %s",
		    own ? check_text(instance->check, "%s: %s", instance->master_cf,
			      smtpd->service->field.at[SERVICE_NAME])
			: instance->main_cf,
		    rule->name, lists_setting(smtpd, "smtpd_sasl_auth_enable", "yes", own));
	}
}

void rules_check(const struct instance *instance)
{
	const struct ctl *ctl = instance->check->ctl;

	for (size_t i = 0; i < ctl->config.rules && !ctl->config_is_bad; i++) {
		check_states(instance, &ctl->config.rule[i]);
		check_logins(instance, &ctl->config.rule[i]);
	}
}
