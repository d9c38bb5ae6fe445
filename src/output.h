/*
 * Rows for people or for programs: an aligned table, or one JSON array of objects,
 * behind one interface.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct output;

/* The memory, or the end of the process where there is none. */
void *output_must(void *memory);

/* Columns that a text takes on a screen: bytes that start a character. */
size_t output_width(const char *text);

/* A column: its name in JSON, NULL if it is in the table alone, and the other way round. */
struct output_column {
	const char *name;
	const char *title;
	bool right; /* aligned right in the table */
};

/* What goes into a column. text is what the table shows; json decides which of the rest counts. */
struct output_cell {
	const char *text;
	enum { OUTPUT_STRING, OUTPUT_NUMBER, OUTPUT_NULL } json;
	const char *string;
	int64_t number;
};

/* Cells that are the same in both, but for a number's text. */
struct output_cell output_number(uint64_t number, const char *text);
struct output_cell output_string(const char *string);

/* Writes to stdout. columns must outlive the output. Ends the process if memory runs out. */
struct output *output_new(bool json, const struct output_column *columns, unsigned n);

/* Writes there instead; before the first row. */
void output_to(struct output *output, FILE *stream);

/* One cell for each column, in their order; copied. Strings must be UTF-8. */
void output_row(struct output *output, const struct output_cell *cells);

/* Writes what has not been written yet, and frees. */
void output_end(struct output *output);

#endif
