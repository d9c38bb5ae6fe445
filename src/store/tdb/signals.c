/*
 * Signals and limits of this process: see file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "store/tdb/file.h"

#include <sys/resource.h>
#include <sys/time.h>

volatile sig_atomic_t signals_alarm_rang;
sigjmp_buf signals_bus_jump;

static volatile sig_atomic_t bus_armed;
static bool alarm_runs;
static struct rlimit unbound; /* what RLIMIT_FSIZE was */
static bool bounded;

static void on_alarm(int signal_number)
{
	(void)signal_number;
	signals_alarm_rang = 1;
}

static void on_bus(int signal_number)
{
	if (!bus_armed) {
		signal(signal_number, SIG_DFL);
		return;
	}
	bus_armed = 0;
	siglongjmp(signals_bus_jump, 1);
}

void signals_prepare(void)
{
	/* No SA_RESTART: the alarm has to interrupt a wait for a lock. */
	struct sigaction alarm_action = {.sa_handler = on_alarm};
	/* The handler does not return, so SIGBUS must not stay blocked after it. */
	struct sigaction bus_action = {.sa_handler = on_bus, .sa_flags = SA_NODEFER};

	sigaction(SIGALRM, &alarm_action, NULL);
	sigaction(SIGBUS, &bus_action, NULL);
	/* A file that may not grow is an error like others, and not the end of the process. */
	signal(SIGXFSZ, SIG_IGN);
}

void signals_alarm_start(int64_t ms)
{
	struct itimerval timer = {
	    .it_value = {ms / 1000, (ms % 1000) * 1000}, .it_interval = {0, 20000}};

	signals_alarm_rang = 0;
	alarm_runs = true;
	setitimer(ITIMER_REAL, &timer, NULL);
}

void signals_alarm_ensure(int64_t ms)
{
	if (!alarm_runs) {
		signals_alarm_start(ms);
	}
}

void signals_alarm_stop(void)
{
	if (alarm_runs) {
		setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
		alarm_runs = false;
	}
	signals_alarm_rang = 0;
}

void signals_bus_arm(bool armed)
{
	bus_armed = armed;
}

int signals_bound_files(uint64_t bytes)
{
	struct rlimit bound;

	if (getrlimit(RLIMIT_FSIZE, &unbound)) {
		return -1;
	}
	bound = unbound;
	if (bound.rlim_cur > bytes) {
		bound.rlim_cur = bytes;
	}
	bounded = true;
	return setrlimit(RLIMIT_FSIZE, &bound);
}

void signals_unbound_files(void)
{
	if (bounded) {
		setrlimit(RLIMIT_FSIZE, &unbound);
		bounded = false;
	}
}
