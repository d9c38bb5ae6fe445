/*
 * The command show: how full each counter is.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config/options.h"
#include "ctl/rows.h"
#include "ctl/table.h"

#include "base/number.h"
#include "base/strbuf.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const struct table_column show_columns[] = {
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

static void print_row(int64_t now_ms, const struct ctl_row *row, struct table *table)
{
	const struct rule *rule = row->rule;
	const struct limit *limit = &row->limit;
	bool unlimited = limit->count == LIMIT_UNLIMITED;
	char limit_text[LIMIT_TEXT_SIZE], used[40], bar[CTL_BAR_WIDTH + 3], percent[24], room[24],
	    denied[24], last[24];
	struct table_cell cell[SHOW_COLUMNS];
	struct strbuf text;
	unsigned n = 0;

	strbuf_init(&text, limit_text, sizeof(limit_text));
	limit_format(limit, rule->count, &text);
	strbuf_init(&text, used, sizeof(used));
	ctl_format_used(row->used, rule->count, &text);
	strbuf_init(&text, bar, sizeof(bar));
	ctl_format_bar(row->percent, &text);
	snprintf(percent, sizeof(percent), "%llu%%", (unsigned long long)row->percent);
	strbuf_init(&text, room, sizeof(room));
	ctl_format_wait(row->wait_ms, &text);
	snprintf(denied, sizeof(denied), "%llu", (unsigned long long)row->denied);
	strbuf_init(&text, last, sizeof(last));
	ctl_format_age(now_ms, row->last_s, &text);

	cell[n++] = table_string(rule->name);
	cell[n++] = table_string(row->key);
	cell[n++] = table_number((uint64_t)limit->window.length_ms / 1000, NULL);
	cell[n++] = table_string(options_strategy_words[rule->strategy]);
	cell[n++] = table_string(options_count_words[rule->count]);
	cell[n] = table_number(limit->count, limit_text);
	cell[n++].json = unlimited ? TABLE_NULL : TABLE_NUMBER;
	cell[n++] = table_number(row->used, used);
	cell[n++] = table_string(bar);
	cell[n] = table_number(limit->count > row->used ? limit->count - row->used : 0, NULL);
	cell[n++].json = unlimited ? TABLE_NULL : TABLE_NUMBER;
	cell[n++] = table_number(row->percent, percent);
	cell[n] = table_number(
	    row->wait_ms == WINDOW_NEVER ? 0 : (uint64_t)(row->wait_ms + 999) / 1000, room);
	cell[n].json = row->wait_ms == WINDOW_NEVER ? TABLE_NULL : TABLE_NUMBER;
	n++;
	cell[n++] = table_number(row->denied, denied);
	cell[n++] = table_number((uint64_t)row->last_s, last);
	cell[n++] = table_string(row->source);
	table_row(table, cell);
}

int cmd_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    CTL_ROWS_OPTIONS,
	    {"top", required_argument, NULL, 't'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	struct ctl_rows rows = {.rule = NULL};
	uint64_t top = UINT64_MAX;
	struct table *table;
	bool json = false;
	bool filtered;
	int option, status = 0;

	while (status == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j') {
			json = true;
		} else if (option != 't') {
			status = ctl_rows_option(ctl, &rows, option, optarg, "show");
		} else if (number_parse(optarg, strlen(optarg), UINT32_MAX, &top) || top == 0) {
			warnx("--top %s: not a number of lines such as 10", optarg);
			status = EX_USAGE;
		}
	}
	if (status == 0 && optind < argc) {
		status = ctl_usage("show");
	}
	if (status == 0) {
		status = ctl_rows_read(ctl, &rows);
	}
	if (status) {
		goto out;
	}
	table = table_new(json, show_columns, SHOW_COLUMNS);
	for (size_t i = 0; i < rows.rows && i < top; i++) {
		print_row(rows.now_ms, &rows.row[i], table);
	}
	table_end(table);
	filtered = rows.rule || rows.glob || rows.over_percent > 0;
	if (rows.rows == 0 && !json) {
		fputs(filtered ? "no counter matches\n" : "no counters yet\n", stderr);
	}
	status = rows.rows == 0 && filtered ? CTL_NO_MATCH : EX_OK;
	if (rows.damaged > 0) {
		status = EX_UNAVAILABLE;
	}
out:
	ctl_rows_free(&rows);
	return status;
}
