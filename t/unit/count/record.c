/*
 * Tests of src/count/record*.c: what is written reads back, torn and damaged bytes are noticed,
 * people can read the slots, and another layout keeps the state.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"
#include "count/counter.h"
#include "count/record.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define GUARDED 65536
#define HOUR INT64_C(3600000)
#define DENIED_MAX 9999999
#define START_MS INT64_C(1705312800000) /* 2024-01-15 10:00 UTC */

static const char *const headers[] = {"3 s12 m8 1h,1d", "3 f m2 1h,1d", "3 f m8 1h", "3 s3 b1 1h",
    "3 m5 r2 1h,1d", "3 m2 b1 1h", "3 m5 m8 1d", "3 f r64 1M", "3 s1 r1 1s", "3 m300 m8 1w",
    "3 s60 b64 1s,1m,1h,1d,1w,1M,1y,315360000s"};
#define SMALL_HEADERS 7 /* as many of them are tested byte by byte */

/* Changes everything that a writer may change, and writes it. */
static void change(struct record *record, char *bytes, uint64_t *seed)
{
	const struct record_layout *layout = &record->layout;
	uint64_t max = layout->count == COUNT_BYTES ? LIMIT_BYTES_MAX : LIMIT_COUNT_MAX;

	record->stamp_ms = START_MS + (int64_t)(random_next(seed) >> 24);
	record->denied = random_below(seed, DENIED_MAX + 1);
	record->denied_s = (int64_t)(random_next(seed) >> 28);
	record->denied_first_s = (int64_t)(random_next(seed) >> 28);
	for (size_t i = 0; i < RECORD_CLIENT_BYTES; i++) {
		record->denied_client[i] = (uint8_t)random_next(seed);
	}
	for (unsigned i = 0; i < layout->windows && layout->strategy != STRATEGY_MOVING; i++) {
		for (unsigned j = 0; j <= layout->resolution; j++) {
			/* Their sum has to fit into the largest count. */
			record->window[i].bucket[j] =
			    random_below(seed, max / (layout->resolution + 1) + 1);
		}
	}
	for (unsigned i = 0; i < layout->transactions; i++) {
		struct record_transaction transaction = {.instance = 1 + (random_next(seed) >> 29),
		    .request = random_next(seed) >> 34,
		    .charged = random_below(seed, RECORD_CHARGED_MAX + 1),
		    .denied = random_below(seed, 2),
		    .counted = random_below(seed, 2),
		    .ended = random_below(seed, 2),
		    .connection = random_below(seed, 4)};

		for (unsigned j = 0; j < 2; j++) {
			transaction.paid[j].amount = random_below(seed, RECORD_CHARGED_MAX + 1);
			transaction.paid[j].at_ms = (int64_t)(random_next(seed) >> 22);
		}
		record_remember(record, &transaction);
	}
	if (layout->strategy == STRATEGY_MOVING) {
		record_log_add(record, bytes, record->stamp_ms, 1 + random_below(seed, 1000));
	}
	record_write(record, bytes);
}

static bool same(const struct record *a, const struct record *b)
{
	bool same = record_layout_same(&a->layout, &b->layout) && a->stamp_ms == b->stamp_ms &&
	    a->denied == b->denied && a->denied_s == b->denied_s &&
	    a->denied_first_s == b->denied_first_s &&
	    memcmp(a->denied_client, b->denied_client, RECORD_CLIENT_BYTES) == 0 &&
	    a->log_events == b->log_events && a->log_total == b->log_total &&
	    memcmp(a->window, b->window, sizeof(a->window)) == 0 &&
	    memcmp(a->transactions, b->transactions, sizeof(a->transactions)) == 0;

	for (size_t i = 0; same && i < a->log_events; i++) {
		struct event x = record_event(a, i), y = record_event(b, i);

		same = x.stamp_ms == y.stamp_ms && x.before == y.before;
	}
	return same;
}

/* Offset of a slot; the header, and each slot, ends in a '|'. 2: behind both slots. */
static size_t slot_offset(const char *bytes, unsigned slot)
{
	const char *p = bytes;

	for (unsigned i = 0; i <= slot; i++) {
		p = strchr(p, '|') + 1;
	}
	return (size_t)(p - bytes);
}

/* The slot that differs; 2 if both do or neither does. */
static unsigned changed_slot(const char *a, const char *b)
{
	size_t first = slot_offset(a, 0), second = slot_offset(a, 1), end = slot_offset(a, 2);
	bool in_first = memcmp(a + first, b + first, second - first) != 0;
	bool in_second = memcmp(a + second, b + second, end - second) != 0;

	return in_first == in_second ? 2 : in_second;
}

/* The slots are written in turn, also when the sequence number wraps around. */
static void test_round_trip(void **state)
{
	static char bytes[65536], before[65536];
	uint64_t seed = random_seed("round trips", 1618033);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers) * 2; i++) {
		const char *header = headers[i / 2];
		struct record_layout layout = layout_of(header);
		size_t size = record_size(&layout);
		struct record record, read;
		struct error error = {""};
		unsigned slot = 2;

		memset(bytes, '#', sizeof(bytes));
		new_record(&record, header, bytes);
		if (i % 2) {
			record.sequence = (1 << 18) - 4; /* of 18 bits */
			change(&record, bytes, &seed);
			change(&record, bytes, &seed);
		}
		for (unsigned step = 0; step < 30; step++) {
			unsigned last = slot;

			check(record_read(&read, bytes, size, &error) == 0, "%s, step %u: %s",
			    header, step, error.text);
			check(same(&read, &record), "%s, step %u: another state", header, step);
			check(bytes[size] == '#', "%s: longer than %zu bytes", header, size);
			for (size_t j = 0; j < size; j++) {
				check(bytes[j] >= ' ' && bytes[j] <= '~', "%s: byte %zu is %d",
				    header, j, bytes[j]);
			}
			check(memcmp(bytes, header, strlen(header)) == 0 &&
				bytes[strlen(header)] == '|',
			    "%s: begins with %.40s", header, bytes);
			/* Change what was read and what was written in turn. */
			record = step % 3 ? record : read;
			memcpy(before, bytes, size);
			change(&record, bytes, &seed);
			slot = changed_slot(before, bytes);
			check(slot < 2 && slot != last, "%s, step %u: changed slot %u", header,
			    step, slot);
		}
	}
}

/*
 * If a write stopped anywhere, or its first part is missing, the old or the new state is
 * read; if a byte of the newest slot changed, the old one.
 */
static void test_torn_and_corrupted(void **state)
{
	uint64_t seed = random_seed("torn writes", 1414213);

	(void)state;
	for (size_t i = 0; i < SMALL_HEADERS * 7; i++) {
		const char *header = headers[i / 7];
		char old_bytes[4096] = "", new_bytes[4096], torn[2][4096];
		struct record old, record, read;
		struct error error;
		size_t size, start, end;

		new_record(&record, header, old_bytes);
		size = record_size(&record.layout);
		for (size_t step = 0; step < i % 7; step++) {
			change(&record, old_bytes, &seed);
		}
		memcpy(new_bytes, old_bytes, size);
		record_read(&old, old_bytes, size, &error);
		record_read(&record, new_bytes, size, &error);
		change(&record, new_bytes, &seed);
		memcpy(torn[0], old_bytes, size);
		memcpy(torn[1], new_bytes, size);
		for (size_t p = 0; p <= size; p++) {
			for (unsigned tail = 0; tail < 2; tail++) {
				bool good = record_read(&read, torn[tail], size, &error) == 0;

				check(good && (same(&read, &old) || same(&read, &record)),
				    "%s, new %s %zu: neither old nor new", header,
				    tail ? "from" : "up to", p);
			}
			torn[0][p] = new_bytes[p];
			torn[1][p] = old_bytes[p];
		}
		start = slot_offset(new_bytes, changed_slot(old_bytes, new_bytes));
		end = (size_t)(strchr(new_bytes + start, '|') - new_bytes);
		for (size_t p = start; p < end; p++) {
			static const char others[] = "0Az_ |\xff";
			char right = new_bytes[p];

			for (const char *other = others; *other; other++) {
				bool good;

				new_bytes[p] = *other;
				good = record_read(&read, new_bytes, size, &error) == 0;
				/* Within the checksum, a byte that is no digit may count as one. */
				check(good &&
					(same(&read, &old) || *other == right ||
					    (p >= end - 6 && same(&read, &record))),
				    "%s, '%c' for '%c' at %zu: not the old state", header, *other,
				    right, p);
			}
			new_bytes[p] = right;
		}
	}
}

/* A copy that ends at memory which can't be read, so that a byte too many is noticed. */
static char *guarded(const char *bytes, size_t size)
{
	static char *pages;

	if (!pages) {
		pages = mmap(NULL, 2 * GUARDED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect(pages, GUARDED, PROT_READ | PROT_WRITE);
	}
	return memcpy(pages + GUARDED - size, bytes, size);
}

/* Reads start and then zeros, which are digits. expected: the error, or NULL for any. */
static void check_bad(const char *start, size_t size, const char *expected)
{
	char bytes[4096];
	struct record record;
	struct error error = {""};

	memset(bytes, '0', sizeof(bytes));
	memcpy(bytes, start, strlen(start));
	check(record_read(&record, guarded(bytes, size), size, &error) == -1,
	    "%s, %zu bytes: was taken", start, size);
	check_string(error.text, expected ? expected : error.text, start);
}

static void test_bad_records(void **state)
{
	static const char no_check[] = "neither of its two slots has a good checksum";
	static const char no_version[] = "not a counter of version 3";
	static const struct {
		const char *start;
		size_t size;
		const char *error;
	} cases[] = {
	    {"3 m5 m8 1d|", 1112, no_check},
	    {"3 f m8 1h|", 1020, no_check},
	    {"3 m5 m8 1d|", 1113, "1113 bytes long instead of 1112"},
	    {"3 m5 m8 1d|", 1111, "1111 bytes long instead of 1112"},
	    {"3 m5 m8 1d|", 11, "11 bytes long instead of 1112"},
	    {"3 f m8 1h|", 1112, "1112 bytes long instead of 1020"},
	    /* The version before this one. */
	    {"2 m5 m8 1d|", 520, no_check},
	    {"2 m5 m8 1d|", 1112, "1112 bytes long instead of 520"},
	    {"1 m5 m8 1d|", 1112, no_version},
	    {"4 m5 m8 1d|", 1112, no_version},
	    {"30 m5 m8 1d|", 1113, no_version},
	};
	/* None of these is a layout. */
	static const char *const junk[] = {"", "|", "||||||||||||", "3|", "3 s12 m8 |", "3 s12 m8|",
	    "3 s12|", "3 s0 m8 1h|", "3 s61 m8 1h|", "3 s m8 1h|", "2 s-1 m8 1h|", "2 x12 m8 1h|",
	    "3 f12 m8 1h|", "3 m1 m8 1h|", "3 m10003 m8 1h|", "3 s12 x8 1h|", "3 s12 m0 1h|",
	    "3 s12 m65 1h|", "3 s12 m 1h|", "3 s12 m99999999999999999999 1h|", "3 s12 m8 1x|",
	    "3 s12 m8 0h|", "3 s12 m8 ,1h|", "3 s12 m8 1h 1d|", "3s12 m8 1h|",
	    "3 s12 m8 1s,2s,3s,4s,5s,6s,7s,8s,9s|", "3 s12         |", "3 f      |",
	    "3 s12 m8 1h,1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h|"};
	static const size_t sizes[] = {0, 1, 9, 10, 11, 20, 40, 100, 300, 1000};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		check_bad(cases[i].start, cases[i].size, cases[i].error);
	}
	for (size_t i = 0; i < COUNT_OF(junk) * COUNT_OF(sizes); i++) {
		check_bad(junk[i / COUNT_OF(sizes)], sizes[i % COUNT_OF(sizes)], no_version);
	}
}

/* Headers that say the same as a writer's in another way. */
static void test_other_spellings(void **state)
{
	static const char *const starts[] = {"3 s12 m8 1h,|",
	    "3 s0000000000000000000000000000000012 m8 1h|",
	    "3 s12 m8 0000000000000000000000000000000001h|"};
	struct record_layout layout = layout_of("3 s12 m8 1h");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(starts); i++) {
		check_bad(starts[i], record_size(&layout), NULL);
	}
}

/* Thousands of records with bytes changed, added or missing: no crash, no wrong numbers. */
static void test_mutated(void **state)
{
	static const char likely[] = "0123456789smfrb ,|hdM";
	uint64_t seed = random_seed("mutated records", 5772156);

	(void)state;
	for (unsigned i = 0; i < 6000; i++) {
		const char *header = headers[i % SMALL_HEADERS];
		char bytes[4096] = "";
		struct record record, read;
		struct error error;
		size_t size;

		new_record(&record, header, bytes);
		size = record_size(&record.layout);
		change(&record, bytes, &seed);
		for (uint64_t n = 1 + random_below(&seed, 6); n > 0; n--) {
			size_t p = random_below(&seed, n % 2 ? strlen(header) + 1 : size);
			char digit = likely[random_below(&seed, sizeof(likely) - 1)];

			bytes[p] = random_below(&seed, 4) ? digit : (char)random_next(&seed);
		}
		size = random_below(&seed, 8) ? size : random_below(&seed, size + 40);
		if (record_read(&read, guarded(bytes, size), size, &error) == 0) {
			check(record_layout_same(&read.layout, &record.layout) &&
				(read.stamp_ms == record.stamp_ms || read.stamp_ms == 0),
			    "%s became a record with other numbers", header);
		}
	}
}

/* Of 3 at START_MS and 2 two hours later, what is used of each window of the new layout. */
static void test_convert(void **state)
{
	static const struct {
		const char *name;
		const char *from, *to;
		uint64_t used[3];
	} cases[] = {
	    {"window gained", "3 s12 m8 1h,1d", "3 s12 m8 1h,1d,1w", {2, 5, 0}},
	    {"window lost", "3 s12 m8 1h,1w,1d", "3 s12 m8 1d,1h", {5, 2}},
	    {"other unit", "3 s12 m8 1h,1d", "3 s12 m8 60m,24h", {2, 5}},
	    {"finer", "3 s12 m8 1h,1d", "3 s60 m8 1h,1d", {2, 5}},
	    {"sliding to fixed", "3 s12 m8 1h,1d", "3 f m8 1h,1d", {2, 5}},
	    {"fixed to sliding", "3 f m8 1d,1h", "3 s12 m8 1h,1d", {2, 5}},
	    {"sliding to moving", "3 s12 m8 1h,1d", "3 m11 m8 1h,1d,1w", {2, 5, 5}},
	    {"fixed to moving", "3 f m8 1d,1h", "3 m11 m8 1h,1d", {2, 5}},
	    {"moving to sliding", "3 m11 m8 1h,1d", "3 s12 m8 1d,1h", {5, 2}},
	    {"moving to fixed", "3 m11 m8 1h,1d", "3 f m8 1h,1d,1w", {2, 5, 0}},
	    {"longer log", "3 m11 m8 1h", "3 m300 m8 1h,1d", {2, 5}},
	    {"log for one event", "3 m11 m8 1h,1d", "3 m2 m8 1h,1d", {5, 5}},
	    {"fewer transactions", "3 s12 m8 1h,1d", "3 s12 m1 1h,1d", {2, 5}},
	    {"more transactions", "3 m11 m8 1h,1d", "3 m11 m64 1h,1d", {2, 5}},
	    {"other count", "3 s12 m8 1h,1d", "3 s12 r8 1h,1d", {0, 0}},
	    {"other count, moving", "3 m11 r8 1h,1d", "3 m11 b8 1h,1d", {0, 0}},
	};
	static const uint8_t client[RECORD_CLIENT_BYTES] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};
	const struct record_transaction transaction = {
	    .instance = 1234, .charged = 5, .request = 6789};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char old_bytes[8192] = "", bytes[8192] = "";
		struct record_transaction found;
		struct record old, record;
		struct error error = {""};

		new_record(&old, cases[i].from, old_bytes);
		counter_advance(&old, START_MS);
		counter_charge(&old, old_bytes, 3);
		counter_advance(&old, START_MS + 2 * HOUR);
		counter_charge(&old, old_bytes, 2);
		record_remember(&old, &transaction);
		memcpy(old.denied_client, client, sizeof(client));
		old.denied = 7;
		old.denied_s = START_MS / 1000;
		new_record(&record, cases[i].to, bytes);
		record_migrate(&old, &record, bytes);
		record_write(&record, bytes);
		check(record_read(&record, bytes, record_size(&record.layout), &error) == 0,
		    "%s: %s", cases[i].name, error.text);
		check(record.stamp_ms == START_MS + 2 * HOUR && record.denied == 7 &&
			record.denied_s == START_MS / 1000 &&
			memcmp(record.denied_client, client, sizeof(client)) == 0,
		    "%s: lost denials", cases[i].name);
		check(old.layout.count != record.layout.count ||
			record_transaction(&record, 1234, &found),
		    "%s: lost the transaction", cases[i].name);
		for (unsigned j = 0; j < record.layout.windows; j++) {
			check(counter_used(&record, j) == cases[i].used[j],
			    "%s: expected %llu used of window %u, got %llu", cases[i].name,
			    (unsigned long long)cases[i].used[j], j,
			    (unsigned long long)counter_used(&record, j));
		}
	}
}

/* No event of a window is forgotten when the resolution or the strategy changes. */
static void test_convert_keeps_use(void **state)
{
	static const char *const from[] = {"3 s12 m8 1h,1d", "3 s1 m8 1h,1d", "3 m99 m8 1d,1h"};
	static const char *const to[] = {"3 s60 m8 1d,1h", "3 s3 m8 1h,1d", "3 m99 m8 1h,1d"};
	uint64_t seed = random_seed("converted records", 1123581);

	(void)state;
	for (size_t i = 0; i < 900; i++) {
		char old_bytes[8192] = "", bytes[8192] = "";
		struct slow_log log = {.events = 0};
		struct record old, record;
		int64_t now_ms = START_MS;

		new_record(&old, from[i % 3], old_bytes);
		while (log.events < 40) {
			now_ms += (int64_t)random_below(&seed, (uint64_t)HOUR << log.events % 3);
			counter_advance(&old, now_ms);
			counter_charge(&old, old_bytes, 1 + log.events % 5);
			slow_add(&log, now_ms, 1 + log.events % 5);
		}
		new_record(&record, to[i / 3 % 3], bytes);
		record_migrate(&old, &record, bytes);
		for (unsigned step = 0; step < 60; step++) {
			int64_t length_ms = record.layout.window[step % 2].length_ms;

			check(counter_used(&record, step % 2) >= slow_used(&log, length_ms, now_ms),
			    "%s to %s: less is used", from[i % 3], to[i / 3 % 3]);
			now_ms += (int64_t)random_below(&seed, HOUR);
			counter_advance(&record, now_ms);
		}
	}
}

/* What a person reads off a slot: sscanf skips the blanks as an eye would. */
struct seen {
	unsigned long long seconds, ms, denied, used[2];
};

static void look(const char *bytes, unsigned slot, struct seen *seen)
{
	char label[5];
	const char *text = bytes + slot_offset(bytes, slot);
	int fields =
	    sscanf(text, "%c=%llu.%3llu %c=%llu %c=%llu %c=%llu ", &label[0], &seen->seconds, &seen->ms,
		&label[1], &seen->denied, &label[2], &seen->used[0], &label[3], &seen->used[1]);

	label[4] = '\0';
	check(fields == 9, "%d fields in \"%.60s\"", fields, text);
	check_string(label, "tduu", text);
}

/* Each slot says in decimal when it was charged, how many denials there were, what is used. */
static void test_decimal(void **state)
{
	static const char *const layouts[] = {"3 s12 r8 1h,1d", "3 f m8 1h,1d", "3 m99 r8 1h,1d",
	    "3 s60 b8 1h,1d", "3 f b1 1h,1d", "3 m99 b8 1h,1d"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(layouts); i++) {
		char bytes[16384] = "";
		uint64_t used[2] = {0, 0};
		struct record record;
		struct seen now, before = {0};

		new_record(&record, layouts[i], bytes);
		look(bytes, 0, &now);
		check(memcmp(&now, &before, sizeof(now)) == 0, "%s: not empty", layouts[i]);
		for (uint64_t step = 1; step <= 40; step++, before = now) {
			/* Every tenth charge comes after two hours. */
			int64_t now_ms = START_MS + (int64_t)(step / 10) * 2 * HOUR + (int64_t)step;

			counter_advance(&record, now_ms);
			used[0] = (step % 10 ? used[0] : 0) + step;
			used[1] += step;
			counter_charge(&record, bytes, step);
			if (step % 3 == 0) {
				counter_deny(&record, (uint8_t[RECORD_CLIENT_BYTES]){0});
			}
			record_write(&record, bytes);
			look(bytes, record.slot, &now);
			check((int64_t)(now.seconds * 1000 + now.ms) == now_ms, "%s: at %llu.%llu",
			    layouts[i], now.seconds, now.ms);
			check(now.denied == step / 3, "%s: %llu denied", layouts[i], now.denied);
			check(now.used[0] == used[0] && now.used[1] == used[1],
			    "%s, step %llu: %llu and %llu used", layouts[i],
			    (unsigned long long)step, now.used[0], now.used[1]);
			/* The other slot still has the charge before. */
			look(bytes, !record.slot, &now);
			check(memcmp(&now, &before, sizeof(now)) == 0, "%s: the other slot",
			    layouts[i]);
			look(bytes, record.slot, &now);
		}
	}
}

/* A key with two windows takes at most 1,000 bytes of the file, of which TDB takes its part. */
static void test_size(void **state)
{
	struct record_layout layout = layout_of("3 s12 r3 1h,1d");

	(void)state;
	check(record_size(&layout) <= 823, "%zu bytes", record_size(&layout));
}

/* Numbers that fill their fields, for a person too; a number that is too large stays largest. */
static void test_decimal_saturation(void **state)
{
	static const struct {
		const char *header;
		uint64_t charge, denied;
		unsigned long long used, shown_denied;
	} cases[] = {
	    {"3 s12 r8 1h,1d", LIMIT_COUNT_MAX, 9999999, 68719476735, 9999999},
	    {"3 s12 r8 1h,1d", LIMIT_COUNT_MAX, 10000000, 68719476735, 9999999},
	    {"3 s12 r8 1h,1d", UINT64_C(1) << 40, UINT64_C(1) << 40, 68719476735, 9999999},
	    {"3 f b8 1h,1d", LIMIT_BYTES_MAX, 1, 18014398509481983, 1},
	    {"3 f b8 1h,1d", LIMIT_BYTES_MAX + UINT64_C(1), 1, 18014398509481983, 1},
	};
	char bytes[4096] = "";
	struct record record, read;
	struct error error;
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		new_record(&record, cases[i].header, bytes);
		counter_advance(&record, START_MS);
		counter_charge(&record, bytes, cases[i].charge);
		record.denied = cases[i].denied;
		record_write(&record, bytes);
		look(bytes, record.slot, &seen);
		check(seen.used[0] == cases[i].used && seen.denied == cases[i].shown_denied,
		    "case %zu: %llu used, %llu denied", i, seen.used[0], seen.denied);
	}
	/* Sub-buckets that are full, one after the other: more than the decimal field holds. */
	new_record(&record, "3 s12 r8 1h,1d", bytes);
	for (unsigned step = 0; step < 13; step++) {
		uint64_t used = (step + UINT64_C(1)) * LIMIT_COUNT_MAX;

		counter_advance(&record, START_MS + step * HOUR / 12);
		counter_charge(&record, bytes, LIMIT_COUNT_MAX);
		record_write(&record, bytes);
		look(bytes, record.slot, &seen);
		check(seen.used[0] == (used < 99999999999 ? used : 99999999999),
		    "step %u: %llu used", step, seen.used[0]);
		check(record_read(&read, bytes, record_size(&record.layout), &error) == 0, "%s",
		    error.text);
		check(counter_used(&read, 0) >= LIMIT_COUNT_MAX, "step %u: room again", step);
	}
}

/* The newest sub-bucket is not written; it is what is used, less the others. */
static void test_newest_bucket(void **state)
{
	uint64_t seed = random_seed("newest buckets", 14142135);

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		const char *header = round % 2 ? "3 s12 r8 1h,1d" : "3 s60 b1 1h,1d";
		char bytes[8192] = "";
		struct record record, read;
		struct error error;

		new_record(&record, header, bytes);
		for (unsigned step = 0; step < 8; step++) {
			for (unsigned i = 0; i < 2; i++) {
				for (unsigned age = 0; age <= record.layout.resolution; age++) {
					record.window[i].bucket[age] = random_below(&seed, 3)
					    ? 0
					    : random_below(&seed, 1000000);
				}
			}
			record_write(&record, bytes);
			check(record_read(&read, bytes, record_size(&record.layout), &error) == 0,
			    "%s", error.text);
			for (unsigned i = 0; i < 2; i++) {
				check(memcmp(record.window[i].bucket, read.window[i].bucket,
					  sizeof(read.window[i].bucket)) == 0,
				    "%s: window %u", header, i);
			}
		}
	}
}

/* A time that a slot has no room for is written as the nearest one it has room for. */
static void test_far_times(void **state)
{
	static const struct {
		int64_t stamp_ms, read_ms;
	} cases[] = {{-1, 0}, {INT64_MIN, 0}, {0, 0}, {999, 999}, {9999999999999, 4398046511103},
	    {INT64_MAX, 4398046511103}, {4398046511103, 4398046511103}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases) * 3; i++) {
		const char *header = headers[(size_t[]){0, 2, 6}[i % 3]];
		char bytes[4096] = "";
		struct record record, read;
		struct error error;

		new_record(&record, header, bytes);
		record.stamp_ms = cases[i / 3].stamp_ms;
		record_write(&record, bytes);
		check(record_read(&read, bytes, record_size(&record.layout), &error) == 0, "%s",
		    error.text);
		check(read.stamp_ms == cases[i / 3].read_ms, "%s, case %zu: %lld", header, i / 3,
		    (long long)read.stamp_ms);
	}
}

static void test_saturation(void **state)
{
	static const struct {
		const char *header;
		uint64_t most, used;
	} cases[] = {{"3 f m2 1h", LIMIT_COUNT_MAX, LIMIT_COUNT_MAX},
	    {"3 f b2 1h", LIMIT_BYTES_MAX, LIMIT_BYTES_MAX},
	    {"3 s12 r2 1h", LIMIT_COUNT_MAX, LIMIT_COUNT_MAX},
	    /* The most that one event may count, so that five of them have a sum, and 5. */
	    {"3 m5 b2 1h", LIMIT_BYTES_MAX, LIMIT_BYTES_MAX / 5 + 5}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct record_transaction transaction = {1234, 5, 6789};
		char bytes[4096] = "";
		struct record record;
		struct error error;

		new_record(&record, cases[i].header, bytes);
		counter_advance(&record, START_MS);
		counter_charge(&record, bytes, cases[i].most);
		counter_charge(&record, bytes, 5);
		record.denied = DENIED_MAX + 1;
		record.denied_s = INT64_C(1) << 36;
		transaction.charged = RECORD_CHARGED_MAX + 1;
		record_remember(&record, &transaction);
		record_write(&record, bytes);
		record_read(&record, bytes, record_size(&record.layout), &error);
		check(counter_used(&record, 0) == cases[i].used, "%s: %llu used", cases[i].header,
		    (unsigned long long)counter_used(&record, 0));
		check(record.denied == DENIED_MAX && record.denied_s == (INT64_C(1) << 36) - 1 &&
			record_transaction(&record, 1234, &transaction) &&
			transaction.charged == RECORD_CHARGED_MAX,
		    "%s: a number wrapped", cases[i].header);
	}
}

/* A log that is never empty counts right when the sum of all its costs wraps around. */
static void test_endless_log(void **state)
{
	static const char *const headers[] = {"3 m5 m8 1h", "3 m10002 b8 1h"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		static char bytes[200000];
		int64_t now_ms = START_MS;
		struct record record;
		struct error error;

		new_record(&record, headers[i], bytes);
		record.log_total = (i ? LIMIT_BYTES_MAX : LIMIT_COUNT_MAX) - 20;
		record_log_add(&record, bytes, now_ms, 7);
		for (unsigned n = 2; n < 40; n++) {
			uint64_t used = n < 3 ? 7 * n : 21;

			now_ms += HOUR / 3;
			counter_advance(&record, now_ms);
			counter_charge(&record, bytes, 7);
			record_write(&record, bytes);
			check(record_read(&record, bytes, record_size(&record.layout), &error) == 0,
			    "%s: %s", headers[i], error.text);
			check(counter_used(&record, 0) == used, "%s: %llu used after event %u",
			    headers[i], (unsigned long long)counter_used(&record, 0), n);
		}
	}
}

/* Events before 1970 are not taken for events in the future. */
static void test_before_1970(void **state)
{
	static const int64_t now_ms = 3 * 365 * 24 * HOUR;
	char old_bytes[4096] = "", bytes[4096] = "";
	struct record old, record;

	(void)state;
	new_record(&old, "3 f m8 9y,10y", old_bytes);
	counter_advance(&old, now_ms);
	old.window[0].bucket[0] = 3;
	old.window[1].bucket[0] = 5;
	new_record(&record, "3 m9 m8 9y,10y", bytes);
	record_migrate(&old, &record, bytes);
	check(counter_used(&record, 1) == 5, "%llu used of the longer window",
	    (unsigned long long)counter_used(&record, 1));
	check(!counter_is_ahead(&record, now_ms), "an event to come");
}

/* A log whose sum of all costs is at its largest still counts new events. */
static void test_saturated_log(void **state)
{
	char bytes[4096] = "";
	struct record record;
	struct error error;

	(void)state;
	new_record(&record, "3 m5 m8 1h", bytes);
	counter_advance(&record, START_MS);
	counter_charge(&record, bytes, LIMIT_COUNT_MAX);
	counter_advance(&record, START_MS + 2 * HOUR);
	counter_charge(&record, bytes, 7);
	record_write(&record, bytes);
	record_read(&record, bytes, record_size(&record.layout), &error);
	check(counter_used(&record, 0) >= 7, "%llu used, 7 were charged",
	    (unsigned long long)counter_used(&record, 0));
}

/* The oldest event is dropped, stamps never fall, and stamps in the future are clamped. */
static void test_log(void **state)
{
	static const int64_t stamps_ms[] = {10, 20, 30, 25, 40};
	static const struct {
		int64_t clamp_ms; /* 99: nothing is clamped */
		int64_t stamp_ms[4];
	} cases[] = {{99, {20, 30, 30, 40}}, {39, {20, 30, 30, 39}}, {25, {20, 25, 25, 25}},
	    {5, {5, 5, 5, 5}}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char bytes[4096] = "";
		struct record record;
		struct error error = {""};

		new_record(&record, "3 m5 m8 1h", bytes);
		for (size_t j = 0; j < COUNT_OF(stamps_ms); j++) {
			record_log_add(&record, bytes, START_MS + stamps_ms[j], j + 1);
		}
		record_log_clamp(&record, bytes, START_MS + cases[i].clamp_ms);
		record_write(&record, bytes);
		check(record_read(&record, bytes, record_size(&record.layout), &error) == 0, "%s",
		    error.text);
		check(record.log_events == 4 && record.log_total == 15, "%llu events",
		    (unsigned long long)record.log_events);
		for (size_t j = 0; j < 4; j++) {
			struct event event = record_event(&record, j);

			check(event.stamp_ms == START_MS + cases[i].stamp_ms[j] &&
				event.before == (j + 1) * (j + 2) / 2,
			    "clamped to %lld: event %zu is at %lld, %llu before",
			    (long long)cases[i].clamp_ms, j, (long long)event.stamp_ms - START_MS,
			    (unsigned long long)event.before);
		}
	}
}

/* Place of an event in bytes, by its number in the ring. */
static char *event_bytes(const struct record *record, char *bytes, size_t number)
{
	size_t size = record_size(&record->layout);

	return bytes + size - (record->layout.events - number) * 13;
}

/* Pages of two moments in a log: an impossible event and all older ones are dropped. */
static void test_log_repair(void **state)
{
	static const struct {
		const char *name;
		size_t event; /* the one that is overwritten, 0 is the oldest */
		int from; /* by another one; -1: by zeros */
		size_t left; /* of 8 */
	} cases[] = {
	    {"nothing", 0, 0, 8},
	    {"a page that was never written", 3, -1, 5},
	    {"the oldest never written", 0, -1, 8},
	    {"a stamp and a sum of a later one", 3, 6, 4},
	    {"the same as the next one", 3, 4, 8},
	    {"the same as an earlier one", 3, 1, 5},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char bytes[4096] = "";
		struct record record, again;
		struct error error = {""};
		int64_t stamp_ms = 0;
		bool repaired;

		new_record(&record, "3 m9 m8 1h", bytes);
		for (int64_t j = 0; j < 8; j++) {
			record_log_add(&record, bytes, START_MS + j, 10);
		}
		record_write(&record, bytes);
		if (cases[i].from >= 0) {
			memmove(event_bytes(&record, bytes, cases[i].event),
			    event_bytes(&record, bytes, (size_t)cases[i].from), 13);
		} else {
			memset(event_bytes(&record, bytes, cases[i].event), '0', 13);
		}
		check(record_read(&record, bytes, record_size(&record.layout), &error) == 0,
		    "%s: %s", cases[i].name, error.text);
		repaired = record_log_repair(&record);
		check(repaired == (cases[i].left < 8), "%s: repaired %d", cases[i].name, repaired);
		record_write(&record, bytes);
		check(record_read(&again, bytes, record_size(&record.layout), &error) == 0,
		    "%s: %s", cases[i].name, error.text);
		check(again.log_events == cases[i].left && again.log_total == 80,
		    "%s: %llu events, %llu in all", cases[i].name,
		    (unsigned long long)again.log_events, (unsigned long long)again.log_total);
		for (size_t j = 0; j < again.log_events; j++) {
			struct event event = record_event(&again, j);

			check(event.stamp_ms >= stamp_ms && event.before <= again.log_total,
			    "%s: event %zu can't be", cases[i].name, j);
			stamp_ms = event.stamp_ms;
		}
		again.stamp_ms = START_MS + 100;
		check(record_log_used(&again, HOUR) <= 80, "%s: %llu are used", cases[i].name,
		    (unsigned long long)record_log_used(&again, HOUR));
		check(!record_log_repair(&again), "%s: repaired twice", cases[i].name);
	}
}

/* Logs mixed from two moments, event by event: never more is used than was charged. */
static void test_log_mixed(void **state)
{
	uint64_t seed = random_seed("mixed logs", 20261121);

	(void)state;
	for (int round = 0; round < 2000; round++) {
		char first[8192] = "", second[8192];
		struct record record;
		struct error error = {""};
		uint64_t charged = 0, used;
		size_t start;

		new_record(&record, "3 m20 m1 1h", first);
		start = (size_t)(event_bytes(&record, first, 0) - first);
		for (uint64_t j = random_below(&seed, 60); j > 0; j--) {
			charged += 3;
			record_log_add(&record, first, START_MS + (int64_t)charged, 3);
		}
		record_write(&record, first);
		memcpy(second, first, sizeof(second));
		record.log_bytes = second;
		for (uint64_t j = random_below(&seed, 60); j > 0; j--) {
			charged += 3;
			record_log_add(&record, second, START_MS + (int64_t)charged, 3);
			record_write(&record, second);
		}
		for (size_t j = 0; j < 20; j++) {
			if (random_below(&seed, 2)) {
				memcpy(second + start + j * 13, first + start + j * 13, 13);
			}
		}
		if (record_read(&record, second, record_size(&record.layout), &error)) {
			continue;
		}
		record_log_repair(&record);
		record.stamp_ms = START_MS + (int64_t)charged;
		used = record_log_used(&record, HOUR);
		check(used <= charged, "round %d: %llu of %llu", round, (unsigned long long)used,
		    (unsigned long long)charged);
	}
}

static void test_is_newer(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		bool newer;
	} cases[] = {
	    {"4 s12 m8 1h|", 12, true},
	    {"9 m5 r2 1h|", 11, true},
	    {"17 f m8 1h|", 11, true},
	    {"3 s12 m8 1h|", 12, false},
	    {"2 s12 m8 1h|", 12, false},
	    {"1 s12 m8 1h|", 12, false},
	    {"04 s12 m8 1h|", 13, false},
	    {"0 s12 m8 1h|", 12, false},
	    {"4 x12 m8 1h|", 12, false},
	    {"4\0s12 m8 1h|", 12, false},
	    {"4 \0"
	     "12 m8 1h|",
		12, false},
	    {"4 s", 2, false},
	    {"44444", 5, false},
	    {"", 0, false},
	    {" s12", 4, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		check(record_is_newer(cases[i].bytes, cases[i].size) == cases[i].newer,
		    "case %zu, \"%s\"", i, cases[i].bytes);
	}
}

static void test_is_later(void **state)
{
	char bytes[4096] = "";
	struct record first, second, other;

	(void)state;
	new_record(&first, "3 s12 m8 1h", bytes);
	first.stamp_ms = START_MS;
	record_write(&first, bytes);
	second = first;
	check(!record_is_later(&first, &second), "than itself");
	record_write(&second, bytes);
	check(record_is_later(&second, &first), "within a millisecond, by its number");
	check(!record_is_later(&first, &second), "the first, within a millisecond");
	first.stamp_ms++;
	check(record_is_later(&first, &second), "by its stamp");
	new_record(&other, "3 s12 m8 1d", bytes);
	other.stamp_ms = second.stamp_ms;
	check(!record_is_later(&other, &second) && !record_is_later(&second, &other),
	    "of another layout");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_torn_and_corrupted),
	    cmocka_unit_test(test_bad_records),
	    cmocka_unit_test(test_other_spellings),
	    cmocka_unit_test(test_mutated),
	    cmocka_unit_test(test_convert),
	    cmocka_unit_test(test_convert_keeps_use),
	    cmocka_unit_test(test_decimal),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_decimal_saturation),
	    cmocka_unit_test(test_newest_bucket),
	    cmocka_unit_test(test_far_times),
	    cmocka_unit_test(test_saturation),
	    cmocka_unit_test(test_saturated_log),
	    cmocka_unit_test(test_endless_log),
	    cmocka_unit_test(test_before_1970),
	    cmocka_unit_test(test_log),
	    cmocka_unit_test(test_log_repair),
	    cmocka_unit_test(test_log_mixed),
	    cmocka_unit_test(test_is_newer),
	    cmocka_unit_test(test_is_later),
	};

	setenv("TZ", "UTC", 1); /* for what is a fixed window */
	tzset();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
