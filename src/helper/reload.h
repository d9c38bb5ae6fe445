/*
 * The configuration that the helper works by: loads it, takes up a changed file, and keeps the
 * last good configuration in memory while the file is bad or can't be taken up, and a copy of it on
 * disk, for a helper that starts meanwhile. Logs mistakes in the file. Does not judge requests.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef RELOAD_H
#define RELOAD_H

#include "base/log.h"
#include "base/error.h"
#include "config/file.h"
#include "engine/judge.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

/* Longer lines are cut when they are put together for the log. */
#define RELOAD_LINE_MAX 4096

/* A configuration and what judges requests by it. */
struct setup {
	struct config config;
	/* Both NULL if there is no usable configuration; then only [global] of config counts. */
	struct store *store;
	struct judge *judge;
};

#define RELOAD_TROUBLES_MAX 8

/* All zero at first. A judge points into its
 * configuration, so this must not be moved. */
struct reload {
	const char *path;
	struct setup setup[2]; /* the one in force, and room for its successor */
	unsigned in_force;
	struct transaction_memo *memo; /* what the process knows, whatever the configuration */
	struct config_stamp stamp; /* of the file that was read last, good or bad */
	bool unkept; /* the file is good, and may differ from the copy that is kept */
	struct config_stamp seen; /* of a changed file that has not been read yet */
	int64_t seen_ms;
	int64_t checked_ms;
	/* What was logged lately. More than one, since different troubles may take turns. */
	struct trouble {
		char text[sizeof(((struct error *)0)->text)];
		int64_t logged_ms; /* by clock_monotonic_ms */
	} trouble[RELOAD_TROUBLES_MAX];
};

/*
 * Loads the file at path, or if that is bad, the copy of the last good one, and confines the
 * process to the files that it names. If the file was written within the last 300 ms, it may be
 * incomplete: waits for up to 300 ms. path is used until reload_stop.
 */
void reload_start(struct reload *reload, const char *path);

/*
 * Looks at most every 250 ms whether the file has changed, and takes it up once nobody has
 * written to it for 300 ms. If it has a mistake or memory runs out, the setup in force stays.
 * What reload_setup returned before is invalid afterwards.
 */
void reload_recheck(struct reload *reload);

/* Keeps a copy of a good file that was taken up. Cheap if it was done already. */
void reload_keep(struct reload *reload);

/* The setup in force; never NULL. */
const struct setup *reload_setup(const struct reload *reload);

/* Logs a line, unless the configuration in force says `log = none`. */
void reload_log(const struct reload *reload, enum log_level level, const char *line);

/*
 * Whether text has not been logged within the last hour; then it is remembered as logged now, in
 * place of the oldest one. So trouble that lasts is not logged with every request.
 */
bool reload_is_news(struct reload *reload, const char *text);

void reload_stop(struct reload *reload);

#endif
