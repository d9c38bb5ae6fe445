/*
 * Runs operations on the counter file, whatever happens to it meanwhile: see file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"
#include "store/tdb/signals.h"

/* After SIGBUS: drops what TDB has open, which may raise another one. */
static enum store_result recover_from_bus(struct file *file, struct error *error)
{
	struct tdb_context *tdb = file->tdb;

	signals_unbound_files();
	file->tdb = NULL;
	file_close(file);
	file->cut_off = true;
	if (tdb && sigsetjmp(signals_bus_jump, 0) == 0) {
		signals_bus_arm(true);
		tdb_close(tdb);
	}
	signals_bus_arm(false);
	error_set(
	    error, "%s: cut off while it was in use, or its disk fails", file->store.location);
	return STORE_DAMAGED;
}

/* Opens the file, and sees that it is sound if the system has been started since. */
static enum store_result open_file(struct file *file, struct error *error)
{
	enum store_result result;

	if (file->tdb) {
		return STORE_OK;
	}
	signals_alarm_ensure(file->store.options.lock_timeout_ms);
	result = file_open(file, error);
	if (result == STORE_OK && file->store.options.rescue &&
	    file->meta.boot_id != meta_boot_id()) {
		result = rescue_check(file, error);
	}
	return result;
}

static enum store_result run(
    struct file *file, file_operation *operation, void *data, struct error *error)
{
	enum store_result result = STORE_OK;

	for (int i = 0; i < FILE_TRIES; i++) {
		result = open_file(file, error);
		if (result == STORE_OK && !file->replaced) {
			result = operation(file, data, error);
		}
		if (file->replaced) {
			file_close(file);
		} else if (result == STORE_DAMAGED && file->store.options.rescue) {
			struct error why = *error;

			signals_alarm_ensure(file->store.options.lock_timeout_ms);
			result = rescue_run(file, why.text, error);
			if (result != STORE_OK) {
				return result;
			}
		} else {
			return result;
		}
	}
	error_set(error, "%s: replaced again and again", file->store.location);
	return STORE_BUSY;
}

enum store_result guard_run(
    struct file *file, file_operation *operation, void *data, struct error *error)
{
	enum store_result result = STORE_ERROR;
	/* Once more after a SIGBUS: with a file that was cut off, rescue has to run. */
	volatile int left = 2;

	while (left-- > 0) {
		if (sigsetjmp(signals_bus_jump, 0)) {
			result = recover_from_bus(file, error);
			continue;
		}
		signals_bus_arm(true);
		result = run(file, operation, data, error);
		signals_bus_arm(false);
		break;
	}
	signals_alarm_stop();
	if (result == STORE_ERROR || result == STORE_DAMAGED) {
		/* Whatever it was, the next call starts from the file as it is then. */
		file_close(file);
	}
	/* Callers need not tell damage from other errors. */
	return result == STORE_DAMAGED ? STORE_ERROR : result;
}
