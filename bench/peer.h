/*
 * What the driver of `make bench` talks to: a process of its own for each connection,
 * as spawn(8) makes it, or a server; and what either costs. Whatever fails ends the
 * driver with a message.
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
	int64_t exec_cpu_ns; /* what the process had used right before exec */
};

/* What smaps_rollup says of a process, in KiB. */
struct peer_memory {
	long rss, pss, private_dirty;
};

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

int64_t clock_ns(clockid_t clock);

/* target: {"unix:PATH"}, {"inet:HOST:PORT"} or {"spawn", PROGRAM, ARGUMENTS...}, NULL. */
void peer_open(struct peer *peer, char **target);
/* Ends the connection and waits for the process; returns its CPU time from exec to its end. */
int64_t peer_close(struct peer *peer);

/* CPU time of a process until now, with those of its threads. */
int64_t peer_cpu_ns(pid_t pid);
/* The same of a process and all that descend from it, those that have ended too. */
int64_t peer_tree_cpu_ns(pid_t root);

struct peer_memory peer_memory(pid_t pid);

#endif
