/*
 * The effective limits of a key: see limits.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/limits.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Exceptions whose effective limits effective_limits_trim leaves. */
#define KEPT 64

struct effective_limits {
	const struct config *config;
	/* For each rule, its own limits and then those of its overrides. */
	struct effective **of_rule;
	/* A list, since callers keep pointers into it while others are added. */
	struct with_exception {
		struct with_exception *next;
		const struct effective *file;
		uint64_t granted;
		char *limits;
		struct effective effective;
	} * exception;
	size_t exceptions;
};

/*
 * Compiles limits for counters that have at least that layout. 0, or -1 and why; the caller frees
 * initial in any case.
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
		const struct rule *rule = &config->rule[i];
		struct effective *of_rule = calloc(rule->overrides + 1, sizeof(*of_rule));
		/* The configuration has checked the limits, so only memory can be missing. */
		int failed = of_rule ? compile(of_rule, &rule->limits, &rule->layout, &error) : -1;

		limits->of_rule[i] = of_rule;
		for (size_t j = 0; !failed && j < rule->overrides; j++) {
			failed = compile(
			    &of_rule[j + 1], &rule->override[j]->limits, &rule->layout, &error);
		}
		if (failed) {
			effective_limits_free(limits);
			return NULL;
		}
	}
	if (!limits->of_rule) {
		free(limits);
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
	struct with_exception *next;

	for (struct with_exception *with = limits->exception; with; with = next) {
		next = with->next;
		free_exception(with);
	}
	limits->exception = NULL;
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
	return &limits->of_rule[rule - limits->config->rule][override ? override->index + 1 : 0];
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
		*kept = found || (bytes && exception_is_newer(bytes, size));
	}
	return found && exception_prune(exception, store_txn_now_ms(txn) / 1000);
}

/* Compiles the limits of the file or of the exception, raised by what is granted. */
static int compile_exception(struct effective *effective, const struct rule *rule,
    const struct effective *file, const struct exception *exception, uint64_t granted,
    struct error *error)
{
	uint64_t max = rule->count == COUNT_BYTES ? LIMIT_BYTES_MAX : LIMIT_COUNT_MAX;
	struct limits limits = file->limits;
	uint64_t wanted = 0;

	if (exception->limits[0]) {
		if (limits_parse(exception->limits, rule->count, &limits, error)) {
			return -1;
		}
		if (rule->strategy != STRATEGY_FIXED) {
			limits_shorten(&limits);
		}
	}
	for (unsigned i = 0; i < limits.n; i++) {
		uint64_t *count = &limits.at[i].count;

		*count = granted > max || *count > max - granted ? max : *count + granted;
		/* A record grows for windows that are new, but not for more events. */
		if (rule->strategy == STRATEGY_MOVING && *count > file->layout.events - 2) {
			wanted = *count > wanted ? *count : wanted;
			*count = file->layout.events - 2;
		}
	}
	if (compile(effective, &limits, &file->layout, error)) {
		return -1;
	}
	effective->wanted = wanted;
	return 0;
}

int effective_limits_check(const struct effective *effective, struct error *error)
{
	if (effective->wanted > RECORD_EVENTS_MAX) {
		return error_set(error,
		    "a moving-window remembers each event, %d at most; for a limit above that use "
		    "strategy = sliding-window",
		    RECORD_EVENTS_MAX);
	}
	if (effective->wanted > 0) {
		return error_set(error,
		    "a limit above %u: the records of this moving-window have no room for more; "
		    "raise the rule's limit, or an override, in the configuration first",
		    effective->layout.events - 2);
	}
	return 0;
}

const struct effective *effective_limits_with(struct effective_limits *limits,
    const struct rule *rule, const struct effective *file, const struct exception *exception,
    struct error *error)
{
	uint64_t granted = exception_granted(exception);
	struct with_exception *with;

	for (with = limits->exception; with; with = with->next) {
		if (with->file == file && with->granted == granted &&
		    strcmp(with->limits, exception->limits) == 0) {
			return &with->effective;
		}
	}
	with = calloc(1, sizeof(*with));
	if (!with) {
		error_no_memory(error);
		return NULL;
	}
	with->limits = alloc_copy(exception->limits, error);
	if (!with->limits ||
	    compile_exception(&with->effective, rule, file, exception, granted, error)) {
		free_exception(with);
		return NULL;
	}
	with->file = file;
	with->granted = granted;
	with->next = limits->exception;
	limits->exception = with;
	limits->exceptions++;
	return &with->effective;
}
