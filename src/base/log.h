/*
 * The one logger: lines to syslog or to a file. Which lines are wanted is the
 * caller's business, and so is making them printable. Never writes to fd 1 or 2.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO };

/* The syslog facility of that name ("mail", "local3"), or -1. */
int log_facility(const char *name);

/*
 * From now on lines go to the file at path, or to syslog with this facility
 * where path is NULL. The path is copied. Before the first call: syslog, mail.
 */
void log_to(int facility, const char *path);

/* One line, without its end. A file that can't be written is replaced by syslog, line by line. */
void log_line(enum log_level level, const char *line);

#endif
