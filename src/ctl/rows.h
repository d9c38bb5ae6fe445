/*
 * The counters as rows, one for each window of a counter, for show, top, report and metrics.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_ROWS_H
#define CTL_ROWS_H

#include "base/error.h"
#include "base/hash.h"
#include "ctl/common.h"
#include "match/netaddr.h"

struct row {
	const struct rule *rule;
	struct limit limit;
	size_t counter; /* its number: from 0, without gaps */
	unsigned window; /* its place among those of the counter, for the order */
	const char *source; /* where the limit comes from: "rule", "override" or "set" */
	char *key; /* made printable; shared by the rows of a counter, owned by the first */
	bool owns_key;
	uint64_t used;
	uint64_t percent; /* of the limit */
	uint64_t denied; /* number of denials */
	int64_t denied_first_s; /* when the first and the last denial were */
	int64_t denied_s;
	char denied_client[NETADDR_TEXT_SIZE]; /* client address of the last denial; "": unknown */
	int64_t wait_ms; /* until there is room for one more; WINDOW_NEVER */
	int64_t last_s; /* last change */
};

enum rows_order { ROWS_BY_PERCENT, ROWS_BY_USED, ROWS_BY_KEY, ROWS_BY_LAST, ROWS_ORDERS };

/* Names of the orders, as --sort takes them. */
extern const char *const rows_order_names[ROWS_ORDERS];

/* Which rows are wanted, and the rows found. Zero it, then set what is wanted. */
struct rows {
	const struct rule *rule; /* NULL: all */
	const char *glob; /* for keys; NULL: all */
	uint64_t over_percent;
	enum rows_order order;
	struct error *error; /* where an error of the store goes; NULL: it is printed */
	bool quiet; /* does not print a warning for each damaged record */

	int64_t now_ms;
	struct row *row;
	size_t rows;
	size_t counters;
	size_t damaged; /* records that could not be read */

	struct ctl *ctl; /* private */
	uint8_t secret[HASH_KEY_BYTES]; /* private */
};

/* Sets what --over and --sort say; NULL: the option is absent. 0, or EX_USAGE after a message. */
int rows_options(struct rows *rows, const char *over, const char *sort);

/*
 * Reads all counters, locking one at a time, and sorts the rows. Returns an exit status; if it is
 * not 0, the error was printed or is in *rows->error. rows_free in any case; after it, the rows
 * may be read again.
 */
int rows_read(struct ctl *ctl, struct rows *rows);
void rows_free(struct rows *rows);

/* Sorts again, after rows->order was changed. */
void rows_sort(struct rows *rows);

#endif
