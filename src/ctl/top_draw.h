/*
 * A frame of the command top: what it shows and where.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_TOP_DRAW_H
#define CTL_TOP_DRAW_H

#include "base/error.h"
#include "ctl/rows.h"
#include "ctl/screen.h"

#define TOP_COLUMNS 8

struct top {
	struct ctl *ctl;
	struct screen *screen;
	struct rows rows; /* which rows are wanted, and the last ones that could be read */
	bool any; /* rows were read */
	bool failed; /* they are older than now_ms */
	struct error error;
	int64_t now_ms;
	uint64_t interval_s;
	bool colour;

	/* Private to top_draw: of each column, its widest cell since the screen had this size. */
	size_t widest[TOP_COLUMNS];
	size_t width[TOP_COLUMNS]; /* in this frame; 0: left out */
	unsigned fitted; /* columns of the screen that widest is for */
};

/* Draws a frame, unless the terminal has not taken the last one yet. */
void top_draw(struct top *top);

#endif
