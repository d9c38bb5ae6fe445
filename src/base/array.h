/*
 * An array that grows by one item at a time: a pointer, NULL at first, and the number of items.
 * Its room follows from that number, so that nothing else has to be kept:
 *
 *	struct row *row = array_grow(table->row, table->rows, sizeof(*row));
 *
 *	if (!row) {
 *		return error_no_memory(error);
 *	}
 *	table->row = row;
 *	row[table->rows++] = …;
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ARRAY_H
#define ARRAY_H

#include <stddef.h>
#include <stdlib.h>

#define ARRAY_ROOM_MIN 8 /* items, a power of two */

/*
 * Returns items, moved if need be, with room for one more than count items of size bytes each; or
 * NULL, with items as they were, if out of memory. items must have grown by this function alone;
 * count may have become smaller meanwhile. The caller frees the array.
 */
static inline void *array_grow(void *items, size_t count, size_t size)
{
	size_t room = count < ARRAY_ROOM_MIN ? ARRAY_ROOM_MIN : count * 2;

	/* The room is used up only if count is 0 or a power of two, and then doubles. */
	if (count > 0 && (count < ARRAY_ROOM_MIN || (count & (count - 1)) != 0)) {
		return items;
	}
	return reallocarray(items, room, size);
}

#endif
