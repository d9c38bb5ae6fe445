/*
 * A terminal's whole screen, drawn by curses: lines, keys, and the signals that end or stop a
 * program on a terminal. Restores the terminal, however the process ends. There is one screen.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* Takes over the terminal of stdin and stdout. False if they are no terminal, or a dumb one. */
bool screen_open(void);

/* Restores the terminal. Returns the signal that caused SCREEN_END, or 0. */
int screen_close(void);

unsigned screen_columns(void);
unsigned screen_lines(void);

/*
 * A frame: screen_begin, screen_line for each line from the top, screen_send. screen_begin returns
 * false if the terminal takes no output now (Ctrl-S, a slow link); SCREEN_DRAW follows when it
 * does.
 */
bool screen_begin(void);

enum screen_style { SCREEN_PLAIN, SCREEN_BOLD, SCREEN_REVERSE, SCREEN_RED, SCREEN_YELLOW };

/* Line 0 is at the top. text is UTF-8 and fits in the columns. */
void screen_line(unsigned line, enum screen_style style, const char *text);
void screen_send(void);

enum screen_event {
	SCREEN_KEY, /* *key was pressed */
	SCREEN_DRAW, /* a frame is due: the size changed, or the screen was lost */
	SCREEN_TIME, /* it is until_ms */
	SCREEN_END /* a signal to end, or the terminal is gone */
};

/* Waits for the next event. until_ms is a time of clock_monotonic_ms. */
enum screen_event screen_wait(int64_t until_ms, char *key);

#endif
