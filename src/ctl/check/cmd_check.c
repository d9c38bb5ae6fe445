/*
 * The command check: faults of the configuration, the log, the counter file and, in
 * ctl/postfix, of how Postfix calls the helper.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/check/check.h"
#include "ctl/check/database.h"
#include "ctl/check/files.h"
#include "ctl/commands.h"
#include "ctl/postfix/postfix.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#define SYSLOG_SOCKET "/dev/log" /* of syslog(3) */

/* config_load read the file before ctl changed from root to the account. */
static void check_config_file(struct check *check)
{
	const struct passwd *user = check->user;
	const char *path = check->config_path;
	const char *quoted = check_quote(check, path);
	const char *closed = files_closed_folder(check, path);
	const char *folder = dirname(check_text(check, "%s", path));
	const char *user_name = check->ctl->config.user;
	/* If the file is in the default place, only the administrator knows a better one. */
	const char *move = strcmp(path, DEFAULT_CONFIG) == 0
	    ? "make another folder for it"
	    : check_text(check, "run: install -o root -g +%u -m 0640 %s " DEFAULT_CONFIG,
		  (unsigned)user->pw_gid, quoted);
	struct stat st;

	if (closed) {
		check_finding(check,
		    "%s: %s can't enter %s: every request gets the answer of on_error; %s", path,
		    user_name, closed, move);
		return;
	}
	if (check->by_root && geteuid() == user->pw_uid && access(folder, W_OK) == 0 &&
	    stat(folder, &st) == 0 && !(st.st_mode & S_ISVTX)) {
		check_finding(check,
		    "%s: %s can write to its folder: whoever takes over that account can replace "
		    "the file; %s",
		    path, user_name, move);
	}
	if (stat(path, &st)) {
		return;
	}
	if (files_lack(check, R_OK, path, &st)) {
		check_finding(check,
		    "%s: %s can't read it: every request gets the answer of on_error; run: chgrp "
		    "+%u %s && chmod g+r %s",
		    path, user_name, (unsigned)user->pw_gid, quoted, quoted);
	}
}

static void check_config(struct check *check)
{
	const struct config *config = &check->ctl->config;
	const struct passwd *user = check->user;
	const char *path = check->config_path;

	if (!check->ctl->config_is_bad && config->rules == 0) {
		check_finding(check,
		    "%s: there is no rule: nothing is limited; write: [rule users]; "
		    "write: key = sasl_username; write: limit = 100/hour, 500/day",
		    path);
	}
	if (!user) {
		check_finding(check,
		    "%s: there is no account \"%s\": spawn(8) can't start the helper; run: useradd "
		    "--system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "
		    "%s",
		    path, config->user, config->user);
	} else if (user->pw_uid == 0) {
		check_finding(check,
		    "%s: user = %s: spawn(8) does not run programs as root; write: user = %s", path,
		    config->user, DEFAULT_USER);
	} else {
		check_config_file(check);
	}
}

/* Whether anything reads what is sent to syslog. */
static bool syslog_listens(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SYSLOG_SOCKET};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool listens = fd < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ||
	    (errno != ENOENT && errno != ECONNREFUSED && errno != ENOTSOCK);

	if (fd >= 0) {
		close(fd);
	}
	return listens;
}

static void check_log(struct check *check)
{
	const struct config *config = &check->ctl->config;
	const char *log = config->log_path;
	bool syslog = syslog_listens();
	const char *folder;
	const char *repair;
	struct stat st;
	bool lacks;

	if (config->log == CONFIG_LOG_NONE || (!log && syslog)) {
		return;
	}
	folder = dirname(check_text(check, "%s", config->database));
	if (!files_can_use(check, folder) && !files_can_make(check, folder)) {
		folder = files_other_folder(check);
	}
	repair = syslog ? "syslog" : check_text(check, "file:%s/" HELPER ".log", folder);
	if (!log) {
		check_finding(check,
		    "%s: nothing listens on " SYSLOG_SOCKET
		    ": the log is lost; write: log_target = %s",
		    check->config_path, repair);
		return;
	}
	if (files_closed_folder(check, log)) {
		lacks = true;
	} else if (stat(log, &st) == 0) {
		lacks = S_ISDIR(st.st_mode) || files_lack(check, W_OK, log, &st);
	} else {
		folder = dirname(check_text(check, "%s", log));
		lacks = stat(folder, &st) || files_lack(check, W_OK | X_OK, folder, &st);
	}
	if (lacks) {
		check_finding(check, "%s: %s can't write to %s: %s; write: log_target = %s",
		    check->config_path, config->user, log,
		    syslog ? "the log goes to syslog" : "the log is lost", repair);
	}
}

static int check_all(struct check *check)
{
	struct stat st;
	int status;

	/* Nothing is known of a file that was not read; its user, say. */
	if (!check->ctl->config.is_read && stat(check->config_path, &st) == 0) {
		return EX_CONFIG;
	}
	check_config(check);
	check_log(check);
	status = database_check(check);
	postfix_check(check->postfix);
	if (check->ctl->config_is_bad) {
		return EX_CONFIG;
	}
	if (check->findings > 0) {
		return CTL_FAULTS;
	}
	if (status == 0 && isatty(STDOUT_FILENO)) {
		puts("no faults found");
	}
	return status;
}

/*
 * Postfix's settings, and its sockets, which root alone can open: before ctl changes to the
 * account.
 */
int cmd_check_open(struct ctl *ctl, int argc, char **argv)
{
	struct check *check = ctl_must(calloc(1, sizeof(*check)));
	const char **dir = check_alloc(check, (size_t)argc, sizeof(*dir));
	char *absolute = realpath(ctl->config_path, NULL);
	const struct passwd *user = getpwnam(ctl->config.user);
	size_t dirs = 0;
	int option;

	ctl->check = check;
	check->ctl = ctl;
	check->config_path = absolute ? check_keep(check, absolute) : ctl->config_path;
	check->by_root = geteuid() == 0;
	if (user) {
		struct passwd *copy = check_alloc(check, 1, sizeof(*copy));

		/* The next getpwnam fills the same struct. */
		copy->pw_uid = user->pw_uid;
		copy->pw_gid = user->pw_gid;
		check->user = copy;
	}
	while ((option = getopt(argc, argv, "P:")) == 'P') {
		dir[dirs++] = optarg;
	}
	if (option != -1 || optind != argc) {
		check_free(check);
		return CTL_USAGE;
	}
	check->postfix = postfix_load(check, dir, dirs);
	return 0;
}

int cmd_check(struct ctl *ctl, int argc, char **argv)
{
	int status = check_all(ctl->check);

	(void)argc;
	(void)argv;
	check_free(ctl->check);
	return status;
}
