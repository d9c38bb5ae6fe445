/*
 * Making and opening the counter file: see file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"
#include "store/tdb/signals.h"

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

enum store_result file_failed(struct file *file, struct error *error, const char *what)
{
	enum TDB_ERROR code = file->tdb ? tdb_error(file->tdb) : TDB_SUCCESS;
	bool forbidden = !file->tdb && (errno == EACCES || errno == EPERM || errno == EROFS);

	if (signals_alarm_rang || (code == TDB_ERR_LOCK && errno == EDEADLK)) {
		error_set(error, "%s: another process has kept its lock for %lld ms",
		    file->store.location, (long long)file->store.options.lock_timeout_ms);
		return STORE_BUSY;
	}
	error_set(error, "%s: %s: %s", file->store.location, what,
	    file->message[0] ? file->message
		: file->tdb  ? tdb_errorstr(file->tdb)
			     : strerror(errno));
	return forbidden                                    ? STORE_FORBIDDEN
	    : code == TDB_ERR_CORRUPT || code == TDB_ERR_IO ? STORE_DAMAGED
							    : STORE_ERROR;
}

void file_close(struct file *file)
{
	if (file->tdb) {
		tdb_close(file->tdb);
		file->tdb = NULL;
	}
	file->replaced = false;
	file->compaction_due = false;
	file->full_ms = 0;
}

/* Makes the :meta record of a file that has none. */
static enum store_result make_meta(struct file *file, struct error *error)
{
	TDB_DATA key = file_data(META_KEY, strlen(META_KEY));
	char bytes[META_SIZE];

	if (meta_init(&file->meta, tdb_map_size(file->tdb), true)) {
		return file_failed(file, error, "no random bytes");
	}
	meta_write(&file->meta, bytes);
	if (tdb_store(file->tdb, key, file_data(bytes, META_SIZE), TDB_INSERT)) {
		return file_failed(file, error, "its record :meta can't be written");
	}
	return STORE_OK;
}

static int take_meta(TDB_DATA key, TDB_DATA data, void *private)
{
	struct file *file = private;

	(void)key;
	return (int)meta_read(&file->meta, (const char *)data.dptr, data.dsize);
}

enum meta_result file_read_meta(struct file *file)
{
	int found =
	    tdb_parse_record(file->tdb, file_data(META_KEY, strlen(META_KEY)), take_meta, file);

	return found < 0 ? META_BAD : (enum meta_result)found;
}

static enum store_result read_meta(struct file *file, struct error *error)
{
	TDB_DATA key = file_data(META_KEY, strlen(META_KEY));
	bool locks = file->store.options.access != STORE_READ;
	enum store_result result = STORE_OK;
	enum meta_result found;

	/* Who only reads takes no lock that could hold up others. */
	if (locks && tdb_chainlock(file->tdb, key)) {
		return file_failed(file, error, "can't be locked");
	}
	found = file_read_meta(file);
	if (found == META_NEWER) {
		error_set(error, "%s: it is of a newer version", file->store.location);
		result = STORE_ERROR;
	} else if (found != META_OK) {
		error_set(error, "%s: it has no record :meta", file->store.location);
		result = STORE_DAMAGED;
	}
	if (locks) {
		tdb_chainunlock(file->tdb, key);
	}
	return result;
}

/*
 * tdb_open waits for a lock on the first byte of the file, which a TDB transaction holds while it
 * commits, and no signal ends that wait. So wait for it here, where the alarm does: a process
 * may lock again what it has locked, and tdb_open finds it free. Returns a descriptor to close
 * after tdb_open, or -1 and errno.
 */
static int wait_for_open(const char *path, int open_flags)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	int fd = open(path, open_flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 || open_flags == O_RDONLY) {
		return fd;
	}
	while (fcntl(fd, F_SETLKW, &lock)) {
		if (errno != EINTR || signals_alarm_rang) {
			int lock_errno = errno;

			close(fd);
			errno = lock_errno;
			return -1;
		}
	}
	return fd;
}

/* Whether an existing file may be used, and notes which one it is. Else errno and a message. */
static bool is_usable(struct file *file, int fd)
{
	struct stat st;

	if (fstat(fd, &st)) {
		return false;
	}
	file->device = st.st_dev;
	file->inode = st.st_ino;
	if (st.st_mode & S_IWOTH) {
		snprintf(file->message, sizeof(file->message),
		    "others may write it and may have done so; see what it holds, then "
		    "chmod o-w");
		errno = ENOTSUP; /* none of those that mean damage */
		return false;
	}
	/* TDB would wait for what a FIFO says. */
	if (!S_ISREG(st.st_mode)) {
		snprintf(file->message, sizeof(file->message), "it is not a regular file");
		errno = EBADF;
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

struct tdb_context *file_make(struct file *file, const char *path, unsigned hash_size)
{
	struct tdb_context *tdb;
	mode_t mode = file->store.options.mode;
	struct stat st;

	file_clear_complaint(file);
	tdb = open_tdb(file, path, hash_size, O_RDWR | O_CREAT | O_EXCL);
	/* Postfix's umask took permissions away that other accounts of the group may need. */
	if (tdb && fstat(tdb_fd(tdb), &st) == 0 && (st.st_mode & 07777) != mode) {
		(void)!fchmod(tdb_fd(tdb), mode);
	}
	return tdb;
}

/* Opens the file that is there. NULL, errno, maybe a message. */
static struct tdb_context *open_existing(struct file *file, int open_flags)
{
	struct tdb_context *tdb = NULL;
	int gate, saved_errno;

	file_clear_complaint(file);
	gate = wait_for_open(file->store.location, open_flags);
	if (gate < 0) {
		return NULL;
	}
	if (is_usable(file, gate)) {
		tdb = open_tdb(file, file->store.location, FILE_HASH_SIZE_NEW, open_flags);
	}
	saved_errno = errno;
	close(gate);
	errno = saved_errno;
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

/* Notes which file is open, and in which state. */
static void note_opened(struct file *file)
{
	struct stat st;

	if (fstat(tdb_fd(file->tdb), &st) == 0) {
		file->device = st.st_dev;
		file->inode = st.st_ino;
	}
	file->seqnum = tdb_get_seqnum(file->tdb);
	/* A compaction may have announced itself, and renamed, between opening and this. */
	file->recheck = true;
}

/*
 * Makes the file under a name of this process's own and then gives it its real one: nobody ever
 * sees half a file, and a file of some other kind is never written to, as tdb_open would do with
 * O_CREAT. STORE_OK, with nothing open, if another process was faster.
 */
static enum store_result create_file(struct file *file, struct error *error)
{
	enum store_result result;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s.%d", file->store.location, (int)getpid()) >=
	    (int)sizeof(path)) {
		error_set(error, "%s: the name is too long", file->store.location);
		return STORE_ERROR;
	}
	unlink(path);
	file->tdb = file_make(file, path, FILE_HASH_SIZE_NEW);
	if (!file->tdb) {
		result = file_failed(file, error,
		    errno == ENOENT
			? "can't be made; its folder must exist and belong to the account that "
			  "the helper runs as"
			: "can't be made");
		unlink(path);
		return result;
	}
	result = make_meta(file, error);
	if (result == STORE_OK && rename_new(path, file->store.location) == 0) {
		note_opened(file);
		return STORE_OK;
	}
	if (result == STORE_OK && errno != EEXIST) {
		result = file_failed(file, error, "can't be made");
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
		error_set(error,
		    "%s: can't be opened: it is not there; the helper makes it at its first "
		    "request",
		    file->store.location);
		return STORE_ABSENT;
	}
	/* If TDB can't recover a TDB transaction it complains and leaves errno as it was. */
	damaged = errno == EIO || errno == EINVAL || errno == 0 || file->complaint == TDB_DEBUG_FATAL;
	if ((errno == EIO || errno == 0) && !file->message[0]) {
		snprintf(file->message, sizeof(file->message), "it is not a TDB file");
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
		error_set(error, "%s: cut off while it was in use", file->store.location);
		return STORE_DAMAGED;
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
	if (!file->tdb && access == STORE_READ && (errno == EACCES || errno == EROFS)) {
		file->tdb = open_existing(file, O_RDONLY);
	}
	if (!file->tdb) {
		return not_opened(file, error);
	}
	note_opened(file);
	/* An administrator may have changed database_mode since the file was made. */
	if (access == STORE_CREATE) {
		struct stat st;

		if (fstat(tdb_fd(file->tdb), &st) == 0 &&
		    (st.st_mode & 07777) != file->store.options.mode) {
			(void)!fchmod(tdb_fd(file->tdb), file->store.options.mode);
		}
	}
	result = read_meta(file, error);
	if (result != STORE_OK && result != STORE_DAMAGED) {
		file_close(file);
	}
	return result;
}

/* Whether somebody has copied another file into this one. */
static bool has_other_content(struct file *file)
{
	struct meta meta = file->meta;
	bool other = file_read_meta(file) != META_OK ||
	    memcmp(meta.secret, file->meta.secret, sizeof(meta.secret)) != 0;

	file->meta = meta;
	return other;
}

bool file_is_replaced_by_name(struct file *file)
{
	struct stat named;

	file->recheck = false;
	if (stat(file->store.location, &named)) {
		file->replaced = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
		return file->replaced;
	}
	file->cut_off = (uint64_t)named.st_size < tdb_map_size(file->tdb);
	file->replaced = file->device != named.st_dev || file->inode != named.st_ino ||
	    (named.st_mode & S_IWOTH) || file->cut_off;
	if (file->device != named.st_dev || file->inode != named.st_ino) {
		file->cut_off = false;
	}
	if (!file->replaced) {
		file->replaced = has_other_content(file);
	}
	return file->replaced;
}

bool file_is_replaced(struct file *file)
{
	int seqnum = tdb_get_seqnum(file->tdb);

	if (seqnum == file->seqnum && !file->recheck) {
		return false;
	}
	/* Whoever raised the number may have been killed before it renamed. */
	file->seqnum = seqnum;
	return file_is_replaced_by_name(file);
}

void file_announce_replacement(struct file *file)
{
	tdb_add_flags(file->tdb, TDB_SEQNUM);
	tdb_increment_seqnum_nonblock(file->tdb);
	tdb_remove_flags(file->tdb, TDB_SEQNUM);
}

int file_new_path(
    const struct file *file, char real[PATH_MAX], char new[PATH_MAX], struct error *error)
{
	if (!realpath(file->store.location, real) ||
	    snprintf(new, PATH_MAX, "%s.new", real) >= PATH_MAX) {
		return error_set(error, "%s: %s", file->store.location, strerror(errno));
	}
	return 0;
}

unsigned file_hash_size(size_t keys)
{
	/* As many chains again as there are keys: compaction follows when the file has doubled. */
	size_t size = keys < HASH_SIZE_MAX ? keys * 2 + 1 : HASH_SIZE_MAX;

	return size < FILE_HASH_SIZE_NEW ? FILE_HASH_SIZE_NEW
	    : size > HASH_SIZE_MAX       ? HASH_SIZE_MAX
					 : (unsigned)size;
}

/*
 * TDB grows a file by what some more records of the same size need, and by a quarter or a tenth
 * at least, which may pass max_size. A record of the right size makes it grow once. The size
 * follows from tdb_expand of TDB 1.4; another policy would only leave more or less room.
 */
void file_reserve(struct tdb_context *tdb, uint64_t bytes)
{
	TDB_DATA key = file_data("", 1);
	size_t size = bytes / 100 <= 100 * 1024 ? bytes / 100 : bytes / 2;
	char *filler = calloc(1, size + 1);

	if (filler && tdb_store(tdb, key, file_data(filler, size), TDB_INSERT) == 0) {
		tdb_delete(tdb, key);
	}
	free(filler);
}

size_t file_space(TDB_DATA key, TDB_DATA record)
{
	return key.dsize + record.dsize + 32;
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
