/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of this folder and by nobody else. */
#ifndef STAGE2_INTERNAL_H
#define STAGE2_INTERNAL_H

#include <stage2/gather.h>
#include <stage2/track.h>

/* All that is asked of a C library; where there is none, there is no <string.h> either. */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);

/* Adds to the space's events and clears. Any number of threads. */
void s2_events_add(struct s2_space *s, struct s2_events *events);

/* The locks of a range, of a space that has locks. */
void s2_lock(const struct s2_space *s, struct s2_range range);
void s2_unlock(const struct s2_space *s, struct s2_range range);

/*
 * What is stored for a page: four bits. The first five are the states themselves; each code says
 * all by itself what done and undo lead to. All codes from S2_CODE_DONATING on are in transition.
 */
enum s2_code {
	S2_CODE_NONE = S2_NONE,
	S2_CODE_SECURE = S2_SECURE,
	S2_CODE_SHARED = S2_SHARED,
	S2_CODE_EXPORTED = S2_EXPORTED,
	S2_CODE_POISONED = S2_POISONED,
	S2_CODE_SHARED_WIDENED,
	S2_CODE_EXPORTED_WIDENED,
	S2_CODE_DONATING,
	S2_CODE_SHARING,
	S2_CODE_SHARING_WIDENED,
	S2_CODE_UNSHARING,
	S2_CODE_UNSHARING_WIDENED,
	S2_CODE_EXPORTING,
	S2_CODE_EXPORTING_WIDENED,
	S2_CODE_IMPORTING,
	S2_CODE_RECLAIMING,
	S2_CODE_COUNT
};

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
struct s2_page s2_code_page(unsigned code);
unsigned s2_code_alike(unsigned code);

/* The codes of pages that answer as this state and are not in transition. */
unsigned s2_code_resting(enum s2_state state);

/* A change of state: for each code the next code, or S2_STEP_ERR plus an enum s2_err. */
#define S2_STEP_ERR 16

struct s2_step {
	uint8_t to[S2_CODE_COUNT];
};

void s2_step_begin(struct s2_step *step, enum s2_move move, bool widened);
void s2_step_done(struct s2_step *step);
void s2_step_undo(struct s2_step *step);
void s2_step_claim(struct s2_step *step);
void s2_step_release(struct s2_step *step);
void s2_step_poison(struct s2_step *step);

/* first, then second, as one step. */
void s2_step_join(struct s2_step *first, const struct s2_step *second);

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

/* 2 MiB of guest-physical address space, aligned to it; at the edges of a tracker a part of it. */
#define S2_CHUNK_PAGES 512u

/* All pages alike: their code. Mixed: the address of a map, which is never below S2_CODE_COUNT. */
struct s2_chunk {
	uintptr_t word;
};

struct s2_map {
	uint16_t count[S2_CODE_COUNT];	    /* pages, by code */
	uint8_t nibble[S2_CHUNK_PAGES / 2]; /* even pages in the low half */
};

/*
 * Maps in hand, so that a commit cannot fail. A map is needed where a boundary between unlike pages
 * falls inside a chunk that was uniform. A tracker call makes at most two. s2_convert() makes at
 * most eleven at a time: both ends of the request, of its first, its last and its current grain,
 * and of the current piece, and the place where the back end stopped.
 */
#define S2_POOL_MAX 11u

struct s2_pool {
	struct s2_map *map[S2_POOL_MAX];
	unsigned count;
};

/* Fills a new pool with count maps, at most S2_POOL_MAX. If it fails (NOMEM) the pool is empty. */
S2_NODISCARD enum s2_err s2_pool_fill(struct s2_pool *pool, const struct s2_env *env,
				      unsigned count);
void s2_pool_drain(struct s2_pool *pool, const struct s2_env *env);

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

unsigned s2_track_code(const struct s2_track *t, uint64_t page);

/* The first page whose code is not in the set; pages.end if there is none. */
uint64_t s2_track_skip(const struct s2_track *t, struct s2_pages pages, unsigned codes);

/* Adds the number of pages of each code to count. */
void s2_track_count(const struct s2_track *t, struct s2_pages pages, uint64_t count[S2_CODE_COUNT]);

/* Frees the chunk's map, if it has one. */
void s2_chunk_fini(struct s2_chunk *chunk, const struct s2_env *env);

/* Verifies one chunk, adds its pages to count and its map to *map_count. */
bool s2_chunk_check(const struct s2_track *t, uint64_t index, uint64_t count[S2_CODE_COUNT],
		    uint64_t *map_count);

#endif
