/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of this folder and by nobody else. */
#ifndef STAGE2_INTERNAL_H
#define STAGE2_INTERNAL_H

#include <stage2/gather.h>
#include <stage2/track.h>

/* Small rather than fast. */
#define S2_COLD __attribute__((cold))

/* All that is asked of a C library; where there is none, there is no <string.h> either. */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);

/* Adds to the space's events and clears. Any number of threads. */
void s2_events_add(struct s2_space *s, struct s2_events *events);

/* Is this range well formed, and inside the space? */
S2_NODISCARD enum s2_err s2_space_covers(const struct s2_space *s, struct s2_range range);

/* The locks of a range, of a space that has locks. */
void s2_lock(const struct s2_space *s, struct s2_range range);
void s2_unlock(const struct s2_space *s, struct s2_range range);

/* Takes over the configured walk cache. Fails as s2_space_init() says. */
S2_NODISCARD enum s2_err s2_walk_cache_init(struct s2_space *s);

/* What the walk cache has for the table of level 0 that translates gpa; NULL: nothing. */
uint64_t *s2_walk_cache_get(const struct s2_space *s, uint64_t gpa);

/* How many tables it has. */
size_t s2_walk_cache_count(const struct s2_space *s);

static inline bool s2_code_moving(unsigned code)
{
	return code >= S2_CODE_DONATING;
}

/* Sets of codes, bit n for code n. */
#define S2_CODE_BIT(code) (1u << (code))
#define S2_CODE_ALL 0xffffu

/* Why a page with this code cannot make a move that it cannot make. */
enum s2_err s2_code_err(unsigned code);

/* What the public interface says of a code, and all codes of which it says the same. */
unsigned s2_code_alike(unsigned code);

/* The codes of pages that answer as this state and are not in transition. */
unsigned s2_code_resting(enum s2_state state);

/* A range in page numbers, half-open: 52 bits, so that the end of all addresses has a number. */
struct s2_pages {
	uint64_t start;
	uint64_t end;
};

static inline struct s2_pages s2_pages(uint64_t start, uint64_t end)
{
	struct s2_pages pages = {start, end};

	return pages;
}

static inline struct s2_pages s2_range_pages(struct s2_range range)
{
	return s2_pages(range.start.val >> S2_PAGE_LG2,
			(s2_range_last(range).val >> S2_PAGE_LG2) + 1);
}

static inline struct s2_range s2_pages_range(struct s2_pages pages)
{
	return s2_range(s2_gpa(pages.start << S2_PAGE_LG2), (pages.end - pages.start)
								    << S2_PAGE_LG2);
}

static inline struct s2_pages s2_pages_overlap(struct s2_pages a, struct s2_pages b)
{
	return s2_pages(a.start > b.start ? a.start : b.start, a.end < b.end ? a.end : b.end);
}

/* What is stored in a word of pages that all have this code. */
static inline uint64_t s2_code_word(unsigned code)
{
	return code * UINT64_C(0x1111111111111111);
}

/* Gives the pages from start to before end a code. */
void s2_track_map_fill(struct s2_track_map *map, unsigned start, unsigned end, unsigned code);

/* The end of the stretch of one code that begins at start. */
unsigned s2_track_map_stretch(const struct s2_track_map *map, unsigned start, unsigned end);

/* Adds the number of pages of each code from start to before end to count. */
void s2_track_map_count(const struct s2_track_map *map, unsigned start, unsigned end,
			uint64_t count[S2_CODE_COUNT]);

/* Have all pages the code of this one? */
bool s2_track_map_is_uniform(const struct s2_track_map *map, unsigned page);

/* What the tracker has of the chunk or the region that holds a page; size in pages. */
struct s2_pages s2_track_block(const struct s2_track *t, uint64_t page, uint64_t size);

/*
 * Maps in hand (struct s2_pool), so that a commit cannot fail. A map is needed where a boundary
 * between unlike pages falls inside a chunk that was uniform. A tracker call makes at most two. A job
 * of convert.h makes at most eleven: both ends of the request, of its first, its last and its current
 * grain, and of the current piece, and the place where the back end stopped.
 */

/* Fills a new pool with count maps, at most S2_POOL_MAX. If it fails (NOMEM) the pool is empty. */
S2_NODISCARD enum s2_err s2_pool_fill(struct s2_pool *pool, const struct s2_env *env,
				      unsigned count);
void s2_pool_drain(struct s2_pool *pool, const struct s2_env *env);

/* There must be one. Its contents are undefined. */
struct s2_track_map *s2_pool_take(struct s2_pool *pool);
void s2_pool_give(struct s2_pool *pool, const struct s2_env *env, struct s2_track_map *map);

/* Is this range well formed, and inside the tracker? */
S2_NODISCARD enum s2_err s2_track_covers(const struct s2_track *t, struct s2_range range);

/*
 * Can all pages make the step? Fails with the error of the first that cannot. On success *map_count
 * is the number of maps that s2_track_commit() takes from its pool, 0 to 2.
 */
S2_NODISCARD enum s2_err s2_track_try(const struct s2_track *t, struct s2_pages pages,
				      const struct s2_step *step, unsigned *map_count);

/* Makes the step. Cannot fail. Pages that cannot make it stay as they are; no pages, no change. */
void s2_track_commit(struct s2_track *t, struct s2_pages pages, const struct s2_step *step,
		     struct s2_pool *pool);

/* How many chunks that the pages touch have no map; stops counting at max. */
unsigned s2_track_uniform_count(const struct s2_track *t, struct s2_pages pages, unsigned max);

/* The first page whose code is not in the set; pages.end if there is none. */
uint64_t s2_track_skip(const struct s2_track *t, struct s2_pages pages, unsigned codes);

/* Adds the number of pages of each code to count. */
void s2_track_count(const struct s2_track *t, struct s2_pages pages, uint64_t count[S2_CODE_COUNT]);

/* Verifies a region, adds its maps to *map_count. */
bool s2_region_check(const struct s2_track *t, struct s2_pages region, uint64_t *map_count);

#endif
