/*
 * The command config: effective settings.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/main.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

struct printing {
	const char *wanted; /* NULL: all */
	bool found;
	bool changed_only;
	bool marks; /* a person looks at it: a program gets what the file would take */
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
		/* What has no default is the administrator's in any case. */
		printf("%s%s = %s", !printing->marks ? "" : changed ? "* " : "  ", name, value);
		if (printing->marks && changed && usual) {
			printf("    (default: %s)", usual[0] ? usual : "none");
		}
		putchar('\n');
	}
}

int cmd_config(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"changed", no_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
	struct printing printing = {.marks = isatty(STDOUT_FILENO)};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'c') {
			return ctl_usage("config");
		}
		printing.changed_only = true;
	}
	printing.wanted = argv[optind];
	if (argc - optind > 1 || (printing.wanted && printing.changed_only)) {
		return ctl_usage("config");
	}
	if (config_print(&ctl->config, print_option, &printing)) {
		errx(EX_OSERR, "out of memory");
	}
	if (printing.wanted && !printing.found) {
		warnx("there is no setting \"%s\"; config without a name lists them all",
		    printing.wanted);
		return CTL_NO_MATCH;
	}
	return EX_OK;
}
