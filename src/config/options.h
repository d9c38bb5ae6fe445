/*
 * The options of both kinds of sections, as tables: how each value is parsed into struct config or
 * struct rule, printed, and what its default is. Knows nothing of files and lines.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/error.h"
#include "base/strbuf.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

struct config_option;

/*
 * Parses value. section is the struct config or struct rule that the option belongs to, field the
 * option's member of it. Returns 0; or -1 with the reason, and the member unchanged.
 */
typedef int option_parse(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error);

/* Appends the value as the file would have it. */
typedef void option_print(const struct config_option *option, const void *section,
    const void *field, struct strbuf *text);

struct config_option {
	const char *name;
	option_parse *parse;
	option_print *print; /* NULL for many */
	size_t offset; /* of the member in the section */
	const char *const *words; /* for parse_word: the words, ended by NULL */
	bool many; /* may be repeated; the member is a struct config_lines */
	bool required; /* has no default */
};

#define OPTIONS_MAX 32 /* in one table */

/* In the order of the manual; the last one has no name. */
extern const struct config_option options_global[];
extern const struct config_option options_rule[];

/* The words of the options count and strategy, indexed by their enums. */
extern const char *const options_count_words[];
extern const char *const options_strategy_words[];

/*
 * Fill a section with the defaults. Return 0, or -1 if out of memory. In both cases the section is
 * for config_free or rule_free.
 */
int options_init_global(struct config *config);
int options_init_rule(struct rule *rule);

#endif
