/*
 * The rewrite of the counter file, which gets rid of what is of no use any more: see
 * store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "store/tdb/open.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tdb.h>
#include <unistd.h>

#define HASH_SIZE_MIN STORE_HASH_SIZE_NEW
#define HASH_SIZE_MAX 4000000

/* Rewriting takes at most one part in so many of a processor's time. */
#define REWRITE_SHARE 50

bool store_rewrite_due(const struct store *store)
{
	int64_t since_ms = clock_now_ms() - store->rewritten_ms;

	return store->rewrite_due && store->tdb &&
	    (since_ms < 0 || since_ms >= store->rewrite_took_ms * REWRITE_SHARE);
}

struct rewrite {
	struct store_rewriting *rewriting;
	struct tdb_context *to; /* NULL: only count */
	int64_t began_ms; /* CPU time of this process */
	size_t records;
	size_t kept;
	bool failed;
	/* Of a record that is compared with its copy. */
	TDB_DATA current;
};

/*
 * Writes a record, in two steps: TDB gives a new record a quarter more room than it
 * asks for, which would be wasted on what never grows.
 */
int store_write_new(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record)
{
	TDB_DATA part = record;

	part.dsize = (key.dsize + record.dsize) * 4 / 5 + 4;
	part.dsize = part.dsize > key.dsize ? part.dsize - key.dsize : 1;
	return (part.dsize < record.dsize && tdb_store(tdb, key, part, TDB_INSERT)) ||
		tdb_store(tdb, key, record, TDB_REPLACE)
	    ? -1
	    : 0;
}

static int write_record(struct rewrite *rewrite, TDB_DATA key, TDB_DATA record)
{
	if (store_write_new(rewrite->to, key, record)) {
		rewrite->failed = true;
	}
	return rewrite->failed;
}

/* Whether the record is to be kept; its bytes may be others then. */
static bool keep(struct rewrite *rewrite, TDB_DATA key, TDB_DATA *record)
{
	struct store_rewriting *rewriting = rewrite->rewriting;
	const char *bytes = (const char *)record->dptr;
	bool kept;

	rewrite->records++;
	kept = rewriting->keep(
	    rewriting->data, (const char *)key.dptr, key.dsize, &bytes, &record->dsize);
	record->dptr = (unsigned char *)bytes;
	rewrite->kept += kept;
	return kept;
}

static int copy_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct rewrite *rewrite = private;

	(void)tdb;
	if (store_is_meta(key) || !keep(rewrite, key, &record) || !rewrite->to) {
		return 0;
	}
	return write_record(rewrite, key, record);
}

/* 1: the copy is as the record is now. */
static int compare_copy(TDB_DATA key, TDB_DATA copy, void *private)
{
	const struct rewrite *rewrite = private;

	(void)key;
	return copy.dsize == rewrite->current.dsize &&
	    memcmp(copy.dptr, rewrite->current.dptr, copy.dsize) == 0;
}

/* Brings the copy of a record up to date: it may have changed since it was made. */
static int update_copy(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct rewrite *rewrite = private;
	bool kept;
	int same;

	(void)tdb;
	if (store_is_meta(key)) {
		return 0;
	}
	rewrite->current = record;
	same = tdb_parse_record(rewrite->to, key, compare_copy, rewrite);
	if (same == 1) {
		rewrite->records++;
		rewrite->kept++;
		return 0;
	}
	kept = keep(rewrite, key, &record);
	if (same < 0) {
		return kept ? write_record(rewrite, key, record) : 0;
	}
	/* What has come to its end meanwhile, by a reset say, must not be left as it was. */
	if (tdb_store(rewrite->to, key, record, TDB_REPLACE)) {
		rewrite->failed = true;
	}
	return rewrite->failed;
}

/* Puts in what the caller adds; counts it where there is no new file yet. */
static void add_records(struct rewrite *rewrite)
{
	const struct store_rewriting *rewriting = rewrite->rewriting;
	const char *key, *record;
	size_t key_length, size;

	for (size_t i = 0; rewriting->add && !rewrite->failed &&
	     rewriting->add(rewriting->data, i, &key, &key_length, &record, &size);
	     i++) {
		rewrite->kept++;
		if (rewrite->to) {
			write_record(
			    rewrite, store_tdb_data(key, key_length), store_tdb_data(record, size));
		}
	}
}

unsigned store_hash_size(size_t keys)
{
	/* As many chains again as there are keys: the file is rewritten when it has doubled. */
	size_t size = keys * 2 + 1;

	return size < HASH_SIZE_MIN ? HASH_SIZE_MIN
	    : size > HASH_SIZE_MAX  ? HASH_SIZE_MAX
				    : (unsigned)size;
}

int store_new_path(
    const struct store *store, char real[PATH_MAX], char new[PATH_MAX], struct error *error)
{
	if (!realpath(store->options.path, real) ||
	    snprintf(new, PATH_MAX, "%s.new", real) >= PATH_MAX) {
		return error_set(error, "%s: %s", store->options.path, strerror(errno));
	}
	return 0;
}

/* Where a process that rewrites the file locks it against others: TDB's header is longer. */
#define REWRITE_LOCK 100

/* 0; or -1 and errno. Of a caller who need not, only if it is free. */
static int lock_rewrite(struct store *store, bool wait)
{
	struct flock lock = {
	    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = REWRITE_LOCK, .l_len = 1};
	int result = 0;

	/* Others may be at it for longer than anybody waits for a record. */
	for (int i = 0; i < (wait ? STORE_TRIES : 1); i++) {
		store_alarm_start(store);
		do {
			result = fcntl(tdb_fd(store->tdb), wait ? F_SETLKW : F_SETLK, &lock);
		} while (result && errno == EINTR && !store_alarm_rang);
		store_alarm_stop();
		if (result == 0) {
			break;
		}
	}
	return result;
}

static void unlock_rewrite(struct store *store)
{
	struct flock lock = {
	    .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = REWRITE_LOCK, .l_len = 1};

	(void)!fcntl(tdb_fd(store->tdb), F_SETLK, &lock);
}

/* Makes PATH.new, and copies into it, while others go on with the old file. */
static enum store_result make_copy(
    struct store *store, struct rewrite *rewrite, const char *path, struct error *error)
{
	TDB_DATA meta_key = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	dev_t device = store->device;
	ino_t inode = store->inode;
	char meta[STORE_META_SIZE];

	if (store_traverse(store, copy_record, rewrite)) {
		return store_fail(store, error, "can't be read");
	}
	add_records(rewrite);
	/* What a killed rewrite left. */
	if (unlink(path) && errno != ENOENT) {
		error_set(error, "%s: can't be removed: %s", path, strerror(errno));
		return STORE_ERROR;
	}
	rewrite->to = store_file_make(store, path, store_hash_size(rewrite->kept));
	store->device = device;
	store->inode = inode;
	if (!rewrite->to) {
		error_set(error, "%s: can't be made: %s", path, strerror(errno));
		return STORE_ERROR;
	}
	/* Nobody else has it. */
	tdb_add_flags(rewrite->to, TDB_NOLOCK);
	store_meta_write(store, meta);
	if (tdb_store(rewrite->to, meta_key, store_tdb_data(meta, STORE_META_SIZE), TDB_INSERT)) {
		rewrite->failed = true;
	}
	if (!rewrite->failed && store_traverse(store, copy_record, rewrite) && !rewrite->failed) {
		return store_fail(store, error, "can't be read");
	}
	/* Most of it goes to the disk now, while nobody waits; and then what came meanwhile. */
	for (int i = 0; i < 2; i++) {
		if (i > 0 && !rewrite->failed && store_traverse(store, update_copy, rewrite) &&
		    !rewrite->failed) {
			return store_fail(store, error, "can't be read");
		}
		if (rewrite->failed || fdatasync(tdb_fd(rewrite->to))) {
			error_set(error, "%s: can't be written: %s", path,
			    store->message[0] ? store->message : "the disk is full");
			return STORE_ERROR;
		}
	}
	return STORE_OK;
}

/*
 * With all of the old file locked: brings the new one up to date and gives it PATH's name.
 * What is written here needs no fdatasync, no more than any charge does.
 */
static enum store_result finish_copy(struct store *store, struct rewrite *rewrite, const char *path,
    const char *real, struct error *error)
{
	TDB_DATA meta_key = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	char meta[STORE_META_SIZE];
	struct stat made;

	rewrite->records = rewrite->kept = 0;
	if (tdb_traverse_read(store->tdb, update_copy, rewrite) < 0) {
		return store_fail(store, error, "can't be read");
	}
	add_records(rewrite);
	if (rewrite->failed) {
		error_set(error, "%s: can't be written: %s", path,
		    store->message[0] ? store->message : "the disk is full");
		return STORE_ERROR;
	}
	store->rewritten_size = tdb_map_size(rewrite->to);
	if (rewrite->rewriting->add && store->rewritten_size > store->options.max_size) {
		error_set(error, "%s: would need %llu bytes, but database_max_size is %llu",
		    store->options.path, (unsigned long long)store->rewritten_size,
		    (unsigned long long)store->options.max_size);
		return STORE_FULL;
	}
	store->rewrite_took_ms = clock_cpu_ms() - rewrite->began_ms;
	store_meta_write(store, meta);
	tdb_store(rewrite->to, meta_key, store_tdb_data(meta, STORE_META_SIZE), TDB_REPLACE);
	tdb_remove_flags(rewrite->to, TDB_NOLOCK);
	if (fstat(tdb_fd(rewrite->to), &made) || rename(path, real)) {
		error_set(error, "%s: %s", path, strerror(errno));
		return STORE_ERROR;
	}
	/* Closing unlocks; whoever waited finds that the name stands for another file. */
	store_file_close(store);
	store->tdb = rewrite->to;
	store->device = made.st_dev;
	store->inode = made.st_ino;
	return STORE_OK;
}

/* One try, with the rewrite lock; *again if the file was replaced before it was locked. */
static enum store_result try_rewrite(
    struct store *store, struct store_rewriting *rewriting, bool *again, struct error *error)
{
	/*
	 * Others go on while most of it is done, and then it takes long. And a clock that was
	 * set meanwhile would put the next one off for years.
	 */
	struct rewrite rewrite = {.rewriting = rewriting, .began_ms = clock_cpu_ms()};
	int64_t start_ms = clock_now_ms();
	uint64_t old_size = store->rewritten_size;
	char real[PATH_MAX], path[PATH_MAX];
	enum store_result result;
	bool locked = false;

	store->message[0] = '\0';
	if (store_new_path(store, real, path, error)) {
		return STORE_ERROR;
	}
	if (store_file_replaced(store)) {
		store_file_close(store);
		*again = true;
		return STORE_OK;
	}
	store->rewritten_ms = start_ms;
	result = make_copy(store, &rewrite, path, error);
	if (result == STORE_OK) {
		store_alarm_start(store);
		locked = tdb_lockall(store->tdb) == 0;
		if (!locked) {
			result = store_fail(store, error, "can't be locked");
		}
		store_alarm_stop();
		if (result == STORE_OK && store_file_replaced(store)) {
			*again = true;
		} else if (result == STORE_OK) {
			rewriting->size_before = tdb_map_size(store->tdb);
			result = finish_copy(store, &rewrite, path, real, error);
		}
	}
	if (result == STORE_OK && !*again) {
		rewriting->records = rewrite.records;
		rewriting->kept = rewrite.kept;
		rewriting->size_after = store->rewritten_size;
		return STORE_OK;
	}
	/* Its first bytes may have found room, even where it could not be made. */
	unlink(path);
	if (rewrite.to) {
		tdb_close(rewrite.to);
	}
	/* Tried in vain: not again at the next insert. */
	store->rewritten_size = old_size;
	store->rewrite_took_ms = clock_cpu_ms() - rewrite.began_ms + 1000;
	if (locked) {
		tdb_unlockall(store->tdb);
	}
	if (*again) {
		store_file_close(store);
	}
	return result;
}

/* The same, but another process may be at it. */
static enum store_result take_turn(
    struct store *store, struct store_rewriting *rewriting, bool *again, struct error *error)
{
	enum store_result result;

	store_alarm_start(store);
	result = store_file_open(store, error);
	store_alarm_stop();
	if (result != STORE_OK) {
		return result;
	}
	if (lock_rewrite(store, !rewriting->only_if_due)) {
		if (rewriting->only_if_due) {
			return STORE_OK;
		}
		error_set(error, "%s: another process goes on rewriting it", store->options.path);
		return STORE_BUSY;
	}
	result = try_rewrite(store, rewriting, again, error);
	/* The file with the lock is closed, if all went well. */
	if (store->tdb && (result != STORE_OK || *again)) {
		unlock_rewrite(store);
	}
	return result;
}

static enum store_result rewrite_file(
    struct store *store, struct store_rewriting *rewriting, struct error *error)
{
	enum store_result result = STORE_OK;
	bool again = true;

	store->rewrite_due = false;
	for (int i = 0; again && i < STORE_TRIES; i++) {
		again = false;
		result = take_turn(store, rewriting, &again, error);
		if (result == STORE_DAMAGED && store->options.salvage) {
			struct error why = *error;

			store_alarm_start(store);
			result = store_file_salvage(store, why.text, error);
			store_alarm_stop();
			again = result == STORE_OK;
		}
		if (rewriting->only_if_due) {
			return result;
		}
	}
	if (again) {
		error_set(error, "%s: replaced again and again", store->options.path);
		return STORE_BUSY;
	}
	return result;
}

enum store_result store_rewrite(
    struct store *store, struct store_rewriting *rewriting, struct error *error)
{
	enum store_result result;

	if (sigsetjmp(store_bus_jump, 0)) {
		store_bus_recover(store, error);
		return STORE_ERROR;
	}
	store_bus_arm(true);
	result = rewrite_file(store, rewriting, error);
	store_bus_arm(false);
	return store_final(result);
}
