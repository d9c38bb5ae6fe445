/*
 * Rows as a table or as JSON: see output.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "output.h"

#include <err.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct output {
	bool json;
	FILE *stream;
	const struct output_column *column;
	unsigned columns;
	size_t rows;
	char **text; /* of a table: rows x columns, since widths are known at the end */
	size_t *width;
};

void *output_must(void *memory)
{
	if (!memory) {
		errx(EX_OSERR, "out of memory");
	}
	return memory;
}

struct output_cell output_number(uint64_t number, const char *text)
{
	return (struct output_cell){.text = text, .json = OUTPUT_NUMBER, .number = (int64_t)number};
}

struct output_cell output_string(const char *string)
{
	return (struct output_cell){.text = string, .json = OUTPUT_STRING, .string = string};
}

size_t output_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++) {
		width += ((unsigned char)*text & 0xc0) != 0x80;
	}
	return width;
}

struct output *output_new(bool json, const struct output_column *columns, unsigned n)
{
	struct output *output = output_must(calloc(1, sizeof(*output)));

	output->json = json;
	output->stream = stdout;
	output->column = columns;
	output->columns = n;
	output->width = output_must(calloc(n, sizeof(*output->width)));
	for (unsigned i = 0; i < n; i++) {
		output->width[i] = columns[i].title ? output_width(columns[i].title) : 0;
	}
	return output;
}

void output_to(struct output *output, FILE *stream)
{
	output->stream = stream;
}

static void json_row(struct output *output, const struct output_cell *cells)
{
	json_t *object = output_must(json_object());

	for (unsigned i = 0; i < output->columns; i++) {
		json_t *value;

		if (!output->column[i].name) {
			continue;
		}
		value = cells[i].json == OUTPUT_NUMBER ? json_integer(cells[i].number)
		    : cells[i].json == OUTPUT_STRING   ? json_string(cells[i].string)
						       : json_null();
		json_object_set_new(object, output->column[i].name, output_must(value));
	}
	fputs(output->rows ? ",\n " : "[", output->stream);
	json_dumpf(object, output->stream, 0);
	json_decref(object);
}

void output_row(struct output *output, const struct output_cell *cells)
{
	char **row;

	if (output->json) {
		json_row(output, cells);
		output->rows++;
		return;
	}
	row = output_must(
	    reallocarray(output->text, (output->rows + 1) * output->columns, sizeof(*row)));
	output->text = row;
	row += output->rows++ * output->columns;
	for (unsigned i = 0; i < output->columns; i++) {
		size_t width;

		row[i] = output_must(strdup(cells[i].text ? cells[i].text : ""));
		width = output_width(row[i]);
		if (output->column[i].title && width > output->width[i]) {
			output->width[i] = width;
		}
	}
}

static void print_line(const struct output *output, char *const *row)
{
	size_t blanks = 0;

	for (unsigned i = 0; i < output->columns; i++) {
		const char *text = row ? row[i] : output->column[i].title;
		size_t padding;

		if (!output->column[i].title) {
			continue;
		}
		padding = output->width[i] - output_width(text);
		blanks += output->column[i].right ? padding : 0;
		/* Blanks are written when something follows: no line ends in them. */
		fprintf(output->stream, "%*s%s", (int)blanks, "", text);
		blanks = 2 + (output->column[i].right ? 0 : padding);
	}
	fputc('\n', output->stream);
}

void output_end(struct output *output)
{
	if (output->json) {
		fputs(output->rows ? "]\n" : "[]\n", output->stream);
	} else if (output->rows > 0) {
		print_line(output, NULL);
		for (size_t i = 0; i < output->rows; i++) {
			print_line(output, output->text + i * output->columns);
		}
	}
	for (size_t i = 0; output->text && i < output->rows * output->columns; i++) {
		free(output->text[i]);
	}
	free(output->text);
	free(output->width);
	free(output);
}
