/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gather: flushes that are owed, and tables that must live until they are paid.
 *
 * Every call that changes a space takes one. Until s2_gather_sync() returns, processors may use the
 * old translations: memory that was unmapped or write-protected may be given away only after it.
 * Each thread uses its own; one gather serves one space. A call that maps where its own gather owes a
 * flush of what was mapped pays first if the machine wants old entries gone before new ones come. It
 * cannot know of other gathers: sync the one that pages were unmapped with before they are mapped
 * with another.
 */
#ifndef STAGE2_GATHER_H
#define STAGE2_GATHER_H

#include <stage2/mmu.h>
#include <stage2/space.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Ranges that are kept apart; with more, the two that are nearest to each other become one. */
#define S2_GATHER_RANGES 8u

/* Tables come in two sizes: those of level 0, and all others but the root. */
enum s2_table_class {
	S2_TABLE_LEAF = 0,
	S2_TABLE_UPPER = 1,
	S2_TABLE_CLASS_COUNT
};

/* Tables, by class. */
struct s2_table_count {
	size_t count[S2_TABLE_CLASS_COUNT];
};

/* A list of tables of one class, linked through their own memory. */
struct s2_table_list {
	uint64_t *first;
	size_t count;
};

/* The embedder provides the memory and does not look inside. */
struct s2_gather {
	struct s2_space *space;
	struct s2_flush flush[S2_GATHER_RANGES]; /* sorted by address, not touching */
	unsigned flush_count;
	bool owes_old; /* some of it for what was mapped, and not only for what was none */
	struct s2_table_list unlinked[S2_TABLE_CLASS_COUNT]; /* freed by the next sync */
	struct s2_table_list spare[S2_TABLE_CLASS_COUNT]; /* to be linked; never seen by an MMU */
	struct s2_events events;			  /* not yet added to the space's */
};

/* Cannot fail. The space must outlive the gather. */
void s2_gather_init(struct s2_gather *g, struct s2_space *s);

/*
 * Flushes all that is owed, with one call of the back end at most, then frees the tables that were
 * unlinked, then adds the events to the space's. Cannot fail.
 */
void s2_gather_sync(struct s2_gather *g);

/* Syncs, and frees the spare tables. */
void s2_gather_fini(struct s2_gather *g);

/* Is a flush owed, or does a table wait for the sync? */
bool s2_gather_owes(const struct s2_gather *g);

/*
 * Sees to it that at least so many tables are spare, so that calls up to this need (s2_tables_bound)
 * cannot fail for want of memory. Calls take spare tables first and leave what they do not use.
 * Fails with S2_ERR_NOMEM; then nothing has changed.
 */
S2_NODISCARD enum s2_err s2_gather_reserve(struct s2_gather *g, struct s2_table_count tables);

/* Bytes of a table of this class. */
size_t s2_table_size(const struct s2_space *s, enum s2_table_class table_class);

/* For formats and for code that maps by other means: a flush is owed. Cannot fail. */
void s2_gather_add(struct s2_gather *g, const struct s2_flush *flush);

#ifdef __cplusplus
}
#endif
#endif
