/*
 * The bytes of a configuration file: see source.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE_MAX (64 * 1024 * 1024)

static struct config_stamp stamp_of(const struct stat *st)
{
	return (struct config_stamp){
	    st->st_dev, st->st_ino, st->st_mode, st->st_size, st->st_mtim, st->st_ctim};
}

struct config_stamp config_stamp_get(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? stamp_of(&st) : (struct config_stamp){0};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool config_stamp_same(const struct config_stamp *a, const struct config_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	    same_time(&a->modified, &b->modified) && same_time(&a->changed, &b->changed);
}

void config_stamp_spoil(struct config_stamp *stamp)
{
	stamp->size = -1;
}

/*
 * Whoever owns or may write the file chooses the answers, and what ctl does as root. Its owner is
 * named by number: looking up the name would need files that a confined process can't read.
 */
static int check_owner(const struct stat *st, const char *path, struct error *error)
{
	uid_t account = geteuid();

	if (st->st_uid != 0 && st->st_uid != account) {
		return error_set(error,
		    "not used, because account %u owns it; only root%s may; run: chown root %.300s",
		    (unsigned)st->st_uid, account ? " or the account that runs" : "", path);
	}
	if (st->st_mode & (S_IWGRP | S_IWOTH)) {
		return error_set(error, "not used, because %s may write it; run: chmod go-w %.300s",
		    st->st_mode & S_IWOTH ? "others" : "its group", path);
	}
	return 0;
}

static int fail_read(struct error *error)
{
	return errno == ENOMEM ? error_no_memory(error)
			       : error_set(error, "can't be read: %s", strerror(errno));
}

char *config_source_read(
    const char *path, bool no_link, size_t *size, struct config_stamp *stamp, struct error *error)
{
	int fd =
	    open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (no_link ? O_NOFOLLOW : 0));
	char *bytes = NULL;
	struct stat st;
	ssize_t n;

	*stamp = (struct config_stamp){0};
	if (fd < 0 || fstat(fd, &st)) {
		goto failed;
	}
	*stamp = stamp_of(&st);
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
		errno = S_ISREG(st.st_mode) ? EFBIG : S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		goto failed;
	}
	/* A change of owner or mode changes the stamp. */
	if (check_owner(&st, path, error)) {
		goto out;
	}
	bytes = malloc((size_t)st.st_size + 1);
	n = bytes ? pread(fd, bytes, (size_t)st.st_size, 0) : -1;
	if (n >= 0) {
		bytes[n] = '\0';
		*size = (size_t)n;
		goto out;
	}
	free(bytes);
	bytes = NULL;
failed:
	fail_read(error);
	/* An absent file has no stamp. Others may become readable without a change. */
	if (errno != ENOENT) {
		config_stamp_spoil(stamp);
	}
out:
	if (fd >= 0) {
		close(fd);
	}
	return bytes;
}
