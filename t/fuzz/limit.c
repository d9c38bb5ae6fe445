/*
 * Fuzz target: limits and durations as an administrator writes them. The first byte says
 * what is counted, the first line is the text; eight bytes behind it are a duration.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuzz.h"

#include "base/duration.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "count/limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_limit(const struct limit *a, const struct limit *b, bool same_unit)
{
	return a->count == b->count && a->window.length_ms == b->window.length_ms &&
	    (!same_unit || (a->window.n == b->window.n && a->window.unit == b->window.unit));
}

static void check_limit(const struct limit *limit, enum limit_count count)
{
	uint64_t max = count == COUNT_BYTES ? LIMIT_BYTES_MAX : LIMIT_COUNT_MAX;
	char buffer[LIMIT_TEXT_SIZE];
	struct strbuf text;
	struct limit_window window;

	must(limit->count <= max, "a count over the most");
	must(limit->window.n >= 1, "n %u", limit->window.n);
	must(limit->window.length_ms >= 1000 && limit->window.length_ms <= LIMIT_WINDOW_MAX_MS,
	    "a window of %lld ms", (long long)limit->window.length_ms);
	strbuf_init(&text, buffer, sizeof(buffer));
	limit_format(limit, count, &text);
	must(text.size == sizeof(buffer), "\"%s\" was cut", buffer);
	strbuf_init(&text, buffer, sizeof(buffer));
	limit_window_format(&limit->window, &text);
	must(limit_window_parse(buffer, text.length, &window) == 0 && window.n == limit->window.n &&
		window.unit == limit->window.unit && window.length_ms == limit->window.length_ms,
	    "the window \"%s\" reads back as another one", buffer);
}

/* What limits_format writes is read as the same limits. */
static void check_round_trip(const struct limits *limits, enum limit_count count)
{
	char first[LIMITS_MAX * LIMIT_TEXT_SIZE], second[sizeof(first)];
	struct limits again;
	struct error error;
	struct strbuf text;

	strbuf_init(&text, first, sizeof(first));
	limits_format(limits, count, &text);
	must(limits_parse(first, count, &again, &error) == 0, "\"%s\": %s", first, error.text);
	must(again.kind == limits->kind && again.n == limits->n, "\"%s\" is something else", first);
	for (unsigned i = 0; i < again.n; i++) {
		must(same_limit(&again.at[i], &limits->at[i], true), "\"%s\" is not the same",
		    first);
	}
	strbuf_init(&text, second, sizeof(second));
	limits_format(&again, count, &text);
	must(strcmp(first, second) == 0, "\"%s\" became \"%s\"", first, second);
}

/* A duration that is read is in range, and what is written is no shorter and reads back. */
static void check_duration(const char *string, int64_t any_ms)
{
	int64_t ms, again_ms;
	char buffer[32];
	struct strbuf text;

	if (duration_parse(string, &ms) == 0) {
		must(ms >= 1000 && ms <= DURATION_MAX_S * 1000 && ms % 1000 == 0,
		    "\"%s\" is %lld ms", string, (long long)ms);
	} else {
		ms = any_ms;
	}
	strbuf_init(&text, buffer, sizeof(buffer));
	duration_format(ms, &text);
	must(text.length > 1 && strchr("smhd", buffer[text.length - 1]), "duration %s", buffer);
	must(ms == 0 || ms > DURATION_MAX_S * 1000 - 86400000 ||
		(duration_parse(buffer, &again_ms) == 0 && again_ms >= ms),
	    "%lld ms is written as %s", (long long)ms, buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	enum limit_count count = (enum limit_count)(input_byte(&input) % 3);
	size_t length;
	char *string = input_line(&input, &length);
	struct limits limits, shorter;
	struct error error = {""};

	check_duration(string, (int64_t)(input_number(&input, 8) >> 1));
	if (limits_parse(string, count, &limits, &error)) {
		must(error.text[0] && strlen(error.text) < sizeof(error.text), "no error text");
	} else {
		must(limits.n <= LIMITS_MAX, "%u limits", limits.n);
		must((limits.n > 0) == (limits.kind == LIMITS_WINDOWS), "%u limits", limits.n);
		shorter = limits;
		limits_shorten(&shorter);
		for (unsigned i = 0; i < limits.n; i++) {
			check_limit(&limits.at[i], count);
			check_limit(&shorter.at[i], count);
			must(same_limit(&limits.at[i], &shorter.at[i], false), "another window");
			must(shorter.at[i].window.n <= limits.at[i].window.n, "it got longer");
		}
		check_round_trip(&limits, count);
		check_round_trip(&shorter, count);
	}
	free(string);
	return 0;
}
