/*
 * The options of the configuration file: their values, read into the structs of
 * config.h and printed from them. Knows nothing of files and lines.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/error.h"
#include "base/strbuf.h"
#include "config/file.h"

struct config_option;

/*
 * section is the struct config or the struct rule that the option belongs to; field
 * points at the option's place in it. parse: 0, or -1 and why, the field unchanged.
 */
typedef int option_parse(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error);
typedef void option_print(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text);

struct config_option {
	const char *name;
	option_parse *parse;
	option_print *print;
	size_t offset;
	const char *const *words; /* of an option that is one of some words */
	bool many; /* may come more than once: a struct config_lines */
	bool required; /* has no default */
};

#define OPTIONS_MAX 32

/* In the order of the manual; the last one has no name. */
extern const struct config_option global_options[];
extern const struct config_option rule_options[];

/* The words of the options count and strategy, in the order of their enums. */
extern const char *const config_count_words[];
extern const char *const config_strategy_words[];

/* Defaults of both sections. */
void config_init(struct config *config);
void rule_init(struct rule *rule);

/* strdup that ends the process when there is no memory left. */
char *config_copy(const char *string);

#endif
