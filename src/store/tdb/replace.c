/*
 * How a new counter file takes the name of the old one: see file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often the name may get yet another file while this process puts one back. */
#define EXCHANGES_MAX 10

int replace_path(
    const struct file *file, char real[PATH_MAX], char new[PATH_MAX], struct error *error)
{
	if (!realpath(file->store.location, real)) {
		return error_set(error, "%s: %s", file->store.location, strerror(errno));
	}
	/* For the inode, whose lock its writer holds: of each such file there is one writer. */
	if (snprintf(new, PATH_MAX, "%s.new-%ju", real, (uintmax_t)file->inode) >= PATH_MAX) {
		return error_set(error, "%s: the name is too long", real);
	}
	return 0;
}

void replace_clean(const char *new)
{
	char path[PATH_MAX], folder[PATH_MAX];
	const char *name = strrchr(new, '/') + 1;
	size_t length = (size_t)(strrchr(new, '-') + 1 - name);
	const struct dirent *entry;
	DIR *dir;

	memcpy(folder, new, (size_t)(name - new));
	folder[name - new] = '\0';
	dir = opendir(folder);
	while (dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, name, length) == 0 &&
		    snprintf(path, PATH_MAX, "%s%s", folder, entry->d_name) < PATH_MAX) {
			unlink(path);
		}
	}
	if (dir) {
		closedir(dir);
	}
}

static bool is_inode(const char *path, dev_t device, ino_t inode)
{
	struct stat st;

	return lstat(path, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static int exchange(const char *new, const char *real)
{
	return renameat2(AT_FDCWD, new, AT_FDCWD, real, RENAME_EXCHANGE);
}

int replace_name(struct file *file, const char *new, const char *real)
{
	struct stat made;

	if (fstat(tdb_fd(file->new), &made)) {
		return -1;
	}
	if (exchange(new, real) == 0) {
		if (is_inode(new, file->device, file->inode)) {
			unlink(new);
			return 0;
		}
		/* The name got another file after the last look at it: that one has it back. */
		for (int i = 0; i < EXCHANGES_MAX && !is_inode(new, made.st_dev, made.st_ino);
		     i++) {
			exchange(new, real);
		}
	} else if (errno == EINVAL || errno == ENOSYS) {
		/* Some file systems can't exchange names. */
		if (is_inode(real, file->device, file->inode)) {
			return rename(new, real);
		}
	} else if (errno != ENOENT) {
		return -1;
	}
	file->replaced = true;
	return 1;
}
