/*
 * The bytes of a record, for record*.c only: the widths and offsets of its fields,
 * and how numbers are written. doc/counter-file.md describes the format.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef RECORD_CODEC_H
#define RECORD_CODEC_H

#include "count/record.h"

#include <stdint.h>
#include <string.h>

/* Decimal numbers, for people who look at the file. */
#define WIDTH_SECONDS 10
#define WIDTH_MS 3
#define WIDTH_DENIED 7
#define WIDTH_USED 11 /* of messages and recipients */
#define WIDTH_USED_BYTES 17

/* Base 64. */
#define WIDTH_SEQUENCE 3
#define WIDTH_FLAGS 2
#define WIDTH_DENIED_AT 6
#define WIDTH_HALF_CLIENT 11
#define WIDTH_COUNT 6 /* of messages and recipients */
#define WIDTH_COUNT_BYTES 9
#define WIDTH_POSITION 3
#define WIDTH_STAMP 7
#define WIDTH_CHECK 6

/* Of a transaction. */
#define WIDTH_INSTANCE 6
#define WIDTH_STATE_FLAGS 1
#define WIDTH_REQUEST 5
#define WIDTH_AMOUNT 5
#define WIDTH_PAYMENTS (2 * (WIDTH_AMOUNT + WIDTH_STAMP))
#define WIDTH_CONNECTION 4
#define WIDTH_OLD_TRANSACTION 15

/* Above a bit for each window that has warned. */
#define FLAG_EXCEPTION (1 << LIMITS_MAX)

_Static_assert(RECORD_TRANSACTION_WIDTH ==
	WIDTH_INSTANCE + WIDTH_STATE_FLAGS + WIDTH_REQUEST + WIDTH_AMOUNT + WIDTH_STAMP +
	    WIDTH_PAYMENTS + WIDTH_CONNECTION,
    "its parts");

/* The fields of a slot between the decimal ones and the counts; the blank behind them too. */
#define WIDTH_DENIALS (2 * WIDTH_DENIED_AT + 2 * WIDTH_HALF_CLIENT)
#define WIDTH_STATE (WIDTH_SEQUENCE + WIDTH_FLAGS + WIDTH_DENIALS + 1)

static inline unsigned used_width(const struct record_layout *layout)
{
	return layout->count == COUNT_BYTES ? WIDTH_USED_BYTES : WIDTH_USED;
}

static inline unsigned count_width(const struct record_layout *layout)
{
	return layout->count == COUNT_BYTES ? WIDTH_COUNT_BYTES : WIDTH_COUNT;
}

/* The largest count. */
static inline uint64_t count_max(const struct record_layout *layout)
{
	return (UINT64_C(1) << (6 * count_width(layout))) - 1;
}

/* "t=SECONDS.MS d=DENIED u=USED u=USED ", as many as there are windows. */
static inline size_t decimals_size(const struct record_layout *layout)
{
	return 2 + WIDTH_SECONDS + 1 + WIDTH_MS + 1 + 2 + WIDTH_DENIED + 1 +
	    layout->windows * ((size_t)2 + used_width(layout) + 1);
}

static inline size_t counts_size(const struct record_layout *layout)
{
	size_t width = count_width(layout);

	return layout->strategy == STRATEGY_SLIDING
	    ? layout->windows * layout->resolution * width + 1
	    : layout->strategy == STRATEGY_MOVING ? 2 * WIDTH_POSITION + width + 1
						  : 0;
}

static inline size_t transactions_size(const struct record_layout *layout)
{
	return layout->transactions *
	    (size_t)(layout->old ? WIDTH_OLD_TRANSACTION : RECORD_TRANSACTION_WIDTH);
}

static inline size_t slot_size(const struct record_layout *layout)
{
	return decimals_size(layout) + WIDTH_STATE + counts_size(layout) +
	    transactions_size(layout) + 1 + WIDTH_CHECK + 1;
}

static inline size_t event_size(const struct record_layout *layout)
{
	return WIDTH_STAMP + count_width(layout);
}

/* Offsets in the record's bytes. */
static inline size_t slot_offset(const struct record *record, unsigned slot)
{
	return record->header_length + slot * record->slot_size;
}

static inline size_t event_offset(const struct record *record, uint64_t position)
{
	return record->header_length + 2 * record->slot_size +
	    position * event_size(&record->layout);
}

static const char base64_digits[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/* Values of the digits. A byte that is no digit counts as 0: checksums tell good bytes. */
/* clang-format off */
static const uint8_t base64_values[128] = {
	['-'] = 62, ['_'] = 63,
	['0'] = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
	['A'] = 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
	23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35,
	['a'] = 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
	49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61,
};
/* clang-format on */

/*
 * The functions below write or read a number of a fixed width at *p, and move *p behind it. A
 * number that is too large for its field is written as the largest that fits.
 */

/* Most significant digit first. */
static inline void base64_put(char **p, size_t width, uint64_t number)
{
	uint64_t max = 6 * width < 64 ? (UINT64_C(1) << (6 * width)) - 1 : UINT64_MAX;

	if (number > max) {
		number = max;
	}
	for (size_t i = width; i > 0; i--) {
		(*p)[i - 1] = base64_digits[number & 63];
		number >>= 6;
	}
	*p += width;
}

static inline uint64_t base64_get(const char **p, size_t width)
{
	uint64_t number = 0;

	for (size_t i = 0; i < width; i++) {
		number = number << 6 | base64_values[(*p)[i] & 127];
	}
	*p += width;
	return number;
}

/* With leading zeros. */
static inline void decimal_put(char **p, unsigned width, uint64_t number)
{
	for (unsigned i = width; i > 0; i--) {
		(*p)[i - 1] = (char)('0' + number % 10);
		number /= 10;
	}
	*p += width;
}

/* A letter, "=", the number, and blanks up to the width. */
static inline void labelled_put(char **p, char label, unsigned width, uint64_t number)
{
	unsigned length = 1;
	uint64_t power = 10;

	*(*p)++ = label;
	*(*p)++ = '=';
	while (length < width && number >= power) {
		length++;
		power *= 10;
	}
	decimal_put(p, length, number < power ? number : power - 1);
	memset(*p, ' ', width - length);
	*p += width - length;
}

/* Ends at the first byte that is no digit. */
static inline uint64_t decimal_get(const char **p, unsigned width)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < width && (*p)[i] >= '0' && (*p)[i] <= '9'; i++) {
		number = number * 10 + (uint64_t)((*p)[i] - '0');
	}
	*p += width;
	return number;
}

#endif
