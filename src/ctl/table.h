/*
 * Rows for people or for programs: an aligned table, or one JSON array of objects,
 * behind one interface.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct table;

/* The memory, or the end of the process where there is none. */
void *table_must(void *memory);

/* Columns that a text takes on a screen: bytes that start a character. */
size_t table_width(const char *text);

/* A column: its name in JSON, NULL if it is in the table alone, and the other way round. */
struct table_column {
	const char *name;
	const char *title;
	bool right; /* aligned right in the table */
};

/* What goes into a column. text is what the table shows; json decides which of the rest counts. */
struct table_cell {
	const char *text;
	enum { TABLE_STRING, TABLE_NUMBER, TABLE_NULL } json;
	const char *string;
	int64_t number;
};

/* Cells that are the same in both, but for a number's text. */
struct table_cell table_number(uint64_t number, const char *text);
struct table_cell table_string(const char *string);

/* Writes to stdout. columns must outlive the table. Ends the process if memory runs out. */
struct table *table_new(bool json, const struct table_column *columns, unsigned n);

/* Writes there instead; before the first row. */
void table_to(struct table *table, FILE *stream);

/* One cell for each column, in their order; copied. Strings must be UTF-8. */
void table_row(struct table *table, const struct table_cell *cells);

/* Writes what has not been written yet, and frees. */
void table_end(struct table *table);

#endif
