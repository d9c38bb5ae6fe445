/*
 * The command show: how full each counter is.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/number.h"
#include "base/strbuf.h"
#include "config/options.h"
#include "ctl/cell.h"
#include "ctl/commands.h"

#include <err.h>
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
    {"denied", "DENIED", true},
    {"last_seen", "LAST", false},
    {"last_client", NULL, false},
    {"source", NULL, false},
};

#define SHOW_COLUMNS (sizeof(show_columns) / sizeof(*show_columns))

static void print_row(int64_t now_ms, const struct row *row, struct table *table)
{
	uint64_t limit = row->limit.count;
	char last[24];
	struct strbuf text;
	struct cells cells;

	cells_make(row, &cells);
	strbuf_init(&text, last, sizeof(last));
	cell_format_age(now_ms, row->last_s, &text);
	table_row(table,
	    (struct table_cell[SHOW_COLUMNS]){
		cells.rule,
		cells.key,
		cells.window,
		table_string(options_strategy_words[row->rule->strategy]),
		cells.count,
		cells.limit,
		cells.used,
		cells.bar,
		limit == LIMIT_UNLIMITED
		    ? table_null(NULL)
		    : table_number(limit > row->used ? limit - row->used : 0, NULL),
		cells.percent,
		cells.retry_after,
		cells.denied,
		table_number((uint64_t)row->last_s, last),
		row->denied_client[0] ? table_string(row->denied_client) : table_null(NULL),
		table_string(row->source),
	    });
}

int cmd_show(struct ctl *ctl, int argc, char **argv)
{
	struct rows rows = {.rule = NULL};
	const char *over = NULL, *sort = NULL, *top = NULL;
	uint64_t most = UINT64_MAX;
	bool json = false, filtered;
	const struct ctl_option options[] = {
	    {"rule", .rule = &rows.rule},
	    {"key", .text = &rows.glob},
	    {"over", .text = &over},
	    {"sort", .text = &sort},
	    {"top", .text = &top},
	    {"json", .flag = &json},
	    {.name = NULL},
	};
	int status = ctl_options(ctl, options, argc, argv, 0);
	struct table *table;

	if (status == 0) {
		status = rows_options(&rows, over, sort);
	}
	if (status == 0 && top &&
	    (number_parse(top, strlen(top), UINT32_MAX, &most) || most == 0)) {
		warnx("--top %s: not a number of lines such as 10", top);
		status = EX_USAGE;
	}
	if (status == 0) {
		status = rows_read(ctl, &rows);
	}
	if (status) {
		goto out;
	}
	table = table_new(json, show_columns, SHOW_COLUMNS);
	for (size_t i = 0; i < rows.rows && i < most; i++) {
		print_row(rows.now_ms, &rows.row[i], table);
	}
	table_end(table);
	filtered = rows.rule || rows.glob || rows.over_percent > 0;
	if (rows.rows == 0 && !json) {
		fputs(filtered ? "no counter matches\n" : "no counters yet\n", stderr);
	}
	status = rows.damaged > 0        ? EX_UNAVAILABLE
	    : rows.rows == 0 && filtered ? CTL_NO_MATCH
					 : EX_OK;
out:
	rows_free(&rows);
	return status;
}
