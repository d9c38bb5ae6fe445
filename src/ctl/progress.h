/*
 * Progress of work that takes longer than a second, on stderr if that is a terminal. Never waits
 * for the terminal: the work may hold locks that mail waits for.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	const char *what; /* "records copied" */
	bool wanted;
	bool shown;
	int64_t start_ms;
	int64_t shown_ms;
};

void progress_start(struct progress *progress, const char *what);

/* To be called after each step; done: their number. */
void progress_step(struct progress *progress, size_t done);

/* Removes the line. */
void progress_end(struct progress *progress);

#endif
