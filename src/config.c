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

#include "log.h"
#include "policy.h"
#include "template.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_LENGTH_MAX 198 /* inih 55 */
#define FILE_SIZE_MAX (64 * 1024 * 1024)
#define TRANSACTIONS_PER_KEY 8
/* One counter for the whole server sees many transactions at once. */
#define TRANSACTIONS_EVERYTHING RECORD_TRANSACTIONS_MAX
#define OPTIONS_MAX 16

#define DEFAULT_ACTION \
	"DEFER_IF_PERMIT 4.7.1 Limit of {limit} reached for {key}, try again in {retry_after}"

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

/* An option: reads its value into the configuration, and prints it from there. */
struct option {
	const char *name;
	int (*parse)(struct config *config, struct rule *rule, const char *value,
	    struct error *error);
	void (*print)(const struct config *config, const struct rule *rule, struct text *text);
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

static char *copy(const char *string)
{
	char *new = strdup(string);

	/* Only while a configuration is read; without memory for it nothing can go on. */
	if (!new) {
		abort();
	}
	return new;
}

static void replace(char **string, const char *value)
{
	free(*string);
	*string = copy(value);
}

/* Values that several options share. */

static int parse_word(const char *value, const char *const *words, struct error *error)
{
	char allowed[200];
	struct text text;

	text_init(&text, allowed, sizeof(allowed));
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], value) == 0) {
			return i;
		}
		text_printf(&text, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	}
	return error_set(error, "\"%.60s\" is not %s", value, allowed);
}

static int parse_absolute(char **path, const char *value, struct error *error)
{
	if (value[0] != '/' || strlen(value) >= PATH_MAX) {
		return error_set(error, "\"%.60s\" is not an absolute path", value);
	}
	replace(path, value);
	return 0;
}

static int parse_boolean(bool *flag, const char *value, struct error *error)
{
	static const char *const words[] = {"no", "yes", NULL};
	int word = parse_word(value, words, error);

	if (word < 0) {
		return -1;
	}
	*flag = word == 1;
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
				return error_set(error, "%s needs an argument, see access(5)",
				    actions[i].word);
			}
			return 0;
		}
	}
	if (length == strspn(value, "0123456789") && length > 0) {
		if (length != 3 || (value[0] != '4' && value[0] != '5')) {
			return error_set(error, "\"%.*s\" is no reply code to refuse with; one of 4NN "
						"or 5NN and a text",
			    (int)length, value);
		}
		if (!*argument) {
			return error_set(error, "%.*s alone means OK to Postfix; write a text behind it",
			    (int)length, value);
		}
		return 0;
	}
	return error_set(error, "unknown action \"%.*s\"; one of DEFER_IF_PERMIT, DEFER_IF_REJECT, "
				"DEFER, REJECT, 4NN or 5NN and a text, DUNNO, WARN, INFO, HOLD, DISCARD, "
				"REDIRECT, FILTER, BCC, PREPEND",
	    (int)(length < 60 ? length : 60), value);
}

static int parse_plain_action(char **action, const char *value, struct error *error)
{
	if (check_action(value, error)) {
		return -1;
	}
	replace(action, value);
	return 0;
}

/* [global] */

static int parse_database(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	(void)rule;
	return parse_absolute(&config->database, value, error);
}

static void print_database(const struct config *config, const struct rule *rule, struct text *text)
{
	(void)rule;
	text_puts(text, config->database);
}

static int parse_database_mode(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	size_t length = strlen(value);
	unsigned long mode = strtoul(value, NULL, 8);

	(void)rule;
	if (length < 3 || length > 4 || strspn(value, "01234567") != length || mode > 0777 ||
	    (mode & 0600) != 0600 || (mode & 0002)) {
		return error_set(error, "\"%.60s\" is not a mode such as 0640; its owner must be able "
					"to read and write, others not to write",
		    value);
	}
	config->database_mode = (mode_t)mode;
	return 0;
}

static void print_database_mode(const struct config *config, const struct rule *rule,
    struct text *text)
{
	(void)rule;
	text_printf(text, "%04o", (unsigned)config->database_mode);
}

static int parse_database_max_size(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	/* TDB's offsets have 32 bits. */
	(void)rule;
	if (size_parse(value, UINT64_C(4) << 30, &config->database_max_size) ||
	    config->database_max_size < 65536) {
		return error_set(error, "\"%.60s\" is not a size from 64K to 4G, such as 256M", value);
	}
	return 0;
}

static void print_database_max_size(const struct config *config, const struct rule *rule,
    struct text *text)
{
	uint64_t size = config->database_max_size;
	unsigned unit = 0;

	(void)rule;
	while (unit < 3 && size % 1024 == 0) {
		size /= 1024;
		unit++;
	}
	text_printf(text, "%llu%.*s", (unsigned long long)size, unit > 0, &" KMG"[unit]);
}

static int parse_user(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	(void)rule;
	if (!value[0] || strpbrk(value, " \t:/")) {
		return error_set(error, "\"%.60s\" is not the name of an account", value);
	}
	replace(&config->user, value);
	return 0;
}

static void print_user(const struct config *config, const struct rule *rule, struct text *text)
{
	(void)rule;
	text_puts(text, config->user);
}

static int parse_on_error(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	(void)rule;
	return parse_plain_action(&config->on_error, value, error);
}

static void print_on_error(const struct config *config, const struct rule *rule, struct text *text)
{
	(void)rule;
	text_puts(text, config->on_error);
}

static int parse_success_action(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	(void)rule;
	return parse_plain_action(&config->success_action, value, error);
}

static void print_success_action(const struct config *config, const struct rule *rule,
    struct text *text)
{
	(void)rule;
	text_puts(text, config->success_action);
}

static int parse_lock_timeout(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	size_t digits = strspn(value, "0123456789");
	const char *unit = value + digits;
	uint64_t factor = strcmp(unit, "ms") == 0 ? 1 : strcmp(unit, "s") == 0 ? 1000 : 0;
	uint64_t number;

	(void)rule;
	if (factor == 0 || number_parse(value, digits, 60000 / factor, &number) ||
	    number * factor < 10) {
		return error_set(error, "\"%.60s\" is not a time from 10ms to 60s, such as 2s", value);
	}
	config->lock_timeout_ms = (int64_t)(number * factor);
	return 0;
}

static void print_lock_timeout(const struct config *config, const struct rule *rule,
    struct text *text)
{
	int64_t ms = config->lock_timeout_ms;

	(void)rule;
	text_printf(text, ms % 1000 ? "%lldms" : "%llds", (long long)(ms % 1000 ? ms : ms / 1000));
}

static const char *const log_words[] = {"none", "denied", "all", NULL};

static int parse_log(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	int word = parse_word(value, log_words, error);

	(void)rule;
	if (word < 0) {
		return -1;
	}
	config->log = (enum config_log)word;
	return 0;
}

static void print_log(const struct config *config, const struct rule *rule, struct text *text)
{
	(void)rule;
	text_puts(text, log_words[config->log]);
}

static int parse_log_target(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	int facility = LOG_MAIL;
	size_t path = 0;

	(void)rule;
	if (strncmp(value, "file:/", 6) == 0) {
		path = 5;
	} else if (strncmp(value, "syslog:", 7) == 0) {
		facility = log_facility(value + 7);
		if (facility < 0) {
			return error_set(error, "unknown facility \"%.60s\"; one of syslog(3)'s, such as "
						"mail, daemon, local0",
			    value + 7);
		}
	} else if (strcmp(value, "syslog") != 0) {
		return error_set(error, "\"%.60s\" is not syslog, syslog:FACILITY or file:/PATH", value);
	}
	replace(&config->log_target, value);
	config->log_facility = facility;
	config->log_path = path ? config->log_target + path : NULL;
	return 0;
}

static void print_log_target(const struct config *config, const struct rule *rule,
    struct text *text)
{
	(void)rule;
	text_puts(text, config->log_target);
}

static const struct option global_options[] = {
    {"database", parse_database, print_database},
    {"database_mode", parse_database_mode, print_database_mode},
    {"database_max_size", parse_database_max_size, print_database_max_size},
    {"user", parse_user, print_user},
    {"on_error", parse_on_error, print_on_error},
    {"success_action", parse_success_action, print_success_action},
    {"lock_timeout", parse_lock_timeout, print_lock_timeout},
    {"log", parse_log, print_log},
    {"log_target", parse_log_target, print_log_target},
    {NULL, NULL, NULL},
};

/* [rule NAME] */

static const struct {
	const char *field;
	const char *attribute;
} domains[] = {
    {"sasl_domain", "sasl_username"},
    {"sender_domain", "sender"},
    {"recipient_domain", "recipient"},
};

static int parse_key(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	struct config_key *key = &rule->key;

	(void)config;
	*key = (struct config_key){0};
	replace(&rule->key_text, value);
	key->field = rule->key_text;
	for (size_t i = 0; i < sizeof(domains) / sizeof(*domains); i++) {
		if (strcmp(domains[i].field, value) == 0) {
			key->attribute = domains[i].attribute;
			key->domain = true;
		}
	}
	if (!key->domain && strcmp(value, "everything") != 0) {
		if (!policy_known(value, strlen(value))) {
			return error_set(error, "unknown attribute \"%.60s\"; one that Postfix sends, such "
						"as sasl_username, sender, client_address, or sasl_domain, "
						"sender_domain, recipient_domain, or everything",
			    value);
		}
		key->attribute = key->field;
	}
	key->attribute_length = key->attribute ? strlen(key->attribute) : 0;
	return 0;
}

static void print_key(const struct config *config, const struct rule *rule, struct text *text)
{
	(void)config;
	text_puts(text, rule->key_text);
}

/* Which suffixes a number may have depends on `count`, which may come later. */
static int parse_limit(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	(void)config;
	(void)error;
	replace(&rule->limit_text, value);
	return 0;
}

static void print_limit(const struct config *config, const struct rule *rule, struct text *text)
{
	(void)config;
	limits_format(&rule->limits, rule->count, text);
}

static const char *const count_words[] = {"messages", "recipients", "bytes", NULL};

static int parse_count(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	int word = parse_word(value, count_words, error);

	(void)config;
	if (word < 0) {
		return -1;
	}
	rule->count = (enum limit_count)word;
	return 0;
}

static void print_count(const struct config *config, const struct rule *rule, struct text *text)
{
	(void)config;
	text_puts(text, count_words[rule->count]);
}

static const char *const strategy_words[] = {"fixed-window", "sliding-window", "moving-window",
    NULL};

static int parse_strategy(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	int word = parse_word(value, strategy_words, error);

	(void)config;
	if (word < 0) {
		return -1;
	}
	rule->strategy = (enum rate_strategy)word;
	return 0;
}

static void print_strategy(const struct config *config, const struct rule *rule, struct text *text)
{
	(void)config;
	text_puts(text, strategy_words[rule->strategy]);
}

static int parse_resolution(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	uint64_t number;

	(void)config;
	if (number_parse(value, strlen(value), RATE_RESOLUTION_MAX, &number) || number == 0) {
		return error_set(error, "\"%.60s\" is not a number from 1 to %d", value,
		    RATE_RESOLUTION_MAX);
	}
	rule->resolution = (unsigned)number;
	return 0;
}

static void print_resolution(const struct config *config, const struct rule *rule,
    struct text *text)
{
	(void)config;
	text_printf(text, "%u", rule->resolution);
}

static int parse_action(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	(void)config;
	if (check_action(value, error) || template_check(value, policy_known, error)) {
		return -1;
	}
	replace(&rule->action, value);
	return 0;
}

static void print_action(const struct config *config, const struct rule *rule, struct text *text)
{
	(void)config;
	text_puts(text, rule->action);
}

static int parse_fold_case(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	(void)config;
	return parse_boolean(&rule->fold_case, value, error);
}

static void print_fold_case(const struct config *config, const struct rule *rule,
    struct text *text)
{
	(void)config;
	text_puts(text, rule->fold_case ? "yes" : "no");
}

static int parse_count_denied(struct config *config, struct rule *rule, const char *value,
    struct error *error)
{
	(void)config;
	return parse_boolean(&rule->count_denied, value, error);
}

static void print_count_denied(const struct config *config, const struct rule *rule,
    struct text *text)
{
	(void)config;
	text_puts(text, rule->count_denied ? "yes" : "no");
}

static const struct option rule_options[] = {
    {"key", parse_key, print_key},
    {"limit", parse_limit, print_limit},
    {"count", parse_count, print_count},
    {"strategy", parse_strategy, print_strategy},
    {"resolution", parse_resolution, print_resolution},
    {"action", parse_action, print_action},
    {"count_denied", parse_count_denied, print_count_denied},
    {"fold_case", parse_fold_case, print_fold_case},
    {NULL, NULL, NULL},
};

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
	*rule = (struct rule){.line = parse->line,
	    .count = COUNT_RECIPIENTS,
	    .strategy = RATE_SLIDING,
	    .resolution = 12,
	    .fold_case = true,
	    .action = copy(DEFAULT_ACTION)};
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
		if (options[i].parse(parse->config, parse->rule, value, &error)) {
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

	*config = (struct config){.database = copy(DEFAULT_DATABASE),
	    .database_mode = 0640,
	    .database_max_size = 256 << 20,
	    .user = copy(DEFAULT_USER),
	    .on_error = copy("DUNNO"),
	    .success_action = copy("DUNNO"),
	    .lock_timeout_ms = 2000,
	    .log = CONFIG_LOG_DENIED,
	    .log_target = copy("syslog"),
	    .log_facility = LOG_MAIL};
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

static void print_section(const struct config *config, const struct rule *rule,
    const struct option *options, config_emit *emit, void *data)
{
	for (const struct option *option = options; option->name; option++) {
		char name[64], value[1024];
		struct text text;

		text_init(&text, name, sizeof(name));
		text_printf(&text, "%s.%s", rule ? rule->name : "global", option->name);
		text_init(&text, value, sizeof(value));
		option->print(config, rule, &text);
		emit(data, name, value);
	}
}

void config_print(const struct config *config, config_emit *emit, void *data)
{
	print_section(config, NULL, global_options, emit, data);
	for (size_t i = 0; i < config->rules; i++) {
		print_section(config, &config->rule[i], rule_options, emit, data);
	}
}
