/*
 * policyd-ratelimit-ctl: the administrator's view of the counters. The command
 * table, and what comes before any command: options, configuration, account.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/main.h"

#include "engine/judge.h"

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
	int (*prepare)(struct ctl *ctl, int argc, char **argv); /* before the account changes */
	bool salvages; /* a damaged file */
} commands[] = {
    {"show", cmd_show, STORE_READ,
	"[--rule R] [--key GLOB] [--over PCT] [--sort used|percent|key|last]\n"
	"       [--top N] [--json]",
	"how full each counter is, when it frees, refusals", NULL, false},
    {"top", cmd_top, STORE_READ,
	"[--rule R] [--key GLOB] [--over PCT] [--sort used|percent|key|last]\n"
	"       [--interval SECONDS]",
	"show, live on a terminal", NULL, false},
    {"explain", cmd_explain, STORE_READ, "[ATTRIBUTE=VALUE...]", "what a request would get and why",
	NULL, false},
    {"reset", cmd_reset, STORE_WRITE, "[--rule R] KEY... | --all", "forget counters", NULL, false},
    {"set", cmd_set, STORE_CREATE, "[--for TIME] RULE KEY LIMITS",
	"other limits for a key, at once", NULL, false},
    {"unset", cmd_unset, STORE_WRITE, "RULE KEY", "back to the configuration", NULL, false},
    {"grant", cmd_grant, STORE_CREATE, "--for TIME RULE KEY +N",
	"N more in each window, for a while", NULL, false},
    {"limits", cmd_limits, STORE_READ, "[--rule R] [--json]", "what is set and granted", NULL,
	false},
    {"load", cmd_load, STORE_CREATE, "[--replace] FILE",
	"set many: RULE<TAB>KEY<TAB>LIMITS[<TAB>UNTIL]", ctl_load_open, false},
    {"dump", cmd_dump, STORE_READ, "", "what is set, for load", NULL, false},
    {"clean", cmd_clean, STORE_WRITE, "", "rewrite the file without what has expired", NULL, true},
    {"report", cmd_report, STORE_READ, "[--since TIME] [--mail ADDRESS [--always]] [--json]",
	"who hit a limit, since when, how often", NULL, false},
    {"metrics", cmd_metrics, STORE_READ, "", "OpenMetrics text, for Prometheus", NULL, false},
    {"config", cmd_config, STORE_READ, "[--changed] [NAME]", "effective settings, or one of them",
	NULL, false},
    {"check", cmd_check, STORE_READ, "[-P DIR]...",
	"what is wrong, on Postfix's side too, and what mends it", NULL, false},
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))

/* One screen. */
static void help(FILE *to)
{
	fputs("usage: policyd-ratelimit-ctl [-c FILE] COMMAND [ARGUMENT...]\n\n", to);
	for (size_t i = 0; i < COMMANDS; i++) {
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	}
	fputs("\n"
	      "  COMMAND --help     arguments of a command\n"
	      "  -c, --config FILE  instead of " DEFAULT_CONFIG "\n"
	      "  -h, --help         this help; policyd-ratelimit-ctl(8) has all\n"
	      "  -V, --version      the version\n",
	    to);
}

static void usage(FILE *to, const struct command *command)
{
	fprintf(to, "usage: policyd-ratelimit-ctl %s%s%s\n", command->name,
	    command->arguments[0] ? " " : "", command->arguments);
}

int ctl_usage(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0) {
			usage(stderr, &commands[i]);
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

void ctl_rule_names(const struct ctl *ctl, struct strbuf *text)
{
	for (size_t i = 0; i < ctl->config.rules; i++) {
		strbuf_printf(text, "%s%s", i ? ", " : "", ctl->config.rule[i].name);
	}
	strbuf_puts(text, ctl->config.rules ? "" : "none");
}

const struct rule *ctl_rule_option(const struct ctl *ctl, const char *name, int *status)
{
	const struct rule *rule = name ? ctl_rule(ctl, name, strlen(name)) : NULL;
	char names[CONFIG_RULES_MAX * (CONFIG_RULE_NAME_MAX + 2)];
	struct strbuf text;

	if (!name || rule) {
		return rule;
	}
	strbuf_init(&text, names, sizeof(names));
	ctl_rule_names(ctl, &text);
	warnx("there is no rule \"%s\" in %s; its rules are %s", name, ctl->config_path, names);
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

/* Nobody else may make a file: the helper could not open it. */
static bool is_user(const struct config *config)
{
	const struct passwd *user = getpwnam(config->user);

	return user && user->pw_uid == geteuid();
}

static int run(struct ctl *ctl, const struct command *command, int argc, char **argv)
{
	struct store_options options = {.access = command->access};
	enum config_result loaded;
	struct config_stamp stamp;
	int status = EX_CONFIG;

	/* Each command has options of its own. */
	optind = 0;
	loaded = config_load(ctl->config_path, &ctl->config, &stamp, print_complaint, NULL);
	if (loaded == CONFIG_NO_MEMORY) {
		return EX_OSERR;
	}
	ctl->config_is_bad = loaded != CONFIG_OK;
	/* Only what looks for faults may go on with one. */
	if (!ctl->config_is_bad || command->run == cmd_check) {
		status = command->prepare ? command->prepare(ctl, argc, argv) : 0;
	}
	if (status == 0) {
		status = become_user(&ctl->config, command);
	}
	if (status == 0) {
		options.path = ctl->config.database;
		options.mode = ctl->config.database_mode;
		options.max_size = ctl->config.database_max_size;
		options.lock_timeout_ms = ctl->config.lock_timeout_ms;
		options.salvage = command->salvages ? &retention_salvage : NULL;
		if (options.access == STORE_CREATE && !is_user(&ctl->config)) {
			options.access = STORE_WRITE;
		}
		ctl->store = store_new(&options);
		ctl->quotas = quotas_new();
		if (!ctl->store || !ctl->quotas) {
			err(EX_OSERR, NULL);
		}
		status = command->run(ctl, argc, argv);
	}
	if (ctl->input && ctl->input != stdin) {
		fclose(ctl->input);
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
			if (argc == 2 &&
			    (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
				usage(stdout, &commands[i]);
				return EX_OK;
			}
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
