/*
 * The commands load, dump and clean: allowances in bulk, and the file made anew.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "ctl/cmd_set.h"
#include "ctl/progress.h"
#include "ctl/when.h"
#include "engine/judge.h"
#include "ctl/table.h"

#include "base/error.h"
#include "base/number.h"
#include "base/strbuf.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
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
	bool replace; /* whatever the file does not name goes */
	size_t mistakes;
	size_t expired;
	struct wanted *wanted;
	size_t lines;
	size_t room;
	size_t *first; /* indices of the lines with which a new key begins, and the end */
	size_t keys;

	/* Of the import. */
	struct progress progress;
	size_t steps;
	char exception[EXCEPTION_SIZE_MAX];
	char exception_key[sizeof(EXCEPTION_PREFIX) + sizeof(((struct request_key *)0)->text)];
};

static void complain(struct load *load, size_t line, const char *why)
{
	if (load->mistakes++ < MISTAKES_SHOWN) {
		fprintf(stderr, "%s:%zu: %s\n", load->name, line, why);
	}
}

/* UNTIL: "", "NULL" as SQL clients print it, or a time. */
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
	/* As a time a duration is that long ago, which is not what it is meant for here. */
	if (when_parse_duration(string, &ms, error) == 0) {
		return error_set(error,
		    "\"%.40s\" is how long, not until when: a date such as \"2026-11-20 14:00\", "
		    "or seconds since the epoch",
		    string);
	}
	return when_parse(string, now_s, until_s, error);
}

static void keep_line(struct load *load, const struct ctl_wish *wish, size_t line)
{
	struct wanted *wanted;

	if (load->lines == load->room) {
		load->room = load->room ? load->room * 2 : 1024;
		load->wanted =
		    table_must(reallocarray(load->wanted, load->room, sizeof(*load->wanted)));
	}
	wanted = &load->wanted[load->lines++];
	*wanted = (struct wanted){.length = wish->key.length,
	    .granted = wish->granted,
	    .until_s = wish->until_s,
	    .line = line};
	wanted->key = table_must(strdup(wish->key.text));
	wanted->limits = wish->limits[0] ? table_must(strdup(wish->limits)) : NULL;
}

static void read_line(struct load *load, char *text, size_t line)
{
	struct exception exception = {.until_s = 0};
	char *field[4] = {text, NULL, NULL, NULL};
	struct ctl_wish wish = {.until_s = 0};
	struct error error = {""};
	unsigned fields = 1;

	for (char *tab; fields < 4 && (tab = strchr(field[fields - 1], '\t')); fields++) {
		*tab = '\0';
		field[fields] = tab + 1;
	}
	if (fields < 3 || (fields == 4 && strchr(field[3], '\t'))) {
		complain(load, line, "not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs");
		return;
	}
	if (ctl_wish_key(load->ctl, &wish, load->secret, field[0], field[1], &error) ||
	    ctl_wish_limits(&wish, field[2], &error) ||
	    (fields == 4 && read_until(field[3], load->now_s, &wish.until_s, &error)) ||
	    ctl_wish_apply(load->ctl, &wish, &exception, &error)) {
		complain(load, line, error.text);
		return;
	}
	if (!wish.limits[0] && !wish.until_s) {
		complain(load, line, "a grant needs UNTIL, the time when it ends");
		return;
	}
	if (wish.until_s && wish.until_s <= load->now_s) {
		load->expired++;
		wish.limits[0] = '\0';
		wish.granted = 0;
	}
	keep_line(load, &wish, line);
}

static int compare_wanted(const void *left, const void *right)
{
	const struct wanted *a = left;
	const struct wanted *b = right;
	int order = strcmp(a->key, b->key);

	return order ? order : (a->line > b->line) - (a->line < b->line);
}

/* Brings the lines of a key together, and looks for those that contradict each other. */
static void sort_lines(struct load *load)
{
	if (load->lines > 0) {
		qsort(load->wanted, load->lines, sizeof(*load->wanted), compare_wanted);
	}
	load->first = table_must(reallocarray(NULL, load->lines + 1, sizeof(*load->first)));
	for (size_t i = 0; i < load->lines; i++) {
		const struct wanted *wanted = &load->wanted[i];
		const struct wanted *limits = NULL;
		size_t grants = 0;

		if (i > 0 && strcmp(wanted->key, wanted[-1].key) == 0) {
			continue;
		}
		load->first[load->keys++] = i;
		for (; wanted < load->wanted + load->lines &&
		     strcmp(wanted->key, load->wanted[i].key) == 0;
		     wanted++) {
			char why[100];

			grants += wanted->granted > 0;
			if (grants > EXCEPTION_GRANTS_MAX) {
				snprintf(why, sizeof(why), "more than %d grants for one key",
				    EXCEPTION_GRANTS_MAX);
				complain(load, wanted->line, why);
				break;
			}
			if (wanted->limits && limits) {
				snprintf(why, sizeof(why),
				    "the key has limits already, in line %zu", limits->line);
				complain(load, wanted->line, why);
			}
			limits = wanted->limits ? wanted : limits;
		}
	}
	load->first[load->keys] = load->lines;
}

/* Reads the file; every mistake is reported. An exit status. */
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
		text[strcspn(text, "\r\n")] = '\0';
		if (text[0] && text[0] != '#') {
			read_line(load, text, line);
		}
	}
	free(text);
	progress_end(&load->progress);
	if (ferror(file)) {
		warn("%s", load->name);
		return EX_DATAERR;
	}
	sort_lines(load);
	if (load->mistakes > 0) {
		if (load->mistakes > MISTAKES_SHOWN) {
			fprintf(stderr, "%s: %zu mistakes more\n", load->name,
			    load->mistakes - MISTAKES_SHOWN);
		}
		warnx("nothing was loaded");
		return EX_DATAERR;
	}
	return EX_OK;
}

/* Whether the file names that key. */
static bool is_wanted(const struct load *load, const char *key, size_t length)
{
	size_t low = 0, high = load->keys;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct wanted *wanted = &load->wanted[load->first[middle]];
		size_t common = length < wanted->length ? length : wanted->length;
		int order = memcmp(key, wanted->key, common);

		if (order == 0 && length == wanted->length) {
			return true;
		}
		if (order < 0 || (order == 0 && length < wanted->length)) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return false;
}

/* Lets a counter's record say that there is an exception. */
static void flag_record(char *bytes, size_t size)
{
	struct record record;
	struct error error;

	if (record_read(&record, bytes, size, &error) == 0) {
		record.exception = true;
		record_write(&record, bytes);
	}
}

/* store_import's function: all that the database has, exceptions of wanted keys excepted. */
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

/* The exception of the i-th key of the file; one that has expired is empty, and goes next time. */
static bool next(void *data, size_t i, struct store_record *record)
{
	struct load *load = data;
	struct exception exception = {.changed_ms = load->now_s * 1000};
	const struct wanted *wanted;
	struct strbuf text;

	progress_step(&load->progress, ++load->steps);
	if (i == load->keys) {
		return false;
	}
	for (size_t j = load->first[i]; j < load->first[i + 1]; j++) {
		wanted = &load->wanted[j];
		if (wanted->limits) {
			snprintf(exception.limits, sizeof(exception.limits), "%s", wanted->limits);
			exception.until_s = wanted->until_s;
		} else if (wanted->granted > 0) {
			exception_grant(&exception, wanted->until_s, wanted->granted);
		}
	}
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

int ctl_load_open(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"replace", no_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'r') {
			return ctl_usage("load");
		}
		ctl->replace = true;
	}
	if (argc - optind != 1) {
		return ctl_usage("load");
	}
	ctl->input_name = argv[optind];
	if (strcmp(ctl->input_name, "-") == 0) {
		ctl->input = stdin;
		ctl->input_name = "stdin";
		return 0;
	}
	ctl->input = fopen(ctl->input_name, "re");
	if (!ctl->input) {
		warn("%s", ctl->input_name);
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
	result = store_secret(ctl->store, &load.secret, &error);
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	status = read_file(&load, ctl->input);
	if (status == EX_OK && (load.lines > 0 || load.replace)) {
		progress_start(&load.progress, "records written");
		/* Mail waits for some of it: a Ctrl-Z would make it wait for good. */
		signal(SIGTSTP, SIG_IGN);
		result = store_import(ctl->store, &import, &error);
		progress_end(&load.progress);
		if (result != STORE_OK) {
			status = ctl_store_failed(result, &error);
			warnx("nothing was loaded");
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

int cmd_dump(struct ctl *ctl, int argc, char **argv)
{
	struct ctl_allowed allowed = {.rule = NULL};
	int status;

	if (argc > 1) {
		return ctl_usage(argv[0]);
	}
	status = ctl_allowed_read(ctl, &allowed);
	for (size_t i = 0; i < allowed.lines; i++) {
		const struct ctl_allowed_line *line = &allowed.line[i];

		printf("%.*s\t%s\t%s", (int)line->rule_length, line->key,
		    line->key + line->rule_length + 1, line->limits);
		if (line->until_s) {
			printf("\t%lld", (long long)line->until_s);
		}
		putchar('\n');
	}
	ctl_allowed_free(&allowed);
	return status;
}

static void show_progress(void *data, size_t records)
{
	progress_step(data, records);
}

int cmd_clean(struct ctl *ctl, int argc, char **argv)
{
	struct progress progress;
	struct store_maintenance maintenance = {.step = show_progress, .data = &progress};
	enum store_result result;
	const char *notice;
	struct error error;

	if (argc > 1) {
		return ctl_usage(argv[0]);
	}
	/* Mail waits for some of it: a Ctrl-Z would make it wait for good. */
	signal(SIGTSTP, SIG_IGN);
	progress_start(&progress, "records looked at");
	result = store_maintain(ctl->store, &maintenance, &error);
	progress_end(&progress);
	notice = store_notice(ctl->store);
	if (notice) {
		warnx("%s", notice);
	}
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	printf("%zu records kept, %zu expired ones gone; %llu KiB, before %llu KiB\n",
	    maintenance.kept, maintenance.records - maintenance.kept,
	    (unsigned long long)(maintenance.size_after + 1023) / 1024,
	    (unsigned long long)(maintenance.size_before + 1023) / 1024);
	return EX_OK;
}
