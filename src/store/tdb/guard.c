/*
 * The backend "tdb" of the store: runs operations on the counter file, which may be replaced, cut
 * off or damaged at any time. See store.h and file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"

/* Closes a TDB after SIGBUS, which closing it may raise again. */
static void drop(struct tdb_context **tdb)
{
	struct tdb_context *dropped = *tdb;

	*tdb = NULL;
	if (dropped && sigsetjmp(signals_bus_jump, 0) == 0) {
		signals_bus_arm(true);
		tdb_close(dropped);
	}
	signals_bus_arm(false);
}

/* After SIGBUS: closes whatever the operation had open. */
static enum store_result recover_from_bus(struct file *file, struct error *error)
{
	signals_unbound_files();
	drop(&file->tdb);
	file_close(file);
	file->cut_off = true;
	return file_error(STORE_DAMAGED, error, file->store.location,
	    "cut off while it was in use, or its disk fails", NULL);
}

/*
 * Opens the file, or asks whether it was replaced if a recheck is due; if the system has been
 * started since, checks that it is sound.
 */
static enum store_result open_file(struct file *file, struct error *error)
{
	enum store_result result = STORE_OK;

	if (!file->tdb) {
		signals_alarm_ensure(file);
		result = file_open(file, error);
	} else if (file->recheck && file_is_replaced_by_hand(file)) {
		return STORE_OK;
	}
	/* Also of a file that was opened before, if that call had to wait too long to check it. */
	if (result == STORE_OK && file->store.options.rescue &&
	    file->meta.boot_id != meta_boot_id()) {
		signals_alarm_ensure(file);
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
		if (result == STORE_OK && !file->replaced && operation) {
			result = operation(file, data, error);
		}
		if (file->replaced) {
			file_close(file);
		} else if (result == STORE_DAMAGED && file->store.options.rescue) {
			struct error why = *error;

			signals_alarm_ensure(file);
			result = rescue_run(file, why.text, error);
			if (result != STORE_OK) {
				return result;
			}
		} else {
			return result;
		}
	}
	return file_error(
	    STORE_BUSY, error, file->store.location, "replaced again and again", NULL);
}

/*
 * Runs an operation, or none if NULL, on the open file. Opens it first; starts again if it was
 * replaced; if it is damaged, rescues it and starts again, once. Bounds all waiting, by an alarm
 * that operations start (signals.h) before they block; survives SIGBUS.
 */
static enum store_result guard(
    struct store *store, file_operation *operation, void *data, struct error *error)
{
	struct file *file = (struct file *)store;
	enum store_result result = STORE_ERROR;
	/* Again after a SIGBUS: a file that was cut off has to be looked at, and rescued. */
	volatile int left = 3;

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
	if (result == STORE_OK) {
		file->doubted = false;
	}
	if (result == STORE_ERROR || result == STORE_DAMAGED) {
		/* The next call starts with the file as it is then. */
		file_close(file);
	}
	/* Callers need not tell damage from other errors. */
	return result == STORE_DAMAGED ? STORE_ERROR : result;
}

static void guard_open(struct store *store)
{
	((struct file *)store)->lock_fd = -1;
	signals_prepare();
	/* The confined helper can't read it later. */
	meta_boot_id();
}

static void guard_close(struct store *store)
{
	file_close((struct file *)store);
}

static enum store_result guard_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error)
{
	struct update update = {item, items, change, data};

	return guard(store, update_run, &update, error);
}

static enum store_result guard_fits(
    struct store *store, struct store_item *item, size_t items, struct error *error)
{
	struct update update = {item, items, NULL, NULL};

	return guard(store, update_fits, &update, error);
}

static enum store_result guard_walk(
    struct store *store, store_visit *visit, void *data, struct error *error)
{
	struct walk walk = {visit, data};

	return guard(store, read_walk, &walk, error);
}

static enum store_result guard_import(
    struct store *store, const struct store_import *import, struct error *error)
{
	struct store_maintenance unused = {.step = NULL};
	struct compaction compaction = {import, &unused};

	return guard(store, compact_run, &compaction, error);
}

static enum store_result guard_maintain(
    struct store *store, struct store_maintenance *maintenance, struct error *error)
{
	struct compaction compaction = {NULL, maintenance};

	if (maintenance->only_if_due && !compact_is_due((struct file *)store)) {
		return STORE_OK;
	}
	return guard(store, compact_run, &compaction, error);
}

/* Of the file as this process last saw it: nothing is needed but that it is open. */
static enum store_result guard_status(
    struct store *store, struct store_status *status, struct error *error)
{
	struct file *file = (struct file *)store;
	enum store_result result = file->tdb ? STORE_OK : guard(store, NULL, NULL, error);

	*status = (struct store_status){file->meta.secret, file->tdb ? tdb_map_size(file->tdb) : 0};
	return result;
}

static void guard_recheck(struct store *store)
{
	((struct file *)store)->recheck = true;
}

static const char *guard_notice(struct store *store)
{
	struct file *file = (struct file *)store;
	bool noticed = file->noticed;

	file->noticed = false;
	return noticed ? file->notice : NULL;
}

const struct store_backend store_tdb = {
    .size = sizeof(struct file),
    .open = guard_open,
    .close = guard_close,
    .update = guard_update,
    .fits = guard_fits,
    .walk = guard_walk,
    .import = guard_import,
    .maintain = guard_maintain,
    .status = guard_status,
    .recheck = guard_recheck,
    .notice = guard_notice,
    .get = read_get,
    .has_room = update_has_room,
};
