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

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_LENGTH_MAX 198 /* bytes; of inih 55 */
#define FILE_SIZE_MAX (64 * 1024 * 1024)
#define STAMP_NO_FILE (-1) /* a size that no file has */
#define READ_TRIES 3 /* if the file changes while it is read */

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
	enum { IN_NOTHING, IN_GLOBAL, IN_RULE, IN_UNKNOWN } section;
	struct rule *rule;
	unsigned global_line; /* where [global] stands; 0: not yet */
	unsigned option_line[2][OPTIONS_MAX]; /* where each option of [global], of rule is set */
};

static void complain(struct parse *parse, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct parse *parse, unsigned line, const char *format, ...)
{
	char buffer[1024];
	char message[1024];
	struct strbuf text, printable;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	strbuf_init(&text, buffer, sizeof(buffer));
	strbuf_printf(&text, "%.400s:", parse->path);
	if (line > 0) {
		strbuf_printf(&text, "%u:", line);
	}
	strbuf_puts(&text, " ");
	strbuf_puts(&text, message);
	strbuf_init(&printable, message, sizeof(message));
	strbuf_printable(&printable, text.buffer, text.length, NULL);
	parse->report(parse->data, message);
	parse->mistakes++;
}

/* The line that sets an option of the current rule; 0: none does. */
static unsigned option_line(const struct parse *parse, const char *name)
{
	for (size_t i = 0; options_rule[i].name; i++) {
		if (strcmp(options_rule[i].name, name) == 0) {
			return parse->option_line[1][i];
		}
	}
	return 0;
}

static void complain_about_rule(void *data, unsigned line, const char *message)
{
	complain(data, line, "%s", message);
}

static void end_section(struct parse *parse)
{
	if (parse->section == IN_RULE) {
		parse->no_memory |=
		    rule_finish(parse->rule, option_line(parse, "key"), option_line(parse, "limit"),
			complain_about_rule, parse) != 0;
	}
	parse->section = IN_UNKNOWN;
	parse->rule = NULL;
}

static void begin_rule(struct parse *parse, const char *name, size_t length)
{
	struct config *config = parse->config;
	struct rule *rule;

	if (length == 0 || length > CONFIG_RULE_NAME_MAX ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") <
		length) {
		complain(parse, parse->line,
		    "\"%.*s\" can't be the name of a rule; it is 1 to %d "
		    "letters, digits, '-' or '_'",
		    (int)length, name, CONFIG_RULE_NAME_MAX);
		return;
	}
	if (ascii_same(name, length, "global")) {
		complain(
		    parse, parse->line, "a rule can't be called global; any other name is good");
		return;
	}
	for (size_t i = 0; i < config->rules; i++) {
		if (ascii_same(name, length, config->rule[i].name)) {
			complain(parse, parse->line,
			    "a second [rule %.*s], the first is in line %u; "
			    "each needs a name of its own",
			    (int)length, name, config->rule[i].line);
			return;
		}
	}
	if (config->rules == CONFIG_RULES_MAX) {
		complain(parse, parse->line, "more than %d rules", CONFIG_RULES_MAX);
		return;
	}
	rule = array_grow(config->rule, config->rules, sizeof(*rule));
	if (!rule) {
		parse->no_memory = true;
		return;
	}
	config->rule = rule;
	rule += config->rules++;
	if (options_init_rule(rule)) {
		parse->no_memory = true;
		return;
	}
	rule->line = parse->line;
	memcpy(rule->name, name, length);
	memset(parse->option_line[1], 0, sizeof(parse->option_line[1]));
	parse->section = IN_RULE;
	parse->rule = rule;
}

/* A line that starts with '['. inih does not report a section without options. */
static void begin_section(struct parse *parse, const char *line, size_t length)
{
	const char *close = memchr(line, ']', length);
	const char *name = line + 1 + strspn(line + 1, " \t");
	size_t size;

	end_section(parse);
	if (!close) {
		complain(parse, parse->line,
		    "a '[' without its ']'; a section is [global] or [rule "
		    "NAME]");
		return;
	}
	for (const char *behind = close + 1; behind < line + length; behind++) {
		if (*behind == ';' || *behind == '#') {
			break;
		}
		if (!isspace((unsigned char)*behind)) {
			complain(parse, parse->line,
			    "text behind the ']' of a section; options stand in "
			    "lines of their own");
			return;
		}
	}
	size = name < close ? (size_t)(close - name) : 0;
	while (size > 0 && isspace((unsigned char)name[size - 1])) {
		size--;
	}
	if (size == 6 && memcmp(name, "global", 6) == 0) {
		if (parse->global_line) {
			complain(parse, parse->line, "a second [global], the first is in line %u",
			    parse->global_line);
			return;
		}
		parse->global_line = parse->line;
		parse->section = IN_GLOBAL;
	} else if (size > 4 && memcmp(name, "rule", 4) == 0 && isspace((unsigned char)name[4])) {
		size_t blanks = 4 + strspn(name + 4, " \t");

		begin_rule(parse, name + blanks, size > blanks ? size - blanks : 0);
	} else {
		complain(parse, parse->line,
		    "unknown section [%.*s]; one of [global] and [rule NAME]",
		    (int)(size < 60 ? size : 60), name);
	}
}

static void complain_unknown_option(
    struct parse *parse, const struct config_option *options, const char *name)
{
	char allowed[400];
	struct strbuf text;
	struct suggestion near;

	strbuf_init(&text, allowed, sizeof(allowed));
	suggest_init(&near, name, strlen(name));
	for (size_t i = 0; options[i].name; i++) {
		strbuf_printf(&text, "%s%s", i ? ", " : "", options[i].name);
		suggest_try(&near, options[i].name);
	}
	if (suggest_best(&near)) {
		complain(parse, parse->line, "unknown option \"%s\", did you mean \"%s\"?", name,
		    suggest_best(&near));
	} else {
		complain(parse, parse->line, "unknown option \"%.60s\" in [%s%s]; one of %s", name,
		    parse->rule ? "rule " : "global", parse->rule ? parse->rule->name : "",
		    allowed);
	}
}

/* The handler for inih: takes one option. Always returns 1; mistakes are counted in parse. */
static int take_option(void *user, const char *section, const char *name, const char *value)
{
	struct parse *parse = user;
	int table = parse->section == IN_RULE;
	const struct config_option *options = table ? options_rule : options_global;
	void *target = table ? (void *)parse->rule : parse->config;
	const struct config_option *option = options;
	struct error error;
	unsigned *seen;

	(void)section;
	if (parse->section == IN_NOTHING) {
		complain(parse, parse->line,
		    "\"%.60s\" stands before any section; [global] or [rule "
		    "NAME] must come first",
		    name);
		return 1;
	}
	if (parse->section == IN_UNKNOWN) {
		return 1;
	}
	while (option->name && strcmp(option->name, name) != 0) {
		option++;
	}
	if (!option->name) {
		complain_unknown_option(parse, options, name);
		return 1;
	}
	seen = &parse->option_line[table][option - options];
	if (*seen && !option->many) {
		complain(parse, parse->line,
		    "a second %s, the first is in line %u; an option is set "
		    "once in a section",
		    name, *seen);
		return 1;
	}
	*seen = parse->line;
	if (option->parse(option, target, (char *)target + option->offset, value, &error)) {
		if (error.no_memory) {
			parse->no_memory = true;
		} else {
			complain(parse, parse->line, "%s: %s", name, error.text);
		}
	} else if (option->many) {
		struct config_lines *lines = (void *)((char *)target + option->offset);

		lines->line[lines->lines - 1].line = parse->line;
	}
	return 1;
}

/* Whether inih would pass the line on unchanged; complains if not. */
static bool check_line(struct parse *parse, const char *line, size_t length)
{
	size_t equals;

	for (size_t i = 0; i < length;) {
		uint32_t code;
		size_t size = utf8_length(line + i, length - i, &code);

		if (size == 0 || (code < 0x20 && code != '\t') || code == 0x7f) {
			complain(parse, parse->line,
			    size == 0 ? "a byte that is not UTF-8"
				      : "a control character; only text is "
					"allowed");
			return false;
		}
		i += size;
	}
	if (length > LINE_LENGTH_MAX) {
		complain(parse, parse->line, "the line has %zu bytes, %d are allowed", length,
		    LINE_LENGTH_MAX);
		return false;
	}
	if (line[0] == '[') {
		return true;
	}
	equals = strcspn(line, "=:");
	if (equals >= length || equals == 0) {
		complain(parse, parse->line,
		    "not a line of the form option = value; a value stands "
		    "in one line with its option");
		return false;
	}
	/* inih keeps a "=;", but cuts "= ;": the blank must make no difference. */
	for (size_t i = 0; i + 1 < length; i++) {
		if ((isspace((unsigned char)line[i]) || i == equals) && line[i + 1] == ';') {
			complain(parse, parse->line,
			    "a ';' behind a blank starts a comment and would "
			    "cut the value; take it out, comments have lines "
			    "of their own");
			return false;
		}
	}
	return true;
}

/* The reader for inih: puts the next line with a section or an option into buffer. NULL: end. */
static char *next_line(char *buffer, int size, void *stream)
{
	struct parse *parse = stream;

	while (parse->next < parse->end && !parse->no_memory) {
		const char *line = parse->next;
		const char *newline = memchr(line, '\n', (size_t)(parse->end - line));
		size_t length = (size_t)((newline ? newline : parse->end) - line);

		parse->next = newline ? newline + 1 : parse->end;
		parse->line++;
		if (parse->line == 1 && length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
			line += 3;
			length -= 3;
		}
		while (length > 0 && isspace((unsigned char)line[length - 1])) {
			length--;
		}
		while (length > 0 && isspace((unsigned char)*line)) {
			line++;
			length--;
		}
		if (length == 0 || *line == '#' || *line == ';') {
			continue;
		}
		if (!check_line(parse, line, length) || length + 2 > (size_t)size) {
			continue;
		}
		if (*line == '[') {
			begin_section(parse, line, length);
		}
		memcpy(buffer, line, length);
		memcpy(buffer + length, "\n", 2);
		return buffer;
	}
	return NULL;
}

static struct config_stamp stamp_of(const struct stat *st)
{
	return (struct config_stamp){.device = st->st_dev,
	    .inode = st->st_ino,
	    .size = st->st_size,
	    .modified = st->st_mtim,
	    .changed = st->st_ctim};
}

struct config_stamp config_stamp_get(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? stamp_of(&st) : (struct config_stamp){0};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool config_stamp_same(const struct config_stamp *a, const struct config_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	    same_time(&a->modified, &b->modified) && same_time(&a->changed, &b->changed);
}

static size_t read_all(int fd, char *bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, bytes + done, size - done, (off_t)done);

		if (n > 0) {
			done += (size_t)n;
		} else if (n == 0 || errno != EINTR) {
			break;
		}
	}
	return done;
}

/*
 * The contents of the file, NUL-terminated, for the caller to free, and their stamp. Returns NULL
 * and sets errno, or sets *exposed if others may write the file.
 */
static char *read_file(const char *path, size_t *size, struct config_stamp *stamp, bool *exposed)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct config_stamp after;
	char *bytes = NULL;
	struct stat st;

	if (fd < 0) {
		return NULL;
	}
	for (int i = 0; i < READ_TRIES && !bytes; i++) {
		if (fstat(fd, &st)) {
			break;
		}
		if (!S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
			errno = S_ISREG(st.st_mode) ? EFBIG : S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
			break;
		}
		*stamp = stamp_of(&st);
		*exposed = st.st_mode & S_IWOTH;
		if (*exposed) {
			break;
		}
		bytes = malloc((size_t)st.st_size + 1);
		if (!bytes) {
			break;
		}
		*size = read_all(fd, bytes, (size_t)st.st_size);
		bytes[*size] = '\0';
		after = fstat(fd, &st) == 0 ? stamp_of(&st) : *stamp;
		if (!config_stamp_same(stamp, &after) && i < READ_TRIES - 1) {
			/* The file changed meanwhile. */
			free(bytes);
			bytes = NULL;
		}
	}
	close(fd);
	return bytes;
}

/* Reports that there is no memory, now that there may be some for the report. Leaves config empty,
 * and *stamp so that reading is tried again.
 */
static enum config_result give_up(struct parse *parse, struct config_stamp *stamp)
{
	config_free(parse->config);
	complain(parse, 0, "out of memory");
	stamp->size = STAMP_NO_FILE;
	return CONFIG_NO_MEMORY;
}

enum config_result config_load(const char *path, struct config *config, struct config_stamp *stamp,
    config_report *report, void *data)
{
	struct parse parse = {.path = path, .config = config, .report = report, .data = data};
	bool exposed = false;
	char *bytes;
	size_t size = 0;

	*stamp = config_stamp_get(path);
	if (options_init_global(config)) {
		return give_up(&parse, stamp);
	}
	bytes = read_file(path, &size, stamp, &exposed);
	if (exposed) {
		complain(
		    &parse, 0, "others may write it, so it is not used; chmod o-w %.400s", path);
		return CONFIG_BAD;
	}
	if (!bytes && errno == ENOMEM) {
		return give_up(&parse, stamp);
	}
	if (!bytes) {
		complain(&parse, 0, "can't be read: %s", strerror(errno));
		/* It may become readable without a change of the file. */
		stamp->size = errno == ENOENT ? stamp->size : STAMP_NO_FILE;
		return CONFIG_BAD;
	}
	parse.next = bytes;
	parse.end = bytes + size;
	if (ini_parse_stream(next_line, &parse, take_option, &parse) && !parse.mistakes &&
	    !parse.no_memory) {
		complain(&parse, 0, "a line that inih does not understand");
	}
	if (!parse.no_memory) {
		end_section(&parse);
	}
	free(bytes);
	if (parse.no_memory) {
		return give_up(&parse, stamp);
	}
	return parse.mistakes ? CONFIG_BAD : CONFIG_OK;
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->rules; i++) {
		rule_free(&config->rule[i]);
	}
	free(config->rule);
	free(config->database);
	free(config->user);
	free(config->on_error);
	free(config->success_action);
	free(config->log_target);
	*config = (struct config){0};
}

/* usual is a section of the same kind with all defaults. */
static void print_section(const char *section_name, const void *section, const void *usual,
    const struct config_option *options, config_emit *emit, void *data)
{
	for (const struct config_option *option = options; option->name; option++) {
		char name[64], value[1024], usual_value[1024];
		struct strbuf text;

		strbuf_init(&text, name, sizeof(name));
		strbuf_printf(&text, "%s.%s", section_name, option->name);
		if (option->many) {
			const struct config_lines *lines =
			    (const void *)((const char *)section + option->offset);

			for (size_t i = 0; i < lines->lines; i++) {
				emit(data, name, lines->line[i].text, NULL);
			}
			continue;
		}
		strbuf_init(&text, value, sizeof(value));
		option->print(option, section, (const char *)section + option->offset, &text);
		if (option->required) {
			emit(data, name, value, NULL);
			continue;
		}
		strbuf_init(&text, usual_value, sizeof(usual_value));
		option->print(option, usual, (const char *)usual + option->offset, &text);
		emit(data, name, value, usual_value);
	}
}

int config_print(const struct config *config, config_emit *emit, void *data)
{
	struct config usual;
	struct rule usual_rule = {.keys = 0};
	int result = options_init_global(&usual) || options_init_rule(&usual_rule) ? -1 : 0;

	if (result == 0) {
		print_section("global", config, &usual, options_global, emit, data);
	}
	for (size_t i = 0; i < config->rules && result == 0; i++) {
		print_section(
		    config->rule[i].name, &config->rule[i], &usual_rule, options_rule, emit, data);
	}
	rule_free(&usual_rule);
	config_free(&usual);
	return result;
}
