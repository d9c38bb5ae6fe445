/*
 * The helper that Postfix's spawn(8) starts for each connection: reads policy
 * requests on stdin, answers on stdout, until end of file and never before.
 * Whatever breaks, each request gets its answer; so nothing here ends the process.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "config/file.h"
#include "helper/confine.h"
#include "engine/judge.h"
#include "base/log.h"
#include "policy/protocol.h"
#include "store/store.h"
#include "engine/reply.h"

#include "base/error.h"
#include "base/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

/* How often files that may have changed are looked at. */
#define LOOK_EVERY_MS 250
/* A file is taken up when nobody has written to it for so long: it may be half done. */
#define SETTLED_MS 300

/* Troubles that are remembered, and for how long, so that each is logged once. */
#define TROUBLES 8
#define TROUBLE_AGAIN_MS (3600 * 1000)

/* From sysexits.h, which not every libc has. */
#define EXIT_USAGE 64

/* A configuration, and what judges requests by it. */
struct setup {
	struct config config;
	struct store *store;
	struct judge *judge; /* NULL: the configuration is bad, only its [global] is used */
};

struct helper {
	const char *config_path;
	struct setup setup[2];
	struct setup *now; /* the one in force; the other is free for the next */
	struct config_stamp stamp; /* of the file that was read last, good or bad */
	struct config_stamp seen; /* of a changed file that has not been taken up yet */
	int64_t seen_ms;
	int64_t looked_ms;
	struct store *store;
	struct judge *judge;
	struct trouble {
		char text[sizeof(((struct error *)0)->text)];
		int64_t logged_ms;
	} trouble[TROUBLES];
	struct policy_reader reader;
	struct policy_request request;
	struct verdict_notes notes;
};

/*
 * Whether a trouble is news: it was not logged lately. Two troubles may take turns,
 * and good requests come between them.
 */
static bool is_news(struct helper *helper, const char *text)
{
	int64_t now_ms = clock_monotonic_ms();
	struct trouble *oldest = &helper->trouble[0];

	for (size_t i = 0; i < TROUBLES; i++) {
		struct trouble *trouble = &helper->trouble[i];

		if (strcmp(trouble->text, text) == 0 &&
		    now_ms - trouble->logged_ms < TROUBLE_AGAIN_MS) {
			return false;
		}
		if (trouble->logged_ms < oldest->logged_ms) {
			oldest = trouble;
		}
	}
	snprintf(oldest->text, sizeof(oldest->text), "%s", text);
	oldest->logged_ms = now_ms;
	return true;
}

/* Mistakes in the configuration are kept until it is known where the log goes. */
struct complaints {
	char *line[100];
	size_t lines;
};

static void keep_complaint(void *data, const char *message)
{
	struct complaints *complaints = data;

	if (complaints->lines < sizeof(complaints->line) / sizeof(*complaints->line)) {
		complaints->line[complaints->lines] = strdup(message);
		complaints->lines += complaints->line[complaints->lines] != NULL;
	}
}

static void close_setup(struct setup *setup)
{
	judge_free(setup->judge);
	store_close(setup->store);
	config_free(&setup->config);
	*setup = (struct setup){.judge = NULL};
}

/* Makes what judges requests by a good configuration. Returns -1 if out of memory. */
static int open_setup(struct setup *setup)
{
	const struct config *config = &setup->config;
	struct store_options options = {.path = config->database,
	    .mode = config->database_mode,
	    .max_size = config->database_max_size,
	    .lock_timeout_ms = config->lock_timeout_ms,
	    .salvage = &retention_salvage};

	setup->store = store_new(&options);
	setup->judge = setup->store ? judge_new(config, setup->store) : NULL;
	return setup->judge ? 0 : -1;
}

/*
 * If a changed configuration names files that this process can't reach, puts those of the old one
 * in their place, with a warning. Returns 0, or -1 if out of memory.
 */
static int keep_places(const struct helper *helper, struct config *config, const struct config *old)
{
	char line[LINE_MAX_BYTES];
	struct strbuf text;
	struct error error;

	strbuf_init(&text, line, sizeof(line));
	if (!confine_reaches_database(config->database)) {
		char *database = alloc_copy(old->database, &error);

		if (!database) {
			return -1;
		}
		strbuf_printf(&text, "%s: database = %s", helper->config_path, config->database);
		free(config->database);
		config->database = database;
	}
	if (config->log_path && !confine_reaches_log(config->log_path)) {
		char *target = alloc_copy(old->log_target, &error);

		if (!target) {
			return -1;
		}
		if (text.length > 0) {
			strbuf_puts(&text, " and log_target = ");
		} else {
			strbuf_printf(&text, "%s: log_target = ", helper->config_path);
		}
		strbuf_puts(&text, config->log_target);
		free(config->log_target);
		config->log_target = target;
		config->log_facility = old->log_facility;
		config->log_path =
		    old->log_path ? target + (old->log_path - old->log_target) : NULL;
	}
	if (text.length > 0 && config->log != CONFIG_LOG_NONE) {
		strbuf_puts(&text,
		    ": this process can't reach the folder and goes on as before until its "
		    "connection ends (postfix reload)");
		log_line(LOG_LEVEL_WARNING, line);
	}
	return 0;
}

/* Reads the file into a setup. */
static enum config_result load_setup(
    struct helper *helper, struct setup *setup, struct complaints *complaints)
{
	enum config_result result = config_load(
	    helper->config_path, &setup->config, &helper->stamp, keep_complaint, complaints);

	if (result != CONFIG_OK) {
		return result;
	}
	if ((helper->now->judge && keep_places(helper, &setup->config, &helper->now->config)) ||
	    open_setup(setup)) {
		close_setup(setup);
		keep_complaint(complaints, "out of memory");
		/* No file has this stamp: it is read again. */
		helper->stamp.size = -1;
		return CONFIG_NO_MEMORY;
	}
	return CONFIG_OK;
}

/*
 * Reads the file. A good configuration replaces the one in force. A bad one replaces only a bad
 * one. Without memory for it, nothing changes.
 */
static void load_config(struct helper *helper)
{
	struct complaints complaints = {.lines = 0};
	struct config_stamp before = helper->stamp;
	struct setup *old = helper->now;
	struct setup *next = old == helper->setup ? helper->setup + 1 : helper->setup;
	enum config_result result = load_setup(helper, next, &complaints);
	bool changed = !config_stamp_same(&before, &helper->stamp);
	const struct config *config = &next->config;

	if (result == CONFIG_OK || (result == CONFIG_BAD && !old->judge)) {
		helper->now = next;
		log_to(config->log_facility, config->log_path);
		close_setup(old);
	} else {
		close_setup(next);
	}
	if (result == CONFIG_OK) {
		confine_files(helper->config_path, config->database, config->log_path);
	}
	config = &helper->now->config;
	for (size_t i = 0; i < complaints.lines; i++) {
		if (config->log != CONFIG_LOG_NONE &&
		    (changed || is_news(helper, complaints.line[i]))) {
			log_line(LOG_LEVEL_ERROR, complaints.line[i]);
		}
		free(complaints.line[i]);
	}
	if (result != CONFIG_OK && changed && config->log != CONFIG_LOG_NONE) {
		log_line(LOG_LEVEL_ERROR,
		    helper->now->judge
			? "the changed configuration is not used; the last good one stays in force"
			: "no usable configuration; every request is answered on_error");
	}
}

/* How long ago somebody wrote to the file; writing, unlike renaming, changes this time. */
static int64_t config_age_ms(const struct config_stamp *stamp)
{
	return clock_now_ms() -
	    (stamp->modified.tv_sec * INT64_C(1000) + stamp->modified.tv_nsec / 1000000);
}

/* Whether the file has been left alone for long enough to be whole. */
static bool is_settled(const struct helper *helper, int64_t monotonic_ms)
{
	int64_t age_ms = config_age_ms(&helper->seen);

	return age_ms >= SETTLED_MS || monotonic_ms - helper->seen_ms >= SETTLED_MS;
}

/*
 * A process that starts while the file is being written in place has nothing else to judge
 * by: it waits until the file has been left alone.
 */
static void wait_for_config(const struct helper *helper)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000000};

	for (int i = 0; i < SETTLED_MS / 10; i++) {
		struct config_stamp stamp = config_stamp_get(helper->config_path);

		if (config_age_ms(&stamp) >= SETTLED_MS) {
			return;
		}
		nanosleep(&pause, NULL);
	}
}

/* Takes up a changed configuration, at most every now and then. */
static void refresh_config(struct helper *helper)
{
	int64_t now_ms = clock_coarse_ms();
	struct config_stamp stamp;

	if (now_ms - helper->looked_ms < LOOK_EVERY_MS) {
		return;
	}
	helper->looked_ms = now_ms;
	store_look_again();
	stamp = config_stamp_get(helper->config_path);
	if (config_stamp_same(&stamp, &helper->stamp)) {
		return;
	}
	if (!config_stamp_same(&stamp, &helper->seen)) {
		helper->seen = stamp;
		helper->seen_ms = now_ms;
	}
	if (is_settled(helper, now_ms)) {
		load_config(helper);
	}
}

/* error: why the request can't be judged, for VERDICT_ERROR, if that is to be said. */
static void log_verdict(
    struct helper *helper, const struct verdict *verdict, const struct error *error)
{
	enum config_log log = helper->now->config.log;
	char buffer[LINE_MAX_BYTES];
	struct strbuf text;

	if (log == CONFIG_LOG_NONE ||
	    (log == CONFIG_LOG_DENIED && !error &&
		(verdict->status == VERDICT_ALLOWED || verdict->status == VERDICT_ERROR))) {
		return;
	}
	strbuf_init(&text, buffer, sizeof(buffer));
	reply_log_line(verdict, &helper->request, error, &text);
	log_line(error                               ? LOG_LEVEL_ERROR
		: verdict->status == VERDICT_WARNING ? LOG_LEVEL_WARNING
						     : LOG_LEVEL_INFO,
	    buffer);
}

/* What was done to a damaged file. */
static void log_notice(struct helper *helper)
{
	const char *notice = helper->now->store ? store_notice(helper->now->store) : NULL;

	if (notice && helper->now->config.log != CONFIG_LOG_NONE) {
		log_line(LOG_LEVEL_ERROR, notice);
	}
}

/* bad: why the request is none to be judged, or NULL. */
static int answer(struct helper *helper, const struct error *bad)
{
	struct verdict verdict = {.status = VERDICT_ERROR};
	char buffer[POLICY_ACTION_MAX + 1];
	const char *action;
	struct error error;
	struct strbuf text;
	int result = 0;

	helper->notes.notes = 0;
	error.text[0] = '\0';
	if (!bad && helper->now->judge) {
		judge_request(
		    helper->now->judge, &helper->request, &verdict, &helper->notes, &error);
		if (verdict.status == VERDICT_ERROR && is_news(helper, error.text)) {
			bad = &error;
		}
	}
	strbuf_init(&text, buffer, sizeof(buffer));
	action = reply_action(&verdict, &helper->now->config, &helper->request, &text);
	if (!action) {
		/* There has not been memory for any configuration yet. */
		action = "DUNNO";
	}
	/* A syslog that nobody reads blocks: first the answer. A file doesn't. */
	if (!helper->now->config.log_path) {
		result = protocol_answer(STDOUT_FILENO, action);
	}
	log_notice(helper);
	for (size_t i = 0; i < helper->notes.notes; i++) {
		log_verdict(helper, &helper->notes.note[i], NULL);
	}
	log_verdict(helper, &verdict, bad);
	return helper->now->config.log_path ? protocol_answer(STDOUT_FILENO, action) : result;
}

/* House-keeping that a new counter made due; the answer is out already. */
static void keep_house(struct helper *helper)
{
	struct retention keeping = {.buffer = NULL};
	struct store_rewriting rewriting = {
	    .keep = retention_keep, .data = &keeping, .only_if_due = true};
	struct error error;

	if (!helper->now->store || !store_rewrite_due(helper->now->store)) {
		return;
	}
	if (store_rewrite(helper->now->store, &rewriting, &error) != STORE_OK &&
	    helper->now->config.log != CONFIG_LOG_NONE && is_news(helper, error.text)) {
		log_line(LOG_LEVEL_ERROR, error.text);
	}
	free(keeping.buffer);
	log_notice(helper);
}

static void serve(struct helper *helper)
{
	struct error error;

	for (;;) {
		enum policy_result result =
		    protocol_read(&helper->reader, &helper->request, &error);

		if (result == POLICY_END) {
			if (error.text[0] && helper->now->config.log != CONFIG_LOG_NONE) {
				log_line(LOG_LEVEL_WARNING, error.text);
			}
			return;
		}
		refresh_config(helper);
		if (answer(helper, result == POLICY_BAD ? &error : NULL)) {
			return;
		}
		keep_house(helper);
	}
}

/*
 * spawn(8) ties fd 2 to the client's socket too: one stray byte there, from a library
 * or from libc, would be taken for an answer. Descriptors that are not open get
 * /dev/null, lest a file of ours becomes one of them.
 */
static void secure_descriptors(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd < STDERR_FILENO) {
		fd = dup(fd);
	}
	if (fd > STDERR_FILENO) {
		if (!isatty(STDERR_FILENO)) {
			dup2(fd, STDERR_FILENO);
		}
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
	/* Not initialized here: all of it would stand in the program's file. */
	static struct helper helper;
	bool wrong = false;
	int option;

	helper.config_path = DEFAULT_CONFIG;
	helper.now = helper.setup;
	helper.now->config.log = CONFIG_LOG_DENIED;
	confine_environment();
	secure_descriptors();
	signal(SIGPIPE, SIG_IGN);
	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			helper.config_path = optarg;
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
		return EXIT_USAGE;
	}
	helper.reader.fd = STDIN_FILENO;
	confine_process();
	wait_for_config(&helper);
	load_config(&helper);
	helper.looked_ms = clock_coarse_ms();
	if (wrong) {
		/* Going away would stop mail. */
		log_line(LOG_LEVEL_WARNING,
		    "unknown arguments in master.cf are ignored; allowed is "
		    "-c FILE");
	}
	serve(&helper);
	close_setup(helper.now);
	return EXIT_SUCCESS;
}
