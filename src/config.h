/*
 * The configuration file, read with inih into structs. Reports every mistake in
 * it, with its line. The only includer of <ini.h>. Does not judge requests.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "limit.h"
#include "rate.h"
#include "record.h"
#include "util.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define CONFIG_RULE_NAME_MAX 32
#define CONFIG_RULES_MAX 64
#define CONFIG_KEY_MAX 200 /* bytes of a key; see rule.h for longer ones */

enum config_log { CONFIG_LOG_NONE, CONFIG_LOG_DENIED, CONFIG_LOG_ALL };

/* What a rule counts: an attribute of the request, the domain in one, or one for all. */
struct config_key {
	const char *field;     /* as the file says it: "sasl_domain" */
	const char *attribute; /* where it comes from: "sasl_username"; NULL for `everything` */
	size_t attribute_length;
	bool domain; /* what stands behind its last '@' */
};

struct rule {
	char name[CONFIG_RULE_NAME_MAX + 1];
	unsigned line; /* of its section, for messages */
	char *key_text;
	struct config_key key;
	char *limit_text;
	struct limits limits;
	enum limit_count count;
	enum rate_strategy strategy;
	unsigned resolution;
	char *action;
	unsigned fold_case;    /* 0 or 1, as the next */
	unsigned count_denied;

	/* Follow from the above; none if limits has no windows. */
	struct record_layout layout;
	char *empty_record; /* what a new key starts from */
	size_t record_size;
};

struct config {
	char *database;
	mode_t database_mode;
	uint64_t database_max_size;
	char *user;
	char *on_error;
	char *success_action;
	int64_t lock_timeout_ms;
	enum config_log log;
	char *log_target;
	int log_facility;
	const char *log_path; /* within log_target; NULL for syslog */

	struct rule *rule;
	size_t rules;
};

/* Which file was read: by comparing two of them a change is found. */
struct config_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
	struct timespec changed;
};

/* Is called with "FILE:LINE: what is wrong, and what is allowed", once for each mistake. */
typedef void config_report(void *data, const char *message);

/*
 * Reads the file. config is filled in any case, with defaults where the file
 * can't be read or an option is wrong, and is to be given to config_free. 0, or -1
 * if there was any mistake: its rules must not be used then. *stamp is of what
 * was read, or could not be.
 */
int config_load(const char *path, struct config *config, struct config_stamp *stamp,
    config_report *report, void *data);

void config_free(struct config *config);

/* The stamp of the file as it is now; all zero if there is none. */
struct config_stamp config_stamp_get(const char *path);
bool config_stamp_same(const struct config_stamp *a, const struct config_stamp *b);

/*
 * Effective settings in the order of the manual: calls emit with "global.option"
 * or "RULE.option" and its value, in the form that the file takes.
 */
typedef void config_emit(void *data, const char *name, const char *value);
void config_print(const struct config *config, config_emit *emit, void *data);

#endif
