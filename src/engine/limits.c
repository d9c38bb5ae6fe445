/*
 * The effective limits of a key: see limits.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/limits.h"

#include <stdlib.h>
#include <string.h>

/* Exceptions whose effective limits are kept, beyond those of one request. */
#define KEPT 64
#define EXCEPTIONS_MAX (KEPT + CONFIG_RULES_MAX)

struct effective_limits {
	const struct config *config;
	/* For each rule, its own limits and then those of its overrides. */
	struct effective **of_rule;
	/* Each by itself, since callers keep pointers into it while others are added. */
	struct with_exception {
		const struct effective *file;
		uint64_t granted;
		char *limits;
		struct effective effective;
	} * with[EXCEPTIONS_MAX];
	size_t exceptions;
};

/*
 * Compiles limits for keys with that layout at least. 0, or -1 and why; initial is to be freed in
 * any case.
 */
static int compile(struct effective *effective, const struct limits *limits,
    const struct record_layout *layout, struct error *error)
{
	struct record record;

	*effective = (struct effective){.limits = *limits, .layout = *layout};
	if (record_layout_add(&effective->layout, limits, effective->window, error)) {
		return -1;
	}
	if (effective->layout.windows == 0) {
		return 0;
	}
	effective->initial_size = record_size(&effective->layout);
	effective->initial = malloc(effective->initial_size);
	if (!effective->initial) {
		return error_no_memory(error);
	}
	record_init(&record, &effective->layout);
	record_write_new(&record, effective->initial);
	return 0;
}

static int compile_rule(struct effective **compiled, const struct rule *rule, struct error *error)
{
	struct effective *effective = calloc(rule->overrides + 1, sizeof(*effective));

	*compiled = effective;
	if (!effective) {
		return error_no_memory(error);
	}
	for (size_t i = 0; i <= rule->overrides; i++) {
		const struct limits *limits =
		    i == 0 ? &rule->limits : &rule->override[i - 1]->limits;

		if (compile(&effective[i], limits, &rule->layout, error)) {
			return -1;
		}
	}
	return 0;
}

struct effective_limits *effective_limits_new(const struct config *config)
{
	struct effective_limits *limits = calloc(1, sizeof(*limits));
	struct error error;

	if (!limits) {
		return NULL;
	}
	limits->config = config;
	limits->of_rule = calloc(config->rules + 1, sizeof(struct effective *));
	for (size_t i = 0; limits->of_rule && i < config->rules; i++) {
		/* The configuration has seen to it that only memory can be missing. */
		if (compile_rule(&limits->of_rule[i], &config->rule[i], &error)) {
			effective_limits_free(limits);
			return NULL;
		}
	}
	if (!limits->of_rule) {
		effective_limits_free(limits);
		return NULL;
	}
	return limits;
}

static void free_exception(struct with_exception *with)
{
	free(with->limits);
	free(with->effective.initial);
	free(with);
}

static void forget_exceptions(struct effective_limits *limits)
{
	for (size_t i = 0; i < limits->exceptions; i++) {
		free_exception(limits->with[i]);
	}
	limits->exceptions = 0;
}

void effective_limits_free(struct effective_limits *limits)
{
	if (!limits) {
		return;
	}
	forget_exceptions(limits);
	for (size_t i = 0; limits->of_rule && i < limits->config->rules; i++) {
		struct effective *effective = limits->of_rule[i];

		for (size_t j = 0; effective && j <= limits->config->rule[i].overrides; j++) {
			free(effective[j].initial);
		}
		free(effective);
	}
	free(limits->of_rule);
	free(limits);
}

void effective_limits_trim(struct effective_limits *limits)
{
	if (limits->exceptions > KEPT) {
		forget_exceptions(limits);
	}
}

const struct effective *effective_limits_of_file(
    const struct effective_limits *limits, const struct rule *rule, const struct override *override)
{
	const struct effective *of_rule = limits->of_rule[rule - limits->config->rule];

	return &of_rule[override ? override->index + 1 : 0];
}

bool effective_limits_find_exception(struct store_txn *txn, const char *counter_key, size_t length,
    struct exception *exception, bool *kept)
{
	char key[sizeof(EXCEPTION_PREFIX) + CONFIG_RULE_NAME_MAX + 1 + KEY_MAX + 1];
	struct error error;
	struct strbuf text;
	const char *bytes;
	size_t size;
	bool found;

	strbuf_init(&text, key, sizeof(key));
	exception_key(&text, counter_key, length);
	bytes = store_txn_get(txn, key, text.length, &size);
	found = bytes && exception_read(exception, bytes, size, &error) == 0 &&
	    (exception->limits[0] || exception->grants > 0);
	if (kept) {
		*kept = found;
	}
	return found && exception_prune(exception, store_txn_now_ms(txn) / 1000);
}

/* The limits of the file, or the exception's, and what is granted. 0, or -1 and why. */
static int add_exception(const struct rule *rule, const struct exception *exception,
    uint64_t granted, struct limits *limits, struct error *error)
{
	uint64_t max = rule->count == COUNT_BYTES ? LIMIT_BYTES_MAX : LIMIT_COUNT_MAX;

	if (exception->limits[0]) {
		if (limits_parse(exception->limits, rule->count, limits, error)) {
			return -1;
		}
		if (rule->strategy != STRATEGY_FIXED) {
			limits_shorten(limits);
		}
	}
	for (unsigned i = 0; i < limits->n; i++) {
		uint64_t *count = &limits->at[i].count;

		*count = granted > max || *count > max - granted ? max : *count + granted;
	}
	return 0;
}

static int compile_exception(struct effective *effective, const struct rule *rule,
    const struct effective *file, const struct exception *exception, uint64_t granted,
    struct error *error)
{
	struct limits limits = file->limits;

	if (add_exception(rule, exception, granted, &limits, error) ||
	    compile(effective, &limits, &file->layout, error)) {
		return -1;
	}
	/* A record grows for windows that are new, but not for more events. */
	if (effective->layout.events > file->layout.events) {
		return error_set(error,
		    "a limit above %u: the records of this moving-window have no room "
		    "for more; raise the rule's limit, or an override, in the "
		    "configuration first",
		    file->layout.events - 2);
	}
	return 0;
}

const struct effective *effective_limits_with(struct effective_limits *limits,
    const struct rule *rule, const struct effective *file, const struct exception *exception,
    struct error *error)
{
	uint64_t granted = exception_granted(exception);
	struct with_exception *with;

	for (size_t i = 0; i < limits->exceptions; i++) {
		with = limits->with[i];
		if (with->file == file && with->granted == granted &&
		    strcmp(with->limits, exception->limits) == 0) {
			return &with->effective;
		}
	}
	if (limits->exceptions == EXCEPTIONS_MAX) {
		error_set(error, "too many exceptions at once");
		return NULL;
	}
	with = calloc(1, sizeof(*with));
	if (!with) {
		error_no_memory(error);
		return NULL;
	}
	with->file = file;
	with->granted = granted;
	with->limits = strdup(exception->limits);
	if (!with->limits) {
		error_no_memory(error);
		free_exception(with);
		return NULL;
	}
	if (compile_exception(&with->effective, rule, file, exception, granted, error)) {
		free_exception(with);
		return NULL;
	}
	limits->with[limits->exceptions++] = with;
	return &with->effective;
}
