/*
 * What the unit tests share: a check that names its case, random numbers that are
 * the same in every run, and a window that is too slow to be wrong.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "count/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(table) (sizeof(table) / sizeof(*(table)))

/* Fails the test unless condition holds; what follows it is as for printf. */
#define check(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fail_msg(__VA_ARGS__);                                                     \
		}                                                                                  \
	} while (0)

#define check_string(got, expected, name)                                                          \
	check(strcmp(got, expected) == 0, "%s: expected \"%s\", got \"%s\"", name, expected, got)

/* Says on stdout, for TAP a comment, which seed a test starts from, and returns it. */
static inline uint64_t random_seed(const char *what, uint64_t seed)
{
	print_message("# %s: seed %llu\n", what, (unsigned long long)seed);
	return seed;
}

/* xorshift64*; *state is the seed at first, not 0. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static inline uint64_t random_below(uint64_t *state, uint64_t n)
{
	return (random_next(state) >> 8) % n;
}

/*
 * An obviously right moving window: remembers every event, in the order of their
 * stamps, and looks at all of them each time.
 */
#define SLOW_EVENTS 1000

struct slow_log {
	struct {
		int64_t at_ms;
		uint64_t cost;
	} event[SLOW_EVENTS];
	size_t events;
};

static inline void slow_add(struct slow_log *log, int64_t now_ms, uint64_t cost)
{
	check(log->events < SLOW_EVENTS, "the test has more than %d events", SLOW_EVENTS);
	log->event[log->events].at_ms = now_ms;
	log->event[log->events++].cost = cost;
}

static inline uint64_t slow_used(const struct slow_log *log, int64_t length_ms, int64_t now_ms)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < log->events; i++) {
		sum += log->event[i].at_ms + length_ms > now_ms ? log->event[i].cost : 0;
	}
	return sum;
}

/* Until cost fits, which must be within the limit: now, or when some event leaves. */
static inline int64_t slow_wait(
    const struct slow_log *log, int64_t length_ms, int64_t now_ms, uint64_t limit, uint64_t cost)
{
	int64_t wait_ms = 0;

	for (size_t i = 0; slow_used(log, length_ms, now_ms + wait_ms) + cost > limit; i++) {
		int64_t leaves_ms = log->event[i].at_ms + length_ms - now_ms;

		wait_ms = leaves_ms > wait_ms ? leaves_ms : wait_ms;
	}
	return wait_ms;
}

/* The next moment: mostly soon, sometimes much later, or just when a wait is over. */
static inline int64_t next_moment(uint64_t *seed, int64_t length_ms, int64_t wait_ms)
{
	switch (random_below(seed, 8)) {
	case 0:
		return (int64_t)random_below(seed, (uint64_t)length_ms * 2);
	case 1:
		return length_ms;
	case 2:
		return wait_ms != WINDOW_NEVER ? wait_ms : 0;
	default:
		return (int64_t)random_below(seed, (uint64_t)length_ms / 8);
	}
}

/* The layout whose header is "3 s12 m8 1h,1d", or the like: see record.h. */
static inline struct record_layout layout_of(const char *header)
{
	struct record_layout layout = {.old = header[0] == '2'};
	char strategy = header[2], count = 'm', windows[64] = "", *next = windows;
	unsigned number = strategy == 'f' ? 0 : (unsigned)atoi(header + 3);
	const char *name;

	sscanf(strchr(header + 2, ' '), " %c%u %63s", &count, &layout.transactions, windows);
	layout.strategy = strategy == 'f' ? STRATEGY_FIXED
	    : strategy == 's'             ? STRATEGY_SLIDING
					  : STRATEGY_MOVING;
	layout.resolution = strategy == 's' ? number : 0;
	layout.events = strategy == 'm' ? number : 0;
	layout.count = count == 'm' ? COUNT_MESSAGES
	    : count == 'r'          ? COUNT_RECIPIENTS
				    : COUNT_BYTES;
	while ((name = strsep(&next, ","))) {
		limit_window_parse(name, strlen(name), &layout.window[layout.windows++]);
	}
	return layout;
}

/* A record without use, and its bytes. */
static inline void new_record(struct record *record, const char *header, char *bytes)
{
	struct record_layout layout = layout_of(header);

	record_init(record, &layout);
	record_write_new(record, bytes);
}

#endif
