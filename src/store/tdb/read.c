/*
 * Reading the counter file without changing it: single records, and all of them. See file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"
#include "store/tdb/signals.h"

#include <stdlib.h>
#include <string.h>

/* How many hash chains are walked under one alarm. */
#define CHAINS_AT_ONCE 256

struct get {
	struct store_buffer *buffer;
	size_t size;
};

static int copy_record(TDB_DATA key, TDB_DATA data, void *private)
{
	struct get *get = private;

	(void)key;
	get->size = data.dsize;
	return store_buffer_set(get->buffer, data.dptr, data.dsize);
}

/*
 * Takes no lock. Other chains may change meanwhile by overwriting and inserting only, and TDB
 * links a record into its chain when it is complete: this finds it or not.
 */
const char *file_get(struct store_txn *txn, const char *key, size_t key_length, size_t *size)
{
	struct file *file = (struct file *)txn->store;
	struct get get = {.buffer = &txn->got};
	char stored[KEY_STORED_MAX];
	bool locks;
	int failed;

	if (!file->tdb || key_length > KEY_STORED_MAX - KEY_PREFIX) {
		return NULL;
	}
	locks = !(tdb_get_flags(file->tdb) & TDB_NOLOCK);
	if (locks) {
		tdb_add_flags(file->tdb, TDB_NOLOCK);
	}
	failed = tdb_parse_record(
	    file->tdb, key_store(file->meta.secret, key, key_length, stored), copy_record, &get);
	if (locks) {
		tdb_remove_flags(file->tdb, TDB_NOLOCK);
	}
	*size = get.size;
	return failed ? NULL : txn->got.bytes;
}

struct traverse {
	file_visit *visit;
	void *private;
	bool stopped;
};

static int visit_one(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct traverse *traverse = private;

	traverse->stopped = traverse->visit(tdb, key, record, traverse->private) != 0;
	return traverse->stopped;
}

/* tdb_traverse_read would keep TDB transactions waiting all the time. */
int file_traverse(struct file *file, file_visit *visit, void *private)
{
	struct traverse traverse = {.visit = visit, .private = private};
	unsigned chains = (unsigned)tdb_hash_size(file->tdb);
	int result = 0;

	for (unsigned i = 0; i < chains && result >= 0 && !traverse.stopped; i++) {
		if (i % CHAINS_AT_ONCE == 0) {
			signals_alarm_start(file->store.options.lock_timeout_ms);
		}
		result = tdb_traverse_chain(file->tdb, i, visit_one, &traverse);
	}
	return result < 0 || traverse.stopped ? -1 : 0;
}

struct walking {
	const struct walk *walk;
	struct file *file;
	struct store_buffer buffer;
	size_t size;
	bool same;
	bool failed; /* out of memory */
	bool stopped;
};

/* Whether the record still is what the buffer holds; copies it if not. */
static int compare_record(TDB_DATA key, TDB_DATA record, void *private)
{
	struct walking *walking = private;

	(void)key;
	walking->same = walking->size == record.dsize &&
	    memcmp(walking->buffer.bytes, record.dptr, record.dsize) == 0;
	if (!walking->same) {
		walking->size = record.dsize;
		return store_buffer_set(&walking->buffer, record.dptr, record.dsize);
	}
	return 0;
}

static int visit_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct walking *walking = private;
	const struct walk *walk = walking->walk;
	size_t key_length;
	const char *original = key_original(key, &key_length);

	if (!original) {
		return 0;
	}
	walking->size = record.dsize;
	if (store_buffer_set(&walking->buffer, record.dptr, record.dsize)) {
		walking->failed = true;
		return -1;
	}
	/* TDB doesn't lock a file that is open for reading alone: read until nobody wrote. */
	walking->same = !(tdb_get_flags(tdb) & TDB_NOLOCK);
	for (int i = 0; !walking->same && i < FILE_TRIES; i++) {
		if (tdb_parse_record(tdb, key, compare_record, walking)) {
			break;
		}
	}
	walking->stopped = !walk->visit(walk->data, &walking->file->store.txn, original, key_length,
	    walking->buffer.bytes, walking->size);
	return walking->stopped;
}

enum store_result read_walk(struct file *file, void *data, struct error *error)
{
	struct walking walking = {.walk = data, .file = file};
	enum store_result result = STORE_OK;

	/* No lock that others would see: the name alone tells whether this is the file. */
	if (file_is_replaced_by_name(file)) {
		return STORE_OK;
	}
	file_clear_complaint(file);
	if (file_traverse(file, visit_record, &walking) && !walking.stopped) {
		result = walking.failed ? store_no_memory(error)
					: file_failed(file, error, "can't be read");
	}
	free(walking.buffer.bytes);
	return result;
}
