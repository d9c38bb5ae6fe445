/*
 * The commands set, grant and unset: exceptions, which the database keeps.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "base/strbuf.h"
#include "ctl/commands.h"
#include "ctl/print.h"
#include "ctl/spec.h"
#include "ctl/when.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* For the change function. */
struct change {
	struct ctl *ctl;
	const struct spec *spec; /* NULL: unset */
	struct error error; /* why it stopped; "": there was nothing to unset */
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
	bool found;

	(void)items;
	/* A damaged exception counts as none. */
	found = item[0].exists &&
	    exception_read(&exception, item[0].data, item[0].size, &error) == 0 &&
	    exception_prune(&exception, now_ms / 1000);
	if (!change->spec) {
		if (!found) {
			return STORE_STOP;
		}
		memset(&exception, 0, sizeof(exception));
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

/* Adds spec to the exception of its key, or removes that if add is false. An exit status. */
static int change_key(struct ctl *ctl, const struct spec *spec, bool add)
{
	struct change change = {.ctl = ctl, .spec = add ? spec : NULL};
	const struct request_key *key = &spec->key;
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
	if (result != STORE_STOP) {
		return ctl_store_failed(result, &error);
	}
	if (change.error.text[0]) {
		print_warning("%s", change.error.text);
		return EX_DATAERR;
	}
	return CTL_NO_MATCH;
}

/* Prints "users: bob: ". */
static void print_key(const struct spec *spec)
{
	const struct request_key *key = &spec->key;

	printf("%s: ", spec->rule->name);
	print_text(stdout, key->text + key->prefix, key->length - key->prefix);
	fputs(": ", stdout);
}

/* Prints what is in effect now: "users: bob: 5000/day until 2026-11-20 14:00". */
static void print_spec(const struct spec *spec)
{
	char until[64];
	struct strbuf text;

	strbuf_init(&text, until, sizeof(until));
	if (spec->until_s) {
		strbuf_puts(&text, " until ");
		when_format(spec->until_s, &text);
	}
	print_key(spec);
	if (spec->limits[0]) {
		printf("%s%s\n", spec->limits, until);
	} else {
		printf("%llu more in each window%s\n", (unsigned long long)spec->granted, until);
	}
}

/* Reads RULE and KEY. Returns an exit status. */
static int read_key(struct ctl *ctl, struct spec *spec, char **argv, struct error *error)
{
	const uint8_t *secret;
	int status = ctl_store_failed(store_secret(ctl->store, &secret, error), error);

	if (status == 0 && spec_parse_key(ctl, spec, secret, argv[0], argv[1], error)) {
		print_warning("%s", error->text);
		return EX_DATAERR;
	}
	return status;
}

/* Either set or grant. */
static int add_exception(struct ctl *ctl, int argc, char **argv, bool grant)
{
	struct spec spec = {.until_s = 0};
	const char *length = NULL;
	const struct ctl_option options[] = {{"for", .text = &length}, {.name = NULL}};
	int status = ctl_options(ctl, options, argc, argv, 3);
	struct error error;
	int64_t ms = 0;

	if (status) {
		return status;
	}
	if (length && when_parse_duration(length, &ms, &error)) {
		print_warning("--for %s: %s", length, error.text);
		return EX_USAGE;
	}
	argv += optind;
	if (argc - optind != 3 || (grant && !length) || (argv[2][0] == '+') != grant) {
		return CTL_USAGE;
	}
	/* The end of the second in which it ends. */
	spec.until_s = length ? (clock_now_ms() + ms + 999) / 1000 : 0;
	status = read_key(ctl, &spec, argv, &error);
	if (status == 0 && spec_parse_limits(&spec, argv[2], &error)) {
		print_warning("%s", error.text);
		return EX_DATAERR;
	}
	if (status == 0) {
		status = change_key(ctl, &spec, true);
	}
	if (status == 0) {
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
	struct error error;
	int status;

	if (argc != 3 || argv[1][0] == '-') {
		return CTL_USAGE;
	}
	status = read_key(ctl, &spec, argv + 1, &error);
	if (status == 0) {
		status = change_key(ctl, &spec, false);
		if (status == CTL_NO_MATCH) {
			print_warning("nothing is set for %s in the rule %s", argv[2], argv[1]);
		}
	}
	if (status == 0) {
		print_key(&spec);
		puts("as the configuration says");
	}
	return status;
}
