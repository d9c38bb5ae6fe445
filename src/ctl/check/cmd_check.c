/*
 * The command check: faults of the configuration, the counter file, their permissions and, in
 * ctl/postfix, of how Postfix calls the helper.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/record.h"
#include "ctl/check/check.h"
#include "ctl/commands.h"
#include "ctl/postfix/postfix.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sysexits.h>
#include <unistd.h>

/* Damaged records that are named; more are only counted. */
#define DAMAGED_MAX 20

static void check_config(struct check *check)
{
	const struct config *config = &check->ctl->config;
	const struct passwd *user = check->user;
	const char *path = check->config_path;
	const char *quoted = check_quote(check, path);
	struct stat st;

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
	} else if (geteuid() == user->pw_uid && access(path, R_OK) && errno == EACCES) {
		/* config_load read it before ctl changed from root to this account. */
		check_finding(check,
		    "%s: %s can't read it: every request gets the answer of on_error; run: chgrp "
		    "+%u %s && chmod g+r %s",
		    path, config->user, (unsigned)user->pw_gid, quoted, quoted);
	}
	if (stat(path, &st) == 0 && (st.st_mode & S_IWGRP) && st.st_gid != 0) {
		check_finding(check,
		    "%s: mode is %04o: accounts other than its owner can change the limits; run: "
		    "chmod go-w %s",
		    path, st.st_mode & 07777, quoted);
	}
}

/* Whether the helper's account, if it exists, lacks any of R_OK, W_OK and X_OK. */
static bool lacks(const struct check *check, int wanted, const char *path, const struct stat *st)
{
	const struct passwd *user = check->user;
	unsigned shift = 0;

	if (!user || geteuid() == user->pw_uid) {
		return user && access(path, wanted) != 0;
	}
	if (st->st_uid == user->pw_uid) {
		shift = 6;
	} else if (st->st_gid == user->pw_gid) {
		shift = 3;
	}
	/* These constants are the bits of a mode, in the place of those for others. */
	return user->pw_uid != 0 && ((~st->st_mode >> shift) & (mode_t)wanted) != 0;
}

static void check_folder(struct check *check, const char *folder)
{
	const struct passwd *user = check->user;
	const char *owner = check->ctl->config.user;
	const char *quoted = check_quote(check, folder);
	struct stat st;

	if (stat(folder, &st)) {
		if (errno == ENOENT) {
			check_finding(check,
			    "%s: the folder of the counter file is missing: nothing is limited; "
			    "run: install -d -o %s -m 0750 %s",
			    folder, owner, quoted);
		}
		return;
	}
	if (!S_ISDIR(st.st_mode)) {
		check_finding(check, "%s: not a folder: nothing is limited; write: database = %s",
		    folder, DEFAULT_DATABASE);
		return;
	}
	if (lacks(check, R_OK | W_OK | X_OK, folder, &st)) {
		check_finding(check,
		    "%s: %s can't write to the folder: the helper can't create or compact the "
		    "counter file; run: chown %s %s && chmod u+rwx %s",
		    folder, owner, owner, quoted, quoted);
	}
	if (st.st_mode & S_IWOTH) {
		check_finding(check,
		    "%s: mode is %04o: every account can replace the counter file; run: chmod o-w "
		    "%s",
		    folder, st.st_mode & 07777, quoted);
	} else if ((st.st_mode & S_IWGRP) && user && st.st_gid != user->pw_gid && st.st_gid != 0) {
		check_finding(check,
		    "%s: mode is %04o: its group, which is not that of %s, can replace the counter "
		    "file; run: chmod g-w %s",
		    folder, st.st_mode & 07777, owner, quoted);
	}
}

static void check_space(struct check *check, const char *folder, unsigned long long size)
{
	const struct config *config = &check->ctl->config;
	unsigned long long max = config->database_max_size;
	unsigned long long mib = 1 << 20;
	unsigned long long available, needed, reserve;
	struct statvfs disk;

	if (size >= max - max / 10) {
		check_finding(check,
		    "%s: %s has %llu MiB, 90 %% of database_max_size or more: once it is full, new "
		    "keys are not counted; write: database_max_size = %lluM",
		    check->config_path, config->database, size / mib,
		    size / mib < 2047 ? size / mib * 2 + 2 : 4096);
	}
	/* Some file systems do not tell their size. */
	if (statvfs(folder, &disk) || disk.f_blocks == 0) {
		return;
	}
	/* Room to grow, and for compaction, which writes a second file. */
	available = (unsigned long long)disk.f_bavail * disk.f_frsize;
	reserve = (unsigned long long)disk.f_blocks * disk.f_frsize / 20;
	needed = max > size ? max - size : 0;
	reserve = reserve < max ? reserve : max;
	needed = needed > reserve ? needed : reserve;
	if (available < needed) {
		unsigned long long half = available / 2 / 1024;

		check_finding(check,
		    "%s: %llu MiB are free on the disk of %s, and it may grow by %llu MiB: new "
		    "keys are not counted once the disk is full; write: database_max_size = %lluK",
		    check->config_path, available / mib, config->database, needed / mib,
		    half < 64 ? 64 : half);
	}
}

struct walking {
	struct check *check;
	size_t damaged;
};

static bool check_record(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *bytes, size_t size)
{
	struct walking *walking = data;
	struct check *check = walking->check;
	size_t prefix;
	const struct rule *rule = ctl_rule_of(check->ctl, key, key_length, &prefix);
	struct record record;
	struct error error;
	const char *name;
	bool can_be_typed;

	(void)txn;
	if (rule && record_read(&record, bytes, size, &error) && walking->damaged++ < DAMAGED_MAX) {
		name = check_printable(check, key + prefix, key_length - prefix);
		can_be_typed = memcmp(name, key + prefix, strlen(name)) == 0;
		check_finding(check,
		    "%s: the record of \"%s:%s\" can't be read: %s: the key is not limited; run: "
		    "policyd-ratelimit-ctl -c %s reset --rule %s %s%s",
		    check->ctl->config.database, rule->name, name, error.text,
		    check_quote(check, check->config_path), rule->name,
		    can_be_typed ? "-- " : "--all", can_be_typed ? check_quote(check, name) : "");
	}
	return true;
}

/* Checks all records. 0, or an exit status if they could not be read. */
static int check_records(struct check *check)
{
	const char *database = check->ctl->config.database;
	struct walking walking = {.check = check};
	enum store_result result;
	struct error error;

	result = store_walk(check->ctl->store, check_record, &walking, &error);
	if (result == STORE_FORBIDDEN || result == STORE_BUSY) {
		return ctl_store_failed(result, &error);
	}
	if (result != STORE_OK) {
		check_finding(check, "%s: nothing is limited; run: mv %s %s", error.text,
		    check_quote(check, database),
		    check_quote(check, check_text(check, "%s.bad", database)));
	}
	if (walking.damaged > DAMAGED_MAX) {
		check_finding(check,
		    "%s: %zu records can't be read: their keys are not limited; run: "
		    "policyd-ratelimit-ctl -c %s reset --all",
		    database, walking.damaged, check_quote(check, check->config_path));
	}
	return 0;
}

/* 0, or an exit status if something could not be checked. */
static int check_database(struct check *check)
{
	const struct config *config = &check->ctl->config;
	const struct passwd *user = check->user;
	const char *path = config->database;
	const char *quoted = check_quote(check, path);
	const char *folder = dirname(check_text(check, "%s", path));
	size_t findings = check->findings;
	struct stat st;

	check_folder(check, folder);
	if (stat(path, &st)) {
		/* The helper will create it. */
		if (errno == ENOENT || errno == ENOTDIR) {
			check_space(check, folder, 0);
			return 0;
		}
		/* That this account may not see the file says nothing about the helper. */
		if (check->findings == findings) {
			warn("%s", path);
			return EX_NOPERM;
		}
		return 0;
	}
	if (!S_ISREG(st.st_mode)) {
		check_finding(check, "%s: not a file: nothing is limited; write: database = %s",
		    path, DEFAULT_DATABASE);
		return 0;
	}
	findings = check->findings;
	if (user && st.st_uid != user->pw_uid) {
		check_finding(check,
		    "%s: belongs to uid %u, not to %s: the helper can't write to it; run: chown %s "
		    "%s",
		    path, (unsigned)st.st_uid, config->user, config->user, quoted);
	}
	if ((st.st_mode & 07777) != config->database_mode) {
		check_finding(check, "%s: mode is %04o, not database_mode: %s; run: chmod %04o %s",
		    path, st.st_mode & 07777,
		    st.st_mode & ~config->database_mode & 0022
			? "others can change the counters"
			: "accounts that should read it can't",
		    config->database_mode, quoted);
	} else if ((st.st_mode & S_IWGRP) && user && st.st_gid != user->pw_gid) {
		check_finding(check,
		    "%s: its group, which is not that of %s, can change the counters; run: chgrp "
		    "+%u %s",
		    path, config->user, (unsigned)user->pw_gid, quoted);
	}
	check_space(check, folder, (unsigned long long)st.st_size);
	/* If the owner or the mode is wrong, it is no second fault that the store can't open it. */
	if (check->findings > findings &&
	    (lacks(check, R_OK, path, &st) || (st.st_mode & S_IWOTH))) {
		return 0;
	}
	return check_records(check);
}

static int check_all(struct check *check, const char *const *dir, size_t dirs)
{
	struct stat st;
	int status;

	/* config_load does not read a file that others can write: its user, say, is not known. */
	if (check->ctl->config_is_bad && stat(check->config_path, &st) == 0 &&
	    (st.st_mode & S_IWOTH)) {
		return EX_CONFIG;
	}
	check_config(check);
	status = check_database(check);
	postfix_check(check, dir, dirs);
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

int cmd_check(struct ctl *ctl, int argc, char **argv)
{
	struct check check = {
	    .ctl = ctl, .config_path = ctl->config_path, .user = getpwnam(ctl->config.user)};
	const char **dir = check_alloc(&check, (size_t)argc, sizeof(*dir));
	char *absolute = realpath(ctl->config_path, NULL);
	size_t dirs = 0;
	int status = CTL_USAGE;
	int option;

	if (absolute) {
		check.config_path = check_keep(&check, absolute);
	}
	while ((option = getopt(argc, argv, "P:")) == 'P') {
		dir[dirs++] = optarg;
	}
	if (option == -1 && optind == argc) {
		status = check_all(&check, dir, dirs);
	}
	check_free(&check);
	return status;
}
