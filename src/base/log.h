/*
 * The log: writes lines to syslog or to a file, never to fd 1, and to fd 2 only if it is told that
 * it may. The caller decides which lines to log, and makes them printable.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef LOG_H
#define LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO };

/* The number of the syslog facility with that name ("mail", "local3"), or -1. */
int log_facility(const char *name);

/*
 * Sends all further lines to the file at path, or to syslog with this facility if path is NULL.
 * path is copied. Before the first call lines go to syslog, facility mail.
 */
void log_to(int facility, const char *path);

/* Lets lines that can't go anywhere else go to stderr. */
void log_allow_stderr(void);

/*
 * Logs one line, given without a newline. A line that can't go to the file goes to syslog; if there
 * is no syslog either, it goes to stderr, if that is allowed.
 */
void log_line(enum log_level level, const char *line);

#endif
