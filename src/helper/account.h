/*
 * The account of a helper that root starts. spawn(8) starts it as its own account; systemd, inetd
 * and administrators may not.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include "base/error.h"

/*
 * If root runs the process, changes for good to the account that the configuration at path names as
 * `user`, if there is one. Call it before confine_process, which forbids that.
 */
void account_take_on(const char *path);

/*
 * Whether a process that root runs still may judge and write files by a configuration with that
 * user: other helpers could not open them. Returns 0, or -1 with the reason.
 */
int account_check(const char *user, struct error *error);

#endif
