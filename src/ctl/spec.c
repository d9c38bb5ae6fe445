/*
 * Exceptions as an administrator writes them: see spec.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/spec.h"

#include "base/strbuf.h"

#include <string.h>

/* Accepts only a network whose addresses share a counter. */
static int check_network(const struct rule *rule, const char *key, const struct netaddr *network,
    const char *advice, struct error *error)
{
	unsigned prefix = key_prefix(&rule->folding, network);

	if (network->prefix < prefix) {
		return error_set(error, "\"%.60s\" is larger than the /%u that share a counter; %s",
		    key, prefix, advice);
	}
	if (network->prefix > prefix && strchr(key, '/')) {
		return error_set(error,
		    "\"%.60s\" is smaller than the networks of /%u that share a counter; write "
		    "the address, or that network",
		    key, prefix);
	}
	return 0;
}

/* Rejects a pattern such as override lines take: it would be a key that nobody has. */
static int check_key(const struct rule *rule, const char *key, struct error *error)
{
	static const char advice[] =
	    "for limits of many keys, write override lines in the configuration";
	size_t prefix;
	const struct config_key *source = request_key_source(rule, key, strlen(key), &prefix);
	const char *value = key + prefix;
	struct netaddr network;

	for (const char *s = key; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f) {
			return error_set(error, "the key contains control characters");
		}
	}
	if (!*key) {
		return error_set(error, "the key is missing");
	}
	if (*key == ' ' || key[strlen(key) - 1] == ' ') {
		return error_set(
		    error, "\"%.60s\" begins or ends with a blank; write the key without it", key);
	}
	if (!source) {
		return strcmp(key, "everything") == 0
		    ? 0
		    : error_set(error, "the rule %s has one key, everything; not \"%.60s\"",
			  rule->name, key);
	}
	if (*value == '@' || *value == '.' || strchr(value, '*')) {
		return error_set(error, "\"%.60s\" is a pattern, not a key; %s", key, advice);
	}
	if (source->parts == 1 && source->part[0].kind == KEY_ADDRESS) {
		if (netaddr_read_network(value, strlen(value), &network) == 0) {
			return check_network(rule, value, &network, advice, error);
		}
		return strchr(value, '/')
		    ? netaddr_parse_network(value, strlen(value), &network, error)
		    : error_set(error,
			  "\"%.60s\" is not an IP address, but keys of the rule %s are", value,
			  rule->name);
	}
	return 0;
}

int spec_parse_key(struct ctl *ctl, struct spec *spec, const uint8_t *secret, const char *rule_name,
    const char *key, struct error *error)
{
	spec->rule = ctl_rule(ctl, rule_name, error);
	if (!spec->rule) {
		return -1;
	}
	if (check_key(spec->rule, key, error)) {
		return -1;
	}
	if (!request_parse_key(spec->rule, key, strlen(key), secret, &spec->key)) {
		return error_set(error, "\"%.60s\" can't be a key of the rule %s, key = %.200s",
		    key, spec->rule->name, spec->rule->key_text);
	}
	return 0;
}

int spec_parse_limits(struct spec *spec, const char *string, struct error *error)
{
	const struct rule *rule = spec->rule;
	struct limits limits;
	struct strbuf text;

	spec->limits[0] = '\0';
	spec->granted = 0;
	if (string[0] == '+') {
		if (limit_count_parse(string + 1, rule->count, &spec->granted, error)) {
			return -1;
		}
		return spec->granted ? 0 : error_set(error, "+0 grants nothing");
	}
	if (limits_parse(string, rule->count, &limits, error)) {
		return -1;
	}
	if (rule->strategy != STRATEGY_FIXED) {
		limits_shorten(&limits);
	}
	strbuf_init(&text, spec->limits, sizeof(spec->limits));
	limits_format(&limits, rule->count, &text);
	return 0;
}

int spec_add(const struct spec *spec, struct exception *exception, struct error *error)
{
	if (spec->limits[0]) {
		memcpy(exception->limits, spec->limits, sizeof(exception->limits));
		exception->until_s = spec->until_s;
	} else if (exception_grant(exception, spec->until_s, spec->granted)) {
		return error_set(error, "the key has %d grants already; unset ends them all",
		    EXCEPTION_GRANTS_MAX);
	}
	return 0;
}

/* The effective limits with an exception. NULL, and an error, if the rule can't have that. */
static const struct effective *check(struct ctl *ctl, const struct rule *rule,
    const struct override *override, const struct exception *exception, struct error *error)
{
	const struct effective *file, *effective;

	effective_limits_trim(ctl->limits);
	file = effective_limits_of_file(ctl->limits, rule, override);
	effective = effective_limits_with(ctl->limits, rule, file, exception, error);
	return effective && effective_limits_check(effective, error) == 0 ? effective : NULL;
}

const struct effective *spec_effective(struct ctl *ctl, const struct rule *rule,
    const struct override *override, const struct exception *exception, struct error *error)
{
	struct exception later = *exception;

	/* Grants that last longer than the limits are then added to those of the configuration. */
	if (exception->limits[0] && exception->until_s &&
	    exception_prune(&later, exception->until_s) &&
	    !check(ctl, rule, override, &later, error)) {
		return NULL;
	}
	return check(ctl, rule, override, exception, error);
}
