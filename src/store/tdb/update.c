/*
 * Updates of the counter file: see store.h, store_update, and file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "store/tdb/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A file smaller than this is not worth a compaction, unless it is full. */
#define COMPACT_SIZE_MIN (1 << 20)

/* For how long a full file is taken to be full, unless it is replaced. */
#define FULL_MS 1000

/* An update while it is under way. */
struct updating {
	struct file *file;
	struct update *update;
	TDB_DATA key[STORE_ITEMS_MAX]; /* as stored */
	/* Indices of the items in the ascending order of their chains. */
	size_t order[STORE_ITEMS_MAX];
};

static void sort_chains(struct updating *updating)
{
	unsigned hash_size = (unsigned)tdb_hash_size(updating->file->tdb);
	unsigned chain[STORE_ITEMS_MAX];

	for (size_t i = 0; i < updating->update->items; i++) {
		size_t at = i;

		chain[i] = tdb_jenkins_hash(&updating->key[i]) % hash_size;
		while (at > 0 && chain[updating->order[at - 1]] > chain[i]) {
			updating->order[at] = updating->order[at - 1];
			at--;
		}
		updating->order[at] = i;
	}
}

static void unlock_chains(struct updating *updating, size_t locked)
{
	if (updating->file->other_hash) {
		tdb_unlockall(updating->file->tdb);
		return;
	}
	while (locked-- > 0) {
		tdb_chainunlock(updating->file->tdb, updating->key[updating->order[locked]]);
	}
}

/* In the order of the chains, so that two processes never wait for each other. */
static int lock_chains(struct updating *updating)
{
	struct tdb_context *tdb = updating->file->tdb;

	if (updating->file->other_hash) {
		/* Its chains have an order that only TDB knows. Compaction uses our hash. */
		updating->file->compaction_due = true;
		signals_alarm_ensure(updating->file);
		return tdb_lockall(tdb);
	}
	/* TDB counts a chain that two items share. */
	for (size_t i = 0; i < updating->update->items; i++) {
		TDB_DATA key = updating->key[updating->order[i]];

		/* If the locks are free, it takes no alarm. */
		if (tdb_chainlock_nonblock(tdb, key) == 0) {
			continue;
		}
		signals_alarm_ensure(updating->file);
		if (tdb_chainlock(tdb, key)) {
			unlock_chains(updating, i);
			return -1;
		}
	}
	return 0;
}

/* Whether a record that TDB has not found is absent and not damaged. */
static enum store_result check_absent(struct file *file, struct error *error)
{
	size_t size;

	if (tdb_error(file->tdb) != TDB_ERR_NOEXIST) {
		return file_failed(file, error, "a record can't be read");
	}
	/* TDB calls a record absent that it can't get to, but has complained on the way. */
	if (file_has_complaint(file)) {
		return file_error(STORE_DAMAGED, error, file->store.location,
		    "a record can't be read", file->message);
	}
	/* Where zeros came over the file no key is found, this one neither. */
	if (read_unlocked(file->tdb, key_meta(), &file->store.txn.got, &size) == READ_ABSENT) {
		return file_error(
		    STORE_DAMAGED, error, file->store.location, "it has no record :meta", NULL);
	}
	return STORE_OK;
}

static enum store_result read_items(struct updating *updating, struct error *error)
{
	struct file *file = updating->file;
	enum store_result result = STORE_OK;

	file_clear_complaint(file);
	for (size_t i = 0; i < updating->update->items && result == STORE_OK; i++) {
		struct store_item *item = &updating->update->item[i];
		struct store_buffer *buffer = &file->store.txn.buffer[i];
		enum read_result found =
		    read_record(file->tdb, updating->key[i], buffer, &item->size);

		item->exists = found == READ_OK;
		item->action = STORE_KEEP;
		item->expires_ms = 0;
		if (found == READ_ABSENT) {
			result = check_absent(file, error);
			item->size = item->initial_size;
			if (store_buffer_set(buffer, item->initial, item->size)) {
				found = READ_NO_MEMORY;
			}
		}
		if (found == READ_NO_MEMORY) {
			result = store_no_memory(error);
		}
		item->data = buffer->bytes;
	}
	return result;
}

/* TDB does not tell why it could not make the file longer, by a quarter at the most. */
static bool disk_is_full(const struct file *file)
{
	uint64_t step = tdb_map_size(file->tdb) / 4 + (1 << 20);
	struct statvfs disk;

	return fstatvfs(tdb_fd(file->tdb), &disk) == 0 &&
	    disk.f_bavail * (uint64_t)disk.f_frsize < step &&
	    tdb_map_size(file->tdb) + step / 2 < file->store.options.max_size;
}

bool update_has_room(struct store_txn *txn, size_t size)
{
	const struct file *file = (const struct file *)txn->store;
	/* TDB makes room for a hundred of them, and for the recovery of the TDB transaction. */
	uint64_t step = (uint64_t)size * 128, max_size = file->store.options.max_size;

	return step <= max_size && tdb_map_size(file->tdb) <= max_size - step &&
	    !disk_is_full(file);
}

static enum store_result full(struct file *file, struct error *error)
{
	uint64_t max_size = file->store.options.max_size;

	file->compaction_due = true;
	file_clear_complaint(file);
	if (disk_is_full(file)) {
		return file_error(STORE_FULL, error, file->store.location,
		    "no room for a new counter", "the disk is full");
	}
	error_set(error, "%s: no room for a new counter: database_max_size is %llu bytes",
	    file->store.location, (unsigned long long)max_size);
	file->full_ms = file->full_ms ? file->full_ms : clock_monotonic_ms();
	return STORE_FULL;
}

/* Inserts an absent record with its initial bytes, within max_size. */
static enum store_result insert(struct updating *updating, size_t i, struct error *error)
{
	const struct store_item *item = &updating->update->item[i];
	struct file *file = updating->file;
	uint64_t max_size = file->store.options.max_size;
	int failed;

	/* Each try in vain makes TDB map the whole file anew. */
	if (file->full_ms && clock_monotonic_ms() - file->full_ms < FULL_MS) {
		return full(file, error);
	}
	file->full_ms = 0;
	if (tdb_map_size(file->tdb) > max_size || signals_bound_files(max_size)) {
		return full(file, error);
	}
	failed = tdb_store(
	    file->tdb, updating->key[i], file_data(item->initial, item->initial_size), TDB_INSERT);
	signals_unbound_files();
	if (!failed) {
		uint64_t size = tdb_map_size(file->tdb);

		if (size >= COMPACT_SIZE_MIN && size / 2 >= file->meta.compacted_size) {
			file->compaction_due = true;
		}
		return STORE_OK;
	}
	if (signals_alarm_rang || tdb_error(file->tdb) == TDB_ERR_CORRUPT ||
	    tdb_error(file->tdb) == TDB_ERR_IO) {
		return file_failed(file, error, "a new record can't be written");
	}
	return full(file, error);
}

/* A copy of the file in memory, which nobody else knows. NULL: none can be made. */
static struct tdb_context *copy_file(const struct file *file)
{
	int fd = memfd_create("counters", MFD_CLOEXEC);
	struct tdb_context *copy = NULL;
	char bytes[4096], path[32];
	off_t at = 0;
	ssize_t got;

	if (fd < 0) {
		return NULL;
	}
	while ((got = pread(tdb_fd(file->tdb), bytes, sizeof(bytes), at)) > 0 &&
	    pwrite(fd, bytes, (size_t)got, at) == got) {
		at += got;
	}
	if (got == 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		copy = tdb_open(
		    path, 0, TDB_NOLOCK | TDB_NOSYNC | TDB_INCOMPATIBLE_HASH, O_RDWR, 0600);
	}
	close(fd);
	return copy;
}

/* Inserts the records of a change into a copy. 0, or -1. */
static int insert_into_copy(
    const struct file *file, const struct update *update, struct tdb_context *copy)
{
	for (size_t i = 0; i < update->items; i++) {
		const struct store_item *item = &update->item[i];
		char stored[KEY_STORED_MAX];

		if (!item->exists && item->action == STORE_PATCH &&
		    tdb_store(copy,
			key_store(file->meta.secret, item->key, item->key_length, stored),
			file_data(item->initial, item->initial_size), TDB_INSERT)) {
			return -1;
		}
	}
	return 0;
}

/* How much a file may grow for some new bytes, at most: see tdb_expand_adjust in TDB. */
static uint64_t growth_max(const struct file *file, const struct update *update)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < update->items; i++) {
		bytes += update->item[i].initial_size + KEY_STORED_MAX;
	}
	return tdb_map_size(file->tdb) / 4 + 100 * bytes + (1 << 20);
}

enum store_result update_fits(struct file *file, void *data, struct error *error)
{
	const struct update *update = data;
	uint64_t growth = growth_max(file, update), size = tdb_map_size(file->tdb);
	uint64_t max_size = file->store.options.max_size;
	struct tdb_context *copy;
	struct statvfs disk;

	if (fstatvfs(tdb_fd(file->tdb), &disk)) {
		return STORE_OK;
	}
	disk.f_bavail *= disk.f_frsize;
	if (size + growth <= max_size && growth <= disk.f_bavail) {
		return STORE_OK;
	}
	/* TDB does not tell how much of the file is free: only a try does. */
	copy = copy_file(file);
	growth = 0;
	if (copy && insert_into_copy(file, update, copy) == 0) {
		growth = tdb_map_size(copy) - size;
	}
	file_drop(&copy);
	return size + growth > max_size || growth > disk.f_bavail ? full(file, error) : STORE_OK;
}

static enum store_result write_items(struct updating *updating, struct error *error)
{
	const struct update *update = updating->update;
	struct file *file = updating->file;
	enum store_result result = STORE_OK;

	/* Inserting is what can fail: with all keys there, the rest can't. */
	for (size_t i = 0; i < update->items && result == STORE_OK; i++) {
		if (update->item[i].action == STORE_PATCH && !update->item[i].exists) {
			signals_alarm_ensure(file);
			result = insert(updating, i, error);
		}
	}
	for (size_t i = 0; i < update->items && result == STORE_OK; i++) {
		const struct store_item *item = &update->item[i];

		if (item->action != STORE_KEEP &&
		    tdb_store(file->tdb, updating->key[i], file_data(item->data, item->size),
			TDB_REPLACE)) {
			result = file_failed(file, error, "a record can't be written");
		}
	}
	return result;
}

static bool wants_transaction(const struct update *update)
{
	for (size_t i = 0; i < update->items; i++) {
		if (update->item[i].action == STORE_REPLACE) {
			return true;
		}
	}
	return false;
}

/* Under locks: reads, and calls the change function. */
static enum store_result change_items(struct updating *updating, struct error *error)
{
	const struct update *update = updating->update;
	struct file *file = updating->file;
	enum store_result result;

	if (file_is_replaced(file)) {
		return STORE_STOP;
	}
	result = read_items(updating, error);
	if (result != STORE_OK) {
		return result;
	}
	file->store.txn.now_ms = 0;
	result = update->change(update->data, &file->store.txn, update->item, update->items);
	if (result == STORE_OK && file->store.txn.no_memory) {
		return store_no_memory(error);
	}
	if (result == STORE_OK && file_has_complaint(file)) {
		/* The function asked for other records. */
		result = file_error(STORE_DAMAGED, error, file->store.location,
		    "a record can't be read", file->message);
	}
	return result;
}

/* Within a TDB transaction, which has a cost: everybody else waits for all of it. */
static enum store_result run_in_transaction(struct updating *updating, struct error *error)
{
	struct file *file = updating->file;
	enum store_result result;

	signals_alarm_ensure(updating->file);
	if (tdb_transaction_start(file->tdb)) {
		return file_failed(file, error, "can't start a transaction");
	}
	result = change_items(updating, error);
	if (result == STORE_OK) {
		result = write_items(updating, error);
	}
	if (result != STORE_OK) {
		tdb_transaction_cancel(file->tdb);
	} else if (tdb_transaction_commit(file->tdb)) {
		return file_failed(file, error, "can't commit a transaction");
	}
	return result;
}

enum store_result update_run(struct file *file, void *data, struct error *error)
{
	/* Static: to clear or to reserve room for many keys would cost each start some pages. */
	static char stored_key[STORE_ITEMS_MAX][KEY_STORED_MAX];
	struct update *update = data;
	/* Not initialized as a whole: most of it is room for many items. */
	struct updating updating;
	enum store_result result;
	bool transaction;

	updating.file = file;
	updating.update = update;
	for (size_t i = 0; i < update->items; i++) {
		updating.key[i] = key_store(file->meta.secret, update->item[i].key,
		    update->item[i].key_length, stored_key[i]);
	}
	sort_chains(&updating);
	if (lock_chains(&updating)) {
		return file_failed(file, error, "can't be locked");
	}
	result = change_items(&updating, error);
	transaction = result == STORE_OK && wants_transaction(update);
	if (result == STORE_OK && !transaction) {
		result = write_items(&updating, error);
	}
	unlock_chains(&updating, update->items);
	return transaction ? run_in_transaction(&updating, error) : result;
}
