/*
 * For LD_PRELOAD: counts the calls of malloc, calloc and realloc, those of libraries too,
 * and writes the number into the file that COUNT_MALLOC names when the process ends.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* What these names stand for in glibc; dlsym would itself allocate. */
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
