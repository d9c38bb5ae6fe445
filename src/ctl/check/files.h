/*
 * What the helper's account can do with files, for the command check.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_CHECK_FILES_H
#define CTL_CHECK_FILES_H

#include "ctl/check/check.h"

#include <sys/stat.h>

/* Whether the helper's account, if it exists, lacks any of R_OK, W_OK and X_OK. */
bool files_lack(const struct check *check, int wanted, const char *path, const struct stat *st);

/* The first folder on the way to path that the account can't enter; NULL if there is none. */
const char *files_closed_folder(struct check *check, const char *path);

/* Whether the account can keep counters or a log in the folder, and not everybody else too. */
bool files_can_use(struct check *check, const char *folder);

/* Whether the folder is the program's own, so that its owner and mode may be changed. */
bool files_are_own(struct check *check, const char *folder, const struct stat *st);

/* Whether the folder does not exist and can be made. */
bool files_can_make(struct check *check, const char *folder);

/* Another folder for the counters, which the account can use, or could if it were made. */
const char *files_other_folder(struct check *check);

/* "write: database = FILE", for a file in that folder, which "run: install -d ..." makes. */
const char *files_other_place(struct check *check);

#endif
