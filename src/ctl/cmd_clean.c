/*
 * The command clean: compacts the counter file.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/error.h"
#include "ctl/commands.h"
#include "ctl/print.h"
#include "ctl/progress.h"

#include <signal.h>
#include <stdio.h>
#include <sysexits.h>

static void show_progress(void *data, size_t records)
{
	progress_step(data, records);
}

int cmd_clean(struct ctl *ctl, int argc, char **argv)
{
	struct progress progress;
	struct store_maintenance maintenance = {.step = show_progress, .data = &progress};
	enum store_result result;
	const char *notice;
	struct error error;

	(void)argv;
	if (argc > 1) {
		return CTL_USAGE;
	}
	progress_start(&progress, "records checked");
	signal(SIGTSTP, SIG_IGN); /* mail waits for locks of this process */
	result = store_maintain(ctl->store, &maintenance, &error);
	progress_end(&progress);
	notice = store_notice(ctl->store);
	if (notice) {
		print_warning("%s", notice);
	}
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	printf("%zu records kept, %zu expired records removed; %llu KiB, before that %llu KiB\n",
	    maintenance.kept, maintenance.records - maintenance.kept,
	    (unsigned long long)(maintenance.size_after + 1023) / 1024,
	    (unsigned long long)(maintenance.size_before + 1023) / 1024);
	return EX_OK;
}
