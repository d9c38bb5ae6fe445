/*
 * Fuzz target: a counter's record. The first bytes of the input say what happens to it; the
 * rest are its bytes in the file. If only its checksums are wrong the record is given right
 * ones, since mutation would never find them.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuzz.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/strbuf.h"
#include "count/counter.h"
#include "count/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the format, as doc/counter-file.md has it. */
#define WIDTH_CHECK 6
#define WIDTH_POSITION 3
#define WIDTH_STAMP 7
#define WIDTH_CLIENT 22
#define DENIED_MAX 9999999
#define STAMP_MAX ((INT64_C(1) << 42) - 1)

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
#define CHECK_SEED UINT64_C(0x726174656c696d69) /* of the checksum */

/* What the input asks for. */
struct plan {
	uint8_t flags;
	int64_t now_ms;
	uint64_t cost, limit;
	struct record_transaction transaction;
	uint8_t client[RECORD_CLIENT_BYTES];
	struct record_layout layout; /* to migrate to */
};

#define FLAG_SEAL 1
#define FLAG_SAME_WINDOWS 2
#define FLAG_SAME_COUNT 4
#define FLAG_RELATIVE 8 /* now_ms is behind the record's stamp */

static uint64_t count_max(const struct record_layout *layout)
{
	return layout->count == COUNT_BYTES ? LIMIT_BYTES_MAX : LIMIT_COUNT_MAX;
}

static void take_layout(struct input *input, struct record_layout *layout)
{
	*layout = (struct record_layout){.strategy = (enum strategy)(input_byte(input) % 3),
	    .count = (enum limit_count)(input_byte(input) % 3),
	    .transactions = 1 + input_byte(input) % RECORD_TRANSACTIONS_MAX,
	    .windows = 1 + input_byte(input) % LIMITS_MAX};
	if (layout->strategy == STRATEGY_SLIDING) {
		layout->resolution = 1 + input_byte(input) % WINDOW_RESOLUTION_MAX;
	} else if (layout->strategy == STRATEGY_MOVING) {
		layout->events = 2 + input_byte(input);
	}
	for (unsigned i = 0; i < layout->windows; i++) {
		char name[16];
		unsigned n = (unsigned)input_number(input, 2);
		unsigned unit = input_byte(input) % DURATION_UNITS;
		int64_t most = LIMIT_WINDOW_MAX_MS / duration_units[unit].ms;
		int length =
		    snprintf(name, sizeof(name), "%u%c", 1 + n % (unsigned)most, "smhdwMy"[unit]);

		must(limit_window_parse(name, (size_t)length, &layout->window[i]) == 0, "%s", name);
	}
}

static void take_plan(struct input *input, struct plan *plan)
{
	plan->flags = input_byte(input);
	plan->now_ms = (int64_t)input_number(input, 6) & STAMP_MAX;
	plan->cost = 1 + input_number(input, 5);
	plan->limit = input_number(input, 5);
	plan->transaction.instance = 1 + input_number(input, 2);
	plan->transaction.charged = input_number(input, 2);
	plan->transaction.request = input_number(input, 2);
	plan->transaction.connection = plan->transaction.request & 3;
	plan->transaction.ended = plan->transaction.request & 4;
	plan->transaction.paid[0].amount = plan->transaction.charged / 2;
	plan->transaction.paid[0].at_ms = plan->now_ms;
	for (size_t i = 0; i < RECORD_CLIENT_BYTES; i++) {
		plan->client[i] = (uint8_t)((size_t)plan->flags * 31 + i * 17);
	}
	take_layout(input, &plan->layout);
}

static size_t event_size(const struct record_layout *layout)
{
	return WIDTH_STAMP + (layout->count == COUNT_BYTES ? 9 : 6);
}

static size_t slot_size(const struct record *record)
{
	return (record_size(&record->layout) - record->header_length -
		   record->layout.events * event_size(&record->layout)) /
	    2;
}

static char *slot_at(const struct record *record, char *bytes, unsigned slot)
{
	return bytes + record->header_length + slot * slot_size(record);
}

/* Where a slot of a moving window says which place of its log is next. */
static size_t position_offset(const struct record_layout *layout)
{
	size_t used = layout->count == COUNT_BYTES ? 17 : 11;

	return strlen("t=SSSSSSSSSS.MMM d=DDDDDDD ") + layout->windows * (2 + used + 1) +
	    strlen("SSSFFffffffllllll") + WIDTH_CLIENT + 1;
}

/* A position within the log; it is changed if it was outside. */
static uint64_t position(char *p, unsigned events)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < WIDTH_POSITION; i++) {
		const char *digit = p[i] ? strchr(digits, p[i]) : NULL;

		number = number << 6 | (digit ? (uint64_t)(digit - digits) : 0);
	}
	number %= events;
	for (unsigned i = 0; i < WIDTH_POSITION; i++) {
		p[i] = digits[number >> (6 * (WIDTH_POSITION - 1 - i)) & 63];
	}
	return number;
}

/* Gives both slots the checksums that are right for what is in them. */
static void seal(const struct record *record, char *bytes)
{
	const struct record_layout *layout = &record->layout;
	size_t size = slot_size(record);

	for (unsigned slot = 0; slot < 2; slot++) {
		char *start = slot_at(record, bytes, slot);
		uint64_t newest = 0, used = 0, check;

		if (layout->strategy == STRATEGY_MOVING) {
			char *place = start + position_offset(layout);

			newest = position(place, layout->events);
			used = position(place + WIDTH_POSITION, layout->events);
			newest = (newest ? newest : layout->events) - 1;
		}
		check = hash_quick(CHECK_SEED, start, size - WIDTH_CHECK - 1) ^
		    hash_quick(CHECK_SEED, bytes, record->header_length);
		if (used > 0) {
			check += hash_quick(CHECK_SEED,
			    slot_at(record, bytes, 2) + newest * event_size(layout),
			    event_size(layout));
		}
		for (unsigned i = 0; i < WIDTH_CHECK; i++) {
			start[size - WIDTH_CHECK - 1 + i] =
			    digits[check >> (6 * (WIDTH_CHECK - 1 - i)) & 63];
		}
	}
}

/* Whether the log's numbers can be sums: no checksum covers its older events. */
static bool is_orderly(const struct record *record)
{
	struct event last = {.before = record->log_total - UINT64_MAX / 2};

	for (size_t i = 0; i < record->log_events; i++) {
		struct event event = record_event(record, i);

		if (event.stamp_ms < last.stamp_ms ||
		    record->log_total - event.before > record->log_total - last.before) {
			return false;
		}
		last = event;
	}
	return true;
}

static void check_used(const struct record *a, const struct record *b, const char *when)
{
	for (unsigned i = 0; i < a->layout.windows; i++) {
		must(counter_used(a, i) == counter_used(b, i), "window %u: %llu, %s %llu", i,
		    (unsigned long long)counter_used(a, i), when,
		    (unsigned long long)counter_used(b, i));
	}
}

static void check_same(const struct record *a, const struct record *b, const char *when)
{
	must(record_layout_same(&a->layout, &b->layout), "layout, %s", when);
	must(a->stamp_ms == b->stamp_ms && a->denied == b->denied && a->denied_s == b->denied_s &&
		a->denied_first_s == b->denied_first_s,
	    "stamp or denials, %s", when);
	must(memcmp(a->denied_client, b->denied_client, sizeof(a->denied_client)) == 0,
	    "client, %s", when);
	must(memcmp(a->warned, b->warned, sizeof(a->warned)) == 0, "warned, %s", when);
	must(memcmp(a->transactions, b->transactions, sizeof(a->transactions)) == 0,
	    "transactions, %s", when);
	must(a->log_events == b->log_events, "events of the log, %s", when);
	check_used(a, b, when);
}

/*
 * A wait is exactly as long as it must be. Not checked if an event is in the future: then the
 * wait is at most a window, since a charge would bring the event to now.
 */
static void check_wait(const struct record *record, const struct plan *plan)
{
	if (record->log_events > 0 &&
	    record_event(record, record->log_events - 1).stamp_ms > record->stamp_ms) {
		return;
	}
	for (unsigned i = 0; i < record->layout.windows; i++) {
		int64_t wait_ms = counter_wait(record, i, plan->limit, plan->cost);
		uint64_t used = counter_used(record, i);
		struct record then = *record;

		must((wait_ms == 0) == (used + plan->cost <= plan->limit),
		    "wait of %lld ms, %llu + %llu of %llu", (long long)wait_ms,
		    (unsigned long long)used, (unsigned long long)plan->cost,
		    (unsigned long long)plan->limit);
		must((wait_ms == WINDOW_NEVER) == (plan->cost > plan->limit), "never");
		if (wait_ms == 0 || wait_ms == WINDOW_NEVER) {
			continue;
		}
		must(wait_ms > 0, "a wait of %lld ms", (long long)wait_ms);
		counter_advance(&then, record->stamp_ms + wait_ms - 1);
		must(counter_wait(&then, i, plan->limit, plan->cost) == 1,
		    "window %u: %lld ms are too long", i, (long long)wait_ms);
		counter_advance(&then, record->stamp_ms + wait_ms);
		must(counter_wait(&then, i, plan->limit, plan->cost) == 0,
		    "window %u: %lld ms are too short", i, (long long)wait_ms);
	}
}

/* What a charge really adds: the events of a log are bounded, so that their sum is. */
static uint64_t cost_of(const struct record_layout *layout, uint64_t cost)
{
	uint64_t most =
	    layout->strategy == STRATEGY_MOVING ? count_max(layout) / layout->events : cost;

	return cost < most ? cost : most;
}

/* Whether another event would push out the oldest. */
static bool is_full(const struct record *record)
{
	return record->layout.strategy == STRATEGY_MOVING &&
	    record->log_events == record->layout.events - 1;
}

/* The slot that holds says in decimal what is used of each window. */
static void check_by_eye(const struct record *record, char *bytes)
{
	const char *text = slot_at(record, bytes, record->slot);
	unsigned long long seconds, ms, denied, used;
	int length = 0;

	must(sscanf(text, "t=%10llu.%3llu d=%llu %n", &seconds, &ms, &denied, &length) == 3 &&
		length > 0,
	    "\"%.40s\" is not legible", text);
	must((int64_t)(seconds * 1000 + ms) == record->stamp_ms, "at %llu.%03llu", seconds, ms);
	must(denied == record->denied, "%llu denied", denied);
	for (unsigned i = 0; i < record->layout.windows; i++) {
		text += length;
		must(sscanf(text, "u=%llu %n", &used, &length) == 1, "\"%.40s\" is not legible",
		    text);
		must(record->layout.strategy == STRATEGY_MOVING || used == 99999999999 ||
			used == counter_used(record, i),
		    "window %u: %llu used", i, used);
	}
}

/*
 * Charges the record as a helper does, with a kill at every byte that is written: what is read
 * then is the old state or the new one.
 */
static void check_charge(
    const struct record *old, char *bytes, size_t size, const struct plan *plan, bool orderly)
{
	size_t slot = slot_size(old);
	struct record record = *old, before, again;
	struct record_transaction found;
	char *written = malloc(size), *torn = malloc(size);
	struct error error;

	must(written && torn, "out of memory");
	memcpy(written, bytes, size);
	record.log_bytes = written;
	counter_advance(&record, plan->now_ms);
	before = record;
	before.log_bytes = bytes;
	counter_charge(&record, written, plan->cost);
	if (!old->layout.old) {
		record_remember(&record, &plan->transaction);
	}
	counter_deny(&record, plan->client);
	record_write(&record, written);

	must(memcmp(written, bytes, old->header_length) == 0, "the header was written");
	must(memcmp(slot_at(old, written, old->slot), slot_at(old, bytes, old->slot), slot) == 0,
	    "the current slot was written");
	must(record_read(&again, written, size, &error) == 0, "%s", error.text);
	must(again.slot != old->slot, "the old slot is still current");
	must(again.stamp_ms == before.stamp_ms, "another stamp");
	must(memcmp(again.denied_client, plan->client, sizeof(plan->client)) == 0 &&
		again.denied == (record.denied < DENIED_MAX ? record.denied : DENIED_MAX),
	    "another denial");
	check_by_eye(&again, written);
	must(old->layout.old ||
		(record_transaction(&again, plan->transaction.instance, &found) &&
		    found.charged == plan->transaction.charged &&
		    found.request == plan->transaction.request &&
		    memcmp(found.paid, plan->transaction.paid, sizeof(found.paid)) == 0),
	    "another transaction");
	for (unsigned i = 0; orderly && !is_full(old) && i < old->layout.windows; i++) {
		uint64_t cost = cost_of(&old->layout, plan->cost);
		uint64_t used = counter_used(&before, i) + cost;

		/* A number that is too large for its field becomes the largest, over every limit.
		 */
		must(used > count_max(&old->layout) || counter_used(&again, i) == used,
		    "%llu and %llu make %llu", (unsigned long long)(used - cost),
		    (unsigned long long)cost, (unsigned long long)counter_used(&again, i));
		must(used <= count_max(&old->layout) || old->layout.strategy == STRATEGY_MOVING ||
			counter_used(&again, i) >= count_max(&old->layout),
		    "too much makes %llu", (unsigned long long)counter_used(&again, i));
	}

	memcpy(torn, bytes, size);
	for (size_t i = 0; i < size; i++) {
		struct record read;

		if (torn[i] == written[i]) {
			continue;
		}
		torn[i] = written[i];
		must(record_read(&read, torn, size, &error) == 0, "killed: %s", error.text);
		if (read.slot == old->slot) {
			check_same(&read, old, "killed");
		} else {
			check_same(&read, &again, "killed late");
		}
	}
	free(torn);
	free(written);
}

static bool same_window(const struct record *a, unsigned i, const struct record *b, unsigned j)
{
	return window_same(
	    a->layout.strategy == b->layout.strategy ? a->layout.strategy : STRATEGY_SLIDING,
	    &a->layout.window[i], &b->layout.window[j]);
}

static uint64_t log_sum(const struct record *record)
{
	return record->log_events > 0 ? record->log_total - record_event(record, 0).before : 0;
}

/* 1m and 60s are one sliding window, but two fixed ones. No rule has a window twice. */
static bool has_window_twice(const struct record_layout *layout)
{
	for (unsigned i = 0; i < layout->windows; i++) {
		for (unsigned j = 0; j < i; j++) {
			if (window_same(layout->strategy, &layout->window[i], &layout->window[j])) {
				return true;
			}
		}
	}
	return false;
}

static void check_migrate(const struct record *old, const struct plan *plan, bool orderly)
{
	struct record_layout layout = plan->layout;
	struct record record, again;
	uint64_t room;
	struct error error;
	char *bytes;

	if (plan->flags & FLAG_SAME_WINDOWS) {
		layout.windows = old->layout.windows;
		memcpy(layout.window, old->layout.window, sizeof(layout.window));
	}
	if (plan->flags & FLAG_SAME_COUNT) {
		layout.count = old->layout.count;
	}
	if (has_window_twice(&layout)) {
		return;
	}
	bytes = malloc(record_size(&layout));
	must(bytes, "out of memory");
	record_init(&record, &layout);
	record_write_new(&record, bytes);
	record_migrate(old, &record, bytes);
	must(record.stamp_ms == old->stamp_ms && record.denied == old->denied &&
		memcmp(record.denied_client, old->denied_client, sizeof(old->denied_client)) == 0,
	    "stamp, denials");
	room = layout.strategy == STRATEGY_MOVING ? layout.events - 1 : UINT64_MAX;
	for (unsigned i = 0; orderly && i < layout.windows; i++) {
		uint64_t used = counter_used(&record, i), least = 0, sum = 0;

		for (unsigned j = 0; j < old->layout.windows && layout.count == old->layout.count;
		     j++) {
			if (same_window(&record, i, old, j)) {
				least = counter_used(old, j) > least ? counter_used(old, j) : least;
			}
			sum += counter_used(old, j);
		}
		if (old->layout.strategy == STRATEGY_MOVING) {
			/* A log also has events that have left its windows. */
			sum = log_sum(old);
		}
		must(used >= (least < room ? least : room), "%llu became %llu",
		    (unsigned long long)least, (unsigned long long)used);
		must(used <= sum, "%llu became %llu", (unsigned long long)sum,
		    (unsigned long long)used);
	}
	record_write(&record, bytes);
	must(record_read(&again, bytes, record_size(&layout), &error) == 0, "%s", error.text);
	must(again.stamp_ms == old->stamp_ms, "another stamp");
	record_log_clamp(&again, bytes, plan->now_ms);
	counter_advance(&again, plan->now_ms);
	must(again.log_events == 0 || !counter_is_ahead(&again, plan->now_ms) || !orderly,
	    "ahead after all");
	free(bytes);
}

static void check_record(const struct record *record, char *bytes, size_t size, struct plan *plan)
{
	char header[RECORD_HEADER_MAX];
	bool orderly = is_orderly(record);
	struct record later = *record;
	struct strbuf text;

	strbuf_init(&text, header, sizeof(header));
	record_layout_format(&record->layout, &text);
	must(memcmp(header, bytes, text.length) == 0 && bytes[text.length] == '|',
	    "the layout \"%s\"", header);
	must(record->stamp_ms >= 0 && record->stamp_ms <= STAMP_MAX, "the stamp");
	if (plan->flags & FLAG_RELATIVE) {
		plan->now_ms = (record->stamp_ms + plan->now_ms) & STAMP_MAX;
	}
	counter_advance(&later, plan->now_ms);
	for (unsigned i = 0; orderly && i < record->layout.windows; i++) {
		uint64_t then = counter_used(record, i), now = counter_used(&later, i);

		must(plan->now_ms < record->stamp_ms || now <= then, "%llu became %llu",
		    (unsigned long long)then, (unsigned long long)now);
		must(plan->now_ms >= record->stamp_ms || now >= then, "back: %llu became %llu",
		    (unsigned long long)then, (unsigned long long)now);
		must(record_layout_window(&record->layout, &record->layout.window[i]) >= 0,
		    "no such window");
	}
	counter_is_alive(&later);
	if (orderly) {
		check_wait(&later, plan);
	}
	check_charge(record, bytes, size, plan, orderly);
	check_migrate(record, plan, orderly);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct record record = {.header_length = 0};
	struct error error = {""};
	struct plan plan = {.flags = 0};
	char *bytes;
	int result;

	take_plan(&input, &plan);
	bytes = malloc(input.size + 1);
	must(bytes, "out of memory");
	memcpy(bytes, input.bytes, input.size);
	result = record_read(&record, bytes, input.size, &error);
	must((result != 0) == (error.text[0] != '\0'), "an error text, or none");
	if ((plan.flags & FLAG_SEAL) && (result == 0 || strstr(error.text, "checksum"))) {
		seal(&record, bytes);
		error.text[0] = '\0';
		result = record_read(&record, bytes, input.size, &error);
		must(result == 0, "sealed: %s", error.text);
	}
	if (result == 0) {
		check_record(&record, bytes, input.size, &plan);
	}
	free(bytes);
	return 0;
}
