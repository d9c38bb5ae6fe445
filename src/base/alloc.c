/*
 * Allocation of memory that can fail: see alloc.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

char *alloc_copy(const char *string, struct error *error)
{
	char *copy = strdup(string);

	if (!copy) {
		error_no_memory(error);
	}
	return copy;
}

void *alloc_grow(void *buffer, size_t *room, size_t size)
{
	/* No overflow: no object has more than half of SIZE_MAX bytes. */
	size_t larger = *room < 32 ? 64 : *room * 2;
	void *moved;

	if (buffer && size <= *room) {
		return buffer;
	}
	if (larger < size) {
		larger = size;
	}
	moved = realloc(buffer, larger);
	if (moved) {
		*room = larger;
	}
	return moved;
}
