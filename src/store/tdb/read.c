/*
 * Reading the counter file without changing it: single records, and all of them. See store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/open.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>
#include <tdb.h>

struct look {
	char *buffer;
	size_t room;
	size_t size;
};

static int look_at_record(TDB_DATA key, TDB_DATA data, void *private)
{
	struct look *look = private;

	(void)key;
	look->size = data.dsize;
	if (data.dsize <= look->room) {
		memcpy(look->buffer, data.dptr, data.dsize);
	}
	return 0;
}

/*
 * Other chains may change meanwhile by overwriting and inserting only, and TDB links a
 * record into its chain when it is complete: a reader without a lock finds it or not.
 */
bool store_look(struct store *store, const char *key, size_t key_length, char *buffer, size_t room,
    size_t *size)
{
	struct look look = {.buffer = buffer, .room = room};
	bool locks;
	int failed;

	if (!store->tdb) {
		return false;
	}
	locks = !(tdb_get_flags(store->tdb) & TDB_NOLOCK);
	if (locks) {
		tdb_add_flags(store->tdb, TDB_NOLOCK);
	}
	failed =
	    tdb_parse_record(store->tdb, store_tdb_data(key, key_length), look_at_record, &look);
	if (locks) {
		tdb_remove_flags(store->tdb, TDB_NOLOCK);
	}
	*size = look.size;
	return !failed && look.size <= room;
}

struct walk {
	store_visit *visit;
	void *data;
	char *buffer; /* only for walks without locks */
	size_t buffer_size;
	size_t size;
	bool same;
	bool stopped;
};

/* Whether the record still is what the walk's buffer holds; takes it there if not. */
static int compare_record(TDB_DATA key, TDB_DATA record, void *private)
{
	struct walk *walk = private;

	(void)key;
	walk->same =
	    walk->size == record.dsize && memcmp(walk->buffer, record.dptr, record.dsize) == 0;
	if (!walk->same) {
		walk->size = record.dsize < walk->buffer_size ? record.dsize : walk->buffer_size;
		memcpy(walk->buffer, record.dptr, walk->size);
	}
	return 0;
}

/* TDB doesn't lock a file opened for reading only: reads until nobody wrote meanwhile. */
static TDB_DATA settle_record(
    struct tdb_context *tdb, struct walk *walk, TDB_DATA key, TDB_DATA record)
{
	if (walk->buffer_size < record.dsize) {
		char *new = realloc(walk->buffer, record.dsize);

		if (!new) {
			return record;
		}
		walk->buffer = new;
		walk->buffer_size = record.dsize;
	}
	memcpy(walk->buffer, record.dptr, record.dsize);
	walk->size = record.dsize;
	walk->same = false;
	for (int i = 0; !walk->same && i < STORE_TRIES; i++) {
		if (tdb_parse_record(tdb, key, compare_record, walk)) {
			break;
		}
	}
	return store_tdb_data(walk->buffer, walk->size);
}

static int visit_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct walk *walk = private;

	if (store_is_meta(key)) {
		return 0;
	}
	if (tdb_get_flags(tdb) & TDB_NOLOCK) {
		record = settle_record(tdb, walk, key, record);
	}
	walk->stopped = !walk->visit(
	    walk->data, (const char *)key.dptr, key.dsize, (const char *)record.dptr, record.dsize);
	return walk->stopped;
}

/* How many chains are walked under one alarm. */
#define CHAINS_AT_ONCE 256

struct traverse {
	store_visit_record *visit;
	void *private;
	bool stopped;
};

static int visit_one(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct traverse *traverse = private;

	traverse->stopped = traverse->visit(tdb, key, record, traverse->private) != 0;
	return traverse->stopped;
}

int store_traverse(struct store *store, store_visit_record *visit, void *private)
{
	struct traverse traverse = {.visit = visit, .private = private};
	unsigned chains = (unsigned)tdb_hash_size(store->tdb);
	int result = 0;

	for (unsigned i = 0; i < chains && result >= 0 && !traverse.stopped; i++) {
		if (i % CHAINS_AT_ONCE == 0) {
			store_alarm_start(store);
		}
		result = tdb_traverse_chain(store->tdb, i, visit_one, &traverse);
	}
	store_alarm_stop();
	return result < 0 || traverse.stopped ? -1 : 0;
}

enum store_result store_walk(
    struct store *store, store_visit *visit, void *data, struct error *error)
{
	struct walk walk = {.visit = visit, .data = data};
	enum store_result result;

	if (sigsetjmp(store_bus_jump, 0)) {
		return store_final(store_bus_recover(store, error));
	}
	store_bus_arm(true);
	store_alarm_start(store);
	/* Who only reads takes no lock that would show it. */
	if (store->tdb && store_file_replaced(store)) {
		store_file_close(store);
	}
	result = store_file_open(store, error);
	store_alarm_stop();
	if (result == STORE_OK && store_traverse(store, visit_record, &walk) && !walk.stopped) {
		result = store_fail(store, error, "can't be read");
	}
	store_bus_arm(false);
	free(walk.buffer);
	return store_final(result);
}
