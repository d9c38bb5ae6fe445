/*
 * Signals and limits of this process that TDB's use of a file needs: the only place that sets
 * them.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Installs the handlers; may be called again. */
void signals_prepare(void);

/*
 * SIGALRM bounds waiting for locks: TDB's blocking calls fail once signals_alarm_rang is set
 * (tdb_setalarm_sigptr). It rings again and again, since the first ring may come just before a
 * call blocks.
 */
extern volatile sig_atomic_t signals_alarm_rang;
void signals_alarm_start(int64_t ms);
void signals_alarm_ensure(int64_t ms); /* the same unless it is running */
void signals_alarm_stop(void); /* costs nothing if it isn't */

/*
 * SIGBUS means that the mapped file was cut off, or that its disk fails. While armed it jumps to
 * signals_bus_jump, which disarms it; otherwise it ends the process as usual.
 */
extern sigjmp_buf signals_bus_jump;
void signals_bus_arm(bool armed);

/*
 * Bounds the size of any file that this process writes, so that the kernel itself stops TDB from
 * growing its file; and removes the bound. -1 and errno.
 */
int signals_bound_files(uint64_t bytes);
void signals_unbound_files(void);

#endif
