/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest-physical address space: page tables of one format, and the calls that change them are in
 * map.h. Owed flushes are in gather.h.
 *
 * Threads, the contract:
 *
 *  - Calls whose ranges are disjoint may run at the same time, each thread with its own gather. They
 *    share no lock and write no common cache line, but where their ranges meet: where both cut the
 *    same leaf, install the same table, or link tables that are fewer than eight apart.
 *  - Calls whose ranges overlap must not run at the same time, unless the space was given locks
 *    (struct s2_config): then the library itself runs them one after the other.
 *  - Queries (s2_lookup, s2_query, s2_visit, s2_check, s2_dump, s2_count) may run beside anything and
 *    never wait. For a page that is being changed they see what was before or what comes after.
 *  - A query that runs beside a change may still look into a table that the change has unlinked.
 *    The environment's free for tables must then wait for such queries (RCU, epochs, or no queries
 *    beside changes). Tables are freed by s2_gather_sync() and s2_gather_fini() of the gather that
 *    the change was made with, and at no other place.
 *  - s2_space_init() and s2_space_fini() are alone.
 *
 * Why disjoint ranges need no lock: a call stores only to items whose whole span is in its range; a
 * table is unlinked only by a call whose range covers all that the table translates; and a leaf
 * that sticks out of the range is first split, by compare-and-swap, so that one thread wins.
 * A consequence: unmapping page by page leaves empty tables behind. s2_trim() takes them away.
 */
#ifndef STAGE2_SPACE_H
#define STAGE2_SPACE_H

#include <stage2/clean.h>
#include <stage2/err.h>
#include <stage2/mmu.h>
#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct s2_fmt;

/* Levels count from 0, where all entries are leaves. No format has more than this. */
#define S2_LEVEL_MAX 6u

/*
 * Where table pages come from. alloc returns size bytes aligned to size, contents undefined, or
 * NULL. Sizes are those of s2_table_size() and of the root. For every table
 * hpa == (uint64_t)(uintptr_t)table + hpa_offset, modulo 2^64: a direct map, or one arena.
 * Locks: called from inside the call that needs it, by several threads at once if the embedder
 * calls the library from several.
 */
struct s2_table_env {
	void *(*alloc)(void *cookie, size_t size);
	void (*free)(void *cookie, void *table, size_t size);
	void *cookie;
	uint64_t hpa_offset;
};

/* Zero means the default, where there is one. Copied by s2_space_init(). */
struct s2_config {
	const struct s2_fmt *fmt; /* from the headers of arch/ */
	uint64_t features;	  /* of the format, from the header that declares it */
	uint8_t gpa_bits; /* size of the guest's address space; what is legal is the format's */
	uint8_t hpa_bits; /* size of the host's; 0: the largest that the format can say */
	/*
	 * Sizes that leaves may have, bit n for 2^n bytes; others are not made. Bits that the format
	 * does not have are ignored; S2_PAGE_SIZE is always in. A size of single items is used only
	 * if all smaller ones are, so that a leaf can be cut in two by one table. 0: all that the
	 * format has.
	 */
	uint64_t leaf_sizes;
	struct s2_table_env tables;
	const struct s2_mmu *mmu; /* must outlive the space */
	void *mmu_cookie;
	/* Remembers which folios have been cleaned; NULL: each map cleans its run. Not owned. */
	struct s2_clean *clean;
	/*
	 * The walk cache: where the tables of level 0 (fmt.h) are that translate a range, so that
	 * s2_lookup(), s2_map_page() and s2_map_run() get to a page's item with one load instead of
	 * one a level. s2_walk_cache_words() words, all zero, not owned, until s2_space_fini() has
	 * zeroed them. For the guest's memory, not for its address space: 8 bytes for each table,
	 * which mostly translates 2 MiB. Left alone in spaces that have no numbers to
	 * walk by (struct s2_walk). NULL: those calls walk from the root; other calls always do.
	 */
	uint64_t **walk_cache;
	struct s2_range walk_cache_range; /* whole pages, inside the space */
	/*
	 * Locks that let calls on overlapping ranges run at the same time: lock_count words, a power
	 * of two, all zero, not owned. A call takes those of the 2 MiB chunks that it touches. NULL:
	 * the embedder keeps overlapping calls apart.
	 */
	uint32_t *lock;
	size_t lock_count;
};

/* What has happened to a space since its init; only s2_gather_sync() adds to it. */
struct s2_events {
	uint64_t written;		  /* items stored: none to leaf, leaf to none, changes */
	uint64_t linked;		  /* tables put in */
	uint64_t unlinked;		  /* tables taken out */
	uint64_t shattered[S2_LEVEL_MAX]; /* leaves of this level split into a table */
	uint64_t rejoined[S2_LEVEL_MAX];  /* tables that became a leaf of this level */
	uint64_t unfolded;		  /* groups of items that became single ones */
	uint64_t folded;		  /* and the other way round */
	uint64_t replaced;		  /* flushes for the sake of replacing one live entry */
	uint64_t synced;		  /* syncs that had something to flush */
	uint64_t flushed[3];		  /* ranges flushed by syncs, by enum s2_flush_kind */
	uint64_t cleaned;		  /* bytes of folios cleaned */
};

/* What leaves a level can have. */
#define S2_KIND_SINGLE 1u /* of one item */
#define S2_KIND_GROUP 2u  /* of a group of items */

/*
 * How the tables of a format are walked, as numbers: for the inline functions of walk.h. Values that
 * do not fit the numbers take the way of all other calls. Formats have them for compile time, too:
 * S2_..._WALK() in the headers of arch/; s2_map_run_as() says what for.
 */
struct s2_walk {
	uint32_t shape; /* S2_WALK_SHAPE(): the same for the same numbers only; 0: of no others */
	bool usable;
	bool swap;	      /* items are not in this processor's byte order */
	bool tables_bare;     /* no bits but those of table_value and hpa_bits are set in tables */
	uint8_t top_lg2;      /* log2 of what an item of the root translates */
	uint8_t page_bits;    /* index bits of tables of level 0 */
	uint8_t upper_bits;   /* and of all others but the root */
	uint8_t hpa_shift;    /* from the bits of an item to an address */
	uint64_t hpa_bits;    /* of a table's or a leaf's item: its address */
	uint64_t table_mask;  /* above level 0: these bits say that it is a table */
	uint64_t table_value; /* like this; they are among those of the mask */
	uint64_t page_mask;   /* and at level 0, that it is a leaf */
	uint64_t page_value;
	uint64_t block_mask; /* and above */
	uint64_t block_value;
	uint64_t page_none; /* an item of level 0 that says nothing */
	uint64_t page_leaf; /* a single leaf of level 0 but for attributes and address */
};

/* Three letters that no other format has, and the depth: of these come the numbers. */
#define S2_WALK_SHAPE(a, b, c, top_lg2) \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(top_lg2))

/* The embedder provides the memory and does not look inside. Read-only for all but init and fini. */
struct s2_space {
	const struct s2_fmt *fmt;
	struct s2_config config;
	uint64_t *root;
	uint64_t last;				      /* of the guest-physical address space */
	uint64_t hpa_last;			      /* of the host-physical address space */
	uint8_t leaf_kinds[S2_LEVEL_MAX];	      /* S2_KIND_..., a set for each level */
	uint64_t attr[S2_MEM_COUNT][S2_PROT_ALL + 1]; /* 0: the format cannot say it */
	struct s2_walk walk;
	/* For inline calls: the addresses below these may be looked up, and mapped; 0: none. */
	uint64_t lookup_end;
	uint64_t map_end;
	/* The walk cache, from the first address to the end of its last table; 0 bytes: none. */
	uint64_t **walk_cache;
	uint64_t walk_cache_start;
	uint64_t walk_cache_len;
	uint8_t walk_cache_lg2; /* of what a word's table translates */
	uint64_t page_hpa_not;	/* bits that a page's hpa cannot have */
	bool walk_nine;		/* not swapped, 512 items in all tables but the root */
	/* Groups of level 0: items (UINT32_MAX: no groups), what they have besides, to the next. */
	uint32_t group_items;
	uint64_t group_leaf;
	uint64_t group_step;
	uint64_t fmt_data[4]; /* the format's own */
	uint8_t top;	      /* level of the root */
	uint8_t top_lg2;      /* of what its items translate */
	bool is_quiet;	      /* no locks, and mapping a run calls nobody */
	size_t root_size;     /* bytes */
	/* Written by syncs: apart from what hot paths read. */
	struct s2_events events __attribute__((aligned(128)));
};

/*
 * The words of a walk cache for this range: one for each table of level 0 that translates some of
 * it. The range must be one that s2_range_check() takes.
 */
size_t s2_walk_cache_words(const struct s2_fmt *fmt, struct s2_range range);

/*
 * Makes an empty space with a root.
 * Fails, and leaves nothing behind: S2_ERR_INVAL (a required member missing, lock_count not a power
 * of two); S2_ERR_FORMAT (sizes or features that the format does not have); what s2_range_check()
 * says of the walk cache's range, and S2_ERR_RANGE if it is not inside the space; S2_ERR_NOMEM.
 */
S2_NODISCARD enum s2_err s2_space_init(struct s2_space *s, const struct s2_config *config);

/*
 * Frees all tables, without a flush: the machine must not use them any longer. All gathers of the
 * space must be finished. Cannot fail.
 */
void s2_space_fini(struct s2_space *s);

/* The root, for the register that points the machine at it; pure functions in arch/ build those. */
s2_hpa_t s2_space_root(const struct s2_space *s);

/* All guest-physical addresses of the space. */
struct s2_range s2_space_range(const struct s2_space *s);

/* The sizes that leaves of this space can have, bit n for 2^n bytes. */
uint64_t s2_space_leaf_sizes(const struct s2_space *s);

/* Events up to the last syncs. Each member is exact; together they need no other thread in a sync. */
void s2_space_events(const struct s2_space *s, struct s2_events *out);

#ifdef __cplusplus
}
#endif
#endif
