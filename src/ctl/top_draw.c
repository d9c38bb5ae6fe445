/*
 * A frame of the command top: two lines and the titles, as many rows as fit, the keys.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/top_draw.h"

#include "base/strbuf.h"
#include "ctl/cell.h"

#include <string.h>
#include <time.h>

enum column { RULE, KEY, LIMIT, USED, BAR, PERCENT, ROOM, DENIED, COLUMNS };

static const struct {
	const char *title;
	bool right;
} columns[COLUMNS] = {
    {"RULE", false},
    {"KEY", false},
    {"LIMIT", true},
    {"USED", true},
    {"", false},
    {"%", true},
    {"ROOM", false},
    {"DENIED", true},
};

_Static_assert(COLUMNS == TOP_COLUMNS, "top_draw.h");

/* Left out one after the other until a key has KEY_WIDTH_MIN columns of the screen. */
static const enum column dispensable[] = {BAR, DENIED, ROOM, USED, LIMIT, RULE};
#define KEY_WIDTH_MIN 14
#define RULE_WIDTH_MAX 16

/* Lines that are no rows: the time, the counts and the titles above, the keys below. */
#define LINES_ABOVE 3
#define LINES_BELOW 1

#define FULL_PERCENT 100
#define NEAR_PERCENT 80

#define TITLE_STYLE "1"
#define ERROR_STYLE "7"
#define FULL_STYLE "31"
#define NEAR_STYLE "33"

/* Bytes of a line: a UTF-8 character has at most four. */
#define LINE_SIZE (4 * SCREEN_MAX + 1)

static void make_texts(const struct row *row, struct cells *cells, const char *text[COLUMNS])
{
	cells_make(row, cells);
	text[RULE] = cells->rule.text;
	text[KEY] = cells->key.text;
	text[LIMIT] = cells->limit.text;
	text[USED] = cells->used.text;
	text[BAR] = cells->bar.text;
	text[PERCENT] = cells->percent.text;
	text[ROOM] = cells->retry_after.text;
	text[DENIED] = cells->denied.text;
}

/* Appends the text, cut or padded with blanks to the width. */
static void add_cell(struct strbuf *line, const char *text, size_t width, bool right)
{
	size_t text_width = table_width(text);
	size_t length = 0, taken = 0;

	if (text_width <= width) {
		int blanks = (int)(width - text_width);

		strbuf_printf(
		    line, "%*s%s%*s", right ? blanks : 0, "", text, right ? 0 : blanks, "");
		return;
	}
	for (; width > 0; length++) {
		bool starts = ((unsigned char)text[length] & 0xc0) != 0x80;

		if (starts && taken == width - 1) {
			break;
		}
		taken += starts;
	}
	strbuf_add(line, text, length);
	strbuf_puts(line, width > 0 ? "~" : "");
}

/* Appends a line of the table, without the columns that are left out. */
static void add_cells(const struct top *top, const char *const text[COLUMNS], struct strbuf *line)
{
	for (unsigned i = 0; i < COLUMNS; i++) {
		if (top->width[i] > 0) {
			strbuf_puts(line, line->length > 0 ? "  " : "");
			add_cell(line, text[i], top->width[i], columns[i].right);
		}
	}
	while (line->length > 0 && line->buffer[line->length - 1] == ' ') {
		line->buffer[--line->length] = '\0';
	}
}

/* The width that the other columns leave for the keys. */
static size_t room_for_keys(const struct top *top)
{
	size_t room = screen_columns(top->screen);

	for (unsigned i = 0; i < COLUMNS; i++) {
		size_t width = i != KEY && top->width[i] > 0 ? top->width[i] + 2 : 0;

		room -= width < room ? width : room;
	}
	return room;
}

/* Sets the width of each column. A column never becomes narrower, so that the table is steady. */
static void fit_columns(struct top *top, size_t shown)
{
	unsigned total = screen_columns(top->screen);
	const char *text[COLUMNS];
	struct cells cells;
	size_t enough;

	for (unsigned i = 0; i < COLUMNS && top->fitted != total; i++) {
		top->widest[i] = table_width(columns[i].title);
	}
	top->fitted = total;
	for (size_t row = 0; row < shown; row++) {
		make_texts(&top->rows.row[row], &cells, text);
		for (unsigned i = 0; i < COLUMNS; i++) {
			size_t width = table_width(text[i]);

			top->widest[i] = width > top->widest[i] ? width : top->widest[i];
		}
	}
	memcpy(top->width, top->widest, sizeof(top->width));
	if (top->width[RULE] > RULE_WIDTH_MAX) {
		top->width[RULE] = RULE_WIDTH_MAX;
	}
	enough = top->widest[KEY] < KEY_WIDTH_MIN ? top->widest[KEY] : KEY_WIDTH_MIN;
	for (size_t i = 0; i < sizeof(dispensable) / sizeof(*dispensable); i++) {
		if (room_for_keys(top) < enough) {
			top->width[dispensable[i]] = 0;
		}
	}
	if (top->width[KEY] > room_for_keys(top)) {
		top->width[KEY] = room_for_keys(top);
	}
}

static void add_count(struct strbuf *line, size_t n, const char *what)
{
	strbuf_printf(line, "%zu %s%s", n, what, n == 1 ? "" : "s");
}

static void add_time(struct strbuf *line, int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char time_text[16];

	strftime(time_text, sizeof(time_text), "%H:%M:%S", localtime_r(&seconds, &tm));
	strbuf_puts(line, time_text);
}

static void add_summary(const struct top *top, size_t shown, struct strbuf *line)
{
	const struct rows *rows = &top->rows;
	size_t full = 0, near = 0;

	for (size_t i = 0; i < rows->rows; i++) {
		full += rows->row[i].percent >= FULL_PERCENT;
		near += rows->row[i].percent >= NEAR_PERCENT;
	}
	add_count(line, rows->counters, "counter");
	strbuf_puts(line, ", ");
	add_count(line, rows->rows, "window");
	strbuf_printf(line, ", %zu at 80 %%+, %zu full", near, full);
	if (shown < rows->rows) {
		strbuf_printf(line, ", %zu not shown", rows->rows - shown);
	}
	if (rows->damaged > 0) {
		strbuf_puts(line, ", ");
		add_count(line, rows->damaged, "damaged record");
	}
}

/* Without the name of the file, which is in the line above. */
static void add_failure(const struct top *top, struct strbuf *line)
{
	const char *path = top->ctl->config.database, *text = top->error.text;
	size_t length = strlen(path);

	if (strncmp(text, path, length) == 0 && strncmp(text + length, ": ", 2) == 0) {
		text += length + 2;
	}
	if (top->any) {
		strbuf_puts(line, "as of ");
		add_time(line, top->rows.now_ms);
		strbuf_puts(line, "; ");
	}
	strbuf_puts(line, text);
}

static void add_keys(const struct top *top, struct strbuf *line)
{
	static const char *const orders[ROWS_ORDERS] = {"p percent", "u used", "k key", "l last"};

	strbuf_puts(line, "q quit   space refresh   sort by:");
	for (unsigned i = 0; i < ROWS_ORDERS; i++) {
		strbuf_printf(line, i == top->rows.order ? " [%s]" : "  %s ", orders[i]);
	}
}

/* Shows the line, cut to the columns of the screen, and empties it. */
static void put_line(const struct top *top, unsigned number, const char *style, struct strbuf *line)
{
	char buffer[LINE_SIZE];
	struct strbuf cut;

	strbuf_init(&cut, buffer, sizeof(buffer));
	if (table_width(line->buffer) > screen_columns(top->screen)) {
		add_cell(&cut, line->buffer, screen_columns(top->screen), false);
	} else {
		strbuf_puts(&cut, line->buffer);
	}
	screen_line(top->screen, number, style, buffer);
	strbuf_init(line, line->buffer, line->size);
}

void top_draw(struct top *top)
{
	unsigned lines = screen_lines(top->screen);
	size_t room = lines > LINES_ABOVE + LINES_BELOW ? lines - LINES_ABOVE - LINES_BELOW : 0;
	size_t shown = top->rows.rows < room ? top->rows.rows : room;
	const char *text[COLUMNS];
	char buffer[LINE_SIZE];
	struct strbuf line;

	if (!screen_begin(top->screen)) {
		return;
	}
	strbuf_init(&line, buffer, sizeof(buffer));
	fit_columns(top, shown);
	add_time(&line, top->now_ms);
	strbuf_printf(&line, "  %s", top->ctl->config.database);
	put_line(top, 0, "", &line);
	if (top->failed) {
		add_failure(top, &line);
	} else {
		add_summary(top, shown, &line);
	}
	put_line(top, 1, top->failed ? ERROR_STYLE : "", &line);
	if (top->rows.rows > 0) {
		for (unsigned i = 0; i < COLUMNS; i++) {
			text[i] = columns[i].title;
		}
		add_cells(top, text, &line);
	}
	put_line(top, 2, TITLE_STYLE, &line);
	for (size_t i = 0; i < room; i++) {
		const char *style = "";

		if (i < shown) {
			const struct row *row = &top->rows.row[i];
			struct cells cells;

			make_texts(row, &cells, text);
			add_cells(top, text, &line);
			style = !top->colour               ? ""
			    : row->percent >= FULL_PERCENT ? FULL_STYLE
			    : row->percent >= NEAR_PERCENT ? NEAR_STYLE
							   : "";
		}
		put_line(top, LINES_ABOVE + (unsigned)i, style, &line);
	}
	if (lines > LINES_ABOVE) {
		add_keys(top, &line);
		put_line(top, lines - 1, "", &line);
	}
	screen_send(top->screen);
}
