/*
 * Rows as a table or as JSON: see table.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/table.h"

#include "ctl/common.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table {
	bool json;
	FILE *stream;
	const struct table_column *column;
	unsigned columns;
	size_t rows;
	char **text; /* unless it is JSON: rows x columns, kept because the widths come last */
	size_t texts;
	size_t room;
	size_t *width;
};

struct table_cell table_number(uint64_t number, const char *text)
{
	return (struct table_cell){.text = text, .json = TABLE_NUMBER, .number = (int64_t)number};
}

struct table_cell table_null(const char *text)
{
	return (struct table_cell){.text = text, .json = TABLE_NULL};
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
	struct table *table = ctl_must(calloc(1, sizeof(*table)));

	table->json = json;
	table->stream = stdout;
	table->column = columns;
	table->columns = n;
	table->width = ctl_must(calloc(n, sizeof(*table->width)));
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
	json_t *object = ctl_must(json_object());

	for (unsigned i = 0; i < table->columns; i++) {
		json_t *value;

		if (!table->column[i].name) {
			continue;
		}
		value = cells[i].json == TABLE_NUMBER ? json_integer(cells[i].number)
		    : cells[i].json == TABLE_STRING   ? json_string(cells[i].string)
						      : json_null();
		json_object_set_new(object, table->column[i].name, ctl_must(value));
	}
	fputs(table->rows ? ",\n " : "[", table->stream);
	json_dumpf(object, table->stream, 0);
	json_decref(object);
}

void table_row(struct table *table, const struct table_cell *cells)
{
	if (table->json) {
		json_row(table, cells);
		table->rows++;
		return;
	}
	table->rows++;
	for (unsigned i = 0; i < table->columns; i++) {
		char *text = ctl_must(strdup(cells[i].text ? cells[i].text : ""));
		size_t width = table_width(text);

		table->text =
		    ctl_grow(table->text, table->texts, &table->room, sizeof(*table->text));
		table->text[table->texts++] = text;
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
		/* Blanks are written only if something follows, so that no line ends with them. */
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
	for (size_t i = 0; i < table->texts; i++) {
		free(table->text[i]);
	}
	free(table->text);
	free(table->width);
	free(table);
}
