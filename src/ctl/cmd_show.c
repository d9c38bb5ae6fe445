/*
 * The command show: how full each counter is.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/number.h"
#include "ctl/cell.h"
#include "ctl/commands.h"
#include "ctl/print.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const unsigned show_columns[] = {CELL_RULE, CELL_KEY, CELL_WINDOW, CELL_STRATEGY, CELL_COUNT,
    CELL_LIMIT, CELL_USED, CELL_BAR, CELL_REMAINING, CELL_PERCENT, CELL_RETRY_AFTER, CELL_DENIED,
    CELL_LAST_SEEN, CELL_DENIED_CLIENT, CELL_SOURCE};

#define SHOW_COLUMNS (sizeof(show_columns) / sizeof(*show_columns))

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
		print_warning("--top %s: not a number of lines such as 10", top);
		status = EX_USAGE;
	}
	if (status == 0) {
		status = rows_read(ctl, &rows);
	}
	if (status) {
		goto out;
	}
	table = table_new(json, stdout, cell_columns, show_columns, SHOW_COLUMNS);
	for (size_t i = 0; i < rows.rows && i < most; i++) {
		struct cells cells;

		cells_make(&rows.row[i], rows.now_ms, &cells);
		table_row(table, cells.at);
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
