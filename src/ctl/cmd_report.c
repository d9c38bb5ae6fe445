/*
 * The command report: who hit a limit, since when and how often, on stdout or by mail.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "ctl/cell.h"
#include "ctl/commands.h"
#include "ctl/print.h"
#include "ctl/sendmail.h"
#include "ctl/when.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define HOST_SIZE 256

/* Rows in a message: nobody reads more, and a mail server may reject a larger message. */
#define MAIL_LINES_MAX 1000

static const unsigned report_columns[] = {CELL_RULE, CELL_KEY, CELL_DENIED, CELL_DENIED_FIRST,
    CELL_DENIED_LAST, CELL_WINDOW, CELL_COUNT, CELL_LIMIT, CELL_USED, CELL_PERCENT,
    CELL_RETRY_AFTER};

#define REPORT_COLUMNS (sizeof(report_columns) / sizeof(*report_columns))

struct report {
	const char *mail; /* NULL: to stdout */
	bool always;
	bool json;
	bool filtered;
	int64_t since_s;
	int64_t now_s;
	const struct row **row; /* of each counter, the row of its fullest window */
	size_t rows;
};

/* The most denials first; among equals, the order of the rows, which is by key. */
static int compare_denials(const void *left, const void *right)
{
	const struct row *a = *(const struct row *const *)left;
	const struct row *b = *(const struct row *const *)right;

	if (a->denied != b->denied) {
		return a->denied > b->denied ? -1 : 1;
	}
	return (a > b) - (a < b);
}

static bool is_fuller(const struct row *a, const struct row *b)
{
	return a->percent != b->percent ? a->percent > b->percent : a->wait_ms > b->wait_ms;
}

/* Picks, of each counter with denials, the row of its fullest window. */
static void pick_rows(struct report *report, const struct rows *rows)
{
	report->row = ctl_must(calloc(rows->counters + 1, sizeof(*report->row)));
	for (size_t i = 0; i < rows->rows; i++) {
		const struct row *row = &rows->row[i];
		const struct row **picked = &report->row[row->counter];

		if (row->denied > 0 && (!report->filtered || row->denied_s >= report->since_s) &&
		    (!*picked || is_fuller(row, *picked))) {
			*picked = row;
		}
	}
	for (size_t i = 0; i < rows->counters; i++) {
		if (report->row[i]) {
			report->row[report->rows++] = report->row[i];
		}
	}
	qsort(report->row, report->rows, sizeof(*report->row), compare_denials);
}

static void print_rows(const struct report *report, size_t most, FILE *stream)
{
	struct table *table =
	    table_new(report->json, stream, cell_columns, report_columns, REPORT_COLUMNS);

	for (size_t i = 0; i < report->rows && i < most; i++) {
		struct cells cells;

		cells_make(report->row[i], report->now_s * 1000, &cells);
		table_row(table, cells.at);
	}
	table_end(table);
}

/* "3 keys hit a limit since 2026-11-20 00:00". */
static void format_sum(const struct report *report, struct strbuf *text)
{
	if (report->rows == 0) {
		strbuf_puts(text, "nobody hit a limit");
	} else {
		strbuf_printf(
		    text, "%zu key%s hit a limit", report->rows, report->rows == 1 ? "" : "s");
	}
	if (report->filtered) {
		strbuf_puts(text, " since ");
		when_format(report->since_s, text);
	}
}

static int mail_report(const struct report *report)
{
	char host[HOST_SIZE], sum[128], subject[HOST_SIZE + 192];
	struct strbuf text;
	char *body = NULL;
	size_t size = 0;
	FILE *file = ctl_must(open_memstream(&body, &size));
	int status;

	strbuf_init(&text, host, sizeof(host));
	sendmail_host(&text);
	strbuf_init(&text, sum, sizeof(sum));
	format_sum(report, &text);
	strbuf_init(&text, subject, sizeof(subject));
	strbuf_printf(&text, "policyd-ratelimit on %s: %s", host, sum);

	fprintf(file, "On %s %s.\n", host, sum);
	if (report->rows > 0) {
		fputc('\n', file);
		print_rows(report, MAIL_LINES_MAX, file);
		if (report->rows > MAIL_LINES_MAX) {
			fprintf(file, "and %zu more, which policyd-ratelimit-ctl report shows\n",
			    report->rows - MAIL_LINES_MAX);
		}
		fputs(
		    "\n"
		    "DENIED is the number of requests that were denied from SINCE to LAST.\n"
		    "`policyd-ratelimit-ctl show --key KEY` shows how full all windows of a key\n"
		    "are now; `policyd-ratelimit-ctl explain` shows why a request is denied.\n"
		    "`policyd-ratelimit-ctl reset KEY` lets a user send again at once. First make\n"
		    "sure that the user sent all this mail, and not somebody who has the user's\n"
		    "password.\n",
		    file);
	}
	ctl_must(fclose(file) ? NULL : body);
	status = sendmail_send(report->mail, subject, body, report->now_s);
	free(body);
	return status;
}

static int publish(const struct report *report)
{
	char sum[128];
	struct strbuf text;

	if (report->mail) {
		return report->rows > 0 || report->always ? mail_report(report) : EX_OK;
	}
	print_rows(report, SIZE_MAX, stdout);
	if (report->rows == 0 && !report->json) {
		strbuf_init(&text, sum, sizeof(sum));
		format_sum(report, &text);
		fprintf(stderr, "%s\n", sum);
	}
	return report->rows == 0 && report->filtered ? CTL_NO_MATCH : EX_OK;
}

static int read_options(const struct ctl *ctl, struct report *report, int argc, char **argv)
{
	const char *since = NULL;
	const struct ctl_option options[] = {
	    {"since", .text = &since},
	    {"mail", .text = &report->mail},
	    {"always", .flag = &report->always},
	    {"json", .flag = &report->json},
	    {.name = NULL},
	};
	int status = ctl_options(ctl, options, argc, argv, 0);
	struct error error;

	if (status) {
		return status;
	}
	report->filtered = since != NULL;
	if (since && when_parse(since, report->now_s, &report->since_s, &error)) {
		print_warning("--since: %s", error.text);
		return EX_USAGE;
	}
	if (report->mail && sendmail_check(report->mail, &error)) {
		print_warning("--mail: %s", error.text);
		return EX_USAGE;
	}
	/* A message has a table for people; and --always is about messages. */
	return (report->mail ? report->json : report->always) ? CTL_USAGE : 0;
}

int cmd_report(struct ctl *ctl, int argc, char **argv)
{
	struct report report = {.now_s = clock_now_ms() / 1000};
	struct rows rows = {.order = ROWS_BY_KEY};
	int status = read_options(ctl, &report, argc, argv);

	if (status == 0) {
		status = rows_read(ctl, &rows);
	}
	if (status == 0) {
		pick_rows(&report, &rows);
		status = publish(&report);
		if (status != EX_UNAVAILABLE && rows.damaged > 0) {
			status = EX_UNAVAILABLE;
		}
	}
	free(report.row);
	rows_free(&rows);
	return status;
}
