/*
 * Progress of work that takes longer than a second, on a terminal's stderr. Never waits for
 * the terminal: the work may hold locks that mail waits for.
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

/* To be called for each of the things done. */
void progress_step(struct progress *progress, size_t done);

/* Removes what is shown. */
void progress_end(struct progress *progress);

#endif
