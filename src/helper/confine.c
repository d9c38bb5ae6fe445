/*
 * Confinement of the helper: see confine.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "helper/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A sanitizer's runtime needs other files, other processes and its own memory image. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
    __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#undef HAVE_LANDLOCK
#undef HAVE_SECCOMP
#endif

#ifdef HAVE_SECCOMP
#include <linux/filter.h>
#include <linux/seccomp.h>
#endif
#ifdef HAVE_LANDLOCK
#include <linux/landlock.h>
#endif

void confine_environment(void)
{
	/*
	 * Not all variables: a preloaded library may need its own. Somebody who can preload a
	 * library has full control anyway.
	 */
	static const char *const names[] = {"POSIXLY_CORRECT", "TDB_NO_FSYNC", "TZDIR"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		unsetenv(names[i]);
	}
}

#ifdef HAVE_SECCOMP
static void filter_calls(void)
{
	static struct sock_filter step[] = {
#include "helper/confine_filter.inc"
	};
	const struct sock_fprog program = {sizeof(step) / sizeof(*step), step};

	/*
	 * Without this flag, kernels before 5.16 turn on mitigations that slow the process down. It
	 * runs no untrusted code, so it does not need them.
	 */
	if (syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program)) {
		(void)!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	}
}
#endif

void confine_process(void)
{
#ifndef SANITIZED
	/* The limit does not apply to cores that are piped to a program; the flag applies to all.
	 */
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifdef HAVE_SECCOMP
	filter_calls();
#endif
#endif
}

#ifdef HAVE_LANDLOCK

/* Older headers than the kernel lack these. */
#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define NET_BIND_TCP (UINT64_C(1) << 0)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

struct ruleset {
	uint64_t fs;
	uint64_t net; /* version 4 of Landlock */
	uint64_t scoped; /* version 6 */
};

#define RIGHTS_READ ((uint64_t)LANDLOCK_ACCESS_FS_READ_FILE)
#define RIGHTS_LOG ((uint64_t)(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG))
#define RIGHTS_KEPT (RIGHTS_READ | RIGHTS_LOG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
/* READ_DIR: to count the damaged files that were kept. */
#define RIGHTS_DATABASE (RIGHTS_KEPT | LANDLOCK_ACCESS_FS_READ_DIR | FS_TRUNCATE)

/* The process's only ruleset, and the folders that it allows. */
static struct {
	bool in_force;
	int fd;
	uint64_t handled;
	struct {
		char *path;
		uint64_t rights;
	} folder[8]; /* two for each place */
	size_t folders;
} rules;

static int make_ruleset(void)
{
	static const uint64_t fs_of_version[] = {
	    FS_REFER - 1, FS_REFER, FS_TRUNCATE, 0, FS_IOCTL_DEV};
	struct ruleset ruleset = {0};
	long version =
	    syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	size_t size = version >= 6 ? sizeof(ruleset)
	    : version >= 4         ? offsetof(struct ruleset, scoped)
				   : offsetof(struct ruleset, net);

	if (version < 1) {
		return -1;
	}
	for (long i = 0; i < version && i < (long)(sizeof(fs_of_version) / sizeof(uint64_t)); i++) {
		ruleset.fs |= fs_of_version[i];
	}
	ruleset.net = version >= 4 ? NET_BIND_TCP | NET_CONNECT_TCP : 0;
	ruleset.scoped = version >= 6 ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0;
	rules.handled = ruleset.fs;
	rules.fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
	return rules.fd < 0 ? -1 : 0;
}

/* Allows path and everything beneath it. If path does not exist, it needs no rule. */
static void allow(const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr beneath = {
	    .allowed_access = rights & rules.handled,
	    .parent_fd = open(path, O_PATH | O_CLOEXEC),
	};

	if (beneath.parent_fd < 0) {
		return;
	}
	(void)!syscall(SYS_landlock_add_rule, rules.fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
	close(beneath.parent_fd);
}

/* Cuts the last name off a path; false if nothing but the root would be cut. */
static bool cut_name(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || !slash[1]) {
		return false;
	}
	slash[slash == path] = '\0';
	return true;
}

static bool is_root(const char *path)
{
	return strcmp(path, "/") == 0;
}

/* Finds the real path of a file's folder: 0. If it is missing, of its parent: 1. -1: of neither. */
static int find_folder(const char *path, char folder[PATH_MAX])
{
	char name[PATH_MAX];

	if (strlen(path) + sizeof("./") > sizeof(name)) {
		return -1;
	}
	stpcpy(stpcpy(name, path[0] == '/' ? "" : "./"), path);
	cut_name(name);
	if (realpath(name, folder)) {
		return 0;
	}
	return errno == ENOENT && cut_name(name) && realpath(name, folder) && !is_root(folder) ? 1
											       : -1;
}

/*
 * A Landlock rule applies to a folder's inode, not to its path. above: the rule must also cover a
 * folder that is made again, or that a symbolic link points at later; so it is about the parent,
 * unless that is the root.
 */
static void allow_folder(char folder[PATH_MAX], uint64_t rights, bool above)
{
	char *slash = strrchr(folder, '/');
	char *path;

	if (above && slash != folder) {
		*slash = '\0';
	}
	allow(folder, rights);
	path = strdup(folder);
	if (path && rules.folders < sizeof(rules.folder) / sizeof(*rules.folder)) {
		rules.folder[rules.folders].path = path;
		rules.folder[rules.folders++].rights = rights;
	}
}

enum above { FOLDER, ABOVE, ABOVE_LINK /* if the path contains a symbolic link */ };

/* Allows the folder of a file and, if the path contains a symbolic link, of its target. */
static void allow_place(const char *path, uint64_t rights, enum above above)
{
	char folder[PATH_MAX];
	int missing;

	if (realpath(path, folder)) {
		bool linked = strcmp(path, folder) != 0;

		cut_name(folder);
		allow_folder(folder, rights, above == ABOVE || (above == ABOVE_LINK && linked));
		if (!linked) {
			return;
		}
	}
	missing = find_folder(path, folder);
	if (missing >= 0) {
		allow_folder(folder, rights, above != FOLDER && !missing);
	}
}

static bool covers(const char *folder, uint64_t rights)
{
	for (size_t i = 0; i < rules.folders; i++) {
		const char *path = rules.folder[i].path;
		size_t length = is_root(path) ? 0 : strlen(path);

		if ((rules.folder[i].rights & rights) == rights &&
		    strncmp(folder, path, length) == 0 &&
		    (folder[length] == '/' || folder[length] == '\0')) {
			return true;
		}
	}
	return false;
}

/* Allows the folder of the kept configuration, which usually is that of the database as well. */
static void allow_kept(const char *kept)
{
	char folder[PATH_MAX];

	if (kept && find_folder(kept, folder) == 0 && !covers(folder, RIGHTS_KEPT)) {
		allow_folder(folder, RIGHTS_KEPT, false);
	}
}

void confine_files(const char *config, const char *database, const char *kept, const char *log)
{
	if (rules.in_force || make_ruleset()) {
		return;
	}
	/* The file that TZ names can't be read later. */
	if (getenv("TZ")) {
		tzset();
	}
	allow_place(config, RIGHTS_READ, ABOVE_LINK);
	allow_place(database, RIGHTS_DATABASE, ABOVE);
	allow_kept(kept);
	if (log) {
		allow_place(log, RIGHTS_LOG, FOLDER);
	}
	/* The rule applies to its target. libc reads it once. */
	allow("/etc/localtime", RIGHTS_READ);
	rules.in_force = syscall(SYS_landlock_restrict_self, rules.fd, 0) == 0;
	close(rules.fd);
}

/* Whether the file's folder and, if it is a symbolic link, its target's are covered. */
static bool reaches(const char *path, uint64_t rights)
{
	char folder[PATH_MAX], target[PATH_MAX];

	return !rules.in_force ||
	    (find_folder(path, folder) >= 0 && covers(folder, rights) &&
		(!realpath(path, target) || !cut_name(target) || covers(target, rights)));
}

bool confine_reaches_database(const char *path)
{
	return reaches(path, RIGHTS_DATABASE);
}

bool confine_reaches_kept(const char *path)
{
	char folder[PATH_MAX];

	/* If the folder is missing, that is the fault to report. */
	return !rules.in_force || find_folder(path, folder) != 0 || covers(folder, RIGHTS_KEPT);
}

bool confine_reaches_log(const char *path)
{
	return reaches(path, RIGHTS_LOG);
}

#else

void confine_files(const char *config, const char *database, const char *kept, const char *log)
{
	(void)config;
	(void)database;
	(void)kept;
	(void)log;
}

bool confine_reaches_database(const char *path)
{
	(void)path;
	return true;
}

bool confine_reaches_kept(const char *path)
{
	(void)path;
	return true;
}

bool confine_reaches_log(const char *path)
{
	(void)path;
	return true;
}

#endif
