/*
 * A record that the unit tests of count/ write and read.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UNIT_RECORD_H
#define UNIT_RECORD_H

#include "count/record.h"
#include "unit.h"

static char bytes[65536];

/* Writes the record and reads it again, as the next request would. */
static void write_and_read(struct record *record)
{
	struct error error = {""};

	record_write(record, bytes);
	check(record_read(record, bytes, record_size(&record->layout), &error) == 0, "%s",
	    error.text);
}

#endif
