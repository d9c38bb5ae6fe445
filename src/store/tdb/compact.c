/*
 * Compaction of the counter file, and adding many records at once: see file.h and store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "store/tdb/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Compaction takes at most one part in so many of a processor's time. */
#define TIME_SHARE 50

/* A process that compacts locks this byte against others that want to: TDB's header is longer. */
#define COMPACTION_LOCK 100

#define PAGE 4096 /* TDB rounds the size of a file up to pages */

/* Bytes of a record in a new file, besides its key and data: see file_write_new. */
#define RECORD_OVERHEAD 40

bool compact_is_due(const struct file *file)
{
	int64_t since_ms;

	if (!file->compaction_due || !file->tdb) {
		return false;
	}
	since_ms = clock_now_ms() - file->meta.compacted_ms;
	return since_ms < 0 || since_ms >= file->meta.compaction_took_ms * TIME_SHARE;
}

struct compacting {
	struct file *file;
	const struct store_import *import; /* NULL: none */
	struct store_maintenance *maintenance;
	char real[PATH_MAX]; /* the file that is compacted */
	char path[PATH_MAX]; /* of file->new, which is NULL while records are only counted */
	int64_t began_ms; /* CPU time of this process */
	size_t steps;
	size_t records;
	size_t kept;
	uint64_t space; /* that the counted records take up, in bytes */
	bool failed; /* the new file can't be written */
	struct store_buffer *buffer; /* a record that keep may change */
	TDB_DATA current; /* a record that is compared with its copy */
};

/* Whether a record is kept; its bytes, perhaps changed, are then in the buffer. */
static bool keep(struct compacting *compacting, TDB_DATA key, TDB_DATA record)
{
	const struct store_import *import = compacting->import;
	struct store_buffer *buffer = compacting->buffer;
	size_t key_length;
	const char *original = key_original(key, &key_length);

	if (!original || record.dsize == 0) {
		return false;
	}
	if (store_buffer_set(buffer, record.dptr, record.dsize)) {
		compacting->failed = true;
		return false;
	}
	/* The time anew for each record: what others charge meanwhile is not ahead of the clock. */
	return compacting->file->store.codec->keep(
		   original, key_length, buffer->bytes, record.dsize, clock_now_ms()) &&
	    (!import ||
		import->keep(import->data, original, key_length, buffer->bytes, record.dsize));
}

/* Adds a record to the new file, or counts it. */
static void add(struct compacting *compacting, TDB_DATA key, TDB_DATA record)
{
	if (!compacting->file->new) {
		compacting->space += key.dsize + record.dsize + RECORD_OVERHEAD;
	} else if (file_write_new(compacting->file->new, key, record)) {
		compacting->failed = true;
	}
}

/* 1: the copy is as the record is now. */
static int compare_copy(TDB_DATA key, TDB_DATA copy, void *private)
{
	const struct compacting *compacting = private;

	(void)key;
	return copy.dsize == compacting->current.dsize && copy.dsize > 0 &&
	    memcmp(copy.dptr, compacting->current.dptr, copy.dsize) == 0;
}

/* Copies a record, or brings its copy up to date: it may have changed since that was made. */
static int copy_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct compacting *compacting = private;
	struct store_maintenance *maintenance = compacting->maintenance;
	struct tdb_context *new = compacting->file->new;
	bool kept;
	int same;

	(void)tdb;
	if (key_is_meta(key)) {
		return 0;
	}
	compacting->current = record;
	/* TDB gives NULL for no bytes, but does not take it. */
	same = new && key.dsize > 0 ? tdb_parse_record(new, key, compare_copy, compacting) : -1;
	kept = same == 1 || keep(compacting, key, record);
	compacting->records++;
	compacting->kept += kept;
	if (maintenance->step) {
		maintenance->step(maintenance->data, ++compacting->steps);
	}
	if (same == 1 || compacting->failed) {
		return compacting->failed;
	}
	if (kept) {
		record.dptr = (unsigned char *)compacting->buffer->bytes;
	}
	if (same < 0 && kept) {
		add(compacting, key, record);
	} else if (same == 0) {
		/* It changed; or was reset, say, so that nobody needs it any more. */
		compacting->failed =
		    kept ? tdb_store(new, key, record, TDB_REPLACE) : tdb_delete(new, key);
	}
	return compacting->failed;
}

static void add_imported(struct compacting *compacting)
{
	const struct store_import *import = compacting->import;
	struct store_record record;

	for (size_t i = 0; import && !compacting->failed && import->next(import->data, i, &record);
	     i++) {
		char stored[KEY_STORED_MAX];
		TDB_DATA key =
		    key_store(compacting->file->meta.secret, record.key, record.key_length, stored);

		compacting->kept++;
		add(compacting, key, file_data(record.data, record.size));
	}
}

static int set_compaction_lock(struct file *file, int command, short type)
{
	struct flock lock = {
	    .l_type = type, .l_whence = SEEK_SET, .l_start = COMPACTION_LOCK, .l_len = 1};

	return fcntl(tdb_fd(file->tdb), command, &lock);
}

static int lock_compaction(struct file *file, bool wait)
{
	int result = -1;

	/* Another compaction may take longer than anybody waits for a record. */
	for (int i = 0; result && i < (wait ? FILE_TRIES : 1); i++) {
		signals_alarm_start(file);
		do {
			result = set_compaction_lock(file, wait ? F_SETLKW : F_SETLK, F_WRLCK);
		} while (result && errno == EINTR && !signals_alarm_rang);
	}
	signals_alarm_stop();
	return result;
}

static enum store_result not_written(const struct compacting *compacting, struct error *error)
{
	const char *message = compacting->file->message;

	return file_error(STORE_ERROR, error, compacting->path, "can't be written",
	    message[0] ? message : "the disk is full");
}

/* One pass over the open file. */
static enum store_result copy_all(struct compacting *compacting, struct error *error)
{
	compacting->records = compacting->kept = 0;
	if (read_all(compacting->file, copy_record, compacting)) {
		return file_failed(compacting->file, error, "can't be read");
	}
	return compacting->failed ? not_written(compacting, error) : STORE_OK;
}

/* For the records and, if max_size is near, some more: TDB's own steps might pass that. */
static uint64_t room_wanted(const struct compacting *compacting)
{
	uint64_t taken = tdb_map_size(compacting->file->new) + PAGE + compacting->space;
	uint64_t max_size = compacting->file->store.options.max_size;
	uint64_t more = max_size > taken ? max_size - taken : 0;

	return compacting->space + (more < compacting->space / 4 ? more : 0);
}

/*
 * Makes a new file large enough for that many bytes more, if it can. TDB grows a file by what some
 * more records of the same size need, and by a quarter or a tenth at least, which may pass
 * max_size. A record of the right size makes it grow once. The size follows from tdb_expand of
 * TDB 1.4; another policy would only leave more or less room.
 */
static void reserve(struct tdb_context *tdb, uint64_t bytes)
{
	TDB_DATA key = file_data("", 1);
	uint64_t share = bytes / 100 <= 100 * 1024 ? bytes / 100 : bytes / 2;
	/* TDB gives the record a quarter more room than it asks for. */
	size_t size = share > 64 ? (size_t)(share - 64) * 4 / 5 : 0;
	char *filler = calloc(1, size + 1);

	if (filler && tdb_store(tdb, key, file_data(filler, size), TDB_INSERT) == 0) {
		tdb_delete(tdb, key);
	}
	free(filler);
}

/* Makes the new file and copies into it, while others go on with the old one. */
static enum store_result make_copy(
    struct compacting *compacting, const struct meta *meta, struct error *error)
{
	struct file *file = compacting->file;
	const char *path = compacting->path;
	enum store_result result = copy_all(compacting, error);

	if (result != STORE_OK) {
		return result;
	}
	add_imported(compacting);
	file->new = file_make(file, path, file_hash_size(compacting->kept));
	if (!file->new) {
		return file_error(STORE_ERROR, error, path, "can't be made", strerror(errno));
	}
	/* Nobody else has it. */
	tdb_add_flags(file->new, TDB_NOLOCK);
	reserve(file->new, room_wanted(compacting));
	if (meta_write(file->new, meta, TDB_INSERT)) {
		return not_written(compacting, error);
	}
	/* Most of it goes to the disk while nobody waits, and then what was charged meanwhile. */
	for (int i = 0; i < 2 && result == STORE_OK; i++) {
		result = copy_all(compacting, error);
		if (result == STORE_OK && fdatasync(tdb_fd(file->new))) {
			result = not_written(compacting, error);
		}
	}
	return result;
}

/*
 * Locks all of the old file, brings the new one up to date and gives it the name. What is written
 * here needs no fdatasync, no more than any charge does.
 */
static enum store_result replace_file(
    struct compacting *compacting, struct meta *meta, struct error *error)
{
	struct store_maintenance *maintenance = compacting->maintenance;
	struct file *file = compacting->file;
	struct tdb_context *new = file->new;
	uint64_t max_size = file->store.options.max_size;
	enum store_result result;
	int replaced;

	signals_alarm_start(file);
	if (tdb_lockall(file->tdb)) {
		return file_failed(file, error, "can't be locked");
	}
	if (file_is_replaced_by_hand(file)) {
		return STORE_STOP;
	}
	/* Not by tdb_traverse_read: it waits for the lock of TDB transactions, which wait for ours.
	 */
	result = copy_all(compacting, error);
	if (result != STORE_OK) {
		return result;
	}
	add_imported(compacting);
	if (compacting->failed) {
		return not_written(compacting, error);
	}
	meta->compacted_size = tdb_map_size(new);
	if (compacting->import && meta->compacted_size > max_size) {
		error_set(error, "%s: would need %llu bytes, but database_max_size is %llu",
		    file->store.location, (unsigned long long)meta->compacted_size,
		    (unsigned long long)max_size);
		return STORE_FULL;
	}
	meta->compaction_took_ms = clock_cpu_ms() - compacting->began_ms;
	if (meta_write(new, meta, TDB_REPLACE)) {
		return not_written(compacting, error);
	}
	tdb_remove_flags(new, TDB_NOLOCK);
	file_announce_replacement(file);
	replaced = replace_name(file, compacting->path, compacting->real);
	if (replaced != 0) {
		return replaced > 0
		    ? STORE_STOP
		    : file_error(STORE_ERROR, error, compacting->path, strerror(errno), NULL);
	}
	maintenance->records = compacting->records;
	maintenance->kept = compacting->kept;
	maintenance->size_before = tdb_map_size(file->tdb);
	maintenance->size_after = meta->compacted_size;
	/* Closing unlocks; a process that waited finds that the file was replaced. */
	file->new = NULL;
	file_close(file);
	file->tdb = new;
	file->meta = *meta;
	file_note_opened(file);
	return STORE_OK;
}

/* With the compaction lock. */
static enum store_result compact(struct compacting *compacting, struct error *error)
{
	struct file *file = compacting->file;
	struct meta meta = file->meta;
	enum store_result result;

	file_clear_complaint(file);
	if (file_is_replaced_by_hand(file)) {
		return STORE_STOP;
	}
	if (replace_path(file, compacting->real, compacting->path, error)) {
		return STORE_ERROR;
	}
	replace_clean(compacting->path);
	/* The beginning: a clock that is set meanwhile would put the next one off for years. */
	meta.compacted_ms = clock_now_ms();
	result = make_copy(compacting, &meta, error);
	if (result == STORE_OK) {
		result = replace_file(compacting, &meta, error);
	}
	if (result == STORE_OK) {
		return STORE_OK;
	}
	tdb_unlockall(file->tdb);
	/* Even a file that could not be made may have got its first bytes. */
	unlink(compacting->path);
	file_drop(&file->new);
	/* It failed: not again at the next insert. */
	file->meta.compacted_ms = meta.compacted_ms;
	file->meta.compaction_took_ms = clock_cpu_ms() - compacting->began_ms + 1000;
	return result;
}

enum store_result compact_run(struct file *file, void *data, struct error *error)
{
	const struct compaction *compaction = data;
	/* CPU time: while most of the copying is done, other processes get their share. */
	struct compacting compacting = {.file = file,
	    .import = compaction->import,
	    .maintenance = compaction->maintenance,
	    .began_ms = clock_cpu_ms(),
	    .buffer = &file->store.txn.buffer[0]};
	bool wait = !compaction->maintenance->only_if_due;
	enum store_result result;

	file->compaction_due = false;
	if (lock_compaction(file, wait)) {
		if (!wait) {
			/* Another process does it. */
			return STORE_OK;
		}
		return file_error(STORE_BUSY, error, file->store.location,
		    "another process goes on compacting it", NULL);
	}
	result = compact(&compacting, error);
	/* If all went well the file with the lock is closed. */
	if (result != STORE_OK && file->tdb) {
		(void)!set_compaction_lock(file, F_SETLK, F_UNLCK);
	}
	return result;
}
