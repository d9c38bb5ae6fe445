/*
 * The store: records of bytes under keys, shared by many processes. What the bytes mean is the
 * callers' business. A location chooses the backend: a path is a TDB file, "memory:" is private
 * to the process.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef STORE_H
#define STORE_H

#include "base/error.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct store;
struct store_txn;

/* Records that one update can have. */
#define STORE_ITEMS_MAX 64

enum store_access {
	STORE_CREATE, /* reads and writes; makes the database if it is absent */
	STORE_WRITE, /* reads and writes a database that exists */
	STORE_READ, /* changes nothing; read permission is enough */
};

struct store_options {
	mode_t mode; /* of the file, whatever the umask */
	uint64_t max_size; /* in bytes; an insert that needs more is STORE_FULL */
	int64_t lock_timeout_ms; /* longest wait of one call for other processes */
	enum store_access access;
	bool rescue; /* save what can be read of a damaged database; else damage is an error */
};

/* What the store has to know about the records that it holds. Its functions are pure. */
struct store_codec {
	/* Whether a record can be used, possibly after a repair of bytes in place. */
	bool (*repair)(const char *key, size_t key_length, char *data, size_t size);
	/* Of two copies of a record that repair accepted: whether a is of a later time than b. */
	bool (*newer)(const char *a, size_t a_size, const char *b, size_t b_size);
	/*
	 * Whether anybody still needs the record at now_ms. May change bytes in place, for
	 * instance after the clock was set back.
	 */
	bool (*keep)(const char *key, size_t key_length, char *data, size_t size, int64_t now_ms);
};

enum store_result {
	STORE_OK,
	STORE_FULL, /* no room for a new key within max_size, or on the disk */
	STORE_BUSY, /* another process holds a lock for longer than lock_timeout_ms */
	STORE_FORBIDDEN, /* no permission to open the database */
	STORE_ABSENT, /* there is no database, and access does not say to make one */
	STORE_DAMAGED, /* a record can't be used; only change functions return it */
	STORE_ERROR, /* the database can't be used */
	STORE_STOP, /* a change function returned it: nothing is written */
};

/* One record of an update. */
struct store_item {
	/* Set by the caller; valid until the update ends. */
	const char *key;
	size_t key_length;
	const char *initial; /* what an absent record stands for; NULL: no bytes */
	size_t initial_size;

	/* Set by the store for the change function. */
	bool exists;
	char *data; /* a private copy, of initial if the record is absent; edited in place */
	size_t size;

	/* Set by the change function; KEEP before it is called. */
	enum {
		STORE_KEEP,
		/*
		 * data, of unchanged size, takes the place of the record. Cheap, but a process
		 * that is killed meanwhile may leave any part of the new bytes written: the
		 * record's format has to bear that. An absent record appears with its initial
		 * bytes first.
		 */
		STORE_PATCH,
		STORE_REPLACE /* the whole record changes at once, possibly its size */
	} action;
	int64_t expires_ms; /* the moment after which nobody needs the record; 0: never */
};

/*
 * Turns old records into new ones. May be called several times for one update, so it has no
 * effect but on the items and on what it can set anew from the start; it prints nothing. It
 * takes the time from store_txn_now_ms, and other records from store_txn_get alone.
 * Returns STORE_OK, and then the items are written; STORE_STOP; or, with the reason in the error
 * that store_update was given, STORE_DAMAGED if a record can't be used: then a rescue follows,
 * if the options allow it, and another call.
 */
typedef enum store_result store_change(
    void *data, struct store_txn *txn, struct store_item *item, size_t items);

/* The database's clock: milliseconds since the epoch, the same during one call of a function. */
int64_t store_txn_now_ms(struct store_txn *txn);

/*
 * Another record than those of the update: a copy that lasts until the next store_txn_get. NULL
 * if there is none, or no memory for it; then the update or walk fails. A process that writes such
 * a record names in the same update one of the records that this update names, so that it can't
 * change meanwhile.
 */
const char *store_txn_get(struct store_txn *txn, const char *key, size_t key_length, size_t *size);

/* Gives item->data another size; the bytes that fit remain. 0, or -1 if out of memory. */
int store_txn_resize(struct store_txn *txn, struct store_item *item, size_t size);

/*
 * Whether a record may grow to that size only because that is better: that does not bring the
 * database near max_size, and the disk is not full.
 */
bool store_txn_has_room(struct store_txn *txn, size_t size);

/*
 * A store at a location, which is copied. Nothing is opened before it is needed. codec and what
 * it points at must outlive the store. NULL and why: no such backend, or out of memory.
 */
struct store *store_open(const char *location, const struct store_options *options,
    const struct store_codec *codec, struct error *error);
void store_close(struct store *store);

/*
 * For tests and what-if questions: the time of a store at "memory:", in milliseconds since the
 * epoch, until the next call. 0: the real clock.
 */
void store_memory_set_clock(struct store *store, int64_t now_ms);

/*
 * Reads the records of all keys, which differ, calls change, and writes what it changed: all of
 * it or, if anything fails, nothing. While change runs nobody else changes these records.
 */
enum store_result store_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error);

/*
 * Whether the absent records of an update whose change function left them with the action
 * STORE_PATCH, but returned STORE_STOP, could be inserted now. STORE_FULL and why: they can't.
 * Changes nothing. May take as long as a copy of the database.
 */
enum store_result store_fits(
    struct store *store, struct store_item *item, size_t items, struct error *error);

/*
 * Calls visit for every record, one after the other, without holding up other processes; record
 * is a copy. Ends early if visit returns false. Records that are added or removed meanwhile may
 * be visited or not.
 */
typedef bool store_visit(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *record, size_t size);
enum store_result store_walk(
    struct store *store, store_visit *visit, void *data, struct error *error);

/* A record to add. */
struct store_record {
	const char *key;
	size_t key_length;
	const char *data;
	size_t size;
};

/*
 * Removes records and adds others: all of it, or nothing. keep is called for every record; false
 * removes it; it may change bytes in place. next gives the records to add, number i from 0, until
 * it returns false; valid until its next call. Both may be called again from the start.
 */
struct store_import {
	bool (*keep)(void *data, const char *key, size_t key_length, char *record, size_t size);
	bool (*next)(void *data, size_t i, struct store_record *record);
	void *data;
};

/* STORE_FULL: the records to add need more than max_size. */
enum store_result store_import(
    struct store *store, const struct store_import *import, struct error *error);

/* Removes records that nobody needs any more. */
struct store_maintenance {
	bool only_if_due; /* do nothing unless it pays now, or while another process does it */
	void (*step)(void *data, size_t records); /* for progress; NULL: none */
	void *data;

	/* Set by the store; all 0 if nothing was done. */
	size_t records;
	size_t kept;
	uint64_t size_before; /* in bytes */
	uint64_t size_after;
};
enum store_result store_maintain(
    struct store *store, struct store_maintenance *maintenance, struct error *error);

/*
 * A key for hash_keyed() that all users of the database share and nobody else knows. Points
 * into the store; may change with the next call.
 */
enum store_result store_secret(struct store *store, const uint8_t **secret, struct error *error);

/* Bytes that the database occupies. */
enum store_result store_size(struct store *store, uint64_t *bytes, struct error *error);

/*
 * Makes the next call check whether an administrator has replaced the database. A process that
 * keeps running calls it several times a second.
 */
void store_recheck(struct store *store);

/* What was done about damage, to be logged once; valid until the next call. NULL: nothing. */
const char *store_notice(struct store *store);

#endif
