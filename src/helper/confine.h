/*
 * Confines the helper at its start: no new privileges, no core dumps, a cleaned environment; with
 * seccomp no system calls, and with Landlock no files, but those that it needs. The only includer
 * of <linux/landlock.h>, <linux/seccomp.h> and <linux/filter.h>. Protections that the kernel or the
 * build lacks are left out silently, since mail must flow. A forbidden call fails; it never kills
 * the process.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>

/*
 * Removes the environment variables, except TZ, that libc and libraries read after a program has
 * started. Call it before anything else.
 */
void confine_environment(void);

/* Forbids new privileges, core dumps, and all system calls that a working helper does not need. */
void confine_process(void);

/*
 * Restricts the process for good to these files: for reading, those in config's folder and the
 * time zone; for reading and writing, those in database's folder and its parent, so that the
 * folder can be removed and made again, and those in kept's folder; for writing, those in log's
 * folder. kept and log may be NULL. If a path is a symbolic link, the folder of its target is
 * included, except of kept. Only the first successful call has an effect.
 */
void confine_files(const char *config, const char *database, const char *kept, const char *log);

/* Whether confine_files has left the path of a file accessible. True if it is not in force. */
bool confine_reaches_database(const char *path);
bool confine_reaches_kept(const char *path);
bool confine_reaches_log(const char *path);

#endif
