/*
 * The peers of the driver of `make bench`: one process per connection, started as spawn(8) does, or
 * a server; and what they use. Any failure ends the driver with a message.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PEER_H
#define PEER_H

#include <stdint.h>
#include <sys/types.h>

struct peer {
	int fd;
	pid_t pid; /* 0 for a server's connection */
	int64_t exec_cpu_ns; /* CPU time of the process right before exec */
};

/* From /proc/PID/smaps_rollup, in KiB. */
struct peer_memory {
	long rss, pss, private_dirty;
};

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

int64_t clock_ns(clockid_t clock);

/*
 * Connects to a server or starts a process. target ends with NULL: {"unix:PATH"},
 * {"inet:HOST:PORT"} or {"spawn", PROGRAM, ARGUMENTS...}.
 */
void peer_open(struct peer *peer, char **target);
/* Closes the connection and waits for the process; returns its CPU time since exec, 0 for a server.
 */
int64_t peer_close(struct peer *peer);

/* CPU time that a process has used, all threads together; -1 if it is gone. */
int64_t peer_cpu_ns(pid_t pid);
/* The same for a process and all its descendants, including those that have ended. */
int64_t peer_tree_cpu_ns(pid_t root);

struct peer_memory peer_memory(pid_t pid);

#endif
