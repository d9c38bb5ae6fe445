/*
 * A counter's record: see record.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/record.h"

#include "base/hash.h"
#include "base/number.h"
#include "count/record_codec.h"

#include <endian.h>
#include <limits.h>
#include <string.h>

#define FORMAT_VERSION "3"
#define OLD_VERSION "2"

#define STAMP_MAX_MS ((INT64_C(1) << (6 * WIDTH_STAMP)) - 1) /* in the year 2109 */

/* The checksums guard against accidents, not against anyone who may write to the file. */
#define CHECK_SEED UINT64_C(0x726174656c696d69)

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

int record_layout_window(const struct record_layout *layout, const struct limit_window *window)
{
	for (unsigned i = 0; i < layout->windows; i++) {
		if (window_same(layout->strategy, &layout->window[i], window)) {
			return (int)i;
		}
	}
	return -1;
}

int record_layout_add(struct record_layout *layout, const struct limits *limits,
    unsigned window[LIMITS_MAX], struct error *error)
{
	if (layout->strategy == STRATEGY_MOVING && add_events(layout, limits, error)) {
		return -1;
	}
	for (unsigned i = 0; i < limits->n; i++) {
		const struct limit_window *wanted = &limits->at[i].window;
		int known = record_layout_window(layout, wanted);

		window[i] = known < 0 ? layout->windows : (unsigned)known;
		if (window[i] == LIMITS_MAX) {
			return error_set(
			    error, "with those of the rule more than %d windows", LIMITS_MAX);
		}
		if (window[i] == layout->windows) {
			layout->window[layout->windows++] = *wanted;
		}
	}
	return 0;
}

bool record_layout_same(const struct record_layout *a, const struct record_layout *b)
{
	if (a->old != b->old || a->strategy != b->strategy || a->resolution != b->resolution ||
	    a->events != b->events || a->count != b->count || a->windows != b->windows) {
		return false;
	}
	for (unsigned i = 0; i < a->windows; i++) {
		if (a->window[i].n != b->window[i].n || a->window[i].unit != b->window[i].unit) {
			return false;
		}
	}
	return true;
}

/* By enum strategy and enum limit_count. */
static const char strategy_letters[] = "fsm", count_letters[] = "mrb";

void record_layout_format(const struct record_layout *layout, struct strbuf *text)
{
	strbuf_printf(text, "%s %c", layout->old ? OLD_VERSION : FORMAT_VERSION,
	    strategy_letters[layout->strategy]);
	if (layout->strategy != STRATEGY_FIXED) {
		strbuf_printf(text, "%u",
		    layout->strategy == STRATEGY_SLIDING ? layout->resolution : layout->events);
	}
	strbuf_printf(text, " %c%u ", count_letters[layout->count], layout->transactions);
	for (unsigned i = 0; i < layout->windows; i++) {
		strbuf_puts(text, i ? "," : "");
		limit_window_format(&layout->window[i], text);
	}
}

static size_t write_header(const struct record_layout *layout, char header[RECORD_HEADER_MAX])
{
	struct strbuf text;

	strbuf_init(&text, header, RECORD_HEADER_MAX);
	record_layout_format(layout, &text);
	strbuf_puts(&text, "|");
	return text.length;
}

size_t record_size(const struct record_layout *layout)
{
	char header[RECORD_HEADER_MAX];

	return write_header(layout, header) + 2 * slot_size(layout) +
	    layout->events * event_size(layout);
}

void record_init(struct record *record, const struct record_layout *layout)
{
	char header[RECORD_HEADER_MAX];

	memset(record, 0, sizeof(*record));
	memset(record->transactions, base64_digits[0], sizeof(record->transactions));
	record->layout = *layout;
	for (unsigned i = 0; i < layout->windows; i++) {
		record->window[i].window = layout->window[i];
	}
	record->header_length = write_header(layout, header);
	record->header_check = hash_quick(CHECK_SEED, header, record->header_length);
	record->slot_size = slot_size(layout);
}

/* Reads a number that a blank ends, and moves *s behind that; -1 if there is none. */
static int read_number(
    const char **s, const char *end, unsigned min, unsigned max, unsigned *number)
{
	/* Of no bytes there may be no place either. */
	const char *blank = *s < end ? memchr(*s, ' ', (size_t)(end - *s)) : NULL;
	uint64_t value;

	if (!blank || number_parse(*s, (size_t)(blank - *s), max, &value) || value < min) {
		return -1;
	}
	*number = (unsigned)value;
	*s = blank + 1;
	return 0;
}

/* Reads what write_header wrote; end is at its '|'. */
static int read_header(struct record_layout *layout, const char *s, const char *end)
{
	const char *letter;

	*layout = (struct record_layout){.windows = 0};
	if (end - s < 9 || s[1] != ' ' || (s[0] != FORMAT_VERSION[0] && s[0] != OLD_VERSION[0])) {
		return -1;
	}
	layout->old = s[0] == OLD_VERSION[0];
	s += 2;
	letter = memchr(strategy_letters, *s++, strlen(strategy_letters));
	if (!letter) {
		return -1;
	}
	layout->strategy = (enum strategy)(letter - strategy_letters);
	if ((layout->strategy == STRATEGY_FIXED && *s++ != ' ') ||
	    (layout->strategy == STRATEGY_SLIDING &&
		read_number(&s, end, 1, WINDOW_RESOLUTION_MAX, &layout->resolution)) ||
	    (layout->strategy == STRATEGY_MOVING &&
		read_number(&s, end, 2, RECORD_EVENTS_MAX + 2, &layout->events))) {
		return -1;
	}
	letter = memchr(count_letters, *s++, strlen(count_letters));
	if (!letter || read_number(&s, end, 1, RECORD_TRANSACTIONS_MAX, &layout->transactions)) {
		return -1;
	}
	layout->count = (enum limit_count)(letter - count_letters);
	while (s < end) {
		size_t length = strcspn(s, ",|");
		struct limit_window window;

		/* No rule has a window twice. */
		if (layout->windows == LIMITS_MAX || limit_window_parse(s, length, &window) ||
		    record_layout_window(layout, &window) >= 0) {
			return -1;
		}
		layout->window[layout->windows++] = window;
		s += length + 1;
	}
	return layout->windows > 0 ? 0 : -1;
}

/*
 * Over the header, the slot up to its checksum and, if the log is not empty, the newest event.
 * Without the header a slot could be taken for one of another layout.
 */
static uint64_t slot_check(const struct record *record, const char *bytes, const char *slot)
{
	size_t size = record->slot_size - WIDTH_CHECK - 1;
	uint64_t check = hash_quick(CHECK_SEED, slot, size) ^ record->header_check;

	if (record->layout.strategy == STRATEGY_MOVING) {
		const char *p = slot + decimals_size(&record->layout) + WIDTH_STATE;
		uint64_t head = base64_get(&p, WIDTH_POSITION);
		uint64_t used = base64_get(&p, WIDTH_POSITION);

		if (head >= record->layout.events || used >= record->layout.events) {
			return ~UINT64_C(0);
		}
		if (used > 0) {
			uint64_t newest = (head ? head : record->layout.events) - 1;

			check += hash_quick(CHECK_SEED, bytes + event_offset(record, newest),
			    event_size(&record->layout));
		}
	}
	return check & ((UINT64_C(1) << (6 * WIDTH_CHECK)) - 1);
}

static bool slot_good(const struct record *record, const char *bytes, unsigned slot)
{
	const char *start = bytes + slot_offset(record, slot);
	const char *p = start + record->slot_size - WIDTH_CHECK - 1;

	return base64_get(&p, WIDTH_CHECK) == slot_check(record, bytes, start);
}

/* Times and client of the denials: zeros as long as there are none, as for nearly all counters. */
static void put_denials(const struct record *record, char **p)
{
	uint64_t half[2];

	if (record->denied == 0) {
		memset(*p, base64_digits[0], WIDTH_DENIALS);
		*p += WIDTH_DENIALS;
		return;
	}
	base64_put(p, WIDTH_DENIED_AT, (uint64_t)record->denied_first_s);
	base64_put(p, WIDTH_DENIED_AT, (uint64_t)record->denied_s);
	memcpy(half, record->denied_client, sizeof(half));
	base64_put(p, WIDTH_HALF_CLIENT, be64toh(half[0]));
	base64_put(p, WIDTH_HALF_CLIENT, be64toh(half[1]));
}

static void get_denials(struct record *record, const char **p)
{
	uint64_t half[2];

	if (record->denied == 0) {
		record->denied_first_s = record->denied_s = 0;
		memset(record->denied_client, 0, sizeof(record->denied_client));
		*p += WIDTH_DENIALS;
		return;
	}
	record->denied_first_s = (int64_t)base64_get(p, WIDTH_DENIED_AT);
	record->denied_s = (int64_t)base64_get(p, WIDTH_DENIED_AT);
	half[0] = htobe64(base64_get(p, WIDTH_HALF_CLIENT));
	half[1] = htobe64(base64_get(p, WIDTH_HALF_CLIENT));
	memcpy(record->denied_client, half, sizeof(half));
}

/* What is used of a window, where no bucket counts more than can be written of it. */
static uint64_t writable_used(const struct record *record, unsigned window)
{
	const struct record_layout *layout = &record->layout;
	uint64_t max = count_max(layout), sum = 0;

	if (layout->strategy == STRATEGY_MOVING) {
		return record_log_used(record, layout->window[window].length_ms);
	}
	for (unsigned age = 0; age <= layout->resolution; age++) {
		uint64_t count = record->window[window].bucket[age];

		sum += count < max ? count : max;
	}
	return sum;
}

/*
 * The buckets of a window but the newest, which is what is used, less the others. Nearly all are
 * 0, and so are all of their digits.
 */
static void put_buckets(
    const struct record_layout *layout, char **p, const uint64_t *bucket)
{
	size_t width = count_width(layout);

	memset(*p, base64_digits[0], layout->resolution * width);
	for (unsigned age = 1; age <= layout->resolution; age++) {
		char *digits = *p + (age - 1) * width;

		if (bucket[age] > 0) {
			base64_put(&digits, width, bucket[age]);
		}
	}
	*p += layout->resolution * width;
}

/* Expects what is used in bucket[0], and leaves the newest bucket there. */
static void get_buckets(const struct record_layout *layout, const char **p, uint64_t *bucket)
{
	size_t width = count_width(layout), size = layout->resolution * width;
	size_t at = strspn(*p, "0");

	memset(bucket + 1, 0, layout->resolution * sizeof(*bucket));
	while (at < size) {
		size_t age = 1 + at / width;
		const char *digits = *p + (age - 1) * width;

		bucket[age] = base64_get(&digits, width);
		bucket[0] -= bucket[age] < bucket[0] ? bucket[age] : bucket[0];
		at = age * width + strspn(digits, "0");
	}
	*p += size;
}

static void read_slot(struct record *record, const char *p)
{
	const struct record_layout *layout = &record->layout;
	const char *decimals = p;
	uint64_t flags;

	p += 2;
	record->stamp_ms = (int64_t)decimal_get(&p, WIDTH_SECONDS) * 1000;
	p++;
	record->stamp_ms += (int64_t)decimal_get(&p, WIDTH_MS);
	if (record->stamp_ms > STAMP_MAX_MS) {
		record->stamp_ms = STAMP_MAX_MS;
	}
	p += 3;
	record->denied = decimal_get(&p, WIDTH_DENIED);
	/* A moving window's events are in its log. */
	for (unsigned i = 0; layout->strategy != STRATEGY_MOVING && i < layout->windows; i++) {
		p += 3;
		record->window[i].bucket[0] = decimal_get(&p, used_width(layout));
	}
	p = decimals + decimals_size(layout);
	record->sequence = base64_get(&p, WIDTH_SEQUENCE);
	flags = base64_get(&p, WIDTH_FLAGS);
	for (unsigned i = 0; i < layout->windows; i++) {
		record->warned[i] = flags >> i & 1;
	}
	record->exception = flags & FLAG_EXCEPTION;
	get_denials(record, &p);
	p++;
	if (layout->strategy == STRATEGY_MOVING) {
		record->log_head = base64_get(&p, WIDTH_POSITION);
		record->log_events = base64_get(&p, WIDTH_POSITION);
		record->log_total = base64_get(&p, count_width(layout));
		p++;
	} else if (layout->strategy == STRATEGY_SLIDING) {
		for (unsigned i = 0; i < layout->windows; i++) {
			get_buckets(layout, &p, record->window[i].bucket);
		}
		p++;
	}
	memcpy(record->transactions, p, transactions_size(layout));
}

/* A time that a slot has no room for becomes the nearest one it has room for. */
static void write_slot(struct record *record, char *bytes, unsigned slot)
{
	const struct record_layout *layout = &record->layout;
	char *start = bytes + slot_offset(record, slot);
	uint64_t flags = record->exception ? FLAG_EXCEPTION : 0;
	char *p = start;

	record->stamp_ms = record->stamp_ms < 0               ? 0
			   : record->stamp_ms > STAMP_MAX_MS ? STAMP_MAX_MS
							     : record->stamp_ms;
	*p++ = 't';
	*p++ = '=';
	decimal_put(&p, WIDTH_SECONDS, (uint64_t)record->stamp_ms / 1000);
	*p++ = '.';
	decimal_put(&p, WIDTH_MS, (uint64_t)record->stamp_ms % 1000);
	*p++ = ' ';
	labelled_put(&p, 'd', WIDTH_DENIED, record->denied);
	*p++ = ' ';
	for (unsigned i = 0; i < layout->windows; i++) {
		labelled_put(&p, 'u', used_width(layout), writable_used(record, i));
		*p++ = ' ';
	}
	base64_put(&p, WIDTH_SEQUENCE, record->sequence);
	for (unsigned i = 0; i < layout->windows; i++) {
		flags |= (uint64_t)record->warned[i] << i;
	}
	base64_put(&p, WIDTH_FLAGS, flags);
	put_denials(record, &p);
	*p++ = ' ';
	if (layout->strategy == STRATEGY_MOVING) {
		base64_put(&p, WIDTH_POSITION, record->log_head);
		base64_put(&p, WIDTH_POSITION, record->log_events);
		base64_put(&p, count_width(layout), record->log_total);
		*p++ = ' ';
	} else if (layout->strategy == STRATEGY_SLIDING) {
		for (unsigned i = 0; i < layout->windows; i++) {
			put_buckets(layout, &p, record->window[i].bucket);
		}
		*p++ = ' ';
	}
	memcpy(p, record->transactions, transactions_size(layout));
	p += transactions_size(layout);
	*p++ = ' ';
	base64_put(&p, WIDTH_CHECK, slot_check(record, bytes, start));
	*p = '|';
}

/* Whether sequence number a comes after b. They wrap around. */
static bool is_later(uint64_t a, uint64_t b)
{
	uint64_t mask = (UINT64_C(1) << (6 * WIDTH_SEQUENCE)) - 1;

	return ((a - b) & mask) - 1 < mask / 2;
}

bool record_is_later(const struct record *a, const struct record *b)
{
	if (a->stamp_ms != b->stamp_ms || !record_layout_same(&a->layout, &b->layout)) {
		return a->stamp_ms > b->stamp_ms;
	}
	/* A record only grows, and counts its writes anew then. */
	if (a->layout.transactions != b->layout.transactions) {
		return a->layout.transactions > b->layout.transactions;
	}
	return is_later(a->sequence, b->sequence);
}

/* Whether bytes begin with the header of this record. */
static bool has_header(const struct record *record, const char *bytes, size_t size)
{
	return record->header_length > 0 && size >= record->header_length &&
	    hash_quick(CHECK_SEED, bytes, record->header_length) == record->header_check;
}

/* Makes the record what the header of bytes says. */
static int read_header_of(
    struct record *record, const char *bytes, size_t size, struct error *error)
{
	size_t length = size < RECORD_HEADER_MAX ? size : RECORD_HEADER_MAX;
	const char *end = length > 0 ? memchr(bytes, '|', length) : NULL;
	struct record_layout layout;

	if (end && read_header(&layout, bytes, end) == 0) {
		record_init(record, &layout);
		/* A header that write_header would spell in another way is damaged. */
		if (has_header(record, bytes, (size_t)(end + 1 - bytes))) {
			return 0;
		}
		record->header_length = 0;
	}
	return error_set(error, "not a counter of version " FORMAT_VERSION);
}

int record_read_again(struct record *record, const char *bytes, size_t size, struct error *error)
{
	uint64_t sequence[2];

	if (!has_header(record, bytes, size) && read_header_of(record, bytes, size, error)) {
		return -1;
	}
	if (size != event_offset(record, record->layout.events)) {
		return error_set(error, "%zu bytes long instead of %zu", size,
		    event_offset(record, record->layout.events));
	}
	record->log_bytes = bytes;
	for (unsigned slot = 0; slot < 2; slot++) {
		const char *p = bytes + slot_offset(record, slot) + decimals_size(&record->layout);

		sequence[slot] = base64_get(&p, WIDTH_SEQUENCE);
	}
	record->slot = is_later(sequence[1], sequence[0]);
	if (!slot_good(record, bytes, record->slot)) {
		record->slot = !record->slot;
		if (!slot_good(record, bytes, record->slot)) {
			return error_set(error, "neither of its two slots has a good checksum");
		}
	}
	read_slot(record, bytes + slot_offset(record, record->slot));
	return 0;
}

int record_read(struct record *record, const char *bytes, size_t size, struct error *error)
{
	record->header_length = 0;
	return record_read_again(record, bytes, size, error);
}

void record_write_new(struct record *record, char *bytes)
{
	char header[RECORD_HEADER_MAX];

	memcpy(bytes, header, write_header(&record->layout, header));
	memset(bytes + event_offset(record, 0), base64_digits[0],
	    record->layout.events * event_size(&record->layout));
	record->log_bytes = bytes;
	write_slot(record, bytes, 0);
	write_slot(record, bytes, 1);
}

void record_write(struct record *record, char *bytes)
{
	record->log_bytes = bytes;
	record->slot = !record->slot;
	record->sequence = (record->sequence + 1) & ((UINT64_C(1) << (6 * WIDTH_SEQUENCE)) - 1);
	write_slot(record, bytes, record->slot);
}

bool record_is_newer(const char *bytes, size_t size)
{
	const char *s = bytes, *end = bytes + size;
	unsigned version;

	return read_number(&s, end, FORMAT_VERSION[0] - '0' + 1, UINT_MAX, &version) == 0 &&
	    bytes[0] != '0' && end - s > 1 &&
	    memchr(strategy_letters, *s, strlen(strategy_letters));
}
