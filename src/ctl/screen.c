/*
 * A terminal's whole screen: see screen.h.
 *
 * Signals are blocked except while waiting, so handlers only set a flag, and a frame is written in
 * one piece. If the terminal does not take a write (Ctrl-S, a slow link), a timer interrupts it,
 * and the rest is sent when there is room. The descriptor stays blocking, because it is shared with
 * the shell.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/screen.h"

#include "base/clock.h"
#include "ctl/common.h"
#include "ctl/table.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

/* The alternate screen, without a cursor, and with lines cut at the edge instead of wrapped. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[0m\033[?7h\033[?25h\033[?1049l"

#define WRITE_MS 100 /* longest that one write blocks */
#define LEAVE_MS 1000 /* longest wait for the terminal before leaving it */

static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT, SIGWINCH};

#define SIGNALS (sizeof(signals) / sizeof(*signals))

struct screen {
	bool active; /* the terminal is ours now */
	bool broken; /* the terminal is gone */
	bool draw; /* a frame is due */
	bool sending; /* a part of the last frame is not sent yet */
	bool erase; /* it is not known what the terminal shows */
	struct termios before;
	struct sigaction old_action[SIGNALS];
	sigset_t old_mask;
	unsigned columns;
	unsigned lines;
	char **line; /* what each line of the terminal shows, with its style */
	char *out; /* what is being sent */
	size_t room;
	size_t length;
	size_t sent;
	char keys[64]; /* read, but not returned yet */
	size_t keys_n;
	size_t keys_used;
};

static struct screen *current;

static volatile sig_atomic_t end_signal;
static volatile sig_atomic_t stop_wanted;
static volatile sig_atomic_t continued;
static volatile sig_atomic_t resized;

static void on_signal(int signal)
{
	switch (signal) {
	case SIGALRM:
		break;
	case SIGTSTP:
		stop_wanted = 1;
		break;
	case SIGCONT:
		continued = 1;
		break;
	case SIGWINCH:
		resized = 1;
		break;
	default:
		end_signal = signal;
	}
}

static bool in_background(void)
{
	pid_t group = tcgetpgrp(STDIN_FILENO);

	return group > 0 && group != getpgrp();
}

static void put(struct screen *screen, const char *text)
{
	size_t length = strlen(text);

	if (screen->length + length > screen->room) {
		screen->room = 2 * (screen->length + length);
		screen->out = ctl_must(realloc(screen->out, screen->room));
	}
	memcpy(screen->out + screen->length, text, length);
	screen->length += length;
}

/* Sends what is pending, or a part of it. */
static void flush(struct screen *screen)
{
	const struct itimerval timer = {{0, WRITE_MS * 1000}, {0, WRITE_MS * 1000}};
	const struct itimerval none = {{0, 0}, {0, 0}};
	/* The store has its own handler for this signal. */
	struct sigaction action = {.sa_handler = on_signal}, others;
	ssize_t n;

	if (screen->sent == screen->length) {
		return;
	}
	sigaction(SIGALRM, &action, &others);
	setitimer(ITIMER_REAL, &timer, NULL);
	n = write(STDOUT_FILENO, screen->out + screen->sent, screen->length - screen->sent);
	if (n < 0 && errno != EINTR && errno != EAGAIN) {
		screen->broken = true;
	}
	setitimer(ITIMER_REAL, &none, NULL);
	sigaction(SIGALRM, &others, NULL);
	screen->sent += n > 0 ? (size_t)n : 0;
	if (screen->sent == screen->length) {
		screen->sent = screen->length = 0;
		screen->sending = false;
	}
}

static void free_lines(struct screen *screen)
{
	for (unsigned i = 0; i < screen->lines; i++) {
		free(screen->line[i]);
	}
	free(screen->line);
}

static void measure(struct screen *screen)
{
	struct winsize size = {.ws_row = 0};

	free_lines(screen);
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	screen->columns = size.ws_col == 0 ? 80
	    : size.ws_col > SCREEN_MAX     ? SCREEN_MAX
					   : size.ws_col;
	screen->lines = size.ws_row == 0 ? 24 : size.ws_row > SCREEN_MAX ? SCREEN_MAX : size.ws_row;
	screen->line = ctl_must(calloc(screen->lines, sizeof(*screen->line)));
	screen->draw = screen->erase = true;
}

static void enter(struct screen *screen)
{
	struct termios raw = screen->before;

	if (end_signal || screen->broken) {
		return;
	}
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	while (tcsetattr(STDIN_FILENO, TCSANOW, &raw) && errno == EINTR) {
	}
	screen->active = true;
	put(screen, ENTER);
	measure(screen);
}

/* Sends the rest of a frame first: what was sent may end within an escape sequence. */
static void leave(struct screen *screen)
{
	int64_t end_ms = clock_monotonic_ms() + LEAVE_MS;
	struct pollfd terminal = {.fd = STDOUT_FILENO, .events = POLLOUT};
	bool background = in_background();
	sigset_t blocked, mask;

	if (!screen->active) {
		return;
	}
	screen->active = false;
	/* A process in the background must not be stopped for writing. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTTOU);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	if (!background) {
		/* TCOON alone does not undo Ctrl-S. */
		tcflow(STDOUT_FILENO, TCOOFF);
		tcflow(STDOUT_FILENO, TCOON);
	}
	put(screen, LEAVE);
	while (screen->length > 0 && !screen->broken && clock_monotonic_ms() < end_ms) {
		poll(&terminal, 1, WRITE_MS);
		if (terminal.revents) {
			flush(screen);
		}
	}
	screen->sent = screen->length = 0;
	screen->sending = false;
	if (!background) {
		tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
	}
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* Stops the process as the signal does. Signals that end it are delivered when it continues. */
static void stop(struct screen *screen, int signal)
{
	struct sigaction action = {.sa_handler = SIG_DFL}, old;
	sigset_t mask, blocked;

	sigaction(signal, &action, &old);
	mask = screen->old_mask;
	sigdelset(&mask, signal);
	sigprocmask(SIG_SETMASK, &mask, &blocked);
	raise(signal);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	sigaction(signal, &old, NULL);
}

/* Stops until ctl is in the foreground. Without a job control shell to continue it, it can't. */
static void await_foreground(struct screen *screen)
{
	while (!end_signal && !screen->broken && in_background()) {
		continued = 0;
		stop(screen, SIGTTOU);
		screen->broken = !continued;
	}
	stop_wanted = continued = 0;
}

static void leave_current(void)
{
	if (current) {
		leave(current);
	}
}

struct screen *screen_open(void)
{
	static bool registered;
	const char *type = getenv("TERM");
	struct sigaction action = {.sa_handler = on_signal};
	struct screen *screen;
	sigset_t mask;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !type || !*type ||
	    strcmp(type, "dumb") == 0) {
		return NULL;
	}
	screen = ctl_must(calloc(1, sizeof(*screen)));
	sigemptyset(&mask);
	for (size_t i = 0; i < SIGNALS; i++) {
		sigaddset(&mask, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &mask, &screen->old_mask);
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], NULL, &screen->old_action[i]);
		/* A signal that nohup or a shell ignores stays ignored. */
		if (screen->old_action[i].sa_handler != SIG_IGN || signals[i] == SIGCONT ||
		    signals[i] == SIGWINCH) {
			sigaction(signals[i], &action, NULL);
		}
	}
	end_signal = 0;
	await_foreground(screen);
	tcgetattr(STDIN_FILENO, &screen->before);
	current = screen;
	if (!registered) {
		atexit(leave_current);
		registered = true;
	}
	enter(screen);
	return screen;
}

int screen_close(struct screen *screen)
{
	leave(screen);
	current = NULL;
	for (size_t i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], &screen->old_action[i], NULL);
	}
	sigprocmask(SIG_SETMASK, &screen->old_mask, NULL);
	free_lines(screen);
	free(screen->out);
	free(screen);
	return end_signal;
}

unsigned screen_columns(const struct screen *screen)
{
	return screen->columns;
}

unsigned screen_lines(const struct screen *screen)
{
	return screen->lines;
}

bool screen_begin(struct screen *screen)
{
	if (screen->sending) {
		screen->draw = true;
		return false;
	}
	screen->draw = false;
	if (screen->erase) {
		put(screen, "\033[2J");
		screen->erase = false;
	}
	return true;
}

void screen_line(struct screen *screen, unsigned line, const char *style, const char *text)
{
	const char *old = line < screen->lines ? screen->line[line] : text;
	size_t style_length = strlen(style);
	char number[24], *new;

	if (line >= screen->lines || (!old && !*text)) {
		return;
	}
	if (old && strncmp(old, style, style_length) == 0 && old[style_length] == 'm' &&
	    strcmp(old + style_length + 1, text) == 0) {
		return;
	}
	new = ctl_must(malloc(style_length + strlen(text) + 2));
	strcpy(stpcpy(stpcpy(new, style), "m"), text);
	free(screen->line[line]);
	screen->line[line] = new;

	snprintf(number, sizeof(number), "\033[%u;1H", line + 1);
	put(screen, number);
	if (*style) {
		put(screen, "\033[");
		put(screen, style);
		put(screen, "m");
	}
	put(screen, text);
	if (*style) {
		put(screen, "\033[0m");
	}
	/* After a line as wide as the screen it would erase the last character. */
	if (table_width(text) < screen->columns) {
		put(screen, "\033[K");
	}
}

void screen_send(struct screen *screen)
{
	screen->sending = screen->length > 0;
	flush(screen);
}

/* Does what signals asked for. Whether that is an event for the caller. */
static bool take_signals(struct screen *screen)
{
	if (end_signal || screen->broken) {
		return true;
	}
	if (stop_wanted) {
		stop_wanted = 0;
		leave(screen);
		stop(screen, SIGTSTP);
		await_foreground(screen);
		/* The settings of the terminal may have changed meanwhile. */
		tcgetattr(STDIN_FILENO, &screen->before);
		enter(screen);
	} else if (continued) {
		await_foreground(screen);
		enter(screen);
	} else if (resized) {
		resized = 0;
		measure(screen);
	}
	return end_signal || screen->broken || (screen->draw && !screen->sending);
}

enum screen_event screen_wait(struct screen *screen, int64_t until_ms, char *key)
{
	for (;;) {
		struct pollfd fd[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
		    {.fd = STDOUT_FILENO, .events = screen->sending ? POLLOUT : 0}};
		int64_t left_ms = until_ms - clock_monotonic_ms();
		struct timespec timeout;
		ssize_t n;

		if (take_signals(screen)) {
			return end_signal || screen->broken ? SCREEN_END : SCREEN_DRAW;
		}
		if (screen->keys_used < screen->keys_n) {
			*key = screen->keys[screen->keys_used++];
			return SCREEN_KEY;
		}
		if (left_ms <= 0) {
			return SCREEN_TIME;
		}
		timeout.tv_sec = left_ms / 1000;
		timeout.tv_nsec = left_ms % 1000 * 1000000;
		if (ppoll(fd, 2, &timeout, &screen->old_mask) < 0) {
			continue;
		}
		if (fd[1].revents & POLLOUT) {
			flush(screen);
		}
		if (fd[1].revents & (POLLERR | POLLHUP)) {
			screen->broken = true;
		}
		if (!fd[0].revents || screen->broken) {
			continue;
		}
		n = read(STDIN_FILENO, screen->keys, sizeof(screen->keys));
		screen->broken = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
		screen->keys_n = n > 0 ? (size_t)n : 0;
		screen->keys_used = 0;
	}
}
