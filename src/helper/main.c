/*
 * The helper that Postfix's spawn(8) starts for each connection: reads policy
 * requests on stdin, answers on stdout, until end of file and never before.
 * Whatever breaks, each request gets its answer; so nothing here ends the process.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "config/file.h"
#include "helper/confine.h"
#include "engine/judge.h"
#include "base/log.h"
#include "policy/protocol.h"
#include "store/store.h"
#include "engine/reply.h"
#include "engine/retention.h"

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

struct helper {
	const char *config_path;
	struct config config; /* the last one read, for [global] even if it is bad */
	bool usable; /* config holds rules to judge by */
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

static void drop_config(struct helper *helper)
{
	judge_free(helper->judge);
	store_close(helper->store);
	helper->judge = NULL;
	helper->store = NULL;
	helper->usable = false;
	config_free(&helper->config);
}

/* Makes what judges requests from a good configuration. */
static void use_config(struct helper *helper)
{
	const struct config *config = &helper->config;
	struct store_options options = {.mode = config->database_mode,
	    .max_size = config->database_max_size,
	    .lock_timeout_ms = config->lock_timeout_ms,
	    .access = STORE_CREATE,
	    .rescue = true};
	struct error error;

	helper->store = store_open(config->database, &options, &retention_codec, &error);
	helper->judge = helper->store ? judge_new(config, helper->store) : NULL;
	helper->usable = helper->judge != NULL;
	confine_files(helper->config_path, config->database, config->log_path);
}

/*
 * Where a changed configuration names files that this process can't reach any more, those of
 * the present one remain.
 */
static void keep_places(const struct helper *helper, struct config *config, struct config *old)
{
	char line[LINE_MAX_BYTES];
	struct strbuf text;

	strbuf_init(&text, line, sizeof(line));
	if (!confine_reaches_database(config->database)) {
		char *database = config->database;

		strbuf_printf(&text, "%s: database = %s", helper->config_path, database);
		config->database = old->database;
		old->database = database;
	}
	if (config->log_path && !confine_reaches_log(config->log_path)) {
		struct config other = *config;

		if (text.length > 0) {
			strbuf_puts(&text, " and log_target = ");
		} else {
			strbuf_printf(&text, "%s: log_target = ", helper->config_path);
		}
		strbuf_puts(&text, other.log_target);
		config->log_target = old->log_target;
		config->log_facility = old->log_facility;
		config->log_path = old->log_path;
		old->log_target = other.log_target;
		old->log_path = other.log_path;
	}
	if (text.length > 0 && config->log != CONFIG_LOG_NONE) {
		strbuf_puts(&text,
		    ": this process can't reach the folder and goes on as before until its "
		    "connection ends (postfix reload)");
		log_line(LOG_LEVEL_WARNING, line);
	}
}

/* Reads the file. A bad one replaces a bad one, but a good one stays in force. */
static void load_config(struct helper *helper)
{
	struct complaints complaints = {.lines = 0};
	struct config_stamp before = helper->stamp;
	struct config config;
	bool changed;
	bool good = config_load(helper->config_path, &config, &helper->stamp, keep_complaint,
			&complaints) == 0;

	changed = !config_stamp_same(&before, &helper->stamp);
	if (good || !helper->usable) {
		if (good && helper->usable) {
			keep_places(helper, &config, &helper->config);
		}
		drop_config(helper);
		helper->config = config;
		log_to(config.log_facility, config.log_path);
		if (good) {
			use_config(helper);
		}
	} else {
		config_free(&config);
	}
	for (size_t i = 0; i < complaints.lines; i++) {
		if (helper->config.log != CONFIG_LOG_NONE &&
		    (changed || is_news(helper, complaints.line[i]))) {
			log_line(LOG_LEVEL_ERROR, complaints.line[i]);
		}
		free(complaints.line[i]);
	}
	if (!good && changed && helper->config.log != CONFIG_LOG_NONE) {
		log_line(LOG_LEVEL_ERROR,
		    helper->usable
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
	if (helper->store) {
		store_recheck(helper->store);
	}
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
	enum config_log log = helper->config.log;
	char buffer[LINE_MAX_BYTES];
	struct strbuf text;

	if (log == CONFIG_LOG_NONE ||
	    (log == CONFIG_LOG_DENIED && !error &&
		(verdict->status == VERDICT_ALLOWED || verdict->status == VERDICT_ERROR))) {
		return;
	}
	strbuf_init(&text, buffer, sizeof(buffer));
	reply_log_line(verdict, &helper->request, error, &text);
	log_line(error                              ? LOG_LEVEL_ERROR
		: verdict->status == VERDICT_WARNING ? LOG_LEVEL_WARNING
						    : LOG_LEVEL_INFO,
	    buffer);
}

/* What was done to a damaged file. */
static void log_notice(struct helper *helper)
{
	const char *notice = helper->store ? store_notice(helper->store) : NULL;

	if (notice && helper->config.log != CONFIG_LOG_NONE) {
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
	if (!bad && helper->usable) {
		judge_request(helper->judge, &helper->request, &verdict, &helper->notes, &error);
		if (verdict.status == VERDICT_ERROR && is_news(helper, error.text)) {
			bad = &error;
		}
	}
	strbuf_init(&text, buffer, sizeof(buffer));
	action = reply_action(&verdict, &helper->config, &helper->request, &text);
	/* A syslog that nobody reads blocks: first the answer. A file doesn't. */
	if (!helper->config.log_path) {
		result = protocol_answer(STDOUT_FILENO, action);
	}
	log_notice(helper);
	for (size_t i = 0; i < helper->notes.notes; i++) {
		log_verdict(helper, &helper->notes.note[i], NULL);
	}
	log_verdict(helper, &verdict, bad);
	return helper->config.log_path ? protocol_answer(STDOUT_FILENO, action) : result;
}

/* House-keeping that a new counter made due; the answer is out already. */
static void keep_house(struct helper *helper)
{
	struct store_maintenance maintenance = {.only_if_due = true};
	struct error error;

	if (!helper->store) {
		return;
	}
	if (store_maintain(helper->store, &maintenance, &error) != STORE_OK &&
	    helper->config.log != CONFIG_LOG_NONE && is_news(helper, error.text)) {
		log_line(LOG_LEVEL_ERROR, error.text);
	}
	log_notice(helper);
}

static void serve(struct helper *helper)
{
	struct error error;

	for (;;) {
		enum policy_result result = protocol_read(&helper->reader, &helper->request, &error);

		if (result == POLICY_END) {
			if (error.text[0] && helper->config.log != CONFIG_LOG_NONE) {
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
	drop_config(&helper);
	return EXIT_SUCCESS;
}
