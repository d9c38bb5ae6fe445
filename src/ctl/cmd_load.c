/*
 * The command load: many exceptions from a file, all or none of them.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/array.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/number.h"
#include "base/strbuf.h"
#include "ctl/commands.h"
#include "ctl/print.h"
#include "ctl/progress.h"
#include "ctl/spec.h"
#include "ctl/when.h"
#include "engine/judge.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define LINE_MAX_BYTES 65536
#define MISTAKES_SHOWN 20

/* A line of the file. */
struct wanted {
	char *key; /* RULE:KEY */
	size_t length;
	const struct rule *rule;
	const struct override *override; /* that the key has in the configuration */
	char *limits; /* NULL: a grant */
	uint64_t granted;
	int64_t until_s;
	size_t line;
};

struct load {
	struct ctl *ctl;
	const char *name; /* of the file, for messages */
	const uint8_t *secret;
	int64_t now_s;
	bool replace; /* exceptions that the file does not name are removed */
	size_t mistakes;
	size_t expired;
	struct wanted *wanted;
	size_t lines;
	size_t *first; /* index of the first line of each key, and the number of lines */
	size_t keys;

	/* For the compaction. */
	struct progress progress;
	size_t steps;
	char exception[EXCEPTION_SIZE_MAX];
	char exception_key[sizeof(EXCEPTION_PREFIX) + sizeof(((struct request_key *)0)->text)];
};

__attribute__((format(printf, 3, 4))) static void complain(
    struct load *load, size_t line, const char *format, ...)
{
	char text[sizeof(((struct error *)0)->text)];
	va_list arguments;

	if (load->mistakes++ < MISTAKES_SHOWN) {
		va_start(arguments, format);
		vsnprintf(text, sizeof(text), format, arguments);
		va_end(arguments);
		print_complaint("%s:%zu: %s", load->name, line, text);
	}
}

/* UNTIL: "", "NULL" (which SQL clients print), "-" or a time. */
static int read_until(const char *string, int64_t now_s, int64_t *until_s, struct error *error)
{
	int64_t ms;

	*until_s = 0;
	if (!*string || strcmp(string, "NULL") == 0 || strcmp(string, "-") == 0) {
		return 0;
	}
	if (number_parse(string, strlen(string), INT64_MAX / 1000, (uint64_t *)until_s) == 0) {
		return 0;
	}
	/* when_parse takes a duration as that long ago, which is not meant here. */
	if (when_parse_duration(string, &ms, error) == 0) {
		return error_set(error,
		    "\"%.40s\" is a duration, not a time: write a date such as \"2026-11-20 "
		    "14:00\", "
		    "or seconds since the epoch",
		    string);
	}
	return when_parse(string, now_s, until_s, error);
}

static void keep_line(struct load *load, const struct spec *spec, size_t line)
{
	struct wanted *wanted;

	load->wanted = ctl_must(array_grow(load->wanted, load->lines, sizeof(*wanted)));
	wanted = &load->wanted[load->lines++];
	*wanted = (struct wanted){.key = ctl_must(strdup(spec->key.text)),
	    .length = spec->key.length,
	    .rule = spec->rule,
	    .override = spec->key.override,
	    .limits = spec->limits[0] ? ctl_must(strdup(spec->limits)) : NULL,
	    .granted = spec->granted,
	    .until_s = spec->until_s,
	    .line = line};
}

static void read_line(struct load *load, char *text, size_t line)
{
	struct exception exception = {.until_s = 0};
	struct spec spec = {.until_s = 0};
	struct error error = {""};
	unsigned fields = 0;
	char *field[5];

	for (; fields < 5 && text; fields++) {
		field[fields] = strsep(&text, "\t");
	}
	if (fields < 3 || fields > 4) {
		complain(load, line, "not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs");
		return;
	}
	print_unescape(field[1]);
	if (spec_parse_key(load->ctl, &spec, load->secret, field[0], field[1], &error) ||
	    spec_parse_limits(&spec, field[2], &error) ||
	    (fields == 4 && read_until(field[3], load->now_s, &spec.until_s, &error)) ||
	    spec_add(&spec, &exception, &error) ||
	    /* The grants of a key count with its limits, which may be in another line. */
	    (spec.limits[0] &&
		!spec_effective(load->ctl, spec.rule, spec.key.override, &exception, &error))) {
		complain(load, line, "%s", error.text);
		return;
	}
	if (!spec.limits[0] && !spec.until_s) {
		complain(load, line, "a grant needs UNTIL, the time when it ends");
		return;
	}
	if (spec.until_s && spec.until_s <= load->now_s) {
		load->expired++;
		spec.limits[0] = '\0';
		spec.granted = 0;
	}
	keep_line(load, &spec, line);
}

static int compare_keys(const void *left, const void *right)
{
	const struct wanted *a = left;
	const struct wanted *b = right;
	int order = memcmp(a->key, b->key, a->length < b->length ? a->length : b->length);

	return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int compare_wanted(const void *left, const void *right)
{
	const struct wanted *a = left;
	const struct wanted *b = right;
	int order = compare_keys(a, b);

	return order ? order : (a->line > b->line) - (a->line < b->line);
}

/* The exception that the lines of the i-th key make. */
static void make_exception(const struct load *load, size_t i, struct exception *exception)
{
	*exception = (struct exception){.changed_ms = load->now_s * 1000};
	for (size_t j = load->first[i]; j < load->first[i + 1]; j++) {
		const struct wanted *wanted = &load->wanted[j];

		if (wanted->limits) {
			snprintf(
			    exception->limits, sizeof(exception->limits), "%s", wanted->limits);
			exception->until_s = wanted->until_s;
		} else if (wanted->granted > 0) {
			exception_grant(exception, wanted->until_s, wanted->granted);
		}
	}
}

/* Reports keys whose grants are too much for the rule. */
static void check_grants(struct load *load)
{
	struct exception exception;
	struct error error;

	for (size_t i = 0; i < load->keys; i++) {
		const struct wanted *last = &load->wanted[load->first[i + 1] - 1];

		make_exception(load, i, &exception);
		if (exception.grants > 0 &&
		    !spec_effective(load->ctl, last->rule, last->override, &exception, &error)) {
			complain(load, last->line, "%s", error.text);
		}
	}
}

/* Sorts the lines by key, and reports those that contradict each other. */
static void sort_lines(struct load *load)
{
	const struct wanted *limits = NULL;
	size_t grants = 0;

	if (load->lines > 0) {
		qsort(load->wanted, load->lines, sizeof(*load->wanted), compare_wanted);
	}
	load->first = ctl_must(reallocarray(NULL, load->lines + 1, sizeof(*load->first)));
	for (size_t i = 0; i < load->lines; i++) {
		const struct wanted *wanted = &load->wanted[i];

		if (i == 0 || strcmp(wanted->key, wanted[-1].key) != 0) {
			load->first[load->keys++] = i;
			limits = NULL;
			grants = 0;
		}
		grants += wanted->granted > 0;
		if (wanted->granted > 0 && grants == EXCEPTION_GRANTS_MAX + 1) {
			complain(load, wanted->line, "more than %d grants for one key",
			    EXCEPTION_GRANTS_MAX);
		}
		if (wanted->limits && limits) {
			complain(load, wanted->line, "the key already has limits, in line %zu",
			    limits->line);
		}
		limits = wanted->limits ? wanted : limits;
	}
	load->first[load->keys] = load->lines;
}

/* Reads the file and reports all mistakes. Returns an exit status. */
static int read_file(struct load *load, FILE *file)
{
	char *text = NULL;
	size_t size = 0, line = 0;
	ssize_t length;

	progress_start(&load->progress, "lines read");
	errno = 0;
	while ((length = getline(&text, &size, file)) > 0) {
		line++;
		progress_step(&load->progress, line);
		if (strlen(text) != (size_t)length || length > LINE_MAX_BYTES) {
			complain(load, line, "NUL bytes, or longer than 64 KiB");
			continue;
		}
		while (length > 0 && strchr("\r\n", text[length - 1])) {
			text[--length] = '\0';
		}
		if (strchr(text, '\r')) {
			complain(load, line, "a carriage return within the line");
		} else if (text[0] && text[0] != '#') {
			read_line(load, text, line);
		}
	}
	free(text);
	progress_end(&load->progress);
	if (!ferror(file) && load->replace && !load->ctl->force && load->lines == 0 &&
	    load->mistakes == 0) {
		print_warning("%s: no limits, so that --replace would end all there are; "
			      "--force does that",
		    load->name);
		print_warning("nothing was loaded");
		return EX_DATAERR;
	}
	if (ferror(file)) {
		print_warning("%s: %s", load->name, strerror(errno));
		return EX_DATAERR;
	}
	sort_lines(load);
	check_grants(load);
	if (load->mistakes > 0) {
		if (load->mistakes > MISTAKES_SHOWN) {
			print_complaint(
			    "%s: %zu more mistakes", load->name, load->mistakes - MISTAKES_SHOWN);
		}
		print_warning("nothing was loaded");
		return EX_DATAERR;
	}
	return EX_OK;
}

/* Whether the file names that key. */
static bool is_wanted(const struct load *load, const char *key, size_t length)
{
	struct wanted wanted = {.key = (char *)key, .length = length};

	return load->lines > 0 &&
	    bsearch(&wanted, load->wanted, load->lines, sizeof(wanted), compare_keys);
}

/* Sets the flag of a counter's record that says that the key has an exception. */
static void flag_record(char *bytes, size_t size)
{
	struct record record;
	struct error error;

	if (record_read(&record, bytes, size, &error) == 0) {
		record.exception = true;
		record_write(&record, bytes);
	}
}

/* The import's function: keeps records, but not exceptions that the file replaces. */
static bool keep(void *data, const char *key, size_t key_length, char *bytes, size_t size)
{
	struct load *load = data;
	const char *counter;
	size_t length;

	progress_step(&load->progress, ++load->steps);
	counter = exception_counter_key(key, key_length, &length);
	if (counter) {
		return !load->replace && !is_wanted(load, counter, length);
	}
	if (is_wanted(load, key, key_length)) {
		flag_record(bytes, size);
	}
	return true;
}

/* The exception of the i-th key. Empty if it has expired: the next compaction removes it. */
static bool next(void *data, size_t i, struct store_record *record)
{
	struct load *load = data;
	struct exception exception;
	const struct wanted *wanted;
	struct strbuf text;

	progress_step(&load->progress, ++load->steps);
	if (i == load->keys) {
		return false;
	}
	make_exception(load, i, &exception);
	wanted = &load->wanted[load->first[i]];
	strbuf_init(&text, load->exception_key, sizeof(load->exception_key));
	exception_key(&text, wanted->key, wanted->length);
	record->key = text.buffer;
	record->key_length = text.length;
	strbuf_init(&text, load->exception, sizeof(load->exception));
	exception_format(&exception, &text);
	record->data = text.buffer;
	record->size = text.length;
	return true;
}

int cmd_load_open(struct ctl *ctl, int argc, char **argv)
{
	const struct ctl_option options[] = {
	    {"replace", .flag = &ctl->replace},
	    {"force", .flag = &ctl->force},
	    {.name = NULL},
	};
	int status = ctl_options(ctl, options, argc, argv, 1);

	if (status || optind == argc) {
		return status ? status : CTL_USAGE;
	}
	ctl->input_name = argv[optind];
	if (strcmp(ctl->input_name, "-") == 0) {
		ctl->input = stdin;
		ctl->input_name = "stdin";
		return 0;
	}
	ctl->input = fopen(ctl->input_name, "re");
	if (!ctl->input) {
		print_warning("%s: %s", ctl->input_name, strerror(errno));
		return errno == EACCES || errno == EPERM ? EX_NOPERM : EX_DATAERR;
	}
	return 0;
}

int cmd_load(struct ctl *ctl, int argc, char **argv)
{
	struct load load = {.ctl = ctl, .name = ctl->input_name, .replace = ctl->replace};
	struct store_import import = {.keep = keep, .next = next, .data = &load};
	enum store_result result;
	struct error error;
	int status;

	(void)argc;
	(void)argv;
	load.now_s = clock_now_ms() / 1000;
	status = ctl_store_failed(store_secret(ctl->store, &load.secret, &error), &error);
	if (status) {
		return status;
	}
	status = read_file(&load, ctl->input);
	if (status == EX_OK && (load.lines > 0 || load.replace)) {
		progress_start(&load.progress, "records written");
		signal(SIGTSTP, SIG_IGN); /* mail waits for locks of this process */
		result = store_import(ctl->store, &import, &error);
		progress_end(&load.progress);
		if (result != STORE_OK) {
			status = ctl_store_failed(result, &error);
			print_warning("nothing was loaded");
		}
	}
	if (status == EX_OK) {
		printf("%zu line%s for %zu key%s loaded", load.lines, load.lines == 1 ? "" : "s",
		    load.keys, load.keys == 1 ? "" : "s");
		if (load.expired > 0) {
			printf(", %zu of them expired", load.expired);
		}
		putchar('\n');
	}
	for (size_t i = 0; i < load.lines; i++) {
		free(load.wanted[i].key);
		free(load.wanted[i].limits);
	}
	free(load.wanted);
	free(load.first);
	return status;
}
