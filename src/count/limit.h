/*
 * Limits as an administrator writes them, "100/hour, 500/day", to numbers and back. Independent of
 * counters, rules and files.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef LIMIT_H
#define LIMIT_H

#include "base/duration.h"
#include "base/error.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

/* What is counted: a rule's `count`. */
enum limit_count { COUNT_MESSAGES, COUNT_RECIPIENTS, COUNT_BYTES };

#define LIMITS_MAX 8 /* windows of one rule */
#define LIMIT_WINDOW_MAX_MS (INT64_C(3650) * 86400 * 1000) /* 10 years */
#define LIMIT_COUNT_MAX 68719476735 /* 2^36-1 messages or recipients */
#define LIMIT_BYTES_MAX 18014398509481983 /* 2^54-1 bytes */
#define LIMIT_UNLIMITED UINT64_MAX
#define LIMIT_TEXT_SIZE 64 /* fits any one limit, terminated */

/* n units; length_ms is n * duration_units[unit].ms. */
struct limit_window {
	unsigned n;
	enum duration_unit unit;
	int64_t length_ms;
};

struct limit {
	uint64_t count; /* LIMIT_UNLIMITED: counted, never denied */
	struct limit_window window;
};

/* What `limit = …` says: some windows, or one of the words that stand alone. */
struct limits {
	enum { LIMITS_WINDOWS, LIMITS_UNLIMITED, LIMITS_DENY } kind;
	unsigned n;
	struct limit at[LIMITS_MAX];
};

/*
 * Reads "COUNT [/ or per] [N] UNIT", several separated by ',' or '|', or a word that
 * stands alone. count decides which suffixes a number may have. If every limit is 0 the
 * kind is LIMITS_DENY. 0, or -1 and why.
 */
int limits_parse(
    const char *string, enum limit_count count, struct limits *limits, struct error *error);

/* Reads a COUNT alone, suffix included. 0, or -1 and why. */
int limit_count_parse(
    const char *string, enum limit_count count, uint64_t *number, struct error *error);

/* Expresses each window in the largest unit that gives the same length: 60 minutes as 1 hour. */
void limits_shorten(struct limits *limits);

/* Appends "100/hour", "10/2 hours" or "10MiB/day": limits_parse reads it as the same limit. */
void limit_format(const struct limit *limit, enum limit_count count, struct strbuf *text);

/* Appends all of them, separated by ", ". */
void limits_format(const struct limits *limits, enum limit_count count, struct strbuf *text);

/*
 * The name of a window in a counter's record, "1h" or "30d": appended, and read back.
 * limit_window_parse: 0, or -1 if string names no window.
 */
void limit_window_format(const struct limit_window *window, struct strbuf *text);
int limit_window_parse(const char *string, size_t length, struct limit_window *window);

#endif
