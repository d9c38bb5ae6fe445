/*
 * The log: see log.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/log.h"

#include "base/strbuf.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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
static bool stderr_allowed;

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

void log_allow_stderr(void)
{
	stderr_allowed = true;
}

/* Writes the line with the time and the process. Returns 0, or -1 if not all of it was written. */
static int write_line(int fd, const char *line)
{
	char buffer[8192];
	struct strbuf text;
	char stamp[64];
	time_t now = (time_t)(clock_now_ms() / 1000);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S%z", &tm);
	strbuf_init(&text, buffer, sizeof(buffer) - 1);
	strbuf_printf(&text, "%s " TAG "[%d]: ", stamp, (int)getpid());
	strbuf_puts(&text, line);
	buffer[text.length++] = '\n';
	return write(fd, buffer, text.length) == (ssize_t)text.length ? 0 : -1;
}

/* Opens the file for each line: logrotate(8) may have moved it away. */
static int write_file(const char *line)
{
	int fd = open(
	    file_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	int result;

	if (fd < 0) {
		return -1;
	}
	result = write_line(fd, line);
	close(fd);
	return result;
}

/* Whether somebody listens: syslog(3) does not say. */
static bool has_syslog(void)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* A socket for streams is another kind of syslog, which syslog(3) uses as well. */
	bool found = fd >= 0 &&
	    (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ||
		errno == EPROTOTYPE);

	if (fd >= 0) {
		close(fd);
	}
	return found;
}

void log_line(enum log_level level, const char *line)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO};

	if (file_path[0] && write_file(line) == 0) {
		return;
	}
	if (stderr_allowed && !has_syslog() && write_line(STDERR_FILENO, line) == 0) {
		return;
	}
	if (current_facility < 0) {
		log_to(LOG_MAIL, NULL);
	}
	syslog(priorities[level], "%s", line);
}
