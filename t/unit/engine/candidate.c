/*
 * Tests of src/engine/candidate.c: damaged records, and what a record says about an exception.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "config/file.h"
#include "engine/candidate.h"

#include <unistd.h>

#define KEY "r:a"

static bool keep_all(void *data, const char *key, size_t key_length, char *record, size_t size)
{
	(void)data;
	(void)key;
	(void)key_length;
	(void)record;
	(void)size;
	return true;
}

static bool never_newer(const char *a, size_t a_size, const char *b, size_t b_size)
{
	(void)a;
	(void)a_size;
	(void)b;
	(void)b_size;
	return false;
}

static bool keep_always(
    const char *key, size_t key_length, char *record, size_t size, int64_t now_ms)
{
	(void)now_ms;
	return keep_all(NULL, key, key_length, record, size);
}

static bool repair_nothing(const char *key, size_t key_length, char *record, size_t size)
{
	return keep_all(NULL, key, key_length, record, size);
}

/* Keeps what nobody needs any more, such as an exception that has expired. */
static const struct store_codec codec = {repair_nothing, never_newer, keep_always};

static bool next_record(void *data, size_t i, struct store_record *record)
{
	*record = *(struct store_record *)data;
	return i == 0;
}

struct opening {
	struct effective_limits *limits;
	struct candidate candidate;
	int result;
	struct error error;
};

static enum store_result open_item(
    void *data, struct store_txn *txn, struct store_item *item, size_t items)
{
	struct opening *opening = data;

	check(items == 1, "%zu items", items);
	opening->result =
	    candidate_open(&opening->candidate, opening->limits, txn, item, &opening->error);
	return STORE_STOP;
}

static struct config config;
static struct opening opening;
static struct store *store;

/* A rule with an empty store. */
static void set_up(void)
{
	static const struct store_options options = {.max_size = UINT64_MAX};
	char path[] = "/tmp/ratelimit-candidate-XXXXXX";
	int fd = mkstemp(path);
	struct config_stamp stamp;

	check(fd >= 0 && dprintf(fd, "[rule r]\nkey = sender\nlimit = 5/hour\n") > 0, "no file");
	close(fd);
	check(config_load(path, &config, &stamp, NULL, NULL) == CONFIG_OK, "configuration");
	unlink(path);
	store = store_open("memory:", &options, &codec, NULL);
	opening = (struct opening){.limits = effective_limits_new(&config)};
	check(opening.limits && store, "out of memory");
	opening.candidate.rule = &config.rule[0];
	opening.candidate.file = effective_limits_of_file(opening.limits, &config.rule[0], NULL);
	strcpy(opening.candidate.key.text, KEY);
	opening.candidate.key.length = strlen(KEY);
}

static void clean_up(void)
{
	store_close(store);
	effective_limits_free(opening.limits);
	config_free(&config);
}

static void add_record(const char *key, const char *bytes, size_t size)
{
	struct store_record record = {key, strlen(key), bytes, size};
	struct store_import import = {keep_all, next_record, &record};

	check(store_import(store, &import, &opening.error) == STORE_OK, "import");
}

/* Whether the item exists; opening.result is what candidate_open returned. */
static bool open_candidate(void)
{
	const struct effective *file = opening.candidate.file;
	struct store_item item = {KEY, strlen(KEY), file->initial, file->initial_size};

	check(store_update(store, &item, 1, open_item, &opening, &opening.error) == STORE_STOP,
	    "update");
	return item.exists;
}

/* A record without a byte is damaged, not absent. */
static void test_damaged(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {{"", 0}, {"2", 1}, {"not a record", 12}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		set_up();
		add_record(KEY, cases[i].bytes, cases[i].size);
		check(open_candidate() && opening.result == -1, "\"%s\" is taken for a counter",
		    cases[i].bytes);
		check_string(opening.error.text, "not a counter of version 3", cases[i].bytes);
		clean_up();
	}
}

/* What a record says about an exception follows from the exception's record. */
static void test_exception(void **state)
{
	static const struct {
		const char *name, *limits; /* NULL: no exception */
		int64_t until_s;
		bool newer, allowed, kept;
	} cases[] = {
	    {"none", NULL, 0, false, false, false},
	    {"limits", "7/hour", 0, false, true, true},
	    {"expired", "7/hour", 1, false, false, true},
	    {"unset", "", 0, false, false, false},
	    {"of a newer version", "7/hour", 0, true, false, true},
	};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
		const char *name = cases[i / 2].name;
		struct exception exception = {.until_s = cases[i / 2].until_s};
		char bytes[EXCEPTION_SIZE_MAX], counter[4096];
		struct record record;
		struct strbuf text;

		set_up();
		if (cases[i / 2].limits) {
			snprintf(
			    exception.limits, sizeof(exception.limits), "%s", cases[i / 2].limits);
			strbuf_init(&text, bytes, sizeof(bytes));
			exception_format(&exception, &text);
			bytes[0] += cases[i / 2].newer;
			add_record(EXCEPTION_PREFIX KEY, bytes, text.length);
		}
		/* For an absent counter, and for one that says that there is an exception. */
		if (i % 2) {
			record_init(&record, &opening.candidate.file->layout);
			record.exception = true;
			record_write_new(&record, counter);
			add_record(KEY, counter, opening.candidate.file->initial_size);
		}
		check(open_candidate() == i % 2 && opening.result == 0, "%s: %s", name,
		    opening.error.text);
		check(opening.candidate.allowed == cases[i / 2].allowed, "%s: in force", name);
		check(opening.candidate.record.exception == cases[i / 2].kept, "%s: kept", name);
		check(opening.candidate.effective->limits.at[0].count ==
			(cases[i / 2].allowed ? 7 : 5),
		    "%s: limit", name);
		clean_up();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_exception),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
