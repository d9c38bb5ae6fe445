/*
 * A terminal's whole screen: lines of which only those that changed are sent, keys,
 * and the signals that matter meanwhile. Leaves the terminal as it was, however the
 * process ends. Knows nothing of what it shows.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stdint.h>

struct screen;

/* Columns and lines that a screen has at most, whatever the terminal says. */
#define SCREEN_MAX 1000

/*
 * Takes over the terminal that stdin and stdout are. NULL if they are none, or one that
 * can't do more than a typewriter. There can be one at a time.
 */
struct screen *screen_open(void);

/* Gives the terminal back, and frees. The signal that SCREEN_END was for, or 0. */
int screen_close(struct screen *screen);

unsigned screen_columns(const struct screen *screen);
unsigned screen_lines(const struct screen *screen);

/*
 * A frame: begin, every line, send. false if the terminal has not taken the last one yet;
 * there will be a SCREEN_DRAW once it has. Sending waits for a moment at most.
 */
bool screen_begin(struct screen *screen);
/* Line 0 is the uppermost. style is what ESC [ and m enclose, "" for none. text is copied. */
void screen_line(struct screen *screen, unsigned line, const char *style, const char *text);
void screen_send(struct screen *screen);

enum screen_event {
	SCREEN_KEY, /* *key was pressed */
	SCREEN_DRAW, /* a frame is due: the size is another, or the screen was lost */
	SCREEN_TIME, /* until_ms has come */
	SCREEN_END /* a signal, or the terminal is gone */
};

/* The next thing that happens; until_ms is a time of clock_monotonic_ms. */
enum screen_event screen_wait(struct screen *screen, int64_t until_ms, char *key);

#endif
