/*
 * Times and durations as an administrator writes them. Does not read the clock.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef WHEN_H
#define WHEN_H

#include "base/error.h"
#include "base/strbuf.h"

#include <stdint.h>

/*
 * "2h", "1h30m", "1 day", "2 hours 30 minutes", with the units of limits; a number without a unit
 * is in seconds. From a second to a hundred years. 0, or -1 and an error.
 */
int when_parse_duration(const char *string, int64_t *ms, struct error *error);

/*
 * A point in time: a duration, for that long ago; a date, "2026-11-20", "2026-11-20 14:00" or
 * "2026-11-20T14:00:05", in local time unless "Z" or "+01:00" follows; "today" or "yesterday",
 * for its midnight; seconds since the epoch, "@1795132800" or a number from 1000000000. 0, or -1
 * and an error.
 */
int when_parse(const char *string, int64_t now_s, int64_t *then_s, struct error *error);

/* Appends local time: "2026-11-20 14:00". */
void when_format(int64_t time_s, struct strbuf *text);

#endif
