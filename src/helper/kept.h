/*
 * The copy of the last good configuration, for a helper that starts with a bad file. Each
 * configuration file has its own copy in the state directory.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KEPT_H
#define KEPT_H

#include "base/error.h"
#include "config/source.h"

#include <limits.h>

/* The path of the copy of the file at path. Returns 0, or -1 if it is too long. */
int kept_path(const char *directory, const char *path, char kept[PATH_MAX]);

/*
 * Makes kept a copy of the file at path, which had the stamp when it was found to be good; if it
 * has another one meanwhile, nothing happens. The copy is replaced at once or not at all, and only
 * if its bytes differ; a symbolic link in its place is replaced, not followed. Returns 0, or -1
 * with the reason.
 */
int kept_save(
    const char *kept, const char *path, const struct config_stamp *stamp, struct error *error);

#endif
