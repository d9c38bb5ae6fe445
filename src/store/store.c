/*
 * Chooses the backend by the location and passes calls on to it: see store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/store.h"

#include "base/alloc.h"
#include "store/backend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* NULL: the location is a URL that no backend knows. */
static const struct store_backend *find_backend(const char *location)
{
	if (strcmp(location, "memory:") == 0) {
		return &store_memory;
	}
	return strstr(location, "://") ? NULL : &store_tdb;
}

struct store *store_open(const char *location, const struct store_options *options,
    const struct store_codec *codec, struct error *error)
{
	const struct store_backend *backend = find_backend(location);
	struct store *store;

	if (!backend) {
		error_set(error, "\"%.200s\" is not a path", location);
		return NULL;
	}
	store = calloc(1, backend->size);
	if (!store) {
		error_no_memory(error);
		return NULL;
	}
	store->backend = backend;
	store->options = *options;
	store->codec = codec;
	store->txn.store = store;
	store->location = alloc_copy(location, error);
	if (!store->location) {
		free(store);
		return NULL;
	}
	if (backend->open) {
		backend->open(store);
	}
	return store;
}

void store_close(struct store *store)
{
	if (!store) {
		return;
	}
	store->backend->close(store);
	for (size_t i = 0; i < STORE_ITEMS_MAX; i++) {
		free(store->txn.buffer[i].bytes);
	}
	free(store->txn.got.bytes);
	free(store->location);
	free(store);
}

enum store_result store_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error)
{
	assert(items > 0 && items <= STORE_ITEMS_MAX);
	store->txn.item = item;
	store->txn.now_ms = 0;
	store->txn.no_memory = false;
	return store->backend->update(store, item, items, change, data, error);
}

enum store_result store_fits(
    struct store *store, struct store_item *item, size_t items, struct error *error)
{
	return store->backend->fits(store, item, items, error);
}

enum store_result store_walk(
    struct store *store, store_visit *visit, void *data, struct error *error)
{
	store->txn.now_ms = 0;
	store->txn.no_memory = false;
	return store->backend->walk(store, visit, data, error);
}

enum store_result store_import(
    struct store *store, const struct store_import *import, struct error *error)
{
	return store->backend->import(store, import, error);
}

enum store_result store_maintain(
    struct store *store, struct store_maintenance *maintenance, struct error *error)
{
	maintenance->records = maintenance->kept = 0;
	maintenance->size_before = maintenance->size_after = 0;
	return store->backend->maintain(store, maintenance, error);
}

enum store_result store_secret(struct store *store, const uint8_t **secret, struct error *error)
{
	struct store_status status;
	enum store_result result = store->backend->status(store, &status, error);

	*secret = status.secret;
	return result;
}

enum store_result store_size(struct store *store, uint64_t *bytes, struct error *error)
{
	struct store_status status;
	enum store_result result = store->backend->status(store, &status, error);

	*bytes = status.bytes;
	return result;
}

void store_recheck(struct store *store)
{
	if (store->backend->recheck) {
		store->backend->recheck(store);
	}
}

const char *store_notice(struct store *store)
{
	return store->backend->notice ? store->backend->notice(store) : NULL;
}
