/*
 * The command reset: forgets what counters hold.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/array.h"
#include "count/counter.h"
#include "ctl/commands.h"
#include "ctl/near.h"
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
	bool history; /* forgets denials too */
	const struct effective *effective; /* of the key, for a damaged record */
	uint8_t secret[HASH_KEY_BYTES];
	bool found; /* the key has a counter, if only with denials */
	size_t counters; /* that held something, which is forgotten */
	const char *glob; /* of the keys to collect; NULL: all */
	char **key; /* those collected */
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
	int64_t last_ms;

	(void)items;
	reset->found = false;
	if (!item->exists) {
		return STORE_STOP;
	}
	if (record_read(&record, item->data, item->size, &error)) {
		if (!reset->effective || reset->effective->layout.windows == 0 ||
		    replace_record(reset, txn, item)) {
			return STORE_STOP;
		}
		item->action = STORE_REPLACE;
		reset->found = true;
	} else {
		last_ms = record.stamp_ms;
		counter_advance(&record, store_txn_now_ms(txn));
		reset->found = counter_is_alive(&record);
		if (!counter_is_used(&record) && !(reset->found && reset->history)) {
			return STORE_STOP;
		}
		counter_reset(&record);
		if (reset->history) {
			counter_forget_denials(&record);
		}
		/* Not a transaction, for whose sake the counter would be kept longer. */
		record.stamp_ms = last_ms < record.stamp_ms ? last_ms : record.stamp_ms;
		record_write(&record, item->data);
		item->action = STORE_PATCH;
	}
	return STORE_OK;
}

/* Resets one counter, and adds 1 to *found if there is one. An exit status. */
static int reset_key(struct ctl *ctl, struct reset *reset, const struct rule *rule, const char *key,
    size_t key_length, size_t *found)
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
	*found += (result == STORE_OK || result == STORE_STOP) && reset->found;
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
	if (prefix == 1 || (reset->rule && rule != reset->rule) ||
	    (reset->glob &&
		!ctl_key_matches(rule, key + prefix, key_length - prefix, reset->glob))) {
		return true;
	}
	reset->key = ctl_must(array_grow(reset->key, reset->keys, sizeof(*reset->key)));
	reset->key[reset->keys++] = ctl_must(strndup(key, key_length));
	return true;
}

/* Resets all counters, or those whose keys match the pattern glob. */
static int reset_many(struct ctl *ctl, struct reset *reset, const char *glob, size_t *found)
{
	struct error error;
	int status;

	reset->glob = glob;
	status = ctl_store_failed(store_walk(ctl->store, collect_key, reset, &error), &error);

	for (size_t i = 0; i < reset->keys; i++) {
		size_t length = strlen(reset->key[i]), prefix;
		const struct rule *rule = ctl_rule_of(ctl, reset->key[i], length, &prefix);

		if (status == 0) {
			status = reset_key(ctl, reset, rule, reset->key[i], length, found);
		}
		free(reset->key[i]);
	}
	free(reset->key);
	reset->key = NULL;
	reset->keys = 0;
	return status;
}

/*
 * Resets the counters of a key as an administrator writes it, or if there is none, those of a
 * pattern of keys; in one rule or in all.
 */
static int reset_named(struct ctl *ctl, struct reset *reset, const char *name, size_t *found)
{
	int status = 0;

	for (size_t i = 0; i < ctl->config.rules && status == 0; i++) {
		const struct rule *rule = &ctl->config.rule[i];
		struct request_key key;

		if (reset->rule && rule != reset->rule) {
			continue;
		}
		if (request_parse_key(rule, name, strlen(name), reset->secret, &key)) {
			status = reset_key(ctl, reset, rule, key.text, key.length, found);
		}
	}
	/* A client can choose a key such as "*", which must not stand for all others. */
	if (status == 0 && *found == 0 && strpbrk(name, "*?[")) {
		status = reset_many(ctl, reset, name, found);
	}
	return status;
}

int cmd_reset(struct ctl *ctl, int argc, char **argv)
{
	struct reset reset = {.ctl = ctl};
	bool all = false, missing = false;
	size_t found = 0;
	const struct ctl_option options[] = {
	    {"rule", .rule = &reset.rule},
	    {"all", .flag = &all},
	    {"history", .flag = &reset.history},
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
		status = reset_many(ctl, &reset, NULL, &found);
		missing = found == 0;
	}
	for (int i = optind; i < argc && status == 0; i++) {
		found = 0;
		status = reset_named(ctl, &reset, argv[i], &found);
		if (status == 0 && found == 0) {
			near_warn(ctl, reset.rule, NEAR_COUNTERS, argv[i], "");
			missing = true;
		}
	}
	if (status == 0 || reset.counters > 0) {
		printf("%zu counter%s reset\n", reset.counters, reset.counters == 1 ? "" : "s");
	}
	return status ? status : missing ? CTL_NO_MATCH : EX_OK;
}
