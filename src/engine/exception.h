/*
 * An exception: what `set` and `grant` keep in the database for one key, in a record beside the
 * key's counter, to bytes and back. Pure.
 *
 *   key     ":set:" and the counter's, RULE:KEY
 *   record  "1 CHANGED UNTIL LIMITS|UNTIL +N|...|CHECK": version 1; when it was made, in
 *           milliseconds since the epoch; until when the limits hold, in seconds since the
 *           epoch, 0 for good; the limits as policyd-ratelimit.conf(5) has them, "-" for none;
 *           the grants; 11 digits of a checksum.
 *
 * A counter's record says whether to look for one (record.h), so that keys without an exception
 * cost nothing more.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef EXCEPTION_H
#define EXCEPTION_H

#include "base/error.h"
#include "base/strbuf.h"
#include "count/limit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXCEPTION_PREFIX ":set:"
#define EXCEPTION_GRANTS_MAX 8
#define EXCEPTION_LIMITS_SIZE (LIMITS_MAX * (LIMIT_TEXT_SIZE + 2))
#define EXCEPTION_SIZE_MAX (EXCEPTION_LIMITS_SIZE + EXCEPTION_GRANTS_MAX * 44 + 64)

struct exception {
	int64_t changed_ms; /* of two copies in a damaged file, the later one holds */
	char limits[EXCEPTION_LIMITS_SIZE]; /* instead of the file's; "" for none */
	int64_t until_s; /* of limits; 0: for good */
	struct exception_grant {
		int64_t until_s;
		uint64_t count; /* more in each window */
	} grant[EXCEPTION_GRANTS_MAX];
	unsigned grants;
};

/* 0, or -1 and why. */
int exception_read(
    struct exception *exception, const char *bytes, size_t size, struct error *error);

/* Whether bytes look like a record of a later version of the format. */
bool exception_is_newer(const char *bytes, size_t size);

/* Appends the record's bytes, at most EXCEPTION_SIZE_MAX. */
void exception_format(const struct exception *exception, struct strbuf *text);

/* Drops what has expired at now_s. Whether anything is left. */
bool exception_prune(struct exception *exception, int64_t now_s);

/* Adds a grant; -1 if there are EXCEPTION_GRANTS_MAX already. */
int exception_grant(struct exception *exception, int64_t until_s, uint64_t count);

/* The sum of its grants. */
uint64_t exception_granted(const struct exception *exception);

/* Appends the key of the exception beside the counter with that key. */
void exception_key(struct strbuf *text, const char *counter_key, size_t length);

/* The counter's key within such a key, and its length; NULL if it is another key. */
const char *exception_counter_key(const char *key, size_t length, size_t *counter_length);

#endif
