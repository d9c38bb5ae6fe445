/*
 * For t/confine.t: confines itself as the helper does, tries one operation after the other, and
 * prints for each whether it worked. Removes the files that it made.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "helper/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

static void tell(const char *what, bool worked)
{
	printf("%s: %s\n", what, worked ? "yes" : strerror(errno));
}

static bool try_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd < 0) {
		return false;
	}
	close(fd);
	return true;
}

static const char *in(const char *folder, const char *name)
{
	static char path[2][4096];
	static unsigned next;

	next = !next;
	snprintf(path[next], sizeof(path[next]), "%s/%s", folder, name);
	return path[next];
}

static bool try_connect(int family, const struct sockaddr *address, socklen_t size)
{
	int fd = socket(family, SOCK_STREAM, 0);
	bool worked = fd >= 0 && connect(fd, address, size) == 0;
	int saved = errno;

	if (fd >= 0) {
		close(fd);
	}
	errno = saved;
	return worked;
}

static bool try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		_exit(0);
	}
	return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

/* What a working helper needs, in its own folders. */
static void try_needed(const char *config, const char *data, const char *log)
{
	struct itimerval timer = {{0, 0}, {0, 0}};
	struct rlimit limit;
	struct statvfs disk;
	struct stat st;
	char bytes[16];
	void *map;
	int fd;

	tell("read the configuration", try_open(in(config, "file"), O_RDONLY));
	tell("write a database", try_open(in(data, "made"), O_RDWR | O_CREAT | O_EXCL));
	tell("open it again", try_open(in(data, "made"), O_RDWR));
	fd = open(in(data, "made"), O_RDWR);
	tell("make it longer", ftruncate(fd, 8192) == 0 && pwrite(fd, "x", 1, 0) == 1);
	map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	tell("map it", map != MAP_FAILED && munmap(map, 8192) == 0);
	tell("lock it", fcntl(fd, F_SETLKW, &(struct flock){.l_type = F_WRLCK}) == 0);
	tell("set its mode", fchmod(fd, 0640) == 0);
	tell("set its times", utime(in(data, "made"), NULL) == 0);
	tell("look at its disk", fstatvfs(fd, &disk) == 0);
	tell("sync it", fdatasync(fd) == 0);
	close(fd);
	tell("rename it", rename(in(data, "made"), in(data, "renamed")) == 0);
	tell("rename it to a free name",
	    syscall(SYS_renameat2, AT_FDCWD, in(data, "renamed"), AT_FDCWD, in(data, "again"), 1) ==
		0);
	tell("give it a second name", link(in(data, "again"), in(data, "second")) == 0);
	tell("look at it", stat(in(data, "second"), &st) == 0);
	tell("remove it", unlink(in(data, "again")) == 0 && unlink(in(data, "second")) == 0);
	tell("write a log", try_open(in(log, "made.log"), O_WRONLY | O_APPEND | O_CREAT));
	tell("get random bytes", getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes));
	tell("set an alarm", setitimer(ITIMER_REAL, &timer, NULL) == 0);
	tell("limit the size of files",
	    getrlimit(RLIMIT_FSIZE, &limit) == 0 && setrlimit(RLIMIT_FSIZE, &limit) == 0);
	tell("have more memory", (map = malloc(64 << 20)) != NULL);
	free(map);
}

/* What another account could run as this one. */
static void try_special_modes(const char *data)
{
	int fd = open(in(data, "special"), O_RDWR | O_CREAT, 0600);

	tell("set a set-user-ID bit", fchmod(fd, 04755) == 0);
	tell("set a set-group-ID bit", fchmod(fd, 02755) == 0);
	close(fd);
	unlink(in(data, "special"));
	fd = open(in(data, "special"), O_RDWR | O_CREAT, 04755);
	tell("make a set-user-ID file", fd >= 0);
	close(fd);
	unlink(in(data, "special"));
	fd = (int)syscall(
	    SYS_openat, AT_FDCWD, in(data, "special"), O_RDWR | O_CREAT, 0x1000000000000 | 04755);
	tell("make one with other bits", fd >= 0);
	close(fd);
	unlink(in(data, "special"));
}

/* These send a signal, which the process itself chooses, to any process of the account. */
static void try_signals_of_files(void)
{
	struct f_owner_ex owner = {F_OWNER_PID, getppid()};
	int fd = STDIN_FILENO;

	tell("name a process to signal", fcntl(fd, F_SETOWN, getppid()) == 0);
	tell("name one in another way", fcntl(fd, F_SETOWN_EX, &owner) == 0);
	tell("name one with other bits",
	    syscall(SYS_fcntl, fd, 0x100000000 | F_SETOWN, getppid()) == 0);
	tell("choose the signal", fcntl(fd, F_SETSIG, SIGKILL) == 0);
}

/* What only an intruder needs. */
static void try_forbidden(const char *config, const char *data, const char *log, const char *other,
    struct sockaddr_in *server)
{
	void *map;

	tell("read another file", try_open(in(other, "file"), O_RDONLY));
	tell("read /etc/passwd", try_open("/etc/passwd", O_RDONLY));
	tell("read through a link", try_open(in(config, "link"), O_RDONLY));
	tell("list a folder", try_open(config, O_RDONLY | O_DIRECTORY));
	tell("write another file", try_open(in(other, "file"), O_WRONLY));
	tell("make another file", try_open(in(other, "new"), O_WRONLY | O_CREAT));
	tell("remove another file", unlink(in(other, "victim")) == 0);
	tell("write the configuration", try_open(in(config, "file"), O_WRONLY));
	tell("replace the configuration", rename(in(config, "spare"), in(config, "file2")) == 0);
	tell("read the log", try_open(in(log, "file"), O_RDONLY));
	tell("make a folder", mkdir(in(data, "folder"), 0700) == 0);
	tell("make a link", symlink("/etc/passwd", in(data, "symbolic")) == 0);
	tell("change owners", chown(in(data, "file"), getuid(), getgid()) == 0);
	try_special_modes(data);
	try_signals_of_files();
	tell("internet", try_connect(AF_INET, (struct sockaddr *)server, sizeof(*server)));
	tell("IPv6", socket(AF_INET6, SOCK_DGRAM, 0) >= 0);
	tell("netlink", socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
	tell("signal", kill(getppid(), 0) == 0);
	tell("map code",
	    (map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) !=
		MAP_FAILED);
	tell("another process", syscall(SYS_pidfd_open, getppid(), 0) >= 0);
	tell("fork", try_fork());
	/* It replaces this process, so it comes last. If it fails, a second line corrects the
	 * first. */
	tell("execute", true);
	fflush(stdout);
	execl("/bin/true", "true", (char *)NULL);
	tell("execute", false);
}

/* Arguments: WHAT CONFIG DATA LOG OTHER PORT SOCKET. WHAT is none, process, files or both. */
int main(int argc, char **argv)
{
	struct sockaddr_in server = {.sin_family = AF_INET};
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	char config[4096], data[4096], log[4096];

	if (argc != 8) {
		return EXIT_FAILURE;
	}
	server.sin_port = htons((uint16_t)atoi(argv[6]));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	snprintf(local.sun_path, sizeof(local.sun_path), "%s", argv[7]);
	snprintf(config, sizeof(config), "%s/file", argv[2]);
	snprintf(data, sizeof(data), "%s/file", argv[3]);
	snprintf(log, sizeof(log), "%s/file", argv[4]);
	if (strcmp(argv[1], "process") == 0 || strcmp(argv[1], "both") == 0) {
		confine_process();
	}
	if (strcmp(argv[1], "files") == 0 || strcmp(argv[1], "both") == 0) {
		confine_files(config, data, data, log);
	}
	try_needed(argv[2], argv[3], argv[4]);
	tell("syslog", try_connect(AF_UNIX, (struct sockaddr *)&local, sizeof(local)));
	try_forbidden(argv[2], argv[3], argv[4], argv[5], &server);
	return EXIT_SUCCESS;
}
