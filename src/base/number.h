/*
 * Decimal numbers, read strictly.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NUMBER_H
#define NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* A decimal number of digits alone, at most max. Returns 0, or -1 if it is anything else. */
int number_parse(const char *string, size_t length, uint64_t max, uint64_t *number);

/* As number_parse, with an optional K, M or G (1024s): a size in bytes. */
int size_parse(const char *string, uint64_t max, uint64_t *bytes);

/* a / b, rounded down; b > 0. */
int64_t number_divide_down(int64_t a, int64_t b);

#endif
