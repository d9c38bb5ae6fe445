/*
 * Rules, a request and the counters to a verdict, charging the counters. Neither
 * logs nor answers: see verdict.h for the words.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "base/error.h"
#include "config/config.h"
#include "policy/protocol.h"
#include "engine/limits.h"
#include "engine/request.h"
#include "store/store.h"

struct judge;

enum verdict_status {
	VERDICT_ALLOWED,
	VERDICT_DENIED,
	VERDICT_OBSERVED, /* would have been denied, but for mode = observe */
	VERDICT_WARNING, /* has come to the rule's warn_at */
	VERDICT_ERROR
};

struct verdict {
	enum verdict_status status;
	/*
	 * The first rule that denied the request, and of its windows without room the one
	 * that stays so longest; of an allowed request those that are nearest to their
	 * limit. NULL if no rule applied, or where a limit is `deny`.
	 */
	const struct rule *rule;
	const struct limit *limit;
	bool unlimited; /* limit is NULL because the key is exempt */
	const struct request_key *key; /* until the next request; NULL if rule is */
	uint64_t used; /* this request included */
	uint64_t remaining; /* without it */
	int64_t wait_ms; /* until the rule would let it pass; 0 if allowed, or WINDOW_NEVER */
};

/* What else is to be logged of a request: rules that observed or warned. */
#define VERDICT_NOTES_MAX 32

struct verdict_notes {
	struct verdict note[VERDICT_NOTES_MAX];
	size_t notes;
};

/* config and store are used until judge_free. NULL if out of memory. */
struct judge *judge_new(const struct config *config, struct store *store);
void judge_free(struct judge *judge);

/*
 * Judges a request. Every rule that applies must have room, and then all are
 * charged, in one step; otherwise none is, but those with count_denied. A request
 * that was charged before, by this process or another, is not charged again.
 * VERDICT_ERROR: the counters can't be used, or a new one can't be made and those
 * that there are have room; error says why.
 */
void judge_request(struct judge *judge, const struct policy_request *request,
    struct verdict *verdict, struct verdict_notes *notes, struct error *error);

/* What a rule makes of a request. */
struct judge_finding {
	const struct rule *rule;
	enum {
		FINDING_APPLIES,
		FINDING_COUNTS_NOTHING, /* its count does not happen in this protocol_state */
		FINDING_NO_MATCH,
		FINDING_NO_KEY
	} kind;
	unsigned match; /* of FINDING_NO_MATCH: index of the first line that does not hold */
	/* Of FINDING_APPLIES alone: */
	const struct request_key *key;
	const struct effective *effective;
	const struct exception *exception; /* NULL if the database has none for the key */
	const struct record *record; /* as of now, without this request */
	uint64_t cost;
	bool again; /* this very request was charged before */
	bool room;
};

/*
 * As judge_request, but nothing is charged or remembered, and reading is all that the store has
 * to allow. STORE_OK; or what failed, with the verdict VERDICT_ERROR.
 */
enum store_result judge_explain(struct judge *judge, const struct policy_request *request,
    struct verdict *verdict, struct error *error);

/*
 * After judge_explain: what each rule makes of the request, in their order. finding has room for
 * all rules. What it points at is valid until the next request. Returns the number of rules.
 */
size_t judge_findings(const struct judge *judge, struct judge_finding *finding);

#endif
