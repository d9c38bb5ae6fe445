/*
 * Finds the records of a damaged counter file, by TDB's own means.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef STORE_TDB_SCAN_H
#define STORE_TDB_SCAN_H

#include "base/error.h"

#include <stdint.h>

struct TDB_DATA;

/* Is given one record. Both are copies that end with the call; data may be changed. */
typedef void scan_visit(struct TDB_DATA key, struct TDB_DATA data, void *private);

/*
 * Calls visit for every record that can be recognised anywhere in the first size bytes of fd,
 * in the order of the keys. Of one key there may be several: copies from before a record was
 * moved, or from a TDB transaction. What the disk can't read counts as zeros.
 *
 * Takes no lock; the caller keeps others from writing. Needs room for a copy of the file:
 * scratch is its name, in a folder where the process may make files. The name is free again
 * when the scan begins.
 *
 * 0; -1: the scratch file can't be made or written, or memory is short. visit may have been
 * called then.
 */
int scan_records(int fd, uint64_t size, const char *scratch, scan_visit *visit, void *private,
    struct error *error);

#endif
