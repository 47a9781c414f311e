/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changing and reading a guest-physical address space. space.h has the contract for threads.
 *
 * What holds for all calls that change something:
 *
 *  - Ranges are checked first: S2_ERR_INVAL (empty), S2_ERR_ALIGN, S2_ERR_WRAP, S2_ERR_RANGE (past
 *    the end of the space), in this order. Nothing is rounded.
 *  - A call that fails has changed nothing: not the tables, the gather, the marks or the events.
 *  - Tables that are needed are allocated before the first change: S2_ERR_NOMEM comes from there.
 *    Spare tables of the gather are used first.
 *  - What processors must forget is added to the gather and takes effect with s2_gather_sync().
 *    Only the replacing of a live entry flushes at once, where the machine wants the entry broken
 *    before another is made.
 *  - While a call changes entries that are live, the guest's accesses may fault there though the page
 *    stays mapped, on machines that want entries broken or purged for that (the headers of arch/ say
 *    when): let it try again. Queries show such a page as it was or as it will be.
 *  - Holes in the range are skipped, but by s2_map(), which fills them.
 *  - A leaf that the range cuts is split at the cut, so that nothing outside the range changes.
 */
#ifndef STAGE2_MAP_H
#define STAGE2_MAP_H

#include <stage2/gather.h>
#include <stage2/run.h>
#include <stage2/space.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A long operation in steps. tables is how many tables the call may visit, besides those on the way
 * to the first one (a table of 512 items, say, is 2 MiB of pages). When they are used up the call
 * stops between two entries, returns S2_OK, and rest is what is still to do; its len is 0 when all is
 * done. Each step is complete in itself, and gets somewhere even with 0. NULL in place of a budget
 * means no limit.
 */
struct s2_budget {
	uint64_t tables;
	struct s2_range rest; /* set by the call; s2_map() reads it, too */
};

/*
 * Maps runs with the largest leaves that alignment, the format and the space's leaf_sizes allow.
 *
 * runs are sorted by gpa and do not overlap. What is mapped already to the same memory with the same
 * rights and kind is left as it is, whatever its leaf sizes. An empty table in the place of a leaf
 * is replaced by the leaf.
 * With a budget, rest.len is 0 for the first call, and later ones get the same runs and the rest that
 * the call before has left: what lies before rest.start is not looked at again.
 *
 * Cost: tables that a run fills are written before they are linked; no flush but where the machine
 * wants one for none to leaf. Cache maintenance is done once for each folio that is not marked.
 *
 * Fails: the run errors of s2_run_check(); S2_ERR_RANGE (gpa or hpa past the end of its space);
 * S2_ERR_OVERLAP; S2_ERR_INVAL (prot 0 or unknown bits, unknown mem, run_count 0); S2_ERR_FORMAT
 * (prot or mem that the format cannot say); S2_ERR_EXISTS; S2_ERR_NOMEM.
 */
S2_NODISCARD enum s2_err s2_map(struct s2_space *s, const struct s2_run *runs, size_t run_count,
				unsigned prot, enum s2_mem mem, struct s2_gather *g,
				struct s2_budget *budget);

/*
 * s2_map() of one run, inline (walk.h) where it is smaller than a leaf table, the table is there, and
 * nothing is mapped: for those who map in small runs, one call each. Fails as s2_map().
 */
S2_NODISCARD static inline enum s2_err s2_map_run(struct s2_space *s, const struct s2_run *run,
						  unsigned prot, enum s2_mem mem,
						  struct s2_gather *g);

/* s2_map_run() of one page in a folio of its own. */
S2_NODISCARD static inline enum s2_err s2_map_page(struct s2_space *s, s2_gpa_t gpa, s2_hpa_t hpa,
						   unsigned prot, enum s2_mem mem,
						   struct s2_gather *g);

/*
 * The same for those who know at compile time which format they have and how deep: w is of static
 * const numbers, made by the macro of the format in its header in arch/, S2_..._WALK(top_lg2), and
 * the compiler makes instructions of them. Fails as s2_map(). Where a space has other numbers nothing
 * goes wrong: it takes the way of s2_map(), which is longer. It does if format or top_lg2 differ,
 * and if the space is one that the numbers are not for. *w has to be as the macro made it.
 */
S2_NODISCARD static inline enum s2_err s2_map_run_as(struct s2_space *s, const struct s2_walk *w,
						     const struct s2_run *run, unsigned prot,
						     enum s2_mem mem, struct s2_gather *g);
S2_NODISCARD static inline enum s2_err s2_map_page_as(struct s2_space *s, const struct s2_walk *w,
						      s2_gpa_t gpa, s2_hpa_t hpa, unsigned prot,
						      enum s2_mem mem, struct s2_gather *g);

/* Tables that s2_map() of these runs may need at most, whatever is mapped already. */
struct s2_table_count s2_tables_bound(const struct s2_space *s, const struct s2_run *runs,
				      size_t run_count);

/*
 * Tables that a call may need at most that cuts leaves at the ends of its range: unmap, protect.
 * s2_split() and s2_dirty_start() may need s2_tables_bound() of the range in pages.
 */
struct s2_table_count s2_cut_bound(const struct s2_space *s);

/*
 * Unmaps a range. Tables that the range covers are unlinked whole, without reading their leaves.
 * Fails: the range errors; S2_ERR_NOMEM (only if an end of the range cuts a leaf).
 */
S2_NODISCARD enum s2_err s2_unmap(struct s2_space *s, struct s2_range range, struct s2_gather *g,
				  struct s2_budget *budget);

/*
 * Gives all pages of the range that are mapped these rights. Kind, accessed and dirty stay. Widening
 * is flushed too: a processor that cached the narrower rights would otherwise fault once more.
 * Caches are not maintained: code that becomes executable is the caller's to make so.
 * Fails: as s2_unmap(); S2_ERR_INVAL and S2_ERR_FORMAT for prot.
 */
S2_NODISCARD enum s2_err s2_protect(struct s2_space *s, struct s2_range range, unsigned prot,
				    struct s2_gather *g, struct s2_budget *budget);

/*
 * Splits every leaf of the range that is larger than 2^lg2 bytes into leaves of at most that size.
 * Translations, rights, accessed and dirty stay. Leaves that stick out of the range are split as a
 * whole. Fails: the range errors; S2_ERR_FORMAT (the space has no leaves of this size); S2_ERR_NOMEM.
 */
S2_NODISCARD enum s2_err s2_split(struct s2_space *s, struct s2_range range, uint8_t lg2,
				  struct s2_gather *g, struct s2_budget *budget);

/*
 * Makes the range one leaf. The caller vouches that the memory may be one: that it is one folio, and
 * stays one for as long as the leaf is there.
 * Fails: the range errors; S2_ERR_FORMAT (the space has no leaves of this length); S2_ERR_ALIGN (not
 * a multiple of its length, in gpa); S2_ERR_MIXED (holes, rights or kinds that differ, memory that
 * is not contiguous or not aligned).
 */
S2_NODISCARD enum s2_err s2_collapse(struct s2_space *s, struct s2_range range,
				     struct s2_gather *g);

/*
 * Makes leaves as large as can be, up to 2^lg2 bytes, of all that the range covers, and unlinks
 * empty tables as s2_trim(). The caller vouches for the memory as for s2_collapse(). Needs no memory.
 * Fails: the range errors; S2_ERR_FORMAT (the space has no leaves of this size).
 */
S2_NODISCARD enum s2_err s2_collapse_all(struct s2_space *s, struct s2_range range, uint8_t lg2,
					 struct s2_gather *g, struct s2_budget *budget);

/* Unlinks the empty tables that lie in the range as a whole. Fails: the range errors. */
S2_NODISCARD enum s2_err s2_trim(struct s2_space *s, struct s2_range range, struct s2_gather *g,
				 struct s2_budget *budget);

/* What is at an address. */
struct s2_leaf {
	/* What the entry translates; if nothing is mapped, the hole as far as one item shows it. */
	struct s2_range range;
	s2_hpa_t hpa; /* of range.start */
	bool mapped;
	uint8_t prot; /* S2_READ, ... */
	uint8_t mem;  /* enum s2_mem */
	uint8_t level;
	bool group;    /* several items make this entry */
	bool accessed; /* since it was mapped or s2_age() cleared it; true where formats cannot tell */
	bool dirty;    /* writable or was, and perhaps written since the last clear */
};

/*
 * The host-physical address behind a byte of the guest. Fails with S2_ERR_RANGE, S2_ERR_ABSENT; then
 * *hpa is not written. The fastest question, inline (walk.h); s2_query() tells more.
 */
S2_NODISCARD static inline enum s2_err s2_lookup(const struct s2_space *s, s2_gpa_t gpa,
						 s2_hpa_t *hpa);

/* The same with numbers that are known at compile time, as s2_map_run_as(). */
S2_NODISCARD static inline enum s2_err
s2_lookup_as(const struct s2_space *s, const struct s2_walk *w, s2_gpa_t gpa, s2_hpa_t *hpa);

/* The entry, or the hole, around an address. Fails with S2_ERR_RANGE. */
S2_NODISCARD enum s2_err s2_query(const struct s2_space *s, s2_gpa_t gpa, struct s2_leaf *out);

/*
 * The longest stretch that starts at gpa and is a hole, or contiguous in hpa with equal rights and
 * kind, whatever its leaves; cut at the end of limit. level, group: of the first leaf; accessed and
 * dirty: of any. Walk a range by calling again with the address behind it. O(leaves).
 * Fails: the range errors for limit; S2_ERR_RANGE if gpa is not in it.
 */
S2_NODISCARD enum s2_err s2_next_run(const struct s2_space *s, s2_gpa_t gpa, struct s2_range limit,
				     struct s2_leaf *out);

/*
 * Clears the accessed marks of all leaves of the range. *young is the number of bytes of the range
 * whose leaf was accessed. A leaf that sticks out of the range is aged as a whole.
 * Fails: the range errors; S2_ERR_FORMAT (the space has no accessed marks).
 */
S2_NODISCARD enum s2_err s2_age(struct s2_space *s, struct s2_range range, struct s2_gather *g,
				uint64_t *young);

/*
 * For machines that leave the marks to software: the guest faulted on a mapped page because it was
 * not marked accessed, or not dirty. Marks the entry, so that the access can be repeated.
 * Fails with S2_ERR_RANGE; S2_ERR_ABSENT (not mapped, or write on a page that is not writable): a
 * real fault.
 */
S2_NODISCARD enum s2_err s2_touch(struct s2_space *s, s2_gpa_t gpa, bool write,
				  struct s2_gather *g);

/* Dirty tracking: which pages are written from now on. */
enum s2_dirty_policy {
	S2_DIRTY_SPLIT = 0, /* split leaves to pages first: as exact as can be */
	S2_DIRTY_KEEP = 1,  /* keep leaves: a write makes all of its leaf dirty */
};

/*
 * Starts: splits by policy, then clears the dirty marks of the range.
 * Fails: the range errors; S2_ERR_INVAL for policy; S2_ERR_NOMEM.
 */
S2_NODISCARD enum s2_err s2_dirty_start(struct s2_space *s, struct s2_range range,
					enum s2_dirty_policy policy, struct s2_gather *g,
					struct s2_budget *budget);

/*
 * Tells all maximal stretches of dirty bytes of the range, in order, and if clear is set clears
 * their marks. What is told is as it was at some time during the call; a write after that is told
 * by the next collect, provided that the gather was synced. A leaf that sticks out of the range is
 * told as far as it is in it, and not cleared.
 * Fails: the range errors.
 */
S2_NODISCARD enum s2_err s2_dirty_collect(struct s2_space *s, struct s2_range range, bool clear,
					  void (*tell)(void *cookie, struct s2_range range),
					  void *cookie, struct s2_gather *g);

/* Clears the dirty marks of all leaves that lie in the range. Fails: the range errors. */
S2_NODISCARD enum s2_err s2_dirty_clear(struct s2_space *s, struct s2_range range,
					struct s2_gather *g);

/*
 * Stops: marks all writable leaves dirty, so that writes are fast again. rejoin_lg2 is 0, or as for
 * s2_collapse_all(), which is then called for the range. Fails: as s2_collapse_all().
 */
S2_NODISCARD enum s2_err s2_dirty_stop(struct s2_space *s, struct s2_range range,
				       uint8_t rejoin_lg2, struct s2_gather *g,
				       struct s2_budget *budget);

/* What a range holds. Counted by walking the tables, so that no call pays for it. */
struct s2_count {
	uint64_t leaf[64];	      /* entries that start in the range, by log2 of their size */
	uint64_t bytes;		      /* mapped */
	uint64_t table[S2_LEVEL_MAX]; /* tables below the root, by level; of the whole space */
	uint64_t empty[S2_LEVEL_MAX]; /* of those, tables without an entry */
};

S2_NODISCARD enum s2_err s2_count(const struct s2_space *s, struct s2_range range,
				  struct s2_count *out);

/* An item, as s2_visit() shows it. */
struct s2_item {
	struct s2_place place;
	uint64_t value; /* in the processor's byte order */
	enum s2_item_kind {
		S2_ITEM_NONE = 0,
		S2_ITEM_LEAF = 1,
		S2_ITEM_TABLE = 2,
	} kind;
	bool broken; /* a thread is replacing it */
};

/*
 * Shows every item of every table, those of a table right after the item that points to it. A callback
 * that returns false ends the walk. Returns false if one did.
 */
bool s2_visit(const struct s2_space *s, bool (*visit)(void *cookie, const struct s2_item *item),
	      void *cookie);

/*
 * Verifies the invariants of the tables: every item says something that the format can say, and says
 * it in one way only; addresses are inside the spaces and aligned to their leaves; groups are whole;
 * leaf sizes are those of the space; nothing is left broken; the walk cache has nothing but tables
 * that are linked. Not beside a change. On failure *at, if not NULL, is the first item that is wrong;
 * all zero if it is a word of the walk cache. O(items). For tests and debugging.
 */
bool s2_check(const struct s2_space *s, struct s2_item *at);

/*
 * One line of text for each maximal stretch of leaves of one size that are alike and contiguous, in
 * order of gpa, without a newline; the text does not depend on the machine. For tests and reports.
 *
 *	0000000040000000-00000000401fffff -> 0000000080000000 2M*1 rwxu normal AD
 */
void s2_dump(const struct s2_space *s, void (*line)(void *cookie, const char *text), void *cookie);

#ifdef __cplusplus
}
#endif

#include <stage2/walk.h>

#endif
