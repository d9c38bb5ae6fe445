/*
 * The options of both kinds of sections, as tables: how a value is parsed into struct config or
 * struct rule, how it is printed, and its default. Knows nothing of files.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/error.h"
#include "base/strbuf.h"
#include "config/config.h"

#include <stddef.h>

/* What the values of an option look like, and the type of its member in the section. */
enum option_type {
	OPTION_TEXT, /* char *, owned; NULL: empty */
	OPTION_KEY, /* the same; selector.h parses it as well */
	OPTION_LIMIT, /* the same; rule.h parses it once `count` is known */
	OPTION_LOG_TARGET, /* the same; sets log_facility and log_path as well */
	OPTION_WORD, /* unsigned or an enum: the index of the word */
	OPTION_NUMBER, /* unsigned; below min: none */
	OPTION_MODE, /* mode_t */
	OPTION_SIZE, /* uint64_t: bytes */
	OPTION_TIME, /* int64_t: milliseconds */
	OPTION_LINES, /* struct config_lines: the option may be repeated */
};

struct config_option {
	const char *name;
	enum option_type type;
	size_t offset; /* of the member in the section */
	const char *usual; /* the default; "": none. NULL: it is required, or may be repeated */
	int (*check)(const char *text, struct error *error); /* TEXT; 0: good; or NULL */
	const char *const *words; /* WORD; ended by NULL */
	unsigned min, max; /* NUMBER */
	const char *unit; /* NUMBER: a character that may follow it; or NULL */
};

#define OPTIONS_MAX 32 /* in one table */

/* In the order of the manual; the last one has no name. */
extern const struct config_option options_global[];
extern const struct config_option options_rule[];
enum { OPTIONS_RULE_KEY, OPTIONS_RULE_LIMIT }; /* indexes in options_rule */

/* The words of the options count and strategy, indexed by their enums. */
extern const char *const options_count_words[];
extern const char *const options_strategy_words[];

/*
 * Fills a section, which is zero, with the defaults. Returns 0, or -1 if out of memory. In both
 * cases the section is for options_free.
 */
int options_init(const struct config_option *options, void *section);

/* Frees what the options of a section own. */
void options_free(const struct config_option *options, void *section);

/*
 * Sets an option of a section, a struct config or struct rule. line is the number of the line that
 * the value comes from. Returns 0; or -1 with the reason, and the member unchanged.
 */
int options_set(const struct config_option *option, void *section, const char *value, unsigned line,
    struct error *error);

/* Appends the value as the file would have it. Not for OPTION_LINES. */
void options_print(const struct config_option *option, const void *section, struct strbuf *text);

#endif
