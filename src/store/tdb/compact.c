/*
 * Compaction of the counter file, and adding many records at once: see file.h and store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "store/tdb/file.h"
#include "store/tdb/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Compaction takes at most one part in so many of a processor's time. */
#define TIME_SHARE 50

/* A process that compacts locks this byte against others that want to: TDB's header is longer. */
#define COMPACTION_LOCK 100

bool compact_is_due(const struct file *file)
{
	int64_t since_ms = clock_now_ms() - file->meta.compacted_ms;

	return file->compaction_due && file->tdb &&
	    (since_ms < 0 || since_ms >= file->meta.compaction_took_ms * TIME_SHARE);
}

struct compacting {
	struct file *file;
	const struct compaction *compaction;
	struct tdb_context *to; /* NULL: only count */
	int64_t began_ms; /* CPU time of this process */
	size_t steps;
	size_t records;
	size_t kept;
	uint64_t space; /* that the records take up which the first pass kept, in bytes */
	bool failed; /* the new file can't be written */
	struct store_buffer buffer; /* a record that keep may change */
	TDB_DATA current; /* a record that is compared with its copy */
};

/* Whether a record is kept; its bytes, perhaps changed, are then in the buffer. */
static bool keep(struct compacting *compacting, TDB_DATA key, TDB_DATA record)
{
	const struct compaction *compaction = compacting->compaction;
	const struct store_import *import = compaction->import;
	char *bytes;
	size_t key_length;
	const char *original = key_original(key, &key_length);

	if (!original) {
		return false;
	}
	if (store_buffer_set(&compacting->buffer, record.dptr, record.dsize)) {
		compacting->failed = true;
		return false;
	}
	bytes = compacting->buffer.bytes;
	/* The time anew for each record: what others charge meanwhile is not ahead of the clock. */
	return compacting->file->store.codec->keep(
		   original, key_length, bytes, record.dsize, clock_now_ms()) &&
	    (!import || import->keep(import->data, original, key_length, bytes, record.dsize));
}

static void count(struct compacting *compacting, bool kept)
{
	struct store_maintenance *maintenance = compacting->compaction->maintenance;

	compacting->records++;
	compacting->kept += kept;
	if (maintenance && maintenance->step) {
		maintenance->step(maintenance->data, ++compacting->steps);
	}
}

static int write_kept(struct compacting *compacting, TDB_DATA key, size_t size)
{
	if (file_write_new(compacting->to, key, file_data(compacting->buffer.bytes, size))) {
		compacting->failed = true;
	}
	return compacting->failed;
}

static int copy_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct compacting *compacting = private;
	bool kept;

	(void)tdb;
	if (key_is_meta(key)) {
		return 0;
	}
	kept = keep(compacting, key, record);
	count(compacting, kept);
	if (kept && compacting->to) {
		write_kept(compacting, key, record.dsize);
	} else if (kept) {
		compacting->space += file_space(key, record);
	}
	return compacting->failed;
}

/* 1: the copy is as the record is now. */
static int compare_copy(TDB_DATA key, TDB_DATA copy, void *private)
{
	const struct compacting *compacting = private;

	(void)key;
	return copy.dsize == compacting->current.dsize &&
	    memcmp(copy.dptr, compacting->current.dptr, copy.dsize) == 0;
}

/* Brings the copy of a record up to date: it may have changed since it was made. */
static int update_copy(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct compacting *compacting = private;
	bool kept;
	int same;

	(void)tdb;
	if (key_is_meta(key)) {
		return 0;
	}
	compacting->current = record;
	same = tdb_parse_record(compacting->to, key, compare_copy, compacting);
	kept = same == 1 || keep(compacting, key, record);
	count(compacting, kept);
	if (same == 1 || compacting->failed) {
		return compacting->failed;
	}
	if (same < 0) {
		return kept ? write_kept(compacting, key, record.dsize) : 0;
	}
	/* A record that expired meanwhile, by a reset say, must not be left as it was. */
	if (tdb_store(compacting->to, key,
		kept ? file_data(compacting->buffer.bytes, record.dsize) : record, TDB_REPLACE)) {
		compacting->failed = true;
	}
	return compacting->failed;
}

/* Writes the records to add; only counts them while there is no new file. */
static void add_records(struct compacting *compacting)
{
	const struct store_import *import = compacting->compaction->import;
	struct store_record record;

	for (size_t i = 0;
	     import && !compacting->failed && import->next(import->data, i, &record); i++) {
		char stored[KEY_STORED_MAX];
		TDB_DATA key = key_store(
		    compacting->file->meta.secret, record.key, record.key_length, stored);

		compacting->kept++;
		if (!compacting->to) {
			compacting->space += file_space(key, file_data(record.data, record.size));
		} else if (file_write_new(
			       compacting->to, key, file_data(record.data, record.size))) {
			compacting->failed = true;
		}
	}
}

static int lock_compaction(struct file *file, bool wait)
{
	struct flock lock = {
	    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = COMPACTION_LOCK, .l_len = 1};
	int result = 0;

	/* Another compaction may take longer than anybody waits for a record. */
	for (int i = 0; i < (wait ? FILE_TRIES : 1); i++) {
		signals_alarm_start(file->store.options.lock_timeout_ms);
		do {
			result = fcntl(tdb_fd(file->tdb), wait ? F_SETLKW : F_SETLK, &lock);
		} while (result && errno == EINTR && !signals_alarm_rang);
		if (result == 0) {
			break;
		}
	}
	signals_alarm_stop();
	return result;
}

/*
 * Locks all of the file. Processes that open or recover the file meanwhile may take locks in
 * another order; the kernel then fails one of them with EDEADLK, and trying again is enough.
 */
static int lock_all(struct file *file)
{
	int result = -1;

	signals_alarm_start(file->store.options.lock_timeout_ms);
	for (int i = 0; i < FILE_TRIES && result; i++) {
		result = tdb_lockall(file->tdb);
		if (result && (errno != EDEADLK || signals_alarm_rang)) {
			break;
		}
	}
	return result;
}

static void unlock_compaction(struct file *file)
{
	struct flock lock = {
	    .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = COMPACTION_LOCK, .l_len = 1};

	(void)!fcntl(tdb_fd(file->tdb), F_SETLK, &lock);
}

static enum store_result not_written(
    const struct compacting *compacting, const char *path, struct error *error)
{
	const char *message = compacting->file->message;

	error_set(
	    error, "%s: can't be written: %s", path, message[0] ? message : "the disk is full");
	return STORE_ERROR;
}

/* One pass over the open file. */
static enum store_result traverse(
    struct compacting *compacting, file_visit *visit, const char *path, struct error *error)
{
	compacting->records = compacting->kept = 0;
	if (file_traverse(compacting->file, visit, compacting) && !compacting->failed) {
		return file_failed(compacting->file, error, "can't be read");
	}
	return compacting->failed ? not_written(compacting, path, error) : STORE_OK;
}

/* Makes PATH.new and copies into it, while others go on with the old file. */
static enum store_result make_copy(
    struct compacting *compacting, const struct meta *meta, const char *path, struct error *error)
{
	struct file *file = compacting->file;
	enum store_result result = traverse(compacting, copy_record, path, error);
	char bytes[META_SIZE];

	if (result != STORE_OK) {
		return result;
	}
	add_records(compacting);
	/* A compaction that was killed left it. */
	if (unlink(path) && errno != ENOENT) {
		error_set(error, "%s: can't be removed: %s", path, strerror(errno));
		return STORE_ERROR;
	}
	compacting->to = file_make(file, path, file_hash_size(compacting->kept));
	if (!compacting->to) {
		error_set(error, "%s: can't be made: %s", path, strerror(errno));
		return STORE_ERROR;
	}
	/* Nobody else has it. */
	tdb_add_flags(compacting->to, TDB_NOLOCK);
	file_reserve(compacting->to, compacting->space);
	meta_write(meta, bytes);
	if (tdb_store(compacting->to, file_data(META_KEY, strlen(META_KEY)),
		file_data(bytes, META_SIZE), TDB_INSERT)) {
		return not_written(compacting, path, error);
	}
	/* Most of it goes to the disk while nobody waits, and then what was charged meanwhile. */
	for (int i = 0; i < 2 && result == STORE_OK; i++) {
		result = traverse(compacting, i == 0 ? copy_record : update_copy, path, error);
		if (result == STORE_OK && fdatasync(tdb_fd(compacting->to))) {
			result = not_written(compacting, path, error);
		}
	}
	return result;
}

/*
 * With all of the old file locked: brings the new one up to date and gives it the name. What is
 * written here needs no fdatasync, no more than any charge does.
 */
static enum store_result finish_copy(struct compacting *compacting, struct meta *meta,
    const char *path, const char *real, struct error *error)
{
	struct file *file = compacting->file;
	uint64_t max_size = file->store.options.max_size;
	char bytes[META_SIZE];
	struct stat made;
	int seqnum;

	compacting->records = compacting->kept = 0;
	if (tdb_traverse_read(file->tdb, update_copy, compacting) < 0) {
		return file_failed(file, error, "can't be read");
	}
	add_records(compacting);
	if (compacting->failed) {
		return not_written(compacting, path, error);
	}
	meta->compacted_size = tdb_map_size(compacting->to);
	if (compacting->compaction->import && meta->compacted_size > max_size) {
		error_set(error, "%s: would need %llu bytes, but database_max_size is %llu",
		    file->store.location, (unsigned long long)meta->compacted_size,
		    (unsigned long long)max_size);
		return STORE_FULL;
	}
	meta->compaction_took_ms = clock_cpu_ms() - compacting->began_ms;
	meta_write(meta, bytes);
	if (tdb_store(compacting->to, file_data(META_KEY, strlen(META_KEY)),
		file_data(bytes, META_SIZE), TDB_REPLACE)) {
		return not_written(compacting, path, error);
	}
	tdb_remove_flags(compacting->to, TDB_NOLOCK);
	file_announce_replacement(file);
	/* Before the rename: nobody else can have raised it. */
	seqnum = tdb_get_seqnum(compacting->to);
	if (fstat(tdb_fd(compacting->to), &made) || rename(path, real)) {
		error_set(error, "%s: %s", path, strerror(errno));
		return STORE_ERROR;
	}
	/* Closing unlocks; whoever waited finds that the file was replaced. */
	file_close(file);
	file->tdb = compacting->to;
	file->meta = *meta;
	file->device = made.st_dev;
	file->inode = made.st_ino;
	file->seqnum = seqnum;
	return STORE_OK;
}

/* With the compaction lock. */
static enum store_result compact(struct compacting *compacting, struct error *error)
{
	struct file *file = compacting->file;
	struct store_maintenance *maintenance = compacting->compaction->maintenance;
	struct meta meta = file->meta;
	uint64_t old_size = tdb_map_size(file->tdb);
	char real[PATH_MAX], path[PATH_MAX];
	enum store_result result;

	file_clear_complaint(file);
	if (file_new_path(file, real, path, error)) {
		return STORE_ERROR;
	}
	if (file_is_replaced_by_name(file)) {
		return STORE_STOP;
	}
	/* The beginning: a clock that is set meanwhile would put the next one off for years. */
	meta.compacted_ms = clock_now_ms();
	result = make_copy(compacting, &meta, path, error);
	if (result == STORE_OK) {
		result = lock_all(file) ? file_failed(file, error, "can't be locked") : STORE_OK;
		signals_alarm_stop();
		if (result == STORE_OK) {
			old_size = tdb_map_size(file->tdb);
			result = file_is_replaced_by_name(file)
			    ? STORE_STOP
			    : finish_copy(compacting, &meta, path, real, error);
			if (result != STORE_OK) {
				tdb_unlockall(file->tdb);
			}
		}
	}
	if (result == STORE_OK) {
		if (maintenance) {
			maintenance->records = compacting->records;
			maintenance->kept = compacting->kept;
			maintenance->size_before = old_size;
			maintenance->size_after = meta.compacted_size;
		}
		return STORE_OK;
	}
	/* Even a file that could not be made may have got its first bytes. */
	unlink(path);
	if (compacting->to) {
		tdb_close(compacting->to);
	}
	/* It failed: not again at the next insert. */
	file->meta.compacted_ms = meta.compacted_ms;
	file->meta.compaction_took_ms = clock_cpu_ms() - compacting->began_ms + 1000;
	return result;
}

enum store_result compact_run(struct file *file, void *data, struct error *error)
{
	/* CPU time: while most of the copying is done, other processes get their share. */
	struct compacting compacting = {
	    .file = file, .compaction = data, .began_ms = clock_cpu_ms()};
	bool wait =
	    !compacting.compaction->maintenance || !compacting.compaction->maintenance->only_if_due;
	enum store_result result;

	signals_alarm_stop();
	file->compaction_due = false;
	if (lock_compaction(file, wait)) {
		if (!wait) {
			/* Another process does it. */
			return STORE_OK;
		}
		error_set(error, "%s: another process goes on compacting it", file->store.location);
		return STORE_BUSY;
	}
	result = compact(&compacting, error);
	/* If all went well the file with the lock is closed. */
	if (result != STORE_OK && file->tdb) {
		unlock_compaction(file);
	}
	free(compacting.buffer.bytes);
	return result;
}
