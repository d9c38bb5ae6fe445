/*
 * The commands set, grant and unset: exceptions, which the database keeps.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "base/strbuf.h"
#include "ctl/commands.h"
#include "ctl/near.h"
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
	bool force; /* grants to a key that has no counter */
	struct error error; /* why it stopped; "": the key is not there */
	bool has_counter;
	uint64_t granted; /* in total now */
	struct limits limits; /* effective now */
};

/* Adds the spec to the exception. 0, or -1 and an error. */
static int add_spec(struct change *change, struct exception *exception)
{
	const struct spec *spec = change->spec;
	const struct effective *effective;

	if (spec_add(spec, exception, &change->error)) {
		return -1;
	}
	effective =
	    spec_effective(change->ctl, spec->rule, spec->key.override, exception, &change->error);
	if (!effective) {
		return -1;
	}
	if (!spec->limits[0] && effective->limits.kind != LIMITS_WINDOWS) {
		return error_set(&change->error, "the key is %s; there is nothing to grant more of",
		    effective->limits.kind == LIMITS_DENY ? "denied altogether (see set)"
							  : "unlimited");
	}
	change->granted = exception_granted(exception);
	change->limits = effective->limits;
	return 0;
}

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
	change->has_counter = item[1].exists;
	if (!change->spec) {
		if (!found) {
			return STORE_STOP;
		}
		memset(&exception, 0, sizeof(exception));
	} else if (add_spec(change, &exception)) {
		return STORE_STOP;
	} else if (!change->spec->limits[0] && !found && !item[1].exists && !change->force) {
		/* Probably a key that nobody has. */
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

/* An exit status: CTL_NO_MATCH, without a message, if the key is not there. */
static int change_key(struct ctl *ctl, const struct request_key *key, struct change *change)
{
	char exception_text[sizeof(EXCEPTION_PREFIX) + sizeof(key->text)];
	struct store_item item[2] = {{.key = exception_text}, {.key = key->text}};
	enum store_result result;
	struct error error;
	struct strbuf text;

	strbuf_init(&text, exception_text, sizeof(exception_text));
	exception_key(&text, key->text, key->length);
	item[0].key_length = text.length;
	item[1].key_length = key->length;
	result = store_update(ctl->store, item, 2, change_exception, change, &error);
	if (result != STORE_STOP) {
		return ctl_store_failed(result, &error);
	}
	if (change->error.text[0]) {
		print_warning("%s", change->error.text);
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
static void print_spec(const struct spec *spec, const struct change *change)
{
	char until[64], total[EXCEPTION_LIMITS_SIZE];
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
		strbuf_init(&text, total, sizeof(total));
		limits_format(&change->limits, spec->rule->count, &text);
		printf("%llu more in each window%s; in total %llu more: %s\n",
		    (unsigned long long)spec->granted, until, (unsigned long long)change->granted,
		    total);
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
	struct change change = {.ctl = ctl, .spec = &spec};
	const char *length = NULL;
	const struct ctl_option options[] = {
	    {"for", .text = &length},
	    {grant ? "force" : NULL, .flag = &change.force},
	    {.name = NULL},
	};
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
		status = change_key(ctl, &spec.key, &change);
	}
	if (status == 0) {
		print_spec(&spec, &change);
	}
	if (status == CTL_NO_MATCH) {
		near_warn(
		    ctl, spec.rule, NEAR_COUNTERS, argv[1], "; --force grants it all the same");
	} else if (status == 0 && !change.has_counter && !grant) {
		near_warn(ctl, spec.rule, NEAR_COUNTERS, argv[1], " yet");
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
	struct change change = {.ctl = ctl};
	struct spec spec;
	struct error error;
	int status;

	if (argc != 3 || argv[1][0] == '-') {
		return CTL_USAGE;
	}
	status = read_key(ctl, &spec, argv + 1, &error);
	if (status == 0) {
		status = change_key(ctl, &spec.key, &change);
		if (status == CTL_NO_MATCH) {
			near_warn(ctl, spec.rule, NEAR_EXCEPTIONS, argv[2], "");
		}
	}
	if (status == 0) {
		print_key(&spec);
		puts("as the configuration says");
	}
	return status;
}
