/*
 * Limits as an administrator writes them, "100/hour, 500/day", to numbers and
 * back. Knows nothing of counters, rules or files.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef LIMIT_H
#define LIMIT_H


#include "base/error.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

/* What is counted: a rule's `count`. */
enum limit_count { COUNT_MESSAGES, COUNT_RECIPIENTS, COUNT_BYTES };

enum limit_unit { UNIT_SECOND, UNIT_MINUTE, UNIT_HOUR, UNIT_DAY, UNIT_WEEK, UNIT_MONTH, UNIT_YEAR };

#define LIMITS_MAX 8 /* windows of one rule */
#define LIMIT_UNITS_MAX 10000 /* the N of "100/N days" */
#define LIMIT_COUNT_MAX 68719476735 /* 2^36-1 messages or recipients */
#define LIMIT_BYTES_MAX 18014398509481983 /* 2^54-1 bytes */
#define LIMIT_UNLIMITED UINT64_MAX
#define LIMIT_TEXT_SIZE 64 /* fits any one limit, terminated */

/* n units; length_ms takes a month as 30 days and a year as 365. */
struct limit_window {
	unsigned n;
	enum limit_unit unit;
	int64_t length_ms;
};

struct limit {
	uint64_t count; /* LIMIT_UNLIMITED: counted, never refused */
	struct limit_window window;
};

/* What `limit = …` says: some windows, or one of the words that need none. */
struct limits {
	enum { LIMITS_WINDOWS, LIMITS_UNLIMITED, LIMITS_DENY } kind;
	unsigned n;
	struct limit at[LIMITS_MAX];
};

/*
 * Reads "COUNT [/ or per] [N] UNIT", several separated by ',' or '|', or a word
 * alone. count decides which suffixes a number may have. 0, or -1 and why.
 * Where every limit is 0 the kind is LIMITS_DENY.
 */
int limits_parse(
    const char *string, enum limit_count count, struct limits *limits, struct error *error);

/* Reads a COUNT alone, suffix included. 0, or -1 and why. */
int limit_count_parse(
    const char *string, enum limit_count count, uint64_t *number, struct error *error);

/* Writes windows in the largest unit that gives the same length: "60 minutes" is an hour. */
void limits_shorten(struct limits *limits);

/* "100/hour", "10/2 hours", "10MiB/day": reads back as the same limit. */
void limit_format(const struct limit *limit, enum limit_count count, struct strbuf *text);

/* All of them, separated by ", ". */
void limits_format(const struct limits *limits, enum limit_count count, struct strbuf *text);

/* "1h", "30d", and back: the name of a window in a counter's record. -1: no such window. */
void limit_window_format(const struct limit_window *window, struct strbuf *text);
int limit_window_parse(const char *string, size_t length, struct limit_window *window);

/* Milliseconds of a unit by its name, "hour", "hours" or "h"; 0 if it is none. */
int64_t limit_unit_ms(const char *word, size_t length);

/* A duration as a person says it, rounded up: "35s", "12m", "3h", "2d". */
void duration_format(int64_t ms, struct strbuf *text);

#endif
