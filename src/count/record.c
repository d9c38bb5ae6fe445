/*
 * A counter's record, bytes to struct and back: see record.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "count/record.h"

#include "base/hash.h"
#include "base/number.h"
#include "count/record_codec.h"

#include <string.h>

#define FORMAT_VERSION "1"

/* The checks guard against accidents, not against somebody who may write the file. */
#define CHECK_SEED UINT64_C(0x726174656c696d69)

void record_layout_format(const struct record_layout *layout, struct strbuf *text)
{
	unsigned number = layout->strategy == STRATEGY_SLIDING ? layout->resolution : layout->events;

	strbuf_printf(text, FORMAT_VERSION " %c", "fsm"[layout->strategy]);
	if (layout->strategy != STRATEGY_FIXED) {
		strbuf_printf(text, "%u", number);
	}
	strbuf_printf(text, " %c%u ", "mrb"[layout->count], layout -> transactions);
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

void record_init(struct record *record, const struct record_layout *layout)
{
	memset(record, 0, sizeof(*record));
	memset(record->transactions, digits_of[0], sizeof(record->transactions));
	record->layout = *layout;
	for (unsigned i = 0; i < layout->windows; i++) {
		record->window[i].window = layout->window[i];
	}
}

/* Reads digits up to a character, which *s is moved behind; -1 if there are none. */
static int header_number(const char **s, const char *end, char stop, unsigned max, unsigned *number)
{
	const char *p = memchr(*s, stop, (size_t)(end - *s));
	uint64_t value;

	if (!p || number_parse(*s, (size_t)(p - *s), max, &value)) {
		return -1;
	}
	*number = (unsigned)value;
	*s = p + 1;
	return 0;
}

/* Reads what write_header wrote; end is behind its '|'. */
static int read_header(struct record_layout *layout, const char *s, const char *end)
{
	const char *letter;

	memset(layout, 0, sizeof(*layout));
	if (end - s < 9 || memcmp(s, FORMAT_VERSION " ", 2) != 0) {
		return -1;
	}
	s += 2;
	switch (*s++) {
	case 'f':
		layout->strategy = STRATEGY_FIXED;
		if (*s++ != ' ') {
			return -1;
		}
		break;
	case 's':
		layout->strategy = STRATEGY_SLIDING;
		if (header_number(&s, end, ' ', WINDOW_RESOLUTION_MAX, &layout->resolution) ||
		    layout->resolution == 0) {
			return -1;
		}
		break;
	case 'm':
		layout->strategy = STRATEGY_MOVING;
		if (header_number(&s, end, ' ', EVENT_LOG_MAX + 2, &layout->events) ||
		    layout->events < 2) {
			return -1;
		}
		break;
	default:
		return -1;
	}
	letter = memchr("mrb", *s++, 3);
	if (!letter) {
		return -1;
	}
	layout->count = (enum limit_count)(*letter == 'm' ? COUNT_MESSAGES
		: *letter == 'r'                          ? COUNT_RECIPIENTS
							  : COUNT_BYTES);
	if (header_number(&s, end, ' ', RECORD_TRANSACTIONS_MAX, &layout->transactions) ||
	    layout->transactions == 0) {
		return -1;
	}
	while (s < end) {
		size_t length = strcspn(s, ",|");

		if (layout->windows == LIMITS_MAX ||
		    limit_window_parse(s, length, &layout->window[layout->windows])) {
			return -1;
		}
		/* No rule has a window twice; which of the two would hold? */
		for (unsigned i = 0; i < layout->windows; i++) {
			if (window_same(layout->strategy, &layout->window[i],
				&layout->window[layout->windows])) {
				return -1;
			}
		}
		layout->windows++;
		s += length + 1;
	}
	return layout->windows > 0 ? 0 : -1;
}

/*
 * Over the header, the slot but its check and, if it names one, the newest event.
 * Without the header a slot could be taken for one of another layout.
 */
static uint64_t slot_check(const struct record *record, const char *bytes, const char *slot)
{
	size_t size = record->slot_size - WIDTH_CHECK - 1;
	uint64_t check = hash_quick(CHECK_SEED, slot, size) ^ record->header_check;

	if (record->layout.strategy == STRATEGY_MOVING) {
		const char *p = slot + WIDTH_STATE;
		uint64_t head = digits_get(&p, WIDTH_POSITION);
		uint64_t used = digits_get(&p, WIDTH_POSITION);

		if (head >= record->layout.events || used >= record->layout.events) {
			return ~UINT64_C(0);
		}
		if (used > 0) {
			uint64_t newest = (head ? head : record->layout.events) - 1;

			check += hash_quick(CHECK_SEED, event_at(record, (char *)bytes, newest),
			    event_size(&record->layout));
		}
	}
	return check & RECORD_HASH_MASK;
}

static bool slot_good(const struct record *record, const char *bytes, unsigned slot)
{
	const char *start = slot_at(record, (char *)bytes, slot);
	const char *p = start + record->slot_size - WIDTH_CHECK - 1;

	return digits_get(&p, WIDTH_CHECK) == slot_check(record, bytes, start);
}

static void read_slot(struct record *record, const char *p)
{
	const struct record_layout *layout = &record->layout;
	uint64_t flags;

	record->sequence = digits_get(&p, WIDTH_SEQUENCE);
	p++;
	record->stamp_ms = (int64_t)digits_get(&p, WIDTH_STAMP);
	p++;
	record->denied = digits_get(&p, WIDTH_DENIED);
	p++;
	record->denied_first_s = (int64_t)digits_get(&p, WIDTH_DENIED_AT);
	p++;
	record->denied_s = (int64_t)digits_get(&p, WIDTH_DENIED_AT);
	p++;
	flags = digits_get(&p, WIDTH_FLAGS);
	for (unsigned i = 0; i < layout->windows; i++) {
		record->warned[i] = flags >> i & 1;
	}
	record->exception = flags & FLAG_ALLOWANCE;
	p++;
	if (layout->strategy == STRATEGY_MOVING) {
		record->log_head = digits_get(&p, WIDTH_POSITION);
		record->log_used = digits_get(&p, WIDTH_POSITION);
		record->log_total = digits_get(&p, count_width(layout));
		p++;
	} else {
		for (unsigned i = 0; i < layout->windows; i++) {
			uint64_t *bucket = record->window[i].bucket;

			if (layout->count == COUNT_BYTES) {
				digits_get_all(&p, WIDTH_BYTES, bucket, buckets_of(layout));
			} else {
				digits_get_all(&p, WIDTH_COUNT, bucket, buckets_of(layout));
			}
			p++;
		}
	}
	memcpy(record->transactions, p, layout->transactions * (size_t)WIDTH_TRANSACTION);
}

static void write_slot(const struct record *record, char *bytes, unsigned slot)
{
	const struct record_layout *layout = &record->layout;
	char *start = slot_at(record, bytes, slot);
	uint64_t flags = record->exception ? FLAG_ALLOWANCE : 0;
	char *p = start;

	digits_put(&p, WIDTH_SEQUENCE, record->sequence);
	*p++ = ' ';
	digits_put(&p, WIDTH_STAMP, (uint64_t)record->stamp_ms);
	*p++ = ' ';
	digits_put(&p, WIDTH_DENIED, record->denied);
	*p++ = ' ';
	digits_put(&p, WIDTH_DENIED_AT, (uint64_t)record->denied_first_s);
	*p++ = ' ';
	digits_put(&p, WIDTH_DENIED_AT, (uint64_t)record->denied_s);
	*p++ = ' ';
	for (unsigned i = 0; i < layout->windows; i++) {
		flags |= (uint64_t)record->warned[i] << i;
	}
	digits_put(&p, WIDTH_FLAGS, flags);
	*p++ = ' ';
	if (layout->strategy == STRATEGY_MOVING) {
		digits_put(&p, WIDTH_POSITION, record->log_head);
		digits_put(&p, WIDTH_POSITION, record->log_used);
		digits_put(&p, count_width(layout), record->log_total);
		*p++ = ' ';
	} else {
		for (unsigned i = 0; i < layout->windows; i++) {
			const uint64_t *bucket = record->window[i].bucket;

			if (layout->count == COUNT_BYTES) {
				digits_put_all(&p, WIDTH_BYTES, bucket, buckets_of(layout));
			} else {
				digits_put_all(&p, WIDTH_COUNT, bucket, buckets_of(layout));
			}
			*p++ = ' ';
		}
	}
	memcpy(p, record->transactions, layout->transactions * (size_t)WIDTH_TRANSACTION);
	p += layout->transactions * (size_t)WIDTH_TRANSACTION;
	*p++ = ' ';
	digits_put(&p, WIDTH_CHECK, slot_check(record, bytes, start));
	*p = '|';
}

/* Whether sequence number a comes after b; they wrap around. */
static bool later(uint64_t a, uint64_t b)
{
	uint64_t mask = (UINT64_C(1) << (6 * WIDTH_SEQUENCE)) - 1;

	return ((a - b) & mask) - 1 < mask / 2;
}

bool record_is_later(const struct record *a, const struct record *b)
{
	if (a->stamp_ms != b->stamp_ms || !record_layout_same(&a->layout, &b->layout)) {
		return a->stamp_ms > b->stamp_ms;
	}
	return later(a->sequence, b->sequence);
}

/* What follows from the layout. */
static void set_frame(struct record *record)
{
	const struct record_layout *layout = &record->layout;

	record->header_length = write_header(layout, record->header);
	record->header_check = hash_quick(CHECK_SEED, record->header, record->header_length);
	record->slot_size = slot_size(layout);
	record->size =
	    record->header_length + 2 * record->slot_size + layout->events * event_size(layout);
}

/* Reads the header, and sees that it is as it would be written. */
static int read_frame(
    struct record *record, const char *bytes, size_t size, struct error *error)
{
	const char *end = memchr(bytes, '|', size < RECORD_HEADER_MAX ? size : RECORD_HEADER_MAX);
	struct record_layout layout;

	record->header_length = 0;
	if (!end || read_header(&layout, bytes, end)) {
		return error_set(error, "not a counter of version " FORMAT_VERSION);
	}
	record_init(record, &layout);
	set_frame(record);
	if (record->header_length == (size_t)(end + 1 - bytes) &&
	    memcmp(record->header, bytes, record->header_length) == 0) {
		return 0;
	}
	record->header_length = 0;
	return error_set(error, "not a counter of version " FORMAT_VERSION);
}

int record_read_again(
    struct record *record, const char *bytes, size_t size, struct error *error)
{
	const char *sequence[2];
	unsigned slot;

	if ((record->header_length == 0 || size < record->header_length ||
		memcmp(record->header, bytes, record->header_length) != 0) &&
	    read_frame(record, bytes, size, error)) {
		return -1;
	}
	if (size != record->size) {
		return error_set(error, "%zu bytes long instead of %zu", size, record->size);
	}
	record->log_bytes = bytes;
	sequence[0] = slot_at(record, (char *)bytes, 0);
	sequence[1] = slot_at(record, (char *)bytes, 1);
	slot = later(
	    digits_get(&sequence[1], WIDTH_SEQUENCE), digits_get(&sequence[0], WIDTH_SEQUENCE));
	if (!slot_good(record, bytes, slot)) {
		slot = !slot;
		if (!slot_good(record, bytes, slot)) {
			return error_set(error, "neither of its two slots has a good checksum");
		}
	}
	record->slot = slot;
	read_slot(record, slot_at(record, (char *)bytes, slot));
	return 0;
}

int record_read(struct record *record, const char *bytes, size_t size, struct error *error)
{
	record->header_length = 0;
	return record_read_again(record, bytes, size, error);
}

void record_write_new(struct record *record, char *bytes)
{
	struct record empty;

	record_init(&empty, &record->layout);
	empty.exception = record->exception;
	set_frame(&empty);
	set_frame(record);
	memcpy(bytes, empty.header, empty.header_length);
	memset(event_at(&empty, bytes, 0), digits_of[0],
	    record->layout.events * event_size(&record->layout));
	write_slot(&empty, bytes, 0);
	write_slot(&empty, bytes, 1);
	record->slot = 0;
	record->sequence = 0;
	record->log_head = record->log_used = record->log_total = 0;
	record->log_bytes = bytes;
}

void record_write(struct record *record, char *bytes)
{
	record->slot = !record->slot;
	record->sequence = (record->sequence + 1) & ((UINT64_C(1) << (6 * WIDTH_SEQUENCE)) - 1);
	write_slot(record, bytes, record->slot);
}

/* Where the transaction stands; at the end of the last one if it is not there. */
static size_t transaction_at(const struct record *record, uint64_t instance)
{
	size_t end = record->layout.transactions * (size_t)WIDTH_TRANSACTION;
	char wanted[WIDTH_HASH];
	char *p = wanted;
	size_t at = 0;

	digits_put(&p, WIDTH_HASH, instance);
	while (at < end && memcmp(record->transactions + at, wanted, WIDTH_HASH) != 0) {
		at += WIDTH_TRANSACTION;
	}
	return at;
}

bool record_transaction(
    const struct record *record, uint64_t instance, struct record_transaction *transaction)
{
	size_t at = transaction_at(record, instance);
	const char *p = record->transactions + at;

	if (at == record->layout.transactions * (size_t)WIDTH_TRANSACTION) {
		return false;
	}
	transaction->instance = digits_get(&p, WIDTH_HASH);
	transaction->charged = digits_get(&p, WIDTH_CHARGED);
	transaction->request = digits_get(&p, WIDTH_HASH);
	return true;
}

void record_remember(struct record *record, const struct record_transaction *transaction)
{
	size_t last = (record->layout.transactions - 1) * (size_t)WIDTH_TRANSACTION;
	size_t at = transaction_at(record, transaction->instance);
	char *p = record->transactions;

	memmove(p + WIDTH_TRANSACTION, p, at < last ? at : last);
	digits_put(&p, WIDTH_HASH, transaction->instance);
	digits_put(&p, WIDTH_CHARGED, transaction->charged);
	digits_put(&p, WIDTH_HASH, transaction->request);
}

bool record_is_newer(const char *bytes, size_t size)
{
	size_t digits = 0;

	while (digits < size && bytes[digits] >= '0' && bytes[digits] <= '9') {
		digits++;
	}
	return digits > 0 && digits + 2 < size && bytes[0] != '0' && bytes[digits] == ' ' &&
	    memchr("fsm", bytes[digits + 1], 3) && memcmp(bytes, FORMAT_VERSION " ", 2) != 0;
}
