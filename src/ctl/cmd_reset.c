/*
 * The command reset: forgets what counters hold.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "config/rule.h"
#include "count/counter.h"
#include "ctl/main.h"
#include "ctl/table.h"
#include "engine/limits.h"
#include "engine/request.h"

#include "base/error.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct reset {
	struct ctl *ctl;
	const struct rule *rule; /* --rule, or NULL */
	int64_t now_ms;
	const struct config_plan *plan; /* of the key, for a record that is damaged */
	char *new_record; /* instead of such a one */
	size_t counters;
	/* Keys of the whole file, for --all; one after the other, with their lengths. */
	struct reset_key {
		char *text;
		size_t length;
	} * key;
	size_t keys;
	size_t room;
};

/* Builds an empty record instead of a damaged one, which may have had an exception. */
static void replace_record(struct reset *reset, struct store_item *item)
{
	struct exception exception;
	struct record record;

	record_init(&record, &reset->plan->layout);
	quota_exception(reset->ctl->store, item->key, item->key_length, reset->now_ms / 1000,
	    &exception, &record.exception);
	free(reset->new_record);
	reset->new_record = table_must(malloc(reset->plan->record_size));
	record_write_new(&record, reset->new_record);
	item->replacement = reset->new_record;
	item->replacement_size = reset->plan->record_size;
}

/* store_update's function: empties a record that holds something, or that is damaged. */
static enum store_result empty_record(void *data, struct store_item *item, size_t items)
{
	struct reset *reset = data;
	struct record record;
	struct error error;

	(void)items;
	if (!item->stored) {
		return STORE_STOP;
	}
	if (record_read(&record, item->data, item->size, &error)) {
		if (!reset->plan || reset->plan->layout.windows == 0) {
			return STORE_STOP;
		}
		replace_record(reset, item);
	} else {
		counter_advance(&record, reset->now_ms);
		if (!counter_is_alive(&record)) {
			return STORE_STOP;
		}
		counter_reset(&record);
		record_write(&record, item->data);
	}
	item->changed = true;
	return STORE_OK;
}

static int reset_key(struct ctl *ctl, struct reset *reset, const struct rule *rule, const char *key,
    size_t key_length)
{
	struct store_item item = {.key = key, .key_length = key_length};
	enum store_result result;
	struct error error;

	reset->plan = NULL;
	if (rule) {
		size_t prefix = strlen(rule->name) + 1;

		reset->plan = config_plan_of(rule, key + prefix, key_length - prefix);
	}
	result = store_update(ctl->store, &item, 1, empty_record, reset, &error);
	if (result == STORE_STOP) {
		return 0;
	}
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	reset->counters++;
	return 0;
}

static bool collect_key(
    void *data, const char *key, size_t key_length, const char *bytes, size_t size)
{
	struct reset *reset = data;
	const char *colon = memchr(key, ':', key_length);
	const struct rule *rule = colon ? ctl_rule(reset->ctl, key, (size_t)(colon - key)) : NULL;

	(void)bytes;
	(void)size;
	/* A key that starts with a colon is no counter's. */
	if (colon == key || (reset->rule && rule != reset->rule)) {
		return true;
	}
	if (reset->keys == reset->room) {
		reset->room = reset->room ? reset->room * 2 : 64;
		reset->key =
		    table_must(reallocarray(reset->key, reset->room, sizeof(*reset->key)));
	}
	reset->key[reset->keys].text = table_must(malloc(key_length));
	memcpy(reset->key[reset->keys].text, key, key_length);
	reset->key[reset->keys++].length = key_length;
	return true;
}

static int reset_all(struct ctl *ctl, struct reset *reset)
{
	enum store_result result;
	struct error error;
	int status = 0;

	result = store_walk(ctl->store, collect_key, reset, &error);
	if (result != STORE_OK) {
		status = ctl_store_failed(result, &error);
	}
	for (size_t i = 0; i < reset->keys; i++) {
		const struct reset_key *key = &reset->key[i];
		const char *colon = memchr(key->text, ':', key->length);
		const struct rule *rule =
		    colon ? ctl_rule(ctl, key->text, (size_t)(colon - key->text)) : NULL;

		if (status == 0) {
			status = reset_key(ctl, reset, rule, key->text, key->length);
		}
		free(key->text);
	}
	free(reset->key);
	return status;
}

/* The counters of one key as an administrator writes it, of one rule or of all. */
static int reset_named(struct ctl *ctl, struct reset *reset, const char *name)
{
	enum store_result result;
	const uint8_t *secret;
	struct error error;
	int status = 0;

	result = store_secret(ctl->store, &secret, &error);
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	for (size_t i = 0; i < ctl->config.rules && status == 0; i++) {
		const struct rule *rule = &ctl->config.rule[i];
		struct request_key key;

		if (reset->rule && rule != reset->rule) {
			continue;
		}
		request_parse_key(rule, name, strlen(name), secret, &key);
		status = reset_key(ctl, reset, rule, key.text, key.length);
	}
	return status;
}

int cmd_reset(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"rule", required_argument, NULL, 'r'},
	    {"all", no_argument, NULL, 'a'},
	    {NULL, 0, NULL, 0},
	};
	struct reset reset = {.ctl = ctl, .now_ms = clock_now_ms()};
	bool all = false;
	int option, status = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			reset.rule = ctl_rule_option(ctl, optarg, &status);
			if (status) {
				return status;
			}
			break;
		case 'a':
			all = true;
			break;
		default:
			return ctl_usage("reset");
		}
	}
	/* Either keys or --all: both, or neither, is more likely a slip than a wish. */
	if (all == (optind < argc)) {
		return ctl_usage("reset");
	}
	if (all) {
		status = reset_all(ctl, &reset);
	}
	for (int i = optind; i < argc && status == 0; i++) {
		status = reset_named(ctl, &reset, argv[i]);
	}
	free(reset.new_record);
	if (status == 0 || reset.counters > 0) {
		printf("%zu counter%s reset\n", reset.counters, reset.counters == 1 ? "" : "s");
	}
	return status ? status : reset.counters ? EX_OK : CTL_NO_MATCH;
}
