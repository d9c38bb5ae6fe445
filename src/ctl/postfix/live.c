/*
 * The running Postfix: see live.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/postfix/live.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MS 10000

/* What the line of a process in /proc says. */
struct process {
	char name[32];
	long parent;
	long long start_ticks; /* since the machine started */
};

static bool read_process(const char *pid, struct process *process)
{
	char path[64], line[1024];
	const char *end;
	FILE *file;
	bool read;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	file = fopen(path, "re");
	read = file && fgets(line, sizeof(line), file);
	if (file) {
		fclose(file);
	}
	/* "PID (NAME) STATE PARENT ..."; field 22 is the start. NAME may hold any character. */
	end = read ? strrchr(line, ')') : NULL;
	return end && sscanf(line, "%*d (%31[^)]", process->name) == 1 &&
	    sscanf(end,
		") %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
		"%lld",
		&process->parent, &process->start_ticks) == 2;
}

/* master's ID. NULL if it does not run, or if this account can't know: *known then is false. */
static const char *find_master(struct instance *instance, bool *known)
{
	struct check *check = instance->check;
	const char *queue = settings_text(&instance->postconf.main, "queue_directory");
	FILE *file = fopen(check_text(check, "%s/pid/master.pid", queue), "re");
	struct process process;
	char line[64] = "";
	const char *pid;

	*known = file || errno == ENOENT;
	if (!file) {
		return NULL;
	}
	pid = fgets(line, sizeof(line), file) ? words_trim(check, line, SEPARATORS) : "";
	fclose(file);
	return read_process(pid, &process) && strcmp(process.name, "master") == 0 ? pid : NULL;
}

/*
 * When master has read its files: it starts a new queue manager then. In milliseconds since the
 * epoch; 0 if that is unknown.
 */
static int64_t time_of_reload(const char *master)
{
	int64_t ticks_per_s = sysconf(_SC_CLK_TCK);
	struct process self, process;
	const struct dirent *entry;
	int64_t reload_ms = 0;
	DIR *proc = opendir("/proc");

	if (!proc || !read_process("self", &self)) {
		if (proc) {
			closedir(proc);
		}
		return 0;
	}
	while ((entry = readdir(proc))) {
		if (read_process(entry->d_name, &process) && process.parent == atol(master) &&
		    strcmp(process.name, "qmgr") == 0) {
			/* Later than it was by the time that this process has run. */
			reload_ms = clock_now_ms() -
			    (self.start_ticks - process.start_ticks) * 1000 / ticks_per_s;
		}
	}
	closedir(proc);
	return reload_ms;
}

/* Whether the file was changed after that. */
static bool is_newer(const char *file, int64_t time_ms)
{
	struct stat st;

	return time_ms > 0 && stat(file, &st) == 0 &&
	    (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000 > time_ms;
}

static int connect_to(int family, const struct sockaddr *address, socklen_t length)
{
	struct timeval wait = {.tv_sec = ANSWER_MS / 1000};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int reason;

	if (fd >= 0 &&
	    (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) ||
		connect(fd, address, length))) {
		reason = errno;
		close(fd);
		errno = reason;
		return -1;
	}
	return fd;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path));
	return connect_to(AF_UNIX, (const struct sockaddr *)&address, sizeof(address));
}

/* name: "HOST:PORT" */
static int connect_inet(struct check *check, const char *name)
{
	const char *colon = strrchr(name, ':');
	const char *host = words_trim(
	    check, check_text(check, "%.*s", colon ? (int)(colon - name) : 0, name), "[]");
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int fd, reason;

	if (!colon || getaddrinfo(host, colon + 1, &hints, &found)) {
		errno = EINVAL;
		return -1;
	}
	fd = connect_to(found->ai_family, found->ai_addr, found->ai_addrlen);
	reason = errno;
	freeaddrinfo(found);
	errno = reason;
	return fd;
}

static void open_socket(const struct instance *instance, struct policy *policy)
{
	struct check *check = instance->check;
	const char *queue = settings_text(&instance->postconf.main, "queue_directory");

	if (strncmp(policy->endpoint, "inet:", 5) == 0) {
		policy->socket = connect_inet(check, policy->endpoint + 5);
	} else {
		policy->socket =
		    connect_unix(check_text(check, "%s/%s", queue, policy->endpoint + 5));
	}
	policy->socket_failure = policy->socket < 0 ? errno : 0;
}

void live_open(struct instance *instance)
{
	bool known;
	const char *master = find_master(instance, &known);
	int64_t reload_ms;

	if (!master) {
		instance->runs = known ? RUNS_NOT : RUNS_UNKNOWN;
		return;
	}
	reload_ms = time_of_reload(master);
	instance->stale = is_newer(instance->master_cf, reload_ms) ? instance->master_cf
	    : is_newer(instance->main_cf, reload_ms)               ? instance->main_cf
								   : NULL;
	instance->runs = instance->stale ? RUNS_STALE : RUNS;
	for (size_t i = 0; i < instance->policies && instance->runs == RUNS; i++) {
		open_socket(instance, &instance->policy[i]);
	}
}

/* "postfix COMMAND", for that instance. */
static const char *postfix_command(const struct instance *instance, const char *command)
{
	struct check *check = instance->check;

	return instance->dir
	    ? check_text(check, "postfix -c %s %s", check_quote(check, instance->dir), command)
	    : check_text(check, "postfix %s", command);
}

bool live_check(const struct instance *instance)
{
	if (instance->runs == RUNS_NOT) {
		check_finding(instance->check,
		    "%s: Postfix is stopped: no mail is accepted; run: %s", instance->main_cf,
		    postfix_command(instance, "start"));
	} else if (instance->runs == RUNS_STALE) {
		check_finding(instance->check,
		    "%s: changed since Postfix has read it: the old settings hold; run: %s",
		    instance->stale, postfix_command(instance, "reload"));
	}
	return instance->runs == RUNS;
}

/* Reads an answer, "action=TEXT". Its TEXT, or NULL and why there is none. */
static const char *read_answer(struct check *check, int fd, const char **fault)
{
	static const char question[] =
	    "request=smtpd_access_policy\nprotocol_state=VRFY\nprotocol_name=ESMTP\n\n";
	int64_t end_ms = clock_monotonic_ms() + ANSWER_MS;
	char buffer[4096];
	size_t length = 0;

	*fault = "it closes the connection without an answer";
	if (send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0) {
		return NULL;
	}
	while (length < sizeof(buffer) - 1) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		int64_t left_ms = end_ms - clock_monotonic_ms();
		ssize_t n;

		if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) == 0) {
			*fault = "it gives no answer within 10 s";
			return NULL;
		}
		n = read(fd, buffer + length, sizeof(buffer) - 1 - length);
		if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
			continue;
		}
		if (n <= 0) {
			return NULL;
		}
		length += (size_t)n;
		buffer[length] = '\0';
		if (strstr(buffer, "\n\n")) {
			break;
		}
	}
	buffer[length] = '\0';
	*fault = "what it answers is not an action";
	return strncmp(buffer, "action=", 7) == 0
	    ? check_text(check, "%.*s", (int)strcspn(buffer + 7, "\n"), buffer + 7)
	    : NULL;
}

void live_ask(const struct instance *instance, const struct policy *policy)
{
	struct check *check = instance->check;
	const struct config *config = &check->ctl->config;
	const char *maillog = settings_text(&instance->postconf.main, "maillog_file");
	const char *answer, *fault;

	if (policy->socket < 0) {
		if (policy->socket_failure == ENOENT || policy->socket_failure == ECONNREFUSED) {
			check_finding(check,
			    "%s: %s: Postfix does not listen on %s: mail is not limited; run: %s",
			    instance->master_cf, policy->name, policy->endpoint,
			    postfix_command(instance, "reload"));
		}
		return;
	}
	answer = read_answer(check, policy->socket, &fault);
	close(policy->socket);
	if (!answer) {
		check_finding(check,
		    "%s: %s: asked through its socket, %s: mail is not limited, and spawn has "
		    "logged why; run: %s",
		    instance->master_cf, policy->name, fault,
		    *maillog ? check_text(check, "grep spawn %s", check_quote(check, maillog))
			     : "journalctl -n 20 -g spawn");
	} else if (!check->ctl->config_is_bad &&
	    instance_same_file(policy->config, check->config_path) &&
	    !strchr(config->success_action, '{') && strcmp(answer, config->success_action) != 0) {
		check_finding(check,
		    "%s: %s: asked through its socket, it answers %s and not success_action: it "
		    "can't use %s, and its log says why; run: %s",
		    instance->master_cf, policy->name, answer, check->config_path,
		    postfix_command(instance, "reload"));
	}
}
