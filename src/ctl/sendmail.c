/*
 * A message through sendmail(1): see sendmail.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/sendmail.h"

#include "ctl/common.h"
#include "ctl/print.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS_MAX 320
#define HOST_SIZE 256
#define ENCODED_BYTES 16 /* of an encoded word, which becomes no longer than 75 */

static const char blanks[] = " \t";

/* Where it is, if not in PATH. */
static const char *const programs[] = {"sendmail", "/usr/sbin/sendmail", "/usr/lib/sendmail"};

#define PROGRAMS (sizeof(programs) / sizeof(*programs))

/* The next of the addresses between commas, without blanks around it. Moves *to behind it. */
static const char *next_address(const char **to, size_t *length)
{
	const char *start = *to + strspn(*to, blanks);

	*length = strcspn(start, ",");
	*to = start + *length + (start[*length] == ',');
	while (*length > 0 && strchr(blanks, start[*length - 1])) {
		--*length;
	}
	return start;
}

/*
 * Whether it is only an address: sendmail can't take it for an option or a program, and it has no
 * character with a meaning in a header.
 */
static bool is_address(const char *s, size_t length)
{
	char printable[4 * ADDRESS_MAX + 1];
	struct strbuf text;

	if (length == 0 || length > ADDRESS_MAX || strchr("-|/:@", *s) || s[length - 1] == '@') {
		return false;
	}
	strbuf_init(&text, printable, sizeof(printable));
	strbuf_printable(&text, s, length, " ()<>\";\\");
	return text.length == length && memcmp(printable, s, length) == 0;
}

int sendmail_check(const char *to, struct error *error)
{
	const char *rest = to;
	unsigned n = 0;

	do {
		size_t length;
		const char *address = next_address(&rest, &length);

		if (!is_address(address, length)) {
			char printable[64];
			struct strbuf text;

			strbuf_init(&text, printable, sizeof(printable));
			strbuf_printable(&text, address, length, NULL);
			return error_set(error,
			    "\"%s\" is not an address such as postmaster@example.com, without a "
			    "name; several are separated by commas",
			    printable);
		}
		if (++n > SENDMAIL_ADDRESSES_MAX) {
			return error_set(error, "more than %d addresses", SENDMAIL_ADDRESSES_MAX);
		}
	} while (*rest || rest[-1] == ',');
	return 0;
}

void sendmail_host(struct strbuf *text)
{
	const struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char name[HOST_SIZE] = "";
	const char *host = name;

	if (gethostname(name, sizeof(name) - 1) || !*name) {
		host = "localhost";
	} else if (!strchr(name, '.') && getaddrinfo(name, NULL, &hints, &found) == 0 &&
	    found->ai_canonname && strchr(found->ai_canonname, '.')) {
		host = found->ai_canonname;
	}
	strbuf_printable(text, host, strlen(host), NULL);
	if (found) {
		freeaddrinfo(found);
	}
}

/* Whether it can be part of an address without quotes. */
static bool is_plain(const char *s)
{
	size_t length = strspn(s,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789.-_");

	return length > 0 && s[length] == '\0' && s[0] != '.' && s[length - 1] != '.' &&
	    !strstr(s, "..");
}

/* Writes the value of Subject: as it is if it is ASCII, else as encoded words (RFC 2047). */
static void write_subject(FILE *file, const char *subject)
{
	size_t encoded = 0;
	bool ascii = true;

	for (const char *s = subject; *s; s++) {
		ascii = ascii && !((unsigned char)*s & 0x80);
	}
	if (ascii) {
		fputs(subject, file);
		return;
	}
	fputs("=?UTF-8?Q?", file);
	for (const char *s = subject; *s; s++) {
		/* An encoded word ends with a whole character. */
		if (encoded >= ENCODED_BYTES && ((unsigned char)*s & 0xc0) != 0x80) {
			fputs("?=\n =?UTF-8?Q?", file);
			encoded = 0;
		}
		fprintf(file, "=%02X", (unsigned char)*s);
		encoded++;
	}
	fputs("?=", file);
}

/* to: addresses, ended by NULL. */
static void write_headers(FILE *file, char *const *to, const char *subject, int64_t now_s)
{
	const struct passwd *user = getpwuid(geteuid());
	char host[HOST_SIZE * 4], date[64];
	unsigned char random[8] = {0};
	time_t now = (time_t)now_s;
	struct strbuf text;
	struct tm tm;

	strbuf_init(&text, host, sizeof(host));
	sendmail_host(&text);
	if (!is_plain(host)) {
		strbuf_init(&text, host, sizeof(host));
		strbuf_puts(&text, "localhost");
	}
	fprintf(file, "From: policyd-ratelimit <%s@%s>\nTo: %s",
	    user && is_plain(user->pw_name) ? user->pw_name : "policyd-ratelimit", host, to[0]);
	for (size_t i = 1; to[i]; i++) {
		fprintf(file, ",\n %s", to[i]);
	}
	fputs("\nSubject: ", file);
	write_subject(file, subject);
	/* In English, because ctl sets no locale for times. */
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S %z", localtime_r(&now, &tm));
	fprintf(file, "\nDate: %s\nMessage-ID: <%lld.%ld.", date, (long long)now_s, (long)getpid());
	if (getrandom(random, sizeof(random), GRND_NONBLOCK) < 0) {
		memset(random, 0, sizeof(random));
	}
	for (size_t i = 0; i < sizeof(random); i++) {
		fprintf(file, "%02x", random[i]);
	}
	fprintf(file, "@%s>\n", host);
	fputs("MIME-Version: 1.0\n"
	      "Content-Type: text/plain; charset=utf-8\n"
	      "Content-Transfer-Encoding: 8bit\n"
	      "Auto-Submitted: auto-generated\n\n",
	    file);
}

/* Starts sendmail with input as its stdin. Returns an errno. Its stdout goes to our stderr. */
static int start(char **arguments, int input, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int failure = posix_spawn_file_actions_init(&actions);

	if (failure) {
		return failure;
	}
	failure = posix_spawn_file_actions_adddup2(&actions, input, 0);
	failure = failure ? failure : posix_spawn_file_actions_adddup2(&actions, 2, 1);
	if (!failure) {
		failure = ENOENT;
		for (size_t i = 0; i < PROGRAMS && (failure == ENOENT || failure == EACCES); i++) {
			failure =
			    posix_spawnp(pid, programs[i], &actions, NULL, arguments, environ);
		}
	}
	posix_spawn_file_actions_destroy(&actions);
	return failure;
}

/* Waits for sendmail. Returns an exit status. */
static int finish(pid_t pid, bool written)
{
	int status;

	if (TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) < 0) {
		print_warning("waitpid: %s", strerror(errno));
		return EX_OSERR;
	}
	if (WIFSIGNALED(status)) {
		print_warning(
		    "the message was not sent: sendmail was killed by signal %d", WTERMSIG(status));
	} else if (WEXITSTATUS(status) != 0) {
		print_warning("the message was not sent: sendmail failed with exit status %d",
		    WEXITSTATUS(status));
	} else if (!written) {
		print_warning("the message was not sent: sendmail did not read it to the end");
	} else {
		return EX_OK;
	}
	return EX_UNAVAILABLE;
}

int sendmail_send(const char *to, const char *subject, const char *body, int64_t now_s)
{
	/* -i: a line of the text may be a single dot. */
	char *arguments[SENDMAIL_ADDRESSES_MAX + 4] = {"sendmail", "-i", "--"};
	char *addresses = ctl_must(strdup(to)), *rest;
	int ends[2], failure, status = EX_UNAVAILABLE;
	size_t n = 3;
	FILE *file;
	pid_t pid;

	for (char *at = addresses; (at = strtok_r(at, ", \t", &rest)); at = NULL) {
		arguments[n++] = at;
	}
	if (pipe2(ends, O_CLOEXEC)) {
		print_warning("pipe: %s", strerror(errno));
		free(addresses);
		return EX_OSERR;
	}
	failure = start(arguments, ends[0], &pid);
	close(ends[0]);
	file = ctl_must(fdopen(ends[1], "w"));
	if (failure) {
		print_warning("the message was not sent: sendmail can't be started: %s%s",
		    strerror(failure),
		    failure == ENOENT ? "; it is neither in PATH nor in /usr/sbin or /usr/lib"
				      : "");
		fclose(file);
	} else {
		/* Not before: sendmail would inherit it. */
		signal(SIGPIPE, SIG_IGN);
		write_headers(file, arguments + 3, subject, now_s);
		fputs(body, file);
		fflush(file);
		failure = ferror(file);
		fclose(file);
		status = finish(pid, !failure);
	}
	free(addresses);
	return status;
}
