/*
 * The counter file: one TDB that many processes share. Stores bytes under keys;
 * what they mean is its callers' business. The only includer of <tdb.h>.
 *
 * In normal work nothing is deleted and nothing changes its length: an update
 * overwrites in place under the lock of the key's hash chain, a new key is
 * inserted under it. A rewrite gets rid of things: what is alive is copied into
 * PATH.new, which then takes PATH's name; others notice, once they have a lock,
 * that the name stands for another file, and open that.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef STORE_H
#define STORE_H


#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct store;

enum store_access {
	STORE_CREATE, /* reads and writes; a file that is absent is made */
	STORE_WRITE, /* reads and writes a file that is there */
	STORE_READ, /* changes nothing; read permission will do */
};

/*
 * What the store asks about records when it saves what can be read of a damaged file.
 * mend: whether a record can be used, after bytes within it were set right where need be.
 * newer: which of two that can be used, of the same key, is of the later time.
 */
struct store_salvage {
	bool (*mend)(const char *key, size_t key_length, char *record, size_t size);
	bool (*newer)(const char *a, size_t a_size, const char *b, size_t b_size);
};

/* path is used until store_close; it is not copied. */
struct store_options {
	const char *path;
	mode_t mode; /* of the file, whatever the umask */
	uint64_t max_size; /* in bytes; an insert that would need more is refused */
	int64_t lock_timeout_ms; /* longest wait of one call for other processes */
	enum store_access access;
	const struct store_salvage *salvage; /* NULL: a damaged file is an error */
};

enum store_result {
	STORE_OK,
	STORE_FULL, /* no room for a new key within max_size, or on the disk */
	STORE_BUSY, /* another process holds a lock for longer than lock_timeout */
	STORE_FORBIDDEN, /* permission to open the file is missing */
	STORE_ABSENT, /* there is no file, and access does not say to make one */
	STORE_DAMAGED, /* a record, or the file, is damaged; an error where it is not salvaged */
	STORE_ERROR, /* the file can't be used */
	STORE_STOP, /* the caller's function said so */
};

/* One of the records of an update. */
struct store_item {
	/* Set by the caller. */
	const char *key;
	size_t key_length;
	/*
	 * Set by the store: whether there is a record, and a copy of it, to be changed in
	 * place. For a new one the caller's function sets data, and empty: bytes of the same
	 * size for a first step, since a process may be killed after any. Both are its own.
	 */
	bool stored;
	char *data;
	size_t size;
	const char *empty;
	/*
	 * Set by the caller's function. changed: data is to be written. Where the length
	 * must change, or bytes other than those of one slot, replacement is what is
	 * written instead of data, in a transaction; the function's until the update ends.
	 */
	bool changed;
	const char *replacement;
	size_t replacement_size;
};

/* Turns the old records into the new ones. May be called several times for one update. */
typedef enum store_result store_change(void *data, struct store_item *item, size_t items);

/* A new store; the file is opened when it is first needed. NULL if out of memory. */
struct store *store_new(const struct store_options *options);
void store_close(struct store *store);

/*
 * The next update finds out what the file's name stands for, even if the kernel has told of no
 * change in its folder: a process that goes on calls it several times a second, for the changes
 * that the kernel can't tell of.
 */
void store_look_again(void);

/* What has been done to a damaged file, to be logged once; NULL, or until the next call. */
const char *store_notice(struct store *store);

/*
 * Reads the records of all keys, which must differ, under their locks, calls change,
 * and writes what it changed: all or, if anything fails, none. A process that is
 * killed meanwhile leaves each record as it was or as it was to be. Where change returns
 * STORE_DAMAGED, since a record can't be used, the file is salvaged and change called anew.
 */
enum store_result store_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error);

/*
 * Copies another record than those of the update, or of the visit, that it is called from;
 * false if there is none, or it doesn't fit. It takes no lock: whoever writes that record
 * must hold, by naming it in the same update, one of those that are locked here.
 */
bool store_look(struct store *store, const char *key, size_t key_length, char *buffer, size_t room,
    size_t *size);

/*
 * Calls visit for every record, one after the other, under no more than its own
 * chain's lock; data is a copy. Stops where visit returns false. Records that
 * come or go meanwhile may be seen or not.
 */
typedef bool store_visit(
    void *data, const char *key, size_t key_length, const char *record, size_t size);
enum store_result store_walk(
    struct store *store, store_visit *visit, void *data, struct error *error);

/*
 * A key for hash_keyed() that all processes on this file share and nobody else
 * knows. Points into the store, where it may change with the next call; opens the
 * file if need be.
 */
enum store_result store_secret(struct store *store, const uint8_t **secret, struct error *error);

/* Whether the last insert left the file doubled or full, so that a rewrite would help now. */
bool store_rewrite_due(const struct store *store);

/*
 * Copies the records that keep returns true for into a new file, all others
 * waiting meanwhile; keep may put other bytes into *record, which hold until its next
 * call. add, if there is one, then gives records that are to come in, until it returns
 * false. Both may be called anew from the start. All of it is done, or nothing.
 */
typedef bool store_keep(
    void *data, const char *key, size_t key_length, const char **record, size_t *size);
typedef bool store_add(
    void *data, size_t i, const char **key, size_t *key_length, const char **record, size_t *size);

struct store_rewriting {
	store_keep *keep;
	store_add *add;
	void *data;
	/* Not for the helper's own: where another process was faster nothing is done. */
	bool only_if_due;
	/* Set by store_rewrite, if it did anything. */
	size_t records; /* before it, and those that keep returned true for */
	size_t kept;
	uint64_t size_before;
	uint64_t size_after;
};

/* STORE_FULL: what add gave does not fit. */
enum store_result store_rewrite(
    struct store *store, struct store_rewriting *rewriting, struct error *error);

#endif
