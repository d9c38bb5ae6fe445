/*
 * Keys as they stand in the counter file: see file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"

#include <assert.h>
#include <string.h>

#define DIGITS (KEY_PREFIX - 1)
#define PREFIXES 100000000 /* as many as DIGITS decimal digits have values */

TDB_DATA file_data(const void *bytes, size_t size)
{
	return (TDB_DATA){.dptr = (unsigned char *)bytes, .dsize = size};
}

TDB_DATA key_store(const uint8_t secret[HASH_KEY_BYTES], const char *key, size_t key_length,
    char buffer[KEY_STORED_MAX])
{
	uint64_t prefix = hash_keyed(secret, key, key_length) % PREFIXES;

	assert(key_length <= KEY_STORED_MAX - KEY_PREFIX);
	for (size_t i = DIGITS; i > 0; i--) {
		buffer[i - 1] = (char)('0' + prefix % 10);
		prefix /= 10;
	}
	buffer[DIGITS] = ' ';
	memcpy(buffer + KEY_PREFIX, key, key_length);
	return file_data(buffer, KEY_PREFIX + key_length);
}

const char *key_original(TDB_DATA stored, size_t *key_length)
{
	const char *bytes = (const char *)stored.dptr;

	if (stored.dsize <= KEY_PREFIX || stored.dsize > KEY_STORED_MAX || bytes[DIGITS] != ' ') {
		return NULL;
	}
	for (size_t i = 0; i < DIGITS; i++) {
		if (bytes[i] < '0' || bytes[i] > '9') {
			return NULL;
		}
	}
	*key_length = stored.dsize - KEY_PREFIX;
	return bytes + KEY_PREFIX;
}

TDB_DATA key_meta(void)
{
	return file_data(":meta", 5);
}

bool key_is_meta(TDB_DATA stored)
{
	TDB_DATA meta = key_meta();

	return stored.dsize == meta.dsize && memcmp(stored.dptr, meta.dptr, meta.dsize) == 0;
}
