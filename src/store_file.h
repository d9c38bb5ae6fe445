/*
 * The open counter file, for store.c alone: making and opening it, its :meta record,
 * bounded waits for its locks.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "store.h"

#include <signal.h>

struct tdb_context;
struct TDB_DATA;

/* Hash chains of a new file; a rewrite chooses more. */
#define STORE_HASH_SIZE_NEW 4093

#define STORE_META_KEY ":meta"
#define STORE_META_SIZE 128
#define STORE_ITEMS_MAX 64

/* How often a file that was just replaced is looked for again. */
#define STORE_TRIES 10

struct store {
	struct store_options options;
	struct tdb_context *tdb; /* NULL: not open */
	dev_t device; /* of the open file */
	ino_t inode;
	uint8_t secret[HASH_KEY_BYTES];

	/* Of the open file, from its :meta record. */
	int64_t rewritten_ms;
	int64_t rewrite_took_ms;
	uint64_t rewritten_size;
	bool rewrite_due;

	char *buffer[STORE_ITEMS_MAX]; /* copies of an update's records; grow as needed */
	size_t buffer_size[STORE_ITEMS_MAX];
	char message[200]; /* TDB's last words */
};

/* Set when store_alarm_start's time is up; the wait for a lock ends then. */
extern volatile sig_atomic_t store_alarm_rang;

/*
 * Makes blocking lock calls give up after lock_timeout. It rings again and again:
 * the first ring may come just before a call blocks.
 */
void store_alarm_start(const struct store *store);
void store_alarm_stop(void);

struct TDB_DATA store_tdb_data(const void *bytes, size_t size);

/* The result for a failure of TDB's or of the system's, and its text. */
enum store_result store_fail(struct store *store, struct error *error, const char *what);

/* Opens the file if it is not open, and makes it if access is STORE_CREATE. */
enum store_result store_file_open(struct store *store, struct error *error);
void store_file_close(struct store *store);

/*
 * Whether the name stands for another file than the open one, or for none, or for one that
 * was cut off, or opened to others: whether it must be opened anew.
 */
bool store_file_replaced(const struct store *store);

/* A new TDB of that hash size at path, which must not exist; NULL, errno, store->message. */
struct tdb_context *store_file_make(struct store *store, const char *path, unsigned hash_size);

/* The :meta record for what the store knows of its file. */
void store_meta_write(const struct store *store, char meta[STORE_META_SIZE]);

#endif
