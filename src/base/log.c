/*
 * The log: see log.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/log.h"

#include "base/strbuf.h"
#include "base/clock.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define TAG "policyd-ratelimit"

static const struct {
	const char *name;
	int facility;
} facilities[] = {{"auth", LOG_AUTH}, {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
    {"daemon", LOG_DAEMON}, {"kern", LOG_KERN}, {"lpr", LOG_LPR}, {"mail", LOG_MAIL},
    {"news", LOG_NEWS}, {"syslog", LOG_SYSLOG}, {"user", LOG_USER}, {"uucp", LOG_UUCP},
    {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3},
    {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7}};

/* libc keeps one connection to syslog for the whole process, so these are global too. */
static char file_path[PATH_MAX];
static int current_facility = -1;

int log_facility(const char *name)
{
	for (size_t i = 0; i < sizeof(facilities) / sizeof(*facilities); i++) {
		if (strcmp(facilities[i].name, name) == 0) {
			return facilities[i].facility;
		}
	}
	return -1;
}

void log_to(int facility, const char *path)
{
	snprintf(file_path, sizeof(file_path), "%s", path ? path : "");
	if (facility != current_facility) {
		current_facility = facility;
		openlog(TAG, LOG_PID, facility);
	}
}

/* Opens the file for each line: logrotate(8) may have moved it away. */
static int write_file(const char *line)
{
	char buffer[8192];
	struct strbuf text;
	char stamp[64];
	time_t now = (time_t)(clock_now_ms() / 1000);
	struct tm tm;
	ssize_t written;
	int fd;

	fd = open(
	    file_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (fd < 0) {
		return -1;
	}
	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S%z", &tm);
	strbuf_init(&text, buffer, sizeof(buffer) - 1);
	strbuf_printf(&text, "%s " TAG "[%d]: ", stamp, (int)getpid());
	strbuf_puts(&text, line);
	buffer[text.length++] = '\n';
	written = write(fd, buffer, text.length);
	close(fd);
	return written == (ssize_t)text.length ? 0 : -1;
}

void log_line(enum log_level level, const char *line)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO};

	if (file_path[0] && write_file(line) == 0) {
		return;
	}
	if (current_facility < 0) {
		log_to(LOG_MAIL, NULL);
	}
	syslog(priorities[level], "%s", line);
}
