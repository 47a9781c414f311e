/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chunks, maps, and the two passes of every change: try (may fail, changes nothing) and commit
 * (cannot fail).
 *
 * When a map goes: as soon as its chunk is uniform and at rest. A chunk that became uniform while
 * in transition keeps its map unless one call covered all of it, because the pages may belong to
 * several moves and finishing any of them alone would need the map again.
 */
#include "internal.h"

/* The pages of one chunk that a walk over a range meets, numbered within the chunk. */
struct part {
	struct s2_chunk *chunk;
	unsigned start;
	unsigned end;
	unsigned size; /* pages of this chunk that exist */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The first part of the pages, which must not be empty. */
static struct part part_first(const struct s2_track *t, struct s2_pages pages)
{
	struct s2_pages all = s2_range_pages(t->range);
	uint64_t index = pages.start / S2_CHUNK_PAGES;
	uint64_t start = index * S2_CHUNK_PAGES;
	uint64_t end = start + S2_CHUNK_PAGES;
	struct part part = {
		.chunk = &t->chunk[index - all.start / S2_CHUNK_PAGES],
		.start = (unsigned)(pages.start - start),
		.end = (unsigned)(min_u64(pages.end, end) - start),
		.size = (unsigned)(min_u64(all.end, end) - max_u64(all.start, start)),
	};

	return part;
}

static unsigned part_len(const struct part *part)
{
	return part->end - part->start;
}

static bool part_is_whole(const struct part *part)
{
	return part_len(part) == part->size;
}

static bool chunk_is_uniform(const struct s2_chunk *chunk)
{
	return chunk->word < S2_CODE_COUNT;
}

static unsigned chunk_code(const struct s2_chunk *chunk)
{
	return (unsigned)chunk->word;
}

static struct s2_map *chunk_map(const struct s2_chunk *chunk)
{
	return (struct s2_map *)chunk->word;
}

static unsigned map_get(const struct s2_map *map, unsigned page)
{
	return ((unsigned)map->nibble[page / 2] >> (page % 2 * 4)) & 0xfu;
}

static void map_set(struct s2_map *map, unsigned page, unsigned code)
{
	unsigned shift = page % 2 * 4;
	unsigned byte = map->nibble[page / 2] & ~(0xfu << shift);

	map->nibble[page / 2] = (uint8_t)(byte | code << shift);
}

static void map_fill(struct s2_map *map, unsigned start, unsigned end, unsigned code)
{
	if (start < end && start % 2 != 0) {
		map_set(map, start++, code);
	}
	if (start < end && end % 2 != 0) {
		map_set(map, --end, code);
	}
	if (start < end) {
		memset(&map->nibble[start / 2], (int)(code * 0x11u), (end - start) / 2);
	}
}

/* The end of the stretch of one code that begins at start. */
static unsigned map_stretch(const struct s2_map *map, unsigned start, unsigned end)
{
	unsigned code = map_get(map, start);
	uint64_t alike = code * UINT64_C(0x1111111111111111);
	unsigned page = start;

	while (page < end && map_get(map, page) == code) {
		uint64_t word;

		/* Sixteen pages at a time where that is possible; the same in either byte order. */
		if (page % 2 == 0 && page + 16 <= end) {
			memcpy(&word, &map->nibble[page / 2], sizeof(word));
			if (word == alike) {
				page += 16;
				continue;
			}
		}
		page++;
	}
	return page;
}

static void count_move(struct s2_track *t, struct s2_map *map, unsigned from, unsigned to,
		       unsigned page_count)
{
	t->count[from] -= page_count;
	t->count[to] += page_count;
	if (map != NULL) {
		map->count[from] = (uint16_t)(map->count[from] - page_count);
		map->count[to] = (uint16_t)(map->count[to] + page_count);
	}
}

enum s2_err s2_pool_fill(struct s2_pool *pool, const struct s2_env *env, unsigned count)
{
	pool->count = 0;
	while (pool->count < count) {
		struct s2_map *map = env->alloc(env->cookie, sizeof(*map));

		if (map == NULL) {
			s2_pool_drain(pool, env);
			return S2_ERR_NOMEM;
		}
		pool->map[pool->count++] = map;
	}
	return S2_OK;
}

void s2_pool_drain(struct s2_pool *pool, const struct s2_env *env)
{
	while (pool->count > 0) {
		env->free(env->cookie, pool->map[--pool->count], sizeof(struct s2_map));
	}
}

static struct s2_map *pool_take(struct s2_pool *pool)
{
	if (pool->count == 0) {
		/* The reservation was too small: our own bug. There is no truth to go on with. */
		__builtin_trap();
	}
	return pool->map[--pool->count];
}

static void pool_give(struct s2_pool *pool, const struct s2_env *env, struct s2_map *map)
{
	if (pool->count < S2_POOL_MAX) {
		pool->map[pool->count++] = map;
	} else {
		env->free(env->cookie, map, sizeof(*map));
	}
}

static void chunk_unfold(struct s2_track *t, const struct part *part, struct s2_pool *pool)
{
	unsigned code = chunk_code(part->chunk);
	struct s2_map *map = pool_take(pool);

	memset(map->count, 0, sizeof(map->count));
	map->count[code] = (uint16_t)part->size;
	map_fill(map, 0, S2_CHUNK_PAGES, code);
	part->chunk->word = (uintptr_t)map;
	t->map_count++;
}

/* Gives the map back if all pages have this code now and nobody will miss it (see the top). */
static void chunk_fold(struct s2_track *t, const struct part *part, unsigned code,
		       struct s2_pool *pool)
{
	struct s2_map *map = chunk_map(part->chunk);

	if (map->count[code] != part->size || (s2_code_moving(code) && !part_is_whole(part))) {
		return;
	}
	part->chunk->word = code;
	t->map_count--;
	pool_give(pool, &t->env, map);
}

static void commit_map(struct s2_track *t, const struct part *part, const struct s2_step *step,
		       struct s2_pool *pool)
{
	struct s2_map *map = chunk_map(part->chunk);
	unsigned next;

	for (unsigned page = part->start; page < part->end; page = next) {
		unsigned from = map_get(map, page);
		unsigned to = step->to[from];

		next = map_stretch(map, page, part->end);
		if (to < S2_STEP_ERR && to != from) {
			map_fill(map, page, next, to);
			count_move(t, map, from, to, next - page);
		}
	}
	chunk_fold(t, part, map_get(map, part->start), pool);
}

static void commit_part(struct s2_track *t, const struct part *part, const struct s2_step *step,
			struct s2_pool *pool)
{
	if (chunk_is_uniform(part->chunk)) {
		unsigned from = chunk_code(part->chunk);
		unsigned to = step->to[from];

		if (to >= S2_STEP_ERR || to == from) {
			return;
		}
		if (part_is_whole(part)) {
			part->chunk->word = to;
			count_move(t, NULL, from, to, part->size);
			return;
		}
		chunk_unfold(t, part, pool);
	}
	commit_map(t, part, step, pool);
}

void s2_track_commit(struct s2_track *t, struct s2_pages pages, const struct s2_step *step,
		     struct s2_pool *pool)
{
	while (pages.start < pages.end) {
		struct part part = part_first(t, pages);

		commit_part(t, &part, step, pool);
		pages.start += part_len(&part);
	}
}

static enum s2_err try_part(const struct part *part, const struct s2_step *step,
			    unsigned *map_count)
{
	if (chunk_is_uniform(part->chunk)) {
		unsigned from = chunk_code(part->chunk);
		unsigned to = step->to[from];

		if (to >= S2_STEP_ERR) {
			return (enum s2_err)(to - S2_STEP_ERR);
		}
		if (to != from && !part_is_whole(part)) {
			(*map_count)++;
		}
		return S2_OK;
	}
	for (unsigned page = part->start; page < part->end;
	     page = map_stretch(chunk_map(part->chunk), page, part->end)) {
		unsigned to = step->to[map_get(chunk_map(part->chunk), page)];

		if (to >= S2_STEP_ERR) {
			return (enum s2_err)(to - S2_STEP_ERR);
		}
	}
	return S2_OK;
}

enum s2_err s2_track_try(const struct s2_track *t, struct s2_pages pages,
			 const struct s2_step *step, unsigned *map_count)
{
	*map_count = 0;
	while (pages.start < pages.end) {
		struct part part = part_first(t, pages);
		enum s2_err err = try_part(&part, step, map_count);

		if (err != S2_OK) {
			return err;
		}
		pages.start += part_len(&part);
	}
	return S2_OK;
}

unsigned s2_track_uniform_count(const struct s2_track *t, struct s2_pages pages, unsigned max)
{
	unsigned count = 0;

	while (pages.start < pages.end && count < max) {
		struct part part = part_first(t, pages);

		if (chunk_is_uniform(part.chunk)) {
			count++;
		}
		pages.start += part_len(&part);
	}
	return count;
}

unsigned s2_track_code(const struct s2_track *t, uint64_t page)
{
	struct part part = part_first(t, s2_pages(page, page + 1));

	if (chunk_is_uniform(part.chunk)) {
		return chunk_code(part.chunk);
	}
	return map_get(chunk_map(part.chunk), part.start);
}

/* The first page of the part whose code is not in the set; part->end if there is none. */
static unsigned part_skip(const struct part *part, unsigned codes)
{
	const struct s2_map *map;
	unsigned page = part->start;

	if (chunk_is_uniform(part->chunk)) {
		return (codes >> chunk_code(part->chunk)) & 1u ? part->end : part->start;
	}
	map = chunk_map(part->chunk);
	while (page < part->end && ((codes >> map_get(map, page)) & 1u)) {
		page = map_stretch(map, page, part->end);
	}
	return page;
}

uint64_t s2_track_skip(const struct s2_track *t, struct s2_pages pages, unsigned codes)
{
	while (pages.start < pages.end) {
		struct part part = part_first(t, pages);
		unsigned stop = part_skip(&part, codes);

		pages.start += stop - part.start;
		if (stop < part.end) {
			break;
		}
	}
	return pages.start;
}

static void count_part(const struct part *part, uint64_t count[S2_CODE_COUNT])
{
	const struct s2_map *map;
	unsigned next;

	if (chunk_is_uniform(part->chunk)) {
		count[chunk_code(part->chunk)] += part_len(part);
		return;
	}
	map = chunk_map(part->chunk);
	if (part_is_whole(part)) {
		for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
			count[code] += map->count[code];
		}
		return;
	}
	for (unsigned page = part->start; page < part->end; page = next) {
		next = map_stretch(map, page, part->end);
		count[map_get(map, page)] += next - page;
	}
}

void s2_track_count(const struct s2_track *t, struct s2_pages pages, uint64_t count[S2_CODE_COUNT])
{
	while (pages.start < pages.end) {
		struct part part = part_first(t, pages);

		count_part(&part, count);
		pages.start += part_len(&part);
	}
}

void s2_chunk_fini(struct s2_chunk *chunk, const struct s2_env *env)
{
	if (!chunk_is_uniform(chunk)) {
		env->free(env->cookie, chunk_map(chunk), sizeof(struct s2_map));
	}
}

bool s2_chunk_check(const struct s2_track *t, uint64_t index, uint64_t count[S2_CODE_COUNT],
		    uint64_t *map_count)
{
	struct s2_pages all = s2_range_pages(t->range);
	uint64_t start = (all.start / S2_CHUNK_PAGES + index) * S2_CHUNK_PAGES;
	struct s2_pages pages =
		s2_pages(max_u64(start, all.start), min_u64(start + S2_CHUNK_PAGES, all.end));
	struct part part = part_first(t, pages);
	uint16_t seen[S2_CODE_COUNT] = {0};

	count_part(&part, count);
	if (chunk_is_uniform(part.chunk)) {
		return true;
	}
	(*map_count)++;
	/* Page by page, and not by the stretches that the counters were made with. */
	for (unsigned page = part.start; page < part.end; page++) {
		seen[map_get(chunk_map(part.chunk), page)]++;
	}
	for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
		if (seen[code] != chunk_map(part.chunk)->count[code]) {
			return false;
		}
		if (seen[code] == part.size && !s2_code_moving(code)) {
			return false;
		}
	}
	return true;
}
