/*
 * The counter file, a TDB: see store.h.
 *
 * Why it is written this way: a process may be killed at any instruction, and TDB
 * is safe against that only for some of its operations. An overwrite in place
 * and an insert are (the record is complete before its chain points at it); a
 * delete or a store of another length is only within a transaction.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/store.h"

#include "base/clock.h"
#include "store/tdb/open.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <tdb.h>
#include <unistd.h>

/* A file smaller than this is not worth a rewrite, unless it is full. */
#define REWRITE_SIZE_MIN (1 << 20)

/* How long a file that is full is taken to be so, unless it is replaced. */
#define FULL_MS 1000

struct store *store_new(const struct store_options *options)
{
	struct store *store = calloc(1, sizeof(*store));

	if (store) {
		store->options = *options;
		/* The helper won't be able to read it later. */
		store_boot_id();
		/* A file that may not become larger is an error like others. */
		signal(SIGXFSZ, SIG_IGN);
	}
	return store;
}

void store_close(struct store *store)
{
	if (!store) {
		return;
	}
	store_file_close(store);
	for (size_t i = 0; i < STORE_ITEMS_MAX; i++) {
		free(store->buffer[i]);
	}
	free(store);
}

const char *store_notice(struct store *store)
{
	bool noticed = store->noticed;

	store->noticed = false;
	return noticed ? store->notice : NULL;
}

enum store_result store_secret(struct store *store, const uint8_t **secret, struct error *error)
{
	enum store_result result;

	*secret = store->secret;
	if (store->tdb) {
		return STORE_OK;
	}
	if (sigsetjmp(store_bus_jump, 0)) {
		return store_final(store_bus_recover(store, error));
	}
	store_bus_arm(true);
	store_alarm_start(store);
	result = store_file_open(store, error);
	store_alarm_stop();
	store_bus_arm(false);
	return store_final(result);
}

/* An update while it is under way. */
struct update {
	struct store *store;
	struct store_item *item;
	size_t items;
	/* The items' chains in ascending order: see lock_chains. TDB counts one that comes twice.
	 */
	struct {
		TDB_DATA key;
		unsigned number;
	} chain[STORE_ITEMS_MAX];
	size_t chains;
	size_t current; /* item that read_record is to read */
	bool alarmed;
};

static void sort_chains(struct update *update)
{
	unsigned hash_size = (unsigned)tdb_hash_size(update->store->tdb);

	update->chains = 0;
	if (update->items == 1) {
		update->chain[update->chains++].key =
		    store_tdb_data(update->item[0].key, update->item[0].key_length);
		return;
	}
	for (size_t i = 0; i < update->items; i++) {
		TDB_DATA key = store_tdb_data(update->item[i].key, update->item[i].key_length);
		unsigned number = tdb_jenkins_hash(&key) % hash_size;
		size_t at = update->chains;

		while (at > 0 && update->chain[at - 1].number > number) {
			at--;
		}
		memmove(&update->chain[at + 1], &update->chain[at],
		    (update->chains - at) * sizeof(*update->chain));
		update->chain[at].key = key;
		update->chain[at].number = number;
		update->chains++;
	}
}

static void unlock_chains(struct update *update, size_t locked)
{
	while (locked-- > 0) {
		tdb_chainunlock(update->store->tdb, update->chain[locked].key);
	}
}

/* Blocking calls need the alarm; the common case, all locks free, does without. */
static void update_alarm(struct update *update)
{
	if (!update->alarmed) {
		store_alarm_start(update->store);
		update->alarmed = true;
	}
}

/* Always in the order of the chains, so that two processes never wait for each other. */
static int lock_chains(struct update *update)
{
	for (size_t i = 0; i < update->chains; i++) {
		if (tdb_chainlock_nonblock(update->store->tdb, update->chain[i].key) == 0) {
			continue;
		}
		update_alarm(update);
		if (tdb_chainlock(update->store->tdb, update->chain[i].key)) {
			unlock_chains(update, i);
			return -1;
		}
	}
	return 0;
}

int store_reserve(struct store *store, size_t i, size_t size)
{
	char *new;

	if (store->buffer_size[i] >= size) {
		return 0;
	}
	new = realloc(store->buffer[i], size);
	if (!new) {
		return -1;
	}
	store->buffer[i] = new;
	store->buffer_size[i] = size;
	return 0;
}

static int take_copy(struct update *update, const void *bytes, size_t size)
{
	struct store_item *item = &update->item[update->current];

	if (store_reserve(update->store, update->current, size)) {
		return -1;
	}
	memcpy(update->store->buffer[update->current], bytes, size);
	item->data = update->store->buffer[update->current];
	item->size = size;
	return 0;
}

static int read_record(TDB_DATA key, TDB_DATA data, void *private)
{
	(void)key;
	return take_copy(private, data.dptr, data.dsize);
}

/* Whether the record still is what was read; takes it anew if not. */
static int reread_record(TDB_DATA key, TDB_DATA data, void *private)
{
	struct update *update = private;
	const struct store_item *item = &update->item[update->current];

	(void)key;
	if (item->size == data.dsize && memcmp(item->data, data.dptr, data.dsize) == 0) {
		return 1;
	}
	return take_copy(update, data.dptr, data.dsize);
}

static bool read_item(struct update *update, TDB_DATA key)
{
	struct tdb_context *tdb = update->store->tdb;

	if (tdb_parse_record(tdb, key, read_record, update)) {
		return false;
	}
	/* TDB doesn't lock a file opened for reading only: until nobody wrote meanwhile. */
	for (int i = 0; (tdb_get_flags(tdb) & TDB_NOLOCK) && i < STORE_TRIES &&
	     tdb_parse_record(tdb, key, reread_record, update) == 0;
	     i++) {
	}
	return true;
}

/* TDB calls a record absent that it can't get to, but has complained on the way. */
static enum store_result broken_chain(struct store *store, struct error *error)
{
	error_set(error, "%s: a record can't be read: %s", store->options.path, store->message);
	return STORE_DAMAGED;
}

static enum store_result read_items(struct update *update, struct error *error)
{
	struct store *store = update->store;
	char meta[STORE_META_SIZE];
	size_t meta_size;

	for (size_t i = 0; i < update->items; i++) {
		struct store_item *item = &update->item[i];
		TDB_DATA key = store_tdb_data(item->key, item->key_length);

		update->current = i;
		item->changed = false;
		item->replacement = NULL;
		store->message[0] = '\0';
		item->stored = read_item(update, key);
		if (item->stored) {
			continue;
		}
		if (tdb_error(store->tdb) != TDB_ERR_NOEXIST) {
			return store_fail(store, error, "a record can't be read");
		}
		if (store->message[0]) {
			return broken_chain(store, error);
		}
		/* Where zeros came over the file, no key is found. */
		if (!store_look(store, STORE_META_KEY, strlen(STORE_META_KEY), meta, sizeof(meta),
			&meta_size)) {
			error_set(error, "%s: it has no record :meta", store->options.path);
			return STORE_DAMAGED;
		}
		item->data = NULL;
		item->size = 0;
		item->empty = NULL;
	}
	return STORE_OK;
}

/* TDB does not tell why it could not make the file longer, by a quarter at the most. */
static bool disk_is_full(const struct store *store)
{
	uint64_t step = tdb_map_size(store->tdb) / 4 + (1 << 20);
	struct statvfs disk;

	return fstatvfs(tdb_fd(store->tdb), &disk) == 0 &&
	    disk.f_bavail * (uint64_t)disk.f_frsize < step &&
	    tdb_map_size(store->tdb) + step / 2 < store->options.max_size;
}

/*
 * Inserts within max_size: the kernel itself stops TDB from making the file longer,
 * which it does in steps of a tenth to a quarter.
 */
static enum store_result insert(
    struct store *store, const struct store_item *item, struct error *error)
{
	TDB_DATA key = store_tdb_data(item->key, item->key_length);
	struct rlimit new;
	int failed;

	/* Each try in vain makes TDB map the whole file anew. */
	if (store->full_ms && clock_monotonic_ms() - store->full_ms < FULL_MS) {
		goto full;
	}
	store->full_ms = 0;
	if (tdb_map_size(store->tdb) > store->options.max_size ||
	    getrlimit(RLIMIT_FSIZE, &store->limit)) {
		goto full;
	}
	new = store->limit;
	if (new.rlim_cur > store->options.max_size) {
		new.rlim_cur = store->options.max_size;
	}
	store->limited = true;
	setrlimit(RLIMIT_FSIZE, &new);
	failed = tdb_store(store->tdb, key, store_tdb_data(item->empty, item->size), TDB_INSERT);
	setrlimit(RLIMIT_FSIZE, &store->limit);
	store->limited = false;
	if (!failed) {
		uint64_t size = tdb_map_size(store->tdb);

		if (size >= REWRITE_SIZE_MIN && size / 2 >= store->rewritten_size) {
			store->rewrite_due = true;
		}
		return STORE_OK;
	}
	if (store_alarm_rang || tdb_error(store->tdb) == TDB_ERR_CORRUPT ||
	    tdb_error(store->tdb) == TDB_ERR_IO) {
		return store_fail(store, error, "a new record can't be written");
	}
full:
	store->rewrite_due = true;
	store->message[0] = '\0';
	if (disk_is_full(store)) {
		error_set(
		    error, "%s: no room for a new counter: the disk is full", store->options.path);
	} else {
		error_set(error, "%s: no room for a new counter: database_max_size is %llu bytes",
		    store->options.path, (unsigned long long)store->options.max_size);
		store->full_ms = store->full_ms ? store->full_ms : clock_monotonic_ms();
	}
	return STORE_FULL;
}

static enum store_result write_items(struct update *update, struct error *error)
{
	struct store *store = update->store;
	enum store_result result;

	/* Inserting is what can fail: with all keys there, the rest can't. */
	for (size_t i = 0; i < update->items; i++) {
		const struct store_item *item = &update->item[i];

		if (item->changed && !item->stored && !item->replacement) {
			update_alarm(update);
			result = insert(store, item, error);
			if (result != STORE_OK) {
				return result;
			}
		}
	}
	for (size_t i = 0; i < update->items; i++) {
		struct store_item *item = &update->item[i];
		TDB_DATA data = item->replacement
		    ? store_tdb_data(item->replacement, item->replacement_size)
		    : store_tdb_data(item->data, item->size);

		if (item->changed &&
		    tdb_store(store->tdb, store_tdb_data(item->key, item->key_length), data,
			TDB_REPLACE)) {
			return store_fail(store, error, "a record can't be written");
		}
	}
	return STORE_OK;
}

static bool wants_transaction(const struct update *update)
{
	for (size_t i = 0; i < update->items; i++) {
		if (update->item[i].changed && update->item[i].replacement) {
			return true;
		}
	}
	return false;
}

/* One try with the open file; *again is set if it turned out to be the wrong file, or way. */
static enum store_result try_update(struct update *update, bool transaction, store_change *change,
    void *data, bool *again, struct error *error)
{
	struct store *store = update->store;
	enum store_result result;

	if (transaction) {
		update_alarm(update);
		if (tdb_transaction_start(store->tdb)) {
			return store_fail(store, error, "can't start a transaction");
		}
	} else {
		sort_chains(update);
		if (lock_chains(update)) {
			return store_fail(store, error, "can't be locked");
		}
	}
	if (!store_watch_quiet(store) && store_file_replaced(store)) {
		*again = true;
		result = STORE_ERROR;
	} else {
		result = read_items(update, error);
	}
	if (result == STORE_OK) {
		store->message[0] = '\0';
		result = change(data, update->item, update->items);
		/* It has looked at other records. */
		if (result == STORE_OK && store->message[0]) {
			result = broken_chain(store, error);
		}
	}
	if (result == STORE_OK && !transaction && wants_transaction(update)) {
		*again = true;
	} else if (result == STORE_OK) {
		result = write_items(update, error);
	}
	if (!transaction) {
		unlock_chains(update, update->chains);
	} else if (result != STORE_OK || *again) {
		tdb_transaction_cancel(store->tdb);
	} else if (tdb_transaction_commit(store->tdb)) {
		return store_fail(store, error, "can't commit a transaction");
	}
	return result;
}

static enum store_result update_file(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error)
{
	/* Not initialized as a whole: most of it is room for many items. */
	struct update update;
	enum store_result result = STORE_OK;
	bool transaction = false;
	bool again;

	if (items > STORE_ITEMS_MAX) {
		error_set(error, "more than %d records in one update", STORE_ITEMS_MAX);
		return STORE_ERROR;
	}
	update.store = store;
	update.item = item;
	update.items = items;
	update.alarmed = false;
	store_alarm_rang = 0;
	store->message[0] = '\0';
	again = !store_map_update(store, item, items, change, data, &result);
	for (int i = 0; again && i < STORE_TRIES; i++) {
		if (!store->tdb) {
			update_alarm(&update);
		}
		again = false;
		result = store_file_open(store, error);
		if (result != STORE_OK) {
			break;
		}
		result = try_update(&update, transaction, change, data, &again, error);
		store_map_check(store);
		if (again && result == STORE_OK) {
			transaction = true;
		} else if (again) {
			store_file_close(store);
		} else if (result == STORE_DAMAGED && store->options.salvage) {
			struct error why = *error;

			update_alarm(&update);
			result = store_file_salvage(store, why.text, error);
			again = result == STORE_OK;
		}
	}
	if (update.alarmed) {
		store_alarm_stop();
	}
	if (again) {
		error_set(error, "%s: replaced again and again", store->options.path);
		result = STORE_BUSY;
	}
	if (result == STORE_ERROR || result == STORE_DAMAGED) {
		/* Whatever it was, the next request starts from the file as it is then. */
		store_file_close(store);
	}
	return result;
}

enum store_result store_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error)
{
	volatile bool again = false;
	enum store_result result;

	if (sigsetjmp(store_bus_jump, 0)) {
		result = store_bus_recover(store, error);
		if (again) {
			return store_final(result);
		}
		again = true;
	}
	store_bus_arm(true);
	result = update_file(store, item, items, change, data, error);
	store_bus_arm(false);
	return store_final(result);
}
