/*
 * The types that a configuration file is read into. Functions: file.h reads, prints and frees a
 * configuration; options.h, selector.h and rule.h handle its parts.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "count/limit.h"
#include "count/record.h"
#include "count/window.h"
#include "match/key.h"
#include "match/pattern.h"
#include "match/pattern_map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_RULE_NAME_MAX 32
#define CONFIG_RULES_MAX 64
#define CONFIG_KEYS_MAX 8
#define CONFIG_MATCHES_MAX 32

enum config_log { CONFIG_LOG_NONE, CONFIG_LOG_DENIED, CONFIG_LOG_ALL };
enum config_mode { CONFIG_ENFORCE, CONFIG_OBSERVE };

/* What a key or a match names: an attribute of a request, or one derived from it. */
struct config_attribute {
	const char *name; /* as in the file: "sasl_domain" */
	const char *source; /* the attribute that Postfix sends: "sasl_username" */
	enum key_kind kind;
};

/* One alternative of a key: an attribute, or a pair of them. */
struct config_key {
	struct config_attribute part[2];
	unsigned parts;
};

/* One `match` line: the value of an attribute is one of some patterns, or none of them. */
struct config_match {
	char *text; /* owned; the patterns point into it */
	struct config_attribute attribute;
	bool negated;
	struct pattern *pattern; /* owned, array.h */
	size_t patterns;
};

/* Limits of the file for some keys. Overrides with the same text of limits share one. */
struct override {
	struct limits limits;
	size_t index; /* in the rule's array */
};

/* The lines of an option that may be repeated. They are parsed when their section ends. */
struct config_lines {
	struct config_line {
		char *text; /* owned */
		unsigned line; /* number of the line in the file */
	} * line; /* owned, array.h */
	size_t lines;
};

/* A section [rule NAME]. It owns its strings. */
struct rule {
	char name[CONFIG_RULE_NAME_MAX + 1];
	unsigned line; /* number of the line that begins the section */
	char *key_text; /* the option `key` as in the file */
	struct config_key key[CONFIG_KEYS_MAX]; /* the first one that is not empty is used */
	unsigned keys; /* 0: key = everything */
	char *limit_text; /* the option `limit` as in the file */
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
	unsigned count_denied; /* 0 or 1 */
	unsigned warn_percent; /* 0: no warning */
	struct key_folding folding; /* strip_extension is owned */

	/* What rule_finish derives from the options. */
	struct limits limits; /* of keys without an override */
	struct record_layout layout; /* of their counters */
	struct pattern_map *patterns; /* to struct override; owned; NULL: there are none */
	struct override **override; /* each once; owned, array.h */
	size_t overrides;
};

/* A configuration file. It owns its strings. */
struct config {
	bool is_read; /* false: nothing of the file could be used */
	char *database; /* path */
	mode_t database_mode;
	uint64_t database_max_size; /* bytes */
	char *state_directory; /* path */
	char *user;
	char *on_error;
	char *success_action;
	int64_t lock_timeout_ms;
	enum config_log log;
	char *log_target;
	int log_facility; /* of syslog(3) */
	const char *log_path; /* the path in log_target; NULL: syslog */

	struct rule *rule; /* in file order; array.h */
	size_t rules;
};

#endif
