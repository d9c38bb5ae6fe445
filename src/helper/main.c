/*
 * The helper that Postfix's spawn(8) starts for each connection: reads policy requests on stdin
 * and answers on stdout, until end of file and never before. Every request gets an answer,
 * whatever fails; so nothing here ends the process.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/error.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "config/file.h"
#include "engine/judge.h"
#include "engine/reply.h"
#include "helper/account.h"
#include "helper/confine.h"
#include "helper/reload.h"
#include "policy/protocol.h"
#include "store/store.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

struct helper {
	struct reload reload;
	struct policy_reader reader;
	struct policy_request request;
	struct verdict_notes notes;
};

/* Logs a verdict. error is the trouble to log with it, or NULL. */
static void log_verdict(
    const struct helper *helper, const struct verdict *verdict, const struct error *error)
{
	enum config_log log = reload_setup(&helper->reload)->config.log;
	enum log_level level = error             ? LOG_LEVEL_ERROR
	    : verdict->status == VERDICT_WARNING ? LOG_LEVEL_WARNING
						 : LOG_LEVEL_INFO;
	char line[RELOAD_LINE_MAX];
	struct strbuf text;

	if (log == CONFIG_LOG_NONE ||
	    (log == CONFIG_LOG_DENIED && !error &&
		(verdict->status == VERDICT_ALLOWED || verdict->status == VERDICT_ERROR))) {
		return;
	}
	strbuf_init(&text, line, sizeof(line));
	reply_log_line(verdict, &helper->request, error, &text);
	log_line(level, line);
}

/* What was done to a damaged file. */
static void log_notice(const struct helper *helper)
{
	struct store *store = reload_setup(&helper->reload)->store;
	const char *notice = store ? store_notice(store) : NULL;

	if (notice) {
		reload_log(&helper->reload, LOG_LEVEL_ERROR, notice);
	}
}

/*
 * Answers the request that was read. bad: why it can't be judged, or NULL. 0, or -1 if the client
 * is gone.
 */
static int answer(struct helper *helper, const struct error *bad)
{
	const struct setup *setup = reload_setup(&helper->reload);
	struct verdict verdict = {.status = VERDICT_ERROR};
	char buffer[POLICY_ACTION_MAX + 1];
	const char *action;
	struct error error;
	struct strbuf text;
	int result = 0;

	helper->notes.notes = 0;
	error.text[0] = '\0';
	if (!bad && setup->judge) {
		judge_request(setup->judge, &helper->request, &verdict, &helper->notes, &error);
		if (verdict.status == VERDICT_ERROR &&
		    reload_is_news(&helper->reload, error.text)) {
			bad = &error;
		}
	}
	strbuf_init(&text, buffer, sizeof(buffer));
	action = reply_action(&verdict, &setup->config, &helper->request, &text);
	if (!action) {
		/* There has not been memory for any configuration yet. */
		action = "DUNNO";
	}
	/* A syslog daemon that has stopped reading blocks us, so the answer goes first. */
	if (!setup->config.log_path) {
		result = protocol_answer(STDOUT_FILENO, action);
	}
	log_notice(helper);
	for (size_t i = 0; i < helper->notes.notes; i++) {
		log_verdict(helper, &helper->notes.note[i], NULL);
	}
	log_verdict(helper, &verdict, bad);
	return setup->config.log_path ? protocol_answer(STDOUT_FILENO, action) : result;
}

/* Compacts the counter file if a new counter made that due. The answer is out already. */
static void compact_if_due(struct helper *helper)
{
	struct store *store = reload_setup(&helper->reload)->store;
	struct store_maintenance maintenance = {.only_if_due = true};
	struct error error;

	if (!store) {
		return;
	}
	if (store_maintain(store, &maintenance, &error) != STORE_OK &&
	    reload_is_news(&helper->reload, error.text)) {
		reload_log(&helper->reload, LOG_LEVEL_ERROR, error.text);
	}
	log_notice(helper);
}

static void serve(struct helper *helper)
{
	struct error error;

	for (;;) {
		enum policy_result result =
		    protocol_read(&helper->reader, &helper->request, &error);

		if (result == POLICY_END) {
			if (error.text[0]) {
				reload_log(&helper->reload, LOG_LEVEL_WARNING, error.text);
			}
			return;
		}
		reload_recheck(&helper->reload);
		if (answer(helper, result == POLICY_BAD ? &error : NULL)) {
			return;
		}
		compact_if_due(helper);
		reload_keep(&helper->reload);
	}
}

static bool is_same_file(int a, int b)
{
	struct stat first, second;

	return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
	    first.st_ino == second.st_ino;
}

/*
 * spawn(8) ties fd 2 to the client's socket as well: Postfix would take a stray byte from a library
 * for an answer. Otherwise, as from a shell or a supervisor, it is for the log if there is no
 * other. Descriptors that are closed are opened on /dev/null, so that none of our files gets their
 * numbers.
 */
static void secure_descriptors(void)
{
	bool has_stderr = fcntl(STDERR_FILENO, F_GETFD) >= 0;
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd < STDERR_FILENO) {
		fd = dup(fd);
	}
	if (has_stderr &&
	    (isatty(STDERR_FILENO) ||
		(!is_same_file(STDERR_FILENO, STDIN_FILENO) &&
		    !is_same_file(STDERR_FILENO, STDOUT_FILENO)))) {
		log_allow_stderr();
	} else if (fd > STDERR_FILENO) {
		dup2(fd, STDERR_FILENO);
	}
	if (fd > STDERR_FILENO) {
		close(fd);
	}
}

static const char usage[] =
    "usage: policyd-ratelimit [-c FILE]\n"
    "Answers Postfix policy requests on stdin and stdout; started by spawn(8).\n"
    "  -c, --config FILE  read FILE instead of " DEFAULT_CONFIG "\n"
    "  -h, --help         show this help\n"
    "  -V, --version      show the version\n"
    "See policyd-ratelimit(8) and policyd-ratelimit.conf(5).\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	/* Large, so not on the stack. */
	static struct helper helper;
	const char *config_path = DEFAULT_CONFIG;
	bool wrong = false;
	int option;

	confine_environment();
	secure_descriptors();
	/*
	 * If a client closes its socket before it has the answer, write must fail and not kill the
	 * process, which has yet to log the decision. spawn(8) ignores SIGPIPE already; systemd
	 * (IgnoreSIGPIPE=no) and inetd do not.
	 */
	signal(SIGPIPE, SIG_IGN);
	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			config_path = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts(PACKAGE_STRING);
			return EXIT_SUCCESS;
		default:
			wrong = true;
		}
	}
	wrong = wrong || optind < argc;
	if (wrong && isatty(STDIN_FILENO)) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	helper.reader.fd = STDIN_FILENO;
	account_take_on(config_path);
	confine_process();
	reload_start(&helper.reload, config_path);
	if (wrong) {
		/* Exiting would stop mail. */
		log_line(LOG_LEVEL_WARNING,
		    "unknown arguments in master.cf are ignored; allowed is -c FILE");
	}
	serve(&helper);
	reload_stop(&helper.reload);
	return EXIT_SUCCESS;
}
