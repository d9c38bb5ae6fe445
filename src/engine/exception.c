/*
 * Exceptions to bytes and back: see exception.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine/exception.h"

#include "base/hash.h"
#include "base/number.h"

#include <stdio.h>
#include <string.h>

#define FORMAT_VERSION "1 "
#define CHECK_DIGITS 11

/* For a checksum against accidents, not against anyone who may write to the file. */
static const uint8_t check_key[HASH_KEY_BYTES] = "ratelimit record";

static void format_check(const char *bytes, size_t length, char check[CHECK_DIGITS + 1])
{
	uint64_t hash = hash_keyed(check_key, bytes, length) >> 20;

	snprintf(check, CHECK_DIGITS + 1, "%011llx", (unsigned long long)hash);
}

void exception_format(const struct exception *exception, struct strbuf *text)
{
	char check[CHECK_DIGITS + 1];

	strbuf_printf(text, FORMAT_VERSION "%lld %lld %s|", (long long)exception->changed_ms,
	    (long long)exception->until_s, exception->limits[0] ? exception->limits : "-");
	for (unsigned i = 0; i < exception->grants; i++) {
		strbuf_printf(text, "%lld +%llu|", (long long)exception->grant[i].until_s,
		    (unsigned long long)exception->grant[i].count);
	}
	format_check(text->buffer, text->length, check);
	strbuf_puts(text, check);
}

/* Reads a number that the character stop ends, and moves *s behind that. */
static int read_number(const char **s, const char *end, char stop, uint64_t *number)
{
	const char *p = *s < end ? memchr(*s, stop, (size_t)(end - *s)) : NULL;

	if (!p || number_parse(*s, (size_t)(p - *s), INT64_MAX, number)) {
		return -1;
	}
	*s = p + 1;
	return 0;
}

static int read_fields(struct exception *exception, const char *s, const char *end)
{
	const char *bar;
	uint64_t changed_ms, until_s;

	if (read_number(&s, end, ' ', &changed_ms) || read_number(&s, end, ' ', &until_s)) {
		return -1;
	}
	exception->changed_ms = (int64_t)changed_ms;
	exception->until_s = (int64_t)until_s;
	bar = memchr(s, '|', (size_t)(end - s));
	if (!bar || bar == s || (size_t)(bar - s) >= sizeof(exception->limits)) {
		return -1;
	}
	if (bar - s > 1 || *s != '-') {
		memcpy(exception->limits, s, (size_t)(bar - s));
	}
	for (s = bar + 1; s < end; exception->grants++) {
		struct exception_grant *grant = &exception->grant[exception->grants];

		if (exception->grants == EXCEPTION_GRANTS_MAX ||
		    read_number(&s, end, ' ', &until_s) || s == end || *s++ != '+' ||
		    read_number(&s, end, '|', &grant->count)) {
			return -1;
		}
		grant->until_s = (int64_t)until_s;
	}
	return 0;
}

int exception_read(struct exception *exception, const char *bytes, size_t size, struct error *error)
{
	const size_t version = strlen(FORMAT_VERSION);
	char check[CHECK_DIGITS + 1];

	memset(exception, 0, sizeof(*exception));
	if (size < version + CHECK_DIGITS || memcmp(bytes, FORMAT_VERSION, version) != 0) {
		return error_set(error, "not an exception of version " FORMAT_VERSION);
	}
	size -= CHECK_DIGITS;
	format_check(bytes, size, check);
	if (memcmp(check, bytes + size, CHECK_DIGITS) != 0) {
		return error_set(error, "its checksum is wrong");
	}
	if (read_fields(exception, bytes + version, bytes + size)) {
		memset(exception, 0, sizeof(*exception));
		return error_set(error, "not an exception");
	}
	return 0;
}

bool exception_is_newer(const char *bytes, size_t size)
{
	const char *s = bytes;
	uint64_t version;

	return read_number(&s, bytes + size, ' ', &version) == 0 && s < bytes + size &&
	    bytes[0] != '0' && version > 1;
}

bool exception_prune(struct exception *exception, int64_t now_s)
{
	unsigned kept = 0;

	if (exception->until_s && exception->until_s <= now_s) {
		exception->limits[0] = '\0';
	}
	if (!exception->limits[0]) {
		exception->until_s = 0;
	}
	for (unsigned i = 0; i < exception->grants; i++) {
		if (exception->grant[i].until_s == 0 || exception->grant[i].until_s > now_s) {
			exception->grant[kept++] = exception->grant[i];
		}
	}
	exception->grants = kept;
	return exception->limits[0] || kept > 0;
}

int exception_grant(struct exception *exception, int64_t until_s, uint64_t count)
{
	if (exception->grants == EXCEPTION_GRANTS_MAX) {
		return -1;
	}
	exception->grant[exception->grants].until_s = until_s;
	exception->grant[exception->grants++].count = count;
	return 0;
}

uint64_t exception_granted(const struct exception *exception)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < exception->grants; i++) {
		uint64_t count = exception->grant[i].count;

		sum = sum > LIMIT_BYTES_MAX - count ? LIMIT_BYTES_MAX : sum + count;
	}
	return sum;
}

void exception_key(struct strbuf *text, const char *counter_key, size_t length)
{
	strbuf_puts(text, EXCEPTION_PREFIX);
	strbuf_add(text, counter_key, length);
}

const char *exception_counter_key(const char *key, size_t length, size_t *counter_length)
{
	const size_t prefix = strlen(EXCEPTION_PREFIX);

	if (length <= prefix || memcmp(key, EXCEPTION_PREFIX, prefix) != 0) {
		return NULL;
	}
	*counter_length = length - prefix;
	return key + prefix;
}
