/*
 * The configuration file: see file.h.
 *
 * inih 55 gives no line numbers, splits long lines, cuts a value at " ;", and appends an indented
 * line to the one above. So it reads through next_line, which counts lines, removes indentation,
 * and reports lines that inih would change.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config/file.h"

#include "base/array.h"
#include "base/ascii.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "base/suggest.h"
#include "base/utf8.h"
#include "config/options.h"
#include "config/rule.h"

#include <assert.h>
#include <ctype.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_LENGTH_MAX 198 /* bytes; of inih 55 */

/* A file that is being read. */
struct parse {
	const char *path;
	const char *next; /* the next line for inih */
	const char *end;
	unsigned line;
	unsigned mistakes;
	bool no_memory; /* stop reading */
	config_report *report;
	void *data;

	struct config *config;
	unsigned global_line; /* where [global] stands; 0: not yet */
	bool begun; /* there was a section */
	/* The current section. NULL if it is unknown, or none has begun. */
	const struct config_option *options;
	struct rule *rule; /* NULL in [global] */
	unsigned option_line[OPTIONS_MAX]; /* where each option is set; 0: nowhere */
};

static void complain(void *data, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(void *data, unsigned line, const char *format, ...)
{
	struct parse *parse = data;
	char number[16] = "", message[1024], raw[1500], buffer[1500];
	struct strbuf text;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (line > 0) {
		snprintf(number, sizeof(number), "%u:", line);
	}
	snprintf(raw, sizeof(raw), "%.400s:%s %s", parse->path, number, message);
	strbuf_init(&text, buffer, sizeof(buffer));
	strbuf_printable(&text, raw, strlen(raw), NULL);
	parse->report(parse->data, buffer);
	parse->mistakes++;
}

/* Complains about what is wrong in the current line. */
static void report(struct parse *parse, const struct error *error)
{
	if (error->no_memory) {
		parse->no_memory = true;
	} else {
		complain(parse, parse->line, "%s", error->text);
	}
}

static void begin_section(
    struct parse *parse, const struct config_option *options, struct rule *rule)
{
	parse->options = options;
	parse->rule = rule;
	memset(parse->option_line, 0, sizeof(parse->option_line));
}

static void end_section(struct parse *parse)
{
	if (parse->rule &&
	    rule_finish(parse->rule, parse->option_line[OPTIONS_RULE_KEY],
		parse->option_line[OPTIONS_RULE_LIMIT], complain, parse)) {
		parse->no_memory = true;
	}
	begin_section(parse, NULL, NULL);
}

static bool is_rule_name(const char *name, size_t length)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

	return length > 0 && length <= CONFIG_RULE_NAME_MAX && strspn(name, allowed) >= length;
}

static int begin_rule(struct parse *parse, const char *name, size_t length, struct error *error)
{
	struct config *config = parse->config;
	struct rule *rule;

	if (!is_rule_name(name, length)) {
		return error_set(error,
		    "\"%.*s\" is not a rule name; use 1 to %d letters, digits, '-' or '_'",
		    (int)length, name, CONFIG_RULE_NAME_MAX);
	}
	if (ascii_same(name, length, "global")) {
		return error_set(error, "a rule can't be named global; use another name");
	}
	for (size_t i = 0; i < config->rules; i++) {
		if (ascii_same(name, length, config->rule[i].name)) {
			return error_set(error,
			    "[rule %.*s] is already in line %u; each rule needs its own name",
			    (int)length, name, config->rule[i].line);
		}
	}
	if (config->rules == CONFIG_RULES_MAX) {
		return error_set(error, "more than %d rules", CONFIG_RULES_MAX);
	}
	rule = array_grow(config->rule, config->rules, sizeof(*rule));
	if (!rule) {
		return error_no_memory(error);
	}
	config->rule = rule;
	rule += config->rules++;
	*rule = (struct rule){.line = parse->line};
	memcpy(rule->name, name, length);
	begin_section(parse, options_rule, rule);
	return options_init(options_rule, rule) ? error_no_memory(error) : 0;
}

/* Removes blanks from both ends. */
static void trim(const char **text, size_t *length)
{
	while (*length > 0 && isspace((unsigned char)(*text)[*length - 1])) {
		(*length)--;
	}
	while (*length > 0 && isspace((unsigned char)**text)) {
		(*text)++;
		(*length)--;
	}
}

/* Whether a word is one of two others, but for letter case and a typing error. */
static bool is_near(const char *word, size_t length, const char *right, const char *also)
{
	char buffer[16];
	struct strbuf lower;
	struct suggestion near;

	strbuf_init(&lower, buffer, sizeof(buffer));
	strbuf_add(&lower, word, length);
	ascii_lower(buffer, lower.length);
	suggest_init(&near, buffer, lower.length);
	suggest_try(&near, right);
	suggest_try(&near, also);
	return suggest_best(&near) != NULL;
}

/* The name between the brackets is neither "global" nor "rule NAME": what was meant? */
static int unknown_section(const char *name, size_t length, struct error *error)
{
	static const char separators[] = " \t:.=/\"'";
	size_t word = strcspn(name, separators);
	int shown = (int)(length < 60 ? length : 60);
	const char *rest;
	size_t size;

	word = word < length ? word : length;
	rest = name + word + strspn(name + word, separators);
	size = rest < name + length ? strcspn(rest, " \t\"']") : 0;
	if (size > 0 && size <= CONFIG_RULE_NAME_MAX && is_near(name, word, "rule", "rules")) {
		return error_set(error, "unknown section [%.*s], did you mean [rule %.*s]?", shown,
		    name, (int)size, rest);
	}
	if (size == 0 && is_near(name, word, "global", "globals")) {
		return error_set(
		    error, "unknown section [%.*s], did you mean [global]?", shown, name);
	}
	if (size == 0 && is_rule_name(name, length) && !is_near(name, word, "rule", "rules")) {
		return error_set(error, "unknown section [%.*s], did you mean [rule %.*s]?", shown,
		    name, shown, name);
	}
	return error_set(
	    error, "unknown section [%.*s]; one of [global] and [rule NAME]", shown, name);
}

/* Takes a line that starts with '['. inih does not report a section without options. */
static int take_section(struct parse *parse, const char *line, size_t length, struct error *error)
{
	const char *close = memchr(line, ']', length);
	const char *behind = close ? close + 1 + strspn(close + 1, " \t") : NULL;
	const char *name = line + 1;
	size_t size;

	end_section(parse);
	parse->begun = true;
	if (!close) {
		return error_set(
		    error, "a '[' without its ']'; a section is [global] or [rule NAME]");
	}
	if (behind < line + length && *behind != ';' && *behind != '#') {
		return error_set(error, "text after the ']'; put each option on a line of its own");
	}
	size = (size_t)(close - name);
	trim(&name, &size);
	if (size > 4 && memcmp(name, "rule", 4) == 0 && isspace((unsigned char)name[4])) {
		name += 4;
		size -= 4;
		trim(&name, &size);
		return begin_rule(parse, name, size, error);
	}
	if (size != 6 || memcmp(name, "global", 6) != 0) {
		return unknown_section(name, size, error);
	}
	if (parse->global_line) {
		return error_set(error, "[global] is already in line %u", parse->global_line);
	}
	parse->global_line = parse->line;
	begin_section(parse, options_global, NULL);
	return 0;
}

static int unknown_option(const struct parse *parse, const char *name, struct error *error)
{
	char allowed[300];
	struct strbuf text;
	struct suggestion near;

	strbuf_init(&text, allowed, sizeof(allowed));
	suggest_init(&near, name, strlen(name));
	for (const struct config_option *option = parse->options; option->name; option++) {
		strbuf_printf(&text, "%s%s", text.length ? ", " : "", option->name);
		suggest_try(&near, option->name);
	}
	if (suggest_best(&near)) {
		return error_set(error, "unknown option \"%s\", did you mean \"%s\"?", name,
		    suggest_best(&near));
	}
	return error_set(error, "unknown option \"%.60s\" in [%s%s]; one of %s", name,
	    parse->rule ? "rule " : "global", parse->rule ? parse->rule->name : "", allowed);
}

static int take_option(
    struct parse *parse, const char *name, const char *value, struct error *error)
{
	const struct config_option *option = parse->options;
	void *section = parse->rule ? (void *)parse->rule : parse->config;
	struct error why;
	unsigned *seen;

	if (!parse->begun) {
		return error_set(error,
		    "\"%.60s\" is not in a section; start one with [global] or [rule NAME]", name);
	}
	if (!option) {
		return 0;
	}
	while (option->name && strcmp(option->name, name) != 0) {
		option++;
	}
	if (!option->name) {
		return unknown_option(parse, name, error);
	}
	seen = &parse->option_line[option - parse->options];
	if (*seen && option->type != OPTION_LINES) {
		return error_set(
		    error, "%s is already set in line %u; set it once in a section", name, *seen);
	}
	*seen = parse->line;
	if (options_set(option, section, value, parse->line, &why)) {
		return why.no_memory ? error_no_memory(error)
				     : error_set(error, "%s: %s", name, why.text);
	}
	return 0;
}

/* The handler for inih. Always returns 1; mistakes are counted in parse. */
static int handle_option(void *user, const char *section, const char *name, const char *value)
{
	struct error error;

	(void)section;
	if (take_option(user, name, value, &error)) {
		report(user, &error);
	}
	return 1;
}

/* Checks that inih passes the line on unchanged. */
static int check_line(const char *line, size_t length, struct error *error)
{
	size_t equals, value;

	for (size_t i = 0; i < length;) {
		uint32_t code;
		size_t size = utf8_length(line + i, length - i, &code);

		if (size == 0) {
			return error_set(error, "a byte that is not UTF-8");
		}
		if ((code < 0x20 && code != '\t') || code == 0x7f) {
			return error_set(error, "a control character; only text is allowed");
		}
		i += size;
	}
	if (length > LINE_LENGTH_MAX) {
		return error_set(
		    error, "the line has %zu bytes; %d are allowed", length, LINE_LENGTH_MAX);
	}
	if (line[0] == '[') {
		return 0;
	}
	equals = strcspn(line, "=:");
	if (equals >= length || equals == 0) {
		return error_set(error, "not of the form OPTION = VALUE; both must be on one line");
	}
	/* inih keeps a "=;", but cuts "= ;": the blank must make no difference. */
	for (size_t i = 0; i + 1 < length; i++) {
		if ((isspace((unsigned char)line[i]) || i == equals) && line[i + 1] == ';') {
			return error_set(
			    error, "a ';' here starts a comment; put comments on their own lines");
		}
	}
	/* To inih it is part of the value, which is not what was meant. */
	value = equals + 1 + strspn(line + equals + 1, " \t");
	for (size_t i = value + 1; i < length; i++) {
		if (line[i] == '#' && isspace((unsigned char)line[i - 1])) {
			return error_set(error,
			    "a '#' after a blank starts no comment; put comments on their own "
			    "lines");
		}
	}
	return 0;
}

/* The reader for inih: puts the next line with a section or an option into buffer. NULL: end. */
static char *next_line(char *buffer, int size, void *stream)
{
	struct parse *parse = stream;

	while (parse->next < parse->end && !parse->no_memory) {
		const char *line = parse->next;
		const char *newline = memchr(line, '\n', (size_t)(parse->end - line));
		size_t length = (size_t)((newline ? newline : parse->end) - line);
		struct error error;

		parse->next = newline ? newline + 1 : parse->end;
		parse->line++;
		if (parse->line == 1 && length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
			line += 3;
			length -= 3;
		}
		trim(&line, &length);
		if (length == 0 || *line == '#' || *line == ';') {
			continue;
		}
		if (check_line(line, length, &error)) {
			report(parse, &error);
			continue;
		}
		if (*line == '[' && take_section(parse, line, length, &error)) {
			report(parse, &error);
		}
		assert(length + 2 <= (size_t)size);
		memcpy(buffer, line, length);
		memcpy(buffer + length, "\n", 2);
		return buffer;
	}
	return NULL;
}

static enum config_result load(const char *path, bool no_link, struct config *config,
    struct config_stamp *stamp, config_report *report, void *data)
{
	struct parse parse = {.path = path, .config = config, .report = report, .data = data};
	struct error error;
	char *bytes;
	size_t size = 0;

	*config = (struct config){0};
	*stamp = config_stamp_get(path);
	if (options_init(options_global, config)) {
		goto no_memory;
	}
	bytes = config_source_read(path, no_link, &size, stamp, &error);
	if (!bytes) {
		if (error.no_memory) {
			goto no_memory;
		}
		complain(&parse, 0, "%s", error.text);
		return CONFIG_BAD;
	}
	config->is_read = true;
	parse.next = bytes;
	parse.end = bytes + size;
	if (ini_parse_stream(next_line, &parse, handle_option, &parse) && !parse.mistakes &&
	    !parse.no_memory) {
		complain(&parse, 0, "a line that inih does not understand");
	}
	if (!parse.no_memory) {
		end_section(&parse);
	}
	free(bytes);
	if (!parse.no_memory) {
		return parse.mistakes ? CONFIG_BAD : CONFIG_OK;
	}
no_memory:
	/* Free first: the report may need memory. */
	config_free(config);
	complain(&parse, 0, "out of memory");
	config_stamp_spoil(stamp);
	return CONFIG_NO_MEMORY;
}

enum config_result config_load(const char *path, struct config *config, struct config_stamp *stamp,
    config_report *report, void *data)
{
	return load(path, false, config, stamp, report, data);
}

enum config_result config_load_kept(
    const char *path, struct config *config, config_report *report, void *data)
{
	struct config_stamp stamp;

	return load(path, true, config, &stamp, report, data);
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->rules; i++) {
		rule_free(&config->rule[i]);
	}
	free(config->rule);
	options_free(options_global, config);
	*config = (struct config){0};
}

static void print_section(const char *section_name, const void *section,
    const struct config_option *options, config_emit *emit, void *data)
{
	for (const struct config_option *option = options; option->name; option++) {
		const void *field = (const char *)section + option->offset;
		const struct config_lines *many = option->type == OPTION_LINES ? field : NULL;
		char name[64], value[1024];
		struct strbuf text;

		snprintf(name, sizeof(name), "%s.%s", section_name, option->name);
		for (size_t i = 0; many && i < many->lines; i++) {
			emit(data, name, many->line[i].text, NULL);
		}
		if (!many) {
			strbuf_init(&text, value, sizeof(value));
			options_print(option, section, &text);
			emit(data, name, value, option->usual);
		}
	}
}

void config_print(const struct config *config, config_emit *emit, void *data)
{
	print_section("global", config, options_global, emit, data);
	for (size_t i = 0; i < config->rules; i++) {
		print_section(config->rule[i].name, &config->rule[i], options_rule, emit, data);
	}
}
