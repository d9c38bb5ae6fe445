/*
 * policyd-ratelimit-ctl: the administrator's view of the counters. The command
 * table, and what comes before any command: options, configuration, account.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const struct command {
	const char *name;
	int (*run)(struct ctl *ctl, int argc, char **argv);
	enum store_access access;
	const char *arguments;
	const char *help;
} commands[] = {
    {"show", ctl_show, STORE_READ,
	"[--rule R] [--key GLOB] [--over PCT] [--sort used|percent|key|last]\n"
	"           [--top N] [--json]",
	"how full each counter is, when it frees, refusals"},
    {"reset", ctl_reset, STORE_WRITE, "[--rule R] KEY... | --all", "forget counters"},
    {"top", ctl_top, STORE_READ,
	"[--rule R] [--key GLOB] [--over PCT] [--sort used|percent|key|last]\n"
	"           [--interval SECONDS]",
	"show, live on a terminal"},
    {"config", ctl_config, STORE_READ, "[NAME]", "effective settings, or one of them"},
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))

static void help(FILE *to)
{
	fputs("usage: policyd-ratelimit-ctl [-c FILE] COMMAND [ARGUMENT...]\n\n", to);
	for (size_t i = 0; i < COMMANDS; i++) {
		fprintf(to, "  %-8s %s\n           %s\n", commands[i].name, commands[i].arguments,
		    commands[i].help);
	}
	fputs("\n"
	      "  -c, --config FILE  read FILE instead of " DEFAULT_CONFIG "\n"
	      "  -h, --help         show this help\n"
	      "  -V, --version      show the version\n"
	      "Exit status: 0 done, 1 nothing matched, 64 usage, 65 bad input data,\n"
	      "69 database unavailable, 77 not permitted, 78 bad configuration.\n"
	      "See policyd-ratelimit-ctl(8).\n",
	    to);
}

int ctl_usage(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0) {
			fprintf(stderr, "usage: policyd-ratelimit-ctl %s %s\n", name,
			    commands[i].arguments);
		}
	}
	return EX_USAGE;
}

int ctl_store_failed(enum store_result result, const struct error *error)
{
	warnx("%s", error->text);
	return result == STORE_FORBIDDEN ? EX_NOPERM : EX_UNAVAILABLE;
}

const struct rule *ctl_rule(const struct ctl *ctl, const char *name, size_t length)
{
	for (size_t i = 0; i < ctl->config.rules; i++) {
		const struct rule *rule = &ctl->config.rule[i];

		if (strlen(rule->name) == length && memcmp(rule->name, name, length) == 0) {
			return rule;
		}
	}
	return NULL;
}

const struct rule *ctl_rule_option(const struct ctl *ctl, const char *name, int *status)
{
	const struct rule *rule = name ? ctl_rule(ctl, name, strlen(name)) : NULL;

	if (!name || rule) {
		return rule;
	}
	fprintf(stderr, "policyd-ratelimit-ctl: there is no rule \"%s\" in %s; its rules are", name,
	    ctl->config_path);
	for (size_t i = 0; i < ctl->config.rules; i++) {
		fprintf(stderr, "%s %s", i ? "," : "", ctl->config.rule[i].name);
	}
	fprintf(stderr, "%s\n", ctl->config.rules ? "" : " none");
	*status = EX_DATAERR;
	return NULL;
}

static void print_complaint(void *data, const char *message)
{
	(void)data;
	fprintf(stderr, "%s\n", message);
}

/*
 * Takes on the helper's account, so that no file is left behind that the helper can't
 * open. A command that only reads goes on where there is no such account.
 */
static int become_user(const struct config *config, const struct command *command)
{
	const struct passwd *user;

	if (geteuid() != 0) {
		return 0;
	}
	errno = 0;
	user = getpwnam(config->user);
	if (!user && command->access == STORE_READ) {
		return 0;
	}
	if (!user) {
		warnx("there is no account \"%s\"; make it (useradd --system %s) or set user in "
		      "[global] to the account of the spawn entry in master.cf",
		    config->user, config->user);
		return EX_CONFIG;
	}
	if (user->pw_uid == 0) {
		return 0;
	}
	if (setgroups(1, &user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid)) {
		warn("can't take on the account \"%s\"", config->user);
		return EX_NOPERM;
	}
	return 0;
}

static int run(struct ctl *ctl, const struct command *command, int argc, char **argv)
{
	struct store_options options = {.access = command->access};
	struct config_stamp stamp;
	int status = EX_CONFIG;

	if (config_load(ctl->config_path, &ctl->config, &stamp, print_complaint, NULL) == 0) {
		status = become_user(&ctl->config, command);
	}
	if (status == 0) {
		options.path = ctl->config.database;
		options.mode = ctl->config.database_mode;
		options.max_size = ctl->config.database_max_size;
		options.lock_timeout_ms = ctl->config.lock_timeout_ms;
		ctl->store = store_new(&options);
		ctl->quotas = quotas_new();
		if (!ctl->store || !ctl->quotas) {
			err(EX_OSERR, NULL);
		}
		/* Each command has options of its own. */
		optind = 0;
		status = command->run(ctl, argc, argv);
	}
	store_close(ctl->store);
	quotas_free(ctl->quotas);
	config_free(&ctl->config);
	if (fflush(stdout) || ferror(stdout)) {
		warn("stdout");
		return EX_UNAVAILABLE;
	}
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	struct ctl ctl = {.config_path = DEFAULT_CONFIG};
	int option;

	while ((option = getopt_long(argc, argv, "+c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			ctl.config_path = optarg;
			break;
		case 'h':
			help(stdout);
			return EX_OK;
		case 'V':
			puts(PACKAGE_STRING);
			return EX_OK;
		default:
			fputs("policyd-ratelimit-ctl --help shows the options\n", stderr);
			return EX_USAGE;
		}
	}
	if (optind == argc) {
		help(stdout);
		return EX_OK;
	}
	argc -= optind;
	argv += optind;
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, argv[0]) == 0) {
			return run(&ctl, &commands[i], argc, argv);
		}
	}
	fprintf(stderr, "policyd-ratelimit-ctl: there is no command \"%s\"; one of", argv[0]);
	for (size_t i = 0; i < COMMANDS; i++) {
		fprintf(stderr, "%s %s", i ? "," : "", commands[i].name);
	}
	fputc('\n', stderr);
	return EX_USAGE;
}
