/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's ring of reports (guest_abi.h), decoded. Pure: a copy of the page goes in, reports that
 * can be relied on to be well-formed come out. The guest writes the page while we look and may be
 * hostile, so nobody reads the page itself twice, and nothing in it is trusted: neither the head, nor
 * the host's own tail, nor a word of a report.
 */
#ifndef VMM_RING_H
#define VMM_RING_H

#include <stage2/track.h>
#include <stage2/types.h>

#include "guest_abi.h"

/* The host's side of a ring; zero at first. Not in the guest's reach. */
struct ring {
	uint64_t tail;	   /* where the next report is read */
	uint64_t taken;	   /* reports read, without the odd ones */
	uint64_t odd;	   /* words that are no report, or are of pages that are not RAM; skipped */
	uint64_t overruns; /* times that the guest lost count, and with it what it had to say */
};

/* A report: whole pages, at least one, all of them RAM; the move is S2_SHARE or S2_UNSHARE. */
struct ring_report {
	enum s2_move move;
	struct s2_range range;
};

/*
 * Takes the reports from ring->tail up to head, oldest first; afterwards ring->tail is head. report
 * is a copy of the page's, made after head was read. Returns how many there are, at most
 * GUEST_RING_SLOTS.
 * If head is further than the ring is long, reports have been overwritten: none is taken, *overrun is
 * set, and whoever believed earlier ones has to look again.
 */
size_t ring_take(struct ring *ring, uint64_t head, const uint64_t report[GUEST_RING_SLOTS],
		 struct s2_range ram, struct ring_report out[GUEST_RING_SLOTS], bool *overrun);

/* Decodes a run of pages (guest_abi.h), whatever its lowest two bits; false if not all of it is RAM. */
bool ring_run(uint64_t word, struct s2_range ram, struct s2_range *out);

#endif
