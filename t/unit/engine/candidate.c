/*
 * Tests of src/engine/candidate.c: records in the store that can't be what a counter was.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "config/file.h"
#include "engine/candidate.h"
#include "engine/retention.h"

#include <unistd.h>

static bool keep_all(void *data, const char *key, size_t key_length, char *record, size_t size)
{
	(void)data;
	(void)key;
	(void)key_length;
	(void)record;
	(void)size;
	return true;
}

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

/* A record without a byte is damaged: it is not taken for an absent one, nor for the last one. */
static void test_damaged(void **state)
{
	static const char key[] = "r:a";
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {{"", 0}, {"2", 1}, {"not a record", 12}};
	static const struct store_options options = {.max_size = UINT64_MAX};
	char path[] = "/tmp/ratelimit-candidate-XXXXXX";
	int fd = mkstemp(path);
	struct config_stamp stamp;
	struct config config;

	(void)state;
	check(fd >= 0 && dprintf(fd, "[rule r]\nkey = sender\nlimit = 5/hour\n") > 0, "no file");
	close(fd);
	check(config_load(path, &config, &stamp, NULL, NULL) == CONFIG_OK, "configuration");
	unlink(path);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct store_record record = {key, strlen(key), cases[i].bytes, cases[i].size};
		struct store_import import = {keep_all, next_record, &record};
		struct opening opening = {.limits = effective_limits_new(&config)};
		struct store *store = store_open("memory:", &options, &retention_codec, NULL);
		struct store_item item = {.key = key, .key_length = strlen(key)};

		check(opening.limits && store, "out of memory");
		check(store_import(store, &import, &opening.error) == STORE_OK, "import");
		opening.candidate.rule = &config.rule[0];
		opening.candidate.file =
		    effective_limits_of_file(opening.limits, &config.rule[0], NULL);
		item.initial = opening.candidate.file->initial;
		item.initial_size = opening.candidate.file->initial_size;
		check(store_update(store, &item, 1, open_item, &opening, &opening.error) ==
			STORE_STOP,
		    "update");
		check(item.exists && opening.result == -1, "\"%s\" is taken for a counter",
		    cases[i].bytes);
		check_string(opening.error.text, "not a counter of version 2", cases[i].bytes);
		store_close(store);
		effective_limits_free(opening.limits);
	}
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_damaged),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
