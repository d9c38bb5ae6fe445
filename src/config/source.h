/*
 * The bytes of a configuration file, if its owner and mode can be trusted, and its stamp. Knows
 * nothing of what they mean.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* Identifies what a file held at some time: two stamps differ if the file changed meanwhile. */
struct config_stamp {
	dev_t device;
	ino_t inode;
	mode_t mode;
	off_t size;
	struct timespec modified;
	struct timespec changed;
};

/* The stamp of the file as it is now; all zero if it can't be read. */
struct config_stamp config_stamp_get(const char *path);
bool config_stamp_same(const struct config_stamp *a, const struct config_stamp *b);

/* A stamp that no file has, in place of one that would say that nothing has changed. */
void config_stamp_spoil(struct config_stamp *stamp);

/*
 * Reads a regular file that root or the account that runs owns and nobody else may write. no_link:
 * path must not be a symbolic link. Returns the bytes, NUL-terminated, for the caller to free, with
 * their size; or NULL with the reason. *stamp is the stamp of the file. It is spoilt where reading
 * the same file again may succeed; and if the file changes while it is read, it is not the file's.
 */
char *config_source_read(
    const char *path, bool no_link, size_t *size, struct config_stamp *stamp, struct error *error);

#endif
