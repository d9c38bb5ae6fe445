/*
 * A buffer that grows: see buffer.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/buffer.h"

#include <stdlib.h>
#include <string.h>

int store_buffer_reserve(struct store_buffer *buffer, size_t size)
{
	char *bytes;

	if (buffer->room >= size && buffer->bytes) {
		return 0;
	}
	size = size ? size : 1;
	bytes = realloc(buffer->bytes, size);
	if (!bytes) {
		return -1;
	}
	buffer->bytes = bytes;
	buffer->room = size;
	return 0;
}

int store_buffer_set(struct store_buffer *buffer, const void *bytes, size_t size)
{
	if (store_buffer_reserve(buffer, size)) {
		return -1;
	}
	if (size > 0) {
		memcpy(buffer->bytes, bytes, size);
	}
	return 0;
}
