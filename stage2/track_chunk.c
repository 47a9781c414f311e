/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chunks, regions, and the two passes of every change: try (may fail, changes nothing) and commit
 * (cannot fail).
 *
 * When a map goes: as soon as its chunk is uniform and at rest. A chunk that became uniform while
 * in transition keeps its map unless one call covered all of it, because the pages may belong to
 * several moves and finishing any of them alone would need the map again.
 */
#include "internal.h"

/*
 * What a walk over a range meets first: pages of one chunk, numbered within the chunk; or whole
 * chunks of one region that are uniform and alike.
 */
struct part {
	struct s2_chunk *chunk;
	struct s2_track_region *region;
	uint64_t chunk_count;
	unsigned start;
	unsigned end;
	unsigned first; /* the pages of this chunk that exist */
	unsigned last;
};

struct s2_pages s2_track_block(const struct s2_track *t, uint64_t page, uint64_t size)
{
	uint64_t start = page & ~(size - 1);

	return s2_pages_overlap(s2_range_pages(t->range), s2_pages(start, start + size));
}

static bool is_whole_block(struct s2_pages pages, struct s2_pages block)
{
	return pages.start == block.start && pages.end >= block.end;
}

/* The first part of the pages, which must not be empty. */
static inline __attribute__((always_inline)) struct part part_first(const struct s2_track *t,
								    struct s2_pages pages)
{
	struct s2_pages own = s2_track_block(t, pages.start, S2_CHUNK_PAGES);
	uint64_t base = pages.start & ~(uint64_t)(S2_CHUNK_PAGES - 1);
	struct part part = {
		.chunk = s2_track_chunk(t, pages.start),
		.region = s2_track_region(t, pages.start),
		.chunk_count = 1,
		.start = (unsigned)(pages.start - base),
		.end = (unsigned)(s2_pages_overlap(pages, own).end - base),
		.first = (unsigned)(own.start - base),
		.last = (unsigned)(own.end - base),
	};

	return part;
}

static bool part_is_whole(const struct part *part)
{
	return part->start == part->first && part->end == part->last;
}

static uint64_t part_len(const struct part *part)
{
	return part->end - part->start + (part->chunk_count - 1) * S2_CHUNK_PAGES;
}

/* Adds to a uniform part the chunks behind it that are like it, as far as region and pages reach. */
static void part_extend(const struct s2_track *t, struct part *part, struct s2_pages pages)
{
	struct s2_pages region = s2_track_block(t, pages.start, S2_REGION_PAGES);
	uint64_t max = (s2_pages_overlap(pages, region).end - pages.start) / S2_CHUNK_PAGES;
	uintptr_t word = part->chunk->word;
	uint64_t count = 1;

	if (part->end - part->start != S2_CHUNK_PAGES) {
		return;
	}
	if (part->region->map_count == 0 &&
	    part->region->count[s2_chunk_code(part->chunk)] == region.end - region.start) {
		count = max;
	}
	while (count < max && part->chunk[count].word == word) {
		count++;
	}
	part->chunk_count = count;
}

/* A uniform chunk becomes a mixed one. The map still has to be told what differs. */
static void chunk_mix(struct s2_track *t, struct s2_chunk *chunk, struct s2_track_region *region,
		      struct s2_track_map *map)
{
	for (unsigned i = 0; i < S2_MAP_WORDS; i++) {
		map->word[i] = s2_code_word(s2_chunk_code(chunk));
	}
	chunk->word = (uintptr_t)map;
	region->map_count++;
	t->map_count++;
}

/* The map of a chunk whose pages all have this code is needed no longer. */
static struct s2_track_map *chunk_unmix(struct s2_track *t, struct s2_chunk *chunk,
					struct s2_track_region *region, unsigned code)
{
	struct s2_track_map *map = s2_chunk_map(chunk);

	chunk->word = code;
	region->map_count--;
	t->map_count--;
	return map;
}

enum s2_err s2_track_mix(struct s2_track *t, uint64_t page, const struct s2_step *step)
{
	struct s2_chunk *chunk = s2_track_chunk(t, page);
	struct s2_track_region *region = s2_track_region(t, page);
	unsigned start = page % S2_CHUNK_PAGES;
	unsigned from = s2_chunk_code(chunk);
	unsigned to = step->to[from];
	struct s2_track_map *map;

	if (to >= S2_STEP_ERR) {
		return (enum s2_err)(to - S2_STEP_ERR);
	}
	if (to == from) {
		return S2_OK;
	}
	map = t->env.alloc(t->env.cookie, sizeof(*map));
	if (map == NULL) {
		return S2_ERR_NOMEM;
	}
	chunk_mix(t, chunk, region, map);
	s2_track_map_fill(map, start, start + 1, to);
	s2_track_recount(region, from, to, 1);
	return S2_OK;
}

enum s2_err s2_track_unmix(struct s2_track *t, uint64_t page)
{
	struct s2_chunk *chunk = s2_track_chunk(t, page);
	unsigned code = s2_track_code(t, page);

	if (!s2_code_moving(code) &&
	    s2_track_map_is_uniform(s2_chunk_map(chunk), page % S2_CHUNK_PAGES)) {
		t->env.free(t->env.cookie, chunk_unmix(t, chunk, s2_track_region(t, page), code),
			    sizeof(struct s2_track_map));
	}
	return S2_OK;
}

static void commit_map(struct s2_track *t, const struct part *part, const struct s2_step *step,
		       struct s2_pool *pool)
{
	struct s2_track_map *map = s2_chunk_map(part->chunk);
	unsigned code;
	unsigned next;

	for (unsigned page = part->start; page < part->end; page = next) {
		unsigned from = s2_track_map_get(map, page);
		unsigned to = step->to[from];

		next = s2_track_map_stretch(map, page, part->end);
		if (to < S2_STEP_ERR && to != from) {
			/* The pages that do not exist follow their neighbour. */
			s2_track_map_fill(map, page == part->first ? 0 : page,
					  next == part->last ? S2_CHUNK_PAGES : next, to);
			s2_track_recount(part->region, from, to, next - page);
		}
	}
	code = s2_track_map_get(map, part->start);
	if ((!s2_code_moving(code) || part_is_whole(part)) &&
	    s2_track_map_is_uniform(map, part->start)) {
		s2_pool_give(pool, &t->env, chunk_unmix(t, part->chunk, part->region, code));
	}
}

static void fill_chunks(struct s2_chunk *chunk, uint64_t count, unsigned code)
{
	/* By eights, because compilers then use vectors. */
	for (; count >= 8; count -= 8, chunk += 8) {
		for (unsigned i = 0; i < 8; i++) {
			chunk[i].word = code;
		}
	}
	for (; count > 0; count--, chunk++) {
		chunk->word = code;
	}
}

static void commit_part(struct s2_track *t, struct part *part, struct s2_pages pages,
			const struct s2_step *step, struct s2_pool *pool)
{
	if (s2_chunk_is_uniform(part->chunk)) {
		unsigned from = s2_chunk_code(part->chunk);
		unsigned to = step->to[from];

		part_extend(t, part, pages);
		if (to >= S2_STEP_ERR || to == from) {
			return;
		}
		if (part_is_whole(part)) {
			fill_chunks(part->chunk, part->chunk_count, to);
			s2_track_recount(part->region, from, to, (uint32_t)part_len(part));
			return;
		}
		chunk_mix(t, part->chunk, part->region, s2_pool_take(pool));
	}
	commit_map(t, part, step, pool);
}

/* Are these, which are not none, pages of one word of a map? */
static bool are_in_word(const struct s2_track *t, struct s2_pages pages)
{
	return pages.start / S2_WORD_PAGES == (pages.end - 1) / S2_WORD_PAGES &&
	       !s2_chunk_is_uniform(s2_track_chunk(t, pages.start));
}

/* The bits of these pages, which are of one word. */
static uint64_t word_mask(struct s2_pages pages)
{
	return UINT64_MAX >> (60 - s2_word_shift(pages.end - 1)) &
	       UINT64_MAX << s2_word_shift(pages.start);
}

/*
 * Pages of one word of a mixed chunk that are alike, and not at an end of the tracker, where pages that do
 * not exist would have to follow: most changes are so small. False, and nothing is done, if they are not.
 */
static bool commit_word(struct s2_track *t, struct s2_pages pages, const struct s2_step *step,
			struct s2_pool *pool)
{
	struct s2_pages own = s2_range_pages(t->range);
	struct s2_chunk *chunk = s2_track_chunk(t, pages.start);
	struct s2_track_region *region = s2_track_region(t, pages.start);
	uint64_t *word = s2_track_map_word(s2_chunk_map(chunk), pages.start);
	uint64_t mask = word_mask(pages);
	unsigned from = (unsigned)(*word >> s2_word_shift(pages.start)) & 0xfu;
	unsigned to = step->to[from];

	if (((*word ^ s2_code_word(from)) & mask) != 0 || pages.start == own.start ||
	    pages.end == own.end) {
		return false;
	}
	if (to >= S2_STEP_ERR || to == from) {
		return true;
	}
	*word = (*word & ~mask) | (s2_code_word(to) & mask);
	s2_track_recount(region, from, to, (uint32_t)(pages.end - pages.start));
	if (!s2_code_moving(to) && s2_word_is_alike(*word) &&
	    s2_track_map_is_uniform(s2_chunk_map(chunk), pages.start % S2_CHUNK_PAGES)) {
		s2_pool_give(pool, &t->env, chunk_unmix(t, chunk, region, to));
	}
	return true;
}

/* Apart, so that what is small does not pay for its stack. */
static __attribute__((noinline)) void commit_parts(struct s2_track *t, struct s2_pages pages,
						   const struct s2_step *step, struct s2_pool *pool)
{
	while (pages.start < pages.end) {
		struct part part = part_first(t, pages);

		commit_part(t, &part, pages, step, pool);
		pages.start += part_len(&part);
	}
}

void s2_track_commit(struct s2_track *t, struct s2_pages pages, const struct s2_step *step,
		     struct s2_pool *pool)
{
	if (pages.start < pages.end &&
	    !(are_in_word(t, pages) && commit_word(t, pages, step, pool))) {
		commit_parts(t, pages, step, pool);
	}
}

static enum s2_err try_part(const struct part *part, const struct s2_step *step,
			    unsigned *map_count)
{
	const struct s2_track_map *map;

	if (s2_chunk_is_uniform(part->chunk)) {
		unsigned from = s2_chunk_code(part->chunk);
		unsigned to = step->to[from];

		if (to >= S2_STEP_ERR) {
			return (enum s2_err)(to - S2_STEP_ERR);
		}
		if (to != from && !part_is_whole(part)) {
			(*map_count)++;
		}
		return S2_OK;
	}
	map = s2_chunk_map(part->chunk);
	for (unsigned page = part->start; page < part->end;
	     page = s2_track_map_stretch(map, page, part->end)) {
		unsigned to = step->to[s2_track_map_get(map, page)];

		if (to >= S2_STEP_ERR) {
			return (enum s2_err)(to - S2_STEP_ERR);
		}
	}
	return S2_OK;
}

/* Do the pages begin with a whole region, and do its counters alone say that all can make the step? */
static bool try_region(const struct s2_track *t, struct s2_pages pages, const struct s2_step *step)
{
	const struct s2_track_region *region = s2_track_region(t, pages.start);

	if (!is_whole_block(pages, s2_track_block(t, pages.start, S2_REGION_PAGES))) {
		return false;
	}
	for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
		if (region->count[code] != 0 && step->to[code] >= S2_STEP_ERR) {
			return false;
		}
	}
	return true;
}

enum s2_err s2_track_try(const struct s2_track *t, struct s2_pages pages,
			 const struct s2_step *step, unsigned *map_count)
{
	*map_count = 0;
	while (pages.start < pages.end) {
		struct part part;
		enum s2_err err;

		/* What is whole needs no map. */
		if (try_region(t, pages, step)) {
			pages.start = s2_track_block(t, pages.start, S2_REGION_PAGES).end;
			continue;
		}
		part = part_first(t, pages);
		err = try_part(&part, step, map_count);
		if (err != S2_OK) {
			return err;
		}
		if (s2_chunk_is_uniform(part.chunk)) {
			part_extend(t, &part, pages);
		}
		pages.start += part_len(&part);
	}
	return S2_OK;
}

unsigned s2_track_uniform_count(const struct s2_track *t, struct s2_pages pages, unsigned max)
{
	unsigned count = 0;

	while (pages.start < pages.end && count < max) {
		count += s2_chunk_is_uniform(s2_track_chunk(t, pages.start));
		pages.start = (pages.start | (S2_CHUNK_PAGES - 1)) + 1;
	}
	return count;
}

/* The first page of a mixed chunk, from start on, whose code is not in the set; end if there is none. */
static unsigned map_skip(const struct s2_track_map *map, unsigned start, unsigned end,
			 unsigned codes)
{
	while (start < end && ((codes >> s2_track_map_get(map, start)) & 1u)) {
		start = s2_track_map_stretch(map, start, end);
	}
	return start;
}

/* Pages of one chunk: most questions are about few. */
static uint64_t chunk_skip(const struct s2_track *t, struct s2_pages pages, unsigned codes)
{
	const struct s2_chunk *chunk = s2_track_chunk(t, pages.start);
	unsigned start = pages.start % S2_CHUNK_PAGES;
	unsigned count = (unsigned)(pages.end - pages.start);

	if (s2_chunk_is_uniform(chunk)) {
		return (codes >> s2_chunk_code(chunk)) & 1u ? pages.end : pages.start;
	}
	return pages.start + map_skip(s2_chunk_map(chunk), start, start + count, codes) - start;
}

/* s2_track_skip() of pages of one word of a map, if it is all or nothing; false if it is neither. */
static bool skips_word(const struct s2_track *t, struct s2_pages pages, unsigned codes,
		       uint64_t *end)
{
	uint64_t word =
		*s2_track_map_word(s2_chunk_map(s2_track_chunk(t, pages.start)), pages.start);
	unsigned code = (unsigned)(word >> s2_word_shift(pages.start)) & 0xfu;
	bool in_set = (codes >> code) & 1u;

	*end = in_set ? pages.end : pages.start;
	return !in_set || ((word ^ s2_code_word(code)) & word_mask(pages)) == 0;
}

/* Apart, so that what is small does not pay for its stack. */
static __attribute__((noinline)) uint64_t skip_chunks(const struct s2_track *t,
						      struct s2_pages pages, unsigned codes)
{
	while (pages.start < pages.end) {
		uint64_t chunk_end = (pages.start | (S2_CHUNK_PAGES - 1)) + 1;
		struct s2_pages own = pages;
		struct part part;

		own.end = own.end < chunk_end ? own.end : chunk_end;
		pages.start = chunk_skip(t, own, codes);
		if (pages.start < own.end || own.end == pages.end) {
			return pages.start;
		}
		part = part_first(t, pages);
		if (s2_chunk_is_uniform(part.chunk) &&
		    ((codes >> s2_chunk_code(part.chunk)) & 1u)) {
			part_extend(t, &part, pages);
			pages.start += part_len(&part);
		}
	}
	return pages.start;
}

uint64_t s2_track_skip(const struct s2_track *t, struct s2_pages pages, unsigned codes)
{
	uint64_t end;

	if (pages.start >= pages.end) {
		return pages.start;
	}
	if (are_in_word(t, pages) && skips_word(t, pages, codes, &end)) {
		return end;
	}
	return skip_chunks(t, pages, codes);
}

static void count_part(const struct part *part, uint64_t count[S2_CODE_COUNT])
{
	if (s2_chunk_is_uniform(part->chunk)) {
		count[s2_chunk_code(part->chunk)] += part_len(part);
		return;
	}
	s2_track_map_count(s2_chunk_map(part->chunk), part->start, part->end, count);
}

void s2_track_count(const struct s2_track *t, struct s2_pages pages, uint64_t count[S2_CODE_COUNT])
{
	while (pages.start < pages.end) {
		struct s2_pages region = s2_track_block(t, pages.start, S2_REGION_PAGES);
		struct part part = part_first(t, pages);

		if (is_whole_block(pages, region)) {
			for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
				count[code] += part.region->count[code];
			}
			pages.start = region.end;
			continue;
		}
		if (s2_chunk_is_uniform(part.chunk)) {
			part_extend(t, &part, pages);
		}
		count_part(&part, count);
		pages.start += part_len(&part);
	}
}

/* Counted page by page, and not by the words that the counters were made with. */
static bool check_map(const struct part *part, uint32_t count[S2_CODE_COUNT])
{
	const struct s2_track_map *map = s2_chunk_map(part->chunk);

	for (unsigned page = part->first; page < part->last; page++) {
		count[s2_track_map_get(map, page)]++;
	}
	/* What does not exist is like its neighbour, and at rest a map is for what is mixed. */
	return s2_track_map_stretch(map, 0, part->first + 1) == part->first + 1 &&
	       s2_track_map_stretch(map, part->last - 1, S2_CHUNK_PAGES) == S2_CHUNK_PAGES &&
	       (s2_code_moving(s2_track_map_get(map, 0)) || !s2_track_map_is_uniform(map, 0));
}

S2_COLD bool s2_region_check(const struct s2_track *t, struct s2_pages region, uint64_t *map_count)
{
	const struct s2_track_region *counters = s2_track_region(t, region.start);
	uint32_t seen[S2_CODE_COUNT] = {0};
	uint64_t maps = 0;

	while (region.start < region.end) {
		struct part part = part_first(t, region);

		if (s2_chunk_is_uniform(part.chunk)) {
			seen[s2_chunk_code(part.chunk)] += (uint32_t)part_len(&part);
		} else if (check_map(&part, seen)) {
			maps++;
		} else {
			return false;
		}
		region.start += part_len(&part);
	}
	*map_count += maps;
	return maps == counters->map_count && memcmp(seen, counters->count, sizeof(seen)) == 0;
}
