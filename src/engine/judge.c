/*
 * From rules, a request and the counters to a verdict: see judge.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/judge.h"

#include "base/hash.h"
#include "base/strbuf.h"
#include "count/counter.h"
#include "engine/candidate.h"
#include "engine/charge.h"
#include "engine/limits.h"
#include "engine/retention.h"
#include "engine/transaction.h"
#include "match/netaddr.h"

#include <stdlib.h>
#include <string.h>

struct judge {
	const struct config *config;
	struct store *store;
	struct effective_limits *limits;
	struct transaction_memo *memo;
	struct candidate *candidate; /* one for each rule */
	struct store_item *item;

	/* The current request. */
	struct request request;
	size_t candidates;
	uint64_t request_hash;
	bool existing_only; /* the store is full: judge by its existing counters */
	bool explaining; /* nothing is charged */
	struct verdict *verdict;
	struct verdict_notes *notes;
	struct error *error;
};

struct judge *judge_new(
    const struct config *config, struct store *store, struct transaction_memo *memo)
{
	struct judge *judge = calloc(1, sizeof(*judge));

	if (!judge) {
		return NULL;
	}
	judge->config = config;
	judge->store = store;
	judge->limits = effective_limits_new(config);
	judge->memo = memo;
	judge->candidate = calloc(config->rules + 1, sizeof(*judge->candidate));
	judge->item = calloc(config->rules + 1, sizeof(*judge->item));
	if (!judge->limits || !judge->candidate || !judge->item) {
		judge_free(judge);
		return NULL;
	}
	return judge;
}

void judge_free(struct judge *judge)
{
	if (!judge) {
		return;
	}
	effective_limits_free(judge->limits);
	free(judge->candidate);
	free(judge->item);
	free(judge);
}

/* The verdict shows the window of limit i as it is now. */
static void show_window(const struct candidate *candidate, unsigned i, struct verdict *verdict)
{
	const struct limit *limit = &candidate->effective->limits.at[i];
	uint64_t used = counter_used(&candidate->record, candidate->effective->window[i]);

	verdict->rule = candidate->rule;
	verdict->key = &candidate->key;
	verdict->limit = limit;
	verdict->unlimited = false;
	verdict->used = used;
	verdict->remaining = limit->count > used ? limit->count - used : 0;
}

/*
 * Looks for windows without room; the verdict shows the one that stays so longest. A request that
 * was charged although it was denied is part of what is used: it passes if that is within the
 * limit.
 */
static bool has_room(
    const struct judge *judge, const struct candidate *candidate, struct verdict *verdict)
{
	const struct rule *rule = candidate->rule;
	const struct effective *effective = candidate->effective;
	const struct record *record = &candidate->record;
	bool denied_before = candidate->again && candidate->transaction.denied;
	uint64_t amount = denied_before ? request_amount(rule, &judge->request) : candidate->cost;

	verdict->rule = rule;
	verdict->key = &candidate->key;
	if (effective->limits.kind == LIMITS_DENY) {
		verdict->used = candidate->cost;
		verdict->wait_ms = WINDOW_NEVER;
		return amount == 0;
	}
	for (unsigned i = 0; amount > 0 && i < effective->limits.n; i++) {
		const struct limit *limit = &effective->limits.at[i];
		unsigned window = effective->window[i];
		uint64_t cost = candidate->window_cost[window];
		int64_t wait_ms;

		if ((cost == 0 && !denied_before) ||
		    counter_wait(record, window, limit->count, cost) == 0) {
			continue;
		}
		wait_ms =
		    counter_wait(record, window, limit->count, denied_before ? amount : cost);
		if (verdict->limit && wait_ms <= verdict->wait_ms) {
			continue;
		}
		show_window(candidate, i, verdict);
		verdict->wait_ms = wait_ms;
		verdict->used += cost;
	}
	return verdict->limit == NULL;
}

static void add_note(struct judge *judge, const struct verdict *note)
{
	if (judge->notes->notes < VERDICT_NOTES_MAX) {
		judge->notes->note[judge->notes->notes++] = *note;
	}
}

/* The request is allowed: shows the window that is nearest to its limit. */
static void note_allowed(struct judge *judge, struct verdict *verdict)
{
	double highest = -1;

	for (size_t i = 0; i < judge->candidates; i++) {
		const struct candidate *candidate = &judge->candidate[i];
		const struct effective *effective = candidate->effective;

		if (candidate->skipped) {
			continue;
		}
		if (effective->limits.kind != LIMITS_WINDOWS && !verdict->rule) {
			verdict->rule = candidate->rule;
			verdict->key = &candidate->key;
			verdict->unlimited = effective->limits.kind == LIMITS_UNLIMITED;
			verdict->used =
			    effective->layout.windows ? counter_used(&candidate->record, 0) : 0;
		}
		for (unsigned j = 0; j < effective->limits.n; j++) {
			uint64_t used = counter_used(&candidate->record, effective->window[j]);
			uint64_t limit = effective->limits.at[j].count;
			double share = limit ? (double)used / (double)limit : 1;

			if (share > highest) {
				highest = share;
				show_window(candidate, j, verdict);
			}
		}
	}
}

/*
 * Notes the windows that what was just charged brings to warn_at: each once, until its use has
 * been below half of that.
 */
static void note_warnings(struct judge *judge, struct candidate *candidate)
{
	const struct rule *rule = candidate->rule;
	const struct effective *effective = candidate->effective;

	for (unsigned i = 0; rule->warn_percent > 0 && i < effective->limits.n; i++) {
		bool *warned = &candidate->record.warned[effective->window[i]];
		struct verdict note = {.status = VERDICT_WARNING};

		show_window(candidate, i, &note);
		if (!*warned &&
		    (double)note.used * 100 / (double)note.limit->count >= rule->warn_percent) {
			*warned = true;
			add_note(judge, &note);
		}
	}
}

/* Lets a window warn again whose use is below half of warn_at. */
static void forget_warnings(struct candidate *candidate)
{
	const struct effective *effective = candidate->effective;

	for (unsigned i = 0; i < effective->limits.n; i++) {
		unsigned window = effective->window[i];
		double half =
		    (double)effective->limits.at[i].count * candidate->rule->warn_percent / 200;

		if (candidate->record.warned[window] &&
		    (double)counter_used(&candidate->record, window) < half) {
			candidate->record.warned[window] = false;
		}
	}
}

size_t judge_findings(const struct judge *judge, struct judge_finding *finding)
{
	const struct config *config = judge->config;
	const struct policy_request *policy = judge->request.policy;
	size_t next = 0;

	for (size_t i = 0; i < config->rules; i++) {
		const struct rule *rule = &config->rule[i];
		const struct candidate *candidate = &judge->candidate[next];

		finding[i] = (struct judge_finding){.rule = rule, .kind = FINDING_NO_KEY};
		finding[i].match = request_matches(rule, policy);
		if (next < judge->candidates && candidate->rule == rule) {
			next++;
			finding[i].kind = FINDING_APPLIES;
			finding[i].key = &candidate->key;
			finding[i].effective = candidate->effective;
			finding[i].exception = candidate->allowed ? &candidate->exception : NULL;
			finding[i].record = &candidate->record;
			finding[i].cost = candidate->cost;
			finding[i].again = candidate->again;
			finding[i].room = candidate->room;
			finding[i].skipped = candidate->skipped;
		} else if (request_amount(rule, &judge->request) == 0) {
			finding[i].kind = FINDING_COUNTS_NOTHING;
		} else if (finding[i].match < rule->matches) {
			finding[i].kind = FINDING_NO_MATCH;
		}
	}
	return config->rules;
}

/* Reports that a record can't be used. STORE_DAMAGED: it is damaged. */
static enum store_result report_damage(struct judge *judge, const struct candidate *candidate,
    const struct store_item *item, const struct error *why)
{
	char buffer[160];
	struct strbuf text;

	judge->verdict->status = VERDICT_ERROR;
	strbuf_init(&text, buffer, sizeof(buffer));
	strbuf_printable(&text, candidate->key.text, candidate->key.length, NULL);
	if (why->no_memory) {
		error_set(
		    judge->error, "%s: \"%s\": %s", judge->config->database, buffer, why->text);
		return STORE_STOP;
	}
	if (record_is_newer(item->data, item->size)) {
		/* What a later version wrote is not damaged, and stays. */
		error_set(judge->error, "%s: the record of \"%s\" is of a newer version",
		    judge->config->database, buffer);
		return STORE_STOP;
	}
	error_set(judge->error, "%s: the record of \"%s\" is damaged: %s", judge->config->database,
	    buffer, why->text);
	return STORE_DAMAGED;
}

/* Counts a denial, with the client's address, which Postfix may not know. */
static void deny(const struct judge *judge, struct candidate *candidate)
{
	const char *value = policy_value(judge->request.policy, "client_address");
	uint8_t client[RECORD_CLIENT_BYTES] = {0};
	struct netaddr address;

	if (netaddr_parse(value, strlen(value), &address) == 0) {
		netaddr_to_bytes(&address, client);
	}
	counter_deny(&candidate->record, client);
}

/* The change function: from the old records to the new ones and a verdict. */
static enum store_result decide(
    void *data, struct store_txn *txn, struct store_item *item, size_t items)
{
	struct judge *judge = data;
	struct verdict *verdict = judge->verdict;
	struct candidate *denied = NULL;

	*verdict = (struct verdict){.status = VERDICT_ALLOWED};
	judge->notes->notes = 0;
	for (size_t i = 0; i < items; i++) {
		struct candidate *candidate = &judge->candidate[i];
		struct verdict own = {.status = VERDICT_DENIED};
		struct error why;

		if (candidate_open(candidate, judge->limits, txn, &item[i], &why)) {
			return report_damage(judge, candidate, &item[i], &why);
		}
		candidate->skipped = judge->existing_only && !item[i].exists &&
		    candidate->effective->layout.windows > 0;
		if (candidate->skipped) {
			continue;
		}
		charge_find_cost(candidate, judge->memo, &judge->request, judge->request_hash);
		candidate->room = has_room(judge, candidate, &own);
		if (denied || candidate->room) {
			continue;
		}
		if (candidate->rule->mode == CONFIG_OBSERVE) {
			own.status = VERDICT_OBSERVED;
			add_note(judge, &own);
		} else {
			denied = candidate;
			*verdict = own;
		}
	}
	for (size_t i = 0; i < items; i++) {
		struct candidate *candidate = &judge->candidate[i];
		bool changed = candidate->ahead;

		if (candidate->skipped || candidate->effective->layout.windows == 0) {
			continue;
		}
		if (judge->explaining) {
			/* For store_fits: a new counter for what would be charged or denied. */
			item[i].action = candidate == denied ||
				(candidate->cost > 0 && (!denied || candidate->rule->count_denied))
			    ? STORE_PATCH
			    : STORE_KEEP;
			continue;
		}
		if (!denied || candidate->rule->count_denied) {
			forget_warnings(candidate);
			/* A warning that the record did not keep would be given again. */
			if (charge_request(candidate, &judge->request, judge->request_hash,
				denied != NULL, txn, &item[i])) {
				changed = true;
				note_warnings(judge, candidate);
			}
		}
		if (candidate == denied) {
			deny(judge, candidate);
			changed = true;
		}
		if (changed) {
			record_write(&candidate->record, candidate->bytes);
			item[i].action = candidate->rebuilt ? STORE_REPLACE : STORE_PATCH;
		}
	}
	if (!denied && (judge->explaining || judge->config->log == CONFIG_LOG_ALL)) {
		note_allowed(judge, verdict);
	}
	return judge->explaining ? STORE_STOP : STORE_OK;
}

/* Makes a candidate and an item of each rule that applies. */
static void find_candidates(
    struct judge *judge, const struct policy_request *policy, const uint8_t *secret)
{
	const struct config *config = judge->config;
	uint64_t instance = 0;

	if (judge->request.instance) {
		const char *recipient = policy_value(policy, "recipient");
		uint64_t hash = hash_keyed(secret, recipient, strlen(recipient));

		instance = hash_keyed(secret, judge->request.instance->value,
			       judge->request.instance->value_length) &
		    RECORD_INSTANCE_MASK;
		/* 0 stands for none. */
		instance += instance == 0;
		judge->request_hash =
		    (hash + (uint64_t)judge->request.state) & RECORD_REQUEST_MASK;
	}
	judge->candidates = 0;
	for (size_t i = 0; i < config->rules; i++) {
		const struct rule *rule = &config->rule[i];
		struct candidate *candidate = &judge->candidate[judge->candidates];

		if (request_amount(rule, &judge->request) == 0 ||
		    request_matches(rule, policy) < rule->matches ||
		    !request_find_key(rule, policy, secret, &candidate->key)) {
			continue;
		}
		candidate->rule = rule;
		candidate->file =
		    effective_limits_of_file(judge->limits, rule, candidate->key.override);
		candidate->transaction.instance = instance;
		judge->item[judge->candidates++] = (struct store_item){.key = candidate->key.text,
		    .key_length = candidate->key.length,
		    .initial = candidate->file->initial,
		    .initial_size = candidate->file->initial_size};
	}
}

static bool concerns_no_rule(const struct judge *judge)
{
	for (size_t i = 0; i < judge->config->rules; i++) {
		if (request_amount(&judge->config->rule[i], &judge->request) > 0) {
			return false;
		}
	}
	return true;
}

/* Prepares all that store_update needs. Without candidates there is nothing to do. */
static enum store_result prepare(struct judge *judge, const struct policy_request *request,
    struct verdict *verdict, struct verdict_notes *notes, struct error *error)
{
	enum store_result result;
	const uint8_t *secret;

	*verdict = (struct verdict){.status = VERDICT_ALLOWED};
	notes->notes = 0;
	judge->verdict = verdict;
	judge->notes = notes;
	judge->error = error;
	judge->existing_only = false;
	judge->candidates = 0;
	request_init(&judge->request, request);
	if (concerns_no_rule(judge)) {
		return STORE_OK;
	}
	effective_limits_trim(judge->limits);
	result = store_secret(judge->store, &secret, error);
	if (result != STORE_OK && result != STORE_ABSENT) {
		return result;
	}
	find_candidates(judge, request, secret);
	return result;
}

void judge_request(struct judge *judge, const struct policy_request *request,
    struct verdict *verdict, struct verdict_notes *notes, struct error *error)
{
	enum store_result result = prepare(judge, request, verdict, notes, error);
	struct error ignored;

	if (result == STORE_OK && judge->candidates > 0) {
		result = store_update(
		    judge->store, judge->item, judge->candidates, decide, judge, error);
	}
	if (result == STORE_FULL) {
		/* A full store has no room for new counters, but existing limits still hold. */
		judge->existing_only = true;
		result = store_update(
		    judge->store, judge->item, judge->candidates, decide, judge, &ignored);
		if (verdict->status == VERDICT_ALLOWED) {
			result = STORE_FULL;
		}
	}
	if (result != STORE_OK) {
		verdict->status = VERDICT_ERROR;
		notes->notes = 0;
		return;
	}
	for (size_t i = 0; i < judge->candidates; i++) {
		if (judge->candidate[i].transaction.instance && !judge->candidate[i].skipped) {
			transaction_keep(judge->memo, &judge->candidate[i].key,
			    judge->candidate[i].rule->count, &judge->candidate[i].transaction);
		}
	}
}

/* Decides without counters: the database does not exist yet. */
static enum store_result decide_without_store(struct judge *judge, struct error *error)
{
	struct store_options options = {.max_size = UINT64_MAX};
	struct store *empty = store_open("memory:", &options, &retention_codec, error);
	enum store_result result = STORE_ERROR;

	if (empty) {
		result = store_update(empty, judge->item, judge->candidates, decide, judge, error);
		store_close(empty);
	}
	return result;
}

/* As judge_request does. STORE_STOP: done. */
static enum store_result explain_with_store(struct judge *judge, struct error *error)
{
	enum store_result result =
	    store_update(judge->store, judge->item, judge->candidates, decide, judge, error);
	struct error ignored;

	if (result != STORE_STOP || judge->verdict->status == VERDICT_ERROR ||
	    store_fits(judge->store, judge->item, judge->candidates, error) != STORE_FULL) {
		return result;
	}
	judge->existing_only = true;
	result =
	    store_update(judge->store, judge->item, judge->candidates, decide, judge, &ignored);
	return result == STORE_STOP && judge->verdict->status == VERDICT_ALLOWED ? STORE_FULL
										 : result;
}

enum store_result judge_explain(struct judge *judge, const struct policy_request *request,
    struct verdict *verdict, struct error *error)
{
	struct verdict_notes notes;
	enum store_result result = prepare(judge, request, verdict, &notes, error);

	judge->explaining = true;
	if (result == STORE_OK && judge->candidates > 0) {
		result = explain_with_store(judge, error);
	}
	if (result == STORE_ABSENT) {
		result = judge->candidates > 0 ? decide_without_store(judge, error) : STORE_OK;
	}
	judge->explaining = false;
	if (result != STORE_OK && result != STORE_STOP) {
		verdict->status = VERDICT_ERROR;
		return result;
	}
	return verdict->status == VERDICT_ERROR ? STORE_ERROR : STORE_OK;
}
