/*
 * What the fuzz targets share: see fuzz.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuzz.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void fuzz_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	abort();
}

uint8_t input_byte(struct input *input)
{
	if (input->size == 0) {
		return 0;
	}
	input->size--;
	return *input->bytes++;
}

uint64_t input_number(struct input *input, unsigned bytes)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < bytes; i++) {
		number = number << 8 | input_byte(input);
	}
	return number;
}

char *input_line(struct input *input, size_t *length)
{
	const uint8_t *newline = input->size ? memchr(input->bytes, '\n', input->size) : NULL;
	size_t size = newline ? (size_t)(newline - input->bytes) : input->size;
	char *line = malloc(size + 1);

	must(line, "out of memory");
	for (size_t i = 0; i < size; i++) {
		line[i] = input->bytes[i] ? (char)input->bytes[i] : ' ';
	}
	line[size] = '\0';
	*length = size;
	input->bytes += size + (newline != NULL);
	input->size -= size + (newline != NULL);
	return line;
}

bool is_clean(const char *text, size_t length, const char *allowed)
{
	for (size_t i = 0; i < length;) {
		uint32_t code;
		size_t size = utf8_length(text + i, length - i, &code);

		if (size == 0 || ((code < 0x20 || code == 0x7f) && !strchr(allowed, (int)code)) ||
		    code == 0) {
			return false;
		}
		i += size;
	}
	return true;
}

int memory_file(const void *bytes, size_t size, const char **path)
{
	static char name[40];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		/* Others may write it at first: config_load would not take it. */
		must(fd >= 0 && fchmod(fd, 0600) == 0, "memfd_create");
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	}
	must(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, size, 0) == (ssize_t)size &&
		lseek(fd, 0, SEEK_SET) == 0,
	    "the file in memory");
	if (path) {
		*path = name;
	}
	return fd;
}
