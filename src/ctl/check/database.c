/*
 * Faults of the counter file and its folder: see database.h.
 *
 * No advice changes what may not be the program's own, such as /tmp or a file of somebody else's:
 * another place for the counters is advised instead.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/check/database.h"

#include "count/record.h"
#include "ctl/check/files.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sysexits.h>
#include <unistd.h>

/* Damaged records that are named; more are only counted. */
#define DAMAGED_MAX 20

/* No smaller database_max_size is advised: it would have no room for many keys. */
#define SMALL_MAX (512ULL * 1024)
#define LARGE_MAX (4096ULL << 20) /* no file can be larger */

/* The folder, and what path names in it, if it is the program's own. */
static bool check_folder(struct check *check, const char *folder, bool *own)
{
	const struct passwd *user = check->user;
	const char *owner = check->ctl->config.user;
	const char *quoted = check_quote(check, folder);
	const char *closed = files_closed_folder(check, folder);
	size_t findings = check->findings;
	struct stat st;

	*own = false;
	if (closed) {
		check_finding(check,
		    "%s: %s can't enter it, and so not reach %s: nothing is "
		    "limited; %s",
		    closed, owner, check->ctl->config.database, files_other_place(check));
		return false;
	}
	if (stat(folder, &st)) {
		const char *why = errno == ENOENT
		    ? "is missing"
		    : check_text(check, "can't be reached: %s", strerror(errno));

		check_finding(check,
		    "%s: the folder of the counter file %s: nothing is limited; %s", folder, why,
		    files_can_make(check, folder)
			? check_text(check, "run: install -d -o %s -m 0750 %s", owner, quoted)
			: files_other_place(check));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		check_finding(check, "%s: not a folder: nothing is limited; %s", folder,
		    files_other_place(check));
		return false;
	}
	*own = files_are_own(check, folder, &st);
	if (files_lack(check, R_OK | W_OK | X_OK, folder, &st)) {
		int reason = access(folder, W_OK) ? errno : EACCES;
		const char *repair = files_other_place(check);

		if (*own && reason == EPERM) {
			repair = check_text(check, "run: chattr -ai %s", quoted);
		} else if (*own && reason != EROFS) {
			repair = check_text(
			    check, "run: chown %s %s && chmod u+rwx %s", owner, quoted, quoted);
		}
		check_finding(check,
		    "%s: %s can't write to the folder%s: the helper can't create or compact the "
		    "counter file; %s",
		    folder, owner,
		    reason == EROFS       ? ", which is on a read-only file system"
			: reason == EPERM ? ", which is immutable"
					  : "",
		    repair);
		return *own && reason != EROFS;
	}
	if (st.st_mode & S_IWOTH) {
		check_finding(check,
		    "%s: mode is %04o: every account can replace the counter file; %s", folder,
		    st.st_mode & 07777,
		    *own ? check_text(check, "run: chmod o-w %s", quoted)
			 : files_other_place(check));
	} else if ((st.st_mode & S_IWGRP) && user && st.st_gid != user->pw_gid && st.st_gid != 0) {
		check_finding(check,
		    "%s: mode is %04o: its group, which is not that of %s, can replace the counter "
		    "file; %s",
		    folder, st.st_mode & 07777, owner,
		    *own ? check_text(check, "run: chmod g-w %s", quoted)
			 : files_other_place(check));
	}
	return *own || check->findings == findings;
}

static void check_space(struct check *check, const char *folder, unsigned long long size)
{
	const struct config *config = &check->ctl->config;
	unsigned long long max = config->database_max_size;
	unsigned long long mib = 1 << 20;
	bool nearly_full = size >= max - max / 10;
	unsigned long long wanted = nearly_full ? size / mib * 2 * mib + 2 * mib : max;
	unsigned long long available = UINT64_MAX, reserve = 0, needed, smaller;
	const char *repair;
	struct statvfs disk;

	wanted = wanted < LARGE_MAX ? wanted : LARGE_MAX;
	/* Some file systems do not tell their size. */
	if (statvfs(folder, &disk) == 0 && disk.f_blocks > 0) {
		available = (unsigned long long)disk.f_bavail * disk.f_frsize;
		reserve = (unsigned long long)disk.f_blocks * disk.f_frsize / 20;
	}
	/* Room to grow, and for compaction, which writes a second file. */
	reserve = reserve < wanted ? reserve : wanted;
	needed = wanted > size ? wanted - size : 0;
	needed = needed > reserve ? needed : reserve;
	if (!nearly_full && available >= needed) {
		return;
	}
	smaller = (size + available / 2) / 1024;
	if (available >= needed) {
		repair = max < LARGE_MAX
		    ? check_text(check, "write: database_max_size = %lluM", wanted / mib)
		    : check_text(check, "run: policyd-ratelimit-ctl -c %s clean",
			  check_quote(check, check->config_path));
	} else if (available / 2 >= size && smaller * 1024 >= SMALL_MAX && smaller * 1024 != max) {
		repair = check_text(check, "write: database_max_size = %lluK", smaller);
	} else {
		/* A smaller size would deny new counters, even those that there is room for. */
		repair = check_text(check, "make room there: %llu MiB", needed / mib + 1);
	}
	if (nearly_full) {
		check_finding(check,
		    "%s: %s has %llu MiB, 90 %% of database_max_size or more: once it is full, new "
		    "keys are not counted; %s",
		    check->config_path, config->database, size / mib, repair);
	} else {
		check_finding(check,
		    "%s: %llu MiB are free on the disk of %s, and it may grow by %llu MiB: new "
		    "keys are not counted once the disk is full; %s",
		    check->config_path, available / mib, config->database, needed / mib, repair);
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

/* Owner, mode and attributes of the file. False if nothing can be read from it. */
static bool check_file(struct check *check, const struct stat *st)
{
	const struct config *config = &check->ctl->config;
	const struct passwd *user = check->user;
	const char *path = config->database;
	const char *quoted = check_quote(check, path);
	size_t findings = check->findings;
	int fd;

	if (user && st->st_uid != user->pw_uid) {
		check_finding(check,
		    "%s: belongs to uid %u, not to %s: the helper can't write to it; run: chown %s "
		    "%s",
		    path, (unsigned)st->st_uid, config->user, config->user, quoted);
	}
	if ((st->st_mode & 07777) != config->database_mode) {
		check_finding(check, "%s: mode is %04o, not database_mode: %s; run: chmod %04o %s",
		    path, st->st_mode & 07777,
		    st->st_mode & ~config->database_mode & 0022 ? "others can change the counters"
		    : st->st_mode & ~config->database_mode & 0044
			? "others can lock the file and so stop the limits"
			: "accounts that should read it can't",
		    config->database_mode, quoted);
	}
	/* If the owner or the mode is wrong, it is no second fault that the store can't open it. */
	if (check->findings > findings) {
		return !files_lack(check, R_OK, path, st) && !(st->st_mode & (S_IWGRP | S_IWOTH));
	}
	if (user && geteuid() == user->pw_uid) {
		/* No locks are held yet that a close could drop. */
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 && errno == EPERM) {
			check_finding(check,
			    "%s: it is immutable: nothing is counted; run: chattr -ai %s", path,
			    quoted);
			return false;
		}
		if (fd >= 0) {
			close(fd);
		}
	}
	return true;
}

/* Where the last good configuration is kept, if not beside the counter file. */
static void check_state(struct check *check, const char *counters)
{
	const char *folder = check->ctl->config.state_directory;
	const char *owner = check->ctl->config.user;
	const char *quoted = check_quote(check, folder);
	const char *repair;
	struct stat st;

	if (strcmp(folder, counters) == 0 || files_can_use(check, folder)) {
		return;
	}
	if (files_can_make(check, folder)) {
		repair = check_text(check, "run: install -d -o %s -m 0750 %s", owner, quoted);
	} else if (stat(folder, &st) == 0 && S_ISDIR(st.st_mode) &&
	    files_are_own(check, folder, &st)) {
		repair = check_text(
		    check, "run: chown %s %s && chmod u+rwx,o-w %s", owner, quoted, quoted);
	} else {
		repair = check_text(check, "write: state_directory = %s", counters);
	}
	check_finding(check,
	    "%s: %s can't keep the last good configuration there: after a mistake in the file, new "
	    "processes answer on_error; %s",
	    folder, owner, repair);
}

int database_check(struct check *check)
{
	const char *path = check->ctl->config.database;
	const char *folder = dirname(check_text(check, "%s", path));
	size_t findings = check->findings;
	struct stat st;
	bool own;

	if (!check_folder(check, folder, &own)) {
		return 0;
	}
	check_state(check, folder);
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
	own = own || (check->user && check->user->pw_uid != 0 && st.st_uid == check->user->pw_uid);
	if (!S_ISREG(st.st_mode) || !own) {
		check_finding(check, "%s: %s: nothing is limited; %s", path,
		    S_ISREG(st.st_mode)
			? check_text(check, "belongs to uid %u, as its folder", (unsigned)st.st_uid)
			: "not a file",
		    files_other_place(check));
		return 0;
	}
	check_space(check, folder, (unsigned long long)st.st_size);
	return check_file(check, &st) ? check_records(check) : 0;
}
