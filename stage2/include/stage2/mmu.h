/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end: how the machine that walks the tables is told of changes. The embedder brings it;
 * arch/ has what the machines need: operands for the flushes, and at bare metal the instructions.
 *
 * To flush is said of TLBs, to clean and to invalidate of caches.
 */
#ifndef STAGE2_MMU_H
#define STAGE2_MMU_H

#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a TLB must forget. Each kind includes those before it. */
enum s2_flush_kind {
	S2_FLUSH_LEAF = 0, /* translations of the range */
	S2_FLUSH_WALK = 1, /* and pointers to tables that serve the range */
	S2_FLUSH_ALL = 2,  /* everything of this guest; range is the whole space */
};

struct s2_flush {
	enum s2_flush_kind kind;
	struct s2_range range;
	/*
	 * log2 of the smallest entry that may be cached for the range: the stride for machines that
	 * flush entry by entry.
	 */
	uint8_t stride_lg2;
	/*
	 * The level (see fmt.h) of every entry of the range, if there is only one: a hint that some
	 * machines take. S2_LEVEL_ANY if there are several. Meaningless for walk and all.
	 */
	uint8_t level;
};

#define S2_LEVEL_ANY 0xffu

/* Where an item is. */
struct s2_place {
	s2_gpa_t gpa;	/* of the first byte that the item translates */
	s2_hpa_t table; /* of the table that it is in */
	uint64_t *
		item; /* its address, for the processor that runs this; in the format's byte order */
	uint32_t index; /* in the table */
	uint8_t level;
	uint8_t lg2; /* of the size that one item translates */
};

/*
 * All calls come from inside a call of the library and must not call it for the same space. They
 * may come from several threads at once if the embedder calls the library from several.
 */
struct s2_mmu {
	/*
	 * Forgets all of this, on every processor, before it returns: called by s2_gather_sync(),
	 * and at once where a live entry is replaced. The new contents of the tables are visible
	 * before the call. count is at least 1. Where a machine caches combined translations of
	 * stage 1 and stage 2, those go too: once a call, not once an element.
	 */
	void (*flush)(void *cookie, const struct s2_flush *flush, size_t count);

	/*
	 * Only for formats that replace by purge (fmt.h), NULL for the others. Both make the change in
	 * memory and purge what processors cache of it, in one step for each item, as the machine
	 * demands.
	 *
	 * invalidate makes count neighbouring items of one table, all leaves or all tables, invalid.
	 * It sets the bit that says so to the machine, and no other bit changes: queries that run
	 * beside the call read them, as what they were, and the library takes the addresses from
	 * there. When it returns no processor uses these items any more, and none does until the
	 * library has stored what comes in their place: none, or leaves with other rights or marks.
	 * In between the guest's accesses fault. Leaves may be invalid for the machine already, because
	 * a mark is not set that it does not keep; there need not be anything to do for those.
	 *
	 * replace changes one item from value old to new, both in the processor's byte order; false,
	 * and nothing is changed, if it is not old. To the guest it is never invalid meanwhile.
	 */
	void (*invalidate)(void *cookie, const struct s2_place *place, size_t count);
	bool (*replace)(void *cookie, const struct s2_place *place, uint64_t old,
			uint64_t new_value);

	/*
	 * Caches, by host-physical address; either may be NULL: nothing to do. clean writes data
	 * back and drops it, as far as the guest's uncached view, before the guest can see it.
	 * invalidate_code drops instructions that the guest might have cached of these bytes.
	 */
	void (*clean)(void *cookie, s2_hpa_t hpa, uint64_t len);
	void (*invalidate_code)(void *cookie, s2_hpa_t hpa, uint64_t len);

	/* A run has been mapped: called once for each, after it is visible. May be NULL. */
	void (*mapped)(void *cookie, const struct s2_run *run, unsigned prot);

	/* Waiting for another thread that is replacing an entry: yield, pause. May be NULL. */
	void (*relax)(void *cookie);

	/*
	 * When the flushes of one sync come to more entries than this (range length by stride), one
	 * flush of all takes their place. 0: always all. UINT64_MAX: never.
	 */
	uint64_t flush_max;
};

#ifdef __cplusplus
}
#endif
#endif
