/*
 * The commands show and reset: what the counters hold, and forgetting it.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "clock.h"
#include "config_options.h"
#include "counter.h"
#include "ctl.h"
#include "output.h"
#include "rule.h"

#include <err.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define BAR_WIDTH 10

/* A line of show: one window of one counter. */
struct row {
	const struct rule *rule;
	struct limit limit;
	unsigned window; /* its place in the record, for the order */
	const char *source; /* where the limit comes from: "rule" or "override" */
	char *key; /* made printable */
	uint64_t used;
	uint64_t denied;
	int64_t wait_ms;
	int64_t last_s;
};

enum order { BY_PERCENT, BY_USED, BY_KEY, BY_LAST };

struct show {
	const struct ctl *ctl;
	const struct rule *rule; /* --rule, or NULL */
	const char *glob; /* --key, or NULL */
	uint64_t over_percent;
	enum order order;
	uint64_t top;
	bool json;

	int64_t now_ms;
	struct row *row;
	size_t rows;
	size_t room;
	size_t damaged;
};

static uint64_t percent(const struct row *row)
{
	uint64_t limit = row->limit.count;

	return limit == LIMIT_UNLIMITED ? 0
	    : limit == 0                ? 100
					: (uint64_t)((double)row->used * 100 / (double)limit);
}

static bool wants_key(const struct show *show, const struct rule *rule, const char *key)
{
	return !show->glob || fnmatch(show->glob, key, rule->fold_case ? FNM_CASEFOLD : 0) == 0;
}

static void add_row(struct show *show, struct row row, const struct record *record, const char *key)
{
	int window = counter_window(record, &row.limit.window);

	/* The record may be of another layout still. */
	if (window >= 0) {
		row.used = counter_used(record, (unsigned)window);
		row.wait_ms = row.limit.count == LIMIT_UNLIMITED
		    ? 0
		    : counter_wait(record, (unsigned)window, row.limit.count, 1);
	}
	if (percent(&row) < show->over_percent) {
		return;
	}
	if (show->rows == show->room) {
		show->room = show->room ? show->room * 2 : 64;
		show->row = output_must(reallocarray(show->row, show->room, sizeof(row)));
	}
	row.key = output_must(strdup(key));
	show->row[show->rows++] = row;
}

/* The windows of one counter: those that are limited; of an exempt or denied key all. */
static void add_rows(struct show *show, const struct rule *rule, const struct config_plan *plan,
    const struct record *record, const char *key, int64_t last_s)
{
	struct row row = {.rule = rule,
	    .denied = record->denied,
	    .last_s = last_s,
	    .source = plan == &rule->plan ? "rule" : "override"};

	for (unsigned i = 0; i < plan->limits.n; i++) {
		row.limit = plan->limits.at[i];
		row.window = i;
		add_row(show, row, record, key);
	}
	for (unsigned i = 0; plan->limits.n == 0 && i < plan->layout.windows; i++) {
		row.limit = (struct limit){.window = plan->layout.window[i],
		    .count = plan->limits.kind == LIMITS_DENY ? 0 : LIMIT_UNLIMITED};
		row.window = i;
		add_row(show, row, record, key);
	}
}

static bool show_record(
    void *data, const char *key, size_t key_length, const char *bytes, size_t size)
{
	struct show *show = data;
	const char *colon = memchr(key, ':', key_length);
	const struct rule *rule;
	char printable[4 * KEY_MAX];
	struct record record;
	struct error error;
	struct text text;
	int64_t last_s;

	rule = colon ? ctl_rule(show->ctl, key, (size_t)(colon - key)) : NULL;
	if (!rule || (show->rule && rule != show->rule)) {
		return true;
	}
	text_init(&text, printable, sizeof(printable));
	text_printable(&text, colon + 1, key_length - (size_t)(colon + 1 - key), NULL);
	if (!wants_key(show, rule, printable)) {
		return true;
	}
	if (record_read(&record, bytes, size, &error)) {
		warnx("the record of \"%s:%s\" is damaged: %s; reset it", rule->name, printable,
		    error.text);
		show->damaged++;
		return true;
	}
	last_s = record.stamp_ms / 1000;
	counter_advance(&record, show->now_ms);
	if (counter_is_alive(&record)) {
		add_rows(show, rule,
		    config_plan_of(rule, colon + 1, key_length - (size_t)(colon + 1 - key)),
		    &record, printable, last_s);
	}
	return true;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* The fullest, the latest first; by key upwards, which also decides between equals. */
static int compare_rows(const void *left, const void *right, void *data)
{
	const struct row *a = left;
	const struct row *b = right;
	const struct show *show = data;
	int order = 0;

	switch (show->order) {
	case BY_PERCENT:
		order = compare_numbers(percent(b), percent(a));
		break;
	case BY_USED:
		order = compare_numbers(b->used, a->used);
		break;
	case BY_LAST:
		order = compare_numbers((uint64_t)b->last_s, (uint64_t)a->last_s);
		break;
	case BY_KEY:
		break;
	}
	if (order == 0) {
		order = strcmp(a->key, b->key);
	}
	if (order == 0 && a->rule != b->rule) {
		order = a->rule < b->rule ? -1 : 1;
	}
	return order ? order : compare_numbers(a->window, b->window);
}

static void format_count(uint64_t number, enum limit_count count, struct text *text)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)number;
	unsigned unit = 0;

	if (count != COUNT_BYTES) {
		text_printf(text, "%llu", (unsigned long long)number);
		return;
	}
	for (; value >= 1024 && unit < 4; unit++) {
		value /= 1024;
	}
	text_printf(text, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static const struct output_column show_columns[] = {
    {"rule", "RULE", false},
    {"key", "KEY", false},
    {"window", NULL, false},
    {"strategy", NULL, false},
    {"count", NULL, false},
    {"limit", "LIMIT", true},
    {"used", "USED", true},
    {NULL, "", false},
    {"remaining", NULL, false},
    {"percent", "%", true},
    {"retry_after", "ROOM", false},
    {"denied", "REFUSED", true},
    {"last_seen", "LAST", false},
    {"source", NULL, false},
};

#define SHOW_COLUMNS (sizeof(show_columns) / sizeof(*show_columns))

static struct output_cell number_cell(uint64_t number, const char *text)
{
	return (struct output_cell){.text = text, .json = OUTPUT_NUMBER, .number = (int64_t)number};
}

static struct output_cell string_cell(const char *string)
{
	return (struct output_cell){.text = string, .json = OUTPUT_STRING, .string = string};
}

static void print_row(const struct show *show, const struct row *row, struct output *output)
{
	const struct rule *rule = row->rule;
	const struct limit *limit = &row->limit;
	bool unlimited = limit->count == LIMIT_UNLIMITED;
	uint64_t full = percent(row);
	char limit_text[LIMIT_TEXT_SIZE], used[40], percent_text[24], room[24], denied[24],
	    last[24];
	char bar[BAR_WIDTH + 3];
	struct text text;
	unsigned filled = full >= 100 ? BAR_WIDTH : (unsigned)(full * BAR_WIDTH / 100);
	struct output_cell cell[SHOW_COLUMNS];
	unsigned n = 0;

	text_init(&text, limit_text, sizeof(limit_text));
	limit_format(limit, rule->count, &text);
	text_init(&text, used, sizeof(used));
	format_count(row->used, rule->count, &text);
	if (rule->count != COUNT_BYTES) {
		text_printf(&text, " %s", rule->count == COUNT_MESSAGES ? "msg" : "rcpt");
	}
	memset(bar, ' ', sizeof(bar));
	memset(bar + 1, '#', filled);
	bar[0] = '[';
	memcpy(bar + 1 + BAR_WIDTH, "]", 2);
	snprintf(percent_text, sizeof(percent_text), "%llu%%", (unsigned long long)full);
	text_init(&text, room, sizeof(room));
	if (row->wait_ms == RATE_NEVER) {
		text_puts(&text, "never");
	} else if (row->wait_ms == 0) {
		text_puts(&text, "now");
	} else {
		text_puts(&text, "in ");
		duration_format(row->wait_ms, &text);
	}
	snprintf(denied, sizeof(denied), "%llu", (unsigned long long)row->denied);
	text_init(&text, last, sizeof(last));
	duration_format(
	    show->now_ms > row->last_s * 1000 ? show->now_ms - row->last_s * 1000 : 0, &text);
	text_puts(&text, " ago");

	cell[n++] = string_cell(rule->name);
	cell[n++] = string_cell(row->key);
	cell[n++] = number_cell((uint64_t)limit->window.length_ms / 1000, NULL);
	cell[n++] = string_cell(config_strategy_words[rule->strategy]);
	cell[n++] = string_cell(config_count_words[rule->count]);
	cell[n] = number_cell(limit->count, limit_text);
	cell[n++].json = unlimited ? OUTPUT_NULL : OUTPUT_NUMBER;
	cell[n++] = number_cell(row->used, used);
	cell[n++] = string_cell(bar);
	cell[n] = number_cell(limit->count > row->used ? limit->count - row->used : 0, NULL);
	cell[n++].json = unlimited ? OUTPUT_NULL : OUTPUT_NUMBER;
	cell[n++] = number_cell(full, percent_text);
	cell[n] = number_cell(
	    row->wait_ms == RATE_NEVER ? 0 : (uint64_t)(row->wait_ms + 999) / 1000, room);
	cell[n].json = row->wait_ms == RATE_NEVER ? OUTPUT_NULL : OUTPUT_NUMBER;
	n++;
	cell[n++] = number_cell(row->denied, denied);
	cell[n++] = number_cell((uint64_t)row->last_s, last);
	cell[n++] = string_cell(row->source);
	output_row(output, cell);
}

/* Reads the options of show; 0, or an exit status. */
static int show_options(struct show *show, int argc, char **argv)
{
	static const struct option options[] = {
	    {"rule", required_argument, NULL, 'r'},
	    {"key", required_argument, NULL, 'k'},
	    {"over", required_argument, NULL, 'o'},
	    {"sort", required_argument, NULL, 's'},
	    {"top", required_argument, NULL, 't'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	static const char *const orders[] = {"percent", "used", "key", "last"};
	size_t length, order;
	int option, status = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			show->rule = ctl_rule_option(show->ctl, optarg, &status);
			if (status) {
				return status;
			}
			break;
		case 'k':
			show->glob = optarg;
			break;
		case 'o':
			length = strlen(optarg);
			length -= length > 1 && optarg[length - 1] == '%';
			if (number_parse(optarg, length, UINT32_MAX, &show->over_percent)) {
				warnx("--over %s: not a percentage such as 80", optarg);
				return EX_USAGE;
			}
			break;
		case 's':
			for (order = 0; order < 4 && strcmp(orders[order], optarg) != 0; order++) {
			}
			if (order == 4) {
				warnx("--sort %s: not one of used, percent, key, last", optarg);
				return EX_USAGE;
			}
			show->order = (enum order)order;
			break;
		case 't':
			if (number_parse(optarg, strlen(optarg), UINT32_MAX, &show->top) ||
			    show->top == 0) {
				warnx("--top %s: not a number of lines such as 10", optarg);
				return EX_USAGE;
			}
			break;
		case 'j':
			show->json = true;
			break;
		default:
			return ctl_usage("show");
		}
	}
	return optind < argc ? ctl_usage("show") : 0;
}

int ctl_show(struct ctl *ctl, int argc, char **argv)
{
	struct show show = {.ctl = ctl, .top = UINT64_MAX, .now_ms = clock_now_ms()};
	enum store_result result;
	struct output *output;
	struct error error;
	bool filtered;
	int status;

	status = show_options(&show, argc, argv);
	if (status) {
		return status;
	}
	result = store_walk(ctl->store, show_record, &show, &error);
	if (result != STORE_OK) {
		status = ctl_store_failed(result, &error);
		goto out;
	}
	if (show.rows > 0) {
		qsort_r(show.row, show.rows, sizeof(*show.row), compare_rows, &show);
	}
	output = output_new(show.json, show_columns, SHOW_COLUMNS);
	for (size_t i = 0; i < show.rows && i < show.top; i++) {
		print_row(&show, &show.row[i], output);
	}
	output_end(output);
	filtered = show.rule || show.glob || show.over_percent > 0;
	if (show.rows == 0 && !show.json) {
		fputs(filtered ? "no counter matches\n" : "no counters yet\n", stderr);
	}
	status = show.rows == 0 && filtered ? CTL_NO_MATCH : EX_OK;
	if (show.damaged > 0) {
		status = EX_UNAVAILABLE;
	}
out:
	for (size_t i = 0; i < show.rows; i++) {
		free(show.row[i].key);
	}
	free(show.row);
	return status;
}

struct reset {
	int64_t now_ms;
	size_t counters;
	/* Keys of the whole file, for --all; one after the other, with their lengths. */
	const struct ctl *ctl;
	const struct rule *rule;
	struct reset_key {
		char *text;
		size_t length;
	} * key;
	size_t keys;
	size_t room;
};

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
		if (!item->empty) {
			return STORE_STOP;
		}
		item->replacement = item->empty;
		item->replacement_size = item->empty_size;
	} else {
		counter_advance(&record, reset->now_ms);
		if (!counter_is_alive(&record)) {
			return STORE_STOP;
		}
		for (unsigned i = 0; i < record.layout.windows; i++) {
			memset(record.window[i].bucket, 0, sizeof(record.window[i].bucket));
		}
		record.denied = 0;
		record.denied_s = 0;
		record_log_forget(&record);
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

	/* For a record that is damaged; a key that isn't there stays away. */
	if (rule) {
		size_t prefix = strlen(rule->name) + 1;
		const struct config_plan *plan =
		    config_plan_of(rule, key + prefix, key_length - prefix);

		item.empty = plan->empty_record;
		item.empty_size = plan->record_size;
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
	if (reset->rule && rule != reset->rule) {
		return true;
	}
	if (reset->keys == reset->room) {
		reset->room = reset->room ? reset->room * 2 : 64;
		reset->key =
		    output_must(reallocarray(reset->key, reset->room, sizeof(*reset->key)));
	}
	reset->key[reset->keys].text = output_must(malloc(key_length));
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
		struct rule_key key;

		if (reset->rule && rule != reset->rule) {
			continue;
		}
		rule_key_of_bytes(rule, name, strlen(name), secret, &key);
		status = reset_key(ctl, reset, rule, key.text, key.length);
	}
	return status;
}

int ctl_reset(struct ctl *ctl, int argc, char **argv)
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
	if (status == 0 || reset.counters > 0) {
		printf("%zu counter%s reset\n", reset.counters, reset.counters == 1 ? "" : "s");
	}
	return status ? status : reset.counters ? EX_OK : CTL_NO_MATCH;
}
