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

/* Append "12 rcpt" or "1.5 MiB"; "now", "in 5m" or "never"; "3m ago". */
void cell_format_used(uint64_t used, enum limit_count count, struct strbuf *text);
void cell_format_wait(int64_t wait_ms, struct strbuf *text);
void cell_format_age(int64_t now_ms, int64_t then_s, struct strbuf *text);

/* The cells that several commands show of a row. Must not be copied: they point to their texts. */
struct cells {
	struct table_cell rule;
	struct table_cell key;
	struct table_cell window; /* JSON only */
	struct table_cell count; /* JSON only */
	struct table_cell limit;
	struct table_cell used;
	struct table_cell bar; /* table only: "[####      ]" */
	struct table_cell percent;
	struct table_cell retry_after;
	struct table_cell denied;

	char text[6][LIMIT_TEXT_SIZE + 40];
};

void cells_make(const struct row *row, struct cells *cells);

#endif
