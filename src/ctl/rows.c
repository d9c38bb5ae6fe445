/*
 * Rows of counters: see rows.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/rows.h"
#include "ctl/print.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/number.h"
#include "count/counter.h"
#include "engine/limits.h"
#include "engine/request.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

const char *const rows_order_names[ROWS_ORDERS] = {"percent", "used", "key", "last"};

static uint64_t percent_of(uint64_t used, uint64_t limit)
{
	return limit == LIMIT_UNLIMITED ? 0
	    : limit == 0                ? 100
					: (uint64_t)((double)used * 100 / (double)limit);
}

/* Adds the windows of a counter that have a limit; all of them if the key is unlimited or denied.
 */
static void add_rows(struct rows *rows, struct row row, const struct effective *effective,
    const struct record *record, const char *key)
{
	const struct limits *limits = &effective->limits;
	unsigned n = limits->n > 0 ? limits->n : record->layout.windows;

	for (row.window = 0; row.window < n; row.window++) {
		unsigned window = limits->n > 0 ? effective->window[row.window] : row.window;

		row.limit = limits->n > 0
		    ? limits->at[row.window]
		    : (struct limit){.window = record->layout.window[row.window],
			  .count = limits->kind == LIMITS_DENY ? 0 : LIMIT_UNLIMITED};
		row.used = counter_used(record, window);
		row.wait_ms = row.limit.count == LIMIT_UNLIMITED
		    ? 0
		    : counter_wait(record, window, row.limit.count, 1);
		row.percent = percent_of(row.used, row.limit.count);
		if (row.percent >= rows->over_percent) {
			row.owns_key = !row.key;
			row.key = row.key ? row.key : ctl_must(strdup(key));
			rows->row = ctl_must(array_grow(rows->row, rows->rows, sizeof(row)));
			rows->row[rows->rows++] = row;
		}
	}
}

static void format_client(
    const uint8_t client[RECORD_CLIENT_BYTES], char printed[NETADDR_TEXT_SIZE])
{
	static const uint8_t unknown[RECORD_CLIENT_BYTES];
	struct netaddr address;
	struct strbuf text;

	strbuf_init(&text, printed, NETADDR_TEXT_SIZE);
	if (memcmp(client, unknown, sizeof(unknown)) != 0) {
		netaddr_from_bytes(&address, client);
		netaddr_format(&address, &text);
	}
}

/* What holds for a counter's key. Sets row->source. */
static const struct effective *find_effective(struct rows *rows, struct row *row,
    struct store_txn *txn, const struct record *record, const char *key, size_t key_length)
{
	size_t prefix = strlen(row->rule->name) + 1;
	const struct override *override =
	    request_find_override(row->rule, key + prefix, key_length - prefix, rows->secret);
	const struct effective *with = NULL,
			       *effective =
				   effective_limits_of_file(rows->ctl->limits, row->rule, override);
	struct exception exception;
	struct error error;

	row->source = override ? "override" : "rule";
	if (record->exception &&
	    effective_limits_find_exception(txn, key, key_length, &exception, NULL)) {
		effective_limits_trim(rows->ctl->limits);
		with = effective_limits_with(
		    rows->ctl->limits, row->rule, effective, &exception, &error);
	}
	row->source = with ? "set" : row->source;
	return with ? with : effective;
}

/*
 * Converts a record to the layout of these limits, as the next request will. Returns its bytes, to
 * be freed, which a moving window's record needs.
 */
static char *convert(const struct effective *effective, struct record *record, int64_t now_ms)
{
	struct record old = *record;
	char *bytes = ctl_must(malloc(effective->initial_size));

	record_init(record, &effective->layout);
	record_write_new(record, bytes);
	record_migrate(&old, record, bytes);
	record_log_clamp(record, bytes, now_ms);
	return bytes;
}

static bool read_counter(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *bytes, size_t size)
{
	struct rows *rows = data;
	const struct effective *effective;
	char printable[4 * KEY_MAX];
	char *converted = NULL;
	struct row row = {.key = NULL};
	struct record record;
	struct error error;
	struct strbuf text;
	size_t prefix;

	row.rule = ctl_rule_of(rows->ctl, key, key_length, &prefix);
	if (!row.rule || (rows->rule && row.rule != rows->rule)) {
		return true;
	}
	strbuf_init(&text, printable, sizeof(printable));
	strbuf_printable(&text, key + prefix, key_length - prefix, NULL);
	if (rows->glob &&
	    !ctl_key_matches(row.rule, key + prefix, key_length - prefix, rows->glob)) {
		return true;
	}
	if (record_read(&record, bytes, size, &error)) {
		if (!rows->quiet) {
			print_warning("the record of \"%s:%s\" is damaged: %s; reset it",
			    row.rule->name, printable, error.text);
		}
		rows->damaged++;
		return true;
	}
	effective = find_effective(rows, &row, txn, &record, key, key_length);
	/* As the next request will find it: other limits may have come since it was written. */
	if (effective->layout.windows > 0 &&
	    !record_layout_same(&record.layout, &effective->layout)) {
		converted = convert(effective, &record, rows->now_ms);
	}
	row.last_s = record.stamp_ms / 1000;
	counter_advance(&record, rows->now_ms);
	if (counter_is_alive(&record)) {
		row.counter = rows->counters++;
		row.denied = record.denied;
		row.denied_first_s = record.denied_first_s;
		row.denied_s = record.denied_s;
		format_client(record.denied_client, row.denied_client);
		add_rows(rows, row, effective, &record, printable);
	}
	free(converted);
	return true;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* The fullest or the latest first, or by key; rows that are equal in this, by key. */
static int compare_rows(const void *left, const void *right, void *data)
{
	const struct row *a = left;
	const struct row *b = right;
	const struct rows *rows = data;
	int order = rows->order == ROWS_BY_PERCENT ? compare_numbers(b->percent, a->percent)
	    : rows->order == ROWS_BY_USED          ? compare_numbers(b->used, a->used)
	    : rows->order == ROWS_BY_LAST
	    ? compare_numbers((uint64_t)b->last_s, (uint64_t)a->last_s)
	    : 0;

	order = order ? order : strcmp(a->key, b->key);
	order = order ? order : (a->rule > b->rule) - (a->rule < b->rule);
	return order ? order : compare_numbers(a->window, b->window);
}

void rows_sort(struct rows *rows)
{
	if (rows->rows > 0) {
		qsort_r(rows->row, rows->rows, sizeof(*rows->row), compare_rows, rows);
	}
}

int rows_read(struct ctl *ctl, struct rows *rows)
{
	enum store_result result;
	const uint8_t *secret;
	struct error error;

	rows->ctl = ctl;
	rows->now_ms = clock_now_ms();
	result = store_secret(ctl->store, &secret, &error);
	if (result == STORE_OK) {
		memcpy(rows->secret, secret, sizeof(rows->secret));
		result = store_walk(ctl->store, read_counter, rows, &error);
	}
	if (result != STORE_OK && rows->error) {
		*rows->error = error;
		return EX_UNAVAILABLE;
	}
	if (result != STORE_OK) {
		return ctl_store_failed(result, &error);
	}
	rows_sort(rows);
	return EX_OK;
}

void rows_free(struct rows *rows)
{
	for (size_t i = 0; i < rows->rows; i++) {
		if (rows->row[i].owns_key) {
			free(rows->row[i].key);
		}
	}
	free(rows->row);
	rows->row = NULL;
	rows->rows = rows->counters = rows->damaged = 0;
}

int rows_options(struct rows *rows, const char *over, const char *sort)
{
	size_t length = over ? strlen(over) : 0;
	size_t order = 0;

	length -= length > 1 && over[length - 1] == '%';
	if (over && number_parse(over, length, UINT32_MAX, &rows->over_percent)) {
		print_warning("--over %s: not a percentage such as 80", over);
		return EX_USAGE;
	}
	while (sort && order < ROWS_ORDERS && strcmp(rows_order_names[order], sort) != 0) {
		order++;
	}
	if (order == ROWS_ORDERS) {
		print_warning("--sort %s: not one of used, percent, key, last", sort);
		return EX_USAGE;
	}
	rows->order = (enum rows_order)order;
	return 0;
}
