/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A view: what one party, the guest or the host, can reach of a guest's pages, as page tables. The
 * transition engine (convert.h) keeps it in line with the tracker: a page may be used for what its
 * state allows, and while it is in transition for what both ends of the move allow.
 *
 * A folio whose pages differ stays one folio here: where the states give the same rights its leaf
 * stays whole; where they do not, the leaf is split around the pages that differ, the hole (hole.h),
 * and comes back when the hole is gone, by policy.
 */
#ifndef STAGE2_VIEW_H
#define STAGE2_VIEW_H

#include <stage2/gather.h>
#include <stage2/map.h>
#include <stage2/track.h>

#ifdef __cplusplus
extern "C" {
#endif

/* When large leaves come back, once all that they cover has the same rights again. */
enum s2_rejoin {
	S2_REJOIN_NEVER = 0,
	S2_REJOIN_IDLE = 1,    /* by s2_view_rejoin(), when the embedder has time */
	S2_REJOIN_AT_ONCE = 2, /* at the end of the request that made it possible */
	S2_REJOIN_COUNT
};

/* Lower-case name of a policy, static storage; "unknown" for a value outside the enum. */
const char *s2_rejoin_name(enum s2_rejoin rejoin);

/*
 * The embedder fills in the members above the line before s2_view_init() and changes none of them
 * afterwards.
 */
struct s2_view {
	struct s2_space *space; /* the tables; not owned. Nobody else changes these pages in them */
	bool by_hpa;		/* addressed by hpa, as a host's identity map; else by gpa */
	/*
	 * What a page of each state may be used for: S2_READ, ...; 0: nothing, it is not mapped.
	 * POISONED must be 0. In a host's view SECURE must be 0 as well.
	 */
	uint8_t prot[S2_STATE_COUNT];
	enum s2_mem mem;
	enum s2_rejoin rejoin;
	/* -- */
	struct s2_gather gather;
	struct s2_range
		broken; /* gpa: where leaves may be smaller than they could; len 0: nowhere */
};

/*
 * Makes the view ready; *v's pages are mapped by whoever had them, or not at all. Owns a gather
 * until s2_view_fini().
 * Fails with S2_ERR_INVAL (no space, unknown rights or kind, rights for POISONED), S2_ERR_FORMAT
 * (the space's format cannot say these rights).
 */
S2_NODISCARD enum s2_err s2_view_init(struct s2_view *v);
void s2_view_fini(struct s2_view *v);

/*
 * Makes large leaves again where v->broken says that there may be some to make, within the runs (a
 * leaf never covers two folios), and unlinks empty tables. Looks at max_len bytes of it at most, a
 * multiple of the page (0: all), and at the rest of the leaves that they are in. Syncs. Needs no memory.
 * Returns whether all is done.
 */
bool s2_view_rejoin(struct s2_view *v, const struct s2_run *runs, size_t run_count,
		    uint64_t max_len);

#ifdef __cplusplus
}
#endif
#endif
