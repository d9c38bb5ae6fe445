/*
 * Saving what can be read of a damaged counter file: see store_file.h.
 *
 * Looks for records at every place of the file where one may start, not along the hash
 * chains: those may be broken, and a place outside of them costs nothing to look at.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "store/tdb/open.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
#define SCAN_PAGE 4096
#define KEY_LENGTH_MAX 1024
#define DATA_LENGTH_MAX (1 << 22)

struct salvage {
	struct store *store;
	struct tdb_context *to;
	int fd;
	size_t size;
	size_t saved;
	size_t damaged;
	bool failed;
	bool newer; /* it is of a later version, and not to be touched */
	char *copy; /* of a key and its data */
	size_t copy_size;
	TDB_DATA data; /* within copy */
};

static int reserve(struct salvage *salvage, size_t size)
{
	char *new;

	if (salvage->copy_size >= size) {
		return 0;
	}
	new = realloc(salvage->copy, size);
	if (!new) {
		return -1;
	}
	salvage->copy = new;
	salvage->copy_size = size;
	return 0;
}

/* Another copy of the same record, from before it was moved. */
static int is_older(TDB_DATA key, TDB_DATA data, void *private)
{
	const struct salvage *salvage = private;

	(void)key;
	return salvage->store->options.salvage->newer((const char *)salvage->data.dptr,
	    salvage->data.dsize, (const char *)data.dptr, data.dsize);
}

static void save_record(struct salvage *salvage, TDB_DATA key, TDB_DATA data)
{
	const struct store_salvage *hooks = salvage->store->options.salvage;

	if (store_is_meta(key)) {
		if (store_meta_read(salvage->store, (const char *)data.dptr, data.dsize) ==
		    STORE_META_NEWER) {
			salvage->newer = salvage->failed = true;
		}
		return;
	}
	if (!hooks->mend((const char *)key.dptr, key.dsize, (char *)data.dptr, data.dsize)) {
		salvage->damaged++;
		return;
	}
	salvage->data = data;
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

/* What may be a record: its key and its data, which are behind its header at that place. */
static void try_record(struct salvage *salvage, const struct tdb_header *header, size_t at)
{
	size_t size = (size_t)header->key_length + header->data_length;
	TDB_DATA key, data;
	ssize_t n;

	if (reserve(salvage, size)) {
		salvage->failed = true;
		return;
	}
	n = pread(salvage->fd, salvage->copy, size, (off_t)at);
	key = store_tdb_data(salvage->copy, header->key_length);
	data = store_tdb_data(salvage->copy + header->key_length, header->data_length);
	/* The record's own check does not cover its key. */
	if (n < 0 || (size_t)n != size || tdb_jenkins_hash(&key) != header->hash) {
		salvage->damaged++;
		return;
	}
	save_record(salvage, key, data);
}

/* Not by a map: what a failing disk doesn't give is left out, and nobody gets a SIGBUS. */
static void scan(struct salvage *salvage)
{
	struct tdb_header header;
	char page[SCAN_PAGE + sizeof(header)];

	for (size_t at = 0; at < salvage->size; at += SCAN_PAGE) {
		ssize_t n = pread(salvage->fd, page, sizeof(page), (off_t)at);

		for (size_t i = 0;
		     !salvage->failed && i < SCAN_PAGE && n > 0 && i + sizeof(header) < (size_t)n;
		     i += TDB_STEP) {
			memcpy(&header, page + i, sizeof(header));
			if (header.magic == TDB_RECORD_MAGIC && header.key_length > 0 &&
			    header.key_length <= KEY_LENGTH_MAX &&
			    header.data_length <= DATA_LENGTH_MAX) {
				try_record(salvage, &header, at + i + sizeof(header));
			}
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

static size_t count_aside(const char *path)
{
	char pattern[PATH_MAX];
	glob_t found;
	size_t kept = 0;

	if (snprintf(pattern, sizeof(pattern), "%s.damaged-*", path) < (int)sizeof(pattern) &&
	    glob(pattern, GLOB_NOSORT, NULL, &found) == 0) {
		kept = found.gl_pathc;
		globfree(&found);
	}
	return kept;
}

/* Gives the damaged file a second name with the time. 0, or -1 and why not. */
static int keep_aside(const char *path, char aside[PATH_MAX], struct error *error)
{
	time_t now = (time_t)(clock_now_ms() / 1000);
	char stamp[32], number[16] = "";
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
	if (count_aside(path) >= ASIDE_MAX) {
		return error_set(error, "there are %d already", ASIDE_MAX);
	}
	/* Another process may have had to do the same in the same second. */
	for (int i = 2; i <= ASIDE_MAX + 1; i++) {
		if (snprintf(aside, PATH_MAX, "%s.damaged-%s%s", path, stamp, number) >= PATH_MAX) {
			return error_set(error, "its name is too long");
		}
		if (link(path, aside) == 0) {
			return 0;
		}
		if (errno != EEXIST) {
			break;
		}
		snprintf(number, sizeof(number), ".%d", i);
	}
	return error_set(error, "%s", strerror(errno));
}

/* unkept: why the old file is not kept; or NULL, and its name. */
static void leave_notice(
    struct salvage *salvage, const char *why, const char *aside, const char *unkept)
{
	struct store *store = salvage->store;

	snprintf(store->notice, sizeof(store->notice),
	    "%s: %zu records were saved into a new file, %zu are damaged; the old file is %s%s",
	    why, salvage->saved, salvage->damaged, unkept ? "not kept: " : "kept as ",
	    unkept ? unkept : aside);
	store->noticed = true;
}

/* With all of the old file locked: writes PATH.new. */
static enum store_result write_salvaged(
    struct salvage *salvage, const char *new, struct error *error)
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
		return STORE_ERROR;
	}
	scan(salvage);
	if (salvage->newer) {
		return store_meta_newer(store, error);
	}
	store->rewritten_ms = clock_now_ms();
	store->rewrite_took_ms = 0;
	store->rewritten_size = tdb_map_size(salvage->to);
	store->boot_id = store_boot_id();
	store_meta_write(store, meta);
	if (salvage->failed ||
	    tdb_store(salvage->to, meta_key, store_tdb_data(meta, STORE_META_SIZE), TDB_INSERT) ||
	    fdatasync(tdb_fd(salvage->to))) {
		error_set(error, "%s: can't be written: %s", new,
		    store->message[0] ? store->message : strerror(errno));
		return STORE_ERROR;
	}
	return STORE_OK;
}

static bool is_damaged_file(const struct store *store, const struct stat *st)
{
	return st->st_dev == store->device && st->st_ino == store->inode;
}

/* With all of the file locked: a new one takes its name. */
static enum store_result replace_file(struct salvage *salvage, const char *why, const char *real,
    const char *new, struct error *error)
{
	enum store_result result = write_salvaged(salvage, new, error);
	char aside[PATH_MAX];
	struct error unkept;
	bool kept = false;

	if (result == STORE_OK) {
		/* A name more, before it loses its own. */
		kept = keep_aside(real, aside, &unkept) == 0;
		if (rename(new, real)) {
			error_set(error, "%s: %s", new, strerror(errno));
			result = STORE_ERROR;
		}
	}
	if (result == STORE_OK) {
		leave_notice(salvage, why, aside, kept ? NULL : unkept.text);
	} else {
		unlink(new);
	}
	if (result != STORE_OK && kept) {
		unlink(aside);
	}
	return result;
}

static enum store_result salvage_file(struct store *store, const char *why, struct error *error)
{
	struct salvage salvage = {.store = store, .fd = -1};
	enum store_result result = STORE_ERROR;
	dev_t device = store->device;
	ino_t inode = store->inode;
	char real[PATH_MAX], new[PATH_MAX];
	struct stat named, opened;

	store->message[0] = '\0';
	if (store_new_path(store, real, new, error)) {
		return STORE_ERROR;
	}
	salvage.fd = open_locked(real);
	if (salvage.fd < 0) {
		return store_fail(store, error, "can't be locked to be salvaged");
	}
	if (stat(real, &named) || fstat(salvage.fd, &opened) || !is_damaged_file(store, &named) ||
	    !is_damaged_file(store, &opened)) {
		/* Another process was faster. */
		store->salvaged_ms = 0;
		result = STORE_OK;
	} else if (!S_ISREG(opened.st_mode) || opened.st_uid != geteuid()) {
		error_set(error, "%s: not salvaged, it is somebody else's", real);
	} else {
		salvage.size = (size_t)opened.st_size;
		result = replace_file(&salvage, why, real, new, error);
	}
	if (salvage.to) {
		tdb_close(salvage.to);
	}
	free(salvage.copy);
	/* Unlocks; whoever waited finds that the name stands for another file. */
	close(salvage.fd);
	store->device = device;
	store->inode = inode;
	return result;
}

enum store_result store_file_salvage(struct store *store, const char *why, struct error *error)
{
	int64_t now_ms = clock_monotonic_ms();
	enum store_result result;
	struct stat named;

	store_file_close(store);
	if (stat(store->options.path, &named) ? errno == ENOENT : !is_damaged_file(store, &named)) {
		/* Another process was faster, or an administrator. */
		store->suspect = false;
		return STORE_OK;
	}
	if (store->salvaged_ms && now_ms - store->salvaged_ms < SALVAGE_EVERY_MS) {
		/* The same words as before, which are logged once. */
		if (store->salvage_error.text[0]) {
			*error = store->salvage_error;
		} else {
			error_set(error, "%s: damaged again", store->options.path);
		}
		return STORE_ERROR;
	}
	store->salvaged_ms = now_ms;
	store->salvage_error.text[0] = '\0';
	result = salvage_file(store, why, error);
	if (result == STORE_OK) {
		store->suspect = false;
	} else {
		store->salvage_error = *error;
	}
	return result;
}

/* tdb_check's function. */
static int check_record(TDB_DATA key, TDB_DATA data, void *private)
{
	struct salvage *salvage = private;
	bool good;

	if (store_is_meta(key)) {
		return 0;
	}
	if (reserve(salvage, data.dsize)) {
		return -1;
	}
	memcpy(salvage->copy, data.dptr, data.dsize);
	good = salvage->store->options.salvage->mend(
	    (const char *)key.dptr, key.dsize, salvage->copy, data.dsize);
	salvage->damaged += !good || memcmp(salvage->copy, data.dptr, data.dsize) != 0;
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
	return store_file_salvage(store, why.text, error);
}
