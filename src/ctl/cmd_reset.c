/*
 * The command reset: forgets what counters hold.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/array.h"
#include "count/counter.h"
#include "ctl/commands.h"
#include "engine/limits.h"
#include "engine/request.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct reset {
	struct ctl *ctl;
	const struct rule *rule; /* --rule, or NULL */
	const struct effective *effective; /* of the key, for a damaged record */
	uint8_t secret[HASH_KEY_BYTES];
	size_t counters;
	char **key; /* for --all: those of all counters */
	size_t keys;
};

/* Makes an empty record for a damaged one, with a flag if the key has an exception. */
static int replace_record(struct reset *reset, struct store_txn *txn, struct store_item *item)
{
	struct exception exception;
	struct record record;

	record_init(&record, &reset->effective->layout);
	effective_limits_find_exception(
	    txn, item->key, item->key_length, &exception, &record.exception);
	if (store_txn_resize(txn, item, reset->effective->initial_size)) {
		return -1;
	}
	record_write_new(&record, item->data);
	return 0;
}

/* The change function: empties a record that holds something or is damaged. */
static enum store_result empty_record(
    void *data, struct store_txn *txn, struct store_item *item, size_t items)
{
	struct reset *reset = data;
	struct record record;
	struct error error;

	(void)items;
	if (!item->exists) {
		return STORE_STOP;
	}
	if (record_read(&record, item->data, item->size, &error)) {
		if (!reset->effective || reset->effective->layout.windows == 0 ||
		    replace_record(reset, txn, item)) {
			return STORE_STOP;
		}
		item->action = STORE_REPLACE;
	} else {
		counter_advance(&record, store_txn_now_ms(txn));
		if (!counter_is_alive(&record)) {
			return STORE_STOP;
		}
		counter_reset(&record);
		record_write(&record, item->data);
		item->action = STORE_PATCH;
	}
	return STORE_OK;
}

static int reset_key(struct ctl *ctl, struct reset *reset, const struct rule *rule, const char *key,
    size_t key_length)
{
	struct store_item item = {.key = key, .key_length = key_length};
	enum store_result result;
	struct error error;

	reset->effective = NULL;
	if (rule) {
		size_t prefix = strlen(rule->name) + 1;

		reset->effective = effective_limits_of_file(ctl->limits, rule,
		    request_find_override(rule, key + prefix, key_length - prefix, reset->secret));
	}
	result = store_update(ctl->store, &item, 1, empty_record, reset, &error);
	reset->counters += result == STORE_OK;
	return result == STORE_STOP ? 0 : ctl_store_failed(result, &error);
}

static bool collect_key(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *bytes, size_t size)
{
	struct reset *reset = data;
	size_t prefix;
	const struct rule *rule = ctl_rule_of(reset->ctl, key, key_length, &prefix);

	(void)txn;
	(void)bytes;
	(void)size;
	/* A key that starts with a colon does not belong to a counter. */
	if (prefix == 1 || (reset->rule && rule != reset->rule)) {
		return true;
	}
	reset->key = ctl_must(array_grow(reset->key, reset->keys, sizeof(*reset->key)));
	reset->key[reset->keys++] = ctl_must(strndup(key, key_length));
	return true;
}

static int reset_all(struct ctl *ctl, struct reset *reset)
{
	struct error error;
	int status = ctl_store_failed(store_walk(ctl->store, collect_key, reset, &error), &error);

	for (size_t i = 0; i < reset->keys; i++) {
		size_t length = strlen(reset->key[i]), prefix;
		const struct rule *rule = ctl_rule_of(ctl, reset->key[i], length, &prefix);

		if (status == 0) {
			status = reset_key(ctl, reset, rule, reset->key[i], length);
		}
		free(reset->key[i]);
	}
	free(reset->key);
	return status;
}

/* Resets the counters of a key, which is as an administrator writes it, in one rule or in all. */
static int reset_named(struct ctl *ctl, struct reset *reset, const char *name)
{
	int status = 0;

	for (size_t i = 0; i < ctl->config.rules && status == 0; i++) {
		const struct rule *rule = &ctl->config.rule[i];
		struct request_key key;

		if (reset->rule && rule != reset->rule) {
			continue;
		}
		if (request_parse_key(rule, name, strlen(name), reset->secret, &key)) {
			status = reset_key(ctl, reset, rule, key.text, key.length);
		}
	}
	return status;
}

int cmd_reset(struct ctl *ctl, int argc, char **argv)
{
	struct reset reset = {.ctl = ctl};
	bool all = false;
	const struct ctl_option options[] = {
	    {"rule", .rule = &reset.rule},
	    {"all", .flag = &all},
	    {.name = NULL},
	};
	int status = ctl_options(ctl, options, argc, argv, INT_MAX);
	const uint8_t *secret;
	struct error error;

	if (status) {
		return status;
	}
	/* Either keys or --all: both, or neither, is probably a mistake. */
	if (all == (optind < argc)) {
		return CTL_USAGE;
	}
	status = ctl_store_failed(store_secret(ctl->store, &secret, &error), &error);
	if (status) {
		return status;
	}
	memcpy(reset.secret, secret, sizeof(reset.secret));
	if (all) {
		status = reset_all(ctl, &reset);
	}
	for (int i = optind; i < argc && status == 0; i++) {
		status = reset_named(ctl, &reset, argv[i]);
	}
	if (status == 0 || reset.counters > 0) {
		printf("%zu counter%s reset\n", reset.counters, reset.counters == 1 ? "" : "s");
	}
	return status ? status : reset.counters ? EX_OK : CTL_NO_MATCH;
}
