/*
 * Making and opening the counter file: see file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The most hash chains that compaction chooses. */
#define HASH_SIZE_MAX 4000000

/* Mode bits of a file that is not used. */
#define WRITABLE_TO_OTHERS (S_IWGRP | S_IWOTH)

/* TDB's words are for messages; its level says whether the file is in doubt. */
static void on_tdb_message(
    struct tdb_context *tdb, enum tdb_debug_level level, const char *format, ...)
{
	struct file *file = tdb_get_logging_private(tdb);
	va_list args;

	if (level < file->complaint) {
		file->complaint = level;
	}
	va_start(args, format);
	vsnprintf(file->message, sizeof(file->message), format, args);
	va_end(args);
	file->message[strcspn(file->message, "\n")] = '\0';
}

void file_clear_complaint(struct file *file)
{
	file->complaint = TDB_DEBUG_TRACE;
	file->message[0] = '\0';
}

bool file_has_complaint(const struct file *file)
{
	return file->complaint < TDB_DEBUG_TRACE;
}

enum store_result file_error(enum store_result result, struct error *error, const char *path,
    const char *what, const char *why)
{
	error_set(error, "%s: %s%s%s", path, what, why ? ": " : "", why ? why : "");
	return result;
}

enum store_result file_failed(struct file *file, struct error *error, const char *what)
{
	enum TDB_ERROR code = file->tdb ? tdb_error(file->tdb) : TDB_SUCCESS;
	const char *why = file->tdb ? tdb_errorstr(file->tdb) : strerror(errno);
	enum store_result result = STORE_ERROR;

	if (signals_alarm_rang || (code == TDB_ERR_LOCK && errno == EDEADLK)) {
		error_set(error, "%s: another process has kept its lock for %lld ms",
		    file->store.location, (long long)file->store.options.lock_timeout_ms);
		return STORE_BUSY;
	}
	if (code == TDB_ERR_CORRUPT || code == TDB_ERR_IO) {
		result = STORE_DAMAGED;
	} else if (!file->tdb && (errno == EACCES || errno == EPERM || errno == EROFS)) {
		result = STORE_FORBIDDEN;
	}
	return file_error(
	    result, error, file->store.location, what, file->message[0] ? file->message : why);
}

void file_drop(struct tdb_context **tdb)
{
	if (*tdb) {
		tdb_close(*tdb);
		*tdb = NULL;
	}
}

void file_unlock(struct file *file)
{
	int saved_errno = errno;

	if (file->lock_fd >= 0) {
		close(file->lock_fd);
		file->lock_fd = -1;
	}
	errno = saved_errno;
}

void file_close(struct file *file)
{
	file_drop(&file->tdb);
	file_drop(&file->new);
	file_drop(&file->scratch);
	file_unlock(file);
	file->replaced = false;
	file->other_hash = false;
	file->compaction_due = false;
	file->full_ms = 0;
}

static int take_meta(TDB_DATA key, TDB_DATA data, void *private)
{
	(void)key;
	return (int)meta_read(private, data);
}

enum meta_result file_read_meta(struct file *file, struct meta *meta)
{
	int found = tdb_parse_record(file->tdb, key_meta(), take_meta, meta);

	return found < 0 ? META_BAD : (enum meta_result)found;
}

static enum store_result read_meta(struct file *file, struct error *error)
{
	enum meta_result found = file_read_meta(file, &file->meta);
	const char *path = file->store.location;

	if (found == META_OK) {
		return STORE_OK;
	}
	if (found == META_NEWER) {
		return file_error(STORE_ERROR, error, path, "it is of a newer version", NULL);
	}
	/* Perhaps another process has it locked. */
	return signals_alarm_rang
	    ? file_failed(file, error, "can't be locked")
	    : file_error(STORE_DAMAGED, error, path, "it has no record :meta", NULL);
}

int file_open_locked(struct file *file, const char *path, int flags, off_t bytes)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = bytes};

	file->lock_fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file->lock_fd < 0) {
		return -1;
	}
	while (flags != O_RDONLY && fcntl(file->lock_fd, F_SETLKW, &lock)) {
		if (errno != EINTR || signals_alarm_rang) {
			file_unlock(file);
			return -1;
		}
	}
	return 0;
}

static void note_file(struct file *file, const struct stat *st)
{
	file->device = st->st_dev;
	file->inode = st->st_ino;
	file->owner = st->st_uid;
}

void file_note_opened(struct file *file)
{
	struct stat st;

	if (fstat(tdb_fd(file->tdb), &st) == 0) {
		note_file(file, &st);
	}
	/* It may have been replaced since it was opened: under the first lock, the number differs. */
	file->seqnum = tdb_get_seqnum(file->tdb) - 1;
	file->recheck = false;
}

/*
 * Whether an existing file may be used, and notes which one it is. Else errno and a message. Whose
 * file it is does not matter to a process that can only read it.
 */
static bool is_usable(struct file *file, int open_flags)
{
	struct stat st;

	if (fstat(file->lock_fd, &st)) {
		return false;
	}
	note_file(file, &st);
	if (open_flags != O_RDONLY && st.st_uid != 0 && st.st_uid != geteuid()) {
		snprintf(file->message, sizeof(file->message),
		    "it belongs to uid %u and may hold anything; it must belong to uid %u or to "
		    "root",
		    (unsigned)st.st_uid, (unsigned)geteuid());
		errno = EPERM;
		return false;
	}
	if (st.st_mode & WRITABLE_TO_OTHERS) {
		strcpy(file->message,
		    "others may write it and may have done so; see what it holds, then chmod "
		    "go-w");
		errno = ENOTSUP; /* none of those that mean damage */
		return false;
	}
	/* TDB would wait for what a FIFO says. */
	if (!S_ISREG(st.st_mode)) {
		strcpy(file->message, "it is not a regular file");
		errno = EBADF;
		return false;
	}
	if (!header_is_safe(file->lock_fd, &file->other_hash)) {
		strcpy(file->message, "its recovery area is damaged");
		errno = EIO;
		return false;
	}
	return true;
}

static struct tdb_context *open_tdb(
    struct file *file, const char *path, unsigned hash_size, int open_flags)
{
	struct tdb_logging_context log = {on_tdb_message, file};
	struct tdb_context *tdb;

	errno = 0;
	tdb = tdb_open_ex(path, (int)hash_size, TDB_NOSYNC | TDB_INCOMPATIBLE_HASH, open_flags,
	    file->store.options.mode, &log, NULL);
	if (tdb) {
		tdb_setalarm_sigptr(tdb, &signals_alarm_rang);
	}
	return tdb;
}

static void set_mode(const struct file *file, struct tdb_context *tdb)
{
	mode_t mode = file->store.options.mode;
	struct stat st;

	if (fstat(tdb_fd(tdb), &st) == 0 && (st.st_mode & 07777) != mode) {
		(void)!fchmod(tdb_fd(tdb), mode);
	}
}

struct tdb_context *file_make(struct file *file, const char *path, unsigned hash_size)
{
	struct tdb_context *tdb;

	file_clear_complaint(file);
	tdb = open_tdb(file, path, hash_size, O_RDWR | O_CREAT | O_EXCL);
	/* Postfix's umask took permissions away that other accounts of the group may need. */
	if (tdb) {
		set_mode(file, tdb);
	}
	return tdb;
}

/*
 * Opens the file that is there. NULL, errno, maybe a message.
 *
 * tdb_open waits for a lock on the first byte of the file, which a TDB transaction holds while it
 * commits, and no signal ends that wait. So this waits for it first, where the alarm ends it: a
 * process may lock again what it has locked, and tdb_open finds it free.
 */
static struct tdb_context *open_existing(struct file *file, int open_flags)
{
	struct tdb_context *tdb = NULL;

	file_clear_complaint(file);
	file->other_hash = false;
	if (file_open_locked(file, file->store.location, open_flags, 1)) {
		return NULL;
	}
	if (is_usable(file, open_flags)) {
		tdb = open_tdb(file, file->store.location, FILE_HASH_SIZE_NEW, open_flags);
	}
	file_unlock(file);
	return tdb;
}

/* rename(2), but never over a file that is there. */
static int rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
		return 0;
	}
	/* Some file systems can't. A kill between the two leaves a second name behind. */
	if (errno != EINVAL || link(from, to)) {
		return -1;
	}
	unlink(from);
	return 0;
}

/*
 * Makes the file under a name of this process's own and gives it its real one: nobody ever sees
 * half of it, and a file of some other kind is never written to, as tdb_open would do with
 * O_CREAT. STORE_OK, with nothing open, if another process was faster.
 */
static enum store_result create_file(struct file *file, struct error *error)
{
	const char *location = file->store.location;
	enum store_result result;
	char path[PATH_MAX];

	if (snprintf(path, PATH_MAX, "%s.%d", location, (int)getpid()) >= PATH_MAX) {
		return file_error(STORE_ERROR, error, location, "the name is too long", NULL);
	}
	unlink(path);
	file->tdb = file_make(file, path, FILE_HASH_SIZE_NEW);
	if (!file->tdb) {
		result = file_failed(file, error,
		    errno == ENOENT
			? "can't be made; its folder must exist and belong to the account that "
			  "the helper runs as"
			: "can't be made");
	} else if (meta_init(&file->meta, tdb_map_size(file->tdb), true)) {
		result = file_error(STORE_ERROR, error, location, "no random bytes", NULL);
	} else if (meta_write(file->tdb, &file->meta, TDB_INSERT)) {
		result = file_failed(file, error, "its record :meta can't be written");
	} else if (rename_new(path, location) == 0) {
		file_note_opened(file);
		return STORE_OK;
	} else if (errno == EEXIST) {
		result = STORE_OK;
	} else {
		result = file_error(STORE_ERROR, error, location, "can't be made", strerror(errno));
	}
	unlink(path);
	file_close(file);
	return result;
}

/* Why the file could not be opened. */
static enum store_result not_opened(struct file *file, struct error *error)
{
	bool damaged;
	enum store_result result;

	if (errno == ENOENT) {
		return file_error(STORE_ABSENT, error, file->store.location, "can't be opened",
		    "it is not there; the helper makes it at its first request");
	}
	/*
	 * If TDB can't recover a TDB transaction it complains and leaves errno as it was. ENOSYS is
	 * the number of a format that TDB gave up long ago.
	 */
	damaged = errno == EIO || errno == EINVAL || errno == ENOSYS || errno == 0 ||
	    file->complaint == TDB_DEBUG_FATAL;
	if ((errno == EIO || errno == 0) && !file->message[0]) {
		strcpy(file->message, "it is not a TDB file");
	}
	result = file_failed(file, error, "can't be opened");
	return damaged && result == STORE_ERROR ? STORE_DAMAGED : result;
}

enum store_result file_open(struct file *file, struct error *error)
{
	enum store_access access = file->store.options.access;
	enum store_result result;

	if (file->tdb) {
		return STORE_OK;
	}
	if (file->cut_off && file->store.options.rescue) {
		return file_error(STORE_DAMAGED, error, file->store.location,
		    "cut off while it was in use", NULL);
	}
	for (int i = 0; !file->tdb && i < FILE_TRIES; i++) {
		file->tdb = open_existing(file, O_RDWR);
		if (file->tdb || errno != ENOENT || access != STORE_CREATE) {
			break;
		}
		result = create_file(file, error);
		if (result != STORE_OK || file->tdb) {
			return result;
		}
	}
	if (!file->tdb && access == STORE_READ &&
	    (errno == EACCES || errno == EPERM || errno == EROFS)) {
		file->tdb = open_existing(file, O_RDONLY);
	}
	if (!file->tdb) {
		return not_opened(file, error);
	}
	file_note_opened(file);
	/* An administrator may have changed database_mode since the file was made. */
	if (access == STORE_CREATE) {
		set_mode(file, file->tdb);
	}
	result = read_meta(file, error);
	if (file->other_hash) {
		/* Its next compaction is due at once. */
		file->meta.compaction_took_ms = 0;
	}
	if (result != STORE_OK && result != STORE_DAMAGED) {
		file_close(file);
	}
	return result;
}

static bool has_lost_its_name(struct file *file)
{
	struct stat named;
	bool other;

	if (stat(file->store.location, &named)) {
		file->replaced = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
		return file->replaced;
	}
	other = file->device != named.st_dev || file->inode != named.st_ino;
	file->cut_off = !other && (uint64_t)named.st_size < tdb_map_size(file->tdb);
	/* A file that may not be used any more has to be opened anew, which says why not. */
	file->replaced = other || file->cut_off || named.st_uid != file->owner ||
	    (named.st_mode & WRITABLE_TO_OTHERS);
	return file->replaced;
}

/* Whether somebody has copied another file into this one. */
static bool has_other_content(struct file *file)
{
	struct meta meta;
	bool other_hash;

	/* TDB may use the recovery area under any lock. Another process may be writing it just now;
	 * when the file is opened, none is. */
	if (!header_is_safe(tdb_fd(file->tdb), &other_hash) || other_hash != file->other_hash) {
		return true;
	}
	/* Reading :meta waits for its lock. */
	signals_alarm_ensure(file);
	return file_read_meta(file, &meta) != META_OK ||
	    memcmp(meta.secret, file->meta.secret, sizeof(meta.secret)) != 0;
}

bool file_is_replaced_by_hand(struct file *file)
{
	file->recheck = false;
	file->replaced = has_lost_its_name(file) || has_other_content(file);
	return file->replaced;
}

bool file_is_replaced(struct file *file)
{
	int seqnum = tdb_get_seqnum(file->tdb);

	if (seqnum == file->seqnum) {
		return false;
	}
	/* The process that raised the number may have been killed before it renamed. */
	file->seqnum = seqnum;
	return has_lost_its_name(file);
}

void file_announce_replacement(struct file *file)
{
	tdb_add_flags(file->tdb, TDB_SEQNUM);
	tdb_increment_seqnum_nonblock(file->tdb);
	tdb_remove_flags(file->tdb, TDB_SEQNUM);
}

unsigned file_hash_size(size_t keys)
{
	/* As many chains again as there are keys: compaction follows when the file has doubled. */
	size_t size = keys < HASH_SIZE_MAX / 2 ? keys * 2 + 1 : HASH_SIZE_MAX;

	return size < FILE_HASH_SIZE_NEW ? FILE_HASH_SIZE_NEW : (unsigned)size;
}

int file_write_new(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record)
{
	TDB_DATA part = record;

	/*
	 * In two steps: TDB gives a new record a quarter more room than it asks for. This asks
	 * for four fifths, and then takes up all of it.
	 */
	part.dsize = (key.dsize + record.dsize) * 4 / 5 + 4;
	part.dsize = part.dsize > key.dsize ? part.dsize - key.dsize : 1;
	if (part.dsize < record.dsize && tdb_store(tdb, key, part, TDB_INSERT)) {
		return -1;
	}
	return tdb_store(tdb, key, record, TDB_REPLACE) ? -1 : 0;
}
