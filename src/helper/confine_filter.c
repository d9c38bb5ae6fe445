/*
 * Prints the seccomp filter as lines of a C array. It runs during the build, so that the helper
 * neither links libseccomp nor spends time on making the filter. The only includer of <seccomp.h>.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

/*
 * The system calls that the helper, TDB, inih and libc make after the start, on any architecture.
 * Each costs every start 0.5 microseconds. Calls that run programs, make processes, send signals,
 * change owners or show other processes are left out on purpose.
 */
static const char *const allowed[] = {
    /* requests, answers, files */
    "read", "readv", "write", "writev", "pread64", "pwrite64", "lseek", "_llseek", "close",
    "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64",
    "newfstatat", "fstatat64", "statx", "fstatfs", "fstatfs64", "ftruncate", "ftruncate64",
    "fallocate", "utime", "utimensat", "utimensat_time64", "fsync", "fdatasync", "msync",
    "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "readlink",
    "readlinkat", "getcwd", "getdents64", "geteuid", "geteuid32",
    /* memory */
    "brk", "mremap", "munmap", "madvise",
    /* time, and the alarm that limits the wait for a lock */
    "clock_gettime", "clock_gettime64", "gettimeofday", "nanosleep", "clock_nanosleep",
    "clock_nanosleep_time64", "setitimer", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "sigreturn", "restart_syscall",
    /* syslog */
    "connect", "send", "sendto", "getpid",
    /* the rest */
    "futex", "getrandom", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
    "exit_group"};

/* A call that is allowed only where all these bits of an argument are 0. */
struct without {
	const char *name;
	unsigned argument;
	uint64_t bits;
};

/* No set-user-ID file that another account could run, and no executable memory. */
#define SPECIAL_BITS (S_ISUID | S_ISGID | S_ISVTX)
static const struct without without[] = {
    {"open", 2, SPECIAL_BITS},
    {"openat", 3, SPECIAL_BITS},
    {"fchmod", 1, SPECIAL_BITS},
    {"mmap", 2, PROT_EXEC},
    {"mmap2", 2, PROT_EXEC},
    {"mprotect", 2, PROT_EXEC},
};

/*
 * What fcntl may do: locks, and flags of descriptors. F_SETOWN and F_SETSIG, which are not here,
 * send any signal to any process of the account. The last three are locks where a long has 32
 * bits.
 */
static const int fcntl_commands[] = {
    F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, 12, 13, 14};

static void check(int result, const char *what)
{
	if (result) {
		errno = -result;
		perror(what);
		exit(EXIT_FAILURE);
	}
}

/* libseccomp gives negative numbers to calls that this architecture does not have. */
static void allow(scmp_filter_ctx filter, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number >= 0) {
		check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0), name);
	} else if (number != __NR_SCMP_ERROR) {
		/* A call that some architectures have behind socketcall(2). */
		(void)seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
	}
}

static void add(
    scmp_filter_ctx filter, uint32_t action, const char *name, const struct scmp_arg_cmp *when)
{
	check(seccomp_rule_add_array(
		  filter, action, seccomp_syscall_resolve_name(name), when ? 1 : 0, when),
	    name);
}

static void allow_fcntl(scmp_filter_ctx filter, const char *name)
{
	for (size_t i = 0; i < sizeof(fcntl_commands) / sizeof(*fcntl_commands); i++) {
		add(filter, SCMP_ACT_ALLOW, name,
		    &(struct scmp_arg_cmp){
			.arg = 1, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)fcntl_commands[i]});
	}
}

int main(void)
{
	/* If a new system call fails with ENOSYS, libc falls back to the older one. */
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	struct sock_filter step;
	FILE *file = tmpfile();

	if (!filter || !file) {
		perror("seccomp_init");
		return EXIT_FAILURE;
	}
	check(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)), "badarch");
	/* A tree instead of a list: when it is loaded, the kernel runs it for every system call. */
	check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimize");
	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++) {
		allow(filter, allowed[i]);
	}
	/* Local sockets only, for syslog. */
	add(filter, SCMP_ACT_ALLOW, "socket",
	    &(struct scmp_arg_cmp){.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_UNIX});
	add(filter, SCMP_ACT_ERRNO(EPERM), "socket",
	    &(struct scmp_arg_cmp){.arg = 0, .op = SCMP_CMP_NE, .datum_a = AF_UNIX});
	/* Resource limits of this process only. */
	add(filter, SCMP_ACT_ALLOW, "prlimit64",
	    &(struct scmp_arg_cmp){.arg = 0, .op = SCMP_CMP_EQ, .datum_a = 0});
	allow_fcntl(filter, "fcntl");
	allow_fcntl(filter, "fcntl64");
	for (size_t i = 0; i < sizeof(without) / sizeof(*without); i++) {
		add(filter, SCMP_ACT_ALLOW, without[i].name,
		    &(struct scmp_arg_cmp){.arg = without[i].argument,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = without[i].bits,
			.datum_b = 0});
	}
	add(filter, SCMP_ACT_ERRNO(EPERM), "execve", NULL);
	check(seccomp_export_bpf(filter, fileno(file)), "export");
	rewind(file);
	while (fread(&step, sizeof(step), 1, file) == 1) {
		printf("{%u, %u, %u, 0x%x},\n", step.code, step.jt, step.jf, step.k);
	}
	fclose(file);
	seccomp_release(filter);
	return fflush(stdout) || ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
