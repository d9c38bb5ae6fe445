/*
 * A counter's record: the bytes in the file to a struct and back. The only code
 * that knows the format, which policyd-ratelimit(8) documents. Pure: no file, no
 * clock, no hash of a name.
 *
 *   HEADER SLOT SLOT [LOG]
 *   header  "1 s12 r8 1h,1d|": version 1; strategy f, s and its resolution or m
 *           and the events that its log holds; m, r or b for what is counted and
 *           how many transactions are remembered; the windows.
 *   slot    SEQ STAMP DENIED FIRST LAST FLAGS COUNTS TRANSACTIONS CHECK|
 *   log     events of a moving window, a ring
 *
 * All numbers are in base 64, digits 0-9 A-Z a-z - _, most significant first, of
 * fixed width. The slot with the later SEQ and a good CHECK holds; a charge
 * writes the other one, so that a writer killed half way through leaves the
 * last state. The CHECK of a moving window's slot covers the newest event too:
 * the event and the slot that names it count together or not at all.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef RECORD_H
#define RECORD_H

#include "base/error.h"
#include "base/strbuf.h"
#include "count/event_log.h"
#include "count/limit.h"
#include "count/window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_TRANSACTIONS_MAX 64
#define RECORD_CHARGED_MAX 262143 /* 2^18-1: what a transaction was charged, at most */
#define RECORD_TRANSACTION_WIDTH 15
#define RECORD_HEADER_MAX 96

/* How a record is laid out: fixed for all keys of a rule. */
struct record_layout {
	enum strategy strategy;
	unsigned resolution; /* sliding-window only, else 0 */
	unsigned events; /* moving-window only, else 0: events that the log can hold */
	enum limit_count count;
	unsigned transactions; /* 1 to RECORD_TRANSACTIONS_MAX */
	unsigned windows;
	struct limit_window window[LIMITS_MAX];
};

/* What a counter remembers of a mail transaction. instance 0: none. */
struct record_transaction {
	uint64_t instance; /* 36 bits of a hash of Postfix's `instance` */
	uint64_t charged; /* up to RECORD_CHARGED_MAX; for bytes 1 = charged */
	uint64_t request; /* 36 bits of a hash of the last request that was charged */
};

#define RECORD_HASH_MASK ((UINT64_C(1) << 36) - 1)

struct record {
	struct record_layout layout;
	int64_t stamp_ms; /* the last change; 0: never used */
	uint64_t denied; /* refusals, until there has been none for a while: counter_deny */
	int64_t denied_first_s; /* when the first and the last of them were, 0: never */
	int64_t denied_s;
	bool warned[LIMITS_MAX]; /* windows whose warning was given */
	bool exception; /* the file may have an exception (exception.h) for the key */
	struct window window[LIMITS_MAX]; /* fixed and sliding: as of stamp_ms */

	/* How it stands in the file; for the functions here and record_migrate alone. */
	char header[RECORD_HEADER_MAX];
	size_t header_length; /* 0: not known yet, nor are the three below */
	uint64_t header_check;
	size_t slot_size;
	size_t size;
	uint64_t sequence;
	unsigned slot;
	uint64_t log_head; /* where the next event goes */
	uint64_t log_used; /* how many events are there */
	uint64_t log_total;
	const char *log_bytes;
	/* As digits, newest first: nearly all are only handed on. */
	char transactions[RECORD_TRANSACTIONS_MAX * RECORD_TRANSACTION_WIDTH];
};

/* Length in bytes of a record of this layout; the same for every key. */
size_t record_size(const struct record_layout *layout);

bool record_layout_same(const struct record_layout *a, const struct record_layout *b);

/* A record that nothing was charged to. It has no bytes yet: record_write makes them. */
void record_init(struct record *record, const struct record_layout *layout);

/*
 * Reads bytes, which must outlive the record if it is a moving window's. 0; or -1
 * and why: another version, a layout that can't be, no slot with a good check.
 */
int record_read(struct record *record, const char *bytes, size_t size, struct error *error);

/*
 * The same for a struct that is all zero or was used before: much faster if that had the
 * same layout.
 */
int record_read_again(struct record *record, const char *bytes, size_t size, struct error *error);

/* What it remembers of a transaction; false: nothing. */
bool record_transaction(
    const struct record *record, uint64_t instance, struct record_transaction *transaction);

/* Makes it the newest; the one that was not heard of for longest is forgotten for it. */
void record_remember(struct record *record, const struct record_transaction *transaction);

/* The log of a moving window as rate.h wants it; valid as long as the record and its bytes. */
struct event_log record_log(const struct record *record);

/*
 * Adds an event to a moving window's log, into bytes, which record was read
 * from and record_write goes to. The oldest event goes if the log is full. A cost
 * far over every limit of a moving window counts as less, so that all of them have a sum.
 */
void record_log_add(struct record *record, char *bytes, int64_t now_ms, uint64_t cost);

/*
 * Writes the state into the slot of bytes that record was not read from. Where
 * bytes are new, record_write_new must come before: it writes the header, empty
 * slots and an empty log. Both: record_size() bytes, no NUL.
 */
void record_write(struct record *record, char *bytes);
void record_write_new(struct record *record, char *bytes);

/*
 * Carries the state of an older layout over into a new record: the windows of the
 * same length, refusals, transactions. Where the strategy or the resolution
 * differs, a window's use counts as if it had all come at the last change; where
 * something else is counted, the counts start anew. bytes are the new record's,
 * from record_write_new.
 */
void record_migrate(const struct record *old, struct record *record, char *bytes);

/*
 * Forgets the oldest events of a log up to one that can't be, its stamp or sum falling: of
 * a file that holds pages of several moments. Whether there were any; record_write is due then.
 */
bool record_log_mend(struct record *record);

/* Whether bytes look like a record of a later version of the format. */
bool record_is_newer(const char *bytes, size_t size);

/* Whether a is of a later time than b, another copy of the same counter. */
bool record_is_later(const struct record *a, const struct record *b);

/* Empties the log, without writing to it. */
void record_log_forget(struct record *record);

/* Moves the stamps of a moving window's events that lie after now_ms to now_ms. */
void record_log_clamp(struct record *record, char *bytes, int64_t now_ms);

/* The layout as the header says it, without the '|'. */
void record_layout_format(const struct record_layout *layout, struct strbuf *text);

#endif
