/*
 * A library's ciphers, measured on request. One line asks, one line answers:
 *
 *	check WORK BYTES BATCH     the result of doing it once, all packets in hexadecimal
 *	run WORK BYTES BATCH MS    bytes done and nanoseconds of processor time used
 *	anything else: "no", and why
 *
 * The first line of output names the library. Payloads, keys and IVs are those of ciphers.go, so the two
 * sides can be compared byte by byte.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.h"

struct packet packets[MAX_BATCH];

void
key(uint8_t *k, int n, int packet)
{
	for (int i = 0; i < n; i++)
		k[i] = (uint8_t)(i * 37 + 11 + packet * 59);
}

/* fill makes the packets as they are before the first time. */
static void
fill(const struct work *w, int bytes, int batch)
{
	for (int i = 0; i < batch; i++) {
		struct packet *p = &packets[i];

		for (int j = 0; j < bytes; j++)
			p->data[j] = (uint8_t)(i + j);
		for (int j = 0; j < 16; j++)
			p->iv[j] = (uint8_t)(0xa0 + i + j);
		if (!w->esp)
			continue;
		if (w->block == 4) { /* a combined mode: the IV is the sequence number */
			memset(p->iv, 0, 8);
			p->iv[7] = (uint8_t)(i + 1);
		}
		uint8_t *head = p->data - w->iv - ESP_HEADER;
		const uint8_t spi[4] = {0x10, 0, 0, 1}, seq[4] = {0, 0, 0, (uint8_t)(i + 1)};
		memcpy(head, spi, 4);
		memcpy(head + 4, seq, 4);
		memcpy(p->data - w->iv, p->iv, (size_t)w->iv);
	}
}

static int
padded(const struct work *w, int bytes)
{
	return w->esp ? (bytes + 2 + w->block - 1) / w->block * w->block : bytes;
}

/* once does the work to all packets, with what belongs to a packet besides the cipher. */
static void
once(const struct work *w, int bytes, int batch)
{
	int n = padded(w, bytes);

	for (int i = 0; w->esp && i < batch; i++) {
		struct packet *p = &packets[i];

		if (w->open) {
			memcpy(p->data - w->iv - ESP_HEADER, p->arrived, (size_t)(ESP_HEADER + w->iv + n + w->icv));
			continue;
		}
		int pad = n - bytes - 2;
		for (int j = 0; j < pad; j++)
			p->data[bytes + j] = (uint8_t)(j + 1);
		p->data[bytes + pad] = (uint8_t)pad;
		p->data[bytes + pad + 1] = 4;
		memcpy(p->data - w->iv, p->iv, (size_t)w->iv);
	}
	w->once(n, batch);
}

/* begin makes ready; an "open" needs sealed packets, which its neighbor in the table, the seal, makes. */
static int
begin(const struct work *w, int bytes, int batch)
{
	if (w->open) {
		const struct work *seal = w - 1;

		if (begin(seal, bytes, batch) != 0)
			return -1;
		once(seal, bytes, batch);
		for (int i = 0; i < batch; i++)
			memcpy(packets[i].arrived, packets[i].data - w->iv - ESP_HEADER,
			    (size_t)(ESP_HEADER + w->iv + padded(w, bytes) + w->icv));
	}
	fill(w, bytes, batch);
	return w->begin();
}

static void
check(const struct work *w, int bytes, int batch)
{
	int from = w->esp && !w->open ? -w->iv - ESP_HEADER : 0;
	int to = w->open ? bytes : padded(w, bytes) + w->icv;

	once(w, bytes, batch);
	if (!w->esp && w->icv > 0)	/* a hash: its output alone */
		from = bytes;
	for (int i = 0; i < batch; i++)
		for (int j = from; j < to; j++)
			printf("%02x", packets[i].data[j]);
	printf("\n");
}

static int64_t
now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* run does it for about so long. The clocks are read so rarely that it does not show. */
static void
run(const struct work *w, int bytes, int batch, int ms)
{
	int64_t slice = ms * INT64_C(1000000), begun = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID), wall;
	int64_t times = 0, between = 1;

	do {
		for (int64_t i = 0; i < between; i++)
			once(w, bytes, batch);
		times += between;
		wall = now(CLOCK_MONOTONIC) - begun;
		if (wall < slice / 16)
			between *= 2;
	} while (wall < slice);
	printf("%lld %lld\n", (long long)times * bytes * batch, (long long)(now(CLOCK_PROCESS_CPUTIME_ID) - used));
}

int
main(int argc, char **argv)
{
	const char *name = library_begin(argc > 1 ? argv[1] : "");
	char line[256], verb[16], what[64];
	int bytes, batch, ms;

	if (name == NULL)
		return 1;
	for (int i = 0; i < MAX_BATCH; i++) /* not at equal places of a page */
		packets[i].data = (uint8_t *)aligned_alloc(64, HEAD + MAX_BYTES + TAIL + 64 + 56) + 64;
	printf("%s\n", name);
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL) {
		const struct work *w = works;

		ms = 0;
		if (sscanf(line, "%15s %63s %d %d %d", verb, what, &bytes, &batch, &ms) < 4 ||
		    bytes < 1 || bytes > MAX_BYTES || batch < 1 || batch > MAX_BATCH) {
			printf("no such request\n");
			fflush(stdout);
			continue;
		}
		while (w->name != NULL && strcmp(w->name, what) != 0)
			w++;
		if (w->name == NULL)
			printf("no %s here\n", what);
		else if (begin(w, bytes, batch) != 0)
			printf("no %s: it cannot be begun\n", what);
		else if (strcmp(verb, "check") == 0)
			check(w, bytes, batch);
		else
			run(w, bytes, batch, ms);
		fflush(stdout);
	}
	return 0;
}
