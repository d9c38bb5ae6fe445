/*
 * A buffer that grows, for copies of records. For the files of store/ alone.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef BUFFER_H
#define BUFFER_H

#include <stddef.h>

/* Zero it at first; free(bytes) at the end. */
struct store_buffer {
	char *bytes;
	size_t room;
};

/* Room for size bytes, one at least. 0, or -1 if out of memory: the buffer is as before. */
int store_buffer_reserve(struct store_buffer *buffer, size_t size);

/* A copy of bytes in the buffer. 0, or -1 as above. */
int store_buffer_set(struct store_buffer *buffer, const void *bytes, size_t size);

#endif
