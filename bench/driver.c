/*
 * The driver of `make bench`: speaks the policy protocol as smtpd(8) does, over any number of
 * connections with one outstanding request each, and prints its measurements in one line of
 * name=value. A single thread that changes digits in a template leaves nearly all CPU time to the
 * programs under test.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "peer.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1000
#define REQUEST_MAX 2048
#define ANSWER_MAX 1024
#define DIGITS 7

/* Latencies are counted in 32 steps per power of two: exact to 3 %. */
#define STEP_BITS 5
#define STEPS (64 << STEP_BITS)

static struct {
	size_t connections;
	unsigned long keys;
	unsigned long first_key;
	unsigned long requests; /* in total; 0: until the time is over */
	double seconds;
	unsigned long warm_up; /* requests before the measurement */
	bool in_order; /* each key in turn, instead of random keys */
	pid_t server; /* its CPU time counts, and that of its descendants */
} option = {.connections = 1, .keys = 1000, .seconds = 1};

/* As sent by Postfix 3.7. A row of # is replaced by a key's number, a row of ~ by a message's. */
static const char template[] = "request=smtpd_access_policy\n"
			       "protocol_state=RCPT\n"
			       "protocol_name=ESMTP\n"
			       "client_address=192.0.2.45\n"
			       "client_name=client45.example.net\n"
			       "client_port=41234\n"
			       "reverse_client_name=client45.example.net\n"
			       "server_address=198.51.100.25\n"
			       "server_port=587\n"
			       "helo_name=[192.168.1.45]\n"
			       "sender=user#######@example.org\n"
			       "recipient=someone~~~~~~~@example.com\n"
			       "recipient_count=0\n"
			       "queue_id=\n"
			       "instance=3b1f.65a~~~~~~~.b2c4d.0\n"
			       "size=12345\n"
			       "etrn_domain=\n"
			       "stress=\n"
			       "sasl_method=PLAIN\n"
			       "sasl_username=user#######@example.org\n"
			       "sasl_sender=\n"
			       "ccert_subject=\n"
			       "ccert_issuer=\n"
			       "ccert_fingerprint=\n"
			       "ccert_pubkey_fingerprint=\n"
			       "encryption_protocol=TLSv1.3\n"
			       "encryption_cipher=TLS_AES_256_GCM_SHA384\n"
			       "encryption_keysize=256\n"
			       "policy_context=\n"
			       "compatibility_level=3.6\n"
			       "mail_version=3.7.11\n\n";
static const char good_answer[] = "action=DUNNO\n\n";

struct connection {
	struct peer peer;
	int64_t sent_ns;
	size_t length; /* of the answer, until it is complete */
	char answer[ANSWER_MAX];
	char request[sizeof(template)];
};

static struct connection connection[CONNECTIONS_MAX];
static char **target;
static int events_fd;
static unsigned long sent, answered, reconnects, others;
static char other_answer[64]; /* the first word of the first such answer */
static int64_t longest_ns;
static unsigned long latency[STEPS];

static void write_digits(char *at, unsigned long number)
{
	for (size_t i = DIGITS; i-- > 0; number /= 10) {
		at[i] = (char)('0' + number % 10);
	}
}

static void fill_request(char *request, unsigned long key, unsigned long mail)
{
	for (const char *at = template; (at = strpbrk(at, "#~")) != NULL; at += DIGITS) {
		write_digits(request + (at - template), *at == '#' ? key : mail);
	}
}

/* A random key (xorshift64); the series is the same in every run. */
static unsigned long next_key(void)
{
	static uint64_t state = UINT64_C(0x9E3779B97F4A7C15);

	if (option.in_order) {
		return option.first_key + sent % option.keys;
	}
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return option.first_key + (unsigned long)((state >> 11) % option.keys);
}

static void write_request(struct connection *c)
{
	size_t length = sizeof(template) - 1;

	if (write(c->peer.fd, c->request, length) != (ssize_t)length) {
		die("a request can't be sent: %s", strerror(errno));
	}
}

static void send_request(struct connection *c)
{
	static unsigned long mails;

	fill_request(c->request, next_key(), ++mails);
	sent++;
	c->length = 0;
	c->sent_ns = clock_ns(CLOCK_MONOTONIC);
	write_request(c);
}

static void listen_to(struct connection *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	if (epoll_ctl(events_fd, EPOLL_CTL_ADD, c->peer.fd, &event)) {
		die("epoll_ctl: %s", strerror(errno));
	}
}

static void open_connection(struct connection *c)
{
	memcpy(c->request, template, sizeof(template));
	peer_open(&c->peer, target);
	listen_to(c);
}

/* Whether the answer is complete. If a server closed the connection, the request is sent again. */
static bool read_answer(struct connection *c)
{
	ssize_t n = read(c->peer.fd, c->answer + c->length, ANSWER_MAX - 1 - c->length);

	if (n <= 0) {
		if (c->peer.pid) {
			die("the process has ended");
		}
		reconnects++;
		close(c->peer.fd);
		peer_open(&c->peer, target);
		listen_to(c);
		c->length = 0;
		write_request(c);
		return false;
	}
	c->length += (size_t)n;
	c->answer[c->length] = '\0';
	if (c->length < 2 || memcmp(c->answer + c->length - 2, "\n\n", 2) != 0) {
		return false;
	}
	answered++;
	if (strcasecmp(c->answer, good_answer) != 0 && others++ == 0) {
		sscanf(c->answer, "action=%63s", other_answer);
	}
	return true;
}

static void count_latency(int64_t ns)
{
	uint64_t value = ns > 0 ? (uint64_t)ns : 1;
	unsigned doubling = 63 - (unsigned)__builtin_clzll(value);
	uint64_t step = doubling < STEP_BITS ? 0 : value >> (doubling - STEP_BITS);

	latency[(doubling << STEP_BITS) + (step & ((1 << STEP_BITS) - 1))]++;
	if (ns > longest_ns) {
		longest_ns = ns;
	}
}

static double latency_us(double share)
{
	unsigned long seen = 0;

	for (size_t i = 0; i < STEPS; i++) {
		seen += latency[i];
		if (seen > 0 && (double)seen >= share * (double)answered) {
			double step = 1 + (double)(i & ((1 << STEP_BITS) - 1)) / (1 << STEP_BITS);

			return step * (double)(UINT64_C(1) << (i >> STEP_BITS)) / 1000;
		}
	}
	return 0;
}

/*
 * Keeps every connection busy until requests are sent, or for seconds if requests is 0; returns
 * when all are answered.
 */
static void run(unsigned long requests, double seconds)
{
	int64_t end_ns = clock_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
	struct epoll_event event[64];

	sent = answered = 0;
	longest_ns = 0;
	memset(latency, 0, sizeof(latency));
	for (size_t i = 0; i < option.connections && (requests == 0 || i < requests); i++) {
		send_request(&connection[i]);
	}
	while (answered < sent) {
		int n = epoll_wait(events_fd, event, 64, -1);

		for (int i = 0; i < n; i++) {
			struct connection *c = event[i].data.ptr;
			int64_t now_ns;

			if (!read_answer(c)) {
				continue;
			}
			now_ns = clock_ns(CLOCK_MONOTONIC);
			count_latency(now_ns - c->sent_ns);
			if (requests ? sent < requests : now_ns < end_ns) {
				send_request(c);
			}
		}
	}
}

static int64_t peers_cpu_ns(void)
{
	int64_t sum = option.server ? peer_tree_cpu_ns(option.server) : 0;

	for (size_t i = 0; i < option.connections; i++) {
		sum += connection[i].peer.pid ? peer_cpu_ns(connection[i].peer.pid) : 0;
	}
	return sum;
}

static void close_all(void)
{
	for (size_t i = 0; i < option.connections; i++) {
		peer_close(&connection[i].peer);
	}
}

static void measure_load(void)
{
	int64_t start_ns, cpu_ns, own_cpu_ns;
	double seconds;

	for (size_t i = 0; i < option.connections; i++) {
		open_connection(&connection[i]);
	}
	if (option.warm_up) {
		run(option.warm_up, 0);
	}
	cpu_ns = peers_cpu_ns();
	own_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	start_ns = clock_ns(CLOCK_MONOTONIC);
	run(option.requests, option.seconds);
	seconds = (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
	own_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - own_cpu_ns;
	cpu_ns = peers_cpu_ns() - cpu_ns;
	printf("requests=%lu seconds=%.4f rps=%.1f p50_us=%.1f p99_us=%.1f max_us=%.1f "
	       "cpu_us=%.3f driver_cpu_us=%.3f reconnects=%lu ",
	    answered, seconds, (double)answered / seconds, latency_us(0.5), latency_us(0.99),
	    (double)longest_ns / 1000, (double)cpu_ns / 1000 / (double)answered,
	    (double)own_cpu_ns / 1000 / (double)answered, reconnects);
	close_all();
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *value, size_t n)
{
	qsort(value, n, sizeof(*value), compare);
	return value[n / 2];
}

/* After its answer, a process runs a little longer until it sleeps. */
static int64_t settled_cpu_ns(pid_t pid)
{
	int64_t before, now = peer_cpu_ns(pid);

	do {
		before = now;
		usleep(50);
		now = peer_cpu_ns(pid);
	} while (now != before);
	return now;
}

/* Starts processes one after the other, for one request each. */
static void measure_start(void)
{
	unsigned long starts = option.requests ? option.requests : 100;
	double *cpu_us = calloc(starts, sizeof(*cpu_us));
	double *wall_us = calloc(starts, sizeof(*wall_us));
	double *life_us = calloc(starts, sizeof(*life_us));

	if (!cpu_us || !wall_us || !life_us) {
		die("out of memory");
	}
	for (unsigned long i = 0; i < starts; i++) {
		struct connection *c = &connection[0];
		int64_t start_ns = clock_ns(CLOCK_MONOTONIC);

		open_connection(c);
		if (!c->peer.pid) {
			die("only processes can be started");
		}
		send_request(c);
		while (!read_answer(c)) {
			;
		}
		wall_us[i] = (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) / 1000;
		cpu_us[i] = (double)(settled_cpu_ns(c->peer.pid) - c->peer.exec_cpu_ns) / 1000;
		life_us[i] = (double)peer_close(&c->peer) / 1000;
	}
	printf("starts=%lu cpu_us=%.1f wall_us=%.1f life_us=%.1f ", starts, median(cpu_us, starts),
	    median(wall_us, starts), median(life_us, starts));
	free(cpu_us);
	free(wall_us);
	free(life_us);
}

/* Starts processes that live at the same time, for one request each, and measures their memory. */
static void measure_idle(void)
{
	int64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	long rss = 0, pss = 0, private = 0, most = 0;
	double seconds;

	for (size_t i = 0; i < option.connections; i++) {
		open_connection(&connection[i]);
	}
	run(option.connections, 0);
	seconds = (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
	for (size_t i = 0; i < option.connections; i++) {
		struct peer_memory memory = peer_memory(connection[i].peer.pid);

		rss += memory.rss;
		pss += memory.pss;
		private += memory.private_dirty;
		most = memory.private_dirty > most ? memory.private_dirty : most;
	}
	printf("processes=%zu seconds=%.4f private_kib=%.1f private_max_kib=%ld pss_kib=%.1f "
	       "rss_kib=%.1f total_private_kib=%ld total_pss_kib=%ld ",
	    option.connections, seconds, (double)private / (double)option.connections, most,
	    (double)pss / (double)option.connections, (double)rss / (double)option.connections,
	    private, pss);
	close_all();
}

/* Spawned processes inherit this. */
static void use_one_processor(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		die("sched_setaffinity: %s", strerror(errno));
	}
}

static const char usage[] =
    "usage: driver load|start|idle [-n CONNECTIONS] [-k KEYS] [-f FIRST_KEY] [-i] [-1]\n"
    "              [-t SECONDS | -r REQUESTS] [-w WARM_UP] [-p SERVER_PID]\n"
    "              spawn PROGRAM [ARGUMENT]... | unix:PATH | inet:HOST:PORT\n"
    "  load   keeps every connection busy, for SECONDS or for REQUESTS in total\n"
    "  start  starts REQUESTS processes one after the other, for one request each\n"
    "  idle   starts CONNECTIONS processes at once, for one request each, and measures their "
    "memory\n"
    "  -i     each key in turn, instead of random keys\n"
    "  -1     everything on one processor\n";

int main(int argc, char **argv)
{
	struct rlimit files;
	const char *mode = argc > 1 ? argv[1] : "";
	int c;

	optind = 2;
	while ((c = getopt(argc, argv, "+n:k:f:i1t:r:w:p:")) != -1) {
		switch (c) {
		case 'n':
			option.connections = strtoul(optarg, NULL, 10);
			break;
		case 'k':
			option.keys = strtoul(optarg, NULL, 10);
			break;
		case 'f':
			option.first_key = strtoul(optarg, NULL, 10);
			break;
		case 'i':
			option.in_order = true;
			break;
		case '1':
			use_one_processor();
			break;
		case 't':
			option.seconds = strtod(optarg, NULL);
			break;
		case 'r':
			option.requests = strtoul(optarg, NULL, 10);
			break;
		case 'w':
			option.warm_up = strtoul(optarg, NULL, 10);
			break;
		case 'p':
			option.server = (pid_t)strtol(optarg, NULL, 10);
			break;
		default:
			die("bad option\n%s", usage);
		}
	}
	if (optind >= argc || option.keys == 0 || option.connections == 0 ||
	    option.connections > CONNECTIONS_MAX) {
		die("bad arguments\n%s", usage);
	}
	target = argv + optind;
	signal(SIGPIPE, SIG_IGN);
	events_fd = epoll_create1(EPOLL_CLOEXEC);
	/* Each connection needs a descriptor. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (strcmp(mode, "load") == 0) {
		measure_load();
	} else if (strcmp(mode, "start") == 0) {
		measure_start();
	} else if (strcmp(mode, "idle") == 0) {
		measure_idle();
	} else {
		die("no such mode\n%s", usage);
	}
	printf("others=%lu other=%s\n", others, other_answer);
	return EXIT_SUCCESS;
}
