/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest claims of its pages, against what the host can read. KVM's pKVM never tells the host
 * that a guest shared or unshared a page: all we have is the guest's word, through a register or
 * through the ring (guest_abi.h), and our own eyes.
 *
 * A share is taken if the MMU lets us read the page now; an unshare is taken at once, whatever the MMU
 * says. So the tracker calls a page shared only if it was claimed and could be read, and calls it
 * secure too often rather than too seldom. A page that the guest has never used is still the host's
 * own and can be read: nobody can tell a claim of such a page from a share.
 *
 * A share that is refused may have been overtaken: the guest reports an unshare before it makes it, so
 * a report that explains the refusal is in the ring before we look again. A claim that nothing has
 * explained by then is a lie, or was made before the share: it is counted and not taken.
 *
 * Context: memory's lock is held, if not said otherwise.
 */
#ifndef VMM_CLAIMS_H
#define VMM_CLAIMS_H

#include <stage2/track.h>
#include <stage2/types.h>

#include "ring.h"

struct memory;

/* Pages. shared + unshared + idle + early + lies is what was claimed, but for what is still open. */
struct claims_count {
	uint64_t shared;   /* taken as shared */
	uint64_t unshared; /* taken as unshared */
	uint64_t
		idle; /* nothing to do: already so, or poisoned, or out of memory for the tracker */
	uint64_t early; /* claimed as shared, refused by the MMU, and explained by a later report */
	uint64_t lies;	/* the same, and not explained */
	uint64_t untold; /* not claimed: believed shared, and found to be refused by the MMU */
};

#define CLAIMS_OPEN_MAX 64

/* Zero at first. */
struct claims {
	bool has_ring;
	s2_gpa_t ring_page;
	struct ring ring;
	uint64_t open[CLAIMS_OPEN_MAX]; /* gpa of pages: refused, and may still be explained */
	size_t open_count;
	size_t open_old; /* the first of them were open before this drain */
	struct claims_count count;
};

/* What the host believes of a run of pages and what it can read. Pages. */
struct claims_audit {
	uint64_t shared;    /* believed shared, and readable */
	uint64_t secure;    /* believed not to be, and not readable */
	uint64_t unread;    /* believed shared, and not readable */
	uint64_t unclaimed; /* readable, and not believed shared: over-indicated, or never used */
};

/*
 * Makes the page at gpa, which the guest claims to have shared, its ring; an earlier one is forgotten.
 * Returns false, and nothing changes, if it cannot be one: not RAM, not shared, or a guest that has
 * nothing to report.
 */
bool claims_open_ring(struct memory *memory, s2_gpa_t gpa);

/* Takes all that is in the ring. If the ring's page is gone, the ring is. */
void claims_drain(struct memory *memory);

/*
 * Takes one report of whole pages of RAM that came another way. Returns how many pages of a share the
 * MMU refused.
 */
uint64_t claims_take(struct memory *memory, enum s2_move move, struct s2_range range);

/*
 * The MMU has refused the host a page that the tracker calls shared. If the guest has not reported it
 * in the meantime, that is counted; the page is secure in any case.
 */
void claims_untold(struct memory *memory, s2_gpa_t page);

/* Compares, after a drain. */
void claims_audit(struct memory *memory, struct s2_range range, struct claims_audit *out);

/* All counts, once the guest has stopped: what is open then is settled. */
void claims_settle(struct memory *memory);

#endif
