/*
 * Saving what can be read of a damaged counter file: see file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "store/tdb/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Damaged files that are kept; more would fill the disk if something damages it repeatedly. */
#define ASIDE_MAX 8

/* A rescue starts at most once in so many milliseconds. */
#define RESCUE_EVERY_MS 2000

/* A file that stays the same for QUIET_MS is not being copied; QUIET_TRIES times that is enough. */
#define QUIET_MS 50
#define QUIET_TRIES 40

struct rescuing {
	struct file *file;
	char real[PATH_MAX]; /* the damaged file */
	char path[PATH_MAX]; /* of file->new: see replace_path */
	uint64_t size; /* of the damaged file, in bytes */
	struct meta meta; /* of the new file */
	enum meta_result found; /* of the record :meta in the damaged file */
	size_t saved;
	size_t damaged;
	bool new_secret; /* the damaged file's is lost, so each key gets another hash */
	bool failed; /* the new file can't be written, or memory is short */
};

static void save_record(TDB_DATA key, TDB_DATA data, void *private)
{
	struct rescuing *rescuing = private;
	struct file *file = rescuing->file;
	const struct store_codec *codec = file->store.codec;
	struct store_buffer *other = &file->store.txn.buffer[0];
	char stored[KEY_STORED_MAX];
	size_t key_length, other_size;
	const char *original = key_original(key, &key_length);
	char *record = (char *)data.dptr;
	enum meta_result found;

	if (rescuing->failed) {
		return;
	}
	if (key_is_meta(key)) {
		/* Of several copies any will do: the secret matters alone, and never changes. */
		found = meta_read(&rescuing->meta, data);
		if (found != META_BAD && rescuing->found != META_NEWER) {
			rescuing->found = found;
		}
		return;
	}
	if (!original || data.dsize == 0 ||
	    !codec->repair(original, key_length, record, data.dsize)) {
		rescuing->damaged++;
		return;
	}
	if (rescuing->new_secret) {
		key = key_store(rescuing->meta.secret, original, key_length, stored);
	}
	switch (read_record(file->new, key, other, &other_size)) {
	case READ_OK:
		/* Another copy, from before the record was moved or after. */
		rescuing->failed = codec->newer(record, data.dsize, other->bytes, other_size) &&
		    tdb_store(file->new, key, data, TDB_REPLACE);
		break;
	case READ_ABSENT:
		rescuing->failed = file_write_new(file->new, key, data);
		rescuing->saved += !rescuing->failed;
		break;
	case READ_NO_MEMORY:
		rescuing->failed = true;
		break;
	}
}

/* Gives the damaged file a second name with the time. 0, or -1 and why not. */
static int keep_aside(const char *path, char aside[PATH_MAX], struct error *error)
{
	time_t now = (time_t)(clock_now_ms() / 1000);
	char stamp[32], number[16] = "";
	size_t others = 0;
	glob_t found;
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
	if (snprintf(aside, PATH_MAX, "%s.damaged-*", path) < PATH_MAX &&
	    glob(aside, GLOB_NOSORT, NULL, &found) == 0) {
		others = found.gl_pathc;
		globfree(&found);
	}
	if (others >= ASIDE_MAX) {
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

/* Makes the new file and scans the damaged file into it. */
static enum store_result scan_into_new(struct rescuing *rescuing, struct error *error)
{
	struct file *file = rescuing->file;
	char scratch[PATH_MAX];

	if (snprintf(scratch, sizeof(scratch), "%s.scan", rescuing->path) >= PATH_MAX) {
		return file_error(STORE_ERROR, error, rescuing->real, "the name is too long", NULL);
	}
	rescuing->saved = rescuing->damaged = 0;
	file_drop(&file->new);
	unlink(rescuing->path);
	file->new =
	    file_make(file, rescuing->path, file_hash_size((size_t)(rescuing->size / 1024)));
	if (!file->new) {
		return file_error(
		    STORE_ERROR, error, rescuing->path, "can't be made", strerror(errno));
	}
	if (scan_records(file, rescuing->size, scratch, save_record, rescuing, error)) {
		return STORE_ERROR;
	}
	return rescuing->found == META_NEWER
	    ? file_error(STORE_ERROR, error, file->store.location, "it is of a newer version", NULL)
	    : STORE_OK;
}

/* With all of the old file locked: writes the new one. */
static enum store_result write_rescued(struct rescuing *rescuing, struct error *error)
{
	struct file *file = rescuing->file;
	enum store_result result;

	file_clear_complaint(file);
	result = scan_into_new(rescuing, error);
	if (result == STORE_OK && rescuing->found == META_BAD) {
		rescuing->new_secret = true;
		if (meta_init(&rescuing->meta, 0, true)) {
			return file_error(
			    STORE_ERROR, error, rescuing->path, "no random bytes", NULL);
		}
		result = scan_into_new(rescuing, error);
	}
	if (result != STORE_OK) {
		return result;
	}
	meta_init(&rescuing->meta, tdb_map_size(file->new), false);
	if (rescuing->failed || meta_write(file->new, &rescuing->meta, TDB_INSERT) ||
	    fdatasync(tdb_fd(file->new))) {
		return file_error(STORE_ERROR, error, rescuing->path, "can't be written",
		    file->message[0] ? file->message : strerror(errno));
	}
	return STORE_OK;
}

static bool is_damaged_file(const struct file *file, const struct stat *st)
{
	return st->st_dev == file->device && st->st_ino == file->inode;
}

/* With all of the file locked: a new one takes its name. */
static enum store_result replace_file(
    struct rescuing *rescuing, const char *why, struct error *error)
{
	struct file *file = rescuing->file;
	enum store_result result = write_rescued(rescuing, error);
	char aside[PATH_MAX];
	struct error unkept;
	int replaced;
	bool kept;

	if (result != STORE_OK) {
		unlink(rescuing->path);
		return result;
	}
	/* A second name, before it loses its own. */
	kept = keep_aside(rescuing->real, aside, &unkept) == 0;
	if (file->tdb) {
		file_announce_replacement(file);
	}
	replaced = replace_name(file, rescuing->path, rescuing->real);
	if (replaced != 0) {
		if (replaced < 0) {
			result =
			    file_error(STORE_ERROR, error, rescuing->path, strerror(errno), NULL);
		}
		unlink(rescuing->path);
		if (kept) {
			unlink(aside);
		}
		/* If an administrator was faster, there is nothing to rescue any more. */
		return result;
	}
	snprintf(file->notice, sizeof(file->notice),
	    "%s: %zu records were saved into a new file, %zu are damaged; the old file is %s%s",
	    why, rescuing->saved, rescuing->damaged,
	    kept ? "kept as " : "not kept: ", kept ? aside : unkept.text);
	file->noticed = true;
	return STORE_OK;
}

static enum store_result rescue_file(struct file *file, const char *why, struct error *error)
{
	struct rescuing rescuing = {.file = file, .found = META_BAD};
	struct stat named, opened;

	if (replace_path(file, rescuing.real, rescuing.path, error)) {
		return STORE_ERROR;
	}
	file_clear_complaint(file);
	/* With all of it, which may be no TDB any more. */
	if (file_open_locked(file, rescuing.real, O_RDWR | O_NOFOLLOW, 0)) {
		return file_failed(file, error, "can't be locked for a rescue");
	}
	/* The rest may take long, but waits for nobody. */
	signals_alarm_stop();
	if (stat(rescuing.real, &named) || fstat(file->lock_fd, &opened) ||
	    !is_damaged_file(file, &named) || !is_damaged_file(file, &opened)) {
		/* Another process was faster. */
		file->rescued_ms = 0;
		return STORE_OK;
	}
	if (!S_ISREG(opened.st_mode) || opened.st_uid != geteuid()) {
		return file_error(STORE_ERROR, error, rescuing.real,
		    "not rescued: it belongs to another account", NULL);
	}
	replace_clean(rescuing.path);
	rescuing.size = (uint64_t)opened.st_size;
	return replace_file(&rescuing, why, error);
}

/* tdb_check's function: 0, or -1 if the record is damaged. */
static int check_record(TDB_DATA key, TDB_DATA data, void *private)
{
	struct file *file = private;
	struct store_buffer *copy = &file->store.txn.buffer[0];
	size_t key_length;
	const char *original = key_original(key, &key_length);

	if (key_is_meta(key)) {
		return 0;
	}
	if (!original || data.dsize == 0 || store_buffer_set(copy, data.dptr, data.dsize)) {
		return -1;
	}
	return file->store.codec->repair(original, key_length, copy->bytes, data.dsize) &&
		memcmp(copy->bytes, data.dptr, data.dsize) == 0
	    ? 0
	    : -1;
}

/* Waits while the file's size or time changes, but not for long. */
static void wait_for_copy(const struct file *file)
{
	static const struct timespec pause = {0, QUIET_MS * 1000000};
	struct stat before, after;

	if (stat(file->store.location, &before)) {
		return;
	}
	for (int i = 0; i < QUIET_TRIES && !signals_alarm_rang; i++) {
		nanosleep(&pause, NULL);
		if (stat(file->store.location, &after) ||
		    (before.st_size == after.st_size &&
			before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
			before.st_mtim.tv_nsec == after.st_mtim.tv_nsec)) {
			return;
		}
		before = after;
	}
}

/* Opens the file anew, as it is now; leaves it open. */
static bool is_sound(struct file *file)
{
	struct error error;
	bool sound;

	wait_for_copy(file);
	file_close(file);
	file->cut_off = false;
	if (file_open(file, &error) != STORE_OK || tdb_lockall(file->tdb)) {
		return false;
	}
	sound = tdb_check(file->tdb, check_record, file) == 0;
	tdb_unlockall(file->tdb);
	return sound;
}

/* Whether the name stands for another file, or for none. */
static bool has_other_name(const struct file *file)
{
	struct stat named;

	return stat(file->store.location, &named) ? errno == ENOENT
						  : !is_damaged_file(file, &named);
}

enum store_result rescue_run(struct file *file, const char *why, struct error *error)
{
	int64_t now_ms = clock_monotonic_ms();
	enum store_result result = STORE_OK;
	/* Another process was faster, or an administrator. */
	bool done = has_other_name(file);

	if (!done && !file->doubted) {
		file->doubted = true;
		done = is_sound(file) || has_other_name(file);
	}
	if (!done && file->rescued_ms && now_ms - file->rescued_ms < RESCUE_EVERY_MS) {
		/* The same words as before, which are logged once. */
		*error = file->rescue_error;
		result = STORE_ERROR;
	} else if (!done) {
		file->rescued_ms = now_ms;
		file_error(
		    STORE_ERROR, &file->rescue_error, file->store.location, "damaged again", NULL);
		result = rescue_file(file, why, error);
		if (result != STORE_OK) {
			file->rescue_error = *error;
		}
	}
	if (result == STORE_OK) {
		file->cut_off = false;
	}
	file_close(file);
	return result;
}

enum store_result rescue_check(struct file *file, struct error *error)
{
	const char *path = file->store.location;
	enum store_result result = STORE_OK;

	if (tdb_lockall(file->tdb)) {
		return file_failed(file, error, "can't be locked");
	}
	if (file_is_replaced_by_hand(file)) {
		result = STORE_STOP;
	} else if (file_read_meta(file, &file->meta) != META_OK ||
	    file->meta.boot_id != meta_boot_id()) {
		/* No other process was faster. */
		file->meta.boot_id = meta_boot_id();
		/* What follows may take long, but waits for nobody. */
		signals_alarm_stop();
		if (tdb_check(file->tdb, check_record, file)) {
			result = file_error(STORE_DAMAGED, error, path,
			    "not left as it should be when the machine went down", NULL);
		} else if (meta_write(file->tdb, &file->meta, TDB_REPLACE)) {
			result = file_failed(file, error, "its record :meta can't be written");
		}
	}
	tdb_unlockall(file->tdb);
	return result;
}
