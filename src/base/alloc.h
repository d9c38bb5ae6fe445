/*
 * Allocation of memory that can fail: a copy of a string, a buffer that grows. Arrays: array.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ALLOC_H
#define ALLOC_H

#include "base/error.h"

#include <stddef.h>

/* A copy of a string, for the caller to free; NULL with error_no_memory. */
char *alloc_copy(const char *string, struct error *error);

/*
 * Makes a buffer large enough for size bytes: returns it, moved if need be, with its contents and
 * with *room, its size, updated; or NULL, with buffer and *room as they were. Start with NULL and
 * 0. The size at least doubles each time, so that appending costs constant time per byte. The
 * caller frees the buffer.
 */
void *alloc_grow(void *buffer, size_t *room, size_t size);

#endif
