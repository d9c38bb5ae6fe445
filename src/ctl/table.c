/*
 * Rows as a table or as JSON: see table.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/table.h"

#include "base/array.h"
#include "ctl/common.h"

#include <jansson.h>
#include <string.h>

struct table {
	bool json;
	FILE *stream;
	const struct table_column *column;
	const unsigned *shown;
	unsigned columns;
	size_t rows;
	char **text; /* unless it is JSON: rows x columns, kept until all widths are known */
	size_t texts;
	size_t *width;
};

size_t table_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++) {
		width += ((unsigned char)*text & 0xc0) != 0x80;
	}
	return width;
}

struct table *table_new(
    bool json, FILE *stream, const struct table_column *columns, const unsigned *shown, unsigned n)
{
	struct table *table = ctl_must(malloc(sizeof(*table)));

	*table = (struct table){.json = json,
	    .stream = stream,
	    .column = columns,
	    .shown = shown,
	    .columns = n,
	    .width = ctl_must(calloc(n, sizeof(*table->width)))};
	for (unsigned i = 0; i < n; i++) {
		const char *title = columns[shown[i]].title;

		table->width[i] = title ? table_width(title) : 0;
	}
	return table;
}

/* A cell's text, made printable, to be freed: it may come from the database. */
static char *printable(const char *cell)
{
	size_t size = strlen(cell) + 1;
	char *buffer = ctl_must(malloc(size));
	struct strbuf text;

	strbuf_init(&text, buffer, size);
	strbuf_printable(&text, cell, size - 1, NULL);
	return buffer;
}

static void json_row(struct table *table, const struct table_cell *cells)
{
	json_t *object = ctl_must(json_object());

	for (unsigned i = 0; i < table->columns; i++) {
		const struct table_cell *cell = &cells[table->shown[i]];
		const char *name = table->column[table->shown[i]].name;

		if (name) {
			char *text = cell->json == TABLE_STRING ? printable(cell->text) : NULL;
			json_t *value = text             ? json_string(text)
			    : cell->json == TABLE_NUMBER ? json_integer(cell->number)
							 : json_null();

			free(text);
			json_object_set_new(object, name, ctl_must(value));
		}
	}
	fputs(table->rows ? ",\n " : "[", table->stream);
	json_dumpf(object, table->stream, 0);
	json_decref(object);
}

static void text_row(struct table *table, const struct table_cell *cells)
{
	for (unsigned i = 0; i < table->columns; i++) {
		bool shows = table->column[table->shown[i]].title;
		char *text = printable(shows ? cells[table->shown[i]].text : "");
		size_t width = table_width(text);

		table->text = ctl_must(array_grow(table->text, table->texts, sizeof(text)));
		table->text[table->texts++] = text;
		table->width[i] = width > table->width[i] ? width : table->width[i];
	}
}

void table_row(struct table *table, const struct table_cell *cells)
{
	(table->json ? json_row : text_row)(table, cells);
	table->rows++;
}

/* row: NULL for the titles. */
static void print_line(const struct table *table, char *const *row)
{
	size_t blanks = 0;

	for (unsigned i = 0; i < table->columns; i++) {
		const struct table_column *column = &table->column[table->shown[i]];
		const char *text = row ? row[i] : column->title;
		size_t padding;

		if (!column->title) {
			continue;
		}
		padding = table->width[i] - table_width(text);
		blanks += column->right ? padding : 0;
		/* Blanks are written only if something follows, so that no line ends with them. */
		fprintf(table->stream, "%*s%s", (int)blanks, "", text);
		blanks = 2 + (column->right ? 0 : padding);
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
