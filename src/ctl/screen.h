/*
 * A terminal's whole screen: sends the lines that changed, reads keys, and handles signals
 * meanwhile. Restores the terminal, however the process ends.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stdint.h>

struct screen;

/* The most columns or lines of a screen. */
#define SCREEN_MAX 1000

/*
 * Takes over the terminal of stdin and stdout. NULL if they are no terminal, or a dumb one. Only
 * one screen can be open.
 */
struct screen *screen_open(void);

/* Restores the terminal, and frees. Returns the signal that caused SCREEN_END, or 0. */
int screen_close(struct screen *screen);

unsigned screen_columns(const struct screen *screen);
unsigned screen_lines(const struct screen *screen);

/*
 * A frame: screen_begin, screen_line for each line, screen_send, which hardly waits. screen_begin
 * returns false if the terminal has not taken the last frame yet; SCREEN_DRAW follows when it has.
 */
bool screen_begin(struct screen *screen);
/* Line 0 is at the top. style is the text between ESC [ and m, "" for none. Copies the text. */
void screen_line(struct screen *screen, unsigned line, const char *style, const char *text);
void screen_send(struct screen *screen);

enum screen_event {
	SCREEN_KEY, /* *key was pressed */
	SCREEN_DRAW, /* a frame is due: the size changed, or the screen was lost */
	SCREEN_TIME, /* it is until_ms */
	SCREEN_END /* a signal to end, or the terminal is gone */
};

/* Waits for the next event. until_ms is a time of clock_monotonic_ms. */
enum screen_event screen_wait(struct screen *screen, int64_t until_ms, char *key);

#endif
