/*
 * The options of the configuration file: see options.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config/options.h"

#include "base/alloc.h"
#include "base/array.h"
#include "base/ascii.h"
#include "base/log.h"
#include "base/number.h"
#include "config/selector.h"
#include "policy/template.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define DEFAULT_ACTION                                                                             \
	"DEFER_IF_PERMIT 4.7.1 Limit of {limit} reached for {key}, try again in {retry_after}"

static const char *const log_words[] = {"none", "denied", "all", NULL};
const char *const options_count_words[] = {"messages", "recipients", "bytes", NULL};
const char *const options_strategy_words[] = {
    "fixed-window", "sliding-window", "moving-window", NULL};
static const char *const mode_words[] = {"enforce", "observe", NULL};
static const char *const boolean_words[] = {"no", "yes", NULL};

static int is_not(const char *value, const char *allowed, struct error *error)
{
	return error_set(error, "\"%.60s\" is not %s", value, allowed);
}

static int check_path(const char *text, struct error *error)
{
	bool good = text[0] == '/' && strlen(text) < PATH_MAX;

	return good ? 0 : is_not(text, "an absolute path", error);
}

static int check_user(const char *text, struct error *error)
{
	bool good = text[0] && !strpbrk(text, " \t:/");

	return good ? 0 : is_not(text, "the name of an account", error);
}

static int check_delimiters(const char *text, struct error *error)
{
	size_t length = strlen(text);
	bool good = length > 0 && length <= 8 && strspn(text, "+-_=#!%$&~^*?/|.") == length;

	return good ? 0 : is_not(text, "a recipient_delimiter of Postfix, such as +", error);
}

/*
 * The actions of access(5) that make sense as an answer. argument: it needs one. class: the first
 * digit of an enhanced status code (RFC 3463) that may follow; 0: none does.
 */
static const struct {
	const char *word;
	bool argument;
	char class;
} actions[] = {{"BCC", true, 0}, {"DEFER", false, '4'}, {"DEFER_IF_PERMIT", false, '4'},
    {"DEFER_IF_REJECT", false, '4'}, {"DISCARD", false, 0}, {"DUNNO", false, 0},
    {"FILTER", true, 0}, {"HOLD", false, 0}, {"INFO", false, 0}, {"PREPEND", true, 0},
    {"REDIRECT", true, 0}, {"REJECT", false, '5'}, {"WARN", false, 0}};

/* The length of an enhanced status code such as 4.7.1 that a text begins with; or 0. */
static size_t enhanced_code_length(const char *text)
{
	size_t length = strspn(text, "0123456789.");
	const char *dot = strchr(text, '.');
	const char *second = dot ? strchr(dot + 1, '.') : NULL;
	bool good = strchr("245", text[0]) && dot == text + 1 && second && second - dot > 1 &&
	    second < text + length - 1 &&
	    memchr(second + 1, '.', (size_t)(text + length - second - 1)) == NULL;

	return good && strchr(" \t", text[length]) ? length : 0;
}

/*
 * Checks the code that may follow an action: Postfix would change it, and the client get an answer
 * that nobody has written.
 */
static int check_class(const char *action, size_t length, char class, struct error *error)
{
	const char *text = action + length + strspn(action + length, " \t");
	int code = (int)enhanced_code_length(text);

	if (code == 0 || text[0] == class) {
		return 0;
	}
	return error_set(error,
	    "\"%.*s\" and \"%.*s\" contradict each other; after %.*s, write %c%.*s", (int)length,
	    action, code, text, (int)length, action, class, code - 1, text + 1);
}

static int check_action(const char *text, struct error *error)
{
	size_t length = strcspn(text, " \t");
	int shown = (int)(length < 60 ? length : 60);
	bool argument = text[length + strspn(text + length, " \t")];

	if (ascii_same(text, length, "OK") || ascii_same(text, length, "PERMIT")) {
		return error_set(
		    error, "%.*s would skip all later restrictions; use DUNNO", shown, text);
	}
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
		if (!ascii_same(text, length, actions[i].word)) {
			continue;
		}
		if (actions[i].argument && !argument) {
			return error_set(
			    error, "%s needs an argument, see access(5)", actions[i].word);
		}
		return actions[i].class ? check_class(text, length, actions[i].class, error) : 0;
	}
	if (length == 0 || length != strspn(text, "0123456789")) {
		return error_set(error,
		    "unknown action \"%.*s\"; one of DEFER_IF_PERMIT, DEFER_IF_REJECT, DEFER, "
		    "REJECT, 4NN or 5NN and a text, DUNNO, WARN, INFO, HOLD, DISCARD, REDIRECT, "
		    "FILTER, BCC, PREPEND",
		    shown, text);
	}
	if (length != 3 || (text[0] != '4' && text[0] != '5')) {
		return error_set(error,
		    "\"%.*s\" is not a reply code for a denial; use 4NN or 5NN and a text", shown,
		    text);
	}
	if (!argument) {
		return error_set(error, "%.*s alone means OK to Postfix; add a text", shown, text);
	}
	return check_class(text, length, text[0], error);
}

/* Of an action that no rule gives: there is nothing to put in. */
static int check_fixed_action(const char *text, struct error *error)
{
	struct error none;

	return strchr(text, '{') && template_check(text, &none) == 0
	    ? error_set(error, "placeholders are for the actions of rules; write it without '{'")
	    : check_action(text, error);
}

static int check_template_action(const char *text, struct error *error)
{
	return template_check(text, error) ? -1 : check_action(text, error);
}

/* Replaces the string that *field owns by a copy of text. */
static int set_text(char **field, const char *text, struct error *error)
{
	char *copy = alloc_copy(text, error);

	if (!copy) {
		return -1;
	}
	free(*field);
	*field = copy;
	return 0;
}

static int set_log_target(struct config *config, const char *value, struct error *error)
{
	bool file = strncmp(value, "file:/", 6) == 0;
	int facility = LOG_MAIL;

	if (strncmp(value, "syslog:", 7) == 0) {
		facility = log_facility(value + 7);
		if (facility < 0) {
			return error_set(error,
			    "unknown facility \"%.60s\"; see syslog(3) for their names", value + 7);
		}
	} else if (!file && strcmp(value, "syslog") != 0) {
		return is_not(value, "syslog, syslog:FACILITY or file:/PATH", error);
	}
	if (set_text(&config->log_target, value, error)) {
		return -1;
	}
	config->log_facility = facility;
	config->log_path = file ? config->log_target + strlen("file:") : NULL;
	return 0;
}

static int set_word(
    unsigned *field, const char *const *words, const char *value, struct error *error)
{
	char allowed[200];
	struct strbuf text;

	strbuf_init(&text, allowed, sizeof(allowed));
	for (unsigned i = 0; words[i]; i++) {
		const char *joint = i == 0 ? "" : words[i + 1] ? ", " : " or ";

		if (strcmp(words[i], value) == 0) {
			*field = i;
			return 0;
		}
		strbuf_printf(&text, "%s%s", joint, words[i]);
	}
	return is_not(value, allowed, error);
}

static int set_number(
    unsigned *field, const struct config_option *option, const char *value, struct error *error)
{
	const char *unit = option->unit ? option->unit : "";
	size_t length = strlen(value);
	uint64_t number;

	length -= unit[0] && length > 0 && value[length - 1] == unit[0];
	if (number_parse(value, length, option->max, &number) || number < option->min) {
		return error_set(error, "\"%.60s\" is not a number from %u%s to %u%s", value,
		    option->min, unit, option->max, unit);
	}
	*field = (unsigned)number;
	return 0;
}

static int set_mode(mode_t *field, const char *value, struct error *error)
{
	size_t length = strlen(value);
	unsigned long mode = strtoul(value, NULL, 8);

	if (length < 3 || length > 4 || strspn(value, "01234567") != length || mode > 0777 ||
	    (mode & 0600) != 0600 || (mode & 0022)) {
		return is_not(value,
		    "a mode such as 0600; its owner must read and write, nobody else may write",
		    error);
	}
	*field = (mode_t)mode;
	return 0;
}

static int set_size(uint64_t *field, const char *value, struct error *error)
{
	uint64_t size;

	/* TDB's offsets have 32 bits. */
	if (size_parse(value, UINT64_C(4) << 30, &size) || size < 65536) {
		return is_not(value, "a size from 64K to 4G, such as 256M", error);
	}
	*field = size;
	return 0;
}

static int set_time(int64_t *field, const char *value, struct error *error)
{
	size_t digits = strspn(value, "0123456789");
	const char *unit = value + digits;
	uint64_t factor = strcmp(unit, "ms") == 0 ? 1 : strcmp(unit, "s") == 0 ? 1000 : 0;
	uint64_t number;

	if (factor == 0 || number_parse(value, digits, 60000 / factor, &number) ||
	    number * factor < 10) {
		return is_not(value, "a time from 10ms to 60s, such as 2s", error);
	}
	*field = (int64_t)(number * factor);
	return 0;
}

static int add_line(
    struct config_lines *lines, const char *value, unsigned number, struct error *error)
{
	struct config_line *line;

	if (!value[0]) {
		return error_set(error, "the value is missing");
	}
	line = array_grow(lines->line, lines->lines, sizeof(*line));
	if (!line) {
		return error_no_memory(error);
	}
	lines->line = line;
	line += lines->lines;
	*line = (struct config_line){alloc_copy(value, error), number};
	if (!line->text) {
		return -1;
	}
	lines->lines++;
	return 0;
}

int options_set(const struct config_option *option, void *section, const char *value, unsigned line,
    struct error *error)
{
	void *field = (char *)section + option->offset;

	switch (option->type) {
	case OPTION_TEXT:
	case OPTION_LIMIT:
		return option->check && option->check(value, error) ? -1
								    : set_text(field, value, error);
	case OPTION_KEY:
		return selector_parse_key(section, value, error) ? -1
								 : set_text(field, value, error);
	case OPTION_LOG_TARGET:
		return set_log_target(section, value, error);
	case OPTION_WORD:
		return set_word(field, option->words, value, error);
	case OPTION_NUMBER:
		return set_number(field, option, value, error);
	case OPTION_MODE:
		return set_mode(field, value, error);
	case OPTION_SIZE:
		return set_size(field, value, error);
	case OPTION_TIME:
		return set_time(field, value, error);
	case OPTION_LINES:
		return add_line(field, value, line, error);
	}
	assert(!"an option without a type");
	return -1;
}

int options_init(const struct config_option *options, void *section)
{
	struct error error;

	for (const struct config_option *option = options; option->name; option++) {
		if (option->usual && option->usual[0] &&
		    options_set(option, section, option->usual, 0, &error)) {
			assert(error.no_memory);
			return -1;
		}
	}
	return 0;
}

void options_free(const struct config_option *options, void *section)
{
	for (const struct config_option *option = options; option->name; option++) {
		void *field = (char *)section + option->offset;
		struct config_lines *lines = field;

		/* The types up to this one are strings. */
		if (option->type <= OPTION_LOG_TARGET) {
			free(*(char **)field);
		} else if (option->type == OPTION_LINES) {
			for (size_t i = 0; i < lines->lines; i++) {
				free(lines->line[i].text);
			}
			free(lines->line);
		}
	}
}

static void print_size(uint64_t size, struct strbuf *text)
{
	unsigned unit = 0;

	while (unit < 3 && size % 1024 == 0) {
		size /= 1024;
		unit++;
	}
	strbuf_printf(text, "%llu%.*s", (unsigned long long)size, unit > 0, &" KMG"[unit]);
}

static void print_time(int64_t ms, struct strbuf *text)
{
	strbuf_printf(
	    text, ms % 1000 ? "%lldms" : "%llds", (long long)(ms % 1000 ? ms : ms / 1000));
}

void options_print(const struct config_option *option, const void *section, struct strbuf *text)
{
	const struct rule *rule = section;
	const void *field = (const char *)section + option->offset;
	const char *const *string = field;
	const unsigned *number = field;

	switch (option->type) {
	case OPTION_TEXT:
	case OPTION_KEY:
	case OPTION_LOG_TARGET:
		strbuf_puts(text, *string ? *string : "");
		break;
	case OPTION_LIMIT:
		limits_format(&rule->limits, rule->count, text);
		break;
	case OPTION_WORD:
		strbuf_puts(text, option->words[*number]);
		break;
	case OPTION_NUMBER:
		if (*number >= option->min) {
			strbuf_printf(text, "%u%s", *number, option->unit ? option->unit : "");
		}
		break;
	case OPTION_MODE:
		strbuf_printf(text, "%04o", *(const mode_t *)field);
		break;
	case OPTION_SIZE:
		print_size(*(const uint64_t *)field, text);
		break;
	case OPTION_TIME:
		print_time(*(const int64_t *)field, text);
		break;
	case OPTION_LINES:
		break;
	}
}

#define GLOBAL(member) offsetof(struct config, member)

const struct config_option options_global[] = {
    {"database", OPTION_TEXT, GLOBAL(database), DEFAULT_DATABASE, check_path},
    {"database_mode", OPTION_MODE, GLOBAL(database_mode), "0600"},
    {"database_max_size", OPTION_SIZE, GLOBAL(database_max_size), "256M"},
    {"state_directory", OPTION_TEXT, GLOBAL(state_directory), DEFAULT_STATE, check_path},
    {"user", OPTION_TEXT, GLOBAL(user), DEFAULT_USER, check_user},
    {"on_error", OPTION_TEXT, GLOBAL(on_error), "DUNNO", check_fixed_action},
    {"success_action", OPTION_TEXT, GLOBAL(success_action), "DUNNO", check_fixed_action},
    {"lock_timeout", OPTION_TIME, GLOBAL(lock_timeout_ms), "2s"},
    {"log", OPTION_WORD, GLOBAL(log), "denied", .words = log_words},
    {"log_target", OPTION_LOG_TARGET, GLOBAL(log_target), "syslog"},
    {NULL},
};

#define RULE(member) offsetof(struct rule, member)

const struct config_option options_rule[] = {
    {"key", OPTION_KEY, RULE(key_text)},
    {"limit", OPTION_LIMIT, RULE(limit_text)},
    {"count", OPTION_WORD, RULE(count), "recipients", .words = options_count_words},
    {"strategy", OPTION_WORD, RULE(strategy), "sliding-window", .words = options_strategy_words},
    {"resolution", OPTION_NUMBER, RULE(resolution), "12", .min = 1, .max = WINDOW_RESOLUTION_MAX},
    {"match", OPTION_LINES, RULE(match_lines)},
    {"override", OPTION_LINES, RULE(override_lines)},
    {"exempt", OPTION_LINES, RULE(exempt_lines)},
    {"action", OPTION_TEXT, RULE(action), DEFAULT_ACTION, check_template_action},
    {"mode", OPTION_WORD, RULE(mode), "enforce", .words = mode_words},
    {"count_denied", OPTION_WORD, RULE(count_denied), "no", .words = boolean_words},
    {"warn_at", OPTION_NUMBER, RULE(warn_percent), "", .min = 1, .max = 100, .unit = "%"},
    {"ipv4_prefix", OPTION_NUMBER, RULE(folding.ipv4_prefix), "32", .max = 32},
    {"ipv6_prefix", OPTION_NUMBER, RULE(folding.ipv6_prefix), "64", .max = 128},
    {"fold_case", OPTION_WORD, RULE(folding.fold_case), "yes", .words = boolean_words},
    {"strip_extension", OPTION_TEXT, RULE(folding.strip_extension), "", check_delimiters},
    {NULL},
};

_Static_assert(sizeof(options_global) / sizeof(*options_global) <= OPTIONS_MAX, "OPTIONS_MAX");
_Static_assert(sizeof(options_rule) / sizeof(*options_rule) <= OPTIONS_MAX, "OPTIONS_MAX");
