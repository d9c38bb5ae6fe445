/*
 * The rewrite of the counter file, which gets rid of what is of no use any more: see
 * store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "clock.h"
#include "store_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tdb.h>
#include <unistd.h>

#define HASH_SIZE_MIN STORE_HASH_SIZE_NEW
#define HASH_SIZE_MAX 4000000

/* Rewriting takes at most one part in so many of the time. */
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
	int64_t began_ms; /* by the clock that is never set */
	size_t records;
	size_t kept;
	bool failed;
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

static int copy_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct rewrite *rewrite = private;
	struct store_rewriting *rewriting = rewrite->rewriting;
	const char *bytes = (const char *)record.dptr;

	(void)tdb;
	if (store_is_meta(key)) {
		return 0;
	}
	rewrite->records++;
	if (!rewriting->keep(
		rewriting->data, (const char *)key.dptr, key.dsize, &bytes, &record.dsize)) {
		return 0;
	}
	rewrite->kept++;
	return rewrite->to ? write_record(rewrite, key, store_tdb_data(bytes, record.dsize)) : 0;
}

/* All that is to be in the new file. -1 if the old one can't be read. */
static int copy_all(struct store *store, struct rewrite *rewrite)
{
	const struct store_rewriting *rewriting = rewrite->rewriting;
	const char *key, *record;
	size_t key_length, size;

	rewrite->records = 0;
	rewrite->kept = 0;
	if (tdb_traverse_read(store->tdb, copy_record, rewrite) < 0) {
		return -1;
	}
	for (size_t i = 0; rewriting->add && !rewrite->failed &&
	     rewriting->add(rewriting->data, i, &key, &key_length, &record, &size);
	     i++) {
		rewrite->kept++;
		if (rewrite->to) {
			write_record(
			    rewrite, store_tdb_data(key, key_length), store_tdb_data(record, size));
		}
	}
	return 0;
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

/* With all of the old file locked: makes PATH.new and gives it PATH's name. */
static enum store_result write_new_file(
    struct store *store, struct rewrite *rewrite, int64_t start_ms, struct error *error)
{
	TDB_DATA meta_key = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	enum store_result result = STORE_ERROR;
	dev_t device = store->device;
	ino_t inode = store->inode;
	char real[PATH_MAX];
	char path[PATH_MAX];
	char meta[STORE_META_SIZE];

	if (store_new_path(store, real, path, error)) {
		return STORE_ERROR;
	}
	if (copy_all(store, rewrite)) {
		return store_fail(store, error, "can't be read");
	}
	/* What a killed rewrite left. */
	if (unlink(path) && errno != ENOENT) {
		error_set(error, "%s: can't be removed: %s", path, strerror(errno));
		return STORE_ERROR;
	}
	rewrite->to = store_file_make(store, path, store_hash_size(rewrite->kept));
	if (!rewrite->to) {
		error_set(error, "%s: can't be made: %s", path, strerror(errno));
		/* Its first bytes may have found room. */
		unlink(path);
		return STORE_ERROR;
	}
	store->rewritten_ms = start_ms;
	store_meta_write(store, meta);
	if (tdb_store(rewrite->to, meta_key, store_tdb_data(meta, STORE_META_SIZE), TDB_INSERT) ||
	    copy_all(store, rewrite) || rewrite->failed) {
		error_set(error, "%s: can't be written: %s", path,
		    store->message[0] ? store->message : "the disk is full");
		goto out;
	}
	store->rewritten_size = tdb_map_size(rewrite->to);
	if (rewrite->rewriting->add && store->rewritten_size > store->options.max_size) {
		error_set(error, "%s: would need %llu bytes, but database_max_size is %llu",
		    store->options.path, (unsigned long long)store->rewritten_size,
		    (unsigned long long)store->options.max_size);
		result = STORE_FULL;
		goto out;
	}
	store->rewrite_took_ms = clock_monotonic_ms() - rewrite->began_ms;
	store_meta_write(store, meta);
	tdb_store(rewrite->to, meta_key, store_tdb_data(meta, STORE_META_SIZE), TDB_REPLACE);
	if (fdatasync(tdb_fd(rewrite->to)) || rename(path, real)) {
		error_set(error, "%s: %s", path, strerror(errno));
		goto out;
	}
	result = STORE_OK;
out:
	if (result != STORE_OK) {
		unlink(path);
		tdb_close(rewrite->to);
		store->device = device;
		store->inode = inode;
	}
	return result;
}

/* One try; *again if the file was replaced before it was locked. */
static enum store_result try_rewrite(
    struct store *store, struct store_rewriting *rewriting, bool *again, struct error *error)
{
	/* The clock may be set meanwhile: a wrong duration would put rewrites off for years. */
	struct rewrite rewrite = {.rewriting = rewriting, .began_ms = clock_monotonic_ms()};
	int64_t start_ms = clock_now_ms();
	uint64_t old_size;
	enum store_result result;

	store->message[0] = '\0';
	store_alarm_start(store);
	result = store_file_open(store, error);
	if (result == STORE_OK && tdb_lockall(store->tdb)) {
		result = store_fail(store, error, "can't be locked");
	}
	store_alarm_stop();
	if (result != STORE_OK) {
		return result;
	}
	if (store_file_replaced(store)) {
		store_file_close(store);
		*again = true;
		return STORE_OK;
	}
	old_size = store->rewritten_size;
	rewriting->size_before = tdb_map_size(store->tdb);
	result = write_new_file(store, &rewrite, start_ms, error);
	if (result == STORE_OK) {
		/* Closing unlocks; whoever waited finds that the name stands for another file. */
		store_file_close(store);
		store->tdb = rewrite.to;
		rewriting->records = rewrite.records;
		rewriting->kept = rewrite.kept;
		rewriting->size_after = store->rewritten_size;
	} else {
		/* Tried in vain: not again at the next insert. */
		store->rewritten_size = old_size;
		store->rewritten_ms = start_ms;
		store->rewrite_took_ms = clock_monotonic_ms() - rewrite.began_ms + 1000;
		tdb_unlockall(store->tdb);
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
		result = try_rewrite(store, rewriting, &again, error);
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
	return result == STORE_DAMAGED ? STORE_ERROR : result;
}
