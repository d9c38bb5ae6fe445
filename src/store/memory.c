/*
 * Records in the memory of this process, for tests and for what-if questions: a hash table. See
 * store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "store/backend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Enough for some hundred thousand records. */
#define CHAINS 65536

struct entry {
	struct entry *next;
	size_t key_length;
	size_t size;
	char bytes[]; /* the key, then the record */
};

struct memory {
	struct store store;
	struct entry *chain[CHAINS];
	uint64_t bytes; /* of all keys and records */
	int64_t now_ms; /* 0: the real clock */
};

/* Nobody attacks this table: it lives for one command. */
static const uint8_t secret[HASH_KEY_BYTES];

/* Where the entry of a key is linked, or NULL is. */
static struct entry **find(struct memory *memory, const char *key, size_t key_length)
{
	struct entry **at = &memory->chain[hash_keyed(secret, key, key_length) % CHAINS];

	while (*at &&
	    ((*at)->key_length != key_length || memcmp((*at)->bytes, key, key_length) != 0)) {
		at = &(*at)->next;
	}
	return at;
}

/* Puts a new entry in front of a list. NULL: out of memory. */
static struct entry *push(
    struct entry **list, const char *key, size_t key_length, const char *record, size_t size)
{
	struct entry *entry = malloc(sizeof(*entry) + key_length + size);

	if (entry) {
		*entry = (struct entry){*list, key_length, size};
		memcpy(entry->bytes, key, key_length);
		memcpy(entry->bytes + key_length, record, size);
		*list = entry;
	}
	return entry;
}

static void pop(struct entry **list)
{
	struct entry *first = *list;

	*list = first->next;
	free(first);
}

static void free_list(struct entry **list)
{
	while (*list) {
		pop(list);
	}
}

/* Removes an entry of the table. */
static void take_out(struct memory *memory, struct entry **at)
{
	memory->bytes -= (*at)->key_length + (*at)->size;
	pop(at);
}

/* Moves a list's entries into the table, where each takes the place of the one of its key. */
static void put(struct memory *memory, struct entry *list)
{
	while (list) {
		struct entry *entry = list;
		struct entry **at = find(memory, entry->bytes, entry->key_length);

		list = entry->next;
		if (*at) {
			take_out(memory, at);
		}
		memory->bytes += entry->key_length + entry->size;
		entry->next = *at;
		*at = entry;
	}
}

static void memory_close(struct store *store)
{
	struct memory *memory = (struct memory *)store;

	for (size_t i = 0; i < CHAINS; i++) {
		free_list(&memory->chain[i]);
	}
}

static const char *memory_get(
    struct store_txn *txn, const char *key, size_t key_length, size_t *size)
{
	struct entry *entry = *find((struct memory *)txn->store, key, key_length);

	if (!entry) {
		return NULL;
	}
	if (store_buffer_set(&txn->got, entry->bytes + key_length, entry->size)) {
		txn->no_memory = true;
		return NULL;
	}
	*size = entry->size;
	return txn->got.bytes;
}

/* Whether the records may have that many bytes. */
static enum store_result check_size(
    const struct memory *memory, uint64_t bytes, struct error *error)
{
	uint64_t max_size = memory->store.options.max_size;

	if (bytes <= memory->bytes || bytes <= max_size) {
		return STORE_OK;
	}
	error_set(
	    error, "no room for a new record within %llu bytes", (unsigned long long)max_size);
	return STORE_FULL;
}

static enum store_result memory_fits(
    struct store *store, struct store_item *item, size_t items, struct error *error)
{
	struct memory *memory = (struct memory *)store;
	uint64_t bytes = memory->bytes;

	for (size_t i = 0; i < items; i++) {
		if (!item[i].exists && item[i].action == STORE_PATCH) {
			bytes += item[i].key_length + item[i].size;
		}
	}
	return check_size(memory, bytes, error);
}

static bool memory_has_room(struct store_txn *txn, size_t size)
{
	uint64_t max_size = txn->store->options.max_size;

	return size <= max_size && ((struct memory *)txn->store)->bytes <= max_size - size;
}

static enum store_result memory_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error)
{
	struct memory *memory = (struct memory *)store;
	struct entry *changed = NULL;
	enum store_result result;
	uint64_t bytes = memory->bytes;

	store->txn.now_ms = memory->now_ms;
	for (size_t i = 0; i < items; i++) {
		const struct entry *entry = *find(memory, item[i].key, item[i].key_length);

		item[i].exists = entry != NULL;
		item[i].action = STORE_KEEP;
		item[i].expires_ms = 0;
		item[i].size = entry ? entry->size : item[i].initial_size;
		if (store_buffer_set(&store->txn.buffer[i],
			entry ? entry->bytes + entry->key_length : item[i].initial, item[i].size)) {
			return store_no_memory(error);
		}
		item[i].data = store->txn.buffer[i].bytes;
	}
	result = change(data, &store->txn, item, items);
	if (result == STORE_OK && store->txn.no_memory) {
		result = store_no_memory(error);
	}
	for (size_t i = 0; result == STORE_OK && i < items; i++) {
		if (item[i].action == STORE_KEEP) {
			continue;
		}
		bytes += item[i].exists ? 0 : item[i].key_length + item[i].size;
		if (!push(&changed, item[i].key, item[i].key_length, item[i].data, item[i].size)) {
			result = store_no_memory(error);
		}
	}
	if (result == STORE_OK) {
		result = check_size(memory, bytes, error);
	}
	if (result == STORE_OK) {
		put(memory, changed);
	} else {
		free_list(&changed);
	}
	return result == STORE_DAMAGED ? STORE_ERROR : result;
}

static enum store_result memory_walk(
    struct store *store, store_visit *visit, void *data, struct error *error)
{
	const struct memory *memory = (struct memory *)store;
	bool wanted = true;

	store->txn.now_ms = memory->now_ms;
	for (size_t i = 0; i < CHAINS; i++) {
		for (struct entry *entry = memory->chain[i]; entry && wanted; entry = entry->next) {
			wanted = visit(data, &store->txn, entry->bytes, entry->key_length,
			    entry->bytes + entry->key_length, entry->size);
		}
	}
	return store->txn.no_memory ? store_no_memory(error) : STORE_OK;
}

/* Removes what nobody needs, and what import does not keep. */
static void sweep(
    struct memory *memory, const struct store_import *import, struct store_maintenance *maintenance)
{
	int64_t now_ms = memory->now_ms ? memory->now_ms : clock_now_ms();

	for (size_t i = 0; i < CHAINS; i++) {
		for (struct entry **at = &memory->chain[i]; *at;) {
			struct entry *entry = *at;
			size_t length = entry->key_length;
			const char *key = entry->bytes;
			char *record = entry->bytes + length;
			bool kept =
			    memory->store.codec->keep(key, length, record, entry->size, now_ms) &&
			    (!import ||
				import->keep(import->data, key, length, record, entry->size));

			maintenance->records++;
			maintenance->kept += kept;
			if (maintenance->step) {
				maintenance->step(maintenance->data, maintenance->records);
			}
			if (kept) {
				at = &entry->next;
			} else {
				take_out(memory, at);
			}
		}
	}
}

/* What is removed does not make room: it is still there if the import fails. */
static enum store_result memory_import(
    struct store *store, const struct store_import *import, struct error *error)
{
	struct memory *memory = (struct memory *)store;
	struct store_maintenance unused = {.step = NULL};
	struct entry *added = NULL;
	struct store_record add;
	uint64_t bytes = memory->bytes;

	for (size_t i = 0; import->next(import->data, i, &add); i++) {
		bytes += add.key_length + add.size;
		if (!push(&added, add.key, add.key_length, add.data, add.size)) {
			free_list(&added);
			return store_no_memory(error);
		}
	}
	if (added && bytes > store->options.max_size) {
		free_list(&added);
		error_set(error, "needs %llu bytes, %llu are allowed", (unsigned long long)bytes,
		    (unsigned long long)store->options.max_size);
		return STORE_FULL;
	}
	sweep(memory, import, &unused);
	put(memory, added);
	return STORE_OK;
}

static enum store_result memory_maintain(
    struct store *store, struct store_maintenance *maintenance, struct error *error)
{
	struct memory *memory = (struct memory *)store;

	(void)error;
	if (!maintenance->only_if_due) {
		maintenance->size_before = memory->bytes;
		sweep(memory, NULL, maintenance);
		maintenance->size_after = memory->bytes;
	}
	return STORE_OK;
}

static enum store_result memory_status(
    struct store *store, struct store_status *status, struct error *error)
{
	(void)error;
	*status = (struct store_status){secret, ((struct memory *)store)->bytes};
	return STORE_OK;
}

void store_memory_set_clock(struct store *store, int64_t now_ms)
{
	assert(store->backend == &store_memory);
	((struct memory *)store)->now_ms = now_ms;
}

const struct store_backend store_memory = {
    .size = sizeof(struct memory),
    .close = memory_close,
    .update = memory_update,
    .fits = memory_fits,
    .walk = memory_walk,
    .import = memory_import,
    .maintain = memory_maintain,
    .status = memory_status,
    .get = memory_get,
    .has_room = memory_has_room,
};
