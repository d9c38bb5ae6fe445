/*
 * Progress of work that takes longer than a second, on a terminal's stderr. Never waits for
 * the terminal: the work may hold locks that mail waits for.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctl_progress {
	const char *what; /* "records copied" */
	bool wanted;
	bool shown;
	int64_t start_ms;
	int64_t shown_ms;
};

void ctl_progress_start(struct ctl_progress *progress, const char *what);

/* To be called for each of the things done. */
void ctl_progress_step(struct ctl_progress *progress, size_t done);

/* Removes what is shown. */
void ctl_progress_end(struct ctl_progress *progress);

#endif
