/*
 * Memory that may not be there: see alloc.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/alloc.h"

#include <stdint.h>
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
	size_t larger = *room > SIZE_MAX / 2 ? SIZE_MAX : *room * 2;
	void *moved;

	if (buffer && size <= *room) {
		return buffer;
	}
	if (larger < size) {
		larger = size;
	}
	if (larger < 64) {
		larger = 64;
	}
	moved = realloc(buffer, larger);
	if (moved) {
		*room = larger;
	}
	return moved;
}
