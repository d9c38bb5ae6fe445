/*
 * The command config: effective settings.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct printing {
	const char *wanted; /* NULL: all */
	bool found;
};

static void print_option(void *data, const char *name, const char *value)
{
	struct printing *printing = data;

	if (!printing->wanted) {
		printf("%s = %s\n", name, value);
	} else if (strcmp(printing->wanted, name) == 0) {
		printf("%s\n", value);
		printing->found = true;
	}
}

int ctl_config(struct ctl *ctl, int argc, char **argv)
{
	struct printing printing = {.wanted = argc > 1 ? argv[1] : NULL};

	if (argc > 2 || (printing.wanted && printing.wanted[0] == '-')) {
		return ctl_usage("config");
	}
	config_print(&ctl->config, print_option, &printing);
	if (printing.wanted && !printing.found) {
		warnx("there is no setting \"%s\"; config without a name lists them all",
		    printing.wanted);
		return CTL_NO_MATCH;
	}
	return EX_OK;
}
