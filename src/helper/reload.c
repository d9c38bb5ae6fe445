/*
 * Loading and reloading the configuration: see reload.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "helper/reload.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "engine/retention.h"
#include "helper/account.h"
#include "helper/confine.h"
#include "helper/kept.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK_EVERY_MS 250
/* A file that was written to more recently may be incomplete. */
#define SETTLED_MS 300
#define PAUSE_MS 10
#define LOG_AGAIN_MS (3600 * 1000)
/* Mistakes beyond this many bytes of lines are not logged. */
#define MISTAKES_MAX 32768

/* Mistakes are kept, one a line, until it is known where the log goes. */
static void add_mistake(void *data, const char *message)
{
	struct strbuf *mistakes = data;

	strbuf_puts(mistakes, message);
	strbuf_puts(mistakes, "\n");
}

static void drop_setup(struct setup *setup)
{
	judge_free(setup->judge);
	store_close(setup->store);
	config_free(&setup->config);
	*setup = (struct setup){.judge = NULL};
}

/* Keeps the old value of an option, and adds the new one to *notice. 0, or -1 and why. */
static int keep_value(const struct reload *reload, const char *option, char **value,
    const char *old, struct strbuf *notice, struct error *error)
{
	char *kept = alloc_copy(old, error);

	if (!kept) {
		return -1;
	}
	if (notice->length > 0) {
		strbuf_puts(notice, " and ");
	} else {
		strbuf_printf(notice, "%s: ", reload->path);
	}
	strbuf_printf(notice, "%s = %s", option, *value);
	free(*value);
	*value = kept;
	return 0;
}

/*
 * If a changed configuration names files that this process can't reach any more, those of the
 * configuration in force remain, and *notice says so. 0, or -1 and why.
 */
static int keep_places(
    const struct reload *reload, struct config *config, struct strbuf *notice, struct error *error)
{
	const struct config *old = &reload_setup(reload)->config;

	if (!confine_reaches_database(config->database) &&
	    keep_value(reload, "database", &config->database, old->database, notice, error)) {
		return -1;
	}
	if (config->log_path && !confine_reaches_log(config->log_path)) {
		if (keep_value(reload, "log_target", &config->log_target, old->log_target, notice,
			error)) {
			return -1;
		}
		config->log_facility = old->log_facility;
		config->log_path =
		    old->log_path ? config->log_target + (old->log_path - old->log_target) : NULL;
	}
	if (notice->length > 0) {
		strbuf_puts(notice,
		    ": this process can't reach the folder and goes on as before until its "
		    "connection ends (postfix reload)");
	}
	return 0;
}

/* Adds to a setup with a good configuration what judges by it. 0, or -1 and why. */
static int complete_setup(
    struct reload *reload, struct setup *setup, struct strbuf *notice, struct error *error)
{
	struct config *config = &setup->config;
	struct store_options options;

	if (account_check(config->user, error)) {
		return -1;
	}
	if (reload_setup(reload)->judge && keep_places(reload, config, notice, error)) {
		return -1;
	}
	options = (struct store_options){.mode = config->database_mode,
	    .max_size = config->database_max_size,
	    .lock_timeout_ms = config->lock_timeout_ms,
	    .access = STORE_CREATE,
	    .rescue = true};
	setup->store = store_open(config->database, &options, &retention_codec, error);
	if (!setup->store) {
		return -1;
	}
	if (!reload->memo) {
		reload->memo = transaction_memo_new((uint64_t)getpid());
	}
	if (!reload->memo) {
		return error_no_memory(error);
	}
	setup->judge = judge_new(config, setup->store, reload->memo);
	return setup->judge ? 0 : error_no_memory(error);
}

/*
 * Replaces the configuration of a bad file by the last good one, if there is one to be used: then
 * path is where it is kept. Otherwise it is empty, and *mistakes may get another line.
 */
static bool load_kept(const struct reload *reload, struct config *config, char path[PATH_MAX],
    struct strbuf *mistakes)
{
	struct config_stamp stamp;
	struct config kept;

	if (kept_path(config->state_directory, reload->path, path) == 0) {
		stamp = config_stamp_get(path);
		if (stamp.inode != 0 &&
		    config_load_kept(path, &kept, add_mistake, mistakes) == CONFIG_OK) {
			config_free(config);
			*config = kept;
			return true;
		}
		if (stamp.inode != 0) {
			config_free(&kept);
		}
	}
	path[0] = '\0';
	return false;
}

/*
 * Logs why the file is not used, and what is in its place: again if it has changed, and as other
 * trouble. kept is where the configuration in force is kept; empty: it is not from there.
 */
static void log_failure(struct reload *reload, char *mistakes, const char *kept, bool changed)
{
	char text[RELOAD_LINE_MAX];
	char *line;

	while ((line = strsep(&mistakes, "\n")) && *line) {
		bool news = reload_is_news(reload, line);

		if (changed || news) {
			reload_log(reload, LOG_LEVEL_ERROR, line);
		}
	}
	if (!changed) {
		return;
	}
	if (!reload_setup(reload)->judge) {
		reload_log(reload, LOG_LEVEL_ERROR,
		    "no usable configuration; every request is answered on_error");
	} else if (kept[0]) {
		snprintf(text, sizeof(text),
		    "%s is not used; the last good one is in force, which was kept as %s",
		    reload->path, kept);
		reload_log(reload, LOG_LEVEL_ERROR, text);
	} else {
		reload_log(reload, LOG_LEVEL_ERROR,
		    "the changed configuration is not used; the last good one stays in force");
	}
}

/* Leaves accessible what a good configuration names. */
static void confine(const struct reload *reload, const struct config *config)
{
	char kept[PATH_MAX];
	bool fits = kept_path(config->state_directory, reload->path, kept) == 0;

	confine_files(reload->path, config->database, fits ? kept : NULL, config->log_path);
}

static void load(struct reload *reload)
{
	struct setup *old = &reload->setup[reload->in_force];
	struct setup *new = &reload->setup[!reload->in_force];
	struct config_stamp before = reload->stamp;
	/* Static, so that a start without mistakes touches no memory for them. */
	static char lines[MISTAKES_MAX], kept[PATH_MAX];
	char line[RELOAD_LINE_MAX];
	struct strbuf notice, mistakes;
	enum config_result loaded;
	struct error error;
	bool usable;

	strbuf_init(&notice, line, sizeof(line));
	strbuf_init(&mistakes, lines, sizeof(lines));
	kept[0] = '\0';
	loaded = config_load(reload->path, &new->config, &reload->stamp, add_mistake, &mistakes);
	usable = loaded == CONFIG_OK ||
	    (loaded == CONFIG_BAD && !old->judge &&
		load_kept(reload, &new->config, kept, &mistakes));
	if (usable && complete_setup(reload, new, &notice, &error)) {
		usable = false;
		strbuf_printf(&mistakes, "%s: %s\n", reload->path, error.text);
		/* Try again soon, even if the file does not change any more. */
		config_stamp_spoil(&reload->stamp);
	}
	if (usable) {
		confine(reload, &new->config);
	}
	reload->unkept = usable && loaded == CONFIG_OK;
	if (usable || (!old->judge && loaded != CONFIG_NO_MEMORY)) {
		reload->in_force = !reload->in_force;
		log_to(new->config.log_facility,
		    account_check(new->config.user, &error) ? NULL : new->config.log_path);
		drop_setup(old);
	} else {
		drop_setup(new);
	}
	if (!usable || loaded != CONFIG_OK) {
		log_failure(reload, lines, kept, !config_stamp_same(&before, &reload->stamp));
	} else if (notice.length > 0) {
		reload_log(reload, LOG_LEVEL_WARNING, line);
	}
}

/* The time since the file was last written to; renaming it does not count. */
static int64_t age_ms(const struct config_stamp *stamp)
{
	return clock_now_ms() -
	    (stamp->modified.tv_sec * INT64_C(1000) + stamp->modified.tv_nsec / 1000000);
}

/* By either clock: one can be set back, and the file may claim to be of the future. */
static bool is_settled(const struct reload *reload, int64_t monotonic_ms)
{
	return age_ms(&reload->seen) >= SETTLED_MS || monotonic_ms - reload->seen_ms >= SETTLED_MS;
}

static void wait_until_settled(const char *path)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};

	for (int i = 0; i < SETTLED_MS / PAUSE_MS; i++) {
		struct config_stamp stamp = config_stamp_get(path);

		if (age_ms(&stamp) >= SETTLED_MS) {
			return;
		}
		nanosleep(&pause, NULL);
	}
}

void reload_start(struct reload *reload, const char *path)
{
	reload->path = path;
	/* Until there is memory for a configuration. */
	reload->setup[0].config.log = CONFIG_LOG_DENIED;
	wait_until_settled(path);
	load(reload);
	reload->checked_ms = clock_coarse_ms();
}

void reload_recheck(struct reload *reload)
{
	int64_t now_ms = clock_coarse_ms();
	struct config_stamp stamp;

	if (now_ms - reload->checked_ms < CHECK_EVERY_MS) {
		return;
	}
	reload->checked_ms = now_ms;
	if (reload_setup(reload)->store) {
		store_recheck(reload_setup(reload)->store);
	}
	stamp = config_stamp_get(reload->path);
	if (config_stamp_same(&stamp, &reload->stamp)) {
		return;
	}
	if (!config_stamp_same(&stamp, &reload->seen)) {
		reload->seen = stamp;
		reload->seen_ms = now_ms;
	}
	if (is_settled(reload, now_ms)) {
		load(reload);
	}
}

void reload_keep(struct reload *reload)
{
	char kept[PATH_MAX], line[RELOAD_LINE_MAX];
	struct error error;
	int failed;

	if (!reload->unkept) {
		return;
	}
	reload->unkept = false;
	if (kept_path(reload_setup(reload)->config.state_directory, reload->path, kept)) {
		failed = error_set(&error, "state_directory is too long");
	} else {
		/* A folder that a changed configuration names is for processes that start. */
		failed = confine_reaches_kept(kept) &&
		    kept_save(kept, reload->path, &reload->stamp, &error);
	}
	if (failed && reload_is_news(reload, error.text)) {
		snprintf(line, sizeof(line), "%s: can't be kept for a start with a bad one: %s",
		    reload->path, error.text);
		reload_log(reload, LOG_LEVEL_WARNING, line);
	}
}

const struct setup *reload_setup(const struct reload *reload)
{
	return &reload->setup[reload->in_force];
}

void reload_log(const struct reload *reload, enum log_level level, const char *line)
{
	if (reload_setup(reload)->config.log != CONFIG_LOG_NONE) {
		log_line(level, line);
	}
}

bool reload_is_news(struct reload *reload, const char *text)
{
	int64_t now_ms = clock_monotonic_ms();
	struct trouble *oldest = &reload->trouble[0];

	for (size_t i = 0; i < RELOAD_TROUBLES_MAX; i++) {
		struct trouble *trouble = &reload->trouble[i];

		/* A long text was cut when it was remembered. */
		if (strncmp(trouble->text, text, sizeof(trouble->text) - 1) == 0 &&
		    now_ms - trouble->logged_ms < LOG_AGAIN_MS) {
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

void reload_stop(struct reload *reload)
{
	drop_setup(&reload->setup[reload->in_force]);
	transaction_memo_free(reload->memo);
}
