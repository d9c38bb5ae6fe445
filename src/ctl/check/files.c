/*
 * What the helper's account can do with files: see files.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/check/files.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool files_lack(const struct check *check, int wanted, const char *path, const struct stat *st)
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

const char *files_closed_folder(struct check *check, const char *path)
{
	struct stat st;

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		const char *folder =
		    slash == path ? "/" : check_text(check, "%.*s", (int)(slash - path), path);

		if (stat(folder, &st)) {
			return NULL;
		}
		if (S_ISDIR(st.st_mode) && files_lack(check, X_OK, folder, &st)) {
			return folder;
		}
	}
	return NULL;
}

bool files_can_use(struct check *check, const char *folder)
{
	struct stat st;

	return !files_closed_folder(check, folder) && stat(folder, &st) == 0 &&
	    S_ISDIR(st.st_mode) && !(st.st_mode & S_IWOTH) &&
	    !files_lack(check, R_OK | W_OK | X_OK, folder, &st);
}

bool files_are_own(struct check *check, const char *folder, const struct stat *st)
{
	const char *standard = dirname(check_text(check, "%s", DEFAULT_DATABASE));
	const char *of_config = dirname(check_text(check, "%s", check->config_path));

	/* A folder such as /tmp is for everybody, and the configuration is root's. */
	if (!check->user || check->user->pw_uid == 0 || (st->st_mode & S_ISVTX) ||
	    strcmp(folder, of_config) == 0) {
		return false;
	}
	return st->st_uid == check->user->pw_uid || strcmp(folder, standard) == 0 ||
	    strcmp(basename(check_text(check, "%s", folder)), HELPER) == 0;
}

bool files_can_make(struct check *check, const char *folder)
{
	const char *nearest = folder;
	struct statvfs disk;
	struct stat st;

	if (files_closed_folder(check, folder) || lstat(folder, &st) == 0) {
		return false;
	}
	while (stat(nearest, &st) && strcmp(nearest, "/") != 0) {
		nearest = dirname(check_text(check, "%s", nearest));
	}
	return S_ISDIR(st.st_mode) && statvfs(nearest, &disk) == 0 && !(disk.f_flag & ST_RDONLY);
}

const char *files_other_folder(struct check *check)
{
	const char *place[] = {dirname(check_text(check, "%s", DEFAULT_DATABASE)),
	    "/var/lib/" HELPER, "/var/spool/" HELPER, "/srv/" HELPER};
	const char *present = dirname(check_text(check, "%s", check->ctl->config.database));

	for (size_t i = 0; i < sizeof(place) / sizeof(*place); i++) {
		if (strcmp(place[i], present) != 0 &&
		    (files_can_use(check, place[i]) || files_can_make(check, place[i]))) {
			return place[i];
		}
	}
	return place[0];
}

const char *files_other_place(struct check *check)
{
	const char *folder = files_other_folder(check);
	const char *make = "";

	if (files_can_make(check, folder)) {
		make = check_text(
		    check, "; run: install -d -o %s -m 0750 %s", check->ctl->config.user, folder);
	}
	return check_text(check, "write: database = %s/counters.tdb%s", folder, make);
}
