/*
 * What has to be known of a counter file before TDB opens it: see file.h. The only place that
 * reads TDB's format.
 *
 * tdb_open undoes a TDB transaction whose process was killed while it committed. It reads the
 * old bytes from the recovery area, and trusts all lengths there: a wrong one ends the process,
 * or copies what is behind a buffer into the file. It does so again in every process. The format is
 * that of tdb_private.h in TDB 1.4, which has not changed since 2001; what is no such file is left
 * to TDB to judge.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"

#include <byteswap.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TDB_FOOD "TDB file\n"
#define TDB_VERSION (0x26011967 + 6)
#define TDB_HASH_RWLOCK_MAGIC 0xbad1a51
#define TDB_RECOVERY_MAGIC 0xf53bc0e7

/* Numbers in the byte order of the machine that made the file. */
struct tdb_header {
	char food[32];
	uint32_t version;
	uint32_t hash_size;
	uint32_t rwlocks; /* says whether the hash is TDB_INCOMPATIBLE_HASH */
	uint32_t recovery_start; /* 0: none */
};

/* The recovery area: this, and pieces of data_len bytes in all. */
struct tdb_recovery {
	uint32_t next;
	uint32_t rec_len; /* of the whole area, without this header */
	uint32_t key_len;
	uint32_t data_len;
	uint32_t full_hash;
	uint32_t magic;
};

/* What goes back to offset; that many bytes follow. */
struct tdb_piece {
	uint32_t offset;
	uint32_t length;
};

struct look {
	int fd;
	bool swapped; /* the file is of the other byte order */
	uint64_t size; /* of the file */
};

/* Reads that many numbers. */
static bool read_numbers(const struct look *look, uint64_t at, void *numbers, size_t size)
{
	uint32_t *number = numbers;

	if (pread(look->fd, numbers, size, (off_t)at) != (ssize_t)size) {
		return false;
	}
	for (size_t i = 0; look->swapped && i < size / sizeof(*number); i++) {
		number[i] = bswap_32(number[i]);
	}
	return true;
}

static bool is_within(uint64_t at, uint64_t length, uint64_t size)
{
	return at <= size && length <= size - at;
}

/* The loop of tdb_transaction_recover. */
static bool pieces_are_sound(const struct look *look, uint64_t at, uint64_t end)
{
	struct tdb_piece piece;

	while (at + sizeof(piece) < end) {
		if (!read_numbers(look, at, &piece, sizeof(piece))) {
			return false;
		}
		at += sizeof(piece);
		if (!is_within(at, piece.length, end) ||
		    !is_within(piece.offset, piece.length, look->size)) {
			return false;
		}
		at += piece.length;
	}
	return true;
}

static bool recovery_is_sound(const struct look *look, uint64_t at)
{
	struct tdb_recovery area;

	if (!read_numbers(look, at, &area, sizeof(area))) {
		return false;
	}
	at += sizeof(area);
	/* TDB knows other areas as none, and writes to one without a TDB transaction. */
	if (area.magic != TDB_RECOVERY_MAGIC) {
		return area.magic != 0 || is_within(at, area.rec_len, look->size);
	}
	return is_within(at, area.rec_len, look->size) && area.data_len <= area.rec_len &&
	    pieces_are_sound(look, at, at + area.data_len);
}

bool header_is_safe(int fd, bool *other_hash)
{
	struct look look = {.fd = fd};
	struct tdb_header header;
	struct stat st;

	*other_hash = false;
	if (fstat(fd, &st) || pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    memcmp(header.food, TDB_FOOD, sizeof(TDB_FOOD)) != 0) {
		return true;
	}
	look.size = (uint64_t)st.st_size;
	look.swapped = header.version == bswap_32(TDB_VERSION);
	if (look.swapped) {
		header.rwlocks = bswap_32(header.rwlocks);
		header.recovery_start = bswap_32(header.recovery_start);
	}
	*other_hash = header.rwlocks != TDB_HASH_RWLOCK_MAGIC;
	return header.recovery_start == 0 || recovery_is_sound(&look, header.recovery_start);
}
