/*
 * The account of a helper that root starts: see account.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "helper/account.h"

#include "config/file.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

/* Mistakes are reported when the account reads the file. */
static void ignore_mistake(void *data, const char *message)
{
	(void)data;
	(void)message;
}

void account_take_on(const char *path)
{
	const struct passwd *user;
	struct config_stamp stamp;
	struct config config;

	if (geteuid() != 0 ||
	    config_load(path, &config, &stamp, ignore_mistake, NULL) == CONFIG_NO_MEMORY) {
		return;
	}
	user = getpwnam(config.user);
	if (user && user->pw_uid != 0) {
		/* If this fails, account_check tells. */
		(void)!(
		    setgroups(1, &user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid));
	}
	config_free(&config);
}

int account_check(const char *user, struct error *error)
{
	/* A name is looked up at the start only: later the files for it may be closed. */
	if (geteuid() != 0 || strcmp(user, "root") == 0) {
		return 0;
	}
	return error_set(error,
	    "root has started the helper, and it could not change to the account \"%.60s\"; set "
	    "user "
	    "in [global] to an account that exists, and reload Postfix",
	    user);
}
