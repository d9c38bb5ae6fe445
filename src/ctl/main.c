/*
 * policyd-ratelimit-ctl, which shows administrators the counters and changes them: the command
 * table, and what happens before any command: options, configuration, account.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/commands.h"
#include "ctl/print.h"

#include "engine/retention.h"

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
	int (*prepare)(struct ctl *ctl, int argc, char **argv); /* before the change of account */
	bool rescues; /* a damaged file */
} commands[] = {
    {"show", cmd_show, STORE_READ,
	"[--rule R] [--key GLOB] [--over PCT] [--sort used|percent|key|last]\n"
	"       [--top N] [--json]",
	.help = "how full each counter is, when it frees, denials"},
    {"top", cmd_top, STORE_READ,
	"[--rule R] [--key GLOB] [--over PCT] [--sort used|percent|key|last]\n"
	"       [--interval SECONDS]",
	.help = "show, live on a terminal"},
    {"explain", cmd_explain, STORE_READ, "[ATTRIBUTE=VALUE...]",
	.help = "what a request would get and why"},
    {"reset", cmd_reset, STORE_WRITE, "[--rule R] [--history] KEY|GLOB... | --all",
	.help = "forget what is used"},
    {"set", cmd_set, STORE_CREATE, "[--for TIME] RULE KEY LIMITS",
	.help = "other limits for a key, at once"},
    {"unset", cmd_unset, STORE_WRITE, "RULE KEY", .help = "back to the configuration"},
    {"grant", cmd_grant, STORE_CREATE, "--for TIME [--force] RULE KEY +N",
	.help = "N more in each window, for a while"},
    {"limits", cmd_limits, STORE_READ, "[--rule R] [--json]", .help = "what is set and granted"},
    {"load", cmd_load, STORE_CREATE, "[--replace [--force]] FILE",
	.help = "set many: RULE<TAB>KEY<TAB>LIMITS[<TAB>UNTIL]", .prepare = cmd_load_open},
    {"dump", cmd_dump, STORE_READ, "", .help = "what is set, for load"},
    {"clean", cmd_clean, STORE_WRITE, "", .help = "compact the counter file", .rescues = true},
    {"report", cmd_report, STORE_READ, "[--since TIME] [--mail ADDRESS [--always]] [--json]",
	.help = "who hit a limit, since when, how often"},
    {"metrics", cmd_metrics, STORE_READ, "", .help = "OpenMetrics text, for Prometheus"},
    {"config", cmd_config, STORE_READ, "[--changed] [NAME]",
	.help = "effective settings, or one of them"},
    {"check", cmd_check, STORE_READ, "[-P DIR]...",
	.help = "what is wrong, on Postfix's side too, and what repairs it",
	.prepare = cmd_check_open},
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
	      "  -h, --help         this help; see also policyd-ratelimit-ctl(8)\n"
	      "  -V, --version      the version\n",
	    to);
}

static void usage(FILE *to, const struct command *command)
{
	fprintf(to, "usage: policyd-ratelimit-ctl %s%s%s\n", command->name,
	    command->arguments[0] ? " " : "", command->arguments);
}

static void print_mistake(void *data, const char *message)
{
	(void)data;
	print_complaint("%s", message);
}

/*
 * Changes to the helper's account, so that ctl creates no file that the helper can't open. A
 * command that only reads continues if there is no such account.
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
		print_warning(
		    "there is no account \"%s\"; create it (useradd --system %s) or set user in "
		    "[global] to the account of the spawn entry in master.cf",
		    config->user, config->user);
		return EX_CONFIG;
	}
	if (user->pw_uid == 0) {
		return 0;
	}
	if (setgroups(1, &user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid)) {
		print_warning(
		    "can't change to the account \"%s\": %s", config->user, strerror(errno));
		return EX_NOPERM;
	}
	return 0;
}

/* Only the helper's account may create files: the helper could not open those of others. */
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
	struct error error;
	int status = EX_CONFIG;

	optind = 0; /* for the options of the command */
	loaded = config_load(ctl->config_path, &ctl->config, &stamp, print_mistake, NULL);
	if (loaded == CONFIG_NO_MEMORY) {
		return EX_OSERR;
	}
	ctl->config_is_bad = loaded != CONFIG_OK;
	/* Only check may continue: it looks for such faults. */
	if (!ctl->config_is_bad || command->run == cmd_check) {
		status = command->prepare ? command->prepare(ctl, argc, argv) : 0;
	}
	if (status == 0) {
		status = become_user(&ctl->config, command);
	}
	if (status == 0) {
		options.mode = ctl->config.database_mode;
		options.max_size = ctl->config.database_max_size;
		options.lock_timeout_ms = ctl->config.lock_timeout_ms;
		options.rescue = command->rescues;
		if (options.access == STORE_CREATE && !is_user(&ctl->config)) {
			options.access = STORE_WRITE;
		}
		ctl->store = store_open(ctl->config.database, &options, &retention_codec, &error);
		if (!ctl->store) {
			errx(EX_OSERR, "%s", error.text);
		}
		if (!ctl->config_is_bad) {
			ctl->limits = ctl_must(effective_limits_new(&ctl->config));
		}
		status = command->run(ctl, argc, argv);
	}
	if (status == CTL_USAGE) {
		usage(stderr, command);
		status = EX_USAGE;
	}
	if (ctl->input && ctl->input != stdin) {
		fclose(ctl->input);
	}
	store_close(ctl->store);
	effective_limits_free(ctl->limits);
	config_free(&ctl->config);
	if (fflush(stdout) || ferror(stdout)) {
		print_warning("stdout: %s", strerror(errno));
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
	fputs("policyd-ratelimit-ctl: there is no command \"", stderr);
	print_text(stderr, argv[0], strlen(argv[0]));
	fputs("\"; one of", stderr);
	for (size_t i = 0; i < COMMANDS; i++) {
		fprintf(stderr, "%s %s", i ? "," : "", commands[i].name);
	}
	fputc('\n', stderr);
	return EX_USAGE;
}
