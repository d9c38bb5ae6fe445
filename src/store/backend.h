/*
 * What a backend of the store provides: see store.h, where each function is described. For the
 * files of store/ alone.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef BACKEND_H
#define BACKEND_H

#include "store/buffer.h"
#include "store/store.h"

struct store_backend {
	/* A new store of this backend with room for its own state behind struct store. */
	size_t size;
	/* Prepares it; struct store is filled in. 0, or -1 and why; close is called then too. */
	int (*open)(struct store *store, struct error *error);
	void (*close)(struct store *store);
	enum store_result (*update)(struct store *store, struct store_item *item, size_t items,
	    store_change *change, void *data, struct error *error);
	enum store_result (*walk)(
	    struct store *store, store_visit *visit, void *data, struct error *error);
	enum store_result (*import)(
	    struct store *store, const struct store_import *import, struct error *error);
	enum store_result (*maintain)(
	    struct store *store, struct store_maintenance *maintenance, struct error *error);
	enum store_result (*secret)(
	    struct store *store, const uint8_t **secret, struct error *error);
	enum store_result (*size_of)(struct store *store, uint64_t *bytes, struct error *error);
	void (*recheck)(struct store *store); /* NULL: nothing to do */
	const char *(*notice)(struct store *store); /* NULL: there never is one */
	const char *(*get)(struct store_txn *txn, const char *key, size_t key_length, size_t *size);
};

/* The first member of a backend's own struct. */
struct store {
	const struct store_backend *backend;
	char *location;
	struct store_options options;
	const struct store_codec *codec;
};

/* What a change or a visit function is given. */
struct store_txn {
	struct store *store;
	int64_t now_ms; /* 0: the clock has not been asked yet */
	struct store_item *item; /* the first of the update */
	struct store_buffer *buffer; /* of each item's data; NULL for a visit */
	struct store_buffer got; /* the last record that store_txn_get returned */
};

extern const struct store_backend store_memory;
extern const struct store_backend store_tdb;

#endif
