/*
 * A counter's record: the bytes in the file to a struct and back. record.c and its parts are
 * the only code that knows the format, which doc/counter-file.md describes. Pure.
 *
 *   HEADER SLOT SLOT [LOG]
 *
 * Each slot holds a whole state, with a sequence number and a checksum. The valid slot with the
 * later number is current. A change is written into the other slot, so a writer that is killed
 * half way through leaves the current state intact. The checksum of a moving window's
 * slot covers the newest event of the log too: the event and the slot that names it count
 * together or not at all.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef RECORD_H
#define RECORD_H

#include "base/error.h"
#include "base/strbuf.h"
#include "count/limit.h"
#include "count/window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Places for transactions: how many a record has at first, and how many it grows to. */
#define RECORD_TRANSACTIONS_MIN 3
#define RECORD_TRANSACTIONS_MAX 64
#define RECORD_CHARGED_MAX ((1 << 30) - 1) /* what a transaction was charged, at most */
#define RECORD_TRANSACTION_WIDTH 52
#define RECORD_HEADER_MAX 128
#define RECORD_CLIENT_BYTES 16
#define RECORD_EVENTS_MAX 10000 /* the largest limit of a moving window */

/*
 * How a record is laid out. It follows from the rule; but a record that needs more places for
 * transactions than others gets them.
 */
struct record_layout {
	bool old; /* version 2 of the format, which is read, and written in place */
	enum strategy strategy;
	unsigned resolution; /* sliding-window only, else 0 */
	unsigned events; /* moving-window only, else 0: places in the log; one stays unused */
	enum limit_count count;
	unsigned transactions; /* 1 to RECORD_TRANSACTIONS_MAX */
	unsigned windows;
	struct limit_window window[LIMITS_MAX];
};

/* What a transaction was charged at a moment. */
struct record_payment {
	uint64_t amount; /* up to RECORD_CHARGED_MAX */
	int64_t at_ms;
};

/* What a counter remembers of a mail transaction. instance 0: none. */
struct record_transaction {
	uint64_t instance; /* RECORD_INSTANCE_MASK of a hash of Postfix's `instance` */
	uint64_t request; /* RECORD_REQUEST_MASK of a hash of the last request */
	int64_t at_ms; /* when that came first */
	bool denied; /* the last request was charged although it was denied */
	bool counted; /* the last request is part of charged */
	bool ended; /* END-OF-MESSAGE was allowed */
	bool over; /* a later transaction came on the same connection; set by record_remember */
	uint64_t charged; /* for requests that were allowed; up to RECORD_CHARGED_MAX */
	/* The last charge; and all before, as of the first of them that may still count. */
	struct record_payment paid[2];
	uint64_t connection; /* RECORD_CONNECTION_MASK of a number; 0: unknown */
};

#define RECORD_INSTANCE_MASK ((UINT64_C(1) << 36) - 1)
#define RECORD_REQUEST_MASK ((UINT64_C(1) << 30) - 1)
#define RECORD_CONNECTION_MASK ((UINT64_C(1) << 24) - 1)

struct record {
	struct record_layout layout;
	int64_t stamp_ms; /* the last change; 0: never used */
	uint64_t denied; /* denials, until there was none for a while: see counter_deny */
	int64_t denied_first_s; /* when the first and the last of them were; 0: never */
	int64_t denied_s;
	/* Who got the last one: IPv6, or IPv4 as ::ffff:a.b.c.d; all zero: unknown. */
	uint8_t denied_client[RECORD_CLIENT_BYTES];
	bool warned[LIMITS_MAX]; /* windows whose warning was given */
	bool exception; /* the file may have an exception (exception.h) for the key */
	struct window window[LIMITS_MAX]; /* fixed and sliding: as of stamp_ms */

	/* Private to record*.c: how it is stored. */
	size_t header_length;
	uint64_t header_check;
	size_t slot_size;
	uint64_t sequence;
	unsigned slot;
	uint64_t log_head; /* place of the next event */
	uint64_t log_events; /* number of events */
	uint64_t log_total; /* sum of the costs of all events ever; wraps around */
	const char *log_bytes;
	/* As in the file, newest first: most of them are only copied. */
	char transactions[RECORD_TRANSACTIONS_MAX * RECORD_TRANSACTION_WIDTH];
};

/* Length in bytes of a record of this layout. */
size_t record_size(const struct record_layout *layout);

/* But for the number of transactions. */
bool record_layout_same(const struct record_layout *a, const struct record_layout *b);

/*
 * Adds to a layout the windows of limits that it does not have yet, and room for a moving window's
 * events. window[i] becomes the index in the layout of the window of limit i. 0, or -1 and why: too
 * many windows, or a limit above what a moving window remembers.
 */
int record_layout_add(struct record_layout *layout, const struct limits *limits,
    unsigned window[LIMITS_MAX], struct error *error);

/* Index of a window that counts for this one (window_same); -1 if the layout has none. */
int record_layout_window(const struct record_layout *layout, const struct limit_window *window);

/* Makes an empty record without bytes; record_write_new makes those. */
void record_init(struct record *record, const struct record_layout *layout);

/*
 * Reads a record. bytes must outlive it if it is a moving window's. 0; or -1 and why: another
 * version, an impossible layout, no slot with a good checksum.
 */
int record_read(struct record *record, const char *bytes, size_t size, struct error *error);

/*
 * As record_read, for a record that is all zero or was read or made before: faster if it has the
 * same layout again.
 */
int record_read_again(struct record *record, const char *bytes, size_t size, struct error *error);

/* Finds a transaction that the record remembers; false if it does not. Not for old layouts. */
bool record_transaction(
    const struct record *record, uint64_t instance, struct record_transaction *transaction);

/*
 * Whether the record can remember the transaction, at record->stamp_ms, without forgetting one
 * that may be under way. Always true if it can't grow any more.
 */
bool record_has_place(const struct record *record, uint64_t instance);

/*
 * Makes a transaction the newest, and marks others of its connection as over. If there is no
 * place, one is forgotten: the oldest of those that are finished, or else of all. False: nothing
 * has changed that needs to be written.
 */
bool record_remember(struct record *record, const struct record_transaction *transaction);

/* Forgets when transactions paid: that does not count any more. */
void record_forget_payments(struct record *record);

/* Copies the transactions of another record, as many as there are places. */
void record_migrate_transactions(const struct record *old, struct record *record);

/* An event in the log of a moving window, and the sum of the costs of all events before it. */
struct event {
	int64_t stamp_ms;
	uint64_t before;
};

/* Event i of log_events, 0 the oldest. Stamps never fall; before is at most log_total. */
struct event record_event(const struct record *record, size_t i);

/* By the log: what is used of a window of length_ms at record->stamp_ms. Time: O(log events). */
uint64_t record_log_used(const struct record *record, int64_t length_ms);

/*
 * By the log: milliseconds from record->stamp_ms until used + cost <= limit; 0 = now,
 * WINDOW_NEVER if cost > limit. Time: O(log events).
 */
int64_t record_log_wait(
    const struct record *record, int64_t length_ms, uint64_t limit, uint64_t cost);

/*
 * Adds an event to a moving window's log, in bytes, which the record was read from and
 * record_write will write to. If the log is full the oldest event is dropped. A cost far over
 * every possible limit is lowered, so that the sum of a full log stays in range.
 */
void record_log_add(struct record *record, char *bytes, int64_t now_ms, uint64_t cost);

/*
 * Removes up to amount of what was charged at at_ms from a moving window's log, in bytes; then
 * the whole record must be written at once, since the other slot's events change too.
 */
void record_log_take(struct record *record, char *bytes, int64_t at_ms, uint64_t amount);

/*
 * Both write to bytes, record_size() long, without a NUL. record_write writes the state into
 * the slot that the record was not read from. record_write_new writes all bytes of a record that
 * is as record_init made it, but for exception.
 */
void record_write(struct record *record, char *bytes);
void record_write_new(struct record *record, char *bytes);

/*
 * Copies the state of a record into a new one of another layout: windows of the same length,
 * denials, transactions. If the strategy or the resolution differs, what is used of a window
 * counts as charged at the last change. If something else is counted, the windows start empty.
 * bytes are the new record's, from record_write_new.
 */
void record_migrate(const struct record *old, struct record *record, char *bytes);

/*
 * Drops events from a log whose pages are of different moments: the newest impossible event
 * (its stamp or its sum falls) and all older ones. Returns whether there were any; then
 * record_write must follow.
 */
bool record_log_repair(struct record *record);

/* Whether bytes look like a record of a later version of the format. */
bool record_is_newer(const char *bytes, size_t size);

/* Whether a was written later than b, another copy of the same counter. */
bool record_is_later(const struct record *a, const struct record *b);

/* Sets the stamps of events after now_ms to now_ms, in bytes. */
void record_log_clamp(struct record *record, char *bytes, int64_t now_ms);

/* Appends the layout as the header has it, without the '|'. */
void record_layout_format(const struct record_layout *layout, struct strbuf *text);

#endif
