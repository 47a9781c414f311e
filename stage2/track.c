/* SPDX-License-Identifier: BSD-2-Clause */
/* The tracker's public calls. State machine: track_code.c. Storage: track_chunk.c. */
#include "internal.h"
#include <stage2/run.h>

/* Chunks and regions are one allocation; the regions are behind the chunks. */
static uint64_t memory_size(uint64_t chunk_count, uint64_t region_count)
{
	return chunk_count * sizeof(struct s2_chunk) +
	       region_count * sizeof(struct s2_track_region);
}

/* All pages are S2_NONE. */
static void init_memory(struct s2_track *t)
{
	struct s2_pages all = s2_range_pages(t->range);
	struct s2_pages region;

	memset(t->chunk, 0, (size_t)memory_size(t->chunk_count, t->region_count));
	for (uint64_t page = all.start; page < all.end; page = region.end) {
		region = s2_track_block(t, page, S2_REGION_PAGES);
		s2_track_region(t, page)->count[S2_CODE_NONE] =
			(uint32_t)(region.end - region.start);
	}
}

enum s2_err s2_track_init(struct s2_track *t, const struct s2_env *env, struct s2_range range)
{
	enum s2_err err = s2_range_check(range);
	struct s2_pages pages;
	uint64_t chunk_first;
	uint64_t region_first;
	uint64_t size;

	if (err != S2_OK) {
		return err;
	}
	memset(t, 0, sizeof(*t));
	pages = s2_range_pages(range);
	chunk_first = pages.start / S2_CHUNK_PAGES;
	region_first = pages.start / S2_REGION_PAGES;
	t->chunk_count = (pages.end - 1) / S2_CHUNK_PAGES - chunk_first + 1;
	t->region_count = (pages.end - 1) / S2_REGION_PAGES - region_first + 1;
	size = memory_size(t->chunk_count, t->region_count);
	t->chunk = size > SIZE_MAX ? NULL : env->alloc(env->cookie, (size_t)size);
	if (t->chunk == NULL) {
		return S2_ERR_NOMEM;
	}
	t->chunk_zero = (uintptr_t)t->chunk - (uintptr_t)chunk_first * sizeof(*t->chunk);
	t->region_zero = (uintptr_t)(t->chunk + t->chunk_count) -
			 (uintptr_t)region_first * sizeof(struct s2_track_region);
	t->env = *env;
	t->range = range;
	t->inner_start = range.start.val + S2_PAGE_SIZE;
	t->inner_len = range.len > 2 * S2_PAGE_SIZE ? range.len - 2 * S2_PAGE_SIZE : 0;
	init_memory(t);
	return S2_OK;
}

void s2_track_fini(struct s2_track *t)
{
	for (uint64_t i = 0; i < t->chunk_count && t->map_count > 0; i++) {
		if (!s2_chunk_is_uniform(&t->chunk[i])) {
			t->env.free(t->env.cookie, s2_chunk_map(&t->chunk[i]),
				    sizeof(struct s2_track_map));
			t->map_count--;
		}
	}
	if (t->chunk != NULL) {
		t->env.free(t->env.cookie, t->chunk,
			    (size_t)memory_size(t->chunk_count, t->region_count));
	}
	memset(t, 0, sizeof(*t));
}

static bool is_aligned(uint64_t val, uint64_t size)
{
	return (val & (size - 1)) == 0;
}

enum s2_err s2_track_covers(const struct s2_track *t, struct s2_range range)
{
	uint64_t offset = range.start.val - t->range.start.val;
	enum s2_err err;

	/* What lies inside cannot wrap. */
	if (is_aligned(range.start.val | range.len, S2_PAGE_SIZE) && range.len != 0 &&
	    offset < t->range.len && range.len <= t->range.len - offset) {
		return S2_OK;
	}
	err = s2_range_check(range);
	return err != S2_OK ? err : S2_ERR_RANGE;
}

/* All that can go wrong does so before the commit. */
enum s2_err s2_track_step_range(struct s2_track *t, struct s2_range range,
				const struct s2_step *step)
{
	enum s2_err err = s2_track_covers(t, range);
	struct s2_pool pool;
	unsigned map_count;

	if (err != S2_OK) {
		return err;
	}
	err = s2_track_try(t, s2_range_pages(range), step, &map_count);
	if (err != S2_OK) {
		return err;
	}
	err = s2_pool_fill(&pool, &t->env, map_count);
	if (err != S2_OK) {
		return err;
	}
	s2_track_commit(t, s2_range_pages(range), step, &pool);
	s2_pool_drain(&pool, &t->env);
	return S2_OK;
}

static bool holds(struct s2_range range, s2_gpa_t gpa)
{
	return gpa.val - range.start.val < range.len;
}

enum s2_err s2_track_next(const struct s2_track *t, s2_gpa_t gpa, struct s2_range limit,
			  struct s2_span *out)
{
	enum s2_err err = s2_track_covers(t, limit);
	struct s2_pages pages;
	unsigned code;

	if (err != S2_OK) {
		return err;
	}
	if (!holds(limit, gpa)) {
		return S2_ERR_RANGE;
	}
	pages = s2_pages(gpa.val >> S2_PAGE_LG2, s2_range_pages(limit).end);
	code = s2_track_code(t, pages.start);
	pages.end = s2_track_skip(t, pages, s2_code_alike(code));
	out->range = s2_pages_range(pages);
	out->page = s2_code_pages[code];
	return S2_OK;
}

/* Have all pages of a region codes of the set? */
static bool region_is_in(const struct s2_track *t, struct s2_pages pages, unsigned codes)
{
	const struct s2_track_region *region = s2_track_region(t, pages.start);
	uint64_t count = 0;

	/* One code, or all from the first to the last that is in transition. */
	for (; codes != 0; codes &= codes - 1) {
		count += region->count[__builtin_ctz(codes)];
	}
	return count == pages.end - pages.start;
}

enum s2_err s2_track_uniform_slowly(const struct s2_track *t, s2_gpa_t gpa, uint8_t lg2,
				    bool *uniform, struct s2_page *page)
{
	static const struct s2_page none = {S2_NONE, false, false};
	struct s2_pages pages;
	unsigned codes;
	unsigned code;

	if (lg2 != S2_CHUNK_LG2 && lg2 != S2_REGION_LG2) {
		return S2_ERR_INVAL;
	}
	if (!is_aligned(gpa.val, UINT64_C(1) << lg2)) {
		return S2_ERR_ALIGN;
	}
	pages = s2_track_block(t, gpa.val >> S2_PAGE_LG2, UINT64_C(1) << (lg2 - S2_PAGE_LG2));
	if (pages.start >= pages.end) {
		return S2_ERR_RANGE;
	}
	code = s2_track_code(t, pages.start);
	codes = s2_code_alike(code);
	*uniform = lg2 == S2_CHUNK_LG2 ? s2_track_skip(t, pages, codes) == pages.end
				       : region_is_in(t, pages, codes);
	*page = *uniform ? s2_code_pages[code] : none;
	return S2_OK;
}

enum s2_err s2_track_sum(const struct s2_track *t, struct s2_range range, struct s2_track_sum *out)
{
	enum s2_err err = s2_track_covers(t, range);
	uint64_t count[S2_CODE_COUNT] = {0};

	if (err != S2_OK) {
		return err;
	}
	s2_track_count(t, s2_range_pages(range), count);
	memset(out, 0, sizeof(*out));
	for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
		struct s2_page page = s2_code_pages[code];

		out->state[page.state] += count[code];
		out->moving += page.moving ? count[code] : 0;
	}
	out->widened_share = count[S2_CODE_SHARED_WIDENED];
	out->widened_export = count[S2_CODE_EXPORTED_WIDENED];
	return S2_OK;
}

bool s2_track_check(const struct s2_track *t)
{
	struct s2_pages all = s2_range_pages(t->range);
	struct s2_pages region;
	uint64_t map_count = 0;

	for (uint64_t page = all.start; page < all.end; page = region.end) {
		region = s2_track_block(t, page, S2_REGION_PAGES);
		if (!s2_region_check(t, region, &map_count)) {
			return false;
		}
	}
	return map_count == t->map_count;
}
