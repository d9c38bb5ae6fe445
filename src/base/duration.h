/*
 * Durations: the table of units, and durations as a person writes and reads them.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef DURATION_H
#define DURATION_H

#include "base/strbuf.h"

#include <stddef.h>
#include <stdint.h>

enum duration_unit {
	UNIT_SECOND,
	UNIT_MINUTE,
	UNIT_HOUR,
	UNIT_DAY,
	UNIT_WEEK,
	UNIT_MONTH, /* 30 days */
	UNIT_YEAR, /* 365 days */
	DURATION_UNITS
};

#define DURATION_MAX_S (INT64_C(100) * 365 * 86400)

/* Indexed by enum duration_unit. Letters differ by case: 'm' is a minute, 'M' a month. */
extern const struct duration_unit_entry {
	const char *name;
	char letter;
	int64_t ms;
} duration_units[DURATION_UNITS];

/*
 * Reads a unit as an administrator writes it: "hour", "hours", "h" or "min", words in any
 * case, letters in lower case. Months and years have no letter here. 0, or -1 if it is none.
 */
int duration_unit_parse(const char *word, size_t length, enum duration_unit *unit);

/*
 * Reads "2h", "1h30m", "1 day" or "2 hours 30 minutes"; a number alone is seconds. From one
 * second to DURATION_MAX_S. 0, or -1 if string is anything else.
 */
int duration_parse(const char *string, int64_t *ms);

/* Appends a duration, rounded up to a whole unit: "35s", "12m", "3h", "2d". */
void duration_format(int64_t ms, struct strbuf *text);

#endif
