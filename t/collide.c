/*
 * Keys that lie on one chain of a TDB's hash table, as an attacker may choose them who knows TDB's
 * hash function, which has no secret; and how long the chains of a file are. For t/collide.t.
 *
 *   collide keys PREFIX HASH_SIZE COUNT   prints COUNT keys, one a line: PREFIX and an address
 *   collide store FILE HASH_SIZE          makes FILE, a TDB with the keys that are on stdin
 *   collide chains FILE                   prints "KEYS keys, CHAINS chains, longest LONGEST"
 *
 * How keys are found: TDB's Jenkins hash (Bob Jenkins's lookup3.c, hashlittle, which is in the
 * public domain) takes a key in blocks of 12 bytes, and mixes the last one in another way than
 * those before it. So the keys have a length that is a multiple of 12, and differ in the last 8
 * bytes only. All else is hashed once. A try then is the last mixing, some 3 ns, instead of
 * 20 to 30 ns for a call of tdb_jenkins_hash; one try of HASH_SIZE gives a key. Each key found
 * is hashed by TDB itself as well. Running the last mixing backwards from a wanted hash would be
 * of no use: of 12 bytes that come out of that, all are letters or digits once in 2^34.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <tdb.h>

#define BLOCK 12
#define VARIED 8 /* bytes at the end of a key */
#define KEY_MAX 120
#define HASH_SIZE_MAX 100000000U

/* Four letters of 32 make a word; in a domain, whose case does not matter. */
static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
#define WORDS (UINT32_C(1) << 20)

static uint32_t rotate(uint32_t x, unsigned bits)
{
	return x << bits | x >> (32 - bits);
}

static uint32_t read_word(const char *bytes)
{
	const unsigned char *b = (const unsigned char *)bytes;

	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* lookup3's mix: a block that is not the last. */
static void mix(uint32_t s[3])
{
	uint32_t a = s[0], b = s[1], c = s[2];

	a -= c;
	a ^= rotate(c, 4);
	c += b;
	b -= a;
	b ^= rotate(a, 6);
	a += c;
	c -= b;
	c ^= rotate(b, 8);
	b += a;
	a -= c;
	a ^= rotate(c, 16);
	c += b;
	b -= a;
	b ^= rotate(a, 19);
	a += c;
	c -= b;
	c ^= rotate(b, 4);
	b += a;
	s[0] = a;
	s[1] = b;
	s[2] = c;
}

/* lookup3's final: the hash. */
static uint32_t mix_last(uint32_t a, uint32_t b, uint32_t c)
{
	c ^= b;
	c -= rotate(b, 14);
	a ^= c;
	a -= rotate(c, 11);
	b ^= a;
	b -= rotate(a, 25);
	c ^= b;
	c -= rotate(b, 16);
	a ^= c;
	a -= rotate(c, 4);
	b ^= a;
	b -= rotate(a, 14);
	c ^= b;
	c -= rotate(b, 24);
	return c;
}

static void spell(char *bytes, uint32_t word)
{
	for (int i = 0; i < 4; i++) {
		bytes[i] = letters[word >> 5 * i & 31];
	}
}

static void print_key(const char *key, size_t length, uint32_t hash)
{
	TDB_DATA data = {.dptr = (unsigned char *)key, .dsize = length};

	if (tdb_jenkins_hash(&data) != hash) {
		errx(1, "TDB's hash is another one");
	}
	if (puts(key) == EOF) {
		err(1, "stdout");
	}
}

static void find_keys(const char *prefix, uint32_t hash_size, uint64_t count)
{
	static uint32_t word[WORDS];
	char key[KEY_MAX + 1];
	uint32_t state[3];
	size_t length = strlen(prefix) + strlen("x@") + VARIED;

	length = (length + BLOCK - 1) / BLOCK * BLOCK;
	if (length > KEY_MAX) {
		errx(2, "the prefix is too long");
	}
	memset(key, 'x', length);
	key[length] = '\0';
	memcpy(key, prefix, strlen(prefix));
	key[length - VARIED - 1] = '@';
	state[0] = state[1] = state[2] = 0xdeadbeef + (uint32_t)length;
	for (size_t i = 0; i < length - BLOCK; i += BLOCK) {
		for (size_t j = 0; j < 3; j++) {
			state[j] += read_word(key + i + 4 * j);
		}
		mix(state);
	}
	state[0] += read_word(key + length - BLOCK);
	for (uint32_t i = 0; i < WORDS; i++) {
		char text[4];

		spell(text, i);
		word[i] = read_word(text);
	}
	for (uint32_t i = 0; count > 0 && i < WORDS; i++) {
		spell(key + length - VARIED, i);
		for (uint32_t j = 0; count > 0 && j < WORDS; j++) {
			uint32_t hash = mix_last(state[0], state[1] + word[i], state[2] + word[j]);

			if (hash % hash_size == 0) {
				spell(key + length - 4, j);
				print_key(key, length, hash);
				count--;
			}
		}
	}
	if (count > 0) {
		errx(1, "there are not that many");
	}
}

static void store_keys(const char *path, uint32_t hash_size)
{
	struct tdb_context *tdb = tdb_open(path, (int)hash_size,
	    TDB_INCOMPATIBLE_HASH | TDB_NOSYNC | TDB_NOLOCK, O_RDWR | O_CREAT | O_EXCL, 0600);
	TDB_DATA value = {.dptr = (unsigned char *)"1", .dsize = 1};
	char line[KEY_MAX + 2];

	if (!tdb) {
		err(1, "%s", path);
	}
	while (fgets(line, sizeof(line), stdin)) {
		TDB_DATA key = {.dptr = (unsigned char *)line, .dsize = strcspn(line, "\n")};

		if (tdb_store(tdb, key, value, TDB_INSERT)) {
			errx(1, "%s: %s", path, tdb_errorstr(tdb));
		}
	}
	tdb_close(tdb);
}

struct chains {
	uint32_t chains;
	uint64_t *keys; /* of each chain */
};

static int count_key(struct tdb_context *tdb, TDB_DATA key, TDB_DATA value, void *private)
{
	struct chains *chains = private;

	(void)tdb;
	(void)value;
	chains->keys[tdb_jenkins_hash(&key) % chains->chains]++;
	return 0;
}

static void print_chains(const char *path)
{
	struct tdb_context *tdb = tdb_open(path, 0, TDB_DEFAULT, O_RDONLY, 0);
	uint64_t longest = 0;
	struct chains chains;
	int keys;

	if (!tdb) {
		err(1, "%s", path);
	}
	chains.chains = (uint32_t)tdb_hash_size(tdb);
	chains.keys = calloc(chains.chains, sizeof(*chains.keys));
	if (!chains.keys) {
		err(1, "calloc");
	}
	keys = tdb_traverse_read(tdb, count_key, &chains);
	if (keys < 0) {
		errx(1, "%s: %s", path, tdb_errorstr(tdb));
	}
	for (uint32_t i = 0; i < chains.chains; i++) {
		longest = chains.keys[i] > longest ? chains.keys[i] : longest;
	}
	printf("%d keys, %" PRIu32 " chains, longest %" PRIu64 "\n", keys, chains.chains, longest);
	free(chains.keys);
	tdb_close(tdb);
}

static uint64_t read_number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || number == 0 || number > max) {
		errx(2, "%s: not a number from 1 to %" PRIu64, text, max);
	}
	return number;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "keys") == 0) {
		uint32_t hash_size = (uint32_t)read_number(argv[3], HASH_SIZE_MAX);

		find_keys(argv[2], hash_size, read_number(argv[4], UINT32_MAX));
	} else if (argc == 4 && strcmp(argv[1], "store") == 0) {
		store_keys(argv[2], (uint32_t)read_number(argv[3], HASH_SIZE_MAX));
	} else if (argc == 3 && strcmp(argv[1], "chains") == 0) {
		print_chains(argv[2]);
	} else {
		errx(2, "keys PREFIX HASH_SIZE COUNT | store FILE HASH_SIZE | chains FILE");
	}
	if (fflush(stdout)) {
		err(1, "stdout");
	}
	return 0;
}
