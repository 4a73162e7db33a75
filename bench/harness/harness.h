/* What main.c gives a library, and what the library gives main.c. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stddef.h>
#include <stdint.h>

enum {
	MAX_BATCH = 256,	/* packets */
	MAX_BYTES = 2048,	/* of each payload */
	HEAD = 24,		/* room for SPI, sequence number and an IV of 16 bytes */
	TAIL = 64,		/* room for padding, trailer and ICV */
	ESP_HEADER = 8,		/* SPI and sequence number */
};

/* A packet: HEAD bytes, the payload at data, TAIL bytes. ESP's header and IV end at data. */
struct packet {
	uint8_t *data;
	uint8_t iv[16];
	uint8_t arrived[HEAD + MAX_BYTES + TAIL]; /* sealed; what "open" begins with */
};

extern struct packet packets[MAX_BATCH];

/* A work is one measurement's: begin prepares keys, once does it to all packets. */
struct work {
	const char *name;
	int block, iv, icv;	/* bytes; block is what padding fills */
	int esp;		/* header, IV, trailer and ICV around the payload */
	int open;		/* undo it, of a copy of what sealing made */
	int mixed;		/* a key of its own for each packet */
	int (*begin)(void);	/* 0: done */
	void (*once)(int bytes, int batch);
};

extern const struct work works[];	/* ends with a name of NULL */

/* library_begin names the library and what it chose, or returns NULL and says why on stderr. */
const char *library_begin(const char *variant);

/* The key of that length: byte i is 37 i + 11, and 59 more for each packet where keys are mixed. */
void key(uint8_t *k, int n, int packet);

#endif
