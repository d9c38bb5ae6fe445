/*
 * Making and opening the counter file: see store_file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store_file.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <tdb.h>
#include <unistd.h>

#define FORMAT_VERSION "1"

/* Rule names have no ':', so no counter's key starts with one. */
#define META_WRITE FORMAT_VERSION " secret=%016llx%016llx rewritten=%llx took=%llx size=%llx"
#define META_READ FORMAT_VERSION " secret=%16llx%16llx rewritten=%llx took=%llx size=%llx"

/* The alarm that bounds waiting for locks; tdb_setalarm_sigptr looks at it. */
volatile sig_atomic_t store_alarm_rang;

static void on_alarm(int signal)
{
	(void)signal;
	store_alarm_rang = 1;
}

void store_alarm_start(const struct store *store)
{
	struct sigaction action = {.sa_handler = on_alarm};
	int64_t ms = store->options.lock_timeout_ms;
	struct itimerval timer = {
	    .it_value = {ms / 1000, (ms % 1000) * 1000}, .it_interval = {0, 20000}};

	store_alarm_rang = 0;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

void store_alarm_stop(void)
{
	setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
}

TDB_DATA store_tdb_data(const void *bytes, size_t size)
{
	return (TDB_DATA){.dptr = (unsigned char *)bytes, .dsize = size};
}

/* TDB's messages go to whoever asks why a call failed, never to stderr. */
static void on_tdb_message(
    struct tdb_context *tdb, enum tdb_debug_level level, const char *format, ...)
{
	struct store *store = tdb_get_logging_private(tdb);
	va_list args;

	(void)level;
	va_start(args, format);
	vsnprintf(store->message, sizeof(store->message), format, args);
	va_end(args);
	store->message[strcspn(store->message, "\n")] = '\0';
}

enum store_result store_fail(struct store *store, struct error *error, const char *what)
{
	enum TDB_ERROR code = store->tdb ? tdb_error(store->tdb) : TDB_SUCCESS;
	bool forbidden = !store->tdb && (errno == EACCES || errno == EPERM || errno == EROFS);

	if (store_alarm_rang || (code == TDB_ERR_LOCK && errno == EDEADLK)) {
		error_set(error, "%s: another process has kept its lock for %lld ms",
		    store->options.path, (long long)store->options.lock_timeout_ms);
		return STORE_BUSY;
	}
	error_set(error, "%s: %s: %s", store->options.path, what,
	    store->message[0] ? store->message
		: store->tdb  ? tdb_errorstr(store->tdb)
			      : strerror(errno));
	return forbidden ? STORE_FORBIDDEN : STORE_ERROR;
}

void store_file_close(struct store *store)
{
	if (store->tdb) {
		tdb_close(store->tdb);
		store->tdb = NULL;
	}
	store->rewrite_due = false;
}

/* The :meta record: written once when a file is made, before others see it or under its lock. */
void store_meta_write(const struct store *store, char meta[STORE_META_SIZE])
{
	unsigned long long half[2];
	int length;

	memcpy(half, store->secret, sizeof(half));
	memset(meta, ' ', STORE_META_SIZE);
	length = snprintf(meta, STORE_META_SIZE, META_WRITE, half[0], half[1],
	    (unsigned long long)store->rewritten_ms, (unsigned long long)store->rewrite_took_ms,
	    (unsigned long long)store->rewritten_size);
	meta[length] = ' ';
}

static int meta_read(TDB_DATA key, TDB_DATA data, void *private)
{
	struct store *store = private;
	char meta[STORE_META_SIZE + 1];
	unsigned long long half[2], rewritten, took, size;

	(void)key;
	if (data.dsize != STORE_META_SIZE) {
		return -1;
	}
	memcpy(meta, data.dptr, STORE_META_SIZE);
	meta[STORE_META_SIZE] = '\0';
	if (sscanf(meta, META_READ, &half[0], &half[1], &rewritten, &took, &size) != 5) {
		return -1;
	}
	memcpy(store->secret, half, sizeof(half));
	store->rewritten_ms = (int64_t)rewritten;
	store->rewrite_took_ms = (int64_t)took;
	store->rewritten_size = size;
	return 0;
}

static enum store_result meta_open(struct store *store, struct error *error)
{
	TDB_DATA key = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	enum store_result result = STORE_OK;
	char meta[STORE_META_SIZE];
	int found;

	if (store->options.access == STORE_READ) {
		found = tdb_parse_record(store->tdb, key, meta_read, store);
		if (found != 0 && tdb_error(store->tdb) != TDB_ERR_NOEXIST) {
			return store_fail(store, error, "its record :meta can't be read");
		}
		return STORE_OK;
	}
	if (tdb_chainlock(store->tdb, key)) {
		return store_fail(store, error, "can't be locked");
	}
	if (tdb_exists(store->tdb, key)) {
		if (tdb_parse_record(store->tdb, key, meta_read, store)) {
			snprintf(store->message, sizeof(store->message),
			    "it is not of version " FORMAT_VERSION);
			result = store_fail(store, error, "its record :meta can't be read");
		}
	} else {
		store->rewritten_ms = clock_now_ms();
		store->rewrite_took_ms = 0;
		store->rewritten_size = tdb_map_size(store->tdb);
		if (getrandom(store->secret, sizeof(store->secret), 0) < 0) {
			result = store_fail(store, error, "no random bytes");
		} else {
			store_meta_write(store, meta);
			if (tdb_store(store->tdb, key, store_tdb_data(meta, STORE_META_SIZE),
				TDB_INSERT)) {
				result =
				    store_fail(store, error, "its record :meta can't be written");
			}
		}
	}
	tdb_chainunlock(store->tdb, key);
	return result;
}

/*
 * tdb_open waits for a lock on the file's first byte, which a transaction holds while
 * it commits, and no signal ends that wait. So it is waited for here, where the
 * alarm does: a process may lock again what it has locked, and tdb_open finds it
 * free. The descriptor is to be closed after tdb_open; -1 and errno.
 */
static int wait_for_open(const char *path, int open_flags)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	int fd = open(path, open_flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 || open_flags == O_RDONLY) {
		return fd;
	}
	while (fcntl(fd, F_SETLKW, &lock)) {
		if (errno != EINTR || store_alarm_rang) {
			int lock_errno = errno;

			close(fd);
			errno = lock_errno;
			return -1;
		}
	}
	return fd;
}

static struct tdb_context *open_tdb(
    struct store *store, const char *path, unsigned hash_size, int open_flags)
{
	struct tdb_logging_context log = {on_tdb_message, store};
	struct tdb_context *tdb;
	struct stat st;
	int gate;

	store->message[0] = '\0';
	gate = open_flags & O_CREAT ? -1 : wait_for_open(path, open_flags);
	if (gate == -1 && !(open_flags & O_CREAT)) {
		return NULL;
	}
	if (gate >= 0 && fstat(gate, &st) == 0 && (st.st_mode & S_IWOTH)) {
		snprintf(store->message, sizeof(store->message),
		    "others may write it and may have done so; see what it holds, then chmod o-w");
		close(gate);
		errno = EINVAL;
		return NULL;
	}
	tdb = tdb_open_ex(path, (int)hash_size, TDB_NOSYNC | TDB_INCOMPATIBLE_HASH, open_flags,
	    store->options.mode, &log, NULL);
	if (gate >= 0) {
		int open_errno = errno;

		close(gate);
		errno = open_errno;
	}
	if (!tdb) {
		return NULL;
	}
	/* Postfix's umask took permissions away that other accounts of the group may need. */
	if (store->options.access == STORE_CREATE && fstat(tdb_fd(tdb), &st) == 0 &&
	    (st.st_mode & 07777) != store->options.mode) {
		(void)!fchmod(tdb_fd(tdb), store->options.mode);
	}
	if (fstat(tdb_fd(tdb), &st) == 0) {
		store->device = st.st_dev;
		store->inode = st.st_ino;
	}
	tdb_setalarm_sigptr(tdb, &store_alarm_rang);
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
 * Makes the file under a name of this process's own and then gives it its real one:
 * nobody ever sees half a file, and a file of some other kind is never written to,
 * as tdb_open would do with O_CREAT. STORE_OK too if another process was faster.
 */
static enum store_result create_file(struct store *store, struct error *error)
{
	enum store_result result = STORE_OK;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s.%d", store->options.path, (int)getpid()) >=
	    (int)sizeof(path)) {
		error_set(error, "%s: the name is too long", store->options.path);
		return STORE_ERROR;
	}
	unlink(path);
	store->tdb = open_tdb(store, path, STORE_HASH_SIZE_NEW, O_RDWR | O_CREAT | O_EXCL);
	if (!store->tdb) {
		result = store_fail(store, error,
		    errno == ENOENT
			? "can't be made; its folder must exist and belong to the account that "
			  "the helper runs as"
			: "can't be made");
		unlink(path);
		return result;
	}
	result = meta_open(store, error);
	if (result == STORE_OK && rename_new(path, store->options.path) == 0) {
		return STORE_OK;
	}
	if (result == STORE_OK && errno != EEXIST) {
		result = store_fail(store, error, "can't be made");
	}
	unlink(path);
	store_file_close(store);
	return result;
}

enum store_result store_file_open(struct store *store, struct error *error)
{
	enum store_result result;

	if (store->tdb) {
		return STORE_OK;
	}
	for (int i = 0; !store->tdb && i < STORE_TRIES; i++) {
		store->tdb = open_tdb(store, store->options.path, STORE_HASH_SIZE_NEW, O_RDWR);
		if (store->tdb || errno != ENOENT || store->options.access != STORE_CREATE) {
			break;
		}
		result = create_file(store, error);
		if (result != STORE_OK || store->tdb) {
			return result;
		}
	}
	if (!store->tdb && store->options.access == STORE_READ &&
	    (errno == EACCES || errno == EROFS)) {
		store->tdb = open_tdb(store, store->options.path, STORE_HASH_SIZE_NEW, O_RDONLY);
	}
	if (!store->tdb) {
		if (errno == ENOENT) {
			snprintf(store->message, sizeof(store->message),
			    "it is not there; the helper makes it at its first request");
		} else if (errno == EIO && !store->message[0]) {
			snprintf(store->message, sizeof(store->message), "it is not a TDB file");
		}
		return store_fail(store, error, "can't be opened");
	}
	result = meta_open(store, error);
	if (result != STORE_OK) {
		store_file_close(store);
	}
	return result;
}

bool store_file_replaced(const struct store *store)
{
	struct stat named;

	if (stat(store->options.path, &named)) {
		return errno == ENOENT;
	}
	if (store->device != named.st_dev || store->inode != named.st_ino ||
	    (named.st_mode & S_IWOTH)) {
		return true;
	}
	/* Cut off: what lies behind its end can't be touched. */
	return (uint64_t)named.st_size < tdb_map_size(store->tdb);
}

struct tdb_context *store_file_make(struct store *store, const char *path, unsigned hash_size)
{
	return open_tdb(store, path, hash_size, O_RDWR | O_CREAT | O_EXCL);
}
