/*
 * Reading the counter file without changing it: single records, and all of them. See file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"

#include <stdlib.h>
#include <string.h>

/* How many hash chains are walked under one alarm. */
#define CHAINS_AT_ONCE 256

struct copy {
	struct store_buffer *buffer;
	size_t size;
	bool made; /* the buffer holds what was read before */
};

/* 1: the record still is what the buffer holds. -2: out of memory. */
static int copy_record(TDB_DATA key, TDB_DATA record, void *private)
{
	struct copy *copy = private;

	(void)key;
	if (copy->made && copy->size == record.dsize &&
	    (record.dsize == 0 ||
		memcmp(copy->buffer->bytes, record.dptr, record.dsize) == 0)) {
		return 1;
	}
	copy->made = true;
	copy->size = record.dsize;
	return store_buffer_set(copy->buffer, record.dptr, record.dsize) ? -2 : 0;
}

enum read_result read_record(
    struct tdb_context *tdb, TDB_DATA key, struct store_buffer *buffer, size_t *size)
{
	struct copy copy = {.buffer = buffer};
	/* TDB doesn't lock a file that is open for reading alone. */
	int tries = tdb_get_flags(tdb) & TDB_NOLOCK ? FILE_TRIES : 1;
	int same = 0;

	for (int i = 0; i < tries && same == 0; i++) {
		same = tdb_parse_record(tdb, key, copy_record, &copy);
	}
	*size = copy.size;
	return same == -2 ? READ_NO_MEMORY : same < 0 ? READ_ABSENT : READ_OK;
}

enum read_result read_unlocked(
    struct tdb_context *tdb, TDB_DATA key, struct store_buffer *buffer, size_t *size)
{
	bool locks = !(tdb_get_flags(tdb) & TDB_NOLOCK);
	enum read_result result;

	if (locks) {
		tdb_add_flags(tdb, TDB_NOLOCK);
	}
	result = read_record(tdb, key, buffer, size);
	if (locks) {
		tdb_remove_flags(tdb, TDB_NOLOCK);
	}
	return result;
}

const char *read_get(struct store_txn *txn, const char *key, size_t key_length, size_t *size)
{
	struct file *file = (struct file *)txn->store;
	char stored[KEY_STORED_MAX];
	enum read_result found;

	if (!file->tdb || key_length > KEY_STORED_MAX - KEY_PREFIX) {
		return NULL;
	}
	found = read_unlocked(
	    file->tdb, key_store(file->meta.secret, key, key_length, stored), &txn->got, size);
	txn->no_memory |= found == READ_NO_MEMORY;
	return found == READ_OK ? txn->got.bytes : NULL;
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
int read_all(struct file *file, file_visit *visit, void *private)
{
	struct traverse traverse = {.visit = visit, .private = private};
	unsigned chains = (unsigned)tdb_hash_size(file->tdb);
	int result = 0;

	for (unsigned i = 0; i < chains && result >= 0 && !traverse.stopped; i++) {
		if (i % CHAINS_AT_ONCE == 0) {
			signals_alarm_start(file);
		}
		result = tdb_traverse_chain(file->tdb, i, visit_one, &traverse);
	}
	return result < 0 ? -1 : 0;
}

struct walking {
	const struct walk *walk;
	struct file *file;
	bool failed; /* out of memory */
};

static int visit_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct walking *walking = private;
	struct store_txn *txn = &walking->file->store.txn;
	struct store_buffer *buffer = &txn->buffer[0];
	char stored[KEY_STORED_MAX];
	size_t key_length, size;
	const char *original;

	if (!key_original(key, &key_length)) {
		return 0;
	}
	/* TDB's is in the map, which moves if the file has grown when another record is read. */
	memcpy(stored, key.dptr, key.dsize);
	key.dptr = (unsigned char *)stored;
	original = key_original(key, &key_length);
	/* What TDB read without a lock may be torn. */
	if (!(tdb_get_flags(tdb) & TDB_NOLOCK) || read_record(tdb, key, buffer, &size) != READ_OK) {
		size = record.dsize;
		walking->failed = store_buffer_set(buffer, record.dptr, size) != 0;
	}
	return walking->failed ||
	    !walking->walk->visit(
		walking->walk->data, txn, original, key_length, buffer->bytes, size);
}

enum store_result read_walk(struct file *file, void *data, struct error *error)
{
	struct walking walking = {.walk = data, .file = file};

	/* No lock that others would see: the name alone tells whether this is the file. */
	if (file_is_replaced_by_hand(file)) {
		return STORE_OK;
	}
	file_clear_complaint(file);
	if (read_all(file, visit_record, &walking)) {
		return file_failed(file, error, "can't be read");
	}
	return walking.failed || file->store.txn.no_memory ? store_no_memory(error) : STORE_OK;
}
