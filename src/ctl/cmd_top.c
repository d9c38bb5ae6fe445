/*
 * The command top: what show prints, live on a terminal.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "base/number.h"
#include "ctl/commands.h"
#include "ctl/top_draw.h"

#include <err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

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
		switch (screen_wait(top->screen, until_ms, &key)) {
		case SCREEN_END:
			return;
		case SCREEN_KEY:
			if (key == 'q') {
				return;
			}
			if (key == ' ') {
				until_ms = 0;
			} else if (change_order(top, key)) {
				top_draw(top);
			}
			break;
		case SCREEN_TIME:
			read_rows(top);
			top_draw(top);
			until_ms = clock_monotonic_ms() + (int64_t)top->interval_s * 1000;
			break;
		case SCREEN_DRAW:
			top_draw(top);
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
		warnx("--interval %s: not a number of seconds from 1 to 86400", interval);
		status = EX_USAGE;
	}
	if (status) {
		return status;
	}
	top.screen = screen_open();
	if (!top.screen) {
		warnx("top needs a terminal; use show");
		return EX_USAGE;
	}
	view(&top);
	end_signal = screen_close(top.screen);
	rows_free(&top.rows);
	if (end_signal != 0) {
		/* The process that started ctl sees the signal then. */
		raise(end_signal);
	}
	return EX_OK;
}
