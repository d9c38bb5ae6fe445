/*
 * Progress on a terminal: see progress.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/progress.h"

#include "base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define FIRST_MS 1000
#define EVERY_MS 200
#define STEPS_BETWEEN 1024 /* that the clock is read */

void progress_start(struct progress *progress, const char *what)
{
	*progress = (struct progress){
	    .what = what, .wanted = isatty(STDERR_FILENO), .start_ms = clock_monotonic_ms()};
}

/* If the terminal takes nothing at the moment, the line is left out. */
static bool write_now(const char *line, int length)
{
	struct pollfd terminal = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&terminal, 1, 0) == 1 && write(STDERR_FILENO, line, (size_t)length) == length;
}

void progress_step(struct progress *progress, size_t done)
{
	char line[100];
	int64_t now_ms;

	if (!progress->wanted || done % STEPS_BETWEEN != 0) {
		return;
	}
	now_ms = clock_monotonic_ms();
	if (now_ms - progress->start_ms >= FIRST_MS && now_ms - progress->shown_ms >= EVERY_MS) {
		progress->shown_ms = now_ms;
		progress->shown |= write_now(
		    line, snprintf(line, sizeof(line), "\r%zu %.60s\033[K", done, progress->what));
	}
}

void progress_end(struct progress *progress)
{
	if (progress->shown) {
		write_now("\r\033[K", 4);
	}
}
