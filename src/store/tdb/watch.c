/*
 * Notices what happens in the counter file's folder, so that not every update has to ask
 * what the file's name stands for. See store_file.h.
 *
 * Linux sends SIGIO to who asked for it (fcntl(2), F_NOTIFY) before rename(2) or unlink(2)
 * return to their caller. So an update that gets a lock from whoever replaced the file, or
 * that was asked for later, finds the flag changed.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/open.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_FOLDER (-1)

static volatile sig_atomic_t quiet; /* a notice is asked for, and none came yet */

static void on_notice(int signal_number)
{
	(void)signal_number;
	quiet = 0;
}

/* The folder that the open file is in; NO_FOLDER if it can't be said for sure. */
static int open_folder(const struct store *store)
{
	struct sigaction action = {.sa_handler = on_notice, .sa_flags = SA_RESTART};
	const char *slash = strrchr(store->options.path, '/');
	char folder[PATH_MAX];
	struct stat named;
	sigset_t notice;
	int length, fd;

	length = slash ? (int)(slash - store->options.path) + 1 : 0;
	if (length + sizeof(".") > sizeof(folder)) {
		return NO_FOLDER;
	}
	memcpy(folder, store->options.path, (size_t)length);
	strcpy(folder + length, ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return NO_FOLDER;
	}
	/* A symbolic link's target lies elsewhere. */
	if (lstat(store->options.path, &named) || named.st_ino != store->inode ||
	    named.st_dev != store->device) {
		close(fd);
		return NO_FOLDER;
	}
	sigaction(SIGIO, &action, NULL);
	sigemptyset(&notice);
	sigaddset(&notice, SIGIO);
	sigprocmask(SIG_UNBLOCK, &notice, NULL);
	return fd;
}

/* Each notice is asked for anew, so that a busy folder costs those that are idle nothing. */
static void ask(struct store *store)
{
#ifdef F_NOTIFY
	if (store->folder == 0) {
		store->folder = open_folder(store);
	}
	if (store->folder > 0) {
		quiet = 1;
		if (fcntl(store->folder, F_NOTIFY, DN_CREATE | DN_DELETE | DN_RENAME | DN_ATTRIB)) {
			store_watch_close(store);
			store->folder = NO_FOLDER;
		}
	}
#else
	store->folder = NO_FOLDER;
#endif
}

bool store_watch_quiet(struct store *store)
{
	if (quiet) {
		return true;
	}
	/* A connection that brings one request is not worth it. */
	if (store->looks++ > 0) {
		ask(store);
	}
	return false;
}

void store_look_again(void)
{
	quiet = 0;
}

void store_watch_close(struct store *store)
{
	if (store->folder > 0) {
		close(store->folder);
	}
	store->folder = 0;
	store->looks = 0;
	quiet = 0;
}
