/*
 * Rows as a table or as JSON: see table.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/table.h"

#include <err.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct table {
	bool json;
	FILE *stream;
	const struct table_column *column;
	unsigned columns;
	size_t rows;
	char **text; /* of a table: rows x columns, since widths are known at the end */
	size_t *width;
};

void *table_must(void *memory)
{
	if (!memory) {
		errx(EX_OSERR, "out of memory");
	}
	return memory;
}

struct table_cell table_number(uint64_t number, const char *text)
{
	return (struct table_cell){.text = text, .json = TABLE_NUMBER, .number = (int64_t)number};
}

struct table_cell table_string(const char *string)
{
	return (struct table_cell){.text = string, .json = TABLE_STRING, .string = string};
}

size_t table_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++) {
		width += ((unsigned char)*text & 0xc0) != 0x80;
	}
	return width;
}

struct table *table_new(bool json, const struct table_column *columns, unsigned n)
{
	struct table *table = table_must(calloc(1, sizeof(*table)));

	table->json = json;
	table->stream = stdout;
	table->column = columns;
	table->columns = n;
	table->width = table_must(calloc(n, sizeof(*table->width)));
	for (unsigned i = 0; i < n; i++) {
		table->width[i] = columns[i].title ? table_width(columns[i].title) : 0;
	}
	return table;
}

void table_to(struct table *table, FILE *stream)
{
	table->stream = stream;
}

static void json_row(struct table *table, const struct table_cell *cells)
{
	json_t *object = table_must(json_object());

	for (unsigned i = 0; i < table->columns; i++) {
		json_t *value;

		if (!table->column[i].name) {
			continue;
		}
		value = cells[i].json == TABLE_NUMBER ? json_integer(cells[i].number)
		    : cells[i].json == TABLE_STRING   ? json_string(cells[i].string)
						       : json_null();
		json_object_set_new(object, table->column[i].name, table_must(value));
	}
	fputs(table->rows ? ",\n " : "[", table->stream);
	json_dumpf(object, table->stream, 0);
	json_decref(object);
}

void table_row(struct table *table, const struct table_cell *cells)
{
	char **row;

	if (table->json) {
		json_row(table, cells);
		table->rows++;
		return;
	}
	row = table_must(
	    reallocarray(table->text, (table->rows + 1) * table->columns, sizeof(*row)));
	table->text = row;
	row += table->rows++ * table->columns;
	for (unsigned i = 0; i < table->columns; i++) {
		size_t width;

		row[i] = table_must(strdup(cells[i].text ? cells[i].text : ""));
		width = table_width(row[i]);
		if (table->column[i].title && width > table->width[i]) {
			table->width[i] = width;
		}
	}
}

static void print_line(const struct table *table, char *const *row)
{
	size_t blanks = 0;

	for (unsigned i = 0; i < table->columns; i++) {
		const char *text = row ? row[i] : table->column[i].title;
		size_t padding;

		if (!table->column[i].title) {
			continue;
		}
		padding = table->width[i] - table_width(text);
		blanks += table->column[i].right ? padding : 0;
		/* Blanks are written when something follows: no line ends in them. */
		fprintf(table->stream, "%*s%s", (int)blanks, "", text);
		blanks = 2 + (table->column[i].right ? 0 : padding);
	}
	fputc('\n', table->stream);
}

void table_end(struct table *table)
{
	if (table->json) {
		fputs(table->rows ? "]\n" : "[]\n", table->stream);
	} else if (table->rows > 0) {
		print_line(table, NULL);
		for (size_t i = 0; i < table->rows; i++) {
			print_line(table, table->text + i * table->columns);
		}
	}
	for (size_t i = 0; table->text && i < table->rows * table->columns; i++) {
		free(table->text[i]);
	}
	free(table->text);
	free(table->width);
	free(table);
}
