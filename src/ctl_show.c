/*
 * The command show: how full each counter is.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config_options.h"
#include "ctl_rows.h"
#include "output.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

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

static void print_row(int64_t now_ms, const struct ctl_row *row, struct output *output)
{
	const struct rule *rule = row->rule;
	const struct limit *limit = &row->limit;
	bool unlimited = limit->count == LIMIT_UNLIMITED;
	char limit_text[LIMIT_TEXT_SIZE], used[40], bar[CTL_BAR_WIDTH + 3], percent[24], room[24],
	    denied[24], last[24];
	struct output_cell cell[SHOW_COLUMNS];
	struct text text;
	unsigned n = 0;

	text_init(&text, limit_text, sizeof(limit_text));
	limit_format(limit, rule->count, &text);
	text_init(&text, used, sizeof(used));
	ctl_format_used(row->used, rule->count, &text);
	text_init(&text, bar, sizeof(bar));
	ctl_format_bar(row->percent, &text);
	snprintf(percent, sizeof(percent), "%llu%%", (unsigned long long)row->percent);
	text_init(&text, room, sizeof(room));
	ctl_format_wait(row->wait_ms, &text);
	snprintf(denied, sizeof(denied), "%llu", (unsigned long long)row->denied);
	text_init(&text, last, sizeof(last));
	ctl_format_age(now_ms, row->last_s, &text);

	cell[n++] = output_string(rule->name);
	cell[n++] = output_string(row->key);
	cell[n++] = output_number((uint64_t)limit->window.length_ms / 1000, NULL);
	cell[n++] = output_string(config_strategy_words[rule->strategy]);
	cell[n++] = output_string(config_count_words[rule->count]);
	cell[n] = output_number(limit->count, limit_text);
	cell[n++].json = unlimited ? OUTPUT_NULL : OUTPUT_NUMBER;
	cell[n++] = output_number(row->used, used);
	cell[n++] = output_string(bar);
	cell[n] = output_number(limit->count > row->used ? limit->count - row->used : 0, NULL);
	cell[n++].json = unlimited ? OUTPUT_NULL : OUTPUT_NUMBER;
	cell[n++] = output_number(row->percent, percent);
	cell[n] = output_number(
	    row->wait_ms == RATE_NEVER ? 0 : (uint64_t)(row->wait_ms + 999) / 1000, room);
	cell[n].json = row->wait_ms == RATE_NEVER ? OUTPUT_NULL : OUTPUT_NUMBER;
	n++;
	cell[n++] = output_number(row->denied, denied);
	cell[n++] = output_number((uint64_t)row->last_s, last);
	cell[n++] = output_string(row->source);
	output_row(output, cell);
}

int ctl_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    CTL_ROWS_OPTIONS,
	    {"top", required_argument, NULL, 't'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	struct ctl_rows rows = {.rule = NULL};
	uint64_t top = UINT64_MAX;
	struct output *output;
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
	output = output_new(json, show_columns, SHOW_COLUMNS);
	for (size_t i = 0; i < rows.rows && i < top; i++) {
		print_row(rows.now_ms, &rows.row[i], output);
	}
	output_end(output);
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
