/*
 * Rows as an aligned table for people, or as one JSON array of objects for programs.
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

/* Columns that a text takes on a screen: one for each UTF-8 character. */
size_t table_width(const char *text);

struct table_column {
	const char *name; /* in JSON; NULL: in the table only */
	const char *title; /* in the table; NULL: in JSON only */
	bool right; /* aligned right in the table */
};

struct table_cell {
	const char *text; /* for the table, which makes it printable; TABLE_STRING: JSON too */
	enum { TABLE_STRING, TABLE_NUMBER, TABLE_NULL } json;
	int64_t number;
};

/*
 * A table on a stream, to be ended by table_end. Its n columns are columns[shown[0]],
 * columns[shown[1]] and so on; both arrays must outlive it. Ends the process if memory runs out.
 */
struct table *table_new(
    bool json, FILE *stream, const struct table_column *columns, const unsigned *shown, unsigned n);

/* Adds a row: cells has the same indexes as columns. Copies the texts. */
void table_row(struct table *table, const struct table_cell *cells);

/* Writes the rest and frees the table. */
void table_end(struct table *table);

#endif
