/*
 * The command report: who hit a limit, since when and how often; to be mailed by cron.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/clock.h"
#include "config/options.h"
#include "ctl/sendmail.h"
#include "ctl/rows.h"
#include "ctl/when.h"
#include "ctl/table.h"

#include "base/error.h"
#include "base/strbuf.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define HOST_SIZE 256
#define TIME_SIZE 32

/* Lines of a message: more nobody reads, and a mail server may refuse it for its size. */
#define MAIL_LINES_MAX 1000

static const struct table_column report_columns[] = {
    {"rule", "RULE", false},
    {"key", "KEY", false},
    {"refused", "REFUSED", true},
    {"since", "SINCE", false},
    {"last", "LAST", false},
    {"window", NULL, false},
    {"count", NULL, false},
    {"limit", "LIMIT", true},
    {"used", "USED", true},
    {"percent", "%", true},
    {"retry_after", "ROOM", false},
};

#define REPORT_COLUMNS (sizeof(report_columns) / sizeof(*report_columns))

struct report {
	const char *mail; /* NULL: to stdout */
	bool always;
	bool json;
	bool filtered;
	int64_t since_s;
	int64_t now_s;
	const struct ctl_row **row; /* of each counter the one for its fullest window */
	size_t rows;
};

static void print_row(const struct ctl_row *row, struct table *table)
{
	const struct limit *limit = &row->limit;
	char limit_text[LIMIT_TEXT_SIZE], refused[24], since[TIME_SIZE], last[TIME_SIZE], used[40],
	    percent[24], room[24];
	bool never = row->wait_ms == WINDOW_NEVER;
	struct table_cell cell[REPORT_COLUMNS];
	struct strbuf text;
	unsigned n = 0;

	strbuf_init(&text, limit_text, sizeof(limit_text));
	limit_format(limit, row->rule->count, &text);
	snprintf(refused, sizeof(refused), "%llu", (unsigned long long)row->denied);
	strbuf_init(&text, since, sizeof(since));
	when_format(row->denied_first_s, &text);
	strbuf_init(&text, last, sizeof(last));
	when_format(row->denied_s, &text);
	strbuf_init(&text, used, sizeof(used));
	ctl_format_used(row->used, row->rule->count, &text);
	snprintf(percent, sizeof(percent), "%llu%%", (unsigned long long)row->percent);
	strbuf_init(&text, room, sizeof(room));
	ctl_format_wait(row->wait_ms, &text);

	cell[n++] = table_string(row->rule->name);
	cell[n++] = table_string(row->key);
	cell[n++] = table_number(row->denied, refused);
	cell[n++] = table_number((uint64_t)row->denied_first_s, since);
	cell[n++] = table_number((uint64_t)row->denied_s, last);
	cell[n++] = table_number((uint64_t)limit->window.length_ms / 1000, NULL);
	cell[n++] = table_string(options_count_words[row->rule->count]);
	cell[n] = table_number(limit->count, limit_text);
	cell[n++].json = limit->count == LIMIT_UNLIMITED ? TABLE_NULL : TABLE_NUMBER;
	cell[n++] = table_number(row->used, used);
	cell[n++] = table_number(row->percent, percent);
	cell[n] = table_number(never ? 0 : (uint64_t)(row->wait_ms + 999) / 1000, room);
	cell[n++].json = never ? TABLE_NULL : TABLE_NUMBER;
	table_row(table, cell);
}

/* Most refusals first; ties as the rows came, by key. */
static int compare_refusals(const void *left, const void *right)
{
	const struct ctl_row *a = *(const struct ctl_row *const *)left;
	const struct ctl_row *b = *(const struct ctl_row *const *)right;

	if (a->denied != b->denied) {
		return a->denied > b->denied ? -1 : 1;
	}
	return (a > b) - (a < b);
}

/* Rows of one counter stand together, the fullest window first. */
static int compare_counters(const void *left, const void *right)
{
	const struct ctl_row *a = *(const struct ctl_row *const *)left;
	const struct ctl_row *b = *(const struct ctl_row *const *)right;

	if (a->key != b->key) {
		return a->key < b->key ? -1 : 1;
	}
	if (a->percent != b->percent) {
		return a->percent > b->percent ? -1 : 1;
	}
	if (a->wait_ms != b->wait_ms) {
		return a->wait_ms > b->wait_ms ? -1 : 1;
	}
	return (a > b) - (a < b);
}

static void pick_rows(struct report *report, const struct ctl_rows *rows)
{
	size_t n = 0;

	report->row = table_must(calloc(rows->rows + 1, sizeof(*report->row)));
	for (size_t i = 0; i < rows->rows; i++) {
		const struct ctl_row *row = &rows->row[i];

		if (row->denied > 0 && (!report->filtered || row->denied_s >= report->since_s)) {
			report->row[n++] = row;
		}
	}
	qsort(report->row, n, sizeof(*report->row), compare_counters);
	for (size_t i = 0; i < n; i++) {
		/* Not by the text: made printable, two keys may look the same. */
		if (i == 0 || report->row[i]->key != report->row[report->rows - 1]->key) {
			report->row[report->rows++] = report->row[i];
		}
	}
	qsort(report->row, report->rows, sizeof(*report->row), compare_refusals);
}

static void print_rows(const struct report *report, size_t most, FILE *stream)
{
	struct table *table = table_new(report->json, report_columns, REPORT_COLUMNS);

	table_to(table, stream);
	for (size_t i = 0; i < report->rows && i < most; i++) {
		print_row(report->row[i], table);
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
	FILE *file = table_must(open_memstream(&body, &size));
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
		fputs("\n"
		      "REFUSED counts the requests that were refused from SINCE to LAST.\n"
		      "`policyd-ratelimit-ctl show --key KEY` shows how full all windows of a key\n"
		      "are now, `policyd-ratelimit-ctl explain` why a request is refused; and\n"
		      "`policyd-ratelimit-ctl reset KEY` lets a user send again at once: after\n"
		      "you know that it was the user who sent all this, and not somebody with\n"
		      "the user's password.\n",
		    file);
	}
	if (fclose(file)) {
		errx(EX_OSERR, "out of memory");
	}
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

static int read_options(struct report *report, int argc, char **argv)
{
	static const struct option options[] = {
	    {"since", required_argument, NULL, 's'},
	    {"mail", required_argument, NULL, 'm'},
	    {"always", no_argument, NULL, 'a'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	struct error error;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			report->filtered = true;
			if (when_parse(optarg, report->now_s, &report->since_s, &error)) {
				warnx("--since: %s", error.text);
				return EX_USAGE;
			}
			break;
		case 'm':
			report->mail = optarg;
			if (sendmail_check(optarg, &error)) {
				warnx("--mail: %s", error.text);
				return EX_USAGE;
			}
			break;
		case 'a':
			report->always = true;
			break;
		case 'j':
			report->json = true;
			break;
		default:
			return ctl_usage("report");
		}
	}
	/* A message is for people; and --always is about messages. */
	if (optind < argc || (report->mail ? report->json : report->always)) {
		return ctl_usage("report");
	}
	return 0;
}

int cmd_report(struct ctl *ctl, int argc, char **argv)
{
	struct report report = {.now_s = clock_now_ms() / 1000};
	struct ctl_rows rows = {.order = CTL_BY_KEY};
	int status = read_options(&report, argc, argv);

	if (status == 0) {
		status = ctl_rows_read(ctl, &rows);
	}
	if (status == 0) {
		pick_rows(&report, &rows);
		status = publish(&report);
		if (status != EX_UNAVAILABLE && rows.damaged > 0) {
			status = EX_UNAVAILABLE;
		}
	}
	free(report.row);
	ctl_rows_free(&rows);
	return status;
}
