/*
 * Records in the memory of this process, for tests and for what-if questions: a hash table with
 * linear probing. See store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "base/hash.h"
#include "store/backend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 64

struct entry {
	char *key; /* NULL: free */
	size_t key_length;
	char *data;
	size_t size;
};

struct memory {
	struct store store;
	struct entry *entry;
	size_t room; /* a power of two, or 0 */
	size_t entries;
	uint64_t bytes;
	int64_t now_ms; /* 0: the real clock */
	struct store_buffer buffer[STORE_ITEMS_MAX];
	struct store_txn txn;
};

/* Nobody from outside chooses between this table and an attack on it: it lives for one command. */
static const uint8_t secret[HASH_KEY_BYTES];

static int memory_open(struct store *store, struct error *error)
{
	(void)store;
	(void)error;
	return 0;
}

static void free_entries(struct memory *memory)
{
	for (size_t i = 0; i < memory->room; i++) {
		free(memory->entry[i].key);
		free(memory->entry[i].data);
	}
	free(memory->entry);
	memory->entry = NULL;
	memory->room = memory->entries = 0;
	memory->bytes = 0;
}

static void memory_close(struct store *store)
{
	struct memory *memory = (struct memory *)store;

	free_entries(memory);
	for (size_t i = 0; i < STORE_ITEMS_MAX; i++) {
		free(memory->buffer[i].bytes);
	}
	free(memory->txn.got.bytes);
}

/* The entry of a key, or the free one where it belongs. There is room. */
static struct entry *find(const struct memory *memory, const char *key, size_t key_length)
{
	size_t i = hash_keyed(secret, key, key_length);

	for (;; i++) {
		struct entry *entry = &memory->entry[i & (memory->room - 1)];

		if (!entry->key ||
		    (entry->key_length == key_length && memcmp(entry->key, key, key_length) == 0)) {
			return entry;
		}
	}
}

/* Makes room for that many entries more, so that at most half of the table is used. */
static int grow(struct memory *memory, size_t more)
{
	struct memory larger = *memory;

	larger.room = larger.room ? larger.room : SIZE_MIN;
	while (larger.room / 2 < memory->entries + more) {
		larger.room *= 2;
	}
	if (larger.room == memory->room) {
		return 0;
	}
	larger.entry = calloc(larger.room, sizeof(*larger.entry));
	if (!larger.entry) {
		return -1;
	}
	for (size_t i = 0; i < memory->room; i++) {
		if (memory->entry[i].key) {
			*find(&larger, memory->entry[i].key, memory->entry[i].key_length) =
			    memory->entry[i];
		}
	}
	free(memory->entry);
	memory->entry = larger.entry;
	memory->room = larger.room;
	return 0;
}

static int copy_bytes(char **copy, const char *bytes, size_t size)
{
	*copy = malloc(size ? size : 1);
	if (!*copy) {
		return -1;
	}
	memcpy(*copy, bytes, size);
	return 0;
}

/* Puts a record into the table, which has room for it. -1: out of memory, nothing changed. */
static int put(struct memory *memory, const struct store_record *record)
{
	struct entry *entry = find(memory, record->key, record->key_length);
	char *data, *key = entry->key;

	if (copy_bytes(&data, record->data, record->size)) {
		return -1;
	}
	if (!key && copy_bytes(&key, record->key, record->key_length)) {
		free(data);
		return -1;
	}
	memory->entries += !entry->key;
	memory->bytes += record->size + (entry->key ? 0 : record->key_length) - entry->size;
	free(entry->data);
	*entry = (struct entry){key, record->key_length, data, record->size};
	return 0;
}

static int begin_txn(struct memory *memory, struct store_item *item)
{
	memory->txn.store = &memory->store;
	memory->txn.now_ms = memory->now_ms;
	memory->txn.item = item;
	memory->txn.buffer = memory->buffer;
	return grow(memory, STORE_ITEMS_MAX);
}

static enum store_result out_of_memory(struct error *error)
{
	error_set(error, "out of memory");
	return STORE_ERROR;
}

static const char *memory_get(
    struct store_txn *txn, const char *key, size_t key_length, size_t *size)
{
	struct memory *memory = (struct memory *)txn->store;
	struct entry *entry = memory->room ? find(memory, key, key_length) : NULL;

	if (!entry || !entry->key || store_buffer_set(&txn->got, entry->data, entry->size)) {
		return NULL;
	}
	*size = entry->size;
	return txn->got.bytes;
}

static enum store_result memory_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error)
{
	struct memory *memory = (struct memory *)store;
	enum store_result result;
	uint64_t needed = memory->bytes;

	if (begin_txn(memory, item)) {
		return out_of_memory(error);
	}
	for (size_t i = 0; i < items; i++) {
		struct entry *entry = find(memory, item[i].key, item[i].key_length);
		const char *bytes = entry->key ? entry->data : item[i].initial;

		item[i].exists = entry->key != NULL;
		item[i].size = entry->key ? entry->size : item[i].initial_size;
		if (store_buffer_set(&memory->buffer[i], bytes, item[i].size)) {
			return out_of_memory(error);
		}
		item[i].data = memory->buffer[i].bytes;
		item[i].action = STORE_KEEP;
		item[i].expires_ms = 0;
	}
	result = change(data, &memory->txn, item, items);
	for (size_t i = 0; result == STORE_OK && i < items; i++) {
		if (item[i].action != STORE_KEEP && !item[i].exists) {
			needed += item[i].size + item[i].key_length;
		}
	}
	if (needed > memory->bytes && needed > store->options.max_size) {
		error_set(error, "no room for a new record within %llu bytes",
		    (unsigned long long)store->options.max_size);
		return STORE_FULL;
	}
	for (size_t i = 0; result == STORE_OK && i < items; i++) {
		struct store_record record = {
		    item[i].key, item[i].key_length, item[i].data, item[i].size};

		if (item[i].action != STORE_KEEP && put(memory, &record)) {
			return out_of_memory(error);
		}
	}
	return result == STORE_DAMAGED ? STORE_ERROR : result;
}

static enum store_result memory_walk(
    struct store *store, store_visit *visit, void *data, struct error *error)
{
	struct memory *memory = (struct memory *)store;

	if (begin_txn(memory, NULL)) {
		return out_of_memory(error);
	}
	for (size_t i = 0; i < memory->room; i++) {
		const struct entry *entry = &memory->entry[i];

		if (entry->key &&
		    !visit(data, &memory->txn, entry->key, entry->key_length, entry->data,
			entry->size)) {
			break;
		}
	}
	return STORE_OK;
}

/* What a new table takes over from the old one. */
typedef bool keep_entry(void *data, struct entry *entry);

/* A new table with the entries that keep returns true for, copied. Then import's. */
static enum store_result rebuild(struct memory *memory, keep_entry *keep, void *data,
    const struct store_import *import, struct error *error)
{
	struct memory fresh = *memory;
	struct store_record record;
	enum store_result result = STORE_OK;

	fresh.entry = NULL;
	fresh.room = fresh.entries = 0;
	fresh.bytes = 0;
	for (size_t i = 0; i < memory->room && result == STORE_OK; i++) {
		struct entry entry = memory->entry[i];

		if (!entry.key) {
			continue;
		}
		if (copy_bytes(&entry.data, entry.data, entry.size)) {
			result = out_of_memory(error);
			break;
		}
		record = (struct store_record){entry.key, entry.key_length, entry.data, entry.size};
		if (keep(data, &entry) && (grow(&fresh, 1) || put(&fresh, &record))) {
			result = out_of_memory(error);
		}
		free(entry.data);
	}
	for (size_t i = 0; import && result == STORE_OK && import->next(import->data, i, &record);
	     i++) {
		if (grow(&fresh, 1) || put(&fresh, &record)) {
			result = out_of_memory(error);
		}
	}
	if (result == STORE_OK && import && fresh.bytes > memory->bytes &&
	    fresh.bytes > memory->store.options.max_size) {
		error_set(error, "needs %llu bytes, %llu are allowed",
		    (unsigned long long)fresh.bytes,
		    (unsigned long long)memory->store.options.max_size);
		result = STORE_FULL;
	}
	if (result != STORE_OK) {
		free_entries(&fresh);
		return result;
	}
	free_entries(memory);
	memory->entry = fresh.entry;
	memory->room = fresh.room;
	memory->entries = fresh.entries;
	memory->bytes = fresh.bytes;
	return STORE_OK;
}

static bool keep_imported(void *data, struct entry *entry)
{
	const struct store_import *import = data;

	return import->keep(import->data, entry->key, entry->key_length, entry->data, entry->size);
}

static enum store_result memory_import(
    struct store *store, const struct store_import *import, struct error *error)
{
	return rebuild((struct memory *)store, keep_imported, (void *)import, import, error);
}

struct maintaining {
	const struct store_codec *codec;
	struct store_maintenance *maintenance;
	int64_t now_ms;
};

static bool keep_needed(void *data, struct entry *entry)
{
	struct maintaining *maintaining = data;
	struct store_maintenance *maintenance = maintaining->maintenance;
	bool kept = maintaining->codec->keep(
	    entry->key, entry->key_length, entry->data, entry->size, maintaining->now_ms);

	maintenance->records++;
	maintenance->kept += kept;
	if (maintenance->step) {
		maintenance->step(maintenance->data, maintenance->records);
	}
	return kept;
}

static enum store_result memory_maintain(
    struct store *store, struct store_maintenance *maintenance, struct error *error)
{
	struct memory *memory = (struct memory *)store;
	struct maintaining maintaining = {
	    store->codec, maintenance, memory->now_ms ? memory->now_ms : clock_now_ms()};
	enum store_result result;

	if (maintenance->only_if_due) {
		return STORE_OK;
	}
	maintenance->size_before = memory->bytes;
	result = rebuild(memory, keep_needed, &maintaining, NULL, error);
	maintenance->size_after = memory->bytes;
	return result;
}

static enum store_result memory_secret(
    struct store *store, const uint8_t **bytes, struct error *error)
{
	(void)store;
	(void)error;
	*bytes = secret;
	return STORE_OK;
}

static enum store_result memory_size(struct store *store, uint64_t *bytes, struct error *error)
{
	(void)error;
	*bytes = ((struct memory *)store)->bytes;
	return STORE_OK;
}

void store_memory_set_clock(struct store *store, int64_t now_ms)
{
	assert(store->backend == &store_memory);
	((struct memory *)store)->now_ms = now_ms;
}

const struct store_backend store_memory = {
    .size = sizeof(struct memory),
    .open = memory_open,
    .close = memory_close,
    .update = memory_update,
    .walk = memory_walk,
    .import = memory_import,
    .maintain = memory_maintain,
    .secret = memory_secret,
    .size_of = memory_size,
    .get = memory_get,
};
