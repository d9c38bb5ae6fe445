/*
 * The open counter file, for store.c alone: making and opening it, its :meta record,
 * bounded waits for its locks.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "base/error.h"
#include "base/hash.h"
#include "store/store.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>

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
	dev_t device; /* of the open file, or of the one that could not be opened */
	ino_t inode;
	uint8_t secret[HASH_KEY_BYTES];

	/* Of the open file, from its :meta record. */
	int64_t rewritten_ms;
	int64_t rewrite_took_ms;
	uint64_t rewritten_size;
	uint64_t boot_id; /* when it was last found to be sound */
	bool rewrite_due;
	int64_t full_ms; /* since when, by the monotonic clock; 0: it is not */

	struct rlimit limit; /* of the process, while an insert has lowered it */
	bool limited;
	bool noticed; /* there is a notice for store_notice */
	bool suspect; /* the file was cut off while it was open */

	/* For store_watch.c. */
	int folder; /* that the file is in; 0: not open */
	uint64_t looks; /* at what the file's name stands for, since it was opened */

	/* For store_map.c. */
	char *map; /* of the open file, or NULL */
	bool unmappable;
	size_t map_size;
	int map_fd;
	uint32_t chains;
	uint64_t updates; /* of the open file */

	char *buffer[STORE_ITEMS_MAX]; /* copies of an update's records; grow as needed */
	size_t buffer_size[STORE_ITEMS_MAX];
	char message[200]; /* TDB's last words */

	/* What is looked at now and then only. */
	char notice[PATH_MAX + 600];
	int64_t salvaged_ms; /* by the monotonic clock, 0: never */
	struct error salvage_error; /* why it did not work then */
};

/*
 * A file that was cut off, or a disk that fails, shows as SIGBUS when TDB touches its map.
 * Each entry of the store: if (sigsetjmp(store_bus_jump, 0)) return store_bus_recover(…);
 * then store_bus_arm(true), its work, and store_bus_arm(false).
 */
extern sigjmp_buf store_bus_jump;
void store_bus_arm(bool armed);
enum store_result store_bus_recover(struct store *store, struct error *error);

/* What callers get: they need not tell damage from other errors. */
enum store_result store_final(enum store_result result);

/* Set when store_alarm_start's time is up; the wait for a lock ends then. */
extern volatile sig_atomic_t store_alarm_rang;

/*
 * Makes blocking lock calls give up after lock_timeout. It rings again and again:
 * the first ring may come just before a call blocks.
 */
void store_alarm_start(const struct store *store);
void store_alarm_stop(void);

struct TDB_DATA store_tdb_data(const void *bytes, size_t size);

/* Whether it is the key of the :meta record. */
bool store_is_meta(struct TDB_DATA key);

/* The result for a failure of TDB's or of the system's, and its text. */
enum store_result store_fail(struct store *store, struct error *error, const char *what);

/*
 * Opens the file if it is not open, and makes it if access is STORE_CREATE. Where the store
 * salvages, a damaged one is, and one from before the machine was started is looked at.
 */
enum store_result store_file_open(struct store *store, struct error *error);
void store_file_close(struct store *store);

/*
 * Whether the name stands for another file than the open one, or for none; or the file was
 * cut off, so that what lies behind its end can't be touched, or opened to others. It is to be
 * closed then.
 */
bool store_file_replaced(struct store *store);

/*
 * Whether nothing has happened in the file's folder since the last time that this was false:
 * store_file_replaced then would be too. Else that is to be asked. For one store of a process.
 */
bool store_watch_quiet(struct store *store);
void store_watch_close(struct store *store);

/*
 * Does the whole of store_update, if all that it needs is there and free: the locks, the
 * records, and each of them keeps its length. False: nothing was written, and it has to be done
 * by TDB's own means; change may have been called. The store may have been closed.
 */
bool store_map_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, enum store_result *result);
void store_map_close(struct store *store);

/* To be called when TDB did something to the file: it may be larger than what is mapped. */
void store_map_check(struct store *store);

/* Makes room for a copy of that size in store->buffer[i]; -1 if out of memory. */
int store_reserve(struct store *store, size_t i, size_t size);

/*
 * Saves every record that can be read of the file that was opened last into a new one,
 * keeps the damaged one aside, and leaves a notice that begins with why. Does nothing if
 * the name stands for another file: some other process was faster. The store is closed then.
 */
enum store_result store_file_salvage(struct store *store, const char *why, struct error *error);

/* Of a file that was written before the machine was started: looks whether it is sound. */
enum store_result store_boot_check(struct store *store, struct error *error);

/* A new TDB of that hash size at path, which must not exist; NULL, errno, store->message. */
struct tdb_context *store_file_make(struct store *store, const char *path, unsigned hash_size);

/* The :meta record for what the store knows of its file, and back; load reads it there. */
enum store_meta { STORE_META_OK, STORE_META_BAD, STORE_META_NEWER };
void store_meta_write(const struct store *store, char meta[STORE_META_SIZE]);
enum store_meta store_meta_read(struct store *store, const char *bytes, size_t size);
enum store_meta store_meta_load(struct store *store);

/* The result for a file of a later version, and its text. */
enum store_result store_meta_newer(const struct store *store, struct error *error);

/* A number for the time since the machine was started; 0 if there is none. */
uint64_t store_boot_id(void);

/* PATH.new, where PATH is a symbolic link of the file that it leads to. 0, or -1 and why. */
int store_new_path(
    const struct store *store, char real[PATH_MAX], char new[PATH_MAX], struct error *error);

/*
 * Calls visit for all records, each under the lock of its chain alone: unlike tdb_traverse_read
 * it does not keep transactions waiting. 0; -1, also where visit returned other than 0.
 */
typedef int store_visit_record(
    struct tdb_context *tdb, struct TDB_DATA key, struct TDB_DATA record, void *private);
int store_traverse(struct store *store, store_visit_record *visit, void *private);

/* Writes a record into a new file without wasting room. 0 or -1. */
int store_write_new(struct tdb_context *tdb, struct TDB_DATA key, struct TDB_DATA record);

/* Hash chains for that many keys. */
unsigned store_hash_size(size_t keys);

#endif
