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
	struct tdb_context *to; /* NULL: only count */
	store_keep *keep;
	void *data;
	size_t kept;
	bool failed;
};

/*
 * Copies a record, in two steps: TDB gives a new record a quarter more room than it
 * asks for, which would be wasted on what never grows.
 */
static int copy_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct rewrite *rewrite = private;
	TDB_DATA part = record;

	(void)tdb;
	if (key.dsize > 0 && key.dptr[0] == ':') {
		return 0;
	}
	if (!rewrite->keep(rewrite->data, (const char *)key.dptr, key.dsize,
		(const char *)record.dptr, record.dsize)) {
		return 0;
	}
	rewrite->kept++;
	if (!rewrite->to) {
		return 0;
	}
	part.dsize = (key.dsize + record.dsize) * 4 / 5 + 4;
	part.dsize = part.dsize > key.dsize ? part.dsize - key.dsize : 1;
	if (part.dsize < record.dsize && tdb_store(rewrite->to, key, part, TDB_INSERT)) {
		rewrite->failed = true;
	}
	if (tdb_store(rewrite->to, key, record, TDB_REPLACE)) {
		rewrite->failed = true;
	}
	return rewrite->failed;
}

static unsigned choose_hash_size(size_t keys)
{
	/* As many chains again as there are keys: the file is rewritten when it has doubled. */
	size_t size = keys * 2 + 1;

	return size < HASH_SIZE_MIN ? HASH_SIZE_MIN
	    : size > HASH_SIZE_MAX  ? HASH_SIZE_MAX
				    : (unsigned)size;
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

	/* Where the name is a symbolic link, the file that it leads to is replaced. */
	if (!realpath(store->options.path, real) ||
	    snprintf(path, sizeof(path), "%s.new", real) >= (int)sizeof(path)) {
		error_set(error, "%s: %s", store->options.path, strerror(errno));
		return STORE_ERROR;
	}
	if (tdb_traverse_read(store->tdb, copy_record, rewrite) < 0) {
		return store_fail(store, error, "can't be read");
	}
	/* What a killed rewrite left. */
	if (unlink(path) && errno != ENOENT) {
		error_set(error, "%s: can't be removed: %s", path, strerror(errno));
		return STORE_ERROR;
	}
	rewrite->to = store_file_make(store, path, choose_hash_size(rewrite->kept));
	if (!rewrite->to) {
		error_set(error, "%s: can't be made: %s", path, strerror(errno));
		return STORE_ERROR;
	}
	rewrite->kept = 0;
	store->rewritten_ms = start_ms;
	store_meta_write(store, meta);
	if (tdb_store(rewrite->to, meta_key, store_tdb_data(meta, STORE_META_SIZE), TDB_INSERT) ||
	    tdb_traverse_read(store->tdb, copy_record, rewrite) < 0 || rewrite->failed) {
		error_set(error, "%s: can't be written: %s", path,
		    store->message[0] ? store->message : "the disk is full");
		goto out;
	}
	store->rewritten_size = tdb_map_size(rewrite->to);
	store->rewrite_took_ms = clock_now_ms() - start_ms;
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

enum store_result store_rewrite(
    struct store *store, store_keep *keep, void *data, struct error *error)
{
	struct rewrite rewrite = {.keep = keep, .data = data};
	int64_t start_ms = clock_now_ms();
	uint64_t old_size;
	enum store_result result;

	store->message[0] = '\0';
	store_alarm_start(store);
	result = store_file_open(store, error);
	if (result != STORE_OK) {
		store_alarm_stop();
		return result;
	}
	store->rewrite_due = false;
	if (tdb_lockall(store->tdb)) {
		result = store_fail(store, error, "can't be locked");
		store_alarm_stop();
		return result;
	}
	store_alarm_stop();
	if (store_file_replaced(store)) {
		store_file_close(store);
		return STORE_OK;
	}
	old_size = store->rewritten_size;
	result = write_new_file(store, &rewrite, start_ms, error);
	if (result == STORE_OK) {
		/* Closing unlocks; whoever waited finds that the name stands for another file. */
		store_file_close(store);
		store->tdb = rewrite.to;
	} else {
		/* Tried in vain: not again at the next insert. */
		store->rewritten_size = old_size;
		store->rewritten_ms = start_ms;
		store->rewrite_took_ms = clock_now_ms() - start_ms + 1000;
		tdb_unlockall(store->tdb);
	}
	return result;
}
