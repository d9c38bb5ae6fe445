/*
 * What the backends share: buffers, and the items of an update. See store.h and backend.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "store/backend.h"

#include <string.h>

static int reserve(struct store_buffer *buffer, size_t size)
{
	char *bytes = alloc_grow(buffer->bytes, &buffer->room, size);

	if (!bytes) {
		return -1;
	}
	buffer->bytes = bytes;
	return 0;
}

int store_buffer_set(struct store_buffer *buffer, const void *bytes, size_t size)
{
	if (reserve(buffer, size)) {
		return -1;
	}
	if (size > 0) {
		memcpy(buffer->bytes, bytes, size);
	}
	return 0;
}

int store_txn_resize(struct store_txn *txn, struct store_item *item, size_t size)
{
	struct store_buffer *buffer = &txn->buffer[item - txn->item];

	if (reserve(buffer, size)) {
		return -1;
	}
	item->data = buffer->bytes;
	item->size = size;
	return 0;
}

int64_t store_txn_now_ms(struct store_txn *txn)
{
	if (txn->now_ms == 0) {
		txn->now_ms = clock_now_ms();
	}
	return txn->now_ms;
}

const char *store_txn_get(struct store_txn *txn, const char *key, size_t key_length, size_t *size)
{
	return txn->store->backend->get(txn, key, key_length, size);
}

bool store_txn_has_room(struct store_txn *txn, size_t size)
{
	return !txn->store->backend->has_room || txn->store->backend->has_room(txn, size);
}

enum store_result store_no_memory(struct error *error)
{
	error_no_memory(error);
	return STORE_ERROR;
}
