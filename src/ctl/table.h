/*
 * Rows as an aligned table for people or as one JSON array of objects for programs, through one
 * interface.
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
	const char *name; /* in JSON; NULL if the column is in the table only */
	const char *title; /* in the table; NULL if the column is in JSON only */
	bool right; /* aligned right in the table */
};

/* text is for the table, the rest for JSON. */
struct table_cell {
	const char *text;
	enum { TABLE_STRING, TABLE_NUMBER, TABLE_NULL } json;
	const char *string;
	int64_t number;
};

struct table_cell table_number(uint64_t number, const char *text);
struct table_cell table_null(const char *text);
struct table_cell table_string(const char *string); /* the same in both */

/*
 * A table on stdout, to be ended by table_end. columns must outlive it. Ends the process if memory
 * runs out.
 */
struct table *table_new(bool json, const struct table_column *columns, unsigned n);

/* Writes to the stream instead of stdout. To be called before the first row. */
void table_to(struct table *table, FILE *stream);

/* One cell for each column, in their order. Copies the texts, which must be UTF-8. */
void table_row(struct table *table, const struct table_cell *cells);

/* Writes the rest and frees the table. */
void table_end(struct table *table);

#endif
