/*
 * Keys that are close to a misspelt one: see near.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/near.h"

#include "base/ascii.h"
#include "base/suggest.h"
#include "ctl/print.h"
#include "engine/exception.h"
#include "match/key.h"

#include <stdlib.h>
#include <string.h>

#define NEAR_MAX 5
#define FAR 5

struct near {
	struct ctl *ctl;
	const struct rule *rule;
	enum near_kind kind;
	const char *exact; /* as it was asked for */
	char wrong[KEY_MAX + 1]; /* the same in lower case */
	size_t length;
	struct found {
		unsigned distance;
		char key[KEY_MAX + 1];
	} found[NEAR_MAX];
	size_t n;
};

/* Whether a is b and a domain. */
static bool adds_domain(const char *a, const char *b, size_t length)
{
	return strncmp(a, b, length) == 0 && a[length] == '@';
}

/* How far a key in lower case is from the wrong one: 0 is next to it, FAR and more are others. */
static unsigned distance_of(const struct near *near, const char *key)
{
	size_t local = strcspn(key, "@");
	struct suggestion suggestion;

	if (strcmp(key, near->wrong) == 0 || adds_domain(key, near->wrong, near->length) ||
	    (!key[local] && adds_domain(near->wrong, key, local))) {
		return 0;
	}
	suggest_init(&suggestion, near->wrong, near->length);
	suggest_try(&suggestion, key);
	if (suggest_best(&suggestion)) {
		return suggestion.distance;
	}
	/* The same user elsewhere, or the start of a longer name. */
	return (key[local] && adds_domain(near->wrong, key, local)) ||
		(near->length > 1 && strncmp(key, near->wrong, near->length) == 0)
	    ? FAR - 1
	    : FAR;
}

static bool has_key(const struct near *near, const char *key)
{
	for (size_t i = 0; i < near->n; i++) {
		if (strcmp(near->found[i].key, key) == 0) {
			return true;
		}
	}
	return false;
}

/* Keeps the nearest ones, in the order of their distance, and then of the alphabet. */
static void keep(struct near *near, const char *key, unsigned distance)
{
	size_t at = near->n;

	while (at > 0 &&
	    (near->found[at - 1].distance > distance ||
		(near->found[at - 1].distance == distance &&
		    strcmp(near->found[at - 1].key, key) > 0))) {
		at--;
	}
	if (at == NEAR_MAX || has_key(near, key)) {
		return;
	}
	near->n += near->n < NEAR_MAX;
	for (size_t i = near->n - 1; i > at; i--) {
		near->found[i] = near->found[i - 1];
	}
	near->found[at].distance = distance;
	strcpy(near->found[at].key, key);
}

static bool compare_key(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *bytes, size_t size)
{
	struct near *near = data;
	const struct rule *rule;
	char plain[KEY_MAX + 1], lower[KEY_MAX + 1];
	unsigned distance;
	size_t prefix;

	(void)txn;
	(void)bytes;
	(void)size;
	if (near->kind == NEAR_EXCEPTIONS) {
		key = exception_counter_key(key, key_length, &key_length);
	}
	rule = key ? ctl_rule_of(near->ctl, key, key_length, &prefix) : NULL;
	if (!rule || (near->rule && rule != near->rule) || key_length - prefix > KEY_MAX) {
		return true;
	}
	snprintf(plain, sizeof(plain), "%.*s", (int)(key_length - prefix), key + prefix);
	strcpy(lower, plain);
	ascii_lower(lower, strlen(lower));
	distance = distance_of(near, lower);
	if (distance < FAR && strcmp(plain, near->exact) != 0) {
		keep(near, plain, distance);
	}
	return true;
}

/* Appends "; near it: KEY, KEY" to text, or nothing. */
static void find(struct near *near, struct strbuf *text)
{
	struct error error;

	near->length = strlen(near->exact);
	if (near->length > KEY_MAX) {
		return;
	}
	strcpy(near->wrong, near->exact);
	ascii_lower(near->wrong, near->length);
	/* If the walk fails, nothing is near. */
	store_walk(near->ctl->store, compare_key, near, &error);
	for (size_t i = 0; i < near->n; i++) {
		strbuf_printf(text, "%s%s", i ? ", " : "; near it: ", near->found[i].key);
	}
}

void near_warn(struct ctl *ctl, const struct rule *rule, enum near_kind kind, const char *wrong,
    const char *more)
{
	struct near near = {.ctl = ctl, .rule = rule, .kind = kind, .exact = wrong};
	char list[NEAR_MAX * (KEY_MAX + 2) + 16];
	struct strbuf text;

	strbuf_init(&text, list, sizeof(list));
	find(&near, &text);
	if (rule) {
		print_warning("the rule %s has %s for \"%s\"%s%s", rule->name,
		    kind == NEAR_COUNTERS ? "no counter" : "nothing set", wrong, more, list);
	} else {
		print_warning("no rule has a counter for \"%s\"%s%s", wrong, more, list);
	}
}
