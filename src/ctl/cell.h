/*
 * Cells of the tables of counters, as texts for people and as values for JSON.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_CELL_H
#define CTL_CELL_H

#include "ctl/rows.h"
#include "ctl/table.h"

#define CELL_BAR_WIDTH 10
#define CELL_TEXT_SIZE (LIMIT_TEXT_SIZE + 40)

/* Append "12 rcpt" or "1.5 MiB"; "now", "in 5m" or "never". */
void cell_format_used(uint64_t used, enum limit_count count, struct strbuf *text);
void cell_format_wait(int64_t wait_ms, struct strbuf *text);

enum cell {
	CELL_RULE,
	CELL_KEY,
	CELL_WINDOW,
	CELL_STRATEGY,
	CELL_COUNT,
	CELL_LIMIT,
	CELL_USED,
	CELL_BAR, /* "[####      ]" */
	CELL_REMAINING,
	CELL_PERCENT,
	CELL_RETRY_AFTER,
	CELL_DENIED,
	CELL_DENIED_FIRST, /* times of the first and the last denial */
	CELL_DENIED_LAST,
	CELL_DENIED_CLIENT,
	CELL_LAST_SEEN,
	CELL_SOURCE,
	CELLS
};

/* Names and titles, indexed by enum cell, for table_new. */
extern const struct table_column cell_columns[CELLS];

/* All cells of a row. Must not be copied: they point to their texts. */
struct cells {
	struct table_cell at[CELLS];
	char text[CELLS][CELL_TEXT_SIZE];
};

void cells_make(const struct row *row, int64_t now_ms, struct cells *cells);

#endif
