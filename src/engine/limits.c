/*
 * From an exception to the plan for its key: see quota.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/limits.h"

#include "base/strbuf.h"
#include "config/rule.h"

#include <stdlib.h>
#include <string.h>

#define PLANS_KEPT 64
#define PLANS_MAX (PLANS_KEPT + CONFIG_RULES_MAX)

struct quotas {
	struct made {
		const struct config_plan *file;
		uint64_t granted;
		char *limits;
		struct config_plan *plan;
	} made[PLANS_MAX];
	size_t plans;
};

struct quotas *quotas_new(void)
{
	return calloc(1, sizeof(struct quotas));
}

static void forget(struct quotas *quotas)
{
	for (size_t i = 0; i < quotas->plans; i++) {
		free(quotas->made[i].limits);
		config_plan_free(quotas->made[i].plan);
	}
	quotas->plans = 0;
}

void quotas_free(struct quotas *quotas)
{
	if (quotas) {
		forget(quotas);
		free(quotas);
	}
}

void quotas_trim(struct quotas *quotas)
{
	if (quotas->plans > PLANS_KEPT) {
		forget(quotas);
	}
}

bool quota_exception(struct store_txn *txn, const char *counter_key, size_t length,
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

static struct config_plan *make_plan(const struct rule *rule, const struct config_plan *file,
    const struct exception *exception, uint64_t granted, struct error *error)
{
	struct limits limits = file->limits;

	if (exception->limits[0] && limits_parse(exception->limits, rule->count, &limits, error)) {
		return NULL;
	}
	for (unsigned i = 0; i < limits.n; i++) {
		uint64_t max = rule->count == COUNT_BYTES ? LIMIT_BYTES_MAX : LIMIT_COUNT_MAX;
		uint64_t *count = &limits.at[i].count;

		*count = *count > max - granted || granted > max ? max : *count + granted;
	}
	return config_plan_new(rule, file, &limits, error);
}

const struct config_plan *quota_plan(struct quotas *quotas, const struct rule *rule,
    const struct config_plan *file, const struct exception *exception, struct error *error)
{
	uint64_t granted = exception_granted(exception);
	struct made *made = NULL;

	for (size_t i = 0; i < quotas->plans; i++) {
		made = &quotas->made[i];
		if (made->file == file && made->granted == granted &&
		    strcmp(made->limits, exception->limits) == 0) {
			return made->plan;
		}
	}
	if (quotas->plans == PLANS_MAX) {
		error_set(error, "too many plans at once");
		return NULL;
	}
	made = &quotas->made[quotas->plans];
	made->plan = make_plan(rule, file, exception, granted, error);
	if (!made->plan) {
		return NULL;
	}
	made->limits = strdup(exception->limits);
	if (!made->limits) {
		config_plan_free(made->plan);
		error_set(error, "out of memory");
		return NULL;
	}
	made->file = file;
	made->granted = granted;
	quotas->plans++;
	return made->plan;
}
