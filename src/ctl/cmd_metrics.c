/*
 * The command metrics: OpenMetrics 1.0, but only gauges, so that it is also valid in Prometheus'
 * older text format, which node_exporter's textfile collector reads.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/array.h"
#include "ctl/commands.h"
#include "ctl/print.h"
#include "ctl/rows.h"
#include "engine/exception.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#define PREFIX "policyd_ratelimit_"

/* Lines that name a key are limited: an attack must not flood the monitoring system. */
#define KEYS_MAX 50
#define KEYS_PERCENT 80

static const unsigned steps[] = {50, 80, 100};

#define STEPS (sizeof(steps) / sizeof(*steps))

struct sums {
	uint64_t counters;
	uint64_t denials;
	uint64_t sets;
	uint64_t grants;
};

/* A window of a rule, of its overrides or of exceptions: one for each length. */
struct metric_window {
	const struct rule *rule;
	int64_t length_ms;
	uint64_t used;
	uint64_t over[STEPS];
	double fullest;
};

struct metrics {
	struct ctl *ctl;
	struct rows rows;
	struct sums *rule; /* as many as the configuration has */
	struct metric_window *window; /* in the order of rules, then of lengths */
	size_t windows;
	uint64_t records;
	uint64_t damaged; /* exceptions */
	uint64_t bytes;
};

/* Finds a window, or adds it. Valid until the next call. */
static struct metric_window *window_of(
    struct metrics *metrics, const struct rule *rule, const struct limit *limit)
{
	int64_t length_ms = limit->window.length_ms;
	struct metric_window *window = metrics->window;

	for (size_t i = 0; i < metrics->windows; i++) {
		if (window[i].rule == rule && window[i].length_ms == length_ms) {
			return &window[i];
		}
	}
	metrics->window = ctl_must(array_grow(window, metrics->windows, sizeof(*window)));
	window = &metrics->window[metrics->windows++];
	*window = (struct metric_window){.rule = rule, .length_ms = length_ms};
	return window;
}

static int compare_windows(const void *left, const void *right)
{
	const struct metric_window *a = left;
	const struct metric_window *b = right;

	if (a->rule != b->rule) {
		return a->rule < b->rule ? -1 : 1;
	}
	return (a->length_ms > b->length_ms) - (a->length_ms < b->length_ms);
}

/* Adds each window of a rule and its overrides: those that nobody has used have metrics too. */
static void add_rule(struct metrics *metrics, const struct rule *rule)
{
	for (unsigned i = 0; i < rule->limits.n; i++) {
		window_of(metrics, rule, &rule->limits.at[i]);
	}
	for (size_t i = 0; i < rule->overrides; i++) {
		const struct limits *limits = &rule->override[i]->limits;

		for (unsigned j = 0; j < limits->n; j++) {
			window_of(metrics, rule, &limits->at[j]);
		}
	}
}

static double ratio_of(const struct row *row)
{
	return row->limit.count == LIMIT_UNLIMITED ? 0
	    : row->limit.count == 0                ? 1
						   : (double)row->used / (double)row->limit.count;
}

static void add_row(struct metrics *metrics, const struct row *row)
{
	struct sums *sums = &metrics->rule[row->rule - metrics->ctl->config.rule];
	struct metric_window *window = window_of(metrics, row->rule, &row->limit);
	double ratio = ratio_of(row);

	if (row->owns_key) {
		sums->counters++;
		sums->denials += row->denied;
	}
	window->used += row->used;
	for (size_t i = 0; i < STEPS; i++) {
		window->over[i] += row->percent >= steps[i];
	}
	if (ratio > window->fullest) {
		window->fullest = ratio;
	}
}

/* Counts records, and exceptions that have not expired. */
static bool visit_record(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *bytes, size_t size)
{
	struct metrics *metrics = data;
	struct exception exception;
	const struct rule *rule;
	const char *counter;
	struct error error;
	size_t length, prefix;

	(void)txn;
	metrics->records++;
	counter = exception_counter_key(key, key_length, &length);
	rule = counter ? ctl_rule_of(metrics->ctl, counter, length, &prefix) : NULL;
	if (!rule) {
		return true;
	}
	if (exception_read(&exception, bytes, size, &error)) {
		metrics->damaged++;
	} else if (exception_prune(&exception, metrics->rows.now_ms / 1000)) {
		struct sums *sums = &metrics->rule[rule - metrics->ctl->config.rule];

		sums->sets += exception.limits[0] != '\0';
		sums->grants += exception.grants > 0;
	}
	return true;
}

/* Prints what comes before the samples of a metric. unit is "" for plain numbers. */
static void head(const char *name, const char *unit, const char *help)
{
	printf("# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s gauge\n", name, help, name);
	if (*unit) {
		printf("# UNIT " PREFIX "%s %s\n", name, unit);
	}
}

/* Prints the value of a label. It has no line ends. */
static void print_label(const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"') {
			putchar('\\');
		}
		putchar(*value);
	}
}

static void print_number(const char *name, const char *unit, uint64_t number, const char *help)
{
	head(name, unit, help);
	printf(PREFIX "%s %llu\n", name, (unsigned long long)number);
}

static void print_window(const struct metric_window *window, const char *name)
{
	printf(PREFIX "%s{rule=\"%s\",window=\"%lld\"", name, window->rule->name,
	    (long long)window->length_ms / 1000);
}

static void print_rule(
    const char *name, const struct rule *rule, const char *labels, uint64_t value)
{
	printf(
	    PREFIX "%s{rule=\"%s\"%s} %llu\n", name, rule->name, labels, (unsigned long long)value);
}

static void print_rules(const struct metrics *metrics)
{
	const struct rule *rule = metrics->ctl->config.rule;
	size_t rules = metrics->ctl->config.rules;

	head("counters", "", "Counters with current use, or with denials in the last 7 days.");
	for (size_t i = 0; i < rules; i++) {
		print_rule("counters", &rule[i], "", metrics->rule[i].counters);
	}
	head("denials", "",
	    "Denied requests that the counters remember. Falls when counters are reset, or "
	    "without a denial for 7 days.");
	for (size_t i = 0; i < rules; i++) {
		print_rule("denials", &rule[i], "", metrics->rule[i].denials);
	}
	head("overrides", "",
	    "Keys with an exception that has not expired: limits by set, or grants.");
	for (size_t i = 0; i < rules; i++) {
		print_rule("overrides", &rule[i], ",kind=\"set\"", metrics->rule[i].sets);
		print_rule("overrides", &rule[i], ",kind=\"grant\"", metrics->rule[i].grants);
	}
}

static void print_windows(const struct metrics *metrics)
{
	head("used", "",
	    "Use over all keys, in messages, recipients or bytes; window is in seconds.");
	for (size_t i = 0; i < metrics->windows; i++) {
		print_window(&metrics->window[i], "used");
		printf("} %llu\n", (unsigned long long)metrics->window[i].used);
	}
	head("keys_over", "", "Keys that have used at least this percentage of their limit.");
	for (size_t i = 0; i < metrics->windows; i++) {
		for (size_t j = 0; j < STEPS; j++) {
			print_window(&metrics->window[i], "keys_over");
			printf(",percent=\"%u\"} %llu\n", steps[j],
			    (unsigned long long)metrics->window[i].over[j]);
		}
	}
	head("fullest_ratio", "ratio", "Used part of the limit, for the key where it is largest.");
	for (size_t i = 0; i < metrics->windows; i++) {
		print_window(&metrics->window[i], "fullest_ratio");
		printf("} %.6g\n", metrics->window[i].fullest);
	}
}

/* Whether the labels are the same: two keys may look the same after they are made printable. */
static bool same_labels(const struct row *a, const struct row *b)
{
	return a->rule == b->rule && a->limit.window.length_ms == b->limit.window.length_ms &&
	    strcmp(a->key, b->key) == 0;
}

/* The rows are sorted, the fullest first. */
static void print_keys(const struct metrics *metrics)
{
	const struct row *printed[KEYS_MAX];
	size_t n = 0;

	head("key_used_ratio", "ratio",
	    "Used part of the limit, of the 50 fullest keys from 0.8 on.");
	for (size_t i = 0; i < metrics->rows.rows && n < KEYS_MAX; i++) {
		const struct row *row = &metrics->rows.row[i];
		bool again = false;

		if (row->percent < KEYS_PERCENT) {
			break;
		}
		for (size_t j = 0; j < n; j++) {
			again = again || same_labels(row, printed[j]);
		}
		if (again) {
			continue;
		}
		printed[n++] = row;
		printf(PREFIX "key_used_ratio{rule=\"%s\",key=\"", row->rule->name);
		print_label(row->key);
		printf("\",window=\"%lld\"} %.6g\n", (long long)row->limit.window.length_ms / 1000,
		    ratio_of(row));
	}
}

static void print_database(const struct metrics *metrics)
{
	print_number("database_bytes", "bytes", metrics->bytes, "Size of the counter file.");
	print_number("database_max_bytes", "bytes", metrics->ctl->config.database_max_size,
	    "The most that it may have: database_max_size.");
	print_number("database_records", "", metrics->records,
	    "Records in the counter file, including expired ones that are still in it.");
	print_number("database_damaged_records", "", metrics->damaged + metrics->rows.damaged,
	    "Records that can't be read: counters, which show names, and exceptions.");
	head("build_info", "", "Version of policyd-ratelimit-ctl; always 1.");
	puts(PREFIX "build_info{version=\"" PACKAGE_VERSION "\"} 1");
}

static int collect(struct metrics *metrics)
{
	const struct config *config = &metrics->ctl->config;
	struct error error;
	struct stat file;
	int status = rows_read(metrics->ctl, &metrics->rows);

	if (status == 0) {
		status = ctl_store_failed(
		    store_walk(metrics->ctl->store, visit_record, metrics, &error), &error);
	}
	if (status) {
		return status;
	}
	if (stat(config->database, &file)) {
		print_warning("%s: %s", config->database, strerror(errno));
		return EX_UNAVAILABLE;
	}
	metrics->bytes = (uint64_t)file.st_size;
	for (size_t i = 0; i < config->rules; i++) {
		add_rule(metrics, &config->rule[i]);
	}
	for (size_t i = 0; i < metrics->rows.rows; i++) {
		add_row(metrics, &metrics->rows.row[i]);
	}
	if (metrics->windows > 0) {
		qsort(metrics->window, metrics->windows, sizeof(*metrics->window), compare_windows);
	}
	return 0;
}

int cmd_metrics(struct ctl *ctl, int argc, char **argv)
{
	/* quiet: damaged records have a metric, and cron would mail the warnings each minute. */
	struct metrics metrics = {.ctl = ctl, .rows = {.order = ROWS_BY_PERCENT, .quiet = true}};
	int status;

	(void)argv;
	if (argc > 1) {
		return CTL_USAGE;
	}
	metrics.rule = ctl_must(calloc(ctl->config.rules + 1, sizeof(*metrics.rule)));
	status = collect(&metrics);
	if (status == 0) {
		print_rules(&metrics);
		print_windows(&metrics);
		print_keys(&metrics);
		print_database(&metrics);
		puts("# EOF");
	}
	rows_free(&metrics.rows);
	free(metrics.window);
	free(metrics.rule);
	return status;
}
