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

bool files_are_own(struct check *check, const char *folder, const struct stat *st)
{
	const char *standard = dirname(check_text(check, "%s", DEFAULT_DATABASE));

	/* A folder such as /tmp is for everybody. */
	if (!check->user || check->user->pw_uid == 0 || (st->st_mode & S_ISVTX)) {
		return false;
	}
	return st->st_uid == check->user->pw_uid || strcmp(folder, standard) == 0 ||
	    strcmp(basename(check_text(check, "%s", folder)), HELPER) == 0;
}

/* Whether the account can use the folder, or could if it were made. */
static bool can_be_used(struct check *check, const char *folder, bool *exists)
{
	struct statvfs disk;
	struct stat st;
	const char *nearest = folder;

	if (files_closed_folder(check, folder)) {
		return false;
	}
	*exists = stat(folder, &st) == 0;
	if (*exists) {
		return S_ISDIR(st.st_mode) && !(st.st_mode & S_IWOTH) &&
		    !files_lack(check, R_OK | W_OK | X_OK, folder, &st);
	}
	while (stat(nearest, &st) && strcmp(nearest, "/") != 0) {
		nearest = dirname(check_text(check, "%s", nearest));
	}
	return S_ISDIR(st.st_mode) && statvfs(nearest, &disk) == 0 && !(disk.f_flag & ST_RDONLY);
}

const char *files_other_place(struct check *check)
{
	const char *place[] = {dirname(check_text(check, "%s", DEFAULT_DATABASE)),
	    "/var/lib/" HELPER, "/var/spool/" HELPER, "/srv/" HELPER};
	const char *present = dirname(check_text(check, "%s", check->ctl->config.database));

	for (size_t i = 0; i < sizeof(place) / sizeof(*place); i++) {
		bool exists;

		if (strcmp(place[i], present) != 0 && can_be_used(check, place[i], &exists)) {
			return check_text(check, "write: database = %s/counters.tdb%s", place[i],
			    exists ? ""
				   : check_text(check, "; run: install -d -o %s -m 0750 %s",
					 check->ctl->config.user, place[i]));
		}
	}
	return "write: database = " DEFAULT_DATABASE;
}
