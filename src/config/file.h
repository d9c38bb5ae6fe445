/*
 * The configuration file: reads it with inih, reports every mistake with its line, and prints what
 * is in force.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "config/config.h"
#include "config/source.h"

enum config_result {
	CONFIG_OK,
	CONFIG_BAD, /* there are mistakes: the rules must not be used */
	CONFIG_NO_MEMORY, /* nothing was read; it may work later */
};

/* Called with "FILE:LINE: what is wrong, and what is allowed" for each mistake. */
typedef void config_report(void *data, const char *message);

/*
 * Reads the file at path into config, which the caller gives to config_free in any case. On
 * CONFIG_BAD, every mistake has been reported, and [global] holds the valid options of the file
 * and defaults for the others. On CONFIG_NO_MEMORY, "FILE: out of memory" has been reported, and
 * all of config is zero.
 *
 * *stamp is the stamp of the file that was read. Where reading the same file again may succeed, it
 * is a stamp that no file has.
 */
enum config_result config_load(const char *path, struct config *config, struct config_stamp *stamp,
    config_report *report, void *data);

/* The same for a copy that a helper has kept: path must not be a symbolic link. */
enum config_result config_load_kept(
    const char *path, struct config *config, config_report *report, void *data);

/* Frees what config owns, and zeroes it. */
void config_free(struct config *config);

/*
 * Calls emit for each option in the order of the manual, with its name, "global.OPTION" or
 * "RULE.OPTION", its value as the file would have it, and its default. An option that is required
 * or may be repeated has no default, NULL.
 */
typedef void config_emit(void *data, const char *name, const char *value, const char *usual);
void config_print(const struct config *config, config_emit *emit, void *data);

#endif
