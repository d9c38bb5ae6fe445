/*
 * Records in the memory of this process, for tests and for what-if questions: a hash table. See
 * store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "store/backend.h"

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

/* Moves a list's entries into the table, where each takes the place of the one of its key. */
static void put(struct memory *memory, struct entry *list)
{
	while (list) {
		struct entry *entry = list;
		struct entry **at = find(memory, entry->bytes, entry->key_length);

		list = entry->next;
		if (*at) {
			memory->bytes -= (*at)->key_length + (*at)->size;
			pop(at);
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

	if (!entry || store_buffer_set(&txn->got, entry->bytes + key_length, entry->size)) {
		return NULL;
	}
	*size = entry->size;
	return txn->got.bytes;
}

static enum store_result memory_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error)
{
	struct memory *memory = (struct memory *)store;
	struct entry *changed = NULL;
	enum store_result result;
	uint64_t bytes = memory->bytes;

	for (size_t i = 0; i < items; i++) {
		const struct entry *entry = *find(memory, item[i].key, item[i].key_length);

		item[i].exists = entry != NULL;
		item[i].action = STORE_KEEP;
		item[i].expires_ms = 0;
		if (store_item_set(&store->txn, &item[i],
			entry ? entry->bytes + entry->key_length : item[i].initial,
			entry ? entry->size : item[i].initial_size)) {
			return store_no_memory(error);
		}
	}
	result = change(data, &store->txn, item, items);
	for (size_t i = 0; result == STORE_OK && i < items; i++) {
		if (item[i].action == STORE_KEEP) {
			continue;
		}
		bytes += item[i].exists ? 0 : item[i].key_length + item[i].size;
		if (!push(&changed, item[i].key, item[i].key_length, item[i].data, item[i].size)) {
			result = store_no_memory(error);
		}
	}
	if (result == STORE_OK && bytes > memory->bytes && bytes > store->options.max_size) {
		error_set(error, "no room for a new record within %llu bytes",
		    (unsigned long long)store->options.max_size);
		result = STORE_FULL;
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

	(void)error;
	for (size_t i = 0; i < CHAINS; i++) {
		for (struct entry *entry = memory->chain[i]; entry; entry = entry->next) {
			if (!visit(data, &store->txn, entry->bytes, entry->key_length,
				entry->bytes + entry->key_length, entry->size)) {
				return STORE_OK;
			}
		}
	}
	return STORE_OK;
}

/* A list of copies of the records that are kept. 0, or -1 if out of memory. */
static int copy_kept(struct memory *memory, const struct store_import *import,
    struct store_maintenance *maintenance, struct entry **list)
{
	const struct store_codec *codec = memory->store.codec;
	int64_t now_ms = clock_now_ms();

	for (size_t i = 0; i < CHAINS; i++) {
		for (struct entry *old = memory->chain[i]; old; old = old->next) {
			size_t length = old->key_length;
			struct entry *copy =
			    push(list, old->bytes, length, old->bytes + length, old->size);
			char *record;

			if (!copy) {
				return -1;
			}
			record = copy->bytes + length;
			maintenance->records++;
			if (codec->keep(copy->bytes, length, record, copy->size, now_ms) &&
			    (!import ||
				import->keep(
				    import->data, copy->bytes, length, record, copy->size))) {
				maintenance->kept++;
			} else {
				pop(list);
			}
			if (maintenance->step) {
				maintenance->step(maintenance->data, maintenance->records);
			}
		}
	}
	return 0;
}

/* Replaces all records by those that are kept, and by those of import, which may be NULL. */
static enum store_result rebuild(struct memory *memory, const struct store_import *import,
    struct store_maintenance *maintenance, struct error *error)
{
	uint64_t max_size = memory->store.options.max_size, bytes = 0;
	struct entry *kept = NULL, *added = NULL;
	struct store_record add;
	enum store_result result = STORE_OK;

	if (copy_kept(memory, import, maintenance, &kept)) {
		result = store_no_memory(error);
	}
	for (size_t i = 0; result == STORE_OK && import && import->next(import->data, i, &add);
	     i++) {
		bytes += add.key_length + add.size;
		if (!push(&added, add.key, add.key_length, add.data, add.size)) {
			result = store_no_memory(error);
		}
	}
	for (const struct entry *entry = kept; entry; entry = entry->next) {
		bytes += entry->key_length + entry->size;
	}
	if (result == STORE_OK && bytes > memory->bytes && bytes > max_size) {
		error_set(error, "needs %llu bytes, %llu are allowed", (unsigned long long)bytes,
		    (unsigned long long)max_size);
		result = STORE_FULL;
	}
	if (result != STORE_OK) {
		free_list(&kept);
		free_list(&added);
		return result;
	}
	memory_close(&memory->store);
	memory->bytes = 0;
	put(memory, kept);
	put(memory, added);
	return STORE_OK;
}

static enum store_result memory_import(
    struct store *store, const struct store_import *import, struct error *error)
{
	struct store_maintenance unused = {.step = NULL};

	return rebuild((struct memory *)store, import, &unused, error);
}

static enum store_result memory_maintain(
    struct store *store, struct store_maintenance *maintenance, struct error *error)
{
	struct memory *memory = (struct memory *)store;
	enum store_result result;

	if (maintenance->only_if_due) {
		return STORE_OK;
	}
	maintenance->size_before = memory->bytes;
	result = rebuild(memory, NULL, maintenance, error);
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

const struct store_backend store_memory = {
    .size = sizeof(struct memory),
    .close = memory_close,
    .update = memory_update,
    .walk = memory_walk,
    .import = memory_import,
    .maintain = memory_maintain,
    .secret = memory_secret,
    .size_of = memory_size,
    .get = memory_get,
};
