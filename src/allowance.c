/*
 * Allowances to bytes and back: see allowance.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "allowance.h"

#include <stdio.h>
#include <string.h>

#define FORMAT_VERSION "1 "
#define CHECK_DIGITS 11

/* Guards against accidents, not against somebody who may write the file. */
static const uint8_t check_key[HASH_KEY_BYTES] = "ratelimit record";

static void format_check(const char *bytes, size_t length, char check[CHECK_DIGITS + 1])
{
	uint64_t hash = hash_keyed(check_key, bytes, length) >> 20;

	snprintf(check, CHECK_DIGITS + 1, "%011llx", (unsigned long long)hash);
}

void allowance_format(const struct allowance *allowance, struct text *text)
{
	char check[CHECK_DIGITS + 1];

	text_printf(text, FORMAT_VERSION "%lld %lld %s|", (long long)allowance->changed_ms,
	    (long long)allowance->until_s, allowance->limits[0] ? allowance->limits : "-");
	for (unsigned i = 0; i < allowance->grants; i++) {
		text_printf(text, "%lld +%llu|", (long long)allowance->grant[i].until_s,
		    (unsigned long long)allowance->grant[i].count);
	}
	format_check(text->buffer, text->length, check);
	text_puts(text, check);
}

/* Reads digits up to a character, and moves *s behind it. */
static int read_number(const char **s, const char *end, char stop, uint64_t *number)
{
	const char *p = memchr(*s, stop, (size_t)(end - *s));

	if (!p || number_parse(*s, (size_t)(p - *s), INT64_MAX, number)) {
		return -1;
	}
	*s = p + 1;
	return 0;
}

static int read_fields(struct allowance *allowance, const char *s, const char *end)
{
	const char *bar;
	uint64_t number;

	if (read_number(&s, end, ' ', &number)) {
		return -1;
	}
	allowance->changed_ms = (int64_t)number;
	if (read_number(&s, end, ' ', &number)) {
		return -1;
	}
	allowance->until_s = (int64_t)number;
	bar = memchr(s, '|', (size_t)(end - s));
	if (!bar || bar == s || (size_t)(bar - s) >= sizeof(allowance->limits)) {
		return -1;
	}
	if (bar - s > 1 || *s != '-') {
		memcpy(allowance->limits, s, (size_t)(bar - s));
	}
	for (s = bar + 1; s < end; allowance->grants++) {
		struct allowance_grant *grant = &allowance->grant[allowance->grants];

		if (allowance->grants == ALLOWANCE_GRANTS_MAX ||
		    read_number(&s, end, ' ', &number) || s == end || *s++ != '+' ||
		    read_number(&s, end, '|', &grant->count)) {
			return -1;
		}
		grant->until_s = (int64_t)number;
	}
	return 0;
}

int allowance_read(struct allowance *allowance, const char *bytes, size_t size, struct error *error)
{
	const size_t version = strlen(FORMAT_VERSION);
	char check[CHECK_DIGITS + 1];

	memset(allowance, 0, sizeof(*allowance));
	if (size < version + CHECK_DIGITS || memcmp(bytes, FORMAT_VERSION, version) != 0) {
		return error_set(error, "not an allowance of version " FORMAT_VERSION);
	}
	size -= CHECK_DIGITS;
	format_check(bytes, size, check);
	if (memcmp(check, bytes + size, CHECK_DIGITS) != 0) {
		return error_set(error, "its checksum is wrong");
	}
	if (read_fields(allowance, bytes + version, bytes + size)) {
		memset(allowance, 0, sizeof(*allowance));
		return error_set(error, "not an allowance");
	}
	return 0;
}

bool allowance_is_newer(const char *bytes, size_t size)
{
	size_t digits = 0;

	while (digits < size && bytes[digits] >= '0' && bytes[digits] <= '9') {
		digits++;
	}
	return digits > 0 && digits + 1 < size && bytes[0] != '0' && bytes[digits] == ' ' &&
	    memcmp(bytes, FORMAT_VERSION, strlen(FORMAT_VERSION)) != 0;
}

bool allowance_prune(struct allowance *allowance, int64_t now_s)
{
	unsigned kept = 0;

	if (allowance->until_s && allowance->until_s <= now_s) {
		allowance->limits[0] = '\0';
	}
	if (!allowance->limits[0]) {
		allowance->until_s = 0;
	}
	for (unsigned i = 0; i < allowance->grants; i++) {
		if (allowance->grant[i].until_s == 0 || allowance->grant[i].until_s > now_s) {
			allowance->grant[kept++] = allowance->grant[i];
		}
	}
	allowance->grants = kept;
	return allowance->limits[0] || kept > 0;
}

int allowance_grant(struct allowance *allowance, int64_t until_s, uint64_t count)
{
	if (allowance->grants == ALLOWANCE_GRANTS_MAX) {
		return -1;
	}
	allowance->grant[allowance->grants].until_s = until_s;
	allowance->grant[allowance->grants++].count = count;
	return 0;
}

uint64_t allowance_granted(const struct allowance *allowance)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < allowance->grants; i++) {
		uint64_t count = allowance->grant[i].count;

		sum = sum > LIMIT_BYTES_MAX - count ? LIMIT_BYTES_MAX : sum + count;
	}
	return sum;
}

void allowance_key(struct text *text, const char *counter_key, size_t length)
{
	text_puts(text, ALLOWANCE_PREFIX);
	text_add(text, counter_key, length);
}

const char *allowance_counter_key(const char *key, size_t length, size_t *counter_length)
{
	const size_t prefix = strlen(ALLOWANCE_PREFIX);

	if (length <= prefix || memcmp(key, ALLOWANCE_PREFIX, prefix) != 0) {
		return NULL;
	}
	*counter_length = length - prefix;
	return key + prefix;
}
