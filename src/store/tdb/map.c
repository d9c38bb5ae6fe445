/*
 * The short way of an update: in memory that is shared with the file, without a call of
 * TDB's. See store_file.h.
 *
 * Nearly every update finds its locks free and its records there, with the length that they
 * are to keep. What TDB then does is to lock a byte for the hash chain, to follow that chain,
 * and to copy bytes. It takes four calls for it, which hash the key four times and find the
 * record twice: a third of a request's instructions. So that much of TDB's format is known in
 * this file; whatever else comes up is left to TDB.
 *
 * The format is that of TDB 1: a header, the heads of the hash chains behind that of the free
 * list, records. A chain's lock is the byte of its number in the list before (fcntl(2)). All
 * numbers are of 32 bits, in the byte order of the machine that made the file.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/open.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tdb.h>
#include <unistd.h>

#define HEADER_RECOVERY 44 /* where the header says where a transaction is recovered from */
#define HEADER_SIZE 168

#define RECORD_MAGIC 0x26011999U
#define RECOVERY_MAGIC 0xf53bc0e7U

/* In a damaged file a chain may have no end. */
#define CHAIN_MAX 1000

struct record_header {
	uint32_t next; /* where the next one of the chain is; 0: none */
	uint32_t size; /* of key and data and what is unused */
	uint32_t key_length;
	uint32_t data_length;
	uint32_t hash;
	uint32_t magic;
};

/* Flags of a file that is not locked as it is here, or has another byte order. */
#define STRANGE_FLAGS                                                                              \
	(TDB_INTERNAL | TDB_NOLOCK | TDB_NOMMAP | TDB_CONVERT | TDB_BIGENDIAN | TDB_MUTEX_LOCKING)

/* A number of the file; beyond its end 0, which stands for nothing anywhere. */
static uint32_t number_at(const struct store *store, size_t offset)
{
	uint32_t number = 0;

	if (offset <= store->map_size && store->map_size - offset >= sizeof(number)) {
		memcpy(&number, store->map + offset, sizeof(number));
	}
	return number;
}

/* A key's record, with its lock held; NULL: TDB is to find out what there is. */
static char *find_record(
    const struct store *store, const char *key, size_t key_length, uint32_t hash, size_t *size)
{
	size_t head = HEADER_SIZE + sizeof(uint32_t) * (hash % store->chains + 1);
	size_t offset = number_at(store, head);

	for (int i = 0; i < CHAIN_MAX && offset >= HEADER_SIZE; i++) {
		struct record_header record;
		char *bytes;
		size_t room;

		if (offset > store->map_size || store->map_size - offset < sizeof(record)) {
			return NULL;
		}
		memcpy(&record, store->map + offset, sizeof(record));
		bytes = store->map + offset + sizeof(record);
		room = store->map_size - offset - sizeof(record);
		if (record.magic != RECORD_MAGIC || record.key_length > room ||
		    record.data_length > room - record.key_length) {
			return NULL;
		}
		if (record.hash == hash && record.key_length == key_length &&
		    memcmp(bytes, key, key_length) == 0) {
			*size = record.data_length;
			return bytes + key_length;
		}
		offset = record.next;
	}
	return NULL;
}

static void unmap(struct store *store)
{
	if (store->map) {
		munmap(store->map, store->map_size);
		store->map = NULL;
	}
}

void store_map_close(struct store *store)
{
	unmap(store);
	store->updates = 0;
	store->unmappable = false;
}

void store_map_check(struct store *store)
{
	if (store->map && store->tdb && tdb_map_size(store->tdb) != store->map_size) {
		unmap(store);
	}
}

static bool open_map(struct store *store)
{
	size_t size = tdb_map_size(store->tdb);
	uint32_t hash;
	struct stat st;
	size_t found;
	TDB_DATA meta;
	void *map;

	if (store->options.access != STORE_CREATE || (tdb_get_flags(store->tdb) & STRANGE_FLAGS) ||
	    fstat(tdb_fd(store->tdb), &st) || (uint64_t)st.st_size < size || size < HEADER_SIZE) {
		return false;
	}
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, tdb_fd(store->tdb), 0);
	if (map == MAP_FAILED) {
		return false;
	}
	store->map = map;
	store->map_size = size;
	store->map_fd = tdb_fd(store->tdb);
	store->chains = (uint32_t)tdb_hash_size(store->tdb);
	/* It may have TDB's old hash: tdbbackup(8) makes such files. */
	meta = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	hash = tdb_jenkins_hash(&meta);
	if (!find_record(store, STORE_META_KEY, strlen(STORE_META_KEY), hash, &found)) {
		unmap(store);
		store->unmappable = true;
		return false;
	}
	return true;
}

static int lock_chain(const struct store *store, uint32_t chain)
{
	struct flock lock = {.l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = HEADER_SIZE + (off_t)sizeof(uint32_t) * chain,
	    .l_len = 1};

	return fcntl(store->map_fd, F_SETLK, &lock);
}

/* All that there are: Linux then needs no memory for what could remain of one. */
static void unlock_chains(const struct store *store)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	fcntl(store->map_fd, F_SETLK, &lock);
}

/* Sorted in, since locks are taken in the order of the chains: see store.c. */
static void add_chain(uint32_t *chain, size_t chains, uint32_t number)
{
	while (chains > 0 && chain[chains - 1] > number) {
		chain[chains] = chain[chains - 1];
		chains--;
	}
	chain[chains] = number;
}

/* Whether a process was killed while it committed a transaction. */
static bool needs_recovery(const struct store *store)
{
	size_t area = number_at(store, HEADER_RECOVERY);

	return area != 0 &&
	    number_at(store, area + offsetof(struct record_header, magic)) == RECOVERY_MAGIC;
}

/* Under the locks. */
static bool change_records(struct store *store, struct store_item *item, size_t items,
    const uint32_t *hash, store_change *change, void *data, enum store_result *result)
{
	char *place[STORE_ITEMS_MAX];

	for (size_t i = 0; i < items; i++) {
		place[i] =
		    find_record(store, item[i].key, item[i].key_length, hash[i], &item[i].size);
		if (!place[i] || store_reserve(store, i, item[i].size)) {
			return false;
		}
		memcpy(store->buffer[i], place[i], item[i].size);
		item[i].data = store->buffer[i];
		item[i].stored = true;
		item[i].changed = false;
		item[i].replacement = NULL;
	}
	store->message[0] = '\0';
	*result = change(data, item, items);
	if (store->message[0] || *result == STORE_DAMAGED) {
		return false;
	}
	for (size_t i = 0; i < items && *result == STORE_OK; i++) {
		if (item[i].changed && item[i].replacement) {
			return false;
		}
	}
	for (size_t i = 0; i < items && *result == STORE_OK; i++) {
		if (item[i].changed) {
			memcpy(place[i], item[i].data, item[i].size);
		}
	}
	return true;
}

bool store_map_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, enum store_result *result)
{
	uint32_t hash[STORE_ITEMS_MAX], chain[STORE_ITEMS_MAX];
	bool done = false;
	size_t locked = 0;

	/* A connection that brings one request is not worth a map. */
	if (!store->tdb || store->updates++ == 0 ||
	    (!store->map && (store->unmappable || !open_map(store)))) {
		return false;
	}
	for (size_t i = 0; i < items; i++) {
		TDB_DATA key = store_tdb_data(item[i].key, item[i].key_length);

		hash[i] = tdb_jenkins_hash(&key);
		add_chain(chain, i, hash[i] % store->chains);
	}
	while (locked < items && lock_chain(store, chain[locked]) == 0) {
		locked++;
	}
	if (locked == items && !needs_recovery(store)) {
		if (store_watch_quiet(store) || !store_file_replaced(store)) {
			done = change_records(store, item, items, hash, change, data, result);
		} else {
			store_file_close(store);
			return false;
		}
	}
	unlock_chains(store);
	return done;
}
