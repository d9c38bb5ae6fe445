/*
 * The command top: what show prints, live on a terminal.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/cmd_top.h"

#include "base/number.h"
#include "base/clock.h"

#include <err.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* Reads the counters. If they can't be read the old ones stay. */
static void read_rows(struct top *top)
{
	struct ctl_rows rows = {.rule = top->rows.rule,
	    .glob = top->rows.glob,
	    .over_percent = top->rows.over_percent,
	    .order = top->rows.order,
	    .error = &top->error,
	    .quiet = true};

	top->failed = ctl_rows_read(top->ctl, &rows) != 0;
	top->now_ms = rows.now_ms;
	if (top->failed) {
		ctl_rows_free(&rows);
		return;
	}
	ctl_rows_free(&top->rows);
	top->rows = rows;
	top->any = true;
}

/* Whether the key was one that changes what is to be seen. */
static bool heed_key(struct top *top, char key)
{
	for (unsigned i = 0; i < CTL_ORDERS; i++) {
		if (key == ctl_order_names[i][0]) {
			top->rows.order = (enum ctl_order)i;
			ctl_rows_sort(&top->rows);
			return true;
		}
	}
	return false;
}

/* Until q, the end of the terminal, or a signal. */
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
			} else if (heed_key(top, key)) {
				ctl_top_draw(top);
			}
			break;
		case SCREEN_TIME:
			read_rows(top);
			ctl_top_draw(top);
			until_ms = clock_monotonic_ms() + (int64_t)top->interval_s * 1000;
			break;
		case SCREEN_DRAW:
			ctl_top_draw(top);
			break;
		}
	}
}

int cmd_top(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    CTL_ROWS_OPTIONS,
	    {"interval", required_argument, NULL, 'i'},
	    {NULL, 0, NULL, 0},
	};
	const char *no_color = getenv("NO_COLOR");
	struct top top = {.ctl = ctl, .interval_s = 2, .colour = !no_color || !*no_color};
	int option, status = 0;

	while (status == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'i') {
			status = ctl_rows_option(ctl, &top.rows, option, optarg, "top");
		} else if (number_parse(optarg, strlen(optarg), 86400, &top.interval_s) ||
		    top.interval_s == 0) {
			warnx("--interval %s: not a number of seconds from 1 to 86400", optarg);
			status = EX_USAGE;
		}
	}
	if (status == 0 && optind < argc) {
		status = ctl_usage("top");
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
	option = screen_close(top.screen);
	ctl_rows_free(&top.rows);
	if (option != 0) {
		/* So that whoever started it sees that it was ended. */
		raise(option);
	}
	return EX_OK;
}
