/*
 * Runs a program step by step and kills it, or stops it, at one of them: what the tests
 * of helpers that die at any moment need. Says on stdout, in its first line, what became
 * of the program, then what that has written; reads from stdin what the program is to read.
 *
 *   stepper DATABASE KIND N|S+N kill|stop -- PROGRAM ARGUMENT...
 *   stepper DATABASE look -- PROGRAM ARGUMENT...
 *
 * Steps are counted from the moment at which the program opens the file DATABASE, or from S
 * steps of the kind syscall after that.
 * syscall      each entry into and each return from a system call
 * instruction  each machine instruction
 * change       instructions after which the database, its compacted copy or
 *              one that is being made differs from what it was before; only up to the next
 *              system call
 *
 * The program has one socket as its standard input, table and error table, and gets end
 * of file after what it is to read. It is killed after step N, or stopped there as by SIGSTOP.
 * First lines: "killed"; "ended after STEPS steps" if there is no such step, but
 * for kind change it has been killed then too; "stopped PID": then
 * stepper waits until the program, continued or killed by another one, has ended.
 *
 * With look, the program runs to its end. First line: "ended after STEPS steps, changes at A,
 * the database at D": the first steps of the kind syscall after which any of the files of kind
 * change, and the database itself, differ from what they were; 0 if none does.
 *
 * Exit status 77: the system does not let us trace.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/ptrace.h>

#define EXIT_SKIP 77

enum kind { SYSCALL, INSTRUCTION, CHANGE };

#define FILES 3

/* Files larger than this together are compared after each so many instructions only. */
#define SIZE_LARGE (128 << 10)
#define LOOK_SELDOM 16

/* A file that is watched for changes, through a map of it. */
struct file {
	char path[4096];
	ino_t inode; /* 0: there is none */
	size_t size;
	unsigned char *map;
	unsigned char *copy;
};

static struct file files[FILES];
static pid_t child;

static void fail(const char *what)
{
	int error = errno;

	if (child > 0) {
		kill(child, SIGKILL);
	}
	errno = error;
	err(EXIT_FAILURE, "%s", what);
}

/* Whether the file was made, removed or replaced, or has another size; looks at it from now on. */
static bool file_reopened(struct file *file)
{
	struct stat st;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC);
	bool same;

	if (fd < 0 || fstat(fd, &st)) {
		st.st_ino = 0;
		st.st_size = 0;
	}
	same = file->inode == st.st_ino && file->size == (size_t)st.st_size;
	if (!same) {
		if (file->map) {
			munmap(file->map, file->size);
		}
		free(file->copy);
		file->map = NULL;
		file->copy = NULL;
		file->inode = st.st_ino;
		file->size = (size_t)st.st_size;
		if (file->size > 0) {
			file->map = mmap(NULL, file->size, PROT_READ, MAP_SHARED, fd, 0);
			file->copy = malloc(file->size);
			if (file->map == MAP_FAILED || !file->copy) {
				fail(file->path);
			}
			memcpy(file->copy, file->map, file->size);
		}
	}
	if (fd >= 0) {
		close(fd);
	}
	return !same;
}

static bool file_changed(struct file *file, bool after_syscall)
{
	bool changed = after_syscall && file_reopened(file);

	if (file->map && memcmp(file->map, file->copy, file->size) != 0) {
		memcpy(file->copy, file->map, file->size);
		changed = true;
	}
	return changed;
}

static bool files_changed(bool after_syscall)
{
	static unsigned looks;
	bool changed = false;
	size_t size = 0;

	for (size_t i = 0; i < FILES; i++) {
		size += files[i].size;
	}
	if (!after_syscall && size > SIZE_LARGE && ++looks % LOOK_SELDOM != 0) {
		return false;
	}
	for (size_t i = 0; i < FILES; i++) {
		changed |= file_changed(&files[i], after_syscall);
	}
	return changed;
}

static void watch_files(const char *database)
{
	struct stat st;
	uintmax_t inode = stat(database, &st) == 0 ? (uintmax_t)st.st_ino : 0;

	snprintf(files[0].path, sizeof(files[0].path), "%s", database);
	snprintf(files[1].path, sizeof(files[1].path), "%s.new-%ju", database, inode);
	snprintf(files[2].path, sizeof(files[2].path), "%s.%d", database, (int)child);
	files_changed(true);
}

/* Whether the next instruction is a system call, after which files may have other names. */
static bool at_syscall(void)
{
#if defined(__x86_64__)
	long rip = ptrace(PTRACE_PEEKUSER, child, offsetof(struct user_regs_struct, rip), NULL);

	return (ptrace(PTRACE_PEEKTEXT, child, rip, NULL) & 0xffff) == 0x050f;
#elif defined(__aarch64__)
	struct user_regs_struct registers;
	struct iovec part = {&registers, sizeof(registers)};

	ptrace(PTRACE_GETREGSET, child, NT_PRSTATUS, &part);
	return (ptrace(PTRACE_PEEKTEXT, child, registers.pc, NULL) & 0xffffffff) == 0xd4000001;
#else
	return true;
#endif
}

static struct __ptrace_syscall_info syscall_info(void)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) < 0) {
		warn("PTRACE_GET_SYSCALL_INFO");
		kill(child, SIGKILL);
		exit(EXIT_SKIP);
	}
	return info;
}

/* Whether the program, at the entry into a system call, is about to open that file. */
static bool opens(const char *path)
{
	struct __ptrace_syscall_info info = syscall_info();
	char name[4096] = "";
	struct iovec ours = {name, strlen(path) + 1}, theirs = {NULL, strlen(path) + 1};

	if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_openat) {
		return false;
	}
	theirs.iov_base = (void *)(uintptr_t)info.entry.args[1];
	return process_vm_readv(child, &ours, 1, &theirs, 1, 0) > 0 && strcmp(name, path) == 0;
}

/* Lets the program go on to its next stop; false if it has ended. */
static bool go_on(int request)
{
	static int signal_due;
	int status;

	if (ptrace(request, child, NULL, (void *)(uintptr_t)signal_due)) {
		fail("ptrace");
	}
	if (waitpid(child, &status, 0) < 0) {
		fail("waitpid");
	}
	if (!WIFSTOPPED(status)) {
		return false;
	}
	/* A signal is the program's own; a trap is ours. */
	signal_due = WSTOPSIG(status);
	if (signal_due == SIGTRAP || signal_due == (SIGTRAP | 0x80)) {
		signal_due = 0;
	}
	return true;
}

/* Both on one processor: going back and forth between two takes several times as long. */
static void stay_here(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	if (cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET((unsigned)cpu, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
}

static pid_t start(int fd, char **arguments)
{
	int status;

	child = fork();
	if (child < 0) {
		fail("fork");
	}
	if (child == 0) {
		signal(SIGPIPE, SIG_IGN);
		/* The same addresses, so the same steps, each time. */
		personality(ADDR_NO_RANDOMIZE);
		for (int i = 0; i < 3; i++) {
			dup2(fd, i);
		}
		close(fd);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) {
			_exit(EXIT_SKIP);
		}
		execv(arguments[0], arguments);
		_exit(127);
	}
	if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) {
		errx(
		    EXIT_SKIP, "the system does not let us trace, or can't start %s", arguments[0]);
	}
	if (ptrace(PTRACE_SETOPTIONS, child, NULL,
		(void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))) {
		fail("PTRACE_SETOPTIONS");
	}
	return child;
}

/* Copies all of stdin to the program's socket, before it reads any of it. */
static void feed(int fd)
{
	char buffer[65536];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0) {
		if (write(fd, buffer, (size_t)n) != n) {
			fail("write");
		}
	}
	shutdown(fd, SHUT_WR);
}

static void print_output(int fd)
{
	char buffer[65536];
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
		fwrite(buffer, 1, (size_t)n, stdout);
	}
}

/* Runs the program up to step n; false if it ended before, *steps being all there were. */
static bool run_to(
    const char *database, enum kind kind, unsigned long skip, unsigned long n, unsigned long *steps)
{
	bool syscall, first = true;

	do {
		if (!go_on(PTRACE_SYSCALL)) {
			return false;
		}
	} while (!opens(database));
	while (skip-- > 0) {
		if (!go_on(PTRACE_SYSCALL)) {
			return false;
		}
	}
	if (kind == CHANGE) {
		watch_files(database);
	}
	while (*steps < n) {
		syscall = kind == CHANGE && at_syscall();
		if (syscall && !first) {
			kill(child, SIGKILL);
			waitpid(child, NULL, 0);
			return false;
		}
		if (!go_on(kind == SYSCALL ? PTRACE_SYSCALL : PTRACE_SINGLESTEP)) {
			return false;
		}
		*steps += kind != CHANGE || files_changed(syscall || first);
		first = false;
	}
	return true;
}

/* Runs the program to its end, for what look says. */
static void look(const char *database)
{
	unsigned long steps = 0, any = 0, first = 0;
	bool lock = false, returned;

	do {
		if (!go_on(PTRACE_SYSCALL)) {
			errx(EXIT_FAILURE, "the program does not open %s", database);
		}
	} while (!opens(database));
	watch_files(database);
	while (go_on(PTRACE_SYSCALL)) {
		struct __ptrace_syscall_info info = syscall_info();

		steps++;
		returned = info.op == PTRACE_SYSCALL_INFO_EXIT;
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
			lock = info.entry.nr == SYS_fcntl;
		}
		/* Most calls are locks: no file changes in one. */
		for (size_t i = 0; (!any || !first) && !(lock && returned) && i < FILES; i++) {
			if (file_changed(&files[i], returned)) {
				any = any ? any : steps;
				first = i == 0 && !first ? steps : first;
			}
		}
	}
	printf("ended after %lu steps, changes at %lu, the database at %lu\n", steps, any, first);
}

static int usage(void)
{
	fputs("usage: stepper DATABASE syscall|instruction|change N|S+N kill|stop -- "
	      "PROGRAM ARGUMENT...\n"
	      "       stepper DATABASE look -- PROGRAM ARGUMENT...\n",
	    stderr);
	return 64;
}

/* Starts the program with what is on stdin; our end of its socket. */
static int start_fed(char **arguments)
{
	int pair[2];

	stay_here();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		fail("socketpair");
	}
	start(pair[1], arguments);
	close(pair[1]);
	feed(pair[0]);
	return pair[0];
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = {"syscall", "instruction", "change"};
	unsigned long skip = 0, n, steps = 0;
	unsigned kind = 0;
	char *end;
	bool stop;
	int fd;

	if (argc >= 5 && strcmp(argv[2], "look") == 0 && strcmp(argv[3], "--") == 0) {
		fd = start_fed(argv + 4);
		look(argv[1]);
		print_output(fd);
		return EXIT_SUCCESS;
	}
	if (argc < 7 || strcmp(argv[5], "--") != 0) {
		return usage();
	}
	while (kind < 3 && strcmp(argv[2], kinds[kind]) != 0) {
		kind++;
	}
	n = strtoul(argv[3], &end, 10);
	if (*end == '+') {
		skip = n;
		n = strtoul(end + 1, &end, 10);
	}
	stop = strcmp(argv[4], "stop") == 0;
	if (kind == 3 || n == 0 || *end) {
		return usage();
	}
	fd = start_fed(argv + 6);
	if (!run_to(argv[1], (enum kind)kind, skip, n, &steps)) {
		printf("ended after %lu steps\n", steps);
	} else if (stop) {
		kill(child, SIGSTOP);
		if (ptrace(PTRACE_DETACH, child, NULL, NULL) ||
		    waitpid(child, NULL, WUNTRACED) < 0) {
			fail("PTRACE_DETACH");
		}
		printf("stopped %d\n", (int)child);
		fflush(stdout);
		waitpid(child, NULL, 0);
	} else {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		puts("killed");
	}
	print_output(fd);
	return EXIT_SUCCESS;
}
