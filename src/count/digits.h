/*
 * Numbers in base 64, digits 0-9 A-Z a-z - _, most significant first, of a fixed width: what
 * a counter's record is made of. All of it is inlined, for most widths are constants and the
 * compiler then unrolls the loops.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef DIGITS_H
#define DIGITS_H

#include <stdint.h>
#include <string.h>

static const char digits_of[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/* Their values; bytes that are no digits count as 0: the check has been compared before. */
static const unsigned char digits_value[256] = {['0'] = 0,
    ['1'] = 1,
    ['2'] = 2,
    ['3'] = 3,
    ['4'] = 4,
    ['5'] = 5,
    ['6'] = 6,
    ['7'] = 7,
    ['8'] = 8,
    ['9'] = 9,
    ['A'] = 10,
    ['B'] = 11,
    ['C'] = 12,
    ['D'] = 13,
    ['E'] = 14,
    ['F'] = 15,
    ['G'] = 16,
    ['H'] = 17,
    ['I'] = 18,
    ['J'] = 19,
    ['K'] = 20,
    ['L'] = 21,
    ['M'] = 22,
    ['N'] = 23,
    ['O'] = 24,
    ['P'] = 25,
    ['Q'] = 26,
    ['R'] = 27,
    ['S'] = 28,
    ['T'] = 29,
    ['U'] = 30,
    ['V'] = 31,
    ['W'] = 32,
    ['X'] = 33,
    ['Y'] = 34,
    ['Z'] = 35,
    ['a'] = 36,
    ['b'] = 37,
    ['c'] = 38,
    ['d'] = 39,
    ['e'] = 40,
    ['f'] = 41,
    ['g'] = 42,
    ['h'] = 43,
    ['i'] = 44,
    ['j'] = 45,
    ['k'] = 46,
    ['l'] = 47,
    ['m'] = 48,
    ['n'] = 49,
    ['o'] = 50,
    ['p'] = 51,
    ['q'] = 52,
    ['r'] = 53,
    ['s'] = 54,
    ['t'] = 55,
    ['u'] = 56,
    ['v'] = 57,
    ['w'] = 58,
    ['x'] = 59,
    ['y'] = 60,
    ['z'] = 61,
    ['-'] = 62,
    ['_'] = 63};

static const char digits_zero[] = "000000000";

/* Writes number, or the largest that width has room for, at *p, which is moved behind it. */
static inline __attribute__((always_inline)) void digits_put(
    char **p, unsigned width, uint64_t number)
{
	uint64_t max = (UINT64_C(1) << (6 * width)) - 1;

	if (number > max) {
		number = max;
	}
	for (unsigned i = width; i > 0; i--) {
		(*p)[i - 1] = digits_of[number & 63];
		number >>= 6;
	}
	*p += width;
}

/* Bytes that are no digits count as 0. */
static inline __attribute__((always_inline)) uint64_t digits_get(const char **p, unsigned width)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < width; i++) {
		number = number << 6 | digits_value[(unsigned char)(*p)[i]];
	}
	*p += width;
	return number;
}

/* The same for so many numbers, most of which are 0. */
static inline __attribute__((always_inline)) void digits_put_all(
    char **p, unsigned width, const uint64_t *count, unsigned counts)
{
	for (unsigned i = 0; i < counts; i++) {
		if (count[i]) {
			digits_put(p, width, count[i]);
		} else {
			memcpy(*p, digits_zero, width);
			*p += width;
		}
	}
}

static inline __attribute__((always_inline)) void digits_get_all(
    const char **p, unsigned width, uint64_t *count, unsigned counts)
{
	for (unsigned i = 0; i < counts; i++) {
		if (memcmp(*p, digits_zero, width) != 0) {
			count[i] = digits_get(p, width);
		} else {
			count[i] = 0;
			*p += width;
		}
	}
}

#endif
