/*
 * The command clean: compacts the counter file.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/error.h"
#include "ctl/commands.h"
#include "ctl/progress.h"
#include "engine/judge.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

struct clean {
	struct retention retention;
	struct progress progress;
	size_t steps;
};

/* The compaction's function: keeps what retention keeps. */
static bool keep(void *data, const char *key, size_t key_length, const char **bytes, size_t *size)
{
	struct clean *clean = data;

	progress_step(&clean->progress, ++clean->steps);
	return retention_keep(&clean->retention, key, key_length, bytes, size);
}

int cmd_clean(struct ctl *ctl, int argc, char **argv)
{
	struct clean clean = {.retention = {.buffer = NULL}};
	struct store_rewriting rewriting = {.keep = keep, .data = &clean};
	enum store_result result;
	const char *notice;
	struct error error;

	(void)argv;
	if (argc > 1) {
		return CTL_USAGE;
	}
	progress_start(&clean.progress, "records checked");
	signal(SIGTSTP, SIG_IGN); /* mail waits for locks of this process */
	result = store_rewrite(ctl->store, &rewriting, &error);
	progress_end(&clean.progress);
	notice = store_notice(ctl->store);
	if (notice) {
		warnx("%s", notice);
	}
	free(clean.retention.buffer);
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	printf("%zu records kept, %zu expired records removed; %llu KiB, before that %llu KiB\n",
	    rewriting.kept, rewriting.records - rewriting.kept,
	    (unsigned long long)(rewriting.size_after + 1023) / 1024,
	    (unsigned long long)(rewriting.size_before + 1023) / 1024);
	return EX_OK;
}
