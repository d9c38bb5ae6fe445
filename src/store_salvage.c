/*
 * Saving what can be read of a damaged counter file: see store_file.h.
 *
 * Looks for records at every place of the file where one may start, not along the hash
 * chains: those may be broken, and a place outside of them costs nothing to look at.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "clock.h"
#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <tdb.h>
#include <time.h>
#include <unistd.h>

/* Damaged files that are kept; more would fill the disk if something damages it again and again. */
#define ASIDE_MAX 8

/* Not more often than that. */
#define SALVAGE_EVERY_MS 2000

/* TDB's record header (lib/tdb/common/tdb_private.h): the key and the data follow it. */
struct tdb_header {
	uint32_t next;
	uint32_t length;
	uint32_t key_length;
	uint32_t data_length;
	uint32_t hash;
	uint32_t magic;
};

#define TDB_RECORD_MAGIC 0x26011999U
#define TDB_STEP 4
#define KEY_LENGTH_MAX 1024
#define DATA_LENGTH_MAX (1 << 22)

struct salvage {
	struct store *store;
	struct tdb_context *to;
	const char *bytes;
	size_t size;
	size_t saved;
	size_t damaged;
	bool failed;
	bool newer; /* it is of a later version, and not to be touched */
	char *copy;
	size_t copy_size;
};

/* Another copy of the same record, from before it was moved. */
static int is_older(TDB_DATA key, TDB_DATA data, void *private)
{
	const struct salvage *salvage = private;

	(void)key;
	return salvage->store->options.salvage->newer(
	    salvage->copy, salvage->copy_size, (const char *)data.dptr, data.dsize);
}

static void save_record(struct salvage *salvage, TDB_DATA key, TDB_DATA data)
{
	const struct store_salvage *hooks = salvage->store->options.salvage;
	char *copy;

	if (store_is_meta(key)) {
		if (store_meta_read(salvage->store, (const char *)data.dptr, data.dsize) ==
		    STORE_META_NEWER) {
			salvage->newer = salvage->failed = true;
		}
		return;
	}
	copy = realloc(salvage->copy, data.dsize + 1);
	if (!copy) {
		salvage->failed = true;
		return;
	}
	salvage->copy = copy;
	salvage->copy_size = data.dsize;
	memcpy(copy, data.dptr, data.dsize);
	if (!hooks->mend((const char *)key.dptr, key.dsize, copy, data.dsize)) {
		salvage->damaged++;
		return;
	}
	data = store_tdb_data(copy, data.dsize);
	if (tdb_exists(salvage->to, key)) {
		if (tdb_parse_record(salvage->to, key, is_older, salvage) == 1 &&
		    tdb_store(salvage->to, key, data, TDB_REPLACE)) {
			salvage->failed = true;
		}
	} else if (store_write_new(salvage->to, key, data)) {
		salvage->failed = true;
	} else {
		salvage->saved++;
	}
}

static void scan(struct salvage *salvage)
{
	struct tdb_header header;

	for (size_t at = 0; at + sizeof(header) < salvage->size && !salvage->failed;
	     at += TDB_STEP) {
		const char *start = salvage->bytes + at + sizeof(header);
		size_t room = salvage->size - at - sizeof(header);

		memcpy(&header, salvage->bytes + at, sizeof(header));
		if (header.magic == TDB_RECORD_MAGIC && header.key_length > 0 &&
		    header.key_length <= KEY_LENGTH_MAX && header.data_length <= DATA_LENGTH_MAX &&
		    (size_t)header.key_length + header.data_length <= room) {
			save_record(salvage, store_tdb_data(start, header.key_length),
			    store_tdb_data(start + header.key_length, header.data_length));
		}
	}
}

/* Waits for all others, with all of the file, which may be no TDB any more. -1: errno. */
static int open_locked(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);

	while (fd >= 0 && fcntl(fd, F_SETLKW, &lock)) {
		if (errno != EINTR || store_alarm_rang) {
			int lock_errno = errno;

			close(fd);
			errno = lock_errno;
			fd = -1;
		}
	}
	return fd;
}

/* Gives the damaged file a second name with the time; "" if it is not kept. */
static void keep_aside(const char *path, char aside[PATH_MAX])
{
	time_t now = (time_t)(clock_now_ms() / 1000);
	char pattern[PATH_MAX];
	char stamp[32];
	glob_t found;
	size_t kept = 0;
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
	if (snprintf(pattern, sizeof(pattern), "%s.damaged-*", path) < (int)sizeof(pattern) &&
	    glob(pattern, GLOB_NOSORT, NULL, &found) == 0) {
		kept = found.gl_pathc;
		globfree(&found);
	}
	if (snprintf(aside, PATH_MAX, "%s.damaged-%s", path, stamp) >= PATH_MAX ||
	    kept >= ASIDE_MAX || link(path, aside)) {
		aside[0] = '\0';
	}
}

static void leave_notice(struct salvage *salvage, const char *why, const char *aside)
{
	struct store *store = salvage->store;

	error_set(&store->notice, "%s: %zu records were saved into a new file, %zu are damaged%s%s",
	    why, salvage->saved, salvage->damaged, aside[0] ? "; the old file is kept as " : "",
	    aside);
	store->noticed = true;
}

/* With all of the old file locked: writes PATH.new and gives it PATH's name. */
static enum store_result write_salvaged(
    struct salvage *salvage, const char *real, const char *new, struct error *error)
{
	TDB_DATA meta_key = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	struct store *store = salvage->store;
	char meta[STORE_META_SIZE];

	/* Until its :meta record is found. */
	if (getrandom(store->secret, sizeof(store->secret), 0) < 0) {
		error_set(error, "%s: no random bytes", new);
		return STORE_ERROR;
	}
	unlink(new);
	salvage->to = store_file_make(store, new, store_hash_size(salvage->size / 1024));
	if (!salvage->to) {
		error_set(error, "%s: can't be made: %s", new, strerror(errno));
		unlink(new);
		return STORE_ERROR;
	}
	scan(salvage);
	if (salvage->newer) {
		error_set(error, "%s: it is of a newer version", store->options.path);
		unlink(new);
		return STORE_ERROR;
	}
	store->rewritten_ms = clock_now_ms();
	store->rewrite_took_ms = 0;
	store->rewritten_size = tdb_map_size(salvage->to);
	store->boot_id = store_boot_id();
	store_meta_write(store, meta);
	if (salvage->failed ||
	    tdb_store(salvage->to, meta_key, store_tdb_data(meta, STORE_META_SIZE), TDB_INSERT) ||
	    fdatasync(tdb_fd(salvage->to)) || rename(new, real)) {
		error_set(error, "%s: can't be written: %s", new,
		    store->message[0] ? store->message : strerror(errno));
		unlink(new);
		return STORE_ERROR;
	}
	return STORE_OK;
}

enum store_result store_file_salvage(
    struct store *store, const char *why, bool keep, struct error *error)
{
	struct salvage salvage = {.store = store, .bytes = MAP_FAILED};
	int64_t now_ms = clock_monotonic_ms();
	enum store_result result = STORE_ERROR;
	char real[PATH_MAX], new[PATH_MAX], aside[PATH_MAX] = "";
	struct stat named, opened;
	int fd = -1;

	store_file_close(store);
	if (store->salvaged_ms && now_ms - store->salvaged_ms < SALVAGE_EVERY_MS) {
		error_set(error, "%s: damaged again", store->options.path);
		return STORE_ERROR;
	}
	store->salvaged_ms = now_ms;
	store->message[0] = '\0';
	if (store_new_path(store, real, new, error)) {
		return STORE_ERROR;
	}
	fd = open_locked(real);
	if (fd < 0) {
		return store_fail(store, error, "can't be locked to be salvaged");
	}
	if (fstat(fd, &opened) || !S_ISREG(opened.st_mode) || opened.st_uid != geteuid()) {
		close(fd);
		error_set(error, "%s: not a counter file, and somebody else's", real);
		return STORE_ERROR;
	}
	if (stat(real, &named) || named.st_dev != opened.st_dev || named.st_ino != opened.st_ino) {
		/* Another process was faster. */
		store->salvaged_ms = 0;
		close(fd);
		return STORE_OK;
	}
	salvage.size = (size_t)opened.st_size;
	if (salvage.size > 0) {
		salvage.bytes = mmap(NULL, salvage.size, PROT_READ, MAP_SHARED, fd, 0);
		if (salvage.bytes == MAP_FAILED) {
			result = store_fail(store, error, "can't be read to be salvaged");
			goto out;
		}
	}
	/* A name more, before the file loses its own. */
	if (keep) {
		keep_aside(real, aside);
	}
	result = write_salvaged(&salvage, real, new, error);
	if (result == STORE_OK) {
		leave_notice(&salvage, why, aside);
	} else if (result != STORE_OK && aside[0]) {
		unlink(aside);
	}
out:
	if (salvage.to) {
		tdb_close(salvage.to);
	}
	if (salvage.bytes != MAP_FAILED) {
		munmap((void *)salvage.bytes, salvage.size);
	}
	free(salvage.copy);
	/* Unlocks; whoever waited finds that the name stands for another file. */
	close(fd);
	return result;
}

/* tdb_check's function. */
static int check_record(TDB_DATA key, TDB_DATA data, void *private)
{
	struct salvage *salvage = private;
	char *copy;
	bool good;

	if (store_is_meta(key)) {
		return 0;
	}
	copy = realloc(salvage->copy, data.dsize + 1);
	if (!copy) {
		return -1;
	}
	salvage->copy = copy;
	memcpy(copy, data.dptr, data.dsize);
	good = salvage->store->options.salvage->mend(
	    (const char *)key.dptr, key.dsize, copy, data.dsize);
	salvage->damaged += !good || memcmp(copy, data.dptr, data.dsize) != 0;
	return 0;
}

enum store_result store_boot_check(struct store *store, struct error *error)
{
	TDB_DATA key = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	struct salvage salvage = {.store = store};
	char meta[STORE_META_SIZE];
	struct error why;
	bool sound;

	if (tdb_lockall(store->tdb)) {
		return store_fail(store, error, "can't be locked");
	}
	if (store_file_replaced(store) || store_meta_load(store)) {
		store_file_close(store);
		return STORE_OK;
	}
	/* Another process may have been faster. */
	if (store->boot_id == store_boot_id()) {
		tdb_unlockall(store->tdb);
		return STORE_OK;
	}
	sound = tdb_check(store->tdb, check_record, &salvage) == 0 && salvage.damaged == 0;
	free(salvage.copy);
	if (sound) {
		store->boot_id = store_boot_id();
		store_meta_write(store, meta);
		if (tdb_store(
			store->tdb, key, store_tdb_data(meta, STORE_META_SIZE), TDB_REPLACE)) {
			return store_fail(store, error, "its record :meta can't be written");
		}
		tdb_unlockall(store->tdb);
		return STORE_OK;
	}
	error_set(
	    &why, "%s: not left as it should be when the machine went down", store->options.path);
	/* What a killed process may leave is no loss. */
	return store_file_salvage(store, why.text, salvage.damaged > 0, error);
}
