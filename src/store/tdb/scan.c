/*
 * Finds the records of a damaged counter file, by TDB's own means: see file.h.
 *
 * tdb_rescue (lib/tdb/common/rescue.c of Samba) looks at every place of a file where a record
 * may start, and knows one by its magic number, its lengths and the hash of its key. But it
 * needs an open TDB, which a file without a sound header can't be; it prefers records that are
 * on a hash chain, and a chain may be damaged; and it maps the file, where a disk that fails
 * means SIGBUS. So the file's bytes are copied behind the end of a new, empty TDB. All that
 * TDB believes about the whole file, it reads in the header of that.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* What the disk can't read is left out in pieces of this size. */
#define PAGE 4096

/* Places in a TDB are numbers of 32 bits; TDB looks a little beyond the last one. */
#define SCRATCH_MAX (UINT32_MAX - (1 << 20))

/*
 * tdb_rescue takes no record whose chain goes on behind the end of the file. If the file was
 * cut off, sound records may do that. TDB extends a file by a quarter, or by the room for 100
 * records, and a chain seldom goes on in a later extension. So there is a hole of this size
 * behind the copy.
 */
#define TAIL_MIN (16 << 20)
#define TAIL_SHARE 4

struct scan {
	scan_visit *visit;
	void *private;
	bool found;
};

static void visit_record(TDB_DATA key, TDB_DATA data, void *private)
{
	struct scan *scan = private;

	scan->found = true;
	scan->visit(key, data, scan->private);
}

/*
 * How much may follow the copy. On a tmpfs, TDB's look at a hole takes room, and SIGBUS says
 * that there is none; and the records that are found need room too.
 */
static uint64_t tail_size(int to, uint64_t size)
{
	uint64_t tail = size / TAIL_SHARE + TAIL_MIN;
	struct statvfs disk;

	if (fstatvfs(to, &disk) || disk.f_bavail * (uint64_t)disk.f_frsize / 2 < size + tail) {
		return 0;
	}
	return tail;
}

/* Appends the first size bytes of fd to the scratch file. 0, or -1 and errno. */
static int append_copy(int fd, uint64_t size, int to)
{
	char page[PAGE];
	uint64_t start, end;
	struct stat st;

	if (fstat(to, &st)) {
		return -1;
	}
	start = (uint64_t)st.st_size;
	/* TDB looks for records at multiples of 4 only. */
	assert(start % 4 == 0 && start < SCRATCH_MAX);
	if (size > SCRATCH_MAX - start) {
		size = SCRATCH_MAX - start;
	}
	for (uint64_t at = 0; at < size; at += PAGE) {
		size_t want = size - at < PAGE ? (size_t)(size - at) : PAGE;
		ssize_t got = pread(fd, page, want, (off_t)at);
		ssize_t written;

		got = got < 0 ? 0 : got;
		memset(page + got, 0, want - (size_t)got);
		written = pwrite(to, page, want, (off_t)(start + at));
		if (written != (ssize_t)want) {
			errno = written < 0 ? errno : ENOSPC;
			return -1;
		}
	}
	end = start + size + tail_size(to, size);
	return ftruncate(to, (off_t)(end < SCRATCH_MAX ? end : SCRATCH_MAX));
}

static int scan_once(struct file *file, uint64_t size, const char *path, int hash,
    struct scan *scan, struct error *error)
{
	int flags = TDB_NOLOCK | TDB_NOSYNC | hash;
	int result = -1;

	/* Left by a process that was killed between the next two calls. */
	unlink(path);
	/* One chain: the header and the table take as little as they can. */
	file->scratch = tdb_open(path, 1, flags, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (!file->scratch) {
		return error_set(error, "%s: can't be made: %s", path, strerror(errno));
	}
	unlink(path);
	if (append_copy(file->lock_fd, size, tdb_fd(file->scratch))) {
		error_set(error, "%s: can't be written: %s", path, strerror(errno));
	} else if (tdb_rescue(file->scratch, visit_record, scan)) {
		error_set(error, "%s: out of memory", path);
	} else {
		result = 0;
	}
	file_drop(&file->scratch);
	return result;
}

int scan_records(struct file *file, uint64_t size, const char *path, scan_visit *visit,
    void *private, struct error *error)
{
	/* A file that tdbbackup(8) wrote has TDB's first hash function. */
	static const int hash[] = {TDB_INCOMPATIBLE_HASH, TDB_DEFAULT};
	struct scan scan = {.visit = visit, .private = private};

	for (size_t i = 0; i < sizeof(hash) / sizeof(*hash) && !scan.found; i++) {
		if (scan_once(file, size, path, hash[i], &scan, error)) {
			return -1;
		}
	}
	return 0;
}
