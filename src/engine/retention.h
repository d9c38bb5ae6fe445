/*
 * What the store has to know about counters and exceptions: which of them can be used, and how
 * long they are kept.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef RETENTION_H
#define RETENTION_H

#include "store/store.h"

/*
 * Keeps a counter while one of its windows is used, its last transaction is younger than ten
 * minutes or it was denied within the last seven days; an exception until it has expired; and
 * records of a later version.
 */
extern const struct store_codec retention_codec;

#endif
