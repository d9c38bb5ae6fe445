/*
 * The time. Nothing else reads the system's clocks; most functions get the time as an argument.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Milliseconds since the epoch by the wall clock: what windows are counted in. */
int64_t clock_now_ms(void);

/* Milliseconds since an arbitrary start; never set back. For waits within one process. */
int64_t clock_monotonic_ms(void);

/* Milliseconds of CPU time that this process has used. */
int64_t clock_cpu_ms(void);

/* Like clock_monotonic_ms, but up to 10 ms late and much cheaper. */
int64_t clock_coarse_ms(void);

#endif
