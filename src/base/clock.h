/*
 * The one caller of the clock. Everything else gets the time as an argument.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Milliseconds since the epoch, by the wall clock: what windows are counted in. */
int64_t clock_now_ms(void);

/* Milliseconds since some start, never set back: for waits within one process. */
int64_t clock_monotonic_ms(void);

/* CPU time that this process has used. */
int64_t clock_cpu_ms(void);

/* As clock_monotonic_ms, some milliseconds late, for much less. */
int64_t clock_coarse_ms(void);

#endif
