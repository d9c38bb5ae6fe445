/*
 * Runs a fuzz target over the files named in the arguments, without libFuzzer: so that
 * seeds, and inputs that once crashed, stay good with every compiler.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

static uint8_t *read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = NULL;
	long length;

	if (!file) {
		return NULL;
	}
	if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0) {
		/* As long as the file, so that the sanitizers see what reads past it. */
		bytes = malloc(length ? (size_t)length : 1);
		rewind(file);
		*size = bytes ? fread(bytes, 1, (size_t)length, file) : 0;
	}
	fclose(file);
	return bytes;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t size = 0;
		uint8_t *bytes = read_file(argv[i], &size);

		if (!bytes) {
			perror(argv[i]);
			return 1;
		}
		/* Before it runs: the last one that is named has crashed. */
		printf("%s\n", argv[i]);
		fflush(stdout);
		LLVMFuzzerTestOneInput(bytes, size);
		free(bytes);
	}
	return 0;
}
