/*
 * Cells of the tables of counters: see cell.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/cell.h"

#include "config/options.h"
#include "ctl/when.h"

/* clang-format off */
const struct table_column cell_columns[CELLS] = {
	[CELL_RULE] = {"rule", "RULE", false},
	[CELL_KEY] = {"key", "KEY", false},
	[CELL_WINDOW] = {"window", NULL, false},
	[CELL_STRATEGY] = {"strategy", NULL, false},
	[CELL_COUNT] = {"count", NULL, false},
	[CELL_LIMIT] = {"limit", "LIMIT", true},
	[CELL_USED] = {"used", "USED", true},
	[CELL_BAR] = {NULL, "", false},
	[CELL_REMAINING] = {"remaining", NULL, false},
	[CELL_PERCENT] = {"percent", "%", true},
	[CELL_RETRY_AFTER] = {"retry_after", "ROOM", false},
	[CELL_DENIED] = {"denied", "DENIED", true},
	[CELL_DENIED_FIRST] = {"since", "SINCE", false},
	[CELL_DENIED_LAST] = {"last", "LAST", false},
	[CELL_DENIED_CLIENT] = {"last_client", NULL, false},
	[CELL_LAST_SEEN] = {"last_seen", "LAST", false},
	[CELL_SOURCE] = {"source", NULL, false},
};
/* clang-format on */

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

/* known: false for null. */
static void set_number(struct table_cell *cell, bool known, uint64_t number)
{
	cell->json = known ? TABLE_NUMBER : TABLE_NULL;
	cell->number = (int64_t)number;
}

void cells_make(const struct row *row, int64_t now_ms, struct cells *cells)
{
	const struct rule *rule = row->rule;
	uint64_t filled = row->percent < 100 ? row->percent * CELL_BAR_WIDTH / 100 : CELL_BAR_WIDTH;
	uint64_t limit = row->limit.count, age_ms = 0;
	bool limited = limit != LIMIT_UNLIMITED;
	struct table_cell *at = cells->at;
	struct strbuf text[CELLS];

	for (unsigned i = 0; i < CELLS; i++) {
		strbuf_init(&text[i], cells->text[i], sizeof(cells->text[i]));
		at[i] = (struct table_cell){.text = cells->text[i]};
	}
	at[CELL_RULE].text = rule->name;
	at[CELL_KEY].text = row->key;
	at[CELL_STRATEGY].text = options_strategy_words[rule->strategy];
	at[CELL_COUNT].text = options_count_words[rule->count];
	at[CELL_SOURCE].text = row->source;
	at[CELL_DENIED_CLIENT].text = row->denied_client;
	at[CELL_DENIED_CLIENT].json = row->denied_client[0] ? TABLE_STRING : TABLE_NULL;

	set_number(&at[CELL_WINDOW], true, (uint64_t)row->limit.window.length_ms / 1000);
	set_number(&at[CELL_LIMIT], limited, limit);
	set_number(&at[CELL_USED], true, row->used);
	set_number(&at[CELL_REMAINING], limited, limit > row->used ? limit - row->used : 0);
	set_number(&at[CELL_PERCENT], true, row->percent);
	set_number(&at[CELL_RETRY_AFTER], row->wait_ms != WINDOW_NEVER,
	    ((uint64_t)row->wait_ms + 999) / 1000);
	set_number(&at[CELL_DENIED], true, row->denied);
	set_number(&at[CELL_DENIED_FIRST], true, (uint64_t)row->denied_first_s);
	set_number(&at[CELL_DENIED_LAST], true, (uint64_t)row->denied_s);
	set_number(&at[CELL_LAST_SEEN], true, (uint64_t)row->last_s);

	limit_format(&row->limit, rule->count, &text[CELL_LIMIT]);
	cell_format_used(row->used, rule->count, &text[CELL_USED]);
	strbuf_printf(&text[CELL_BAR], "[%-*.*s]", CELL_BAR_WIDTH, (int)filled, "##########");
	strbuf_printf(&text[CELL_PERCENT], "%llu%%", (unsigned long long)row->percent);
	cell_format_wait(row->wait_ms, &text[CELL_RETRY_AFTER]);
	strbuf_printf(&text[CELL_DENIED], "%llu", (unsigned long long)row->denied);
	when_format(row->denied_first_s, &text[CELL_DENIED_FIRST]);
	when_format(row->denied_s, &text[CELL_DENIED_LAST]);
	if (now_ms > row->last_s * 1000) {
		age_ms = (uint64_t)(now_ms - row->last_s * 1000);
	}
	duration_format((int64_t)age_ms, &text[CELL_LAST_SEEN]);
	strbuf_puts(&text[CELL_LAST_SEEN], " ago");
}
