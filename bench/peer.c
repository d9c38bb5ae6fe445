/*
 * The driver's peers, processes and servers: see peer.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "peer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 32768

void die(const char *format, ...)
{
	va_list args;

	fputs("driver: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now)) {
		return -1;
	}
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Written by the child of vfork, which shares our memory. */
static volatile int64_t child_cpu_ns;

/* By vfork: with fork, copying our page tables would count as the child's CPU time. */
static pid_t start_process(char **command, int fd, int null)
{
	pid_t pid = vfork();

	if (pid == 0) {
		if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
		    dup2(null, STDERR_FILENO) < 0) {
			_exit(127);
		}
		child_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		execv(command[0], command);
		_exit(127);
	}
	return pid;
}

static void open_process(struct peer *peer, char **command)
{
	static int null = -1;
	int pair[2];

	if (null < 0) {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		die("socketpair: %s", strerror(errno));
	}
	peer->pid = start_process(command, pair[1], null);
	if (peer->pid < 0) {
		die("vfork: %s", strerror(errno));
	}
	peer->exec_cpu_ns = child_cpu_ns;
	close(pair[1]);
	peer->fd = pair[0];
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		die("%s: %s", path, strerror(errno));
	}
	return fd;
}

static int connect_inet(const char *name)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	const char *colon = strrchr(name, ':');
	char host[256];
	int fd;

	if (!colon || (size_t)(colon - name) >= sizeof(host)) {
		die("%s: not HOST:PORT", name);
	}
	snprintf(host, sizeof(host), "%.*s", (int)(colon - name), name);
	if (getaddrinfo(host, colon + 1, &hints, &found)) {
		die("%s: unknown address", name);
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen)) {
		die("%s: %s", name, strerror(errno));
	}
	freeaddrinfo(found);
	return fd;
}

void peer_open(struct peer *peer, char **target)
{
	*peer = (struct peer){.fd = -1};
	if (strcmp(target[0], "spawn") == 0 && target[1]) {
		open_process(peer, target + 1);
	} else if (strncmp(target[0], "unix:", 5) == 0) {
		peer->fd = connect_unix(target[0] + 5);
	} else if (strncmp(target[0], "inet:", 5) == 0) {
		peer->fd = connect_inet(target[0] + 5);
	} else {
		die("%s: neither spawn PROGRAM nor unix:PATH nor inet:HOST:PORT", target[0]);
	}
}

int64_t peer_close(struct peer *peer)
{
	struct rusage usage;
	int status;

	close(peer->fd);
	if (!peer->pid) {
		return 0;
	}
	if (wait4(peer->pid, &status, 0, &usage) != peer->pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0) {
		die("the process did not exit with status 0");
	}
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000000) +
	    (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * INT64_C(1000) - peer->exec_cpu_ns;
}

int64_t peer_cpu_ns(pid_t pid)
{
	clockid_t clock;

	return clock_getcpuclockid(pid, &clock) ? -1 : clock_ns(clock);
}

/* Reads a process's parent, and the clock ticks of its children that have ended. 0 or -1. */
static int read_stat(pid_t pid, int *parent, long *ended_ticks)
{
	char path[64], line[1024], *end;
	long user, system;
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file) {
		return -1;
	}
	n = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[n] = '\0';
	end = strrchr(line, ')');
	if (!end ||
	    sscanf(end + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %ld %ld", parent,
		&user, &system) != 3) {
		return -1;
	}
	*ended_ticks = user + system;
	return 0;
}

int64_t peer_tree_cpu_ns(pid_t root)
{
	static struct {
		int pid, parent;
		long ended_ticks;
	} process[PROCESSES_MAX];
	static int tree[PROCESSES_MAX];
	size_t processes = 0, found = 1;
	int64_t sum = 0;
	DIR *folder = opendir("/proc");
	struct dirent *entry;

	while (folder && (entry = readdir(folder)) != NULL && processes < PROCESSES_MAX) {
		int pid = atoi(entry->d_name);

		if (pid > 0 &&
		    read_stat(pid, &process[processes].parent, &process[processes].ended_ticks) ==
			0) {
			process[processes++].pid = pid;
		}
	}
	closedir(folder);
	tree[0] = root;
	for (size_t i = 0; i < found; i++) {
		int64_t own = peer_cpu_ns(tree[i]);

		sum += own > 0 ? own : 0;
		for (size_t j = 0; j < processes; j++) {
			if (process[j].pid == tree[i]) {
				sum += process[j].ended_ticks * 1000000000 / sysconf(_SC_CLK_TCK);
			} else if (process[j].parent == tree[i]) {
				tree[found++] = process[j].pid;
			}
		}
	}
	return sum;
}

struct peer_memory peer_memory(pid_t pid)
{
	struct peer_memory memory = {0};
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "r");
	if (!file) {
		die("%s: %s", path, strerror(errno));
	}
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "Rss: %ld", &memory.rss);
		sscanf(line, "Pss: %ld", &memory.pss);
		sscanf(line, "Private_Dirty: %ld", &memory.private_dirty);
	}
	fclose(file);
	return memory;
}
