/*
 * How a record stands in the file, for record.c and record_log.c alone: widths of its numbers
 * and where they are. record.h has the format.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef RECORD_FORMAT_H
#define RECORD_FORMAT_H

#include "count/digits.h"
#include "count/record.h"

/* Widths in digits of 6 bits. */
#define WIDTH_SEQUENCE 4
#define WIDTH_STAMP 7 /* milliseconds until the year 2109 */
#define WIDTH_DENIED 5
#define WIDTH_DENIED_AT 6
#define WIDTH_FLAGS 2
#define WIDTH_COUNT 6
#define WIDTH_BYTES 9
#define WIDTH_POSITION 3
#define WIDTH_HASH 6
#define WIDTH_CHARGED 3
#define WIDTH_TRANSACTION RECORD_TRANSACTION_WIDTH
#define WIDTH_CHECK 6

/* Among the flags, behind a bit for each window that has warned. */
#define FLAG_ALLOWANCE (1 << LIMITS_MAX)

_Static_assert(WIDTH_TRANSACTION == WIDTH_HASH + WIDTH_CHARGED + WIDTH_HASH, "its parts");

/* What comes before the counts, blanks included. */
#define WIDTH_STATE                                                                                \
	(WIDTH_SEQUENCE + WIDTH_STAMP + WIDTH_DENIED + 2 * WIDTH_DENIED_AT + WIDTH_FLAGS + 6)

static inline unsigned count_width(const struct record_layout *layout)
{
	return layout->count == COUNT_BYTES ? WIDTH_BYTES : WIDTH_COUNT;
}

/* The largest count. */
static inline uint64_t count_mask(const struct record_layout *layout)
{
	return (UINT64_C(1) << (6 * count_width(layout))) - 1;
}

static inline unsigned buckets_of(const struct record_layout *layout)
{
	return layout->strategy == STRATEGY_SLIDING ? layout->resolution + 1 : 1;
}

static inline size_t event_size(const struct record_layout *layout)
{
	return WIDTH_STAMP + count_width(layout);
}

static inline size_t slot_size(const struct record_layout *layout)
{
	size_t size = WIDTH_STATE + layout->transactions * WIDTH_TRANSACTION + WIDTH_CHECK + 2;

	if (layout->strategy == STRATEGY_MOVING) {
		return size + 2 * WIDTH_POSITION + count_width(layout) + 1;
	}
	return size + layout->windows * (buckets_of(layout) * count_width(layout) + 1);
}

static inline char *slot_at(const struct record *record, char *bytes, unsigned slot)
{
	return bytes + record->header_length + slot * record->slot_size;
}

static inline char *event_at(const struct record *record, char *bytes, uint64_t position)
{
	return bytes + record->header_length + 2 * record->slot_size +
	    position * event_size(&record->layout);
}

#endif
