/*
 * Reading a configuration without enough memory: the linker replaces what src/ calls
 * for memory by functions here, and each single call fails once.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/strbuf.h"
#include "config/file.h"
#include "engine/limits.h"

#include <errno.h>
#include <unistd.h>

static size_t calls, fail_at; /* fail_at is 0 while none is to fail */
static size_t blocks; /* allocated and not freed */

/* Whether this call gets its memory. */
static bool is_granted(void)
{
	if (++calls == fail_at) {
		errno = ENOMEM;
		return false;
	}
	return true;
}

static void *count_block(void *block)
{
	blocks += block != NULL;
	return block;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t items, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_reallocarray(void *block, size_t items, size_t size);
char *__real_strdup(const char *string);
void __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t items, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_reallocarray(void *block, size_t items, size_t size);
char *__wrap_strdup(const char *string);
void __wrap_free(void *block);

void *__wrap_malloc(size_t size)
{
	return is_granted() ? count_block(__real_malloc(size)) : NULL;
}

void *__wrap_calloc(size_t items, size_t size)
{
	return is_granted() ? count_block(__real_calloc(items, size)) : NULL;
}

void *__wrap_realloc(void *block, size_t size)
{
	if (!is_granted()) {
		return NULL;
	}
	return block ? __real_realloc(block, size) : count_block(__real_malloc(size));
}

void *__wrap_reallocarray(void *block, size_t items, size_t size)
{
	void *moved = is_granted() ? __real_reallocarray(block, items, size) : NULL;

	return block ? moved : count_block(moved);
}

char *__wrap_strdup(const char *string)
{
	return is_granted() ? count_block(__real_strdup(string)) : NULL;
}

void __wrap_free(void *block)
{
	blocks -= block != NULL;
	__real_free(block);
}

/* Every option, and more of what may be repeated than the first room holds. */
static const char start[] = "[global]\ndatabase = /a/b\ndatabase_mode = 0600\nuser = u\n"
			    "on_error = DEFER a\nsuccess_action = DUNNO\nlog_target = file:/l\n"
			    "[rule first]\nkey = sasl_username, sender_domain, sender+recipient\n"
			    "limit = 10/hour, 100/day\nstrategy = moving-window\n"
			    "action = REJECT {sender}\nstrip_extension = +-\n"
			    "match = sender = a, b, c, d, e, f, g, h, i, j\n";

static void write_config(FILE *file)
{
	fputs(start, file);
	for (int i = 0; i < 10; i++) {
		fprintf(file, "match = sender != x%d\n", i);
		fprintf(file, "override = u%d@example.com %d/hour\n", i, i + 1);
		fprintf(file, "exempt = @%d.example, .%d.example\n", i, i);
	}
	for (int i = 0; i < 10; i++) {
		fprintf(file, "[rule r%d]\nkey = everything\nlimit = 1/hour\n", i);
	}
}

struct reports {
	char text[2000];
	size_t n;
};

static void take_report(void *data, const char *message)
{
	struct reports *reports = data;

	snprintf(reports->text, sizeof(reports->text), "%s", message);
	reports->n++;
}

static void print_option(void *data, const char *name, const char *value, const char *usual)
{
	strbuf_printf(data, "%s=%s(%s)\n", name, value, usual ? usual : "");
}

static void check_printed(const struct config *config, const char *expected, const char *name)
{
	char buffer[16384];
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	config_print(config, print_option, &text);
	check_string(buffer, expected, name);
}

static char path[] = "/tmp/unit-config-XXXXXX";
static char printed[16384];

static void test_load(void **state)
{
	static const struct config none;
	struct config old, config;
	struct config_stamp stamp, now;
	struct reports reports = {.n = 0};
	struct strbuf text;
	size_t fails = 0;
	FILE *file;
	int fd;

	(void)state;
	fd = mkstemp(path);
	check(fd >= 0, "no file");
	file = fdopen(fd, "w");
	write_config(file);
	fclose(file);
	check(config_load(path, &old, &stamp, take_report, &reports) == CONFIG_OK, "%s",
	    reports.text);
	strbuf_init(&text, printed, sizeof(printed));
	config_print(&old, print_option, &text);
	check(text.length > 1000, "not printed");
	for (bool done = false; !done;) {
		size_t before = blocks;
		char expected[100];
		enum config_result result;

		reports.n = calls = 0;
		fail_at = ++fails;
		result = config_load(path, &config, &stamp, take_report, &reports);
		fail_at = 0;
		done = calls < fails;
		now = config_stamp_get(path);
		if (done) {
			check(result == CONFIG_OK && reports.n == 0, "%s", reports.text);
			check(config_stamp_same(&stamp, &now), "another stamp");
			check_printed(&config, printed, "all memory there");
		} else {
			check(result == CONFIG_NO_MEMORY, "call %zu: got %d", fails, result);
			snprintf(expected, sizeof(expected), "%s: out of memory", path);
			check_string(reports.text, expected, "report");
			check(reports.n == 1, "call %zu: %zu reports", fails, reports.n);
			check(memcmp(&config, &none, sizeof(config)) == 0, "call %zu: not empty",
			    fails);
			check(
			    !config_stamp_same(&stamp, &now), "call %zu: the file's stamp", fails);
		}
		config_free(&config);
		check(blocks == before, "call %zu: %zu blocks, then %zu", fails, before, blocks);
		check_printed(&old, printed, "the old configuration");
	}
	check(fails > 200, "only %zu calls", fails);
	print_message("# %zu calls for memory\n", fails - 1);
	config_free(&old);
	check(blocks == 0, "%zu blocks are left", blocks);
}

/* What the judge compiles of a configuration. Depends on test_load for the file. */
static void test_limits(void **state)
{
	struct effective_limits *limits = NULL;
	struct config_stamp stamp;
	struct reports reports;
	struct config config;
	size_t fails = 0;

	(void)state;
	check(config_load(path, &config, &stamp, take_report, &reports) == CONFIG_OK, "load");
	while (!limits) {
		size_t before = blocks;

		calls = 0;
		fail_at = ++fails;
		limits = effective_limits_new(&config);
		fail_at = 0;
		check((limits != NULL) == (calls < fails), "call %zu", fails);
		check(limits || blocks == before, "call %zu: leak", fails);
	}
	effective_limits_free(limits);
	check(fails > 1, "no calls");
	config_free(&config);
	check(blocks == 0, "%zu blocks are left", blocks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_limits),
	};
	int result;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	result = cmocka_run_group_tests_name("memory", tests, NULL, NULL);
	unlink(path);
	return result;
}
