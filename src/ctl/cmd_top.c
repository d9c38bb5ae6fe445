/*
 * The command top: what show prints, live on a terminal. A frame has two lines and the titles at
 * the top, as many rows as fit, and the keys at the bottom.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "base/number.h"
#include "ctl/cell.h"
#include "ctl/commands.h"
#include "ctl/print.h"
#include "ctl/screen.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

static const enum cell columns[] = {CELL_RULE, CELL_KEY, CELL_LIMIT, CELL_USED, CELL_BAR,
    CELL_PERCENT, CELL_RETRY_AFTER, CELL_DENIED};

#define COLUMNS (sizeof(columns) / sizeof(*columns))

/* Left out one after the other until KEY_WIDTH_MIN columns of the screen are left for keys. */
static const enum cell dispensable[] = {
    CELL_BAR, CELL_DENIED, CELL_RETRY_AFTER, CELL_USED, CELL_LIMIT, CELL_RULE};
#define KEY_WIDTH_MIN 14
#define RULE_WIDTH_MAX 16

#define LINES_ABOVE 3
#define LINES_BELOW 1

#define FULL_PERCENT 100
#define NEAR_PERCENT 80

#define LINE_SIZE 4096

struct top {
	struct ctl *ctl;
	struct rows rows; /* which rows are wanted, and the last ones that could be read */
	bool any; /* rows were read */
	bool failed; /* they are older than now_ms */
	struct error error;
	int64_t now_ms;
	uint64_t interval_s;
	bool colour;

	size_t widest[CELLS]; /* the widest cell of a column since the screen had this size */
	size_t width[CELLS]; /* of a column in this frame; 0: left out */
	unsigned fitted; /* columns of the screen that widest is for */
};

/* Appends the text, cut or padded with blanks to the width. */
static void add_cell(struct strbuf *line, const char *text, size_t width, bool right)
{
	size_t text_width = table_width(text), length = 0, taken = 0;

	if (text_width <= width) {
		int blanks = (int)(width - text_width);

		strbuf_printf(
		    line, "%*s%s%*s", right ? blanks : 0, "", text, right ? 0 : blanks, "");
	} else if (width > 0) {
		/* width - 1 characters, with all their bytes. */
		for (; taken < width - 1; length++) {
			taken += ((unsigned char)text[length + 1] & 0xc0) != 0x80;
		}
		strbuf_printf(line, "%.*s~", (int)length, text);
	}
}

/* Appends the cells that are not left out, or the titles if cells is NULL. */
static void add_cells(const struct top *top, const struct cells *cells, struct strbuf *line)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		enum cell column = columns[i];

		if (top->width[column] > 0) {
			strbuf_puts(line, line->length > 0 ? "  " : "");
			add_cell(line, cells ? cells->at[column].text : cell_columns[column].title,
			    top->width[column], cell_columns[column].right);
		}
	}
}

/* The width that the other columns leave for the keys. */
static size_t room_for_keys(const struct top *top)
{
	size_t taken = 0;

	for (size_t i = 0; i < COLUMNS; i++) {
		size_t width = top->width[columns[i]];

		taken += columns[i] != CELL_KEY && width > 0 ? width + 2 : 0;
	}
	return screen_columns() > taken ? screen_columns() - taken : 0;
}

static void widen(size_t *width, const char *text)
{
	size_t needed = table_width(text);

	*width = needed > *width ? needed : *width;
}

/* Sets the width of each column. A column never becomes narrower, so that the table is steady. */
static void fit_columns(struct top *top, size_t shown)
{
	struct cells cells;
	size_t enough;

	if (top->fitted != screen_columns()) {
		memset(top->widest, 0, sizeof(top->widest));
		top->fitted = screen_columns();
	}
	for (size_t i = 0; i < COLUMNS; i++) {
		widen(&top->widest[columns[i]], cell_columns[columns[i]].title);
	}
	for (size_t row = 0; row < shown; row++) {
		cells_make(&top->rows.row[row], top->now_ms, &cells);
		for (size_t i = 0; i < COLUMNS; i++) {
			widen(&top->widest[columns[i]], cells.at[columns[i]].text);
		}
	}
	memcpy(top->width, top->widest, sizeof(top->width));
	if (top->width[CELL_RULE] > RULE_WIDTH_MAX) {
		top->width[CELL_RULE] = RULE_WIDTH_MAX;
	}
	enough = top->widest[CELL_KEY] < KEY_WIDTH_MIN ? top->widest[CELL_KEY] : KEY_WIDTH_MIN;
	for (size_t i = 0; i < sizeof(dispensable) / sizeof(*dispensable); i++) {
		if (room_for_keys(top) < enough) {
			top->width[dispensable[i]] = 0;
		}
	}
	if (top->width[CELL_KEY] > room_for_keys(top)) {
		top->width[CELL_KEY] = room_for_keys(top);
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
static void put_line(unsigned number, enum screen_style style, struct strbuf *line)
{
	char buffer[LINE_SIZE];
	struct strbuf cut;

	strbuf_init(&cut, buffer, sizeof(buffer));
	add_cell(&cut, line->buffer, screen_columns(), false);
	screen_line(number, style, buffer);
	strbuf_init(line, line->buffer, line->size);
}

/* Draws a frame, unless the terminal takes no output. */
static void draw(struct top *top)
{
	unsigned lines = screen_lines();
	size_t room = lines > LINES_ABOVE + LINES_BELOW ? lines - LINES_ABOVE - LINES_BELOW : 0;
	size_t shown = top->rows.rows < room ? top->rows.rows : room;
	char buffer[LINE_SIZE];
	struct strbuf line;

	if (!screen_begin()) {
		return;
	}
	strbuf_init(&line, buffer, sizeof(buffer));
	fit_columns(top, shown);
	add_time(&line, top->now_ms);
	strbuf_printf(&line, "  %s", top->ctl->config.database);
	put_line(0, SCREEN_PLAIN, &line);
	if (top->failed) {
		add_failure(top, &line);
	} else {
		add_summary(top, shown, &line);
	}
	put_line(1, top->failed ? SCREEN_REVERSE : SCREEN_PLAIN, &line);
	if (shown > 0) {
		add_cells(top, NULL, &line);
	}
	put_line(2, SCREEN_BOLD, &line);
	for (size_t i = 0; i < room; i++) {
		enum screen_style style = SCREEN_PLAIN;

		if (i < shown) {
			const struct row *row = &top->rows.row[i];
			struct cells cells;

			cells_make(row, top->now_ms, &cells);
			add_cells(top, &cells, &line);
			style = !top->colour               ? SCREEN_PLAIN
			    : row->percent >= FULL_PERCENT ? SCREEN_RED
			    : row->percent >= NEAR_PERCENT ? SCREEN_YELLOW
							   : SCREEN_PLAIN;
		}
		put_line(LINES_ABOVE + (unsigned)i, style, &line);
	}
	if (lines > LINES_ABOVE) {
		add_keys(top, &line);
		put_line(lines - 1, SCREEN_PLAIN, &line);
	}
	screen_send();
}

/* Reads the counters. If that fails, the old rows stay. */
static void read_rows(struct top *top)
{
	struct rows rows = {.rule = top->rows.rule,
	    .glob = top->rows.glob,
	    .over_percent = top->rows.over_percent,
	    .order = top->rows.order,
	    .error = &top->error,
	    .quiet = true};

	top->failed = rows_read(top->ctl, &rows) != 0;
	top->now_ms = rows.now_ms;
	if (top->failed) {
		rows_free(&rows);
		return;
	}
	rows_free(&top->rows);
	top->rows = rows;
	top->any = true;
}

/* Whether the key changed the order of the rows. */
static bool change_order(struct top *top, char key)
{
	for (unsigned i = 0; i < ROWS_ORDERS; i++) {
		if (key == rows_order_names[i][0]) {
			top->rows.order = (enum rows_order)i;
			rows_sort(&top->rows);
			return true;
		}
	}
	return false;
}

/* Shows frames until q, a signal that ends ctl, or the end of the terminal. */
static void view(struct top *top)
{
	int64_t until_ms;
	char key;

	read_rows(top);
	until_ms = clock_monotonic_ms() + (int64_t)top->interval_s * 1000;
	for (;;) {
		switch (screen_wait(until_ms, &key)) {
		case SCREEN_END:
			return;
		case SCREEN_KEY:
			if (key == 'q') {
				return;
			}
			if (key == ' ') {
				until_ms = 0;
			} else if (change_order(top, key)) {
				draw(top);
			}
			break;
		case SCREEN_TIME:
			read_rows(top);
			draw(top);
			until_ms = clock_monotonic_ms() + (int64_t)top->interval_s * 1000;
			break;
		case SCREEN_DRAW:
			draw(top);
			break;
		}
	}
}

int cmd_top(struct ctl *ctl, int argc, char **argv)
{
	const char *no_color = getenv("NO_COLOR"), *over = NULL, *sort = NULL, *interval = NULL;
	struct top top = {.ctl = ctl, .interval_s = 2, .colour = !no_color || !*no_color};
	const struct ctl_option options[] = {
	    {"rule", .rule = &top.rows.rule},
	    {"key", .text = &top.rows.glob},
	    {"over", .text = &over},
	    {"sort", .text = &sort},
	    {"interval", .text = &interval},
	    {.name = NULL},
	};
	int status = ctl_options(ctl, options, argc, argv, 0);
	int end_signal;

	if (status == 0) {
		status = rows_options(&top.rows, over, sort);
	}
	if (status == 0 && interval &&
	    (number_parse(interval, strlen(interval), 86400, &top.interval_s) ||
		top.interval_s == 0)) {
		print_warning("--interval %s: not a number of seconds from 1 to 86400", interval);
		status = EX_USAGE;
	}
	if (status) {
		return status;
	}
	if (!screen_open()) {
		print_warning("top needs a terminal; use show");
		return EX_USAGE;
	}
	view(&top);
	end_signal = screen_close();
	rows_free(&top.rows);
	if (end_signal != 0) {
		/* The process that started ctl sees the signal then. */
		raise(end_signal);
	}
	return EX_OK;
}
