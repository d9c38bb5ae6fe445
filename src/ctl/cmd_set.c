/*
 * The commands set, unset, grant and limits: overrides that the database keeps.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/cmd_set.h"

#include "base/strbuf.h"
#include "base/clock.h"
#include "config/selector.h"
#include "ctl/when.h"
#include "ctl/table.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* Of networks only those that share a counter. */
static int check_network(const struct rule *rule, const char *key, const struct netaddr *network,
    const char *advice, struct error *error)
{
	unsigned prefix = network->bits == 32 ? rule->ipv4_prefix : rule->ipv6_prefix;

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

/* A pattern such as of an override line would be taken for a key that nobody has. */
static int check_key(const struct rule *rule, const char *key, struct error *error)
{
	static const char advice[] =
	    "limits for many keys at once are override lines of the configuration";
	bool address = selector_key_can_be(rule, KEY_ADDRESS);
	bool other = selector_key_can_be(rule, KEY_TEXT) || selector_key_can_be(rule, KEY_MAILBOX) ||
	    selector_key_can_be(rule, KEY_DOMAIN);
	struct netaddr network;

	for (const char *s = key; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f) {
			return error_set(error, "the key has control characters in it");
		}
	}
	if (!*key) {
		return error_set(error, "the key is missing");
	}
	if (rule->keys == 0 && strcmp(key, "everything") != 0) {
		return error_set(
		    error, "the rule %s has one key, everything; not \"%.60s\"", rule->name, key);
	}
	if ((key[0] == '@' || key[0] == '.' || strchr(key, '*')) && rule->keys > 0) {
		return error_set(error, "\"%.60s\" is no key but a pattern; %s", key, advice);
	}
	if (address && netaddr_read_network(key, strlen(key), &network) == 0) {
		return check_network(rule, key, &network, advice, error);
	}
	if (address && !other) {
		return strchr(key, '/')
		    ? netaddr_parse_network(key, strlen(key), &network, error)
		    : error_set(error,
			  "\"%.60s\" is no IP address, and the key of the rule %s is one", key,
			  rule->name);
	}
	return 0;
}

int ctl_wish_key(struct ctl *ctl, struct ctl_wish *wish, const uint8_t *secret,
    const char *rule_name, const char *key, struct error *error)
{
	char rules[300];
	struct strbuf text;

	wish->rule = ctl_rule(ctl, rule_name, strlen(rule_name));
	if (!wish->rule) {
		strbuf_init(&text, rules, sizeof(rules));
		ctl_rule_names(ctl, &text);
		return error_set(error,
		    "there is no rule \"%.60s\" in %.100s; its rules are %.200s", rule_name,
		    ctl->config_path, rules);
	}
	if (check_key(wish->rule, key, error)) {
		return -1;
	}
	request_parse_key(wish->rule, key, strlen(key), secret, &wish->key);
	return 0;
}

int ctl_wish_limits(struct ctl_wish *wish, const char *string, struct error *error)
{
	const struct rule *rule = wish->rule;
	struct limits limits;
	struct strbuf text;

	wish->limits[0] = '\0';
	wish->granted = 0;
	if (string[0] == '+') {
		if (limit_count_parse(string + 1, rule->count, &wish->granted, error)) {
			return -1;
		}
		return wish->granted ? 0 : error_set(error, "+0 is no grant");
	}
	if (limits_parse(string, rule->count, &limits, error)) {
		return -1;
	}
	if (rule->strategy != STRATEGY_FIXED) {
		limits_shorten(&limits);
	}
	strbuf_init(&text, wish->limits, sizeof(wish->limits));
	limits_format(&limits, rule->count, &text);
	return 0;
}

int ctl_wish_apply(
    struct ctl *ctl, const struct ctl_wish *wish, struct exception *exception, struct error *error)
{
	const struct config_plan *plan;

	if (wish->limits[0]) {
		memcpy(exception->limits, wish->limits, sizeof(exception->limits));
		exception->until_s = wish->until_s;
	} else if (exception_grant(exception, wish->until_s, wish->granted)) {
		return error_set(error, "the key has %d grants already; unset ends them all",
		    EXCEPTION_GRANTS_MAX);
	}
	quotas_trim(ctl->quotas);
	plan = quota_plan(ctl->quotas, wish->rule, wish->key.plan, exception, error);
	if (!plan) {
		return -1;
	}
	if (!wish->limits[0] && plan->limits.kind != LIMITS_WINDOWS) {
		return error_set(error, "the key is %s; there is nothing to grant more of",
		    plan->limits.kind == LIMITS_DENY ? "denied altogether (see set)" : "unlimited");
	}
	return 0;
}

/* What store_update's function needs, and what it found out. */
struct change {
	struct ctl *ctl;
	const struct ctl_wish *wish; /* NULL: unset */
	int64_t now_ms;
	char bytes[EXCEPTION_SIZE_MAX];
	bool found;
	struct error error;
};

/* Of the exception and its counter, which is told to look for it, or not to. */
static enum store_result change_exception(void *data, struct store_item *item, size_t items)
{
	struct change *change = data;
	struct exception exception = {.until_s = 0};
	struct record record;
	struct error error;
	struct strbuf text;

	(void)items;
	/* A damaged one is as good as none. */
	change->found = item[0].stored &&
	    exception_read(&exception, item[0].data, item[0].size, &error) == 0 &&
	    exception_prune(&exception, change->now_ms / 1000);
	if (!change->wish) {
		memset(&exception, 0, sizeof(exception));
		if (!change->found) {
			return STORE_STOP;
		}
	} else if (ctl_wish_apply(change->ctl, change->wish, &exception, &change->error)) {
		return STORE_STOP;
	}
	exception.changed_ms = change->now_ms;
	strbuf_init(&text, change->bytes, sizeof(change->bytes));
	exception_format(&exception, &text);
	item[0].changed = true;
	item[0].replacement = change->bytes;
	item[0].replacement_size = text.length;
	if (item[1].stored && record_read(&record, item[1].data, item[1].size, &error) == 0) {
		record.exception = change->wish != NULL;
		record_write(&record, item[1].data);
		item[1].changed = true;
	}
	return STORE_OK;
}

/* Changes the exception of a key; *found: there was one. Returns an exit status. */
static int change_key(
    struct ctl *ctl, const struct request_key *key, const struct ctl_wish *wish, bool *found)
{
	struct change change = {.ctl = ctl, .wish = wish, .now_ms = clock_now_ms()};
	char exception_text[sizeof(EXCEPTION_PREFIX) + sizeof(key->text)];
	struct store_item item[2] = {{.key = exception_text}, {.key = key->text}};
	enum store_result result;
	struct error error;
	struct strbuf text;

	strbuf_init(&text, exception_text, sizeof(exception_text));
	exception_key(&text, key->text, key->length);
	item[0].key_length = text.length;
	item[1].key_length = key->length;
	result = store_update(ctl->store, item, 2, change_exception, &change, &error);
	*found = change.found;
	if (result == STORE_STOP && change.error.text[0]) {
		warnx("%s", change.error.text);
		return EX_DATAERR;
	}
	if (result != STORE_OK && result != STORE_STOP) {
		return ctl_store_failed(result, &error);
	}
	return EX_OK;
}

/* Says what holds now: "users:bob: 5000/day until 2026-11-20 14:00". */
static void print_wish(const struct ctl_wish *wish)
{
	char key[4 * KEY_MAX], until[64];
	struct strbuf text;

	strbuf_init(&text, key, sizeof(key));
	strbuf_printable(
	    &text, wish->key.text + wish->key.prefix, wish->key.length - wish->key.prefix, NULL);
	strbuf_init(&text, until, sizeof(until));
	if (wish->until_s) {
		strbuf_puts(&text, " until ");
		when_format(wish->until_s, &text);
	}
	if (wish->limits[0]) {
		printf("%s: %s: %s%s\n", wish->rule->name, key, wish->limits, until);
	} else {
		printf("%s: %s: %llu more in each window%s\n", wish->rule->name, key,
		    (unsigned long long)wish->granted, until);
	}
}

/* Reads --for, which leaves optind at the arguments. 0, or an exit status. */
static int read_for(int argc, char **argv, int64_t *until_s)
{
	static const struct option options[] = {
	    {"for", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
	struct error error;
	int64_t ms = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'f') {
			return ctl_usage(argv[0]);
		}
		if (when_parse_duration(optarg, &ms, &error)) {
			warnx("--for %s: %s", optarg, error.text);
			return EX_USAGE;
		}
		/* Of the second that it ends in, all. */
		*until_s = (clock_now_ms() + ms + 999) / 1000;
	}
	return 0;
}

/* What set and grant have in common. */
static int allow(struct ctl *ctl, int argc, char **argv, bool grant)
{
	struct ctl_wish wish = {.until_s = 0};
	enum store_result result;
	const uint8_t *secret;
	struct error error;
	bool found;
	int status = read_for(argc, argv, &wish.until_s);

	if (status) {
		return status;
	}
	if (argc - optind != 3 || (grant && !wish.until_s) ||
	    (argv[optind + 2][0] == '+') != grant) {
		return ctl_usage(argv[0]);
	}
	result = store_secret(ctl->store, &secret, &error);
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	if (ctl_wish_key(ctl, &wish, secret, argv[optind], argv[optind + 1], &error) ||
	    ctl_wish_limits(&wish, argv[optind + 2], &error)) {
		warnx("%s", error.text);
		return EX_DATAERR;
	}
	status = change_key(ctl, &wish.key, &wish, &found);
	if (status == EX_OK) {
		print_wish(&wish);
	}
	return status;
}

int cmd_set(struct ctl *ctl, int argc, char **argv)
{
	return allow(ctl, argc, argv, false);
}

int cmd_grant(struct ctl *ctl, int argc, char **argv)
{
	return allow(ctl, argc, argv, true);
}

int cmd_unset(struct ctl *ctl, int argc, char **argv)
{
	struct ctl_wish wish;
	enum store_result result;
	const uint8_t *secret;
	struct error error;
	bool found;
	int status;

	if (argc != 3 || argv[1][0] == '-') {
		return ctl_usage(argv[0]);
	}
	result = store_secret(ctl->store, &secret, &error);
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	if (ctl_wish_key(ctl, &wish, secret, argv[1], argv[2], &error)) {
		warnx("%s", error.text);
		return EX_DATAERR;
	}
	status = change_key(ctl, &wish.key, NULL, &found);
	if (status == EX_OK && !found) {
		warnx("nothing is set for %s in the rule %s", argv[2], argv[1]);
		return CTL_NO_MATCH;
	}
	if (status == EX_OK) {
		printf("%s: %s: as the configuration says\n", argv[1], argv[2]);
	}
	return status;
}

static void add_line(struct ctl_allowed *allowed, const char *key, size_t key_length,
    size_t rule_length, const char *limits, int64_t until_s)
{
	struct ctl_allowed_line *line;

	if (allowed->lines == allowed->room) {
		allowed->room = allowed->room ? allowed->room * 2 : 64;
		allowed->line =
		    table_must(reallocarray(allowed->line, allowed->room, sizeof(*line)));
	}
	line = &allowed->line[allowed->lines++];
	line->key = table_must(malloc(key_length + 1));
	memcpy(line->key, key, key_length);
	line->key[key_length] = '\0';
	line->key_length = key_length;
	line->rule_length = rule_length;
	line->limits = table_must(strdup(limits));
	line->until_s = until_s;
}

static bool read_exception(
    void *data, const char *key, size_t key_length, const char *bytes, size_t size)
{
	struct ctl_allowed *allowed = data;
	struct exception exception;
	struct error error;
	const char *colon;
	size_t rule_length;

	key = exception_counter_key(key, key_length, &key_length);
	colon = key ? memchr(key, ':', key_length) : NULL;
	if (!colon || exception_read(&exception, bytes, size, &error) ||
	    !exception_prune(&exception, allowed->now_s)) {
		return true;
	}
	rule_length = (size_t)(colon - key);
	if (allowed->rule &&
	    (strlen(allowed->rule->name) != rule_length ||
		memcmp(allowed->rule->name, key, rule_length) != 0)) {
		return true;
	}
	if (exception.limits[0]) {
		add_line(
		    allowed, key, key_length, rule_length, exception.limits, exception.until_s);
	}
	for (unsigned i = 0; i < exception.grants; i++) {
		char count[24];

		snprintf(
		    count, sizeof(count), "+%llu", (unsigned long long)exception.grant[i].count);
		add_line(allowed, key, key_length, rule_length, count, exception.grant[i].until_s);
	}
	return true;
}

static int compare_lines(const void *left, const void *right)
{
	const struct ctl_allowed_line *a = left;
	const struct ctl_allowed_line *b = right;
	int order = strcmp(a->key, b->key);

	/* Limits first: '+' comes before digits and letters. */
	order = order ? order : (a->limits[0] == '+') - (b->limits[0] == '+');
	return order ? order : (a->until_s > b->until_s) - (a->until_s < b->until_s);
}

int ctl_allowed_read(struct ctl *ctl, struct ctl_allowed *allowed)
{
	enum store_result result;
	struct error error;

	allowed->now_s = clock_now_ms() / 1000;
	result = store_walk(ctl->store, read_exception, allowed, &error);
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	if (allowed->lines > 0) {
		qsort(allowed->line, allowed->lines, sizeof(*allowed->line), compare_lines);
	}
	return EX_OK;
}

void ctl_allowed_free(struct ctl_allowed *allowed)
{
	for (size_t i = 0; i < allowed->lines; i++) {
		free(allowed->line[i].key);
		free(allowed->line[i].limits);
	}
	free(allowed->line);
}

static const struct table_column limits_columns[] = {
    {"rule", "RULE", false},
    {"key", "KEY", false},
    {"limits", "LIMITS", false},
    {"until", "UNTIL", false},
};

static void print_line(const struct ctl_allowed_line *line, struct table *table)
{
	char rule[CONFIG_RULE_NAME_MAX + 1], key[4 * KEY_MAX], until[64];
	struct table_cell cell[4];
	struct strbuf text;

	strbuf_init(&text, rule, sizeof(rule));
	strbuf_add(&text, line->key, line->rule_length);
	strbuf_init(&text, key, sizeof(key));
	strbuf_printable(&text, line->key + line->rule_length + 1,
	    line->key_length - line->rule_length - 1, NULL);
	strbuf_init(&text, until, sizeof(until));
	if (line->until_s) {
		when_format(line->until_s, &text);
	} else {
		strbuf_puts(&text, "-");
	}
	cell[0] = table_string(rule);
	cell[1] = table_string(key);
	cell[2] = table_string(line->limits);
	cell[3] = table_number((uint64_t)line->until_s, until);
	if (!line->until_s) {
		cell[3].json = TABLE_NULL;
	}
	table_row(table, cell);
}

int cmd_limits(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"rule", required_argument, NULL, 'r'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	struct ctl_allowed allowed = {.rule = NULL};
	struct table *table;
	bool json = false;
	int option, status = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			allowed.rule = ctl_rule_option(ctl, optarg, &status);
			if (status) {
				return status;
			}
			break;
		case 'j':
			json = true;
			break;
		default:
			return ctl_usage("limits");
		}
	}
	if (optind < argc) {
		return ctl_usage("limits");
	}
	status = ctl_allowed_read(ctl, &allowed);
	if (status == EX_OK) {
		table = table_new(json, limits_columns, 4);
		for (size_t i = 0; i < allowed.lines; i++) {
			print_line(&allowed.line[i], table);
		}
		table_end(table);
		if (allowed.lines == 0 && !json) {
			fputs(
			    "nothing is set; overrides of the configuration are shown by config\n",
			    stderr);
		}
		status = allowed.lines == 0 && allowed.rule ? CTL_NO_MATCH : EX_OK;
	}
	ctl_allowed_free(&allowed);
	return status;
}
