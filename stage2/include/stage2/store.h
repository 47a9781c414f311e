/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the tracker stores what it knows of pages, and the calls of track.h that are inline, for those
 * who make one a page. Whatever is not the common case is left to the functions of the library.
 */
#ifndef STAGE2_STORE_H
#define STAGE2_STORE_H

#include <stage2/track.h>

#ifdef __cplusplus
extern "C" {
#endif

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

/* What the library's internal codes, four bits a page, say to the outside. */
extern const struct s2_page s2_code_pages[S2_CODE_COUNT];

/* A change of state: for each code the next code, or S2_STEP_ERR plus an enum s2_err. */
#define S2_STEP_ERR 16

struct s2_step {
	uint8_t to[S2_CODE_COUNT];
};

/*
 * The beginning of a move, and all of it, begin and done as one step; by move and by whether it is
 * widened. An unknown move, or a widened one that may not be, is S2_ERR_INVAL for every page.
 */
extern const struct s2_step s2_begin_steps[S2_MOVE_COUNT + 1][2];
extern const struct s2_step s2_move_steps[S2_MOVE_COUNT + 1][2];

extern const struct s2_step s2_done_step;
extern const struct s2_step s2_undo_step;
extern const struct s2_step s2_claim_step;
extern const struct s2_step s2_release_step;
extern const struct s2_step s2_poison_step;

static inline const struct s2_step *s2_move_step(const struct s2_step (*steps)[2],
						 enum s2_move move, bool widened)
{
	return &steps[(unsigned)move < S2_MOVE_COUNT ? move : S2_MOVE_COUNT][widened];
}

/* 2 MiB of guest-physical address space, aligned to it; at the edges of a tracker a part of it. */
#define S2_CHUNK_LG2 21
#define S2_CHUNK_PAGES 512u

/*
 * The codes of a chunk's pages, sixteen in a word, the first in its lowest bits; nothing else, so that
 * a mixed chunk costs no more than its codes. Pages that the tracker does not have are kept like the
 * nearest one that it has.
 */
#define S2_WORD_PAGES 16u
#define S2_MAP_WORDS (S2_CHUNK_PAGES / S2_WORD_PAGES)

struct s2_track_map {
	uint64_t word[S2_MAP_WORDS];
};

/* 1 GiB, aligned; at the edges of a tracker a part of it. What is known of all its pages at once. */
#define S2_REGION_LG2 30
#define S2_REGION_PAGES (UINT64_C(1) << (S2_REGION_LG2 - S2_PAGE_LG2))

struct s2_track_region {
	uint32_t count[S2_CODE_COUNT]; /* pages, by code */
	uint32_t map_count;	       /* mixed chunks */
};

static inline bool s2_word_is_alike(uint64_t word)
{
	return word == (word << 4 | word >> 60);
}

static inline unsigned s2_word_shift(uint64_t page)
{
	return (unsigned)(page * 4) % 64;
}

static inline uint64_t *s2_track_map_word(struct s2_track_map *map, uint64_t page)
{
	return &map->word[page / S2_WORD_PAGES % S2_MAP_WORDS];
}

static inline unsigned s2_track_map_get(const struct s2_track_map *map, uint64_t page)
{
	uint64_t word = map->word[page / S2_WORD_PAGES % S2_MAP_WORDS];

	return (unsigned)(word >> s2_word_shift(page)) & 0xfu;
}

static inline bool s2_chunk_is_uniform(const struct s2_chunk *chunk)
{
	return chunk->word < S2_CODE_COUNT;
}

/* Of a uniform chunk. */
static inline unsigned s2_chunk_code(const struct s2_chunk *chunk)
{
	return (unsigned)chunk->word;
}

/* Of a mixed chunk. */
static inline struct s2_track_map *s2_chunk_map(const struct s2_chunk *chunk)
{
	return (struct s2_track_map *)chunk->word;
}

/* The chunk and the region of a page that the tracker has. */
static inline struct s2_chunk *s2_track_chunk(const struct s2_track *t, uint64_t page)
{
	uintptr_t offset = (uintptr_t)(page / S2_CHUNK_PAGES) * sizeof(struct s2_chunk);

	return (struct s2_chunk *)(t->chunk_zero + offset);
}

static inline struct s2_track_region *s2_track_region(const struct s2_track *t, uint64_t page)
{
	uintptr_t offset = (uintptr_t)(page / S2_REGION_PAGES) * sizeof(struct s2_track_region);

	return (struct s2_track_region *)(t->region_zero + offset);
}

/* Pages of a region change their code. */
static inline void s2_track_recount(struct s2_track_region *region, unsigned from, unsigned to,
				    uint32_t page_count)
{
	region->count[from] -= page_count;
	region->count[to] += page_count;
}

/* Makes the step for one page of a uniform chunk. There must be more pages in the chunk. */
S2_NODISCARD enum s2_err s2_track_mix(struct s2_track *t, uint64_t page,
				      const struct s2_step *step);

/* Gives the map of the page's chunk back, if all pages of the chunk are alike and at rest. S2_OK. */
enum s2_err s2_track_unmix(struct s2_track *t, uint64_t page);

/* The step, and that the range is a page, are known where a call is written: not behind a call. */
#define S2_STEP_INLINE __attribute__((always_inline)) static inline

/*
 * Makes the step for all pages of the range, or for none. s2_track_step() is the same, and inline for
 * one page among others of its chunk: the tracker's first and last page are followed by what is not
 * there.
 */
S2_NODISCARD enum s2_err s2_track_step_range(struct s2_track *t, struct s2_range range,
					     const struct s2_step *step);

S2_STEP_INLINE enum s2_err s2_track_step(struct s2_track *t, struct s2_range range,
					 const struct s2_step *step)
{
	uint64_t page = range.start.val >> S2_PAGE_LG2;
	const struct s2_chunk *chunk;
	uint64_t *word;
	uint64_t changed;
	unsigned from;
	unsigned to;

	if (__builtin_expect(range.len != S2_PAGE_SIZE ||
				     (range.start.val & (S2_PAGE_SIZE - 1)) != 0 ||
				     range.start.val - t->inner_start >= t->inner_len,
			     false)) {
		return s2_track_step_range(t, range, step);
	}
	chunk = s2_track_chunk(t, page);
	if (__builtin_expect(s2_chunk_is_uniform(chunk), false)) {
		return s2_track_mix(t, page, step);
	}
	word = s2_track_map_word(s2_chunk_map(chunk), page);
	from = (unsigned)(*word >> s2_word_shift(page)) & 0xfu;
	to = step->to[from];
	if (__builtin_expect(to >= S2_STEP_ERR, false)) {
		return (enum s2_err)(to - S2_STEP_ERR);
	}
	changed = *word ^ ((uint64_t)(from ^ to) << s2_word_shift(page));
	*word = changed;
	s2_track_recount(s2_track_region(t, page), from, to, 1);
	/* All sixteen are alike: so may be all of the chunk. */
	return __builtin_expect(s2_word_is_alike(changed), false) ? s2_track_unmix(t, page) : S2_OK;
}

S2_STEP_INLINE enum s2_err s2_track_begin(struct s2_track *t, struct s2_range range,
					  enum s2_move move, bool widened)
{
	return s2_track_step(t, range, s2_move_step(s2_begin_steps, move, widened));
}

S2_STEP_INLINE enum s2_err s2_track_move(struct s2_track *t, struct s2_range range,
					 enum s2_move move, bool widened)
{
	return s2_track_step(t, range, s2_move_step(s2_move_steps, move, widened));
}

S2_STEP_INLINE enum s2_err s2_track_done(struct s2_track *t, struct s2_range range)
{
	return s2_track_step(t, range, &s2_done_step);
}

S2_STEP_INLINE enum s2_err s2_track_undo(struct s2_track *t, struct s2_range range)
{
	return s2_track_step(t, range, &s2_undo_step);
}

S2_STEP_INLINE enum s2_err s2_track_claim(struct s2_track *t, struct s2_range range)
{
	return s2_track_step(t, range, &s2_claim_step);
}

S2_STEP_INLINE enum s2_err s2_track_release(struct s2_track *t, struct s2_range range)
{
	return s2_track_step(t, range, &s2_release_step);
}

S2_STEP_INLINE enum s2_err s2_track_poison(struct s2_track *t, struct s2_range range)
{
	return s2_track_step(t, range, &s2_poison_step);
}

static inline unsigned s2_track_code(const struct s2_track *t, uint64_t page)
{
	const struct s2_chunk *chunk = s2_track_chunk(t, page);

	if (s2_chunk_is_uniform(chunk)) {
		return s2_chunk_code(chunk);
	}
	return s2_track_map_get(s2_chunk_map(chunk), page);
}

static inline enum s2_err s2_track_get(const struct s2_track *t, s2_gpa_t gpa, struct s2_page *out)
{
	if (gpa.val - t->range.start.val >= t->range.len) {
		return S2_ERR_RANGE;
	}
	*out = s2_code_pages[s2_track_code(t, gpa.val >> S2_PAGE_LG2)];
	return S2_OK;
}

/* For s2_track_uniform(). */
S2_NODISCARD enum s2_err s2_track_uniform_slowly(const struct s2_track *t, s2_gpa_t gpa,
						 uint8_t lg2, bool *uniform, struct s2_page *page);

/*
 * Inline: of a chunk with a map the first code is enough, because a chunk that is uniform and at rest
 * has none. Where that page is in transition the others have to be looked at. Written so that no
 * branch depends on which of the two a chunk has: that is anybody's guess.
 */
static inline enum s2_err s2_track_uniform(const struct s2_track *t, s2_gpa_t gpa, uint8_t lg2,
					   bool *uniform, struct s2_page *page)
{
	uint64_t index = (gpa.val >> S2_CHUNK_LG2) - (t->range.start.val >> S2_CHUNK_LG2);
	uintptr_t first;
	uintptr_t mixed; /* all ones if it has a map, or 0 */
	uintptr_t code;

	if (lg2 != 21 || (gpa.val & ((UINT64_C(1) << 21) - 1)) != 0 || index >= t->chunk_count) {
		return s2_track_uniform_slowly(t, gpa, lg2, uniform, page);
	}
	first = t->chunk[index].word;
	mixed = 0 - (uintptr_t)(first >= 16);
	first = (first & mixed) | ((uintptr_t)&t->chunk[index] & ~mixed);
	code = ((const struct s2_chunk *)first)->word & 15;
	if (((uintptr_t)s2_code_pages[code].moving & mixed) != 0) {
		return s2_track_uniform_slowly(t, gpa, lg2, uniform, page);
	}
	*uniform = (bool)(~mixed & 1);
	*page = s2_code_pages[code & ~mixed];
	return S2_OK;
}

#ifdef __cplusplus
}
#endif
#endif
