/*
 * From rules, a request and the counters to a verdict; charges the counters. Neither logs nor
 * answers: reply.h puts a verdict in words.
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
#include "engine/transaction.h"
#include "store/store.h"

struct judge;

enum verdict_status {
	VERDICT_ALLOWED,
	VERDICT_DENIED,
	VERDICT_OBSERVED, /* would have been denied, but for mode = observe */
	VERDICT_WARNING, /* a window has reached the rule's warn_at */
	VERDICT_ERROR
};

struct verdict {
	enum verdict_status status;
	/*
	 * The first rule that denied the request, and the limit of the window that stays without
	 * room for longest. If the request was allowed and everything is logged, those of the
	 * window that is nearest to its limit. NULL if no rule applied; limit also if it is `deny`.
	 */
	const struct rule *rule;
	const struct limit *limit;
	bool unlimited; /* limit is NULL because the key is exempt */
	const struct request_key *key; /* until the next request; NULL if rule is */
	uint64_t used; /* this request included */
	uint64_t remaining; /* without it */
	int64_t wait_ms; /* until the rule would let it pass; 0 if allowed, or WINDOW_NEVER */
};

/* More to log about a request: rules that observed or warned. */
#define VERDICT_NOTES_MAX 32

struct verdict_notes {
	struct verdict note[VERDICT_NOTES_MAX];
	size_t notes;
};

/*
 * config, store and memo are used until judge_free. memo may be NULL if the judge only explains.
 * NULL if out of memory.
 */
struct judge *judge_new(
    const struct config *config, struct store *store, struct transaction_memo *memo);
void judge_free(struct judge *judge);

/*
 * Judges a request. If every rule that applies has room, all are charged in one step; otherwise,
 * only those with count_denied are. What a request was charged before, by this process or another,
 * is not charged again while it counts. VERDICT_ERROR: the counters can't be used, or a new one
 * can't be made while the existing ones have room; error says why.
 */
void judge_request(struct judge *judge, const struct policy_request *request,
    struct verdict *verdict, struct verdict_notes *notes, struct error *error);

/* What a rule makes of a request. */
struct judge_finding {
	const struct rule *rule;
	enum {
		FINDING_APPLIES,
		FINDING_COUNTS_NOTHING, /* in this protocol_state */
		FINDING_NO_MATCH,
		FINDING_NO_KEY
	} kind;
	unsigned match; /* FINDING_NO_MATCH: index of the first line that does not hold */
	/* FINDING_APPLIES only: */
	const struct request_key *key;
	const struct effective *effective;
	const struct exception *exception; /* NULL if the database has none for the key */
	const struct record *record; /* as of now, without this request */
	uint64_t cost;
	bool again; /* this very request was charged before */
	bool room;
	bool skipped; /* it has no counter, and the store has no room for one */
};

/*
 * As judge_request, but charges and remembers nothing, so read access to the store is enough.
 * STORE_OK; or what failed, with the verdict VERDICT_ERROR. STORE_FULL: judge_findings has findings
 * none the less.
 */
enum store_result judge_explain(struct judge *judge, const struct policy_request *request,
    struct verdict *verdict, struct error *error);

/*
 * After judge_explain: what each rule makes of the request, in the order of the file. finding has
 * room for all rules, and points at what is valid until the next request. Returns the number of
 * rules.
 */
size_t judge_findings(const struct judge *judge, struct judge_finding *finding);

#endif
