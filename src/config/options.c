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
#include "policy/attributes.h"
#include "policy/template.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define DEFAULT_ACTION                                                                             \
	"DEFER_IF_PERMIT 4.7.1 Limit of {limit} reached for {key}, try again in {retry_after}"

/* Replaces the string that *field owns by a copy of value. */
static int replace(void *field, const char *value, struct error *error)
{
	char **string = field;
	char *copy = alloc_copy(value, error);

	if (!copy) {
		return -1;
	}
	free(*string);
	*string = copy;
	return 0;
}

static void print_string(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	(void)option;
	(void)section;
	strbuf_puts(text, *(char *const *)field);
}

/* Parses one of option->words into its index: an enum, or 0 and 1. */
static int parse_word(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	char allowed[200];
	struct strbuf text;

	(void)section;
	strbuf_init(&text, allowed, sizeof(allowed));
	for (unsigned i = 0; option->words[i]; i++) {
		if (strcmp(option->words[i], value) == 0) {
			*(unsigned *)field = i;
			return 0;
		}
		strbuf_printf(&text, "%s%s",
		    i == 0                     ? ""
			: option->words[i + 1] ? ", "
					       : " or ",
		    option->words[i]);
	}
	return error_set(error, "\"%.60s\" is not %s", value, allowed);
}

static void print_word(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	(void)section;
	strbuf_puts(text, option->words[*(const unsigned *)field]);
}

static const char *const log_words[] = {"none", "denied", "all", NULL};
const char *const options_count_words[] = {"messages", "recipients", "bytes", NULL};
const char *const options_strategy_words[] = {
    "fixed-window", "sliding-window", "moving-window", NULL};
static const char *const mode_words[] = {"enforce", "observe", NULL};
static const char *const boolean_words[] = {"no", "yes", NULL};

static int parse_path(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	(void)section;
	if (value[0] != '/' || strlen(value) >= PATH_MAX) {
		return error_set(error, "\"%.60s\" is not an absolute path", value);
	}
	return replace(field, value, error);
}

/* The actions of access(5) that make sense as an answer. argument: it needs one. */
static const struct {
	const char *word;
	bool argument;
} actions[] = {
    {"BCC", true},
    {"DEFER", false},
    {"DEFER_IF_PERMIT", false},
    {"DEFER_IF_REJECT", false},
    {"DISCARD", false},
    {"DUNNO", false},
    {"FILTER", true},
    {"HOLD", false},
    {"INFO", false},
    {"PREPEND", true},
    {"REDIRECT", true},
    {"REJECT", false},
    {"WARN", false},
};

static int check_action(const char *value, struct error *error)
{
	size_t length = strcspn(value, " \t");
	const char *argument = value + length + strspn(value + length, " \t");

	if (ascii_same(value, length, "OK") || ascii_same(value, length, "PERMIT")) {
		return error_set(error, "%.*s would skip the restrictions behind; use DUNNO",
		    (int)length, value);
	}
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
		if (ascii_same(value, length, actions[i].word)) {
			if (actions[i].argument && !*argument) {
				return error_set(
				    error, "%s needs an argument, see access(5)", actions[i].word);
			}
			return 0;
		}
	}
	if (length == strspn(value, "0123456789") && length > 0) {
		if (length != 3 || (value[0] != '4' && value[0] != '5')) {
			return error_set(error,
			    "\"%.*s\" is no reply code to refuse with; one of 4NN "
			    "or 5NN and a text",
			    (int)length, value);
		}
		if (!*argument) {
			return error_set(error,
			    "%.*s alone means OK to Postfix; write a text behind it", (int)length,
			    value);
		}
		return 0;
	}
	return error_set(error,
	    "unknown action \"%.*s\"; one of DEFER_IF_PERMIT, DEFER_IF_REJECT, "
	    "DEFER, REJECT, 4NN or 5NN and a text, DUNNO, WARN, INFO, HOLD, DISCARD, "
	    "REDIRECT, FILTER, BCC, PREPEND",
	    (int)(length < 60 ? length : 60), value);
}

static int parse_plain_action(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	(void)section;
	if (check_action(value, error)) {
		return -1;
	}
	return replace(field, value, error);
}

static int parse_template_action(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	if (template_check(value, attributes_is_sent, error)) {
		return -1;
	}
	return parse_plain_action(option, section, field, value, error);
}

static int parse_mode(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	size_t length = strlen(value);
	unsigned long mode = strtoul(value, NULL, 8);

	(void)option;
	(void)section;
	if (length < 3 || length > 4 || strspn(value, "01234567") != length || mode > 0777 ||
	    (mode & 0600) != 0600 || (mode & 0002)) {
		return error_set(error,
		    "\"%.60s\" is not a mode such as 0640; its owner must be able "
		    "to read and write, others not to write",
		    value);
	}
	*(mode_t *)field = (mode_t)mode;
	return 0;
}

static void print_mode(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	(void)option;
	(void)section;
	strbuf_printf(text, "%04o", (unsigned)*(const mode_t *)field);
}

static int parse_max_size(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	uint64_t size;

	(void)option;
	(void)section;
	/* TDB's offsets have 32 bits. */
	if (size_parse(value, UINT64_C(4) << 30, &size) || size < 65536) {
		return error_set(
		    error, "\"%.60s\" is not a size from 64K to 4G, such as 256M", value);
	}
	*(uint64_t *)field = size;
	return 0;
}

static void print_max_size(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	uint64_t size = *(const uint64_t *)field;
	unsigned unit = 0;

	(void)option;
	(void)section;
	while (unit < 3 && size % 1024 == 0) {
		size /= 1024;
		unit++;
	}
	strbuf_printf(text, "%llu%.*s", (unsigned long long)size, unit > 0, &" KMG"[unit]);
}

static int parse_user(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	(void)section;
	if (!value[0] || strpbrk(value, " \t:/")) {
		return error_set(error, "\"%.60s\" is not the name of an account", value);
	}
	return replace(field, value, error);
}

static int parse_timeout(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	size_t digits = strspn(value, "0123456789");
	const char *unit = value + digits;
	uint64_t factor = strcmp(unit, "ms") == 0 ? 1 : strcmp(unit, "s") == 0 ? 1000 : 0;
	uint64_t number;

	(void)option;
	(void)section;
	if (factor == 0 || number_parse(value, digits, 60000 / factor, &number) ||
	    number * factor < 10) {
		return error_set(
		    error, "\"%.60s\" is not a time from 10ms to 60s, such as 2s", value);
	}
	*(int64_t *)field = (int64_t)(number * factor);
	return 0;
}

static void print_timeout(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	int64_t ms = *(const int64_t *)field;

	(void)option;
	(void)section;
	strbuf_printf(
	    text, ms % 1000 ? "%lldms" : "%llds", (long long)(ms % 1000 ? ms : ms / 1000));
}

static int parse_log_target(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	struct config *config = section;
	int facility = LOG_MAIL;
	size_t path = 0;

	(void)option;
	if (strncmp(value, "file:/", 6) == 0) {
		path = 5;
	} else if (strncmp(value, "syslog:", 7) == 0) {
		facility = log_facility(value + 7);
		if (facility < 0) {
			return error_set(error,
			    "unknown facility \"%.60s\"; one of syslog(3)'s, such as "
			    "mail, daemon, local0",
			    value + 7);
		}
	} else if (strcmp(value, "syslog") != 0) {
		return error_set(
		    error, "\"%.60s\" is not syslog, syslog:FACILITY or file:/PATH", value);
	}
	if (replace(field, value, error)) {
		return -1;
	}
	config->log_facility = facility;
	config->log_path = path ? config->log_target + path : NULL;
	return 0;
}

static int parse_key(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	if (selector_parse_key(section, value, error)) {
		return -1;
	}
	return replace(field, value, error);
}

static int parse_lines(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	struct config_lines *lines = field;
	struct config_line *line;

	(void)option;
	(void)section;
	if (!value[0]) {
		return error_set(error, "nothing stands behind the '='");
	}
	line = array_grow(lines->line, lines->lines, sizeof(*line));
	if (!line) {
		return error_no_memory(error);
	}
	lines->line = line;
	line += lines->lines;
	*line = (struct config_line){.text = alloc_copy(value, error)};
	if (!line->text) {
		return -1;
	}
	lines->lines++;
	return 0;
}

static int parse_percent(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	size_t length = strlen(value);
	uint64_t number;

	(void)option;
	(void)section;
	length -= length > 1 && value[length - 1] == '%';
	if (number_parse(value, length, 100, &number) || number == 0) {
		return error_set(
		    error, "\"%.60s\" is not a percentage from 1%% to 100%%, such as 80%%", value);
	}
	*(unsigned *)field = (unsigned)number;
	return 0;
}

static void print_percent(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	unsigned number = *(const unsigned *)field;

	(void)option;
	(void)section;
	if (number > 0) {
		strbuf_printf(text, "%u%%", number);
	}
}

static int parse_prefix(void *field, const char *value, unsigned max, struct error *error)
{
	uint64_t number;

	if (number_parse(value, strlen(value), max, &number)) {
		return error_set(
		    error, "\"%.60s\" is not a number of bits from 0 to %u", value, max);
	}
	*(unsigned *)field = (unsigned)number;
	return 0;
}

static int parse_ipv4_prefix(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	(void)section;
	return parse_prefix(field, value, 32, error);
}

static int parse_ipv6_prefix(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	(void)section;
	return parse_prefix(field, value, 128, error);
}

static int parse_delimiters(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	(void)section;
	if (!value[0] || strlen(value) > 8 || strspn(value, "+-_=#!%$&~^*?/|.") != strlen(value)) {
		return error_set(
		    error, "\"%.60s\" is not a recipient_delimiter of Postfix, such as +", value);
	}
	return replace(field, value, error);
}

/* Only stores the text: `count`, which may come later, says which suffixes are allowed. */
static int parse_limit(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	(void)section;
	return replace(field, value, error);
}

static void print_limit(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	const struct rule *rule = section;

	(void)option;
	(void)field;
	limits_format(&rule->limits, rule->count, text);
}

static int parse_resolution(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	uint64_t number;

	(void)option;
	(void)section;
	if (number_parse(value, strlen(value), WINDOW_RESOLUTION_MAX, &number) || number == 0) {
		return error_set(
		    error, "\"%.60s\" is not a number from 1 to %d", value, WINDOW_RESOLUTION_MAX);
	}
	*(unsigned *)field = (unsigned)number;
	return 0;
}

static void print_number(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	(void)option;
	(void)section;
	strbuf_printf(text, "%u", *(const unsigned *)field);
}

#define GLOBAL(member) offsetof(struct config, member)

const struct config_option options_global[] = {
    {"database", parse_path, print_string, GLOBAL(database)},
    {"database_mode", parse_mode, print_mode, GLOBAL(database_mode)},
    {"database_max_size", parse_max_size, print_max_size, GLOBAL(database_max_size)},
    {"user", parse_user, print_string, GLOBAL(user)},
    {"on_error", parse_plain_action, print_string, GLOBAL(on_error)},
    {"success_action", parse_plain_action, print_string, GLOBAL(success_action)},
    {"lock_timeout", parse_timeout, print_timeout, GLOBAL(lock_timeout_ms)},
    {"log", parse_word, print_word, GLOBAL(log), log_words},
    {"log_target", parse_log_target, print_string, GLOBAL(log_target)},
    {NULL},
};

#define RULE(member) offsetof(struct rule, member)

const struct config_option options_rule[] = {
    {"key", parse_key, print_string, RULE(key_text), .required = true},
    {"limit", parse_limit, print_limit, RULE(limit_text), .required = true},
    {"count", parse_word, print_word, RULE(count), options_count_words},
    {"strategy", parse_word, print_word, RULE(strategy), options_strategy_words},
    {"resolution", parse_resolution, print_number, RULE(resolution)},
    {"match", parse_lines, NULL, RULE(match_lines), .many = true},
    {"override", parse_lines, NULL, RULE(override_lines), .many = true},
    {"exempt", parse_lines, NULL, RULE(exempt_lines), .many = true},
    {"action", parse_template_action, print_string, RULE(action)},
    {"mode", parse_word, print_word, RULE(mode), mode_words},
    {"count_denied", parse_word, print_word, RULE(count_denied), boolean_words},
    {"warn_at", parse_percent, print_percent, RULE(warn_percent)},
    {"ipv4_prefix", parse_ipv4_prefix, print_number, RULE(ipv4_prefix)},
    {"ipv6_prefix", parse_ipv6_prefix, print_number, RULE(ipv6_prefix)},
    {"fold_case", parse_word, print_word, RULE(fold_case), boolean_words},
    {"strip_extension", parse_delimiters, print_string, RULE(strip_extension)},
    {NULL},
};

_Static_assert(sizeof(options_global) / sizeof(*options_global) <= OPTIONS_MAX, "OPTIONS_MAX");
_Static_assert(sizeof(options_rule) / sizeof(*options_rule) <= OPTIONS_MAX, "OPTIONS_MAX");

int options_init_global(struct config *config)
{
	struct error error;

	*config = (struct config){.database_mode = 0640,
	    .database_max_size = 256 << 20,
	    .lock_timeout_ms = 2000,
	    .log = CONFIG_LOG_DENIED,
	    .log_facility = LOG_MAIL};
	return replace(&config->database, DEFAULT_DATABASE, &error) ||
		replace(&config->user, DEFAULT_USER, &error) ||
		replace(&config->on_error, "DUNNO", &error) ||
		replace(&config->success_action, "DUNNO", &error) ||
		replace(&config->log_target, "syslog", &error)
	    ? -1
	    : 0;
}

int options_init_rule(struct rule *rule)
{
	struct error error;

	*rule = (struct rule){.ipv4_prefix = 32,
	    .ipv6_prefix = 64,
	    .count = COUNT_RECIPIENTS,
	    .strategy = STRATEGY_SLIDING,
	    .resolution = 12,
	    .fold_case = 1};
	return replace(&rule->key_text, "", &error) || replace(&rule->limit_text, "", &error) ||
		replace(&rule->strip_extension, "", &error) ||
		replace(&rule->action, DEFAULT_ACTION, &error)
	    ? -1
	    : 0;
}
