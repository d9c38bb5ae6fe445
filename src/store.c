/*
 * The counter file, a TDB: see store.h.
 *
 * Why it is written this way: a process may be killed at any instruction, and TDB
 * is safe against that only for some of its operations. An overwrite in place
 * and an insert are (the record is complete before its chain points at it); a
 * delete or a store of another length is only within a transaction.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <tdb.h>
#include <unistd.h>

#define FORMAT_VERSION "1"

/* Rule names have no ':', so no counter's key starts with one. */
#define META_KEY ":meta"
#define META_SIZE 128
#define META_WRITE FORMAT_VERSION " secret=%016llx%016llx rewritten=%llx took=%llx size=%llx"
#define META_READ FORMAT_VERSION " secret=%16llx%16llx rewritten=%llx took=%llx size=%llx"

#define HASH_SIZE_MIN 4093
#define HASH_SIZE_MAX 4000000

/* A file smaller than this is not worth a rewrite, unless it is full. */
#define REWRITE_SIZE_MIN (1 << 20)

/* Rewriting takes at most one part in so many of the time. */
#define REWRITE_SHARE 50

/* How often a file that was just replaced is looked for again. */
#define TRIES 10

#define MAX_ITEMS 64

struct store {
	struct store_options options;
	struct tdb_context *tdb; /* NULL: not open */
	uint8_t secret[HASH_KEY_BYTES];

	/* Of the open file, from its :meta record. */
	int64_t rewritten_ms;
	int64_t rewrite_took_ms;
	uint64_t rewritten_size;
	bool rewrite_due;

	char *buffer[MAX_ITEMS]; /* copies of an update's records; grow as needed */
	size_t buffer_size[MAX_ITEMS];
	char message[200]; /* TDB's last words */
};

/* The alarm that bounds waiting for locks; tdb_setalarm_sigptr looks at it. */
static volatile sig_atomic_t alarm_rang;

static void on_alarm(int signal)
{
	(void)signal;
	alarm_rang = 1;
}

/*
 * Makes blocking lock calls give up after the timeout. It rings again and again:
 * the first ring may come just before a call blocks.
 */
static void alarm_start(const struct store *store)
{
	struct sigaction action = {.sa_handler = on_alarm};
	int64_t ms = store->options.lock_timeout_ms;
	struct itimerval timer = {.it_value = {ms / 1000, (ms % 1000) * 1000},
	    .it_interval = {0, 20000}};

	alarm_rang = 0;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void alarm_stop(void)
{
	setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
}

static TDB_DATA tdb_data(const void *bytes, size_t size)
{
	return (TDB_DATA){.dptr = (unsigned char *)bytes, .dsize = size};
}

/* TDB's messages go to whoever asks why a call failed, never to stderr. */
static void on_tdb_message(struct tdb_context *tdb, enum tdb_debug_level level, const char *format,
    ...)
{
	struct store *store = tdb_get_logging_private(tdb);
	va_list args;

	(void)level;
	va_start(args, format);
	vsnprintf(store->message, sizeof(store->message), format, args);
	va_end(args);
	store->message[strcspn(store->message, "\n")] = '\0';
}

static enum store_result fail(struct store *store, struct error *error, const char *what)
{
	enum TDB_ERROR code = store->tdb ? tdb_error(store->tdb) : TDB_SUCCESS;
	bool forbidden = !store->tdb && (errno == EACCES || errno == EPERM || errno == EROFS);

	if (alarm_rang || code == TDB_ERR_LOCK) {
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

static void close_file(struct store *store)
{
	if (store->tdb) {
		tdb_close(store->tdb);
		store->tdb = NULL;
	}
	store->rewrite_due = false;
}

/* The :meta record: written once when a file is made, before others see it or under its lock. */
static void meta_write(const struct store *store, char meta[META_SIZE])
{
	unsigned long long half[2];
	int length;

	memcpy(half, store->secret, sizeof(half));
	memset(meta, ' ', META_SIZE);
	length = snprintf(meta, META_SIZE, META_WRITE, half[0], half[1],
	    (unsigned long long)store->rewritten_ms, (unsigned long long)store->rewrite_took_ms,
	    (unsigned long long)store->rewritten_size);
	meta[length] = ' ';
}

static int meta_read(TDB_DATA key, TDB_DATA data, void *private)
{
	struct store *store = private;
	char meta[META_SIZE + 1];
	unsigned long long half[2], rewritten, took, size;

	(void)key;
	if (data.dsize != META_SIZE) {
		return -1;
	}
	memcpy(meta, data.dptr, META_SIZE);
	meta[META_SIZE] = '\0';
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
	TDB_DATA key = tdb_data(META_KEY, strlen(META_KEY));
	enum store_result result = STORE_OK;
	char meta[META_SIZE];
	int found;

	if (store->options.access == STORE_READ) {
		found = tdb_parse_record(store->tdb, key, meta_read, store);
		if (found != 0 && tdb_error(store->tdb) != TDB_ERR_NOEXIST) {
			return fail(store, error, "its record :meta can't be read");
		}
		return STORE_OK;
	}
	if (tdb_chainlock(store->tdb, key)) {
		return fail(store, error, "can't be locked");
	}
	if (tdb_exists(store->tdb, key)) {
		if (tdb_parse_record(store->tdb, key, meta_read, store)) {
			snprintf(store->message, sizeof(store->message), "it is not of version " FORMAT_VERSION);
			result = fail(store, error, "its record :meta can't be read");
		}
	} else {
		store->rewritten_ms = clock_now_ms();
		store->rewrite_took_ms = 0;
		store->rewritten_size = tdb_map_size(store->tdb);
		if (getrandom(store->secret, sizeof(store->secret), 0) < 0) {
			result = fail(store, error, "no random bytes");
		} else {
			meta_write(store, meta);
			if (tdb_store(store->tdb, key, tdb_data(meta, META_SIZE), TDB_INSERT)) {
				result = fail(store, error, "its record :meta can't be written");
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
		if (errno != EINTR || alarm_rang) {
			int lock_errno = errno;

			close(fd);
			errno = lock_errno;
			return -1;
		}
	}
	return fd;
}

static struct tdb_context *open_tdb(struct store *store, const char *path, unsigned hash_size,
    int open_flags)
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
	tdb_setalarm_sigptr(tdb, &alarm_rang);
	return tdb;
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
	store->tdb = open_tdb(store, path, HASH_SIZE_MIN, O_RDWR | O_CREAT | O_EXCL);
	if (!store->tdb) {
		result = fail(store, error, errno == ENOENT
			? "can't be made; its folder must exist and belong to the account that "
			  "the helper runs as"
			: "can't be made");
		unlink(path);
		return result;
	}
	result = meta_open(store, error);
	if (result == STORE_OK && link(path, store->options.path) == 0) {
		unlink(path);
		return STORE_OK;
	}
	if (result == STORE_OK && errno != EEXIST) {
		result = fail(store, error, "can't be made");
	}
	unlink(path);
	close_file(store);
	return result;
}

static enum store_result open_file(struct store *store, struct error *error)
{
	enum store_result result;

	if (store->tdb) {
		return STORE_OK;
	}
	for (int i = 0; !store->tdb && i < TRIES; i++) {
		store->tdb = open_tdb(store, store->options.path, HASH_SIZE_MIN, O_RDWR);
		if (store->tdb || errno != ENOENT || store->options.access != STORE_CREATE) {
			break;
		}
		result = create_file(store, error);
		if (result != STORE_OK || store->tdb) {
			return result;
		}
	}
	if (!store->tdb && store->options.access == STORE_READ && (errno == EACCES || errno == EROFS)) {
		store->tdb = open_tdb(store, store->options.path, HASH_SIZE_MIN, O_RDONLY);
	}
	if (!store->tdb) {
		if (errno == ENOENT) {
			snprintf(store->message, sizeof(store->message),
			    "it is not there; the helper makes it at its first request");
		} else if (errno == EIO && !store->message[0]) {
			snprintf(store->message, sizeof(store->message), "it is not a TDB file");
		}
		return fail(store, error, "can't be opened");
	}
	result = meta_open(store, error);
	if (result != STORE_OK) {
		close_file(store);
	}
	return result;
}

struct store *store_new(const struct store_options *options)
{
	struct store *store = calloc(1, sizeof(*store));

	if (store) {
		store->options = *options;
	}
	return store;
}

void store_close(struct store *store)
{
	if (!store) {
		return;
	}
	close_file(store);
	for (size_t i = 0; i < MAX_ITEMS; i++) {
		free(store->buffer[i]);
	}
	free(store);
}

enum store_result store_secret(struct store *store, const uint8_t **secret, struct error *error)
{
	enum store_result result = STORE_OK;

	*secret = store->secret;
	if (!store->tdb) {
		alarm_start(store);
		result = open_file(store, error);
		alarm_stop();
	}
	return result;
}

/* Whether the open file has been replaced: it has no name any more. */
static bool is_replaced(const struct store *store)
{
	struct stat st;

	return fstat(tdb_fd(store->tdb), &st) == 0 && st.st_nlink == 0;
}

/* An update while it is under way. */
struct update {
	struct store *store;
	struct store_item *item;
	size_t items;
	/* The items' chains, each once, in ascending order: see lock_chains. */
	struct {
		TDB_DATA key;
		unsigned number;
	} chain[MAX_ITEMS];
	size_t chains;
	size_t current; /* item that read_record is to read */
	bool alarmed;
};

static void sort_chains(struct update *update)
{
	unsigned hash_size = (unsigned)tdb_hash_size(update->store->tdb);

	update->chains = 0;
	for (size_t i = 0; i < update->items; i++) {
		TDB_DATA key = tdb_data(update->item[i].key, update->item[i].key_length);
		unsigned number = tdb_jenkins_hash(&key) % hash_size;
		size_t at = update->chains;

		while (at > 0 && update->chain[at - 1].number > number) {
			at--;
		}
		if (at > 0 && update->chain[at - 1].number == number) {
			continue;
		}
		memmove(&update->chain[at + 1], &update->chain[at],
		    (update->chains - at) * sizeof(*update->chain));
		update->chain[at].key = key;
		update->chain[at].number = number;
		update->chains++;
	}
}

static void unlock_chains(struct update *update, size_t locked)
{
	while (locked-- > 0) {
		tdb_chainunlock(update->store->tdb, update->chain[locked].key);
	}
}

/* Blocking calls need the alarm; the common case, all locks free, does without. */
static void update_alarm(struct update *update)
{
	if (!update->alarmed) {
		alarm_start(update->store);
		update->alarmed = true;
	}
}

/* Always in the order of the chains, so that two processes never wait for each other. */
static int lock_chains(struct update *update)
{
	for (size_t i = 0; i < update->chains; i++) {
		if (tdb_chainlock_nonblock(update->store->tdb, update->chain[i].key) == 0) {
			continue;
		}
		update_alarm(update);
		if (tdb_chainlock(update->store->tdb, update->chain[i].key)) {
			unlock_chains(update, i);
			return -1;
		}
	}
	return 0;
}

static int reserve(struct store *store, size_t i, size_t size)
{
	char *new;

	if (store->buffer_size[i] >= size) {
		return 0;
	}
	new = realloc(store->buffer[i], size);
	if (!new) {
		return -1;
	}
	store->buffer[i] = new;
	store->buffer_size[i] = size;
	return 0;
}

static int take_copy(struct update *update, const void *bytes, size_t size)
{
	struct store_item *item = &update->item[update->current];

	if (reserve(update->store, update->current, size)) {
		return -1;
	}
	memcpy(update->store->buffer[update->current], bytes, size);
	item->data = update->store->buffer[update->current];
	item->size = size;
	return 0;
}

static int read_record(TDB_DATA key, TDB_DATA data, void *private)
{
	(void)key;
	return take_copy(private, data.dptr, data.dsize);
}

static enum store_result read_items(struct update *update, struct error *error)
{
	struct store *store = update->store;

	for (size_t i = 0; i < update->items; i++) {
		struct store_item *item = &update->item[i];
		TDB_DATA key = tdb_data(item->key, item->key_length);

		update->current = i;
		item->changed = false;
		item->replacement = NULL;
		item->stored = tdb_parse_record(store->tdb, key, read_record, update) == 0;
		if (item->stored) {
			continue;
		}
		if (tdb_error(store->tdb) != TDB_ERR_NOEXIST) {
			return fail(store, error, "a record can't be read");
		}
		item->size = 0;
		if (item->empty && take_copy(update, item->empty, item->empty_size)) {
			return fail(store, error, "out of memory");
		}
	}
	return STORE_OK;
}

/*
 * Inserts within max_size: the kernel itself stops TDB from making the file longer,
 * which it does in steps of a tenth to a quarter.
 */
static enum store_result insert(struct store *store, const struct store_item *item,
    struct error *error)
{
	TDB_DATA key = tdb_data(item->key, item->key_length);
	struct rlimit old, new;
	int failed;

	errno = 0;
	if (tdb_map_size(store->tdb) > store->options.max_size || getrlimit(RLIMIT_FSIZE, &old)) {
		goto full;
	}
	new = old;
	if (new.rlim_cur > store->options.max_size) {
		new.rlim_cur = store->options.max_size;
	}
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &new);
	failed = tdb_store(store->tdb, key, tdb_data(item->empty, item->empty_size), TDB_INSERT);
	setrlimit(RLIMIT_FSIZE, &old);
	if (!failed) {
		uint64_t size = tdb_map_size(store->tdb);

		if (size >= REWRITE_SIZE_MIN && size / 2 >= store->rewritten_size) {
			store->rewrite_due = true;
		}
		return STORE_OK;
	}
	if (tdb_error(store->tdb) == TDB_ERR_LOCK || alarm_rang) {
		return fail(store, error, "can't be locked");
	}
full:
	store->rewrite_due = true;
	store->message[0] = '\0';
	if (errno == ENOSPC || errno == EDQUOT) {
		error_set(error, "%s: no room for a new counter: %s", store->options.path,
		    strerror(errno));
	} else {
		error_set(error, "%s: no room for a new counter: database_max_size is %llu bytes",
		    store->options.path, (unsigned long long)store->options.max_size);
	}
	return STORE_FULL;
}

static enum store_result write_items(struct update *update, struct error *error)
{
	struct store *store = update->store;
	enum store_result result;

	/* Inserting is what can fail: with all keys there, the rest can't. */
	for (size_t i = 0; i < update->items; i++) {
		if (update->item[i].changed && !update->item[i].stored) {
			update_alarm(update);
			result = insert(store, &update->item[i], error);
			if (result != STORE_OK) {
				return result;
			}
		}
	}
	for (size_t i = 0; i < update->items; i++) {
		struct store_item *item = &update->item[i];
		TDB_DATA data = item->replacement
		    ? tdb_data(item->replacement, item->replacement_size)
		    : tdb_data(item->data, item->size);

		if (item->changed && tdb_store(store->tdb, tdb_data(item->key, item->key_length),
					 data, TDB_REPLACE)) {
			return fail(store, error, "a record can't be written");
		}
	}
	return STORE_OK;
}

static bool wants_transaction(const struct update *update)
{
	for (size_t i = 0; i < update->items; i++) {
		if (update->item[i].changed && update->item[i].replacement) {
			return true;
		}
	}
	return false;
}

/* One try with the open file; *again is set if it turned out to be the wrong file, or way. */
static enum store_result try_update(struct update *update, bool transaction, store_change *change,
    void *data, bool *again, struct error *error)
{
	struct store *store = update->store;
	enum store_result result;

	if (transaction) {
		update_alarm(update);
		if (tdb_transaction_start(store->tdb)) {
			return fail(store, error, "can't start a transaction");
		}
	} else {
		sort_chains(update);
		if (lock_chains(update)) {
			return fail(store, error, "can't be locked");
		}
	}
	if (is_replaced(store)) {
		*again = true;
		result = STORE_ERROR;
	} else {
		result = read_items(update, error);
	}
	if (result == STORE_OK) {
		result = change(data, update->item, update->items);
	}
	if (result == STORE_OK && !transaction && wants_transaction(update)) {
		*again = true;
	} else if (result == STORE_OK) {
		result = write_items(update, error);
	}
	if (!transaction) {
		unlock_chains(update, update->chains);
	} else if (result != STORE_OK || *again) {
		tdb_transaction_cancel(store->tdb);
	} else if (tdb_transaction_commit(store->tdb)) {
		return fail(store, error, "can't commit a transaction");
	}
	return result;
}

enum store_result store_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error)
{
	struct update update = {.store = store, .item = item, .items = items};
	enum store_result result = STORE_OK;
	bool transaction = false;
	bool again = true;

	if (items > MAX_ITEMS) {
		error_set(error, "more than %d records in one update", MAX_ITEMS);
		return STORE_ERROR;
	}
	alarm_rang = 0;
	store->message[0] = '\0';
	for (int i = 0; again && i < TRIES; i++) {
		if (!store->tdb) {
			update_alarm(&update);
		}
		again = false;
		result = open_file(store, error);
		if (result != STORE_OK) {
			break;
		}
		result = try_update(&update, transaction, change, data, &again, error);
		if (again && result == STORE_OK) {
			transaction = true;
		} else if (again) {
			close_file(store);
		}
	}
	if (update.alarmed) {
		alarm_stop();
	}
	if (result == STORE_ERROR) {
		/* Whatever it was, the next request starts from the file as it is then. */
		close_file(store);
	}
	return result;
}

struct walk {
	store_visit *visit;
	void *data;
	char *buffer; /* only for walks without locks */
	size_t buffer_size;
	size_t size;
	bool same;
};

/* Whether the record still is what the walk's buffer holds; takes it there if not. */
static int compare_record(TDB_DATA key, TDB_DATA record, void *private)
{
	struct walk *walk = private;

	(void)key;
	walk->same = walk->size == record.dsize &&
	    memcmp(walk->buffer, record.dptr, record.dsize) == 0;
	if (!walk->same) {
		walk->size = record.dsize < walk->buffer_size ? record.dsize : walk->buffer_size;
		memcpy(walk->buffer, record.dptr, walk->size);
	}
	return 0;
}

/* TDB doesn't lock a file opened for reading only: reads until nobody wrote meanwhile. */
static TDB_DATA settle_record(struct tdb_context *tdb, struct walk *walk, TDB_DATA key,
    TDB_DATA record)
{
	if (walk->buffer_size < record.dsize) {
		char *new = realloc(walk->buffer, record.dsize);

		if (!new) {
			return record;
		}
		walk->buffer = new;
		walk->buffer_size = record.dsize;
	}
	memcpy(walk->buffer, record.dptr, record.dsize);
	walk->size = record.dsize;
	walk->same = false;
	for (int i = 0; !walk->same && i < TRIES; i++) {
		if (tdb_parse_record(tdb, key, compare_record, walk)) {
			break;
		}
	}
	return tdb_data(walk->buffer, walk->size);
}

static int visit_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct walk *walk = private;

	if (key.dsize > 0 && key.dptr[0] == ':') {
		return 0;
	}
	if (tdb_get_flags(tdb) & TDB_NOLOCK) {
		record = settle_record(tdb, walk, key, record);
	}
	return !walk->visit(walk->data, (const char *)key.dptr, key.dsize,
	    (const char *)record.dptr, record.dsize);
}

enum store_result store_walk(struct store *store, store_visit *visit, void *data,
    struct error *error)
{
	struct walk walk = {.visit = visit, .data = data};
	enum store_result result;

	alarm_start(store);
	result = open_file(store, error);
	if (result == STORE_OK && tdb_traverse_read(store->tdb, visit_record, &walk) < 0) {
		result = fail(store, error, "can't be read");
	}
	alarm_stop();
	free(walk.buffer);
	return result;
}

bool store_rewrite_due(const struct store *store)
{
	int64_t since_ms = clock_now_ms() - store->rewritten_ms;

	return store->rewrite_due && store->tdb &&
	    (since_ms < 0 || since_ms >= store->rewrite_took_ms * REWRITE_SHARE);
}

struct rewrite {
	struct tdb_context *to; /* NULL: only count */
	store_keep *keep;
	void *data;
	size_t kept;
	bool failed;
};

/*
 * Copies a record, in two steps: TDB gives a new record a quarter more room than it
 * asks for, which would be wasted on what never grows.
 */
static int copy_record(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private)
{
	struct rewrite *rewrite = private;
	TDB_DATA part = record;

	(void)tdb;
	if (key.dsize > 0 && key.dptr[0] == ':') {
		return 0;
	}
	if (!rewrite->keep(rewrite->data, (const char *)key.dptr, key.dsize,
		(const char *)record.dptr, record.dsize)) {
		return 0;
	}
	rewrite->kept++;
	if (!rewrite->to) {
		return 0;
	}
	part.dsize = (key.dsize + record.dsize) * 4 / 5 + 4;
	part.dsize = part.dsize > key.dsize ? part.dsize - key.dsize : 1;
	if (part.dsize < record.dsize && tdb_store(rewrite->to, key, part, TDB_INSERT)) {
		rewrite->failed = true;
	}
	if (tdb_store(rewrite->to, key, record, TDB_REPLACE)) {
		rewrite->failed = true;
	}
	return rewrite->failed;
}

static unsigned choose_hash_size(size_t keys)
{
	/* As many chains again as there are keys: the file is rewritten when it has doubled. */
	size_t size = keys * 2 + 1;

	return size < HASH_SIZE_MIN ? HASH_SIZE_MIN
	    : size > HASH_SIZE_MAX  ? HASH_SIZE_MAX
				    : (unsigned)size;
}

/* With all of the old file locked: makes PATH.new and gives it PATH's name. */
static enum store_result write_new_file(struct store *store, struct rewrite *rewrite,
    int64_t start_ms, struct error *error)
{
	TDB_DATA meta_key = tdb_data(META_KEY, strlen(META_KEY));
	enum store_result result = STORE_ERROR;
	char path[PATH_MAX];
	char meta[META_SIZE];

	if (snprintf(path, sizeof(path), "%s.new", store->options.path) >= (int)sizeof(path)) {
		error_set(error, "%s: the name is too long", store->options.path);
		return STORE_ERROR;
	}
	if (tdb_traverse_read(store->tdb, copy_record, rewrite) < 0) {
		return fail(store, error, "can't be read");
	}
	/* What a killed rewrite left. */
	if (unlink(path) && errno != ENOENT) {
		return fail(store, error, "PATH.new can't be removed");
	}
	rewrite->to = open_tdb(store, path, choose_hash_size(rewrite->kept),
	    O_RDWR | O_CREAT | O_EXCL);
	if (!rewrite->to) {
		return fail(store, error, "PATH.new can't be made");
	}
	rewrite->kept = 0;
	store->rewritten_ms = start_ms;
	meta_write(store, meta);
	if (tdb_store(rewrite->to, meta_key, tdb_data(meta, META_SIZE), TDB_INSERT) ||
	    tdb_traverse_read(store->tdb, copy_record, rewrite) < 0 || rewrite->failed) {
		error_set(error, "%s.new: can't be written: %s", store->options.path,
		    tdb_errorstr(rewrite->to));
		goto out;
	}
	store->rewritten_size = tdb_map_size(rewrite->to);
	store->rewrite_took_ms = clock_now_ms() - start_ms;
	meta_write(store, meta);
	tdb_store(rewrite->to, meta_key, tdb_data(meta, META_SIZE), TDB_REPLACE);
	if (fdatasync(tdb_fd(rewrite->to)) || rename(path, store->options.path)) {
		error_set(error, "%s.new: %s", store->options.path, strerror(errno));
		goto out;
	}
	result = STORE_OK;
out:
	if (result != STORE_OK) {
		unlink(path);
		tdb_close(rewrite->to);
	}
	return result;
}

enum store_result store_rewrite(struct store *store, store_keep *keep, void *data,
    struct error *error)
{
	struct rewrite rewrite = {.keep = keep, .data = data};
	int64_t start_ms = clock_now_ms();
	uint64_t old_size;
	enum store_result result;

	store->message[0] = '\0';
	alarm_start(store);
	result = open_file(store, error);
	if (result != STORE_OK) {
		alarm_stop();
		return result;
	}
	store->rewrite_due = false;
	if (tdb_lockall(store->tdb)) {
		result = fail(store, error, "can't be locked");
		alarm_stop();
		return result;
	}
	alarm_stop();
	if (is_replaced(store)) {
		close_file(store);
		return STORE_OK;
	}
	old_size = store->rewritten_size;
	result = write_new_file(store, &rewrite, start_ms, error);
	if (result == STORE_OK) {
		/* Closing unlocks; whoever waited finds that the file has no name any more. */
		close_file(store);
		store->tdb = rewrite.to;
	} else {
		/* Tried in vain: not again at the next insert. */
		store->rewritten_size = old_size;
		store->rewritten_ms = start_ms;
		store->rewrite_took_ms = clock_now_ms() - start_ms + 1000;
		tdb_unlockall(store->tdb);
	}
	return result;
}
