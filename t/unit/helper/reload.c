/*
 * Tests of src/helper/reload.c where t/live.t and t/confine.t can't see: memory that runs out
 * while a configuration is taken up. The linker replaces malloc and its kin with those below
 * (--wrap), and what confines the process with what the tests need.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "helper/confine.h"
#include "helper/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t items, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *string);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t items, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *string);

static unsigned long allocations;
static unsigned long allowed = ULONG_MAX; /* further ones fail */

static bool has_memory(void)
{
	errno = allocations < allowed ? errno : ENOMEM;
	return allocations++ < allowed;
}

void *__wrap_malloc(size_t size)
{
	return has_memory() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t items, size_t size)
{
	return has_memory() ? __real_calloc(items, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
	return has_memory() ? __real_realloc(old, size) : NULL;
}

char *__wrap_strdup(const char *string)
{
	return has_memory() ? __real_strdup(string) : NULL;
}

static void allow_memory(unsigned long count)
{
	allocations = 0;
	allowed = count;
}

/* Of confine.c, which would close the files of the next test to this process. */
static bool reachable = true;

void confine_files(const char *config, const char *database, const char *kept, const char *log)
{
	(void)config;
	(void)database;
	(void)kept;
	(void)log;
}

bool confine_reaches_database(const char *path)
{
	(void)path;
	return reachable;
}

bool confine_reaches_kept(const char *path)
{
	(void)path;
	return reachable;
}

bool confine_reaches_log(const char *path)
{
	(void)path;
	return reachable;
}

static struct {
	char path[64], config[128], log[128];
	struct reload reload;
} test;

/* A configuration that answers "WARN NAME", with its files in a folder of that name. */
static void write_config(const char *name)
{
	static time_t changed = 1000000000;
	const struct timespec times[2] = {{.tv_sec = changed}, {.tv_sec = changed}};
	FILE *file = fopen(test.config, "w");

	changed++;
	check(file != NULL, "%s", test.config);
	fprintf(file,
	    "[global]\ndatabase = %s/%s.tdb\nstate_directory = %s\nuser = root\nlog_target = "
	    "file:%s\n"
	    "success_action = WARN %s\n"
	    "[rule users]\nkey = sasl_username\nlimit = 5/hour, 9/day\n"
	    "override = @example.com 7/hour\n",
	    test.path, name, test.path, test.log, name);
	fclose(file);
	/* Old enough to be complete, and newer than the last one. */
	check(utimensat(AT_FDCWD, test.config, times, 0) == 0, "times of %s", test.config);
}

/* How often the log has a text; the log is empty afterwards. */
static unsigned logged(const char *text)
{
	static char bytes[65536];
	FILE *file = fopen(test.log, "r");
	unsigned found = 0;

	if (!file) {
		return 0;
	}
	bytes[fread(bytes, 1, sizeof(bytes) - 1, file)] = '\0';
	fclose(file);
	unlink(test.log);
	for (const char *at = bytes; (at = strstr(at, text)) != NULL; at++) {
		found++;
	}
	return found;
}

static void set_up(const char *name)
{
	memset(&test, 0, sizeof(test));
	strcpy(test.path, "/tmp/reload-XXXXXX");
	check(mkdtemp(test.path) != NULL, "a temporary folder");
	snprintf(test.config, sizeof(test.config), "%s/conf", test.path);
	snprintf(test.log, sizeof(test.log), "%s/log", test.path);
	write_config(name);
}

static void clean_up(void)
{
	reload_stop(&test.reload);
	unlink(test.config);
	unlink(test.log);
	check(rmdir(test.path) == 0, "only the expected files in %s", test.path);
}

/* Not at most every 250 ms, but now. */
static void recheck(void)
{
	test.reload.checked_ms = INT64_MIN / 2;
	reload_recheck(&test.reload);
}

static void check_in_force(const char *name, const char *when)
{
	const struct setup *setup = reload_setup(&test.reload);
	char action[64];

	snprintf(action, sizeof(action), "WARN %s", name);
	check_string(setup->config.success_action, action, when);
	check(setup->store && setup->judge, "%s: nothing judges", when);
}

/* What config_load allocates of the configuration that is in the file. */
static unsigned long config_allocations(void)
{
	struct config_stamp stamp;
	struct config config;
	unsigned long count;

	allow_memory(ULONG_MAX);
	check(config_load(test.config, &config, &stamp, NULL, NULL) == 0, "a good configuration");
	count = allocations;
	config_free(&config);
	return count;
}

/* Takes up NEXT with ever more memory, until it suffices; returns how often it did not. */
static unsigned long take_up_with_little_memory(const char *last, const char *next)
{
	unsigned long failures = 0;

	write_config(next);
	for (;; failures++) {
		const struct setup *old = reload_setup(&test.reload);

		allow_memory(failures);
		recheck();
		allow_memory(ULONG_MAX);
		if (reload_setup(&test.reload) != old) {
			return failures;
		}
		check_in_force(last, "out of memory");
		check(failures < 1000, "never taken up");
	}
}

static void test_reload_out_of_memory(void **state)
{
	(void)state;
	set_up("one");
	reload_start(&test.reload, test.config);
	check_in_force("one", "at the start");
	check(take_up_with_little_memory("one", "two") >= 3, "a store and a judge need memory");
	check_in_force("two", "once there is memory");
	check(logged("conf: out of memory") == 1, "logged once, however often it was tried");
	clean_up();
}

static void test_says_that_the_old_one_stays(void **state)
{
	(void)state;
	set_up("one");
	reload_start(&test.reload, test.config);
	write_config("two");
	allow_memory(config_allocations());
	recheck();
	allow_memory(ULONG_MAX);
	check_in_force("one", "out of memory");
	check(logged("the last good one stays in force") == 1, "logged");
	recheck();
	check_in_force("two", "the file has not changed, but there is memory");
	check(logged("") == 0, "nothing more to say");
	clean_up();
}

static void test_kept_places_out_of_memory(void **state)
{
	char path[128];

	(void)state;
	set_up("one");
	reload_start(&test.reload, test.config);
	reachable = false;
	check(take_up_with_little_memory("one", "two") >= 5, "kept paths need memory too");
	reachable = true;
	check_in_force("two", "once there is memory");
	snprintf(path, sizeof(path), "%s/one.tdb", test.path);
	check_string(reload_setup(&test.reload)->config.database, path, "the old database");
	check_string(reload_setup(&test.reload)->config.log_path, test.log, "the old log");
	check(logged("this process can't reach the folder") == 1, "logged once");
	clean_up();
}

static void test_start_out_of_memory(void **state)
{
	const struct setup *setup;

	(void)state;
	set_up("one");
	allow_memory(config_allocations());
	reload_start(&test.reload, test.config);
	allow_memory(ULONG_MAX);
	setup = reload_setup(&test.reload);
	check(!setup->judge && !setup->store, "nothing judges");
	check_string(setup->config.on_error, "DUNNO", "answers on_error");
	check(logged("every request is answered on_error") == 1, "logged");
	recheck();
	check_in_force("one", "as soon as there is memory");
	clean_up();
}

/* Without memory for any configuration nothing judges; it is read as soon as there is some. */
static void test_start_without_config(void **state)
{
	static const unsigned long allocations_left[] = {0, 1, 5, 10};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(allocations_left); i++) {
		set_up("one");
		allow_memory(allocations_left[i]);
		reload_start(&test.reload, test.config);
		allow_memory(ULONG_MAX);
		check(!reload_setup(&test.reload)->judge, "%lu allocations suffice",
		    allocations_left[i]);
		recheck();
		check_in_force("one", "as soon as there is memory");
		clean_up();
	}
}

static void test_trouble(void **state)
{
	static struct reload reload;
	char text[1000];

	(void)state;
	check(reload_is_news(&reload, "one"), "the first time");
	check(reload_is_news(&reload, "two"), "another one");
	check(!reload_is_news(&reload, "one"), "the second time");
	check(!reload_is_news(&reload, "two"), "in turns");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	check(reload_is_news(&reload, text), "a long one");
	check(!reload_is_news(&reload, text), "a long one again");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reload_out_of_memory),
	    cmocka_unit_test(test_says_that_the_old_one_stays),
	    cmocka_unit_test(test_kept_places_out_of_memory),
	    cmocka_unit_test(test_start_out_of_memory),
	    cmocka_unit_test(test_start_without_config),
	    cmocka_unit_test(test_trouble),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
