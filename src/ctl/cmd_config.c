/*
 * The command config: effective settings.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/commands.h"
#include "ctl/print.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

struct printing {
	const char *wanted; /* NULL: all */
	bool found;
	bool changed_only;
	bool marks; /* for a person; for a program the lines are as in the file */
};

static void print_option(void *data, const char *name, const char *value, const char *usual)
{
	struct printing *printing = data;
	bool changed = !usual || strcmp(value, usual) != 0;

	if (printing->wanted) {
		if (strcmp(printing->wanted, name) == 0) {
			printf("%s\n", value);
			printing->found = true;
		}
	} else if (changed || !printing->changed_only) {
		/* A setting without a default is always the administrator's. */
		printf("%s%s = %s", !printing->marks ? "" : changed ? "* " : "  ", name, value);
		if (printing->marks && changed && usual) {
			printf("    (default: %s)", usual[0] ? usual : "none");
		}
		putchar('\n');
	}
}

int cmd_config(struct ctl *ctl, int argc, char **argv)
{
	struct printing printing = {.marks = isatty(STDOUT_FILENO)};
	const struct ctl_option options[] = {
	    {"changed", .flag = &printing.changed_only}, {.name = NULL}};
	int status = ctl_options(ctl, options, argc, argv, 1);

	if (status) {
		return status;
	}
	printing.wanted = argv[optind];
	if (printing.wanted && printing.changed_only) {
		return CTL_USAGE;
	}
	config_print(&ctl->config, print_option, &printing);
	if (printing.wanted && !printing.found) {
		print_warning("there is no setting \"%s\"; config without a name lists them all",
		    printing.wanted);
		return CTL_NO_MATCH;
	}
	return EX_OK;
}
