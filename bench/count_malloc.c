/*
 * For LD_PRELOAD: counts the calls of malloc, calloc and realloc, those by libraries too. When the
 * process ends, writes the number to the file that COUNT_MALLOC names.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* glibc's own names for its functions; dlsym would allocate memory itself. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t items, size_t size);
void *__libc_realloc(void *old, size_t size);

static unsigned long calls;

void *malloc(size_t size)
{
	calls++;
	return __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
	calls++;
	return __libc_calloc(items, size);
}

void *realloc(void *old, size_t size)
{
	calls++;
	return __libc_realloc(old, size);
}

__attribute__((destructor)) static void report(void)
{
	unsigned long total = calls;
	const char *path = getenv("COUNT_MALLOC");
	FILE *file = path ? fopen(path, "w") : NULL;

	if (file) {
		fprintf(file, "%lu\n", total);
		fclose(file);
	}
}
