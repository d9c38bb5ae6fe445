/*
 * What the tests of src/engine share: a configuration from a text, and a request from a line.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UNIT_ENGINE_H
#define UNIT_ENGINE_H

#include "unit.h"

#include "config/file.h"
#include "policy/protocol.h"

#include <unistd.h>

static inline void print_complaint(void *data, const char *message)
{
	(void)data;
	print_message("# %s\n", message);
}

static inline void load_config(struct config *config, const char *text)
{
	char path[] = "/tmp/ratelimit-engine-XXXXXX";
	int fd = mkstemp(path);
	size_t length = strlen(text);
	struct config_stamp stamp;

	check(fd >= 0 && write(fd, text, length) == (ssize_t)length, "no file");
	close(fd);
	check(config_load(path, config, &stamp, print_complaint, NULL) == CONFIG_OK, "%s", text);
	unlink(path);
}

/* A request with the values of attributes, in pairs, the last of which is NULL. */
static inline void set_request(struct policy_request *request, const char *const *pairs)
{
	*request = (struct policy_request){.attributes = 0};
	for (; *pairs; pairs += 2) {
		check(policy_add(request, pairs[0], strlen(pairs[0]), pairs[1], strlen(pairs[1])) ==
			0,
		    "too many attributes");
	}
}

#endif
