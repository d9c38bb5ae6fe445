/*
 * The counter file's keys, and its record :meta: see file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "store/tdb/file.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define DIGITS (KEY_PREFIX - 1)
#define PREFIXES 100000000 /* as many as DIGITS decimal digits have values */

#define FORMAT_VERSION "2"

/* Written with blanks behind it, so that its size never changes. */
#define META_SIZE 192

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

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

int meta_write(struct tdb_context *tdb, const struct meta *meta, int flag)
{
	char bytes[META_SIZE];
	uint64_t half[2];
	int length;

	memcpy(half, meta->secret, sizeof(half));
	memset(bytes, ' ', META_SIZE);
	length = snprintf(bytes, META_SIZE,
	    FORMAT_VERSION " secret=%016" PRIx64 "%016" PRIx64 " compacted=%" PRId64
			   ".%03d took=%" PRId64 "ms size=%" PRIu64 " boot=%016" PRIx64,
	    half[0], half[1], meta->compacted_ms / 1000, (int)(meta->compacted_ms % 1000),
	    meta->compaction_took_ms, meta->compacted_size, meta->boot_id);
	bytes[length] = ' ';
	return tdb_store(tdb, key_meta(), file_data(bytes, META_SIZE), flag);
}

enum meta_result meta_read(struct meta *meta, TDB_DATA record)
{
	char text[META_SIZE + 1] = {0};
	struct meta read;
	uint64_t half[2];
	int64_t seconds;
	size_t digits;
	int ms;

	if (record.dsize == 0) {
		return META_BAD;
	}
	/* A later version may have another size. */
	memcpy(text, record.dptr, record.dsize < META_SIZE ? record.dsize : META_SIZE);
	digits = strspn(text, "0123456789");
	if (digits > 0 && strncmp(text + digits, " secret=", 8) == 0 &&
	    (digits > 1 || text[0] > FORMAT_VERSION[0])) {
		return META_NEWER;
	}
	if (record.dsize != META_SIZE ||
	    sscanf(text,
		FORMAT_VERSION " secret=%16" SCNx64 "%16" SCNx64 " compacted=%" SCNd64
			       ".%3d took=%" SCNd64 "ms size=%" SCNu64 " boot=%16" SCNx64,
		&half[0], &half[1], &seconds, &ms, &read.compaction_took_ms, &read.compacted_size,
		&read.boot_id) != 7 ||
	    seconds < 0 || seconds > INT64_MAX / 2000 || read.compaction_took_ms < 0 ||
	    read.compaction_took_ms > INT64_MAX / 2000) {
		return META_BAD;
	}
	memcpy(read.secret, half, sizeof(half));
	read.compacted_ms = seconds * 1000 + ms;
	*meta = read;
	return META_OK;
}

int meta_init(struct meta *meta, uint64_t file_size, bool fresh_secret)
{
	meta->compacted_ms = clock_now_ms();
	meta->compaction_took_ms = 0;
	meta->compacted_size = file_size;
	meta->boot_id = meta_boot_id();
	if (fresh_secret && getrandom(meta->secret, sizeof(meta->secret), 0) < 0) {
		return -1;
	}
	return 0;
}

uint64_t meta_boot_id(void)
{
	static uint64_t id;
	static const uint8_t none[HASH_KEY_BYTES];
	int fd = id == 0 ? open(BOOT_ID, O_RDONLY | O_CLOEXEC) : -1;
	char text[64];

	if (fd >= 0) {
		ssize_t length = read(fd, text, sizeof(text));

		id = length > 0 ? hash_keyed(none, text, (size_t)length) : 0;
		close(fd);
	}
	return id;
}
