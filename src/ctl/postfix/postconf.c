/*
 * Runs postconf(1) and reads what it prints: see postconf.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/postconf.h"

#include "base/duration.h"
#include "base/number.h"
#include "ctl/common.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* For a PATH without its folder, such as that of cron. */
#define POSTCONF_PATH "/usr/sbin/postconf"

#define BLANKS " \t\r\n"

struct words words_split(const char *text, const char *separators)
{
	struct words words = {.text = ctl_must(strdup(text))};
	size_t room = 0;
	char *c = words.text;

	for (;;) {
		int depth = 0;

		c += strspn(c, separators);
		if (!*c) {
			return words;
		}
		words.at = ctl_grow(words.at, words.n, &room, sizeof(*words.at));
		words.at[words.n++] = c;
		for (; *c && (depth > 0 || !strchr(separators, *c)); c++) {
			depth += (*c == '{') - (*c == '}');
		}
		if (*c) {
			*c++ = '\0';
		}
	}
}

void words_free(struct words *words)
{
	free(words->text);
	free(words->at);
	*words = (struct words){0};
}

/* Owns the text from now on. */
static struct settings settings_read(char *text)
{
	struct settings settings = {.text = text};
	size_t room = 0;
	char *rest = text;
	char *line;

	while ((line = strsep(&rest, "\n"))) {
		char *value = strstr(line, " =");

		if (!value) {
			continue;
		}
		settings.at = ctl_grow(settings.at, settings.n, &room, sizeof(*settings.at));
		*value = '\0';
		value += 2;
		value += strspn(value, BLANKS);
		settings.at[settings.n++] = (struct setting){line, value};
	}
	return settings;
}

static void settings_free(struct settings *settings)
{
	free(settings->text);
	free(settings->at);
	*settings = (struct settings){0};
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

bool settings_yes(const struct settings *settings, const char *name)
{
	return strcasecmp(settings_text(settings, name), "yes") == 0;
}

long settings_seconds(const struct settings *settings, const char *name)
{
	const char *text = settings_text(settings, name);
	enum duration_unit unit = UNIT_SECOND;
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	if (number_parse(text, digits, 1000000000, &number) || (text[digits] && text[digits + 1]) ||
	    (text[digits] && duration_unit_parse(text + digits, 1, &unit))) {
		return -1;
	}
	return (long)number * (long)(duration_units[unit].ms / 1000);
}

/* What was written to the file, as a new string. */
static char *read_all(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = ctl_must(calloc(1, (size_t)(size < 0 ? 0 : size) + 1));
	size_t length = 0;
	ssize_t n;

	while (size > 0 && (off_t)length < size &&
	    (n = pread(fd, text + length, (size_t)size - length, (off_t)length)) > 0) {
		length += (size_t)n;
	}
	return text;
}

/* Sets the error to the last of postconf's messages: those before it are warnings. */
static void fail(struct error *error, char *messages)
{
	size_t length = strlen(messages);
	char *last;

	while (length > 0 && messages[length - 1] == '\n') {
		messages[--length] = '\0';
	}
	last = strrchr(messages, '\n');
	error_set(error, "%s", length == 0 ? "postconf: failed" : last ? last + 1 : messages);
}

/* Its output goes to files in memory, which can't fill up as pipes could. */
static enum postconf_result run(char *const argv[], char **output, struct error *error)
{
	enum postconf_result result = POSTCONF_FAILED;
	int out = memfd_create("postconf", MFD_CLOEXEC);
	int err = memfd_create("postconf", MFD_CLOEXEC);
	posix_spawn_file_actions_t actions;
	char *messages;
	int failure, status;
	pid_t pid;

	if (out < 0 || err < 0 || posix_spawn_file_actions_init(&actions)) {
		error_set(error, "no room for what postconf prints: %s", strerror(errno));
		goto out;
	}
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	failure = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	if (failure) {
		failure = posix_spawn(&pid, POSTCONF_PATH, &actions, NULL, argv, environ);
	}
	posix_spawn_file_actions_destroy(&actions);
	if (failure) {
		error_set(error, "postconf: %s", strerror(failure));
		result = failure == ENOENT ? POSTCONF_MISSING : POSTCONF_FAILED;
	} else if (TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) < 0) {
		error_set(error, "postconf: %s", strerror(errno));
	} else if (status != 0) {
		messages = read_all(err);
		fail(error, messages);
		free(messages);
	} else {
		*output = read_all(out);
		result = POSTCONF_OK;
	}
out:
	close(out);
	close(err);
	return result;
}

/* Runs postconf with an option, and an -o for each of n settings. */
static enum postconf_result ask(const struct postconf *postconf, const char *option,
    char *const *setting, size_t n, char **output, struct error *error)
{
	const char **argv = ctl_must(calloc(5 + 2 * n, sizeof(*argv)));
	enum postconf_result result;
	size_t argc = 0;

	argv[argc++] = "postconf";
	if (postconf->dir) {
		argv[argc++] = "-c";
		argv[argc++] = postconf->dir;
	}
	argv[argc++] = option;
	for (size_t i = 0; i < n; i++) {
		argv[argc++] = "-o";
		argv[argc++] = setting[i];
	}
	result = run((char *const *)argv, output, error);
	free(argv);
	return result;
}

/* The part of "submission/inet/NAME" behind the entry's name and type, or NULL. */
static const char *name_of_own(const struct service *service, const char *name)
{
	for (unsigned field = SERVICE_NAME; field <= SERVICE_TYPE; field++) {
		size_t length = strlen(service->field.at[field]);

		if (strncmp(name, service->field.at[field], length) != 0 || name[length] != '/') {
			return NULL;
		}
		name += length + 1;
	}
	return name;
}

const char *postconf_own(
    const struct postconf *postconf, const struct service *service, const char *name)
{
	for (size_t i = 0; i < postconf->own.n; i++) {
		const char *own = name_of_own(service, postconf->own.at[i].name);

		if (own && strcmp(own, name) == 0) {
			return postconf->own.at[i].value;
		}
	}
	return NULL;
}

bool service_is(const struct service *service, unsigned field, const char *value)
{
	return field < service->field.n && strcmp(service->field.at[field], value) == 0;
}

/*
 * Reads the settings of one entry. postconf applies its -o, because settings of main.cf may use
 * them: smtpd_data_restrictions = $mua_data_restrictions.
 */
static enum postconf_result load_settings(
    const struct postconf *postconf, struct service *service, struct error *error)
{
	char **setting = ctl_must(calloc(postconf->own.n + 1, sizeof(*setting)));
	enum postconf_result result;
	char *text;
	size_t n = 0;

	for (size_t i = 0; i < postconf->own.n; i++) {
		const char *name = name_of_own(service, postconf->own.at[i].name);

		if (name) {
			if (asprintf(&setting[n++], "%s=%s", name, postconf->own.at[i].value) < 0) {
				ctl_must(NULL);
			}
		}
	}
	result = ask(postconf, "-x", setting, n, &text, error);
	if (result == POSTCONF_OK) {
		service->settings = settings_read(text);
	}
	for (size_t i = 0; i < n; i++) {
		free(setting[i]);
	}
	free(setting);
	return result;
}

static enum postconf_result load_services(struct postconf *postconf, struct error *error)
{
	enum postconf_result result;
	char *text, *rest, *line;
	size_t room = 0;

	result = ask(postconf, "-M", NULL, 0, &text, error);
	if (result != POSTCONF_OK) {
		return result;
	}
	rest = text;
	while (result == POSTCONF_OK && (line = strsep(&rest, "\n"))) {
		struct service service = {.field = words_split(line, BLANKS)};

		if (service.field.n <= SERVICE_COMMAND) {
			words_free(&service.field);
			continue;
		}
		if (service_is(&service, SERVICE_COMMAND, "smtpd") ||
		    service_is(&service, SERVICE_COMMAND, "spawn")) {
			result = load_settings(postconf, &service, error);
		}
		postconf->service =
		    ctl_grow(postconf->service, postconf->services, &room, sizeof(service));
		postconf->service[postconf->services++] = service;
	}
	free(text);
	return result;
}

enum postconf_result postconf_load(struct postconf *postconf, const char *dir, struct error *error)
{
	enum postconf_result result;
	char *text;

	*postconf = (struct postconf){.dir = dir};
	result = ask(postconf, "-x", NULL, 0, &text, error);
	if (result != POSTCONF_OK) {
		return result;
	}
	postconf->main = settings_read(text);
	result = ask(postconf, "-P", NULL, 0, &text, error);
	if (result != POSTCONF_OK) {
		return result;
	}
	postconf->own = settings_read(text);
	return load_services(postconf, error);
}

void postconf_free(struct postconf *postconf)
{
	for (size_t i = 0; i < postconf->services; i++) {
		words_free(&postconf->service[i].field);
		settings_free(&postconf->service[i].settings);
	}
	free(postconf->service);
	settings_free(&postconf->main);
	settings_free(&postconf->own);
	*postconf = (struct postconf){0};
}
