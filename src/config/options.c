/*
 * The options of the configuration file: see config_options.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config/options.h"

#include "base/ascii.h"
#include "base/number.h"
#include "config/selector.h"
#include "base/log.h"
#include "policy/attributes.h"
#include "policy/template.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define DEFAULT_ACTION                                                                             \
	"DEFER_IF_PERMIT 4.7.1 Limit of {limit} reached for {key}, try again in {retry_after}"

char *config_copy(const char *string)
{
	char *copy = strdup(string);

	/* Only while a configuration is read; without memory for it nothing can go on. */
	if (!copy) {
		abort();
	}
	return copy;
}

static void replace(char **string, const char *value)
{
	free(*string);
	*string = config_copy(value);
}

static void print_string(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	(void)option;
	(void)section;
	strbuf_puts(text, *(char *const *)field);
}

/* One of some words, as their index: an enum. */
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
const char *const config_count_words[] = {"messages", "recipients", "bytes", NULL};
const char *const config_strategy_words[] = {
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
	replace(field, value);
	return 0;
}

/* Actions of access(5) that a policy server may answer; true: something must follow. */
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
	replace(field, value);
	return 0;
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
	replace(field, value);
	return 0;
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
	strbuf_printf(text, ms % 1000 ? "%lldms" : "%llds", (long long)(ms % 1000 ? ms : ms / 1000));
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
	replace(field, value);
	config->log_facility = facility;
	config->log_path = path ? config->log_target + path : NULL;
	return 0;
}

static int parse_key(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	if (config_key_parse(section, value, error)) {
		return -1;
	}
	replace(field, value);
	return 0;
}

static int parse_lines(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	struct config_lines *lines = field;

	(void)option;
	(void)section;
	if (!value[0]) {
		return error_set(error, "nothing stands behind the '='");
	}
	lines->line = reallocarray(lines->line, lines->lines + 1, sizeof(*lines->line));
	if (!lines->line) {
		abort();
	}
	lines->line[lines->lines++] = (struct config_line){.text = config_copy(value)};
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
	replace(field, value);
	return 0;
}

/* Only kept: which suffixes a number may have depends on `count`, which may come later. */
static int parse_limit(const struct config_option *option, void *section, void *field,
    const char *value, struct error *error)
{
	(void)option;
	(void)section;
	(void)error;
	replace(field, value);
	return 0;
}

static void print_limit(
    const struct config_option *option, const void *section, const void *field, struct strbuf *text)
{
	const struct rule *rule = section;

	(void)option;
	(void)field;
	limits_format(&rule->plan.limits, rule->count, text);
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

const struct config_option global_options[] = {
    {"database", parse_path, print_string, GLOBAL(database), NULL, false, false},
    {"database_mode", parse_mode, print_mode, GLOBAL(database_mode), NULL, false, false},
    {"database_max_size", parse_max_size, print_max_size, GLOBAL(database_max_size), NULL, false,
	false},
    {"user", parse_user, print_string, GLOBAL(user), NULL, false, false},
    {"on_error", parse_plain_action, print_string, GLOBAL(on_error), NULL, false, false},
    {"success_action", parse_plain_action, print_string, GLOBAL(success_action), NULL, false,
	false},
    {"lock_timeout", parse_timeout, print_timeout, GLOBAL(lock_timeout_ms), NULL, false, false},
    {"log", parse_word, print_word, GLOBAL(log), log_words, false, false},
    {"log_target", parse_log_target, print_string, GLOBAL(log_target), NULL, false, false},
    {NULL, NULL, NULL, 0, NULL, false, false},
};

#define RULE(member) offsetof(struct rule, member)

const struct config_option rule_options[] = {
    {"key", parse_key, print_string, RULE(key_text), NULL, false, true},
    {"limit", parse_limit, print_limit, RULE(plan.text), NULL, false, true},
    {"count", parse_word, print_word, RULE(count), config_count_words, false, false},
    {"strategy", parse_word, print_word, RULE(strategy), config_strategy_words, false, false},
    {"resolution", parse_resolution, print_number, RULE(resolution), NULL, false, false},
    {"match", parse_lines, NULL, RULE(match_lines), NULL, true, false},
    {"override", parse_lines, NULL, RULE(override_lines), NULL, true, false},
    {"exempt", parse_lines, NULL, RULE(exempt_lines), NULL, true, false},
    {"action", parse_template_action, print_string, RULE(action), NULL, false, false},
    {"mode", parse_word, print_word, RULE(mode), mode_words, false, false},
    {"count_denied", parse_word, print_word, RULE(count_denied), boolean_words, false, false},
    {"warn_at", parse_percent, print_percent, RULE(warn_percent), NULL, false, false},
    {"ipv4_prefix", parse_ipv4_prefix, print_number, RULE(ipv4_prefix), NULL, false, false},
    {"ipv6_prefix", parse_ipv6_prefix, print_number, RULE(ipv6_prefix), NULL, false, false},
    {"fold_case", parse_word, print_word, RULE(fold_case), boolean_words, false, false},
    {"strip_extension", parse_delimiters, print_string, RULE(strip_extension), NULL, false, false},
    {NULL, NULL, NULL, 0, NULL, false, false},
};

void config_init(struct config *config)
{
	*config = (struct config){.database = config_copy(DEFAULT_DATABASE),
	    .database_mode = 0640,
	    .database_max_size = 256 << 20,
	    .user = config_copy(DEFAULT_USER),
	    .on_error = config_copy("DUNNO"),
	    .success_action = config_copy("DUNNO"),
	    .lock_timeout_ms = 2000,
	    .log = CONFIG_LOG_DENIED,
	    .log_target = config_copy("syslog"),
	    .log_facility = LOG_MAIL};
}

void rule_init(struct rule *rule)
{
	*rule = (struct rule){.key_text = config_copy(""),
	    .plan = {.text = config_copy("")},
	    .strip_extension = config_copy(""),
	    .ipv4_prefix = 32,
	    .ipv6_prefix = 64,
	    .count = COUNT_RECIPIENTS,
	    .strategy = STRATEGY_SLIDING,
	    .resolution = 12,
	    .action = config_copy(DEFAULT_ACTION),
	    .fold_case = 1};
}
