/*
 * The configuration file: see config.h.
 *
 * inih 55 gives no line numbers, splits long lines, cuts " ;" off a value and takes
 * an indented line for more of the one above. So it reads through a function of
 * ours, which counts lines, takes indentation off and refuses what would not arrive
 * as it was written.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config.h"

#include "config_options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_LENGTH_MAX 198 /* inih 55 */
#define FILE_SIZE_MAX (64 * 1024 * 1024)
#define TRANSACTIONS_PER_KEY 8
/* One counter for the whole server sees many transactions at once. */
#define TRANSACTIONS_EVERYTHING RECORD_TRANSACTIONS_MAX

/* The file while it is being read. */
struct parse {
	const char *path;
	const char *next; /* what inih has not been given yet */
	const char *end;
	unsigned line;
	int mistakes;
	config_report *report;
	void *data;

	struct config *config;
	enum { IN_NOTHING, IN_GLOBAL, IN_RULE, IN_UNKNOWN } section;
	struct rule *rule;
	unsigned option_line[2][OPTIONS_MAX]; /* by table and option: where it was set, 0 = not */
};

static void complain(struct parse *parse, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct parse *parse, unsigned line, const char *format, ...)
{
	char buffer[1024];
	char message[1024];
	struct text text, printable;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	text_init(&text, buffer, sizeof(buffer));
	text_printf(&text, "%.400s:", parse->path);
	if (line > 0) {
		text_printf(&text, "%u:", line);
	}
	text_puts(&text, " ");
	text_puts(&text, message);
	text_init(&printable, message, sizeof(message));
	text_printable(&printable, text.buffer, text.length, NULL);
	parse->report(parse->data, message);
	parse->mistakes++;
}

static unsigned option_line(const struct parse *parse, const char *name)
{
	for (size_t i = 0; rule_options[i].name; i++) {
		if (strcmp(rule_options[i].name, name) == 0) {
			return parse->option_line[1][i];
		}
	}
	return 0;
}

/* The most events that a moving window's log must hold: one for each of the largest limit. */
static int events_needed(const struct limits *limits, unsigned *events, struct error *error)
{
	uint64_t most = 1;

	for (unsigned i = 0; i < limits->n; i++) {
		most = limits->at[i].count > most ? limits->at[i].count : most;
	}
	if (most > RATE_EVENTS_MAX) {
		return error_set(error, "a moving-window remembers each event, %d at most; for a "
					"limit above that use strategy = sliding-window",
		    RATE_EVENTS_MAX);
	}
	*events = (unsigned)most + 1;
	return 0;
}

/* What follows from a rule's options when all of them are known. */
static void finish_rule(struct parse *parse)
{
	struct rule *rule = parse->rule;
	struct record_layout *layout = &rule->layout;
	unsigned limit_line = option_line(parse, "limit");
	struct record record;
	struct error error;

	if (!option_line(parse, "key")) {
		complain(parse, rule->line, "[rule %s] has no key; say what is counted, such as key = "
					    "sasl_username",
		    rule->name);
	}
	if (!limit_line) {
		complain(parse, rule->line, "[rule %s] has no limit; say how much, such as limit = "
					    "100/hour",
		    rule->name);
		return;
	}
	if (limits_parse(rule->limit_text, rule->count, &rule->limits, &error)) {
		complain(parse, limit_line, "limit: %s", error.text);
		return;
	}
	if (rule->strategy != RATE_FIXED) {
		limits_shorten(&rule->limits);
	}
	layout->strategy = rule->strategy;
	layout->resolution = rule->strategy == RATE_SLIDING ? rule->resolution : 0;
	layout->count = rule->count;
	layout->transactions = rule->key.attribute ? TRANSACTIONS_PER_KEY : TRANSACTIONS_EVERYTHING;
	layout->windows = rule->limits.n;
	for (unsigned i = 0; i < layout->windows; i++) {
		layout->window[i] = rule->limits.at[i].window;
	}
	if (rule->strategy == RATE_MOVING && events_needed(&rule->limits, &layout->events, &error)) {
		complain(parse, limit_line, "limit: %s", error.text);
		return;
	}
	if (layout->windows > 0) {
		rule->record_size = record_size(layout);
		rule->empty_record = malloc(rule->record_size);
		if (!rule->empty_record) {
			abort();
		}
		record_init(&record, layout);
		record_write_new(&record, rule->empty_record);
	}
}

static void end_section(struct parse *parse)
{
	if (parse->section == IN_RULE) {
		finish_rule(parse);
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
		complain(parse, parse->line, "\"%.*s\" can't be the name of a rule; it is 1 to %d "
					     "letters, digits, '-' or '_'",
		    (int)length, name, CONFIG_RULE_NAME_MAX);
		return;
	}
	if (ascii_same(name, length, "global")) {
		complain(parse, parse->line, "a rule can't be called global; any other name is good");
		return;
	}
	for (size_t i = 0; i < config->rules; i++) {
		if (ascii_same(name, length, config->rule[i].name)) {
			complain(parse, parse->line, "a second [rule %.*s], the first is in line %u; "
						     "each needs a name of its own",
			    (int)length, name, config->rule[i].line);
			return;
		}
	}
	if (config->rules == CONFIG_RULES_MAX) {
		complain(parse, parse->line, "more than %d rules", CONFIG_RULES_MAX);
		return;
	}
	rule = reallocarray(config->rule, config->rules + 1, sizeof(*rule));
	if (!rule) {
		abort();
	}
	config->rule = rule;
	rule += config->rules++;
	rule_init(rule);
	rule->line = parse->line;
	memcpy(rule->name, name, length);
	memset(parse->option_line[1], 0, sizeof(parse->option_line[1]));
	parse->section = IN_RULE;
	parse->rule = rule;
}

/* A line that starts with '['. inih would not tell of a section without options. */
static void begin_section(struct parse *parse, const char *line, size_t length)
{
	const char *close = memchr(line, ']', length);
	const char *name = line + 1 + strspn(line + 1, " \t");
	size_t size;

	end_section(parse);
	if (!close) {
		complain(parse, parse->line, "a '[' without its ']'; a section is [global] or [rule "
					     "NAME]");
		return;
	}
	size = name < close ? (size_t)(close - name) : 0;
	while (size > 0 && isspace((unsigned char)name[size - 1])) {
		size--;
	}
	if (size == 6 && memcmp(name, "global", 6) == 0) {
		if (parse->option_line[0][OPTIONS_MAX - 1]) {
			complain(parse, parse->line, "a second [global], the first is in line %u",
			    parse->option_line[0][OPTIONS_MAX - 1]);
			return;
		}
		parse->option_line[0][OPTIONS_MAX - 1] = parse->line;
		parse->section = IN_GLOBAL;
	} else if (size > 4 && memcmp(name, "rule", 4) == 0 && isspace((unsigned char)name[4])) {
		size_t blanks = 4 + strspn(name + 4, " \t");

		begin_rule(parse, name + blanks, size > blanks ? size - blanks : 0);
	} else {
		complain(parse, parse->line, "unknown section [%.*s]; one of [global] and [rule NAME]",
		    (int)(size < 60 ? size : 60), name);
	}
}

/* inih's handler: one option. Always content; mistakes are counted in parse. */
static int take_option(void *user, const char *section, const char *name, const char *value)
{
	struct parse *parse = user;
	int table = parse->section == IN_RULE;
	const struct option *options = table ? rule_options : global_options;
	void *target = table ? (void *)parse->rule : parse->config;
	char allowed[300];
	struct text text;
	struct error error;

	(void)section;
	if (parse->section == IN_NOTHING) {
		complain(parse, parse->line, "\"%.60s\" stands before any section; [global] or [rule "
					     "NAME] must come first",
		    name);
		return 1;
	}
	if (parse->section == IN_UNKNOWN) {
		return 1;
	}
	text_init(&text, allowed, sizeof(allowed));
	for (size_t i = 0; options[i].name; i++) {
		unsigned *seen = &parse->option_line[table][i];

		if (strcmp(options[i].name, name) != 0) {
			text_printf(&text, "%s%s", i ? ", " : "", options[i].name);
			continue;
		}
		if (*seen) {
			complain(parse, parse->line, "a second %s, the first is in line %u; an option "
						     "is set once in a section",
			    name, *seen);
			return 1;
		}
		*seen = parse->line;
		if (options[i].parse(&options[i], target, (char *)target + options[i].offset, value,
			&error)) {
			complain(parse, parse->line, "%s: %s", name, error.text);
		}
		return 1;
	}
	complain(parse, parse->line, "unknown option \"%.60s\" in [%s%s]; one of %s", name,
	    table ? "rule " : "global", table ? parse->rule->name : "", allowed);
	return 1;
}

/* Whether inih would pass the line on as it is written; complains if not. */
static bool check_line(struct parse *parse, const char *line, size_t length)
{
	size_t equals;

	for (size_t i = 0; i < length;) {
		uint32_t code;
		size_t size = utf8_length(line + i, length - i, &code);

		if (size == 0 || (code < 0x20 && code != '\t') || code == 0x7f) {
			complain(parse, parse->line, size == 0 ? "a byte that is not UTF-8"
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
		complain(parse, parse->line, "not a line of the form option = value; a value stands "
					     "in one line with its option");
		return false;
	}
	for (size_t i = equals + 1; i + 1 < length; i++) {
		if (isspace((unsigned char)line[i]) && line[i + 1] == ';') {
			complain(parse, parse->line, "a ';' behind a blank starts a comment and would "
						     "cut the value; take it out, comments have lines "
						     "of their own");
			return false;
		}
	}
	return true;
}

/* inih's reader: the next line that holds something, cleaned, into buffer; NULL at the end. */
static char *next_line(char *buffer, int size, void *stream)
{
	struct parse *parse = stream;

	while (parse->next < parse->end) {
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

/* The whole file, to be freed; NULL and errno. */
static char *read_file(const char *path, size_t *size, struct config_stamp *stamp)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *bytes = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0) {
		return NULL;
	}
	if (fstat(fd, &st)) {
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
		errno = S_ISREG(st.st_mode) ? EFBIG : S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		goto out;
	}
	*stamp = stamp_of(&st);
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes) {
		goto out;
	}
	for (*size = 0; *size < (size_t)st.st_size; *size += (size_t)n) {
		n = read(fd, bytes + *size, (size_t)st.st_size - *size);
		if (n < 0 && errno == EINTR) {
			n = 0;
		} else if (n <= 0) {
			break;
		}
	}
	/* Terminated, since lines are looked at with string functions. */
	bytes[*size] = '\0';
out:
	close(fd);
	return bytes;
}

int config_load(const char *path, struct config *config, struct config_stamp *stamp,
    config_report *report, void *data)
{
	struct parse parse = {.path = path, .config = config, .report = report, .data = data};
	char *bytes;
	size_t size = 0;

	config_init(config);
	*stamp = config_stamp_get(path);
	bytes = read_file(path, &size, stamp);
	if (!bytes) {
		complain(&parse, 0, "can't be read: %s", strerror(errno));
		return -1;
	}
	parse.next = bytes;
	parse.end = bytes + size;
	ini_parse_stream(next_line, &parse, take_option, &parse);
	end_section(&parse);
	free(bytes);
	return parse.mistakes ? -1 : 0;
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->rules; i++) {
		struct rule *rule = &config->rule[i];

		free(rule->key_text);
		free(rule->limit_text);
		free(rule->action);
		free(rule->empty_record);
	}
	free(config->rule);
	free(config->database);
	free(config->user);
	free(config->on_error);
	free(config->success_action);
	free(config->log_target);
	*config = (struct config){0};
}

static void print_section(const char *section_name, const void *section,
    const struct option *options, config_emit *emit, void *data)
{
	for (const struct option *option = options; option->name; option++) {
		char name[64], value[1024];
		struct text text;

		text_init(&text, name, sizeof(name));
		text_printf(&text, "%s.%s", section_name, option->name);
		text_init(&text, value, sizeof(value));
		option->print(option, section, (const char *)section + option->offset, &text);
		emit(data, name, value);
	}
}

void config_print(const struct config *config, config_emit *emit, void *data)
{
	print_section("global", config, global_options, emit, data);
	for (size_t i = 0; i < config->rules; i++) {
		print_section(config->rule[i].name, &config->rule[i], rule_options, emit, data);
	}
}
