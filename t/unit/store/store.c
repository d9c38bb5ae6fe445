/*
 * Tests of src/store*.c with records that are just texts: what an update, a look, a walk, a
 * rewrite and a salvage do, and that each is done as a whole or not at all.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"
#include "base/hash.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* TDB's header, and so where the list of free space starts. */
#define FREE_LIST_AT 168

static char folder[64], path[128];

/* A record can be used if it begins with '+'; '?' becomes one. The larger text is of the later
 * time. */
static bool mend(const char *key, size_t key_length, char *record, size_t size)
{
	(void)key;
	(void)key_length;
	if (size > 0 && record[0] == '?') {
		record[0] = '+';
	}
	return size > 0 && record[0] == '+';
}

static bool newer(const char *a, size_t a_size, const char *b, size_t b_size)
{
	return memcmp(a, b, a_size < b_size ? a_size : b_size) > 0;
}

static const struct store_salvage hooks = {mend, newer};

static struct store *open_store(uint64_t max_size, enum store_access access)
{
	struct store_options options = {.path = path,
	    .mode = 0600,
	    .max_size = max_size,
	    .lock_timeout_ms = 2000,
	    .access = access,
	    .salvage = &hooks};

	return store_new(&options);
}

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/ratelimit-store-XXXXXX");
	check(mkdtemp(folder) != NULL, "no folder");
	snprintf(path, sizeof(path), "%s/counters.tdb", folder);
	return 0;
}

/* Names in the folder. */
static size_t count_files(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t n = 0;

	while ((entry = readdir(dir))) {
		n += entry->d_name[0] != '.';
	}
	closedir(dir);
	return n;
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
	bool stored[64];
	char seen[64][32];
};

static enum store_result grant(void *data, struct store_item *item, size_t items)
{
	struct wish *wish = data;

	wish->calls++;
	for (size_t i = 0; i < items; i++) {
		const char *text = wish->text[i];

		wish->stored[i] = item[i].stored;
		snprintf(wish->seen[i], sizeof(wish->seen[i]), "%.*s", (int)item[i].size,
		    item[i].stored ? item[i].data : "");
		if (item[i].stored && item[i].size > 0 && item[i].data[0] == '!') {
			return STORE_DAMAGED;
		}
		if (!text) {
			continue;
		}
		item[i].changed = true;
		if (item[i].stored && strlen(text) != item[i].size) {
			item[i].replacement = text;
			item[i].replacement_size = strlen(text);
		} else if (item[i].stored) {
			memcpy(item[i].data, text, item[i].size);
		} else {
			item[i].empty = text;
			item[i].data = (char *)text;
			item[i].size = strlen(text);
		}
	}
	return wish->result;
}

static enum store_result put_one(struct store *store, const char *key, const char *text)
{
	struct store_item item = {.key = key, .key_length = strlen(key)};
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

static bool count_visit(
    void *data, const char *key, size_t key_length, const char *record, size_t size)
{
	size_t *n = data;

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

static void test_update(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	struct store_item item[] = {{.key = "a", .key_length = 1}, {.key = "b", .key_length = 1}};
	struct wish wish = {.text = {"+a1", "+b1"}};
	struct error error = {""};
	char buffer[8];
	size_t size;

	(void)state;
	check(store_update(store, item, 2, grant, &wish, &error) == STORE_OK, "%s", error.text);
	check(!wish.stored[0] && !wish.stored[1] && wish.calls == 1, "both are new");
	wish = (struct wish){.text = {"+a2"}};
	check(store_update(store, item, 2, grant, &wish, &error) == STORE_OK, "%s", error.text);
	check_string(wish.seen[1], "+b1", "the second");
	check_record_is(store, "a", "+a2");
	/* Another length for one of the two: both are written, in a transaction. */
	wish = (struct wish){.text = {"+a longer one", "+b3"}};
	check(store_update(store, item, 2, grant, &wish, &error) == STORE_OK, "%s", error.text);
	check(
	    wish.calls == 3, "asked %d times: the short way, TDB's, in a transaction", wish.calls);
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
	check(store_look(store, "b", 1, buffer, sizeof(buffer), &size) && size == 3 &&
		memcmp(buffer, "+b3", 3) == 0,
	    "look");
	check(!store_look(store, "b", 1, buffer, 2, &size), "look without room");
	check(!store_look(store, "c", 1, buffer, sizeof(buffer), &size), "look at nothing");
	check(count_records(store) == 2, "%zu records", count_records(store));
	check(store_notice(store) == NULL, "nothing was damaged");
	check(count_files() == 1, "nothing is beside it");
	store_close(store);
}

static void test_too_many_items(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	struct store_item item[65];
	struct wish wish = {.calls = 0};
	struct error error = {""};

	(void)state;
	memset(item, 0, sizeof(item));
	check(store_update(store, item, 65, grant, &wish, &error) == STORE_ERROR && wish.calls == 0,
	    "65 records in an update");
	store_close(store);
}

/* Adds 1 to all items, which are numbers of 7 digits. */
static enum store_result add_one(void *data, struct store_item *item, size_t items)
{
	static char zero[] = "+000000";

	(void)data;
	for (size_t i = 0; i < items; i++) {
		char text[16] = "";

		if (!item[i].stored) {
			return STORE_ERROR;
		}
		memcpy(text, item[i].data, sizeof(zero) - 1);
		snprintf(text, sizeof(text), "+%06d", atoi(text + 1) + 1);
		memcpy(item[i].data, text, sizeof(zero) - 1);
		item[i].changed = true;
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
	struct store_item item[] = {{.key = "a", .key_length = 1}, {.key = "new", .key_length = 3}};
	char text[1001] = "";
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
	check(store_rewrite_due(store), "no rewrite is due");
	check(getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY,
	    "the process may still write other files");
	store_close(store);
}

/*
 * A process was killed while it committed a transaction: the way past TDB (store_map.c) must
 * leave it to TDB to bring the file back to what it was.
 */
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
	check_string(get(store, "a"), old, "what the short way found");
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

/* For a rewrite: drops what begins with "fill", and adds some records of that size. */
struct rewriter {
	size_t adds;
	size_t size;
	char *bytes;
	char key[16];
};

static bool keep_some(
    void *data, const char *key, size_t key_length, const char **record, size_t *size)
{
	(void)data;
	if (key_length == 1 && key[0] == 'a') {
		*record = "+changed";
		*size = 8;
	}
	return key_length < 4 || memcmp(key, "fill", 4) != 0;
}

static bool keep_all(
    void *data, const char *key, size_t key_length, const char **record, size_t *size)
{
	(void)data;
	(void)key;
	(void)key_length;
	(void)record;
	(void)size;
	return true;
}

static bool add_some(
    void *data, size_t i, const char **key, size_t *key_length, const char **record, size_t *size)
{
	struct rewriter *rewriter = data;

	if (i == rewriter->adds) {
		return false;
	}
	snprintf(rewriter->key, sizeof(rewriter->key), "add%zu", i);
	*key = rewriter->key;
	*key_length = strlen(rewriter->key);
	*record = rewriter->bytes;
	*size = rewriter->size;
	return true;
}

static void test_rewrite(void **state)
{
	struct store *store = open_store(200000, STORE_CREATE);
	char bytes[2000] = "";
	struct rewriter rewriter = {.adds = 300, .size = sizeof(bytes), .bytes = bytes};
	struct store_rewriting rewriting = {.keep = keep_all, .add = add_some, .data = &rewriter};
	uint8_t secret[HASH_KEY_BYTES];
	const uint8_t *now;
	struct error error = {""};
	size_t records;
	ino_t before;
	int n;

	(void)state;
	memset(bytes, '+', sizeof(bytes));
	put(store, "a", "+a1");
	n = fill(store);
	check(store_secret(store, &now, &error) == STORE_OK, "%s", error.text);
	memcpy(secret, now, sizeof(secret));
	before = inode();
	records = count_records(store);
	check(store_rewrite(store, &rewriting, &error) == STORE_FULL, "300 more that have no room");
	check(strstr(error.text, "database_max_size is 200000") != NULL, "%s", error.text);
	check(inode() == before && count_files() == 1, "change the file");
	check(count_records(store) == records, "change what is in it");
	check_record_is(store, "a", "+a1");
	check_record_is(store, "add0", "");
	/* With room, since others go. */
	rewriter.adds = 20;
	rewriter.size = 200;
	rewriting.keep = keep_some;
	check(store_rewrite(store, &rewriting, &error) == STORE_OK, "%s", error.text);
	check(inode() != before && count_files() == 1, "a new file, and no other");
	check(rewriting.records == (size_t)n + 1 && rewriting.kept == 21, "%zu records, %zu kept",
	    rewriting.records, rewriting.kept);
	check(rewriting.size_after < rewriting.size_before, "it did not shrink");
	check_record_is(store, "a", "+changed");
	check(count_records(store) == 21, "%zu records", count_records(store));
	check(store_secret(store, &now, &error) == STORE_OK &&
		memcmp(secret, now, sizeof(secret)) == 0,
	    "the secret is another one");
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

static void check_salvaged(struct store *store, const char *what, const char *expected)
{
	const char *notice = store_notice(store);

	check(notice && strstr(notice, expected), "%s: %s", what, notice ? notice : "no notice");
	check(strstr(notice, "; the old file is kept as ") != NULL, "%s: %s", what, notice);
	check(store_notice(store) == NULL, "%s: noticed twice", what);
	check(count_files() == 2, "%s: %zu files", what, count_files());
}

/* Each kind of damage, to a file that is open, and then an update. */
static void test_salvage(void **state)
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
	    {"one that is mended", "bad+bad", 3, "!?", 2, "bad", "",
		": 3 records were saved into a new file, 1 are damaged"},
	    {"its header", "bad+bad", -24, noise, 24, "bad", "",
		": 3 records were saved into a new file, 0 are damaged"},
	    {"its key, and its magic", "bad+bad", -4, "xxxxbax", 7, "bad", "",
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
		put(store, "ask", "?mend");
		overwrite(cases[i].place ? place_of(cases[i].place) + (size_t)cases[i].offset
					 : FREE_LIST_AT,
		    cases[i].bytes, cases[i].size);
		put(store, cases[i].touch, "+bad");
		check_salvaged(store, what, cases[i].expected);
		check_record_is(store, "a", "+a1");
		check_record_is(store, "b", "+b1");
		check_record_is(store, "ask", "+mend");
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
	check_salvaged(store, "a key", ": 1 records were saved into a new file, 2 are damaged");
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
	check(store_notice(store) != NULL, "not salvaged");
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
	check_salvaged(store, "zeros", "it has no record :meta: 0 records were saved");
	check_record_is(store, "a", "+a2");
	store_close(store);
}

/* A store_change that looks at another record, as the judge does for allowances. */
struct looking {
	struct store *store;
	bool found;
};

static enum store_result look_at_other(void *data, struct store_item *item, size_t items)
{
	struct looking *looking = data;
	char buffer[16];
	size_t size;

	(void)item;
	(void)items;
	looking->found =
	    store_look(looking->store, "other", 5, buffer, sizeof(buffer), &size) && size == 6;
	return STORE_OK;
}

static void test_look_at_damage(void **state)
{
	struct store *store = open_store(1 << 24, STORE_CREATE);
	struct store_item item = {.key = "a", .key_length = 1};
	struct looking looking = {.store = store};
	struct error error = {""};
	char key[16];
	uint32_t nowhere = 0x7ffffff0;

	(void)state;
	put(store, "a", "+a1");
	put(store, "other", "+other");
	/* The chain that it is in leads out of the file. */
	for (size_t at = FREE_LIST_AT + 4, place = place_of("other+other") - 24; at < 17000;
	     at += 4) {
		uint32_t head;
		int fd = open(path, O_RDONLY);

		check(pread(fd, &head, sizeof(head), (off_t)at) == sizeof(head), "pread");
		close(fd);
		if (head == place) {
			memcpy(key, &nowhere, sizeof(nowhere));
			overwrite(at, key, sizeof(nowhere));
		}
	}
	check(store_update(store, &item, 1, look_at_other, &looking, &error) == STORE_OK, "%s",
	    error.text);
	check(looking.found, "what can't be reached is taken for absent");
	check_salvaged(store, "a chain", ": 2 records were saved");
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
		/* Who notices salvages, whether it walks or updates; the others follow. */
		pid = i % 2 ? fork() : 0;
		if (pid == 0 && i % 2) {
			(void)store_walk(store, count_visit, &n, &error);
			check_salvaged(store, "cut off", ": ");
			_exit(0);
		}
		check(pid == 0 || (waitpid(pid, &status, 0) == pid && status == 0), "a walk dies");
		put(store, "a", "+a1");
		if (pid == 0) {
			check_salvaged(store, "cut off", ": ");
		}
		put(store, "a", "+a2");
		check_record_is(store, "a", "+a2");
		store_close(store);
		remove_folder(state);
		make_folder(state);
	}
}

/* A failed salvage loses nothing, says the same until it is tried again, and then works. */
static void test_salvage_fails(void **state)
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
	check_salvaged(store, "later", ": 1 records were saved into a new file, 1 are damaged");
	check_record_is(store, "a", "+a1");
	store_close(store);
}

#define store_test(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    /* First: cmocka takes SIGBUS for itself at the start of each test. */
	    store_test(test_cut_off),
	    store_test(test_absent),
	    store_test(test_update),
	    store_test(test_too_many_items),
	    store_test(test_lock_order),
	    store_test(test_full),
	    store_test(test_full_transaction),
	    store_test(test_recovery),
	    store_test(test_rewrite),
	    store_test(test_salvage),
	    store_test(test_damaged_key),
	    store_test(test_copies),
	    store_test(test_zeros),
	    store_test(test_look_at_damage),
	    store_test(test_salvage_fails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
