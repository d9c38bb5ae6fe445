/*
 * Tests of src/config/file.c: mistakes and their lines, files that can't be used, stamps, and
 * what is printed of a configuration.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/strbuf.h"
#include "config/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULE "[rule r]\nkey = sender\nlimit = 1/hour\n"

static char directory[] = "/tmp/unit-config-XXXXXX";
static char path[100];

static void write_file(const char *bytes, size_t length)
{
	FILE *file = fopen(path, "w");

	check(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0, "%s", path);
}

/* Adds a line "LINE: …" or "…" to the text, without the path. */
static void take_report(void *data, const char *message)
{
	size_t length = strlen(path);

	check(strncmp(message, path, length) == 0 && message[length] == ':', "%s", message);
	message += length + 1;
	strbuf_printf(data, "%s\n", message + (message[0] == ' '));
}

static void check_load(const char *name, enum config_result expected, const char *complaints)
{
	struct config config;
	struct config_stamp stamp;
	char buffer[4000];
	struct strbuf text;
	enum config_result result;

	strbuf_init(&text, buffer, sizeof(buffer));
	result = config_load(path, &config, &stamp, take_report, &text);
	check_string(buffer, complaints, name);
	check(result == expected, "%s: got %d", name, result);
	check(config.database && config.on_error, "%s: no defaults", name);
	config_free(&config);
	check(!config.database && !config.rule && config.rules == 0, "%s: not zeroed", name);
}

static void test_lines(void **state)
{
	static const struct {
		const char *text, *complaints;
	} cases[] = {
	    {"", ""},
	    {RULE, ""},
	    {"\xef\xbb\xbf# c\r\n\r\n; c\r\n[global]\r\n\tlog = all\r\n" RULE, ""},
	    {"[ global ] # c\n" RULE "[rule\ts] ; c\nkey: sender\nlimit=1/hour", ""},
	    {"\n\nlog = all\n",
		"3: \"log\" is not in a section; start one with [global] or [rule NAME]\n"},
	    {"[globl]\nany = thing\n", "1: unknown section [globl], did you mean [global]?\n"},
	    {"[global]\nlg = all\n", "2: unknown option \"lg\", did you mean \"log\"?\n"},
	    {RULE "limt = 2/hour\n", "4: unknown option \"limt\", did you mean \"limit\"?\n"},
	    {RULE "limit = 2/hour\n",
		"4: limit is already set in line 3; set it once in a section\n"},
	    {RULE "override = a 1/hour\noverride = b 1/hour\n", ""},
	    {"[global]\n\n[global]\n", "3: [global] is already in line 1\n"},
	    {RULE "[rule R]\nkey = sender\n",
		"4: [rule R] is already in line 1; each rule needs its own name\n"},
	    {"[rule a]\n[rule b]\nkey = sender\nlimit = x\n[global]\nlog = x\n",
		"1: [rule a] has no key; say what is counted, such as key = sasl_username\n"
		"1: [rule a] has no limit; say how much, such as limit = 100/hour\n"
		"4: limit: \"x\" does not start with a number; a limit is COUNT/UNIT such as "
		"100/hour, or unlimited, or deny\n"
		"6: log: \"x\" is not none, denied or all\n"},
	    {RULE "exempt = a\n\nexempt = b, a\n", "6: exempt: \"a\" already has an override\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		write_file(cases[i].text, strlen(cases[i].text));
		check_load(cases[i].text, cases[i].complaints[0] ? CONFIG_BAD : CONFIG_OK,
		    cases[i].complaints);
	}
	write_file("a\0b", 3);
	check_load("NUL", CONFIG_BAD, "1: a control character; only text is allowed\n");
}

/* A bad file still says where the log and the database are. */
static void test_global_of_bad_file(void **state)
{
	static const char bytes[] = "[global]\ndatabase = /x\nlog = y\nuser = z\nnonsense\n";
	struct config config;
	struct config_stamp stamp;
	char buffer[400];
	struct strbuf text;

	(void)state;
	write_file(bytes, sizeof(bytes) - 1);
	strbuf_init(&text, buffer, sizeof(buffer));
	check(config_load(path, &config, &stamp, take_report, &text) == CONFIG_BAD, "bad");
	check_string(config.database, "/x", "database");
	check_string(config.user, "z", "user");
	check(config.log == CONFIG_LOG_DENIED, "log");
	config_free(&config);
}

static void test_unusable(void **state)
{
	static const struct {
		mode_t mode;
		const char *who;
	} modes[] = {{0602, "others"}, {0620, "its group"}, {0664, "its group"}, {0666, "others"}};
	char complaint[300];

	(void)state;
	write_file("", 0);
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		check(chmod(path, modes[i].mode) == 0, "chmod");
		snprintf(complaint, sizeof(complaint),
		    "not used, because %s may write it; run: chmod go-w %s\n", modes[i].who, path);
		check_load(modes[i].who, CONFIG_BAD, complaint);
	}
	if (geteuid() == 0) {
		check(chmod(path, 0600) == 0 && chown(path, 12345, 0) == 0 &&
			chmod(directory, 0711) == 0,
		    "chown");
		snprintf(complaint, sizeof(complaint),
		    "not used, because account 12345 owns it; only root may; run: chown root %s\n",
		    path);
		check_load("another owner", CONFIG_BAD, complaint);
		check(seteuid(12345) == 0, "another account");
		check_load("its own", CONFIG_OK, "");
		check(seteuid(0) == 0, "root again");
		check(chown(path, 0, 0) == 0, "chown");
	}
	unlink(path);
	check_load("absent", CONFIG_BAD, "can't be read: No such file or directory\n");
	check(mkdir(path, 0700) == 0, "mkdir");
	check_load("a folder", CONFIG_BAD, "can't be read: Is a directory\n");
	rmdir(path);
	check(mkfifo(path, 0600) == 0, "mkfifo");
	check_load("a pipe", CONFIG_BAD, "can't be read: Invalid argument\n");
	unlink(path);
}

static void test_stamp(void **state)
{
	struct config_stamp first, second, none;
	struct config config;
	char buffer[400];
	struct strbuf text;

	(void)state;
	unlink(path);
	none = config_stamp_get(path);
	strbuf_init(&text, buffer, sizeof(buffer));
	config_load(path, &config, &first, take_report, &text);
	config_free(&config);
	check(config_stamp_same(&first, &none), "absent: another stamp");
	write_file(RULE, sizeof(RULE) - 1);
	config_load(path, &config, &first, take_report, &text);
	config_free(&config);
	second = config_stamp_get(path);
	check(config_stamp_same(&first, &second), "loaded: another stamp");
	check(!config_stamp_same(&first, &none), "the stamp of an absent file");
	write_file(RULE "\n", sizeof(RULE));
	second = config_stamp_get(path);
	check(!config_stamp_same(&first, &second), "changed: the same stamp");
	/* Of what can't be read there is no stamp: it may be readable next time. */
	unlink(path);
	check(mkdir(path, 0700) == 0, "mkdir");
	config_load(path, &config, &first, take_report, &text);
	config_free(&config);
	second = config_stamp_get(path);
	check(!config_stamp_same(&first, &second), "unreadable: a stamp");
	rmdir(path);
}

static void print_option(void *data, const char *name, const char *value, const char *usual)
{
	if (!usual || strcmp(value, usual) != 0) {
		strbuf_printf(data, "%s = %s (%s)\n", name, value, usual ? usual : "required");
	}
}

static void test_print(void **state)
{
	static const char bytes[] = "[rule r]\nlimit=2 per d|1/3600s\nkey=sender , size\n"
				    "exempt=a ,b\nexempt = c\nmatch = size != 1\nwarn_at=50\n"
				    "[global]\nlock_timeout=3000ms\n";
	struct config config;
	struct config_stamp stamp;
	char buffer[1000];
	struct strbuf text;

	(void)state;
	write_file(bytes, sizeof(bytes) - 1);
	strbuf_init(&text, buffer, sizeof(buffer));
	check(config_load(path, &config, &stamp, take_report, &text) == CONFIG_OK, "%s", buffer);
	config_print(&config, print_option, &text);
	check_string(buffer,
	    "global.lock_timeout = 3s (2s)\nr.key = sender , size (required)\n"
	    "r.limit = 2/day, 1/hour (required)\nr.match = size != 1 (required)\n"
	    "r.exempt = a ,b (required)\nr.exempt = c (required)\nr.warn_at = 50% ()\n",
	    "printed");
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_global_of_bad_file),
	    cmocka_unit_test(test_unusable),
	    cmocka_unit_test(test_stamp),
	    cmocka_unit_test(test_print),
	};
	int result;

	if (!mkdtemp(directory)) {
		return 1;
	}
	snprintf(path, sizeof(path), "%s/c", directory);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	result = cmocka_run_group_tests_name("file", tests, NULL, NULL);
	unlink(path);
	rmdir(directory);
	return result;
}
