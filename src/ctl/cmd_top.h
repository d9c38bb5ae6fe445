/*
 * What the command top shows, and how: shared by its two files.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_TOP_H
#define CTL_TOP_H

#include "base/error.h"
#include "ctl/rows.h"
#include "ctl/screen.h"

#define TOP_COLUMNS 8

struct top {
	struct ctl *ctl;
	struct screen *screen;
	struct ctl_rows rows; /* the last ones that could be read, and what is wanted */
	bool any; /* there are such */
	bool failed; /* they are not of now_ms */
	struct error error;
	int64_t now_ms;
	uint64_t interval_s;
	bool colour;
	/* Of each column: the widest cell so far, at this size of the screen; that of the frame. */
	size_t widest[TOP_COLUMNS];
	size_t width[TOP_COLUMNS]; /* 0: it is left out */
	unsigned fitted;
};

/* Draws a frame of it, if the terminal has taken the last one. */
void ctl_top_draw(struct top *top);

#endif
