/*
 * The copy of the last good configuration: see kept.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "helper/kept.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int kept_path(const char *directory, const char *path, char kept[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	/* Files in different folders may have the same name. */
	unsigned long long hash = hash_quick(0, path, strlen(path));
	int length = snprintf(
	    kept, PATH_MAX, "%s/%s.%016llx.good", directory, slash ? slash + 1 : path, hash);

	return length < PATH_MAX ? 0 : -1;
}

static bool is_copy(const char *kept, const char *bytes, size_t size)
{
	struct config_stamp stamp;
	struct error error;
	size_t kept_size;
	char *kept_bytes = config_source_read(kept, true, &kept_size, &stamp, &error);
	bool same = kept_bytes && kept_size == size && memcmp(kept_bytes, bytes, size) == 0;

	free(kept_bytes);
	return same;
}

static int write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno != EINTR) {
			return -1;
		}
		bytes += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Writes a new file aside, which takes the name when it is on the disk: an empty one is good. */
static int replace(const char *kept, const char *bytes, size_t size, struct error *error)
{
	char temporary[PATH_MAX + sizeof(".XXXXXX")];
	int failed, fd;

	stpcpy(stpcpy(temporary, kept), ".XXXXXX");
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		return error_set(error, "%.300s: %s", kept, strerror(errno));
	}
	failed = write_all(fd, bytes, size) || fdatasync(fd) ? errno : 0;
	close(fd);
	if (!failed && rename(temporary, kept)) {
		failed = errno;
	}
	if (failed) {
		unlink(temporary);
		return error_set(error, "%.300s: %s", kept, strerror(failed));
	}
	return 0;
}

int kept_save(
    const char *kept, const char *path, const struct config_stamp *stamp, struct error *error)
{
	struct config_stamp now;
	size_t size;
	char *bytes = config_source_read(path, false, &size, &now, error);
	int result = 0;

	if (bytes && config_stamp_same(stamp, &now) && !is_copy(kept, bytes, size)) {
		result = replace(kept, bytes, size, error);
	}
	free(bytes);
	return result;
}
