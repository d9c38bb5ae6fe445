/*
 * Finding records in a damaged counter file: see file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* TDB's record header (lib/tdb/common/tdb_private.h): the key and the data follow it. */
struct tdb_header {
	uint32_t next;
	uint32_t length;
	uint32_t key_length;
	uint32_t data_length;
	uint32_t hash;
	uint32_t magic;
};

#define TDB_RECORD_MAGIC 0x26011999U
#define TDB_STEP 4
#define SCAN_PAGE 4096
#define KEY_LENGTH_MAX 1024
#define DATA_LENGTH_MAX (1 << 22)


struct scan {
	int fd;
	scan_visit *visit;
	void *private;
	struct store_buffer copy; /* of a key and its data */
};

/* What may be a record: its key and its data, which are behind its header at that place. */
static int try_record(struct scan *scan, const struct tdb_header *header, size_t at)
{
	size_t size = (size_t)header->key_length + header->data_length;
	TDB_DATA key, data;
	ssize_t n;

	if (store_buffer_reserve(&scan->copy, size)) {
		return -1;
	}
	n = pread(scan->fd, scan->copy.bytes, size, (off_t)at);
	key = file_data(scan->copy.bytes, header->key_length);
	data = file_data(scan->copy.bytes + header->key_length, header->data_length);
	/* The record's own check does not cover its key. */
	if (n < 0 || (size_t)n != size || tdb_jenkins_hash(&key) != header->hash) {
		return 0;
	}
	return scan->visit(key, data, scan->private);
}

int scan_file(int fd, uint64_t size, scan_visit *visit, void *private)
{
	struct scan scan = {.fd = fd, .visit = visit, .private = private};
	struct tdb_header header;
	char page[SCAN_PAGE + sizeof(header)];
	int result = 0;

	for (uint64_t at = 0; at < size && result == 0; at += SCAN_PAGE) {
		ssize_t n = pread(fd, page, sizeof(page), (off_t)at);

		for (size_t i = 0;
		     result == 0 && i < SCAN_PAGE && n > 0 && i + sizeof(header) < (size_t)n;
		     i += TDB_STEP) {
			memcpy(&header, page + i, sizeof(header));
			if (header.magic == TDB_RECORD_MAGIC && header.key_length > 0 &&
			    header.key_length <= KEY_LENGTH_MAX &&
			    header.data_length <= DATA_LENGTH_MAX) {
				result = try_record(&scan, &header, at + i + sizeof(header));
			}
		}
	}
	free(scan.copy.bytes);
	return result;
}
