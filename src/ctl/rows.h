/*
 * What the counters hold, as rows: one for each window of a counter. What show, top and
 * metrics have in common.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_ROWS_H
#define CTL_ROWS_H

#include "base/error.h"
#include "base/strbuf.h"
#include "ctl/main.h"

struct ctl_row {
	const struct rule *rule;
	struct limit limit;
	unsigned window; /* its place among the counter's, for the order */
	const char *source; /* where the limit comes from: "rule", "override" or "set" */
	char *key; /* made printable; one for all rows of a counter, owned by the first */
	bool owns_key;
	uint64_t used;
	uint64_t percent; /* of the limit */
	uint64_t denied; /* refusals, and when the first and the last of them were */
	int64_t denied_first_s;
	int64_t denied_s;
	int64_t wait_ms; /* until there is room for one more; WINDOW_NEVER */
	int64_t last_s; /* last change */
};

enum ctl_order { CTL_BY_PERCENT, CTL_BY_USED, CTL_BY_KEY, CTL_BY_LAST, CTL_ORDERS };

/* Names of the orders, as --sort takes them. */
extern const char *const ctl_order_names[CTL_ORDERS];

/* Which rows are wanted, and those that were found. Zero it but for what is wanted. */
struct ctl_rows {
	const struct rule *rule; /* NULL: all */
	const char *glob; /* of keys; NULL: all */
	uint64_t over_percent;
	enum ctl_order order;
	struct error *error; /* where the store's error goes; NULL: it is printed */

	int64_t now_ms;
	struct ctl_row *row;
	size_t rows;
	size_t counters;
	size_t damaged; /* records that could not be read; each was complained of */

	/* Of the function's own. */
	struct ctl *ctl;
	size_t room;
	bool quiet; /* does not complain */
};

/*
 * Reads all counters, each under its own lock alone, and sorts the rows. An exit status;
 * what was wrong has been said. ctl_rows_free in any case. May be called again after that.
 */
int ctl_rows_read(struct ctl *ctl, struct ctl_rows *rows);
void ctl_rows_free(struct ctl_rows *rows);

/* Sorts again, after another order was set. */
void ctl_rows_sort(struct ctl_rows *rows);

/* The options --rule, --key, --over and --sort; others are for other. 0, or an exit status. */
int ctl_rows_option(
    struct ctl *ctl, struct ctl_rows *rows, int option, const char *argument, const char *command);

/* getopt_long's table entries for the above. */
#define CTL_ROWS_OPTIONS                                                                           \
	{"rule", required_argument, NULL, 'r'}, {"key", required_argument, NULL, 'k'},             \
	    {"over", required_argument, NULL, 'o'},                                                \
	{                                                                                          \
		"sort", required_argument, NULL, 's'                                               \
	}

/* Cells that people read: "12 rcpt", "1.5 MiB"; "[####    ]"; "now", "in 5m", "never"; "3m ago". */
#define CTL_BAR_WIDTH 10
void ctl_format_used(uint64_t used, enum limit_count count, struct strbuf *text);
void ctl_format_bar(uint64_t percent, struct strbuf *text);
void ctl_format_wait(int64_t wait_ms, struct strbuf *text);
void ctl_format_age(int64_t now_ms, int64_t then_s, struct strbuf *text);

#endif
