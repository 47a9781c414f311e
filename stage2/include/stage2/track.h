/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tracker: for every 4 KiB page of a guest, whether the host may see it.
 *
 * It is the truth; page tables can be rebuilt from it. A 2 MiB chunk whose pages are all alike
 * costs one word; a mixed one has a map of four bits a page, 256 bytes, which is given back when the
 * chunk is uniform and at rest again. Counters for each GiB say what is the same in all of it. A
 * query is O(1), a transition of a range O(chunks touched).
 *
 * A transition has two halves, because the back end in between may fail or stop half-way:
 *
 *	s2_track_begin()   checks every page, reserves memory, marks all pages "in transition"
 *	  back end         hypercall, Ultravisor call, ioctl, ... page by page if it must
 *	s2_track_done()    for the pages that the back end confirmed
 *	s2_track_undo()    for the pages that it did not convert
 *
 * A page in transition answers as SECURE, whichever way it is going: the tracker may call a page
 * secure that is not, and never the reverse.
 *
 * Context: one writer at a time for a tracker; readers (s2_track_get, s2_track_next,
 * s2_track_uniform, s2_track_sum) must not run beside a writer. The embedder brings the lock.
 */
#ifndef STAGE2_TRACK_H
#define STAGE2_TRACK_H

#include <stage2/env.h>
#include <stage2/err.h>
#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Who may see a page. Zero is the state without rights. README.md says what others call them. */
enum s2_state {
	S2_NONE = 0,	 /* no page: nobody has rights */
	S2_SECURE = 1,	 /* the guest only */
	S2_SHARED = 2,	 /* the guest agreed: the host sees plain text */
	S2_EXPORTED = 3, /* the host sees cipher text; the guest must import before it can use it */
	S2_POISONED = 4, /* hardware error: nobody */
	S2_STATE_COUNT
};

/* Lower-case name of a state, static storage; "unknown" for a value outside the enum. */
const char *s2_state_name(enum s2_state state);

/* The moves that a page can make. */
enum s2_move {
	S2_DONATE = 0,	/* NONE to SECURE: the host gives a page to the guest */
	S2_SHARE = 1,	/* SECURE to SHARED: the guest shows a page to the host */
	S2_UNSHARE = 2, /* SHARED to SECURE */
	S2_EXPORT = 3,	/* SECURE to EXPORTED: the page is encrypted */
	S2_IMPORT = 4,	/* EXPORTED to SECURE: the page is verified and decrypted */
	S2_RECLAIM = 5, /* any state to NONE: the page goes back to the host; it cannot be undone */
	S2_MOVE_COUNT
};

/* Lower-case name of a move, static storage; "unknown" for a value outside the enum. */
const char *s2_move_name(enum s2_move move);

/* What the tracker says of a page. */
struct s2_page {
	enum s2_state state; /* SECURE while the page is in transition */
	bool moving;	     /* in transition */
	/*
	 * SHARED or EXPORTED, but only because the page is in the same grain as one that was asked
	 * for. A widened share is plain text that nobody asked the guest for: a host component must
	 * not read it on the strength of the state alone.
	 */
	bool widened;
};

/* Maximal stretch of pages that are alike in all three members. */
struct s2_span {
	struct s2_range range;
	struct s2_page page;
};

/* How many pages of a range are in which state. Moving pages count as SECURE and in moving. */
struct s2_track_sum {
	uint64_t state[S2_STATE_COUNT]; /* pages */
	uint64_t moving;		/* pages */
	uint64_t widened_share;		/* pages; counted in state[S2_SHARED] too */
	uint64_t widened_export;	/* pages; counted in state[S2_EXPORTED] too */
};

/* All pages alike: their code. Mixed: the address of a map, which is never below 16. */
struct s2_chunk {
	uintptr_t word;
};

/* The library's own: maps in hand, so that what was begun can be finished without memory. */
#define S2_POOL_MAX 11u

struct s2_pool {
	struct s2_track_map *map[S2_POOL_MAX];
	unsigned count;
};

/* Public size, private contents: read them through the calls below. */
struct s2_track {
	struct s2_env env;
	struct s2_range range;
	uint64_t chunk_count;
	uint64_t region_count;
	struct s2_chunk *chunk; /* one a chunk of 2 MiB, and one a region of 1 GiB behind them */
	/* Where the chunk and the region of address 0 would be, if the tracker had them. */
	uintptr_t chunk_zero;
	uintptr_t region_zero;
	/* All pages but the first and the last: what the inline calls take. */
	uint64_t inner_start;
	uint64_t inner_len;
	uint64_t map_count; /* mixed chunks: how many maps are allocated */
};

/*
 * Makes a tracker for the pages of range, all NONE. Owns its memory until s2_track_fini().
 * Fails: s2_range_check()'s errors; S2_ERR_NOMEM. Then *t needs no fini.
 */
S2_NODISCARD enum s2_err s2_track_init(struct s2_track *t, const struct s2_env *env,
				       struct s2_range range);

/* Frees the tracker's memory. Cannot fail. *t may be used for another init. */
void s2_track_fini(struct s2_track *t);

/*
 * First half of a move, for every page of the range.
 *
 * widened marks the pages as converted for their neighbours' sake (see struct s2_page); it is legal
 * for S2_SHARE and S2_EXPORT. Pages in transition answer as SECURE from here on.
 *
 * S2_RECLAIM starts from every state, NONE and POISONED included, so that a guest can be taken down
 * as a whole; only pages in transition are S2_ERR_BUSY.
 *
 * Fails, and changes nothing: s2_range_check()'s errors; S2_ERR_RANGE outside the tracker;
 * S2_ERR_INVAL for an unknown move or a widened one that cannot be; S2_ERR_BUSY, S2_ERR_POISON,
 * S2_ERR_STATE for the first page, in order of address, that does not allow the move; S2_ERR_NOMEM.
 */
S2_NODISCARD static inline enum s2_err s2_track_begin(struct s2_track *t, struct s2_range range,
						      enum s2_move move, bool widened);

/*
 * The back end has converted the pages of the range: they take their new state. The pages may
 * belong to several begun moves; all must be in transition.
 * Fails, and changes nothing: s2_range_check()'s errors; S2_ERR_RANGE; S2_ERR_STATE if a page is
 * not in transition; S2_ERR_NOMEM only if the range is a part of what was begun (finishing a whole
 * move, or a whole chunk, never needs memory).
 */
S2_NODISCARD static inline enum s2_err s2_track_done(struct s2_track *t, struct s2_range range);

/*
 * The back end has not converted the pages of the range: they take back the state they had. An
 * import that is undone forgets that the page's export was a widened one.
 * Fails as s2_track_done(), and with S2_ERR_STATE for pages being reclaimed: a reclaim goes forward
 * only.
 */
S2_NODISCARD static inline enum s2_err s2_track_undo(struct s2_track *t, struct s2_range range);

/* s2_track_begin() and s2_track_done() in one, for moves without a back end. Fails as they do. */
S2_NODISCARD static inline enum s2_err s2_track_move(struct s2_track *t, struct s2_range range,
						     enum s2_move move, bool widened);

/*
 * Somebody asks for pages that are shared or exported already: clears their widened mark.
 * Fails, and changes nothing: the range errors; S2_ERR_STATE for the first page that is neither;
 * S2_ERR_BUSY; S2_ERR_NOMEM.
 */
S2_NODISCARD static inline enum s2_err s2_track_claim(struct s2_track *t, struct s2_range range);

/*
 * Nobody asks for these pages any longer, but they stay shared or exported with their grain: sets
 * their widened mark. Fails as s2_track_claim().
 */
S2_NODISCARD static inline enum s2_err s2_track_release(struct s2_track *t, struct s2_range range);

/*
 * A hardware error was reported for these pages: POISONED, from any state, moving or not.
 * Fails, and changes nothing: the range errors; S2_ERR_NOMEM.
 */
S2_NODISCARD static inline enum s2_err s2_track_poison(struct s2_track *t, struct s2_range range);

/*
 * What the tracker says of the page that holds the byte gpa. Fails with S2_ERR_RANGE. O(1), and inline:
 * a chunk is one code, or the address of a map of its 512 pages, sixteen in a word.
 */
S2_NODISCARD static inline enum s2_err s2_track_get(const struct s2_track *t, s2_gpa_t gpa,
						    struct s2_page *out);

/*
 * The maximal span of like pages that starts with the page that holds gpa (what lies before gpa is
 * not looked at), cut at the end of limit. Walk a range by calling again with the address behind
 * the span. Fails: the range errors for limit; S2_ERR_RANGE if gpa is not in limit, or limit not in
 * the tracker.
 */
S2_NODISCARD enum s2_err s2_track_next(const struct s2_track *t, s2_gpa_t gpa,
				       struct s2_range limit, struct s2_span *out);

/*
 * Is a whole block of address space alike, so that one leaf of a page table can say it? The block is
 * the 2^lg2 bytes at gpa, 2 MiB or 1 GiB (lg2 21 or 30). *uniform says whether s2_track_get() answers
 * the same, in all three members, for each of its pages; then *page is that answer. Pages that make
 * different moves are alike while they are in transition. If they are not alike, *page is S2_NONE.
 *
 * Of a block that lies in the tracker only in part, that part decides, and nothing is said of the
 * rest: who maps whole blocks compares the block with the tracker's range as well.
 * Fails: S2_ERR_INVAL for another lg2; S2_ERR_ALIGN if gpa is not a multiple of the block's size;
 * S2_ERR_RANGE if no page of the block is in the tracker. Then neither is written. O(1).
 */
S2_NODISCARD static inline enum s2_err s2_track_uniform(const struct s2_track *t, s2_gpa_t gpa,
							uint8_t lg2, bool *uniform,
							struct s2_page *page);

/*
 * Counts a range. O(1) a GiB that the range covers, and a uniform chunk.
 * Fails: the range errors; S2_ERR_RANGE.
 */
S2_NODISCARD enum s2_err s2_track_sum(const struct s2_track *t, struct s2_range range,
				      struct s2_track_sum *out);

/*
 * Verifies the tracker's own invariants: the counters of each GiB agree with the
 * pages, no chunk that is uniform and at rest has a map. Returns false if the library or its memory is broken. For tests and debugging;
 * O(pages).
 */
bool s2_track_check(const struct s2_track *t);

#ifdef __cplusplus
}
#endif

#include <stage2/store.h>

#endif
