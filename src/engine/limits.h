/*
 * The effective limits of a key: those of the rule or of an override in the configuration, and
 * the exceptions that the database has for the key (exception.h). Compiled once, so that judging
 * a request parses nothing. The helper and the ctl both ask here.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef EFFECTIVE_LIMITS_H
#define EFFECTIVE_LIMITS_H

#include "config/config.h"
#include "engine/exception.h"
#include "store/store.h"

/*
 * What holds for a key, and the layout of its counter, which has all windows of the rule and those
 * of these limits.
 */
struct effective {
	struct limits limits;
	struct record_layout layout;
	unsigned window[LIMITS_MAX]; /* for each limit, the index of its window in layout */
	char *initial; /* the record of a new counter; NULL without windows */
	size_t initial_size;
	/*
	 * The largest limit that an exception asks for above what a moving window's records have
	 * room for, which holds instead; 0: none does.
	 */
	uint64_t wanted;
};

/* The effective limits of all keys of a configuration. */
struct effective_limits;

/* config must outlive them. NULL if out of memory. */
struct effective_limits *effective_limits_new(const struct config *config);
void effective_limits_free(struct effective_limits *limits);

/* By the configuration alone. Without an override, NULL, the rule's own limits. */
const struct effective *effective_limits_of_file(const struct effective_limits *limits,
    const struct rule *rule, const struct override *override);

/*
 * With an exception in addition to what the file has for the key. Valid until
 * effective_limits_trim. NULL and why: the exception does not fit this configuration, or out of
 * memory.
 */
const struct effective *effective_limits_with(struct effective_limits *limits,
    const struct rule *rule, const struct effective *file, const struct exception *exception,
    struct error *error);

/*
 * Whether these limits are all that an exception asks for. 0, or -1 and why they are not: then an
 * administrator should not be told that the exception holds.
 */
int effective_limits_check(const struct effective *effective, struct error *error);

/* Forgets the effective limits of exceptions if they are many. */
void effective_limits_trim(struct effective_limits *limits);

/*
 * The exception beside the counter with that key, without what has expired. False if there is
 * none that can be used. *kept, unless NULL: the database has one that may be in force later, when
 * the clock is set back or a newer version reads it.
 */
bool effective_limits_find_exception(struct store_txn *txn, const char *counter_key, size_t length,
    struct exception *exception, bool *kept);

#endif
