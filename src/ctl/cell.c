/*
 * Cells of the tables of counters: see cell.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/cell.h"

#include "config/options.h"

#include <stdio.h>

void cell_format_used(uint64_t used, enum limit_count count, struct strbuf *text)
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

void cell_format_wait(int64_t wait_ms, struct strbuf *text)
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

void cell_format_age(int64_t now_ms, int64_t then_s, struct strbuf *text)
{
	duration_format(now_ms > then_s * 1000 ? now_ms - then_s * 1000 : 0, text);
	strbuf_puts(text, " ago");
}

void cells_make(const struct row *row, struct cells *cells)
{
	static const char full_bar[CELL_BAR_WIDTH + 1] = "##########";
	const struct rule *rule = row->rule;
	uint64_t filled =
	    row->percent >= 100 ? CELL_BAR_WIDTH : row->percent * CELL_BAR_WIDTH / 100;
	struct strbuf text;

	cells->rule = table_string(rule->name);
	cells->key = table_string(row->key);
	cells->window = table_number((uint64_t)row->limit.window.length_ms / 1000, NULL);
	cells->count = table_string(options_count_words[rule->count]);

	strbuf_init(&text, cells->text[0], sizeof(cells->text[0]));
	limit_format(&row->limit, rule->count, &text);
	cells->limit = row->limit.count == LIMIT_UNLIMITED
	    ? table_null(text.buffer)
	    : table_number(row->limit.count, text.buffer);

	strbuf_init(&text, cells->text[1], sizeof(cells->text[1]));
	cell_format_used(row->used, rule->count, &text);
	cells->used = table_number(row->used, text.buffer);

	snprintf(cells->text[2], sizeof(cells->text[2]), "[%-*.*s]", CELL_BAR_WIDTH, (int)filled,
	    full_bar);
	cells->bar = table_string(cells->text[2]);

	snprintf(
	    cells->text[3], sizeof(cells->text[3]), "%llu%%", (unsigned long long)row->percent);
	cells->percent = table_number(row->percent, cells->text[3]);

	strbuf_init(&text, cells->text[4], sizeof(cells->text[4]));
	cell_format_wait(row->wait_ms, &text);
	cells->retry_after = row->wait_ms == WINDOW_NEVER
	    ? table_null(text.buffer)
	    : table_number((uint64_t)(row->wait_ms + 999) / 1000, text.buffer);

	snprintf(cells->text[5], sizeof(cells->text[5]), "%llu", (unsigned long long)row->denied);
	cells->denied = table_number(row->denied, cells->text[5]);
}
