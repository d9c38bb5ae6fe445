/*
 * What the helper gives up once it has started: new privileges, core dumps, the
 * environment; with seccomp the system calls, and with Landlock the files, that it has no
 * use for. The only includer of <linux/landlock.h>, <linux/seccomp.h> and
 * <linux/filter.h>. What the kernel or the build does not have is left out silently, since
 * mail must flow; nothing here ever kills the process: a forbidden call fails.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>

/*
 * Forgets the variables that libc and libraries heed after the start of a program, but TZ.
 * To be called before anything else.
 */
void confine_environment(void);

/* No new privileges, no core dumps, no system calls but those of a working helper. */
void confine_process(void);

/*
 * Once and for all, no files but these: those in config's folder for reading; those in
 * database's folder and in the one above it, which a folder that is removed and made again
 * still has in common with the first one; those in log's folder, unless it is NULL, for
 * writing; and time zones. Where a name is a symbolic link, its target's folder too.
 */
void confine_files(const char *config, const char *database, const char *log);

/* Whether confine_files, if it has been called, left the place of a file open. */
bool confine_reaches_database(const char *path);
bool confine_reaches_log(const char *path);

#endif
