/* SPDX-License-Identifier: BSD-2-Clause */
/* What the engine uses of the library besides its public calls. Not for others. */
#ifndef STAGE2_ENGINE_HOOKS_H
#define STAGE2_ENGINE_HOOKS_H

#include <stage2/gather.h>

/* All that is asked of a C library; where there is none, there is no <string.h> either. */
void *memset(void *to, int byte, size_t size);

/*
 * Where the link of a table's list is: not in the same cache line of every table, because those are
 * few that can be in a cache at once.
 */
static inline uint64_t *s2_table_link(uint64_t *table)
{
	return table + (((uintptr_t)table >> S2_PAGE_LG2) & 31) * 8;
}

/* Before a run becomes visible: its folio is cleaned, if it is not marked clean. */
void s2_map_prepare(const struct s2_space *s, const struct s2_run *run, unsigned prot,
		    struct s2_gather *g);

/* After it. */
void s2_map_finish(const struct s2_space *s, const struct s2_run *run, unsigned prot);

/*
 * The table of level 0 that translates gpa has been linked. Only for a table that translates some of
 * the range of the call that links it: no other call can unlink it meanwhile.
 */
void s2_walk_cache_note(const struct s2_space *s, uint64_t gpa, uint64_t *table);

/*
 * The tables of level 0 for these bytes, whole ones, are to be unlinked: first here, so that no lookup
 * says later than a query what they said.
 */
void s2_walk_cache_drop(const struct s2_space *s, uint64_t first, uint64_t last);

/* Is a flush owed for any of these bytes? */
bool s2_gather_owes_at(const struct s2_gather *g, struct s2_range range);

/* A flush is owed for what was none and has been mapped: the next map need not wait for it. */
void s2_gather_add_new(struct s2_gather *g, const struct s2_flush *flush);

/*
 * Before something is mapped: what is owed for the range is flushed now. Processors may still use
 * what was there before, and must forget it before they can meet something else in its place.
 */
void s2_gather_settle(struct s2_gather *g, struct s2_range range);

#endif
