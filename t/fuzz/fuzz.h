/*
 * What the fuzz targets share: a check that ends the process, input taken apart, files in
 * memory, and what every text must be that leaves the program.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FUZZ_H
#define FUZZ_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The target: what libFuzzer calls, and main.c for each file. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Says what does not hold, as printf does, and aborts. */
#define must(condition, ...)                                                                       \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fuzz_fail(__FILE__, __LINE__, __VA_ARGS__);                                \
		}                                                                                  \
	} while (0)

_Noreturn void fuzz_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The input: numbers are taken from its start, 0 when nothing is left. */
struct input {
	const uint8_t *bytes;
	size_t size;
};

uint8_t input_byte(struct input *input);
uint64_t input_number(struct input *input, unsigned bytes);

/*
 * The input up to the next newline, which is taken too: terminated, NULs as blanks, to be
 * freed.
 */
char *input_line(struct input *input, size_t *length);

/* Whether it is UTF-8 without control characters, but for those in allowed. */
bool is_clean(const char *text, size_t length, const char *allowed);

/* A file in memory with these bytes, and its name; the same file each time. */
int memory_file(const void *bytes, size_t size, const char **path);

#endif
