/*
 * Making and opening the counter file: see store_file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/open.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
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
#define META_WRITE                                                                                 \
	FORMAT_VERSION " secret=%016llx%016llx rewritten=%llx took=%llx size=%llx boot=%llx"
#define META_READ FORMAT_VERSION " secret=%16llx%16llx rewritten=%llx took=%llx size=%llx boot=%llx"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

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

enum store_result store_final(enum store_result result)
{
	return result == STORE_DAMAGED ? STORE_ERROR : result;
}

bool store_is_meta(TDB_DATA key)
{
	return key.dsize == strlen(STORE_META_KEY) &&
	    memcmp(key.dptr, STORE_META_KEY, key.dsize) == 0;
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
	return forbidden                                    ? STORE_FORBIDDEN
	    : code == TDB_ERR_CORRUPT || code == TDB_ERR_IO ? STORE_DAMAGED
							    : STORE_ERROR;
}

void store_file_close(struct store *store)
{
	if (store->tdb) {
		tdb_close(store->tdb);
		store->tdb = NULL;
	}
	store_watch_close(store);
	store_map_close(store);
	store->rewrite_due = false;
	store->full_ms = 0;
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
	    (unsigned long long)store->rewritten_size, (unsigned long long)store->boot_id);
	meta[length] = ' ';
}

enum store_meta store_meta_read(struct store *store, const char *bytes, size_t size)
{
	char meta[STORE_META_SIZE + 1];
	unsigned long long half[2], rewritten, took, file_size, boot = 0;
	size_t digits;

	/* Of a later version it may have another size. */
	memset(meta, 0, sizeof(meta));
	memcpy(meta, bytes, size < STORE_META_SIZE ? size : STORE_META_SIZE);
	digits = strspn(meta, "0123456789");
	if (digits > 0 && strncmp(meta + digits, " secret=", 8) == 0 &&
	    strncmp(meta, FORMAT_VERSION " ", 2) != 0) {
		return STORE_META_NEWER;
	}
	if (size != STORE_META_SIZE ||
	    sscanf(meta, META_READ, &half[0], &half[1], &rewritten, &took, &file_size, &boot) < 5) {
		return STORE_META_BAD;
	}
	memcpy(store->secret, half, sizeof(half));
	store->rewritten_ms = (int64_t)rewritten;
	store->rewrite_took_ms = (int64_t)took;
	store->rewritten_size = file_size;
	store->boot_id = boot;
	return STORE_META_OK;
}

static int read_meta(TDB_DATA key, TDB_DATA data, void *private)
{
	(void)key;
	return (int)store_meta_read(private, (const char *)data.dptr, data.dsize);
}

enum store_result store_meta_newer(const struct store *store, struct error *error)
{
	error_set(error, "%s: it is of a newer version than " FORMAT_VERSION, store->options.path);
	return STORE_ERROR;
}

enum store_meta store_meta_load(struct store *store)
{
	TDB_DATA key = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	int result = tdb_parse_record(store->tdb, key, read_meta, store);

	return result < 0 ? STORE_META_BAD : (enum store_meta)result;
}

uint64_t store_boot_id(void)
{
	static uint64_t id;
	uint8_t none[HASH_KEY_BYTES] = {0};
	char text[64];
	ssize_t length;
	int fd;

	if (id == 0) {
		fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
		length = fd >= 0 ? read(fd, text, sizeof(text)) : 0;
		if (fd >= 0) {
			close(fd);
		}
		id = length > 0 ? hash_keyed(none, text, (size_t)length) : 0;
	}
	return id;
}

/* Makes the :meta record of a file that has none. */
static enum store_result meta_make(struct store *store, struct error *error)
{
	TDB_DATA key = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	char meta[STORE_META_SIZE];

	store->rewritten_ms = clock_now_ms();
	store->rewrite_took_ms = 0;
	store->rewritten_size = tdb_map_size(store->tdb);
	store->boot_id = store_boot_id();
	if (getrandom(store->secret, sizeof(store->secret), 0) < 0) {
		return store_fail(store, error, "no random bytes");
	}
	store_meta_write(store, meta);
	if (tdb_store(store->tdb, key, store_tdb_data(meta, STORE_META_SIZE), TDB_INSERT)) {
		return store_fail(store, error, "its record :meta can't be written");
	}
	return STORE_OK;
}

static enum store_result meta_open(struct store *store, struct error *error)
{
	TDB_DATA key = store_tdb_data(STORE_META_KEY, strlen(STORE_META_KEY));
	bool reads = store->options.access == STORE_READ;
	enum store_result result = STORE_OK;
	enum store_meta meta;

	if (!reads && tdb_chainlock(store->tdb, key)) {
		return store_fail(store, error, "can't be locked");
	}
	meta = store_meta_load(store);
	if (meta == STORE_META_NEWER) {
		result = store_meta_newer(store, error);
	} else if (meta != STORE_META_OK && tdb_error(store->tdb) == TDB_ERR_NOEXIST) {
		/* A file never is without it. */
		result = reads ? STORE_OK : STORE_DAMAGED;
		error_set(error, "%s: it has no record :meta", store->options.path);
	} else if (meta != STORE_META_OK) {
		store_fail(store, error, "its record :meta can't be read");
		result = STORE_DAMAGED;
	}
	if (!reads) {
		tdb_chainunlock(store->tdb, key);
	}
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
	if (gate >= 0 && fstat(gate, &st) == 0) {
		store->device = st.st_dev;
		store->inode = st.st_ino;
		if (st.st_mode & S_IWOTH) {
			close(gate);
			snprintf(store->message, sizeof(store->message),
			    "others may write it and may have done so; see what it holds, then "
			    "chmod o-w");
			errno = ENOTSUP; /* none of those that mean damage */
			return NULL;
		}
		/* TDB would wait for what a FIFO says. */
		if (!S_ISREG(st.st_mode)) {
			close(gate);
			snprintf(
			    store->message, sizeof(store->message), "it is not a regular file");
			errno = EBADF;
			return NULL;
		}
	}
	errno = 0;
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
	result = meta_make(store, error);
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

/* One try to open the file as it is, or to make it. */
static enum store_result open_file(struct store *store, struct error *error)
{
	enum store_result result;
	bool damaged;

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
			error_set(error,
			    "%s: can't be opened: it is not there; the helper makes "
			    "it at its first request",
			    store->options.path);
			return STORE_ABSENT;
		}
		/* Where a transaction can't be brought to its end, TDB leaves errno as it was. */
		damaged = errno == EIO || errno == EINVAL || errno == 0 ||
		    strncmp(store->message, "tdb_transaction_recover", 23) == 0;
		if ((errno == EIO || errno == 0) && !store->message[0]) {
			snprintf(store->message, sizeof(store->message), "it is not a TDB file");
		}
		result = store_fail(store, error, "can't be opened");
		return damaged && result == STORE_ERROR ? STORE_DAMAGED : result;
	}
	result = meta_open(store, error);
	if (result != STORE_OK) {
		store_file_close(store);
	}
	return result;
}

enum store_result store_file_open(struct store *store, struct error *error)
{
	enum store_result result = STORE_OK;
	struct error why;

	for (int i = 0; !store->tdb && i < STORE_TRIES; i++) {
		if (store->suspect && store->options.salvage) {
			error_set(error, "%s: cut off while it was in use", store->options.path);
			result = STORE_DAMAGED;
		} else {
			result = open_file(store, error);
		}
		if (result == STORE_OK && store->options.salvage &&
		    store->boot_id != store_boot_id()) {
			result = store_boot_check(store, error);
		} else if (result == STORE_DAMAGED && store->options.salvage) {
			why = *error;
			result = store_file_salvage(store, why.text, error);
		}
		if (result != STORE_OK) {
			store_file_close(store);
			return result;
		}
	}
	if (!store->tdb) {
		error_set(error, "%s: replaced again and again", store->options.path);
		return STORE_BUSY;
	}
	return STORE_OK;
}

bool store_file_replaced(struct store *store)
{
	struct stat named;

	if (stat(store->options.path, &named)) {
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
	}
	if (store->device != named.st_dev || store->inode != named.st_ino ||
	    (named.st_mode & S_IWOTH)) {
		return true;
	}
	store->suspect = (uint64_t)named.st_size < tdb_map_size(store->tdb);
	return store->suspect;
}

static volatile sig_atomic_t bus_armed;
sigjmp_buf store_bus_jump;

static void on_bus(int signal_number)
{
	if (!bus_armed) {
		signal(signal_number, SIG_DFL);
		return;
	}
	bus_armed = 0;
	siglongjmp(store_bus_jump, 1);
}

void store_bus_arm(bool armed)
{
	static bool ready;

	if (!ready) {
		/* Not blocked while it is handled, since the handler does not return. */
		struct sigaction action = {.sa_handler = on_bus, .sa_flags = SA_NODEFER};

		sigaction(SIGBUS, &action, NULL);
		ready = true;
	}
	bus_armed = armed;
}

enum store_result store_bus_recover(struct store *store, struct error *error)
{
	struct tdb_context *tdb = store->tdb;

	store_alarm_stop();
	if (store->limited) {
		setrlimit(RLIMIT_FSIZE, &store->limit);
		store->limited = false;
	}
	store->tdb = NULL;
	store->suspect = true;
	store_watch_close(store);
	store_map_close(store);
	if (tdb && sigsetjmp(store_bus_jump, 0) == 0) {
		store_bus_arm(true);
		tdb_close(tdb);
	}
	store_bus_arm(false);
	error_set(error, "%s: cut off while it was in use, or its disk fails", store->options.path);
	return STORE_DAMAGED;
}

struct tdb_context *store_file_make(struct store *store, const char *path, unsigned hash_size)
{
	return open_tdb(store, path, hash_size, O_RDWR | O_CREAT | O_EXCL);
}
