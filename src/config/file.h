/*
 * The configuration file, read with inih into structs. Reports every mistake in
 * it, with its line. The only includer of <ini.h>. Does not judge requests.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "match/key.h"
#include "count/limit.h"
#include "match/pattern_map.h"
#include "match/pattern.h"
#include "count/window.h"
#include "count/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define CONFIG_RULE_NAME_MAX 32
#define CONFIG_RULES_MAX 64

enum config_log { CONFIG_LOG_NONE, CONFIG_LOG_DENIED, CONFIG_LOG_ALL };

/* What a key or a match names: an attribute of a request, or one derived from it. */
struct config_attribute {
	const char *name; /* as the file has it: "sasl_domain" */
	const char *source; /* the attribute that Postfix sends: "sasl_username" */
	enum key_kind kind;
};

/* Finds the attribute with that name. Returns 0, or -1 if there is none. */
int config_attribute_find(struct config_attribute *attribute, const char *name, size_t length);

/* One alternative of a key, an attribute or a pair of them. */
struct config_key {
	struct config_attribute part[2];
	unsigned parts;
};

#define CONFIG_KEYS_MAX 8
#define CONFIG_MATCHES_MAX 32

/* A line `match`: the value of an attribute is one of some patterns, or none of them. */
struct config_match {
	char *text; /* what the rest points into */
	struct config_attribute attribute;
	bool negated;
	struct pattern *pattern;
	size_t patterns;
};

/* Whether a value fulfils a match. */
bool config_matches(const struct config_match *match, const char *value, size_t length);

/*
 * What holds for a key: limits, and how its counter is laid out. A counter has all
 * windows of its rule, and those that an override adds.
 */
struct config_plan {
	char *text; /* of limits, as the file has it */
	struct limits limits;
	struct record_layout layout;
	unsigned window[LIMITS_MAX]; /* where in the layout the window of each limit is */
	char *empty_record; /* what a new key starts from */
	size_t record_size;
};

/* Lines of an option that can come more than once, to be looked at when the section ends. */
struct config_lines {
	struct config_line {
		char *text;
		unsigned line;
	} * line;
	size_t lines;
};

enum config_mode { CONFIG_ENFORCE, CONFIG_OBSERVE };

struct rule {
	char name[CONFIG_RULE_NAME_MAX + 1];
	unsigned line; /* of its section, for messages */
	char *key_text;
	char *key_words; /* key_text cut into the names that key points at */
	struct config_key key[CONFIG_KEYS_MAX]; /* the first that is not empty */
	unsigned keys; /* 0: everything */
	enum limit_count count;
	enum strategy strategy;
	unsigned resolution;
	struct config_lines match_lines;
	struct config_match match[CONFIG_MATCHES_MAX]; /* all must hold */
	unsigned matches;
	struct config_lines override_lines;
	struct config_lines exempt_lines;
	char *action;
	enum config_mode mode;
	unsigned count_denied; /* 0 or 1, as fold_case */
	unsigned warn_percent; /* 0: no warning */
	unsigned ipv4_prefix;
	unsigned ipv6_prefix;
	unsigned fold_case;
	char *strip_extension;

	struct key_folding folding;
	struct config_plan plan; /* of keys without an override */
	struct pattern_map *overrides; /* values: struct config_plan; NULL if there are none */
	struct config_plan **override_plan; /* each once, however many patterns have it */
	size_t override_plans;
};

/* What holds for a key of the rule. */
const struct config_plan *config_plan_of(const struct rule *rule, const char *key, size_t length);

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
 * or "RULE.option", its value in the form that the file takes, and its default; NULL if
 * it has none, being required, or can be there more than once.
 */
typedef void config_emit(void *data, const char *name, const char *value, const char *usual);
void config_print(const struct config *config, config_emit *emit, void *data);

#endif
