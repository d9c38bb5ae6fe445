/*
 * Tests of src/store with records that are plain texts: what an update, a walk, an import, a
 * compaction and a rescue do, and that each is done as a whole or not at all.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tdb.h>
#include <time.h>
#include <unistd.h>

/* TDB's header, and so where the list of free space starts. */
#define FREE_LIST_AT 168

static char folder[64], path[128];
static const char *location; /* of the stores that are opened: path, or "memory:" */
static int64_t lock_timeout_ms; /* of these stores */
static int bus_in_repair; /* so many of the next repairs raise SIGBUS */

/*
 * A record can be used if it begins with '+'; '?' is repaired to that. The larger text is of the
 * later time. Nobody needs a key that begins with "fill".
 */
static bool repair(const char *key, size_t key_length, char *data, size_t size)
{
	(void)key;
	(void)key_length;
	if (bus_in_repair > 0) {
		bus_in_repair--;
		raise(SIGBUS);
	}
	if (size > 0 && data[0] == '?') {
		data[0] = '+';
	}
	return size > 0 && data[0] == '+';
}

static bool newer(const char *a, size_t a_size, const char *b, size_t b_size)
{
	return memcmp(a, b, a_size < b_size ? a_size : b_size) > 0;
}

static int64_t kept_at_ms; /* the time that the last call was given */

static bool keep(const char *key, size_t key_length, char *data, size_t size, int64_t now_ms)
{
	check(now_ms > 0, "no time");
	kept_at_ms = now_ms;
	if (size > 1 && data[1] == 'a') {
		data[1] = 'A';
	}
	return key_length < 4 || memcmp(key, "fill", 4) != 0;
}

static const struct store_codec codec = {.repair = repair, .newer = newer, .keep = keep};

static struct store *open_store(uint64_t max_size, enum store_access access)
{
	struct store_options options = {.mode = 0600,
	    .max_size = max_size,
	    .lock_timeout_ms = lock_timeout_ms,
	    .access = access,
	    .rescue = true};
	struct error error = {""};
	struct store *store = store_open(location, &options, &codec, &error);

	check(store != NULL, "%s", error.text);
	return store;
}

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/ratelimit-store-XXXXXX");
	check(mkdtemp(folder) != NULL, "no folder");
	snprintf(path, sizeof(path), "%s/counters.tdb", folder);
	location = path;
	lock_timeout_ms = 2000;
	return 0;
}

/* Names in a folder. */
static size_t count_names(const char *name)
{
	DIR *dir = opendir(name);
	struct dirent *entry;
	size_t n = 0;

	while ((entry = readdir(dir))) {
		n += entry->d_name[0] != '.';
	}
	closedir(dir);
	return n;
}

static size_t count_files(void)
{
	return count_names(folder);
}

static int remove_folder(void **state)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	(void)state;
	while ((entry = readdir(dir))) {
		unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	return rmdir(folder);
}

/* What is to become of the records of an update, in the order of its items. */
struct wish {
	const char *text[64]; /* NULL: left as it is */
	enum store_result result;
	int calls;
	int64_t now_ms;
	bool stored[64];
	char seen[64][32];
};

static enum store_result grant(
    void *data, struct store_txn *txn, struct store_item *item, size_t items)
{
	struct wish *wish = data;

	wish->calls++;
	wish->now_ms = store_txn_now_ms(txn);
	for (size_t i = 0; i < items; i++) {
		const char *text = wish->text[i];

		wish->stored[i] = item[i].exists;
		snprintf(wish->seen[i], sizeof(wish->seen[i]), "%.*s", (int)item[i].size,
		    item[i].exists ? item[i].data : "");
		if (item[i].exists && item[i].size > 0 && item[i].data[0] == '!') {
			return STORE_DAMAGED;
		}
		if (!text) {
			continue;
		}
		item[i].action = strlen(text) == item[i].size ? STORE_PATCH : STORE_REPLACE;
		check(store_txn_resize(txn, &item[i], strlen(text)) == 0, "no memory");
		memcpy(item[i].data, text, item[i].size);
	}
	return wish->result;
}

static enum store_result put_one(struct store *store, const char *key, const char *text)
{
	struct store_item item = {
	    .key = key, .key_length = strlen(key), .initial = text, .initial_size = strlen(text)};
	struct wish wish = {.text = {text}};
	struct error error = {""};

	return store_update(store, &item, 1, grant, &wish, &error);
}

static void put(struct store *store, const char *key, const char *text)
{
	check(put_one(store, key, text) == STORE_OK, "%s can't be written", key);
}

/* The record of a key; "" if there is none. */
static const char *get(struct store *store, const char *key)
{
	static struct wish wish;
	struct store_item item = {.key = key, .key_length = strlen(key)};
	struct error error = {""};
	enum store_result result;

	memset(&wish, 0, sizeof(wish));
	result = store_update(store, &item, 1, grant, &wish, &error);
	check(result == STORE_OK, "%s: %d, %s", key, result, error.text);
	return wish.seen[0];
}

static void check_record_is(struct store *store, const char *key, const char *expected)
{
	check_string(get(store, key), expected, key);
}

static ino_t inode(void)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}

static bool count_visit(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *record, size_t size)
{
	size_t *n = data;

	(void)txn;
	(void)key;
	(void)key_length;
	(void)record;
	(void)size;
	++*n;
	return true;
}

static size_t count_records(struct store *store)
{
	struct error error = {""};
	size_t n = 0;

	check(store_walk(store, count_visit, &n, &error) == STORE_OK, "walk: %s", error.text);
	return n;
}

static void test_absent(void **state)
{
	static const enum store_access access[] = {STORE_WRITE, STORE_READ};
	struct error error = {""};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(access); i++) {
		struct store *store = open_store(1 << 24, access[i]);
		size_t n = 0;

		check(store_walk(store, count_visit, &n, &error) == STORE_ABSENT,
		    "a walk without a file");
		check(put_one(store, "a", "+1") == STORE_ABSENT, "an update without a file");
		check(count_files() == 0, "access %zu makes a file", i);
		store_close(store);
	}
}

/* A change function that reads another record too. */
struct reading {
	const char *key;
	char text[32];
};

static enum store_result read_other(
    void *data, struct store_txn *txn, struct store_item *item, size_t items)
{
	struct reading *reading = data;
	size_t size;
	const char *bytes = store_txn_get(txn, reading->key, strlen(reading->key), &size);

	(void)item;
	(void)items;
	snprintf(reading->text, sizeof(reading->text), "%.*s", bytes ? (int)size : 4,
	    bytes ? bytes : "none");
	return STORE_OK;
}

static void check_other_is(struct store *store, const char *key, const char *expected)
{
	struct store_item item = {.key = "a", .key_length = 1};
	struct reading reading = {.key = key};
	struct error error = {""};

	check(store_update(store, &item, 1, read_other, &reading, &error) == STORE_OK, "%s",
	    error.text);
	check_string(reading.text, expected, key);
}

static void test_update(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	struct store_item item[] = {
	    {.key = "a", .key_length = 1, .initial = "+a0", .initial_size = 3},
	    {.key = "b", .key_length = 1, .initial = "+b0", .initial_size = 3}};
	struct wish wish = {.text = {"+a1", "+b1"}};
	struct error error = {""};

	(void)state;
	check(store_update(store, item, 2, grant, &wish, &error) == STORE_OK, "%s", error.text);
	check(!wish.stored[0] && !wish.stored[1] && wish.calls == 1, "both are new");
	wish = (struct wish){.text = {"+a2"}};
	check(store_update(store, item, 2, grant, &wish, &error) == STORE_OK, "%s", error.text);
	check_string(wish.seen[1], "+b1", "the second");
	check_record_is(store, "a", "+a2");
	/* Another size for one of the two: both are written. */
	wish = (struct wish){.text = {"+a longer one", "+b3"}};
	check(store_update(store, item, 2, grant, &wish, &error) == STORE_OK, "%s", error.text);
	check_record_is(store, "a", "+a longer one");
	check_record_is(store, "b", "+b3");
	/* What is stopped is not written, in neither way. */
	for (int i = 0; i < 2; i++) {
		wish = (struct wish){
		    .text = {i ? "+shorter" : "+a longer 222", "+b4"}, .result = STORE_STOP};
		check(store_update(store, item, 2, grant, &wish, &error) == STORE_STOP, "stop");
		check_record_is(store, "a", "+a longer one");
		check_record_is(store, "b", "+b3");
	}
	check_other_is(store, "b", "+b3");
	check_other_is(store, "c", "none");
	check(count_records(store) == 2, "%zu records", count_records(store));
	check(store_notice(store) == NULL, "nothing was damaged");
	check(count_files() == (location == path), "nothing is beside it");
	store_close(store);
}

/* An absent record that is replaced: its initial bytes never appear. */
static void test_replace_absent(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	struct store_item item = {.key = "a", .key_length = 1};
	struct wish wish = {.text = {"+a1"}};
	struct error error = {""};

	(void)state;
	check(store_update(store, &item, 1, grant, &wish, &error) == STORE_OK, "%s", error.text);
	check(!wish.stored[0], "it exists");
	check_record_is(store, "a", "+a1");
	store_close(store);
}

static void test_locations(void **state)
{
	struct store_options options = {.max_size = 1 << 20};
	struct error error = {""};

	(void)state;
	check(store_open("redis://localhost", &options, &codec, &error) == NULL, "no such backend");
	check(strstr(error.text, "redis://localhost") != NULL, "%s", error.text);
}

/* Adds 1 to all items, which are numbers of 7 digits. */
static enum store_result add_one(
    void *data, struct store_txn *txn, struct store_item *item, size_t items)
{
	static char zero[] = "+000000";

	(void)data;
	(void)txn;
	for (size_t i = 0; i < items; i++) {
		char text[16] = "";

		if (!item[i].exists) {
			return STORE_ERROR;
		}
		memcpy(text, item[i].data, sizeof(zero) - 1);
		snprintf(text, sizeof(text), "+%06d", atoi(text + 1) + 1);
		memcpy(item[i].data, text, sizeof(zero) - 1);
		item[i].action = STORE_PATCH;
	}
	return STORE_OK;
}

/* Processes that name the same records in different orders don't wait for each other. */
static void test_lock_order(void **state)
{
	enum { PROCESSES = 3, KEYS = 16, ROUNDS = 3000 };
	struct store *store = open_store(1 << 24, STORE_CREATE);
	char key[KEYS][16], expected[16];
	pid_t pid[PROCESSES];

	(void)state;
	for (int i = 0; i < KEYS; i++) {
		snprintf(key[i], sizeof(key[i]), "key%d", i);
		put(store, key[i], "+000000");
	}
	store_close(store);
	for (int p = 0; p < PROCESSES; p++) {
		pid[p] = fork();
		if (pid[p] == 0) {
			uint64_t seed = (uint64_t)p + 1;
			struct store_item item[KEYS];
			struct error error;
			int failed = 0;

			store = open_store(1 << 24, STORE_WRITE);
			for (int round = 0; round < ROUNDS && !failed; round++) {
				for (int i = 0; i < KEYS; i++) {
					int j = (int)random_below(&seed, (uint64_t)i + 1);

					item[i] = item[j];
					item[j] = (struct store_item){
					    .key = key[i], .key_length = strlen(key[i])};
				}
				failed = store_update(store, item, KEYS, add_one, NULL, &error) !=
				    STORE_OK;
			}
			_exit(failed);
		}
	}
	for (int p = 0; p < PROCESSES; p++) {
		int status;

		waitpid(pid[p], &status, 0);
		check(status == 0, "process %d had to wait too long", p);
	}
	store = open_store(1 << 24, STORE_CREATE);
	snprintf(expected, sizeof(expected), "+%06d", PROCESSES * ROUNDS);
	for (int i = 0; i < KEYS; i++) {
		check_record_is(store, key[i], expected);
	}
	store_close(store);
}

/* Inserts until there is no room; how many went in. */
static int fill(struct store *store)
{
	char key[16], text[1001];
	int n = 0;

	memset(text, '+', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	do {
		snprintf(key, sizeof(key), "fill%d", n++);
	} while (n < 10000 && put_one(store, key, text) == STORE_OK);
	return n - 1;
}

static void test_full(void **state)
{
	struct store *store = open_store(200000, STORE_CREATE);
	char text[1001] = "";
	struct store_item item[] = {{.key = "a", .key_length = 1},
	    {.key = "new", .key_length = 3, .initial = text, .initial_size = sizeof(text) - 1}};
	struct store_maintenance maintenance = {.only_if_due = true};
	struct wish wish = {.text = {"+a2", text}};
	struct error error = {""};
	struct rlimit limit;
	struct stat st;
	int n;

	(void)state;
	memset(text, '+', sizeof(text) - 1);
	put(store, "a", "+a1");
	n = fill(store);
	check(n > 50 && n < 200, "%d records of 1000 bytes in 200000", n);
	check(stat(path, &st) == 0 && st.st_size <= 200000, "%lld bytes", (long long)st.st_size);
	check(store_update(store, item, 2, grant, &wish, &error) == STORE_FULL, "%s", error.text);
	check(strstr(error.text, "database_max_size is 200000 bytes") != NULL, "%s", error.text);
	check_record_is(store, "a", "+a1");
	check_record_is(store, "new", "");
	put(store, "a", "+a3");
	check(count_records(store) == (size_t)n + 1, "%zu records", count_records(store));
	check(getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY,
	    "the process may still write other files");
	check(store_maintain(store, &maintenance, &error) == STORE_OK, "%s", error.text);
	check(maintenance.records == (size_t)n + 1 && maintenance.kept == 1, "not compacted");
	check_record_is(store, "a", "+A3");
	check(store_maintain(store, &maintenance, &error) == STORE_OK, "%s", error.text);
	check(maintenance.records == 0, "compacted although nothing is due");
	store_close(store);
}

/* A process was killed while it committed a TDB transaction: TDB undoes it. */
static void test_recovery(void **state)
{
	static const char old[] = "+what it was", new[] = "+what became";
	static char bytes[1 << 20], padding[401];
	struct store *store = open_store(1 << 20, STORE_CREATE);
	int fd;
	ssize_t size;
	size_t at, area;
	uint32_t header[8], start;

	(void)state;
	memset(padding, 'p', sizeof(padding) - 1);
	put(store, "a", old);
	put(store, "padding", padding);
	for (int i = 0; i < 3; i++) {
		put(store, "a", new);
	}
	fd = open(path, O_RDWR);
	size = pread(fd, bytes, sizeof(bytes), 0);
	check(size > 0 && (size_t)size < sizeof(bytes), "the file can't be read");
	at = (size_t)((char *)memmem(bytes, (size_t)size, new, strlen(new)) - bytes);
	area = (size_t)((char *)memmem(bytes, (size_t)size, "pppp", 4) - bytes);
	start = (uint32_t)(area + 3) & ~3U;
	/* A record of TDB's, then where bytes were, how many, and they. */
	memcpy(header,
	    (uint32_t[]){0, 300, (uint32_t)size, 8 + sizeof(old) - 1, 0, 0xf53bc0e7, (uint32_t)at,
		sizeof(old) - 1},
	    sizeof(header));
	check(pwrite(fd, header, sizeof(header), start) == sizeof(header) &&
		pwrite(fd, old, sizeof(old) - 1, start + sizeof(header)) == sizeof(old) - 1 &&
		pwrite(fd, &start, sizeof(start), 44) == sizeof(start),
	    "the file can't be written");
	close(fd);
	check_string(get(store, "a"), old, "what is found then");
	put(store, "a", new);
	check_string(get(store, "a"), new, "what was put then");
	store_close(store);
}

/* A transaction for which there is no room is no damage. */
static void test_full_transaction(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	static char large[200001];
	struct store_item item = {.key = "a", .key_length = 1};
	struct wish wish = {.text = {large}};
	struct rlimit limit = {.rlim_cur = 100000, .rlim_max = RLIM_INFINITY};
	struct error error = {""};
	ino_t before;

	(void)state;
	memset(large, '+', sizeof(large) - 1);
	put(store, "a", "+a1");
	before = inode();
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	check(store_update(store, &item, 1, grant, &wish, &error) == STORE_ERROR,
	    "a transaction beyond the largest file");
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	check(store_notice(store) == NULL && inode() == before && count_files() == 1,
	    "is taken for damage");
	check_record_is(store, "a", "+a1");
	check(store_update(store, &item, 1, grant, &wish, &error) == STORE_OK, "%s", error.text);
	store_close(store);
}

/* An import: removes what begins with "fill", and adds some records. */
struct importing {
	bool removes;
	size_t adds;
	size_t size;
	const char *bytes;
	char key[16];
};

static bool keep_some(void *data, const char *key, size_t key_length, char *record, size_t size)
{
	const struct importing *importing = data;

	if (key_length == 1 && key[0] == 'a') {
		record[size - 1] = '!';
	}
	return !importing->removes || key_length < 4 || memcmp(key, "drop", 4) != 0;
}

static bool next(void *data, size_t i, struct store_record *record)
{
	struct importing *importing = data;

	if (i == importing->adds) {
		return false;
	}
	snprintf(importing->key, sizeof(importing->key), "add%zu", i);
	record->key = importing->key;
	record->key_length = strlen(importing->key);
	record->data = importing->bytes;
	record->size = importing->size;
	return true;
}

static void test_import(void **state)
{
	struct store *store = open_store(200000, STORE_CREATE);
	static char bytes[2000];
	struct importing importing = {.adds = 300, .size = sizeof(bytes), .bytes = bytes};
	struct store_import import = {.keep = keep_some, .next = next, .data = &importing};
	uint8_t secret[HASH_KEY_BYTES];
	const uint8_t *now;
	struct error error = {""};
	ino_t before;

	(void)state;
	memset(bytes, '+', sizeof(bytes));
	put(store, "a", "+x1");
	put(store, "dropped", "+d");
	put(store, "kept", "+k");
	check(store_secret(store, &now, &error) == STORE_OK, "%s", error.text);
	memcpy(secret, now, sizeof(secret));
	before = inode();
	check(store_import(store, &import, &error) == STORE_FULL, "300 more that have no room");
	check(inode() == before && count_files() == (location == path), "change the file");
	check(count_records(store) == 3, "change what is in it");
	check_record_is(store, "a", "+x1");
	check_record_is(store, "add0", "");
	importing.adds = 20;
	importing.size = 200;
	importing.removes = true;
	check(store_import(store, &import, &error) == STORE_OK, "%s", error.text);
	check(count_files() == (location == path), "no other file");
	check_record_is(store, "a", "+x!");
	check_record_is(store, "dropped", "");
	check_record_is(store, "kept", "+k");
	check(strlen(get(store, "add19")) > 20, "the last one that was added");
	check(count_records(store) == 22, "%zu records", count_records(store));
	check(store_secret(store, &now, &error) == STORE_OK &&
		memcmp(secret, now, sizeof(secret)) == 0,
	    "the secret is another one");
	store_close(store);
}

static void count_step(void *data, size_t records)
{
	size_t *steps = data;

	check(records == *steps + 1, "step %zu after %zu", records, *steps);
	*steps = records;
}

static void test_maintain(void **state)
{
	struct store *store = open_store(200000, STORE_CREATE);
	size_t steps = 0;
	struct store_maintenance maintenance = {.step = count_step, .data = &steps};
	struct error error = {""};
	uint64_t size;
	int n;

	(void)state;
	put(store, "a", "+a1");
	n = fill(store);
	check(store_maintain(store, &maintenance, &error) == STORE_OK, "%s", error.text);
	check(maintenance.records == (size_t)n + 1 && maintenance.kept == 1,
	    "%zu records, %zu kept", maintenance.records, maintenance.kept);
	check(steps > (size_t)n, "no progress");
	check(maintenance.size_after < maintenance.size_before, "it did not shrink");
	check(store_size(store, &size, &error) == STORE_OK && size == maintenance.size_after,
	    "%llu bytes", (unsigned long long)size);
	check(count_files() == (location == path), "no other file");
	check_record_is(store, "a", "+A1");
	check(count_records(store) == 1, "%zu records", count_records(store));
	store_close(store);
}

/* Far from max_size, a compacted file has room for its records and for little else. */
static void test_compacted_size(void **state)
{
	enum { RECORDS = 1000, SIZE = 750 };
	struct store *store = open_store(1 << 26, STORE_CREATE);
	struct store_maintenance maintenance = {.step = NULL};
	struct error error = {""};
	char text[SIZE + 1] = "+";
	size_t wanted = RECORDS * (SIZE + sizeof("00000000 0000"));

	(void)state;
	memset(text + 1, 'x', SIZE - 1);
	for (int i = 0; i < RECORDS; i++) {
		char key[12];

		snprintf(key, sizeof(key), "%04d", i);
		put(store, key, text);
	}
	check(store_maintain(store, &maintenance, &error) == STORE_OK, "%s", error.text);
	check(maintenance.kept == RECORDS, "%zu records", maintenance.kept);
	check(maintenance.size_after < wanted + wanted / 10, "%llu bytes for %zu",
	    (unsigned long long)maintenance.size_after, wanted);
	store_close(store);
}

/* Overwrites the file's bytes from that place on. */
static void overwrite(size_t at, const char *bytes, size_t size)
{
	int fd = open(path, O_WRONLY);

	check(fd >= 0 && pwrite(fd, bytes, size, (off_t)at) == (ssize_t)size, "overwrite");
	close(fd);
}

/* The place of a text in the file that is there once; 0 if it is not. */
static size_t place_of(const char *text)
{
	static char bytes[1 << 20];
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, bytes, sizeof(bytes));
	char *found = n > 0 ? memmem(bytes, (size_t)n, text, strlen(text)) : NULL;

	close(fd);
	return found ? (size_t)(found - bytes) : 0;
}

static void check_rescued(struct store *store, const char *what, const char *expected)
{
	const char *notice = store_notice(store);

	check(notice && strstr(notice, expected), "%s: %s", what, notice ? notice : "no notice");
	check(strstr(notice, "; the old file is kept as ") != NULL, "%s: %s", what, notice);
	check(store_notice(store) == NULL, "%s: noticed twice", what);
	check(count_files() == 2, "%s: %zu files", what, count_files());
}

/* Each kind of damage, to a file that is open, and then an update. */
static void test_rescue(void **state)
{
	static const char noise[24] = "noise all over the place";
	static const char beyond[] = {'\xff', '\xff', '\xff', 0};
	static const struct {
		const char *what;
		const char *place; /* in the file; NULL: the list of free space */
		int offset;
		const char *bytes;
		size_t size;
		const char *touch; /* key of the update */
		const char *left; /* of "bad": what it is then */
		const char *expected;
	} cases[] = {
	    {"a record that can't be used", "bad+bad", 3, "!", 1, "bad", "",
		": 3 records were saved into a new file, 1 are damaged"},
	    {"one that can be repaired", "bad+bad", 3, "!?", 2, "bad", "",
		": 3 records were saved into a new file, 1 are damaged"},
	    {"its header", "bad+bad", -33, noise, 24, "bad", "",
		": 3 records were saved into a new file, 0 are damaged"},
	    {"the end of its header", "bad+bad", -13, "xxxx", 4, "bad", "",
		": 3 records were saved into a new file, 0 are damaged"},
	    {"free space", NULL, 0, beyond, 4, "new", "+bad",
		": 4 records were saved into a new file, 0 are damaged"},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct store *store = open_store(1 << 24, STORE_CREATE);
		const char *what = cases[i].what;

		put(store, "a", "+a1");
		put(store, "bad", "+bad");
		put(store, "b", "+b1");
		put(store, "ask", "?repair");
		overwrite(cases[i].place ? place_of(cases[i].place) + (size_t)cases[i].offset
					 : FREE_LIST_AT,
		    cases[i].bytes, cases[i].size);
		put(store, cases[i].touch, "+bad");
		check_rescued(store, what, cases[i].expected);
		check_record_is(store, "a", "+a1");
		check_record_is(store, "b", "+b1");
		check_record_is(store, "ask", "+repair");
		check_record_is(store, "bad", "+bad");
		store_close(store);
		remove_folder(state);
		make_folder(state);
	}
}

/* Of a key whose bytes are not what its hash says nobody knows whose record it was. */
static void test_damaged_key(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);

	(void)state;
	put(store, "a", "+a1");
	put(store, "bad", "+bad");
	put(store, "worse", "+worse");
	overwrite(place_of("bad+bad"), "bax", 3);
	overwrite(place_of("worse+worse") + 5, "!", 1);
	put(store, "worse", "+worse");
	check_rescued(store, "a key", ": 1 records were saved into a new file, 1 are damaged");
	check_record_is(store, "bax", "");
	check_record_is(store, "a", "+a1");
	store_close(store);
}

/* A record that was moved leaves a copy behind: the later one is taken. */
static void test_copies(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	char key[16];

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "key%02d", i);
		put(store, key, "+1");
	}
	put(store, "worse", "+worse");
	for (int i = 0; i < 20; i += 2) {
		snprintf(key, sizeof(key), "key%02d", i);
		put(store, key, "+2, which does not fit into the place of the first");
	}
	for (int i = 0; i < 20; i += 4) {
		snprintf(key, sizeof(key), "key%02d", i);
		put(store, key, "+3");
	}
	overwrite(place_of("worse+worse") + 5, "!", 1);
	put(store, "worse", "+worse");
	check(store_notice(store) != NULL, "not rescued");
	for (int i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "key%02d", i);
		check(strncmp(get(store, key),
			  i % 4 == 0  ? "+3"
			      : i % 2 ? "+1"
				      : "+2",
			  2) == 0,
		    "%s is an older copy: %s", key, get(store, key));
	}
	store_close(store);
}

/* Nothing is found in zeros; that is no reason to start anew in them. */
static void test_zeros(void **state)
{
	static const char zeros[100000];
	struct store *store = open_store(1 << 24, STORE_CREATE);
	struct stat st;

	(void)state;
	put(store, "a", "+a1");
	check(stat(path, &st) == 0 && st.st_size <= (off_t)sizeof(zeros), "larger than thought");
	overwrite(0, zeros, (size_t)st.st_size);
	put(store, "a", "+a2");
	check_rescued(store, "zeros", "it has no record :meta: 0 records were saved");
	check_record_is(store, "a", "+a2");
	store_close(store);
}

/* Another record that a change function asks for can't be reached. */
static void test_get_damaged(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	uint32_t nowhere = 0x7ffffff0;

	(void)state;
	put(store, "a", "+a1");
	put(store, "other", "+other");
	/* The chain that it is in leads out of the file. */
	for (size_t at = FREE_LIST_AT + 4, place = place_of("other+other") - 33; at < 17000;
	     at += 4) {
		uint32_t head;
		int fd = open(path, O_RDONLY);

		check(pread(fd, &head, sizeof(head), (off_t)at) == sizeof(head), "pread");
		close(fd);
		if (head == place) {
			overwrite(at, (const char *)&nowhere, sizeof(nowhere));
		}
	}
	check_other_is(store, "other", "+other");
	check_rescued(store, "a chain", ": 2 records were saved");
	store_close(store);
}

/* What the linker puts in the place of alloc_grow: as if there were no memory for large records. */
static bool large_fail;
void *__real_alloc_grow(void *buffer, size_t *room, size_t size);
void *__wrap_alloc_grow(void *buffer, size_t *room, size_t size);

void *__wrap_alloc_grow(void *buffer, size_t *room, size_t size)
{
	return large_fail && size > 100 ? NULL : __real_alloc_grow(buffer, room, size);
}

static bool visit_small(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *record, size_t size)
{
	size_t got;

	(void)data;
	(void)key;
	(void)key_length;
	(void)record;
	return size > 100 || !store_txn_get(txn, "large", 5, &got);
}

/* A record that a function asks for, but that memory is short for, is not taken to be absent. */
static void test_get_no_memory(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	struct store_item item = {.key = "a", .key_length = 1};
	struct reading reading = {.key = "large"};
	struct error error = {""};
	char text[201];

	(void)state;
	memset(text, '+', 200);
	text[200] = '\0';
	put(store, "a", "+a1");
	put(store, "large", text);
	large_fail = true;
	check(store_update(store, &item, 1, read_other, &reading, &error) == STORE_ERROR,
	    "updated as if it were absent");
	check_string(error.text, "out of memory", "update");
	error.text[0] = '\0';
	check(store_walk(store, visit_small, NULL, &error) == STORE_ERROR, "walked");
	check_string(error.text, "out of memory", "walk");
	large_fail = false;
	check(store_update(store, &item, 1, read_other, &reading, &error) == STORE_OK, "%s",
	    error.text);
	check(store_walk(store, visit_small, NULL, &error) == STORE_OK, "%s", error.text);
	store_close(store);
}

static void test_cut_off(void **state)
{
	static const off_t sizes[] = {0, 100, 168, 4096, 16384, 17000};

	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct store *store = open_store(1 << 24, STORE_CREATE);
		struct error error = {""};
		int status = 0;
		size_t n = 0;
		pid_t pid;

		put(store, "a", "+a1");
		check(truncate(path, sizes[i]) == 0, "truncate");
		/* Who notices rescues, whether it walks or updates; the others follow. */
		pid = i % 2 ? fork() : 0;
		if (pid == 0 && i % 2) {
			(void)store_walk(store, count_visit, &n, &error);
			check_rescued(store, "cut off", ": ");
			_exit(0);
		}
		check(pid == 0 || (waitpid(pid, &status, 0) == pid && status == 0), "a walk dies");
		put(store, "a", "+a1");
		if (pid == 0) {
			check_rescued(store, "cut off", ": ");
		}
		put(store, "a", "+a2");
		check_record_is(store, "a", "+a2");
		store_close(store);
		remove_folder(state);
		make_folder(state);
	}
}

/* A failed rescue loses nothing, says the same until it is tried again, and then works. */
static void test_rescue_fails(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	struct rlimit limit = {.rlim_cur = 10000, .rlim_max = RLIM_INFINITY};
	struct store_item item = {.key = "bad", .key_length = 3};
	struct wish wish = {.text = {"+bad"}};
	struct error first = {""}, second = {""};
	ino_t before;

	(void)state;
	put(store, "a", "+a1");
	put(store, "bad", "+bad");
	overwrite(place_of("bad+bad") + 3, "!", 1);
	before = inode();
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	check(store_update(store, &item, 1, grant, &wish, &first) == STORE_ERROR, "no room");
	check(store_update(store, &item, 1, grant, &wish, &second) == STORE_ERROR, "no room");
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	check_string(second.text, first.text, "what is said the second time");
	check(inode() == before && count_files() == 1 && !store_notice(store),
	    "something is left of it");
	check_record_is(store, "a", "+a1");
	sleep(3);
	put(store, "bad", "+bad");
	check_rescued(store, "later", ": 1 records were saved into a new file, 1 are damaged");
	check_record_is(store, "a", "+a1");
	store_close(store);
}

static struct flock write_lock(off_t at)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
}

/*
 * Another process, for at most 4 seconds, that has locked one byte of the file; it ends at once if
 * somebody else locks the byte at taboo. To be ended by end_process.
 */
static pid_t lock_byte(off_t at, off_t taboo)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	check(pipe(ready) == 0, "pipe");
	pid = fork();
	if (pid == 0) {
		struct flock lock = write_lock(at);
		int fd = open(path, O_RDWR);

		if (fcntl(fd, F_SETLKW, &lock) || write(ready[1], &byte, 1) != 1) {
			_exit(1);
		}
		for (int i = 0; i < 4000; i++) {
			lock = write_lock(taboo);
			if (fcntl(fd, F_GETLK, &lock) || lock.l_type != F_UNLCK) {
				_exit(1);
			}
			usleep(1000);
		}
		_exit(0);
	}
	close(ready[1]);
	check(read(ready[0], &byte, 1) == 1, "nothing is locked");
	close(ready[0]);
	return pid;
}

static void end_process(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	check(WIFSIGNALED(status), "the process that kept a lock saw another one");
}

/* Where TDB locks the chain of the stored key at that place of the file. */
static off_t chain_lock(size_t place, size_t length)
{
	unsigned char bytes[32];
	TDB_DATA key = {bytes, length};
	int fd = open(path, O_RDONLY);

	check(pread(fd, bytes, length, (off_t)place) == (ssize_t)length, "no such key");
	close(fd);
	/* Chains start behind the list of free space. */
	return FREE_LIST_AT + 4 * (tdb_jenkins_hash(&key) % 4093);
}

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A file from before the system was started is checked before it is used, however long it takes. */
static void test_check_waits(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	pid_t pid;

	(void)state;
	put(store, "a", "+a1");
	store_close(store);
	overwrite(place_of(" boot=") + 6, "0123456789abcdef", 16);
	/* Far behind the end: only those who lock the whole file care. */
	pid = lock_byte(1 << 30, (1 << 30) + 1);
	lock_timeout_ms = 100;
	store = open_store(1 << 24, STORE_CREATE);
	for (int i = 0; i < 2; i++) {
		check(put_one(store, "a", "+a2") == STORE_BUSY, "try %d: not checked", i);
	}
	end_process(pid);
	put(store, "a", "+a3");
	check(place_of("0123456789abcdef") == 0, "it is not noted that it was checked");
	check_record_is(store, "a", "+a3");
	store_close(store);
}

/*
 * The record :meta is locked by a process that was stopped, say: nobody waits without end, nor with
 * a chain locked, for that process may be one that locks all of them.
 */
static void test_meta_locked(void **state)
{
	struct store *store, *reader;
	struct error error = {""};
	int64_t began_ms;
	size_t n = 0;
	pid_t pid;

	(void)state;
	lock_timeout_ms = 100;
	store = open_store(1 << 24, STORE_CREATE);
	reader = open_store(1 << 24, STORE_READ);
	put(store, "a", "+a1");
	pid = lock_byte(chain_lock(place_of(":meta"), 5), chain_lock(place_of(" a+a1") - 8, 10));
	began_ms = monotonic_ms();
	/* One of the two may lie on the chain of :meta. */
	check(put_one(store, "b", "+b1") == STORE_OK || put_one(store, "c", "+c1") == STORE_OK,
	    "a new record");
	store_recheck(store);
	check(put_one(store, "a", "+a2") == STORE_BUSY, "whether it is the same file");
	check(store_walk(reader, count_visit, &n, &error) == STORE_BUSY, "%s", error.text);
	check(monotonic_ms() - began_ms < 2000, "took %lld ms",
	    (long long)(monotonic_ms() - began_ms));
	end_process(pid);
	put(store, "a", "+a3");
	check(store_notice(store) == NULL, "was taken for damage");
	store_close(store);
	store_close(reader);
}

/* A SIGBUS within a rescue leaves nothing open and nothing locked. */
static void test_bus_in_rescue(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	size_t before = count_names("/proc/self/fd");

	(void)state;
	put(store, "a", "+a1");
	put(store, "bad", "+bad");
	overwrite(place_of("bad+bad") + 3, "!", 1);
	/* One when it looks whether the file is sound, and one in the rescue. */
	bus_in_repair = 2;
	check(put_one(store, "bad", "+bad") == STORE_ERROR, "works all the same");
	check(bus_in_repair == 0, "no rescue");
	check(count_names("/proc/self/fd") == before, "%zu descriptors, before %zu",
	    count_names("/proc/self/fd"), before);
	end_process(lock_byte(FREE_LIST_AT, 1 << 30));
	store_close(store);
}

/* While a walk visits a record another process makes the file larger. */
static bool visit_growing(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *record, size_t size)
{
	struct store *store = *(struct store **)data;
	pid_t pid = fork();
	int status;

	check(key_length == 1, "another key");
	if (pid == 0) {
		char other[16], text[1001] = "";

		memset(text, '+', sizeof(text) - 1);
		/* TDB opens no file twice in one process. */
		store_close(store);
		lock_timeout_ms = 100;
		store = open_store(1 << 24, STORE_WRITE);
		for (int i = 0; i < 200; i++) {
			snprintf(other, sizeof(other), "other%d", i);
			(void)put_one(store, other, text);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	check(status == 0, "nothing was added");
	for (int i = 0; i < 200; i++) {
		char other[16];

		snprintf(other, sizeof(other), "other%d", i);
		store_txn_get(txn, other, strlen(other), &size);
	}
	check(key[0] == 'a' && strncmp(record, "+a1", 3) == 0, "it is another one now");
	*(struct store **)data = NULL;
	return false;
}

static void test_walk_growing(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE), *walked = store;
	struct error error = {""};

	(void)state;
	put(store, "a", "+a1");
	check(store_walk(store, visit_growing, &walked, &error) == STORE_OK, "%s", error.text);
	check(!walked, "not visited");
	store_close(store);
}

/* Runs this program as another process, for compact_other: TDB opens no file twice in one. */
static void compact_in_other_process(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl("/proc/self/exe", "store", path, NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	check(status == 0, "can't be compacted");
}

static int compact_other(const char *file)
{
	struct store_maintenance maintenance = {.step = NULL};
	struct error error = {""};
	struct store *store;

	location = file;
	lock_timeout_ms = 2000;
	store = open_store(1 << 24, STORE_WRITE);
	return store_maintain(store, &maintenance, &error) != STORE_OK || maintenance.records == 0;
}

/* What the linker puts in the place of TDB's: while it is set, the file is compacted first. */
static bool compact_before_seqnum;
int __real_tdb_get_seqnum(struct tdb_context *tdb);
int __wrap_tdb_get_seqnum(struct tdb_context *tdb);

int __wrap_tdb_get_seqnum(struct tdb_context *tdb)
{
	if (compact_before_seqnum) {
		compact_before_seqnum = false;
		compact_in_other_process();
	}
	return __real_tdb_get_seqnum(tdb);
}

/* A file that is replaced just after it was opened is not written any more. */
static void test_replaced_while_opened(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);

	(void)state;
	put(store, "a", "+b1");
	store_close(store);
	store = open_store(1 << 24, STORE_CREATE);
	compact_before_seqnum = true;
	put(store, "a", "+b2");
	check(!compact_before_seqnum, "not compacted");
	store_close(store);
	store = open_store(1 << 24, STORE_CREATE);
	check_record_is(store, "a", "+b2");
	store_close(store);
}

/* What every backend promises. */
static void on_memory(void (*test)(void **state), void **state)
{
	location = "memory:";
	test(state);
	location = path;
}

static void test_update_memory(void **state)
{
	on_memory(test_update, state);
}

static void test_get_no_memory_memory(void **state)
{
	on_memory(test_get_no_memory, state);
}

static void test_replace_absent_memory(void **state)
{
	on_memory(test_replace_absent, state);
}

static void test_import_memory(void **state)
{
	on_memory(test_import, state);
}

static void test_maintain_memory(void **state)
{
	on_memory(test_maintain, state);
}

static bool time_visit(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *record, size_t size)
{
	(void)key;
	(void)key_length;
	(void)record;
	(void)size;
	*(int64_t *)data = store_txn_now_ms(txn);
	return true;
}

/* The time of an update, a walk and a compaction can be set, and set free. */
static void test_clock_memory(void **state)
{
	static const int64_t times_ms[] = {1, 5000, 4000, 0};
	struct store_item item = {.key = "a", .key_length = 1};
	struct store_maintenance maintenance = {.step = NULL};
	struct error error = {""};
	struct store *store;

	(void)state;
	location = "memory:";
	store = open_store(1 << 20, STORE_CREATE);
	for (size_t i = 0; i < COUNT_OF(times_ms); i++) {
		int64_t real_ms = clock_now_ms(), walk_ms = 0;
		struct wish wish = {.text = {"+a"}};
		int64_t *got[] = {&wish.now_ms, &walk_ms, &kept_at_ms};

		store_memory_set_clock(store, times_ms[i]);
		check(store_update(store, &item, 1, grant, &wish, &error) == STORE_OK &&
			store_walk(store, time_visit, &walk_ms, &error) == STORE_OK &&
			store_maintain(store, &maintenance, &error) == STORE_OK,
		    "%s", error.text);
		for (size_t j = 0; j < COUNT_OF(got); j++) {
			check(times_ms[i] ? *got[j] == times_ms[i]
					  : *got[j] >= real_ms && *got[j] <= clock_now_ms(),
			    "time %zu, way %zu: %lld", i, j, (long long)*got[j]);
		}
	}
	store_close(store);
	location = path;
}

#define store_test(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    /* First: cmocka takes SIGBUS for itself at the start of each test. */
	    store_test(test_cut_off),
	    store_test(test_absent),
	    store_test(test_update),
	    store_test(test_update_memory),
	    store_test(test_replace_absent),
	    store_test(test_replace_absent_memory),
	    store_test(test_locations),
	    store_test(test_lock_order),
	    store_test(test_full),
	    store_test(test_full_transaction),
	    store_test(test_recovery),
	    store_test(test_import),
	    store_test(test_import_memory),
	    store_test(test_maintain),
	    store_test(test_maintain_memory),
	    store_test(test_clock_memory),
	    store_test(test_rescue),
	    store_test(test_damaged_key),
	    store_test(test_copies),
	    store_test(test_zeros),
	    store_test(test_get_damaged),
	    store_test(test_get_no_memory),
	    store_test(test_get_no_memory_memory),
	    store_test(test_rescue_fails),
	    store_test(test_check_waits),
	    store_test(test_meta_locked),
	    store_test(test_bus_in_rescue),
	    store_test(test_compacted_size),
	    store_test(test_walk_growing),
	    store_test(test_replaced_while_opened),
	};

	if (argc > 1) {
		return compact_other(argv[1]);
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
