/*
 * What a backend of the store provides, and what the backends share. For the files of store/
 * alone.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef BACKEND_H
#define BACKEND_H

#include "store/store.h"

struct store_status {
	const uint8_t *secret; /* see store_secret */
	uint64_t bytes; /* see store_size */
};

/* The functions are those of store.h. */
struct store_backend {
	/* A new store of this backend with room for its own state behind struct store. */
	size_t size;
	void (*open)(struct store *store); /* NULL: nothing to prepare */
	void (*close)(struct store *store);
	enum store_result (*update)(struct store *store, struct store_item *item, size_t items,
	    store_change *change, void *data, struct error *error);
	enum store_result (*fits)(
	    struct store *store, struct store_item *item, size_t items, struct error *error);
	enum store_result (*walk)(
	    struct store *store, store_visit *visit, void *data, struct error *error);
	enum store_result (*import)(
	    struct store *store, const struct store_import *import, struct error *error);
	enum store_result (*maintain)(
	    struct store *store, struct store_maintenance *maintenance, struct error *error);
	enum store_result (*status)(
	    struct store *store, struct store_status *status, struct error *error);
	void (*recheck)(struct store *store); /* NULL: nothing to do */
	const char *(*notice)(struct store *store); /* NULL: there never is one */
	const char *(*get)(struct store_txn *txn, const char *key, size_t key_length, size_t *size);
	bool (*has_room)(struct store_txn *txn, size_t size); /* NULL: there always is */
};

/* A buffer that grows, for copies of records. Zero it at first; free(bytes) at the end. */
struct store_buffer {
	char *bytes;
	size_t room;
};

/* What a change or a visit function is given. */
struct store_txn {
	struct store *store;
	int64_t now_ms; /* 0: the clock has not been asked yet */
	struct store_item *item; /* the first of the update */
	struct store_buffer buffer[STORE_ITEMS_MAX]; /* of each item's data */
	struct store_buffer got; /* the last record that store_txn_get returned */
	bool no_memory; /* store_txn_get could not copy a record: the operation fails */
};

/* The first member of a backend's own struct. */
struct store {
	const struct store_backend *backend;
	char *location;
	struct store_options options;
	const struct store_codec *codec;
	struct store_txn txn; /* of the current update or walk */
};

/* Copies bytes into the buffer. 0, or -1 if out of memory: the buffer is as before. */
int store_buffer_set(struct store_buffer *buffer, const void *bytes, size_t size);

/* STORE_ERROR, and its text. */
enum store_result store_no_memory(struct error *error);

extern const struct store_backend store_memory;
extern const struct store_backend store_tdb;

#endif
