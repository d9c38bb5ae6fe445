/*
 * The commands limits and dump: the exceptions in the database, as a table or as lines for load.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/array.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "ctl/commands.h"
#include "ctl/print.h"
#include "ctl/spec.h"
#include "ctl/table.h"
#include "ctl/when.h"
#include "engine/exception.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* The exceptions of the file, or those of a rule: a line for limits and one for each grant. */
struct lines {
	struct ctl *ctl;
	const struct rule *rule; /* NULL: all */
	struct line {
		char *rule;
		char *key; /* without the rule */
		char *limits; /* or "+N" */
		int64_t until_s; /* 0: for good */
	} * line;
	size_t n;
	int64_t now_s;
};

static void add_line(struct lines *lines, const char *key, size_t key_length, size_t rule_length,
    const char *limits, int64_t until_s)
{
	struct line *line;

	lines->line = ctl_must(array_grow(lines->line, lines->n, sizeof(*line)));
	line = &lines->line[lines->n++];
	*line = (struct line){.rule = ctl_must(strndup(key, rule_length)),
	    .key = ctl_must(strndup(key + rule_length + 1, key_length - rule_length - 1)),
	    .limits = ctl_must(strdup(limits)),
	    .until_s = until_s};
}

static bool read_exception(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *bytes, size_t size)
{
	struct lines *lines = data;
	struct exception exception;
	struct error error;
	const struct rule *rule;
	size_t prefix = 0;

	(void)txn;
	key = exception_counter_key(key, key_length, &key_length);
	rule = key ? ctl_rule_of(lines->ctl, key, key_length, &prefix) : NULL;
	/* A NUL would cut the key, to that of another user. */
	if (prefix == 0 || memchr(key, '\0', key_length) || (lines->rule && rule != lines->rule) ||
	    exception_read(&exception, bytes, size, &error) ||
	    !exception_prune(&exception, lines->now_s)) {
		return true;
	}
	if (exception.limits[0]) {
		add_line(lines, key, key_length, prefix - 1, exception.limits, exception.until_s);
	}
	for (unsigned i = 0; i < exception.grants; i++) {
		char count[24];

		snprintf(
		    count, sizeof(count), "+%llu", (unsigned long long)exception.grant[i].count);
		add_line(lines, key, key_length, prefix - 1, count, exception.grant[i].until_s);
	}
	return true;
}

static bool same_key(const struct line *a, const struct line *b)
{
	return strcmp(a->key, b->key) == 0 && strcmp(a->rule, b->rule) == 0;
}

static int compare_lines(const void *left, const void *right)
{
	const struct line *a = left;
	const struct line *b = right;
	int order = strcmp(a->rule, b->rule);

	order = order ? order : strcmp(a->key, b->key);
	/* Limits before grants, though '+' sorts before digits and letters. */
	order = order ? order : (a->limits[0] == '+') - (b->limits[0] == '+');
	return order ? order : (a->until_s > b->until_s) - (a->until_s < b->until_s);
}

/* Reads the exceptions. Returns an exit status. free_lines in any case. */
static int read_lines(struct ctl *ctl, struct lines *lines)
{
	struct error error;
	int status;

	lines->ctl = ctl;
	lines->now_s = clock_now_ms() / 1000;
	status = ctl_store_failed(store_walk(ctl->store, read_exception, lines, &error), &error);
	if (status == 0 && lines->n > 0) {
		qsort(lines->line, lines->n, sizeof(*lines->line), compare_lines);
	}
	return status;
}

static void free_lines(struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++) {
		free(lines->line[i].rule);
		free(lines->line[i].key);
		free(lines->line[i].limits);
	}
	free(lines->line);
}

static const struct table_column limits_columns[] = {
    {"rule", "RULE", false},
    {"key", "KEY", false},
    {"limits", "LIMITS", false},
    {"until", "UNTIL", false},
};

#define LIMITS_COLUMNS (sizeof(limits_columns) / sizeof(*limits_columns))

static const unsigned in_order[LIMITS_COLUMNS] = {0, 1, 2, 3};

static void print_line(const struct line *line, struct table *table)
{
	char until[64];
	struct strbuf text;

	strbuf_init(&text, until, sizeof(until));
	if (line->until_s) {
		when_format(line->until_s, &text);
	} else {
		strbuf_puts(&text, "-");
	}
	table_row(table,
	    (struct table_cell[LIMITS_COLUMNS]){{line->rule}, {line->key}, {line->limits},
		{until, line->until_s ? TABLE_NUMBER : TABLE_NULL, line->until_s}});
}

int cmd_limits(struct ctl *ctl, int argc, char **argv)
{
	struct lines lines = {.rule = NULL};
	bool json = false;
	const struct ctl_option options[] = {
	    {"rule", .rule = &lines.rule},
	    {"json", .flag = &json},
	    {.name = NULL},
	};
	int status = ctl_options(ctl, options, argc, argv, 0);
	struct table *table;

	if (status) {
		return status;
	}
	status = read_lines(ctl, &lines);
	if (status == EX_OK) {
		table = table_new(json, stdout, limits_columns, in_order, LIMITS_COLUMNS);
		for (size_t i = 0; i < lines.n; i++) {
			print_line(&lines.line[i], table);
		}
		table_end(table);
		if (lines.n == 0 && !json) {
			fputs("nothing is set; config shows the overrides of the configuration\n",
			    stderr);
		}
		status = lines.n == 0 && lines.rule ? CTL_NO_MATCH : EX_OK;
	}
	free_lines(&lines);
	return status;
}

/* Whether load would take the n lines of a key. 0, or -1 and why not. */
static int check_lines(struct ctl *ctl, const struct line *line, size_t n, struct error *error)
{
	struct exception exception = {.until_s = 0};
	struct spec spec = {.until_s = 0};
	const uint8_t *secret;

	if (store_secret(ctl->store, &secret, error) != STORE_OK ||
	    spec_parse_key(ctl, &spec, secret, line->rule, line->key, error)) {
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (spec_parse_limits(&spec, line[i].limits, error) ||
		    spec_add(&spec, &exception, error)) {
			return -1;
		}
	}
	return spec_effective(ctl, spec.rule, spec.key.override, &exception, error) ? 0 : -1;
}

static void dump_line(const struct line *line, const char *comment)
{
	fputs(comment, stdout);
	print_escaped(stdout, line->rule, strlen(line->rule));
	putchar('\t');
	print_escaped(stdout, line->key, strlen(line->key));
	putchar('\t');
	print_escaped(stdout, line->limits, strlen(line->limits));
	if (line->until_s) {
		printf("\t%lld", (long long)line->until_s);
	}
	putchar('\n');
}

/* Prints the n lines of a key, as comments if load would refuse them. */
static void dump_key(struct ctl *ctl, const struct line *line, size_t n)
{
	struct error error;
	bool ok = check_lines(ctl, line, n, &error) == 0;

	if (!ok) {
		printf("# load refuses this: %s\n", error.text);
	}
	for (size_t i = 0; i < n; i++) {
		dump_line(&line[i], ok ? "" : "# ");
	}
}

int cmd_dump(struct ctl *ctl, int argc, char **argv)
{
	struct lines lines = {.rule = NULL};
	int status;

	(void)argv;
	if (argc > 1) {
		return CTL_USAGE;
	}
	status = read_lines(ctl, &lines);
	for (size_t i = 0, n; i < lines.n; i += n) {
		for (n = 1; i + n < lines.n && same_key(&lines.line[i], &lines.line[i + n]); n++) {
		}
		dump_key(ctl, &lines.line[i], n);
	}
	free_lines(&lines);
	return status;
}
