/*
 * Runs postconf(1) and reads what it prints: see postconf.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/postconf.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* For a PATH without its folder, such as that of cron. */
#define POSTCONF_PATH "/usr/sbin/postconf"

#define BLANKS " \t\r\n"

struct words words_split(struct check *check, const char *text, const char *separators)
{
	/* All words but the last are followed by a separator. */
	size_t most = (strlen(text) + 1) / 2;
	struct words words = {.at = check_alloc(check, most + 1, sizeof(*words.at))};
	char *c = check_text(check, "%s", text);

	for (c += strspn(c, separators); *c; c += strspn(c, separators)) {
		int depth = 0;

		words.at[words.n++] = c;
		for (; *c && (depth > 0 || !strchr(separators, *c)); c++) {
			depth += (*c == '{') - (*c == '}');
		}
		if (*c) {
			*c++ = '\0';
		}
	}
	return words;
}

const char *words_trim(struct check *check, const char *text, const char *characters)
{
	const char *start = text + strspn(text, characters);
	size_t length = strlen(start);

	while (length > 0 && strchr(characters, start[length - 1])) {
		length--;
	}
	return check_text(check, "%.*s", (int)length, start);
}

static size_t count_lines(const char *text)
{
	size_t lines = 1;

	for (; *text; text++) {
		lines += *text == '\n';
	}
	return lines;
}

/* Reads the settings whose names start with the prefix, and leaves it out. */
static struct settings read_settings(struct check *check, const char *output, const char *prefix)
{
	struct settings settings = {0};
	size_t length = strlen(prefix);
	char *text = check_text(check, "%s", output);
	char *line;

	settings.at = check_alloc(check, count_lines(text), sizeof(*settings.at));
	while ((line = strsep(&text, "\n"))) {
		char *value = strstr(line, " =");

		if (value && strncmp(line, prefix, length) == 0) {
			*value = '\0';
			value += 2 + strspn(value + 2, BLANKS);
			settings.at[settings.n++] = (struct setting){line + length, value};
		}
	}
	return settings;
}

const char *settings_get(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->n; i++) {
		if (strcmp(settings->at[i].name, name) == 0) {
			return settings->at[i].value;
		}
	}
	return NULL;
}

const char *settings_text(const struct settings *settings, const char *name)
{
	const char *value = settings_get(settings, name);

	return value ? value : "";
}

bool settings_is(const struct settings *settings, const char *name, const char *word)
{
	return strcasecmp(settings_text(settings, name), word) == 0;
}

bool service_is(const struct service *service, unsigned field, const char *value)
{
	return field < service->field.n && strcmp(service->field.at[field], value) == 0;
}

/* What was written to the file. */
static char *read_all(struct check *check, int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = check_alloc(check, 1, size < 0 ? 1 : (size_t)size + 1);

	if (size < 0 || pread(fd, text, (size_t)size, 0) != size) {
		err(EX_OSERR, "output of postconf");
	}
	return text;
}

/* The last of postconf's messages. Those before it are warnings. */
static const char *last_line(char *messages)
{
	const char *last = "postconf: failed";
	char *line;

	while ((line = strsep(&messages, "\n"))) {
		last = *line ? line : last;
	}
	return last;
}

/*
 * Returns what postconf prints with that option, and an -o for each of the settings. NULL, after a
 * finding, if it fails. Its output goes to files in memory, which can't fill up as pipes could.
 */
static char *ask(
    struct check *check, const char *dir, const char *option, const struct settings *own)
{
	const char **argv = check_alloc(check, 5 + 2 * own->n, sizeof(*argv));
	int out = memfd_create("postconf", MFD_CLOEXEC);
	int messages = memfd_create("postconf", MFD_CLOEXEC);
	posix_spawn_file_actions_t actions;
	const char *fault = NULL;
	char *output = NULL;
	size_t argc = 0;
	int failure, status;
	pid_t pid;

	argv[argc++] = "postconf";
	if (dir) {
		argv[argc++] = "-c";
		argv[argc++] = dir;
	}
	argv[argc++] = option;
	for (size_t i = 0; i < own->n; i++) {
		argv[argc++] = "-o";
		argv[argc++] = check_text(check, "%s=%s", own->at[i].name, own->at[i].value);
	}
	if (out < 0 || messages < 0 || posix_spawn_file_actions_init(&actions)) {
		err(EX_OSERR, "postconf");
	}
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, messages, STDERR_FILENO);
	failure = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	if (failure) {
		failure =
		    posix_spawn(&pid, POSTCONF_PATH, &actions, NULL, (char *const *)argv, environ);
	}
	posix_spawn_file_actions_destroy(&actions);
	if (failure == ENOENT) {
		check_finding(check,
		    "postconf: not found in PATH or /usr/sbin: Postfix's settings were not "
		    "checked; run: PATH=$PATH:/FOLDER/OF/POSTCONF policyd-ratelimit-ctl check");
	} else if (failure || TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) < 0) {
		fault = check_text(check, "postconf: %s", strerror(failure ? failure : errno));
	} else if (status != 0) {
		fault = last_line(read_all(check, messages));
	} else {
		output = read_all(check, out);
	}
	if (fault) {
		check_finding(check,
		    "%s: %s: Postfix's settings were not checked; run: postconf%s%s -n",
		    dir ? dir : "postfix", fault, dir ? " -c " : "",
		    dir ? check_quote(check, dir) : "");
	}
	close(out);
	close(messages);
	return output;
}

bool postconf_load(struct postconf *postconf, struct check *check, const char *dir)
{
	const struct settings none = {0};
	char *main_cf = ask(check, dir, "-x", &none);
	char *options = main_cf ? ask(check, dir, "-P", &none) : NULL;
	char *entries = options ? ask(check, dir, "-M", &none) : NULL;
	char *line;

	if (!entries) {
		return false;
	}
	postconf->main = read_settings(check, main_cf, "");
	postconf->service = check_alloc(check, count_lines(entries), sizeof(*postconf->service));
	postconf->services = 0;
	while ((line = strsep(&entries, "\n"))) {
		struct service service = {.field = words_split(check, line, BLANKS)};
		const char **field = service.field.at;
		const char *all;

		if (service.field.n <= SERVICE_COMMAND) {
			continue;
		}
		if (service_is(&service, SERVICE_COMMAND, "smtpd") ||
		    service_is(&service, SERVICE_COMMAND, "spawn")) {
			/* postconf applies its -o, because settings of main.cf may use them. */
			service.own = read_settings(check, options,
			    check_text(check, "%s/%s/", field[SERVICE_NAME], field[SERVICE_TYPE]));
			all = ask(check, dir, "-x", &service.own);
			if (!all) {
				return false;
			}
			service.settings = read_settings(check, all, "");
		}
		postconf->service[postconf->services++] = service;
	}
	return true;
}
