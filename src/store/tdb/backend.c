/*
 * The backend "tdb" of the store: see store.h and file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"
#include "store/tdb/signals.h"

static void backend_open(struct store *store)
{
	(void)store;
	signals_prepare();
	/* The confined helper can't read it later. */
	meta_boot_id();
}

static void backend_close(struct store *store)
{
	file_close((struct file *)store);
}

static enum store_result backend_update(struct store *store, struct store_item *item, size_t items,
    store_change *change, void *data, struct error *error)
{
	struct update update = {item, items, change, data};

	return guard_run((struct file *)store, update_run, &update, error);
}

static enum store_result backend_walk(
    struct store *store, store_visit *visit, void *data, struct error *error)
{
	struct walk walk = {visit, data};

	return guard_run((struct file *)store, read_walk, &walk, error);
}

static enum store_result backend_import(
    struct store *store, const struct store_import *import, struct error *error)
{
	struct compaction compaction = {.import = import};

	return guard_run((struct file *)store, compact_run, &compaction, error);
}

static enum store_result backend_maintain(
    struct store *store, struct store_maintenance *maintenance, struct error *error)
{
	struct file *file = (struct file *)store;
	struct compaction compaction = {.maintenance = maintenance};

	if (maintenance->only_if_due && !compact_is_due(file)) {
		return STORE_OK;
	}
	return guard_run(file, compact_run, &compaction, error);
}

static enum store_result do_nothing(struct file *file, void *data, struct error *error)
{
	(void)file;
	(void)data;
	(void)error;
	return STORE_OK;
}

static enum store_result backend_secret(
    struct store *store, const uint8_t **secret, struct error *error)
{
	struct file *file = (struct file *)store;

	*secret = file->meta.secret;
	return file->tdb ? STORE_OK : guard_run(file, do_nothing, NULL, error);
}

static enum store_result backend_size(struct store *store, uint64_t *bytes, struct error *error)
{
	struct file *file = (struct file *)store;
	enum store_result result = guard_run(file, do_nothing, NULL, error);

	*bytes = file->tdb ? tdb_map_size(file->tdb) : 0;
	return result;
}

static void backend_recheck(struct store *store)
{
	((struct file *)store)->recheck = true;
}

static const char *backend_notice(struct store *store)
{
	struct file *file = (struct file *)store;
	bool noticed = file->noticed;

	file->noticed = false;
	return noticed ? file->notice : NULL;
}

const struct store_backend store_tdb = {
    .size = sizeof(struct file),
    .open = backend_open,
    .close = backend_close,
    .update = backend_update,
    .walk = backend_walk,
    .import = backend_import,
    .maintain = backend_maintain,
    .secret = backend_secret,
    .size_of = backend_size,
    .recheck = backend_recheck,
    .notice = backend_notice,
    .get = file_get,
};
