/*
 * Rows of counters: see ctl_rows.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/rows.h"

#include "base/number.h"
#include "base/clock.h"
#include "config/rule.h"
#include "count/counter.h"
#include "ctl/table.h"
#include "engine/limits.h"

#include <err.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

const char *const ctl_order_names[CTL_ORDERS] = {"percent", "used", "key", "last"};

static uint64_t percent_of(uint64_t used, uint64_t limit)
{
	return limit == LIMIT_UNLIMITED ? 0
	    : limit == 0                ? 100
					: (uint64_t)((double)used * 100 / (double)limit);
}

static void add_row(
    struct ctl_rows *rows, struct ctl_row row, const struct record *record, char **key)
{
	int window = counter_window(record, &row.limit.window);

	/* The record may be of another layout still. */
	if (window >= 0) {
		row.used = counter_used(record, (unsigned)window);
		row.wait_ms = row.limit.count == LIMIT_UNLIMITED
		    ? 0
		    : counter_wait(record, (unsigned)window, row.limit.count, 1);
	}
	row.percent = percent_of(row.used, row.limit.count);
	if (row.percent < rows->over_percent) {
		return;
	}
	if (rows->rows == rows->room) {
		rows->room = rows->room ? rows->room * 2 : 64;
		rows->row = table_must(reallocarray(rows->row, rows->room, sizeof(row)));
	}
	row.owns_key = !row.key;
	if (!row.key) {
		*key = row.key = table_must(strdup(*key));
	}
	rows->row[rows->rows++] = row;
}

/* The windows of one counter: those that are limited; of an exempt or denied key all. */
static void add_rows(struct ctl_rows *rows, struct ctl_row row, const struct config_plan *plan,
    const struct record *record, char *key)
{
	size_t before = rows->rows;

	for (unsigned i = 0; i < plan->limits.n; i++) {
		row.limit = plan->limits.at[i];
		row.window = i;
		row.key = rows->rows > before ? key : NULL;
		add_row(rows, row, record, &key);
	}
	for (unsigned i = 0; plan->limits.n == 0 && i < record->layout.windows; i++) {
		row.limit = (struct limit){.window = record->layout.window[i],
		    .count = plan->limits.kind == LIMITS_DENY ? 0 : LIMIT_UNLIMITED};
		row.window = i;
		row.key = rows->rows > before ? key : NULL;
		add_row(rows, row, record, &key);
	}
}

static bool read_counter(
    void *data, const char *key, size_t key_length, const char *bytes, size_t size)
{
	struct ctl_rows *rows = data;
	const char *colon = memchr(key, ':', key_length);
	const struct config_plan *plan, *allowed = NULL;
	char printable[4 * KEY_MAX];
	struct exception exception;
	struct ctl_row row = {.source = "rule"};
	struct record record;
	struct error error;
	struct strbuf text;

	row.rule = colon ? ctl_rule(rows->ctl, key, (size_t)(colon - key)) : NULL;
	if (!row.rule || (rows->rule && row.rule != rows->rule)) {
		return true;
	}
	strbuf_init(&text, printable, sizeof(printable));
	strbuf_printable(&text, colon + 1, key_length - (size_t)(colon + 1 - key), NULL);
	if (rows->glob &&
	    fnmatch(rows->glob, printable, row.rule->fold_case ? FNM_CASEFOLD : 0) != 0) {
		return true;
	}
	if (record_read(&record, bytes, size, &error)) {
		if (!rows->quiet) {
			warnx("the record of \"%s:%s\" is damaged: %s; reset it", row.rule->name,
			    printable, error.text);
		}
		rows->damaged++;
		return true;
	}
	row.last_s = record.stamp_ms / 1000;
	counter_advance(&record, rows->now_ms);
	if (!counter_is_alive(&record)) {
		return true;
	}
	rows->counters++;
	row.denied = record.denied;
	row.denied_first_s = record.denied_first_s;
	row.denied_s = record.denied_s;
	plan = config_plan_of(row.rule, colon + 1, key_length - (size_t)(colon + 1 - key));
	row.source = plan == &row.rule->plan ? "rule" : "override";
	if (record.exception &&
	    quota_exception(
		rows->ctl->store, key, key_length, rows->now_ms / 1000, &exception, NULL)) {
		quotas_trim(rows->ctl->quotas);
		allowed = quota_plan(rows->ctl->quotas, row.rule, plan, &exception, &error);
	}
	if (allowed) {
		plan = allowed;
		row.source = "set";
	}
	add_rows(rows, row, plan, &record, printable);
	return true;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* The fullest, the latest first; by key upwards, which also decides between equals. */
static int compare_rows(const void *left, const void *right, void *data)
{
	const struct ctl_row *a = left;
	const struct ctl_row *b = right;
	const struct ctl_rows *rows = data;
	int order = 0;

	switch (rows->order) {
	case CTL_BY_PERCENT:
		order = compare_numbers(b->percent, a->percent);
		break;
	case CTL_BY_USED:
		order = compare_numbers(b->used, a->used);
		break;
	case CTL_BY_LAST:
		order = compare_numbers((uint64_t)b->last_s, (uint64_t)a->last_s);
		break;
	default:
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

void ctl_rows_sort(struct ctl_rows *rows)
{
	if (rows->rows > 0) {
		qsort_r(rows->row, rows->rows, sizeof(*rows->row), compare_rows, rows);
	}
}

int ctl_rows_read(struct ctl *ctl, struct ctl_rows *rows)
{
	enum store_result result;
	struct error error;

	rows->ctl = ctl;
	rows->now_ms = clock_now_ms();
	result = store_walk(ctl->store, read_counter, rows, &error);
	if (result != STORE_OK && rows->error) {
		*rows->error = error;
		return EX_UNAVAILABLE;
	}
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	ctl_rows_sort(rows);
	return EX_OK;
}

void ctl_rows_free(struct ctl_rows *rows)
{
	for (size_t i = 0; i < rows->rows; i++) {
		if (rows->row[i].owns_key) {
			free(rows->row[i].key);
		}
	}
	free(rows->row);
	rows->row = NULL;
	rows->rows = rows->room = rows->counters = rows->damaged = 0;
}

int ctl_rows_option(
    struct ctl *ctl, struct ctl_rows *rows, int option, const char *argument, const char *command)
{
	size_t length, order = 0;
	int status = 0;

	switch (option) {
	case 'r':
		rows->rule = ctl_rule_option(ctl, argument, &status);
		return status;
	case 'k':
		rows->glob = argument;
		return 0;
	case 'o':
		length = strlen(argument);
		length -= length > 1 && argument[length - 1] == '%';
		if (number_parse(argument, length, UINT32_MAX, &rows->over_percent)) {
			warnx("--over %s: not a percentage such as 80", argument);
			return EX_USAGE;
		}
		return 0;
	case 's':
		while (order < CTL_ORDERS && strcmp(ctl_order_names[order], argument) != 0) {
			order++;
		}
		if (order == CTL_ORDERS) {
			warnx("--sort %s: not one of used, percent, key, last", argument);
			return EX_USAGE;
		}
		rows->order = (enum ctl_order)order;
		return 0;
	default:
		return ctl_usage(command);
	}
}

void ctl_format_used(uint64_t used, enum limit_count count, struct strbuf *text)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)used;
	unsigned unit = 0;

	if (count != COUNT_BYTES) {
		strbuf_printf(text, "%llu %s", (unsigned long long)used,
		    count == COUNT_MESSAGES ? "msg" : "rcpt");
		return;
	}
	for (; value >= 1024 && unit < 4; unit++) {
		value /= 1024;
	}
	strbuf_printf(text, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void ctl_format_bar(uint64_t percent, struct strbuf *text)
{
	unsigned filled =
	    percent >= 100 ? CTL_BAR_WIDTH : (unsigned)(percent * CTL_BAR_WIDTH / 100);

	strbuf_puts(text, "[");
	for (unsigned i = 0; i < CTL_BAR_WIDTH; i++) {
		strbuf_puts(text, i < filled ? "#" : " ");
	}
	strbuf_puts(text, "]");
}

void ctl_format_wait(int64_t wait_ms, struct strbuf *text)
{
	if (wait_ms == WINDOW_NEVER) {
		strbuf_puts(text, "never");
	} else if (wait_ms == 0) {
		strbuf_puts(text, "now");
	} else {
		strbuf_puts(text, "in ");
		duration_format(wait_ms, text);
	}
}

void ctl_format_age(int64_t now_ms, int64_t then_s, struct strbuf *text)
{
	duration_format(now_ms > then_s * 1000 ? now_ms - then_s * 1000 : 0, text);
	strbuf_puts(text, " ago");
}
