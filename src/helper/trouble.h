/*
 * Remembers what went wrong lately, so that trouble that lasts is logged once an hour and not
 * with every request.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TROUBLE_H
#define TROUBLE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define TROUBLES_MAX 8

/* All zero at first. More than one, since different troubles may take turns. */
struct troubles {
	struct trouble {
		char text[sizeof(((struct error *)0)->text)];
		int64_t logged_ms; /* by clock_monotonic_ms */
	} trouble[TROUBLES_MAX];
};

/*
 * Whether text has not been logged within the last hour. If so, it is remembered as logged now,
 * in place of the oldest one.
 */
bool trouble_is_news(struct troubles *troubles, const char *text);

#endif
