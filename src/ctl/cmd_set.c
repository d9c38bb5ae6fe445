/*
 * The commands set, grant and unset: exceptions, which the database keeps.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "base/strbuf.h"
#include "ctl/commands.h"
#include "ctl/spec.h"
#include "ctl/when.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* What the change function needs, and what it found. */
struct change {
	struct ctl *ctl;
	const struct spec *spec; /* NULL: unset */
	bool found;
	struct error error;
};

/* Changes the exception, and in the counter the flag that says whether it has one. */
static enum store_result change_exception(
    void *data, struct store_txn *txn, struct store_item *item, size_t items)
{
	struct change *change = data;
	int64_t now_ms = store_txn_now_ms(txn);
	char bytes[EXCEPTION_SIZE_MAX];
	struct exception exception = {.until_s = 0};
	struct record record;
	struct error error;
	struct strbuf text;

	(void)items;
	/* A damaged exception counts as none. */
	change->found = item[0].exists &&
	    exception_read(&exception, item[0].data, item[0].size, &error) == 0 &&
	    exception_prune(&exception, now_ms / 1000);
	if (!change->spec) {
		memset(&exception, 0, sizeof(exception));
		if (!change->found) {
			return STORE_STOP;
		}
	} else if (spec_apply(change->ctl, change->spec, &exception, &change->error)) {
		return STORE_STOP;
	}
	exception.changed_ms = now_ms;
	strbuf_init(&text, bytes, sizeof(bytes));
	exception_format(&exception, &text);
	if (store_txn_resize(txn, &item[0], text.length)) {
		error_set(&change->error, "out of memory");
		return STORE_STOP;
	}
	memcpy(item[0].data, bytes, text.length);
	item[0].action = STORE_REPLACE;
	if (item[1].exists && record_read(&record, item[1].data, item[1].size, &error) == 0) {
		record.exception = change->spec != NULL;
		record_write(&record, item[1].data);
		item[1].action = STORE_PATCH;
	}
	return STORE_OK;
}

/* Changes the exception of a key; *found: there was one. Returns an exit status. */
static int change_key(
    struct ctl *ctl, const struct request_key *key, const struct spec *spec, bool *found)
{
	struct change change = {.ctl = ctl, .spec = spec};
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

/* Prints what is in effect now: "users:bob: 5000/day until 2026-11-20 14:00". */
static void print_spec(const struct spec *spec)
{
	char key[4 * KEY_MAX], until[64];
	struct strbuf text;

	strbuf_init(&text, key, sizeof(key));
	strbuf_printable(
	    &text, spec->key.text + spec->key.prefix, spec->key.length - spec->key.prefix, NULL);
	strbuf_init(&text, until, sizeof(until));
	if (spec->until_s) {
		strbuf_puts(&text, " until ");
		when_format(spec->until_s, &text);
	}
	if (spec->limits[0]) {
		printf("%s: %s: %s%s\n", spec->rule->name, key, spec->limits, until);
	} else {
		printf("%s: %s: %llu more in each window%s\n", spec->rule->name, key,
		    (unsigned long long)spec->granted, until);
	}
}

/* Either set or grant. */
static int add_exception(struct ctl *ctl, int argc, char **argv, bool grant)
{
	struct spec spec = {.until_s = 0};
	const char *length = NULL;
	const struct ctl_option options[] = {{"for", .text = &length}, {.name = NULL}};
	int status = ctl_options(ctl, options, argc, argv, 3);
	enum store_result result;
	const uint8_t *secret;
	struct error error;
	int64_t ms = 0;
	bool found;

	if (status) {
		return status;
	}
	if (length && when_parse_duration(length, &ms, &error)) {
		warnx("--for %s: %s", length, error.text);
		return EX_USAGE;
	}
	/* The end of the second in which it ends. */
	spec.until_s = length ? (clock_now_ms() + ms + 999) / 1000 : 0;
	if (argc - optind != 3 || (grant && !spec.until_s) ||
	    (argv[optind + 2][0] == '+') != grant) {
		return CTL_USAGE;
	}
	result = store_secret(ctl->store, &secret, &error);
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	if (spec_parse_key(ctl, &spec, secret, argv[optind], argv[optind + 1], &error) ||
	    spec_parse_limits(&spec, argv[optind + 2], &error)) {
		warnx("%s", error.text);
		return EX_DATAERR;
	}
	status = change_key(ctl, &spec.key, &spec, &found);
	if (status == EX_OK) {
		print_spec(&spec);
	}
	return status;
}

int cmd_set(struct ctl *ctl, int argc, char **argv)
{
	return add_exception(ctl, argc, argv, false);
}

int cmd_grant(struct ctl *ctl, int argc, char **argv)
{
	return add_exception(ctl, argc, argv, true);
}

int cmd_unset(struct ctl *ctl, int argc, char **argv)
{
	struct spec spec;
	enum store_result result;
	const uint8_t *secret;
	struct error error;
	bool found;
	int status;

	if (argc != 3 || argv[1][0] == '-') {
		return CTL_USAGE;
	}
	result = store_secret(ctl->store, &secret, &error);
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	if (spec_parse_key(ctl, &spec, secret, argv[1], argv[2], &error)) {
		warnx("%s", error.text);
		return EX_DATAERR;
	}
	status = change_key(ctl, &spec.key, NULL, &found);
	if (status == EX_OK && !found) {
		warnx("nothing is set for %s in the rule %s", argv[2], argv[1]);
		return CTL_NO_MATCH;
	}
	if (status == EX_OK) {
		printf("%s: %s: as the configuration says\n", argv[1], argv[2]);
	}
	return status;
}
