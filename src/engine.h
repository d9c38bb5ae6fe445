/*
 * Rules, a request and the counters to a verdict, charging the counters. Neither
 * logs nor answers: see verdict.h for the words.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ENGINE_H
#define ENGINE_H

#include "config.h"
#include "policy.h"
#include "rule.h"
#include "store.h"

struct engine;

enum engine_status {
	ENGINE_ALLOWED,
	ENGINE_DENIED,
	ENGINE_OBSERVED, /* would have been denied, but for mode = observe */
	ENGINE_WARNING, /* has come to the rule's warn_at */
	ENGINE_ERROR
};

struct engine_verdict {
	enum engine_status status;
	/*
	 * The first rule that denied the request, and of its windows without room the one
	 * that stays so longest; of an allowed request those that are nearest to their
	 * limit. NULL if no rule applied, or where a limit is `deny`.
	 */
	const struct rule *rule;
	const struct limit *limit;
	bool unlimited; /* limit is NULL because the key is exempt */
	const struct rule_key *key; /* until the next request; NULL if rule is */
	uint64_t used; /* this request included */
	uint64_t remaining; /* without it */
	int64_t wait_ms; /* until the rule would let it pass; 0 if allowed, or RATE_NEVER */
};

/* What else is to be logged of a request: rules that observed or warned. */
#define ENGINE_NOTES_MAX 32

struct engine_notes {
	struct engine_verdict note[ENGINE_NOTES_MAX];
	size_t notes;
};

/* config and store are used until engine_free. NULL if out of memory. */
struct engine *engine_new(const struct config *config, struct store *store);
void engine_free(struct engine *engine);

/*
 * Judges a request. Every rule that applies must have room, and then all are
 * charged, in one step; otherwise none is, but those with count_denied. A request
 * that was charged before, by this process or another, is not charged again.
 * ENGINE_ERROR: the counters can't be used, or a new one can't be made and those
 * that there are have room; error says why.
 */
void engine_judge(struct engine *engine, const struct policy_request *request,
    struct engine_verdict *verdict, struct engine_notes *notes, struct error *error);

/* What a rule makes of a request. */
struct engine_finding {
	const struct rule *rule;
	enum {
		FINDING_APPLIES,
		FINDING_COUNTS_NOTHING, /* its count does not happen in this protocol_state */
		FINDING_NO_MATCH,
		FINDING_NO_KEY
	} kind;
	unsigned match; /* of FINDING_NO_MATCH: index of the first line that does not hold */
	/* Of FINDING_APPLIES alone: */
	const struct rule_key *key;
	const struct config_plan *plan;
	const struct allowance *allowance; /* NULL if the database has none for the key */
	const struct record *record; /* as of now, without this request */
	uint64_t cost;
	bool again; /* this very request was charged before */
	bool room;
};

/*
 * As engine_judge, but nothing is charged or remembered, and reading is all that the store
 * has to allow. tell is called once for each rule, in their order, what it gets being
 * valid for the call; not at all where the verdict is ENGINE_ERROR. Returns STORE_OK, or
 * in that case what failed.
 */
typedef void engine_tell(void *data, const struct engine_finding *finding);
enum store_result engine_explain(struct engine *engine, const struct policy_request *request,
    engine_tell *tell, void *data, struct engine_verdict *verdict, struct error *error);

/*
 * A store_keep: counters and allowances that still matter, counters that lie ahead of the
 * clock set back to it. data: a struct engine_keeping; its buffer is the caller's to free.
 */
struct engine_keeping {
	int64_t now_ms; /* 0 at first */
	char *buffer; /* NULL at first */
	size_t room;
};
bool engine_keep(void *data, const char *key, size_t key_length, const char **bytes, size_t *size);

/* What the store asks about counters and allowances of a damaged file. */
extern const struct store_salvage engine_salvage;

#endif
