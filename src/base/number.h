/*
 * Decimal numbers, parsed strictly.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NUMBER_H
#define NUMBER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Parses length bytes that are one decimal number: digits alone, no sign, no blanks. Returns 0 and
 * sets *number; or -1, with *number unchanged, if it is not a number or is greater than max.
 */
int number_parse(const char *string, size_t length, uint64_t max, uint64_t *number);

/* Like number_parse, for a whole string that may end in K, M or G: units of 1024. */
int size_parse(const char *string, uint64_t max, uint64_t *bytes);

/* a / b, rounded down; b > 0. */
int64_t number_divide_down(int64_t a, int64_t b);

#endif
