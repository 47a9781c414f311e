/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest sees of stage2: the control device, the ring of reports, and the mailbox of the agent
 * payload. Included by the VMM and by the payloads; everything is little-endian.
 *
 * The control device is one page of 64-bit registers. Linux guests reach it with devmem(1); our own
 * payloads use all of it. On KVM a protected guest shares pages without an exit, so the host learns of
 * a share only if the guest says so: through SHARED and UNSHARED, one page and one exit each, or
 * through the ring, many pages and no exit.
 */
#ifndef VMM_GUEST_ABI_H
#define VMM_GUEST_ABI_H

#include <stdint.h>

#define CONTROL_EXIT 0x00     /* W: end the VM with this exit code */
#define CONTROL_SHARED 0x08   /* W: gpa of a page that the guest has shared */
#define CONTROL_UNSHARED 0x10 /* W: gpa of a page that the guest is about to unshare */
#define CONTROL_PEEK 0x18     /* W: the host tries to read 8 bytes at this gpa; R: 1 if it could */
#define CONTROL_PEEK_VALUE 0x20 /* R: what the host read, 0 if nothing */
#define CONTROL_DOORBELL 0x28	/* W: the mailbox has news for the host */
#define CONTROL_MAILBOX 0x30	/* W: gpa of the mailbox page, shared already */
#define CONTROL_POKE 0x38  /* W: the host tries to change 8 bytes at this gpa; R: 1 if it could */
#define CONTROL_RING 0x40  /* W: gpa of the page with the ring, shared already; see below */
#define CONTROL_DRAIN 0x48 /* W: the ring is full: the host empties it now */
/* W: a run of pages: the host compares what it believes of them with what it can read; R: how many differ */
#define CONTROL_AUDIT 0x50
#define CONTROL_POISON 0x58 /* W: gpa of a page that is to get a memory error (--inject-errors) */
#define CONTROL_SIZE 0x1000

/*
 * A run of pages in one word: the gpa of the first page, how many pages, and in the ring what was done
 * with them. Bits 63:12 gpa, 11:2 pages - 1, 1:0 enum guest_op.
 */
#define GUEST_RUN_MAX 1024 /* pages */

enum guest_op {
	GUEST_SHARED = 1,  /* the guest has shared these pages */
	GUEST_UNSHARED = 2 /* the guest is about to unshare them */
};

static inline uint64_t guest_run(uint64_t gpa, uint64_t pages, uint64_t op)
{
	return gpa | (pages - 1) << 2 | op;
}

/*
 * The ring of reports: one page that the guest shares and announces once with CONTROL_RING, all
 * zero. The guest writes report[head % GUEST_RING_SLOTS] and then, with release order, head + 1; the
 * host reads whenever it wants to know, and at every exit, and writes into tail how far it has read.
 * When head - tail is GUEST_RING_SLOTS, the ring is full: CONTROL_DRAIN makes room.
 *
 * Share first, then report; report first, then unshare. A report is a claim: the host checks it, and
 * one that was made too early is not taken. The ring's own page is unshared last.
 */
#define GUEST_RING_SLOTS 256

struct guest_ring {
	uint64_t head; /* reports written, by the guest */
	uint64_t tail; /* reports read, by the host */
	uint64_t reserved[6];
	uint64_t report[GUEST_RING_SLOTS];
};

/* What the agent can be told to do. */
enum agent_op {
	AGENT_NONE = 0,
	AGENT_TOUCH = 1,  /* write the pattern of seed into pages */
	AGENT_VERIFY = 2, /* compare with it; failed counts the pages that differ */
	/*
	 * Shows pages to the host: seed pages a call, or as many as the architecture's call takes if that
	 * is less or seed is 0; in ascending order, stopping at the first failure.
	 */
	AGENT_SHARE = 3,
	AGENT_UNSHARE = 4, /* the same the other way */
	AGENT_EXIT = 5	   /* power off */
};

/* One page, shared by the guest. The host writes the command, the guest the result. */
struct agent_mailbox {
	/* host to guest */
	uint64_t op;
	uint64_t gpa;
	uint64_t pages;
	uint64_t seed;
	/* guest to host, about the last command */
	uint64_t done;	     /* pages, from gpa on */
	uint64_t failed;     /* calls that were refused, pages that differ */
	uint64_t hypercalls; /* calls made */
	uint64_t ticks;	     /* of the guest's counter, for the whole command */
	uint64_t tick_hz;
};

/*
 * The pattern: 64-bit word number `word` of the page at gpa, for a seed. Never 0, so that a page that
 * was cleared behind the guest's back is found.
 */
static inline uint64_t agent_pattern(uint64_t seed, uint64_t gpa, uint64_t word)
{
	return ((gpa + 8 * word) * UINT64_C(0x9e3779b97f4a7c15) ^ seed) | 1;
}

#endif
