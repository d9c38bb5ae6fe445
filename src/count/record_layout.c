/*
 * The layout of counters: what limits need of it. See record.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/record.h"

/*
 * Raises layout->events to what the log of a moving window must hold: as many events as the
 * largest limit allows, one more, which a denied request that is counted can add, and a free place
 * for record_log_add.
 */
static int add_events(
    struct record_layout *layout, const struct limits *limits, struct error *error)
{
	uint64_t most = 1;

	for (unsigned i = 0; i < limits->n; i++) {
		most = limits->at[i].count > most ? limits->at[i].count : most;
	}
	if (most > RECORD_EVENTS_MAX) {
		return error_set(error,
		    "a moving-window remembers each event, %d at most; for a "
		    "limit above that use strategy = sliding-window",
		    RECORD_EVENTS_MAX);
	}
	if (layout->events < most + 2) {
		layout->events = (unsigned)most + 2;
	}
	return 0;
}

int record_layout_add(struct record_layout *layout, const struct limits *limits,
    unsigned window[LIMITS_MAX], struct error *error)
{
	if (layout->strategy == STRATEGY_MOVING && add_events(layout, limits, error)) {
		return -1;
	}
	for (unsigned i = 0; i < limits->n; i++) {
		const struct limit_window *wanted = &limits->at[i].window;
		unsigned j = 0;

		while (j < layout->windows &&
		    !window_same(layout->strategy, &layout->window[j], wanted)) {
			j++;
		}
		if (j == LIMITS_MAX) {
			return error_set(
			    error, "with those of the rule more than %d windows", LIMITS_MAX);
		}
		if (j == layout->windows) {
			layout->window[layout->windows++] = *wanted;
		}
		window[i] = j;
	}
	return 0;
}

bool record_layout_same(const struct record_layout *a, const struct record_layout *b)
{
	if (a->strategy != b->strategy || a->resolution != b->resolution ||
	    a->events != b->events || a->count != b->count || a->transactions != b->transactions ||
	    a->windows != b->windows) {
		return false;
	}
	for (unsigned i = 0; i < a->windows; i++) {
		if (a->window[i].n != b->window[i].n || a->window[i].unit != b->window[i].unit) {
			return false;
		}
	}
	return true;
}
