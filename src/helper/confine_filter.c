/*
 * Prints the seccomp filter as lines of a C array. It runs during the build, so that the helper
 * neither links libseccomp nor spends time on making the filter. The only includer of <seccomp.h>.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

/*
 * The system calls that the helper, TDB, inih and libc make after the start, on any architecture.
 * Each costs every start 0.5 microseconds. Calls that run programs, make processes, send signals,
 * change owners or show other processes are left out on purpose.
 */
static const char *const allowed[] = {
    /* requests, answers, files */
    "read", "readv", "write", "writev", "pread64", "pwrite64", "lseek", "_llseek", "open", "openat",
    "close", "fcntl", "fcntl64", "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64",
    "newfstatat", "fstatat64", "statx", "fstatfs", "fstatfs64", "ftruncate", "ftruncate64",
    "fallocate", "fchmod", "utime", "utimensat", "utimensat_time64", "fsync", "fdatasync", "msync",
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

static const char *const mapping[] = {"mmap", "mmap2", "mprotect"};

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
	/* No executable memory. */
	for (size_t i = 0; i < sizeof(mapping) / sizeof(*mapping); i++) {
		add(filter, SCMP_ACT_ALLOW, mapping[i],
		    &(struct scmp_arg_cmp){
			.arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0});
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
