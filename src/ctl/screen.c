/*
 * A terminal's whole screen: see screen.h.
 *
 * Signals are blocked except while waiting, so handlers only set a flag, and a frame is written in
 * one piece. curses does not stop the process by itself: its handler for Ctrl-Z would write to the
 * terminal even if the shell continues the process in the background.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/screen.h"

#include "base/clock.h"

#include <curses.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define LEAVE_MS 1000 /* longest wait for the terminal before leaving it */

static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT};

#define SIGNALS (sizeof(signals) / sizeof(*signals))

static struct sigaction old_action[SIGNALS];
static sigset_t old_mask;
static WINDOW *keys; /* to read from: reading from stdscr would also draw it, and might block */
static bool gone; /* the terminal is gone */
static bool draw; /* a frame is due */

static volatile sig_atomic_t end_signal;
static volatile sig_atomic_t stop_wanted;
static volatile sig_atomic_t continued;

static void on_signal(int signal)
{
	switch (signal) {
	case SIGTSTP:
		stop_wanted = 1;
		break;
	case SIGCONT:
		continued = 1;
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

static bool takes_output(int wait_ms)
{
	struct pollfd terminal = {.fd = STDOUT_FILENO, .events = POLLOUT};

	return poll(&terminal, 1, wait_ms) == 1;
}

static void leave(void)
{
	bool background = in_background();
	struct termios settings;
	sigset_t blocked, mask;

	if (isendwin()) {
		return;
	}
	/* A process in the background must not be stopped for writing. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTTOU);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	tcgetattr(STDIN_FILENO, &settings);
	if (!background) {
		/* TCOON alone does not undo Ctrl-S. */
		tcflow(STDOUT_FILENO, TCOOFF);
		tcflow(STDOUT_FILENO, TCOON);
	}
	if (takes_output(LEAVE_MS)) {
		endwin();
	} else {
		reset_shell_mode();
	}
	if (background) {
		/* They are those of the shell, or of another program. */
		tcsetattr(STDIN_FILENO, TCSANOW, &settings);
	}
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* Stops the process as the signal does. Signals that end it are delivered when it continues. */
static void stop(int signal)
{
	struct sigaction action = {.sa_handler = SIG_DFL}, old;
	sigset_t mask, blocked;

	sigaction(signal, &action, &old);
	mask = old_mask;
	sigdelset(&mask, signal);
	sigprocmask(SIG_SETMASK, &mask, &blocked);
	raise(signal);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	sigaction(signal, &old, NULL);
}

/* Stops until ctl is in the foreground. Without a job control shell to continue it, it can't. */
static void await_foreground(void)
{
	while (!end_signal && !gone && in_background()) {
		continued = 0;
		stop(SIGTTOU);
		gone = !continued;
	}
	stop_wanted = continued = 0;
}

bool screen_open(void)
{
	const char *type = getenv("TERM");
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t mask;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !type || !*type ||
	    strcmp(type, "dumb") == 0) {
		return false;
	}
	sigemptyset(&mask);
	sigaddset(&mask, SIGWINCH); /* curses handles it */
	for (size_t i = 0; i < SIGNALS; i++) {
		sigaddset(&mask, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &mask, &old_mask);
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], NULL, &old_action[i]);
		/* A signal that nohup or a shell ignores stays ignored. */
		if (old_action[i].sa_handler != SIG_IGN || signals[i] == SIGCONT) {
			sigaction(signals[i], &action, NULL);
		}
	}
	await_foreground();
	setlocale(LC_CTYPE, "C.UTF-8"); /* texts are UTF-8 in any locale */
	/* Without a description of the terminal, curses treats it as the most common one. */
	if ((!newterm(NULL, stdout, stdin) && !newterm("xterm", stdout, stdin)) ||
	    !(keys = newpad(1, 1))) {
		screen_close();
		return false;
	}
	atexit(leave);
	cbreak();
	noecho();
	curs_set(0);
	nodelay(keys, TRUE);
	start_color();
	use_default_colors();
	init_pair(SCREEN_RED, COLOR_RED, -1);
	init_pair(SCREEN_YELLOW, COLOR_YELLOW, -1);
	draw = true;
	return true;
}

int screen_close(void)
{
	if (stdscr) {
		leave();
	}
	for (size_t i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], &old_action[i], NULL);
	}
	sigprocmask(SIG_SETMASK, &old_mask, NULL);
	return end_signal;
}

unsigned screen_columns(void)
{
	return (unsigned)COLS;
}

unsigned screen_lines(void)
{
	return (unsigned)LINES;
}

bool screen_begin(void)
{
	draw = !takes_output(0);
	return !draw;
}

void screen_line(unsigned line, enum screen_style style, const char *text)
{
	const attr_t attributes[] = {[SCREEN_BOLD] = A_BOLD,
	    [SCREEN_REVERSE] = A_REVERSE,
	    [SCREEN_RED] = COLOR_PAIR(SCREEN_RED),
	    [SCREEN_YELLOW] = COLOR_PAIR(SCREEN_YELLOW)};

	move((int)line, 0);
	clrtoeol();
	attrset((int)attributes[style]);
	addstr(text);
	attrset(A_NORMAL);
}

void screen_send(void)
{
	refresh();
}

static void take_signals(void)
{
	if (end_signal || (!stop_wanted && !continued)) {
		return;
	}
	if (stop_wanted) {
		leave();
		stop(SIGTSTP);
	}
	await_foreground();
	if (end_signal || gone) {
		return;
	}
	if (isendwin()) {
		def_shell_mode(); /* the settings of the terminal may have changed meanwhile */
	} else {
		reset_prog_mode();
	}
	clearok(curscr, TRUE);
	draw = true;
}

enum screen_event screen_wait(int64_t until_ms, char *key)
{
	for (;;) {
		struct pollfd fd[2] = {
		    {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = STDOUT_FILENO}};
		int64_t left_ms = until_ms - clock_monotonic_ms();
		struct timespec timeout;
		int typed;

		take_signals();
		if (end_signal || gone) {
			return SCREEN_END;
		}
		if (draw && takes_output(0)) {
			return SCREEN_DRAW;
		}
		typed = wgetch(keys);
		if (typed == KEY_RESIZE) {
			draw = true;
			continue;
		}
		if (typed != ERR) {
			*key = (char)typed;
			return SCREEN_KEY;
		}
		if (left_ms <= 0) {
			return SCREEN_TIME;
		}
		timeout = (struct timespec){left_ms / 1000, left_ms % 1000 * 1000000};
		fd[1].events = draw ? POLLOUT : 0;
		if (ppoll(fd, 2, &timeout, &old_mask) > 0) {
			gone = (fd[0].revents | fd[1].revents) & (POLLERR | POLLHUP);
		}
	}
}
