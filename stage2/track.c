/* SPDX-License-Identifier: BSD-2-Clause */
/* The tracker's public calls. State machine: track_code.c. Storage: track_chunk.c. */
#include "internal.h"
#include <stage2/run.h>

enum s2_err s2_track_init(struct s2_track *t, const struct s2_env *env, struct s2_range range)
{
	enum s2_err err = s2_range_check(range);
	struct s2_pages pages;
	uint64_t chunk_count;

	if (err != S2_OK) {
		return err;
	}
	pages = s2_range_pages(range);
	chunk_count = (pages.end - 1) / S2_CHUNK_PAGES - pages.start / S2_CHUNK_PAGES + 1;
	if (chunk_count > SIZE_MAX / sizeof(*t->chunk)) {
		return S2_ERR_NOMEM;
	}
	memset(t, 0, sizeof(*t));
	t->chunk = env->alloc(env->cookie, (size_t)chunk_count * sizeof(*t->chunk));
	if (t->chunk == NULL) {
		return S2_ERR_NOMEM;
	}
	/* Zero is a uniform chunk of S2_NONE. */
	memset(t->chunk, 0, (size_t)chunk_count * sizeof(*t->chunk));
	t->env = *env;
	t->range = range;
	t->chunk_count = chunk_count;
	t->count[S2_CODE_NONE] = pages.end - pages.start;
	return S2_OK;
}

void s2_track_fini(struct s2_track *t)
{
	for (uint64_t i = 0; i < t->chunk_count; i++) {
		s2_chunk_fini(&t->chunk[i], &t->env);
	}
	if (t->chunk != NULL) {
		t->env.free(t->env.cookie, t->chunk, (size_t)t->chunk_count * sizeof(*t->chunk));
	}
	memset(t, 0, sizeof(*t));
}

enum s2_err s2_track_covers(const struct s2_track *t, struct s2_range range)
{
	enum s2_err err = s2_range_check(range);

	if (err != S2_OK) {
		return err;
	}
	if (range.start.val < t->range.start.val ||
	    s2_range_last(range).val > s2_range_last(t->range).val) {
		return S2_ERR_RANGE;
	}
	return S2_OK;
}

/* All that can go wrong does so before the commit. */
static enum s2_err change(struct s2_track *t, struct s2_range range, const struct s2_step *step)
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

static enum s2_err check_move(const struct s2_track *t, struct s2_range range, enum s2_move move,
			      bool widened)
{
	enum s2_err err = s2_track_covers(t, range);

	if (err != S2_OK) {
		return err;
	}
	if ((unsigned)move >= S2_MOVE_COUNT || (widened && move != S2_SHARE && move != S2_EXPORT)) {
		return S2_ERR_INVAL;
	}
	return S2_OK;
}

enum s2_err s2_track_begin(struct s2_track *t, struct s2_range range, enum s2_move move,
			   bool widened)
{
	enum s2_err err = check_move(t, range, move, widened);
	struct s2_step step;

	if (err != S2_OK) {
		return err;
	}
	s2_step_begin(&step, move, widened);
	return change(t, range, &step);
}

enum s2_err s2_track_done(struct s2_track *t, struct s2_range range)
{
	struct s2_step step;

	s2_step_done(&step);
	return change(t, range, &step);
}

enum s2_err s2_track_undo(struct s2_track *t, struct s2_range range)
{
	struct s2_step step;

	s2_step_undo(&step);
	return change(t, range, &step);
}

enum s2_err s2_track_move(struct s2_track *t, struct s2_range range, enum s2_move move,
			  bool widened)
{
	enum s2_err err = check_move(t, range, move, widened);
	struct s2_step step;
	struct s2_step done;

	if (err != S2_OK) {
		return err;
	}
	s2_step_begin(&step, move, widened);
	s2_step_done(&done);
	s2_step_join(&step, &done);
	return change(t, range, &step);
}

enum s2_err s2_track_claim(struct s2_track *t, struct s2_range range)
{
	struct s2_step step;

	s2_step_claim(&step);
	return change(t, range, &step);
}

enum s2_err s2_track_release(struct s2_track *t, struct s2_range range)
{
	struct s2_step step;

	s2_step_release(&step);
	return change(t, range, &step);
}

enum s2_err s2_track_poison(struct s2_track *t, struct s2_range range)
{
	struct s2_step step;

	s2_step_poison(&step);
	return change(t, range, &step);
}

static bool holds(struct s2_range range, s2_gpa_t gpa)
{
	return gpa.val >= range.start.val && gpa.val <= s2_range_last(range).val;
}

enum s2_err s2_track_get(const struct s2_track *t, s2_gpa_t gpa, struct s2_page *out)
{
	if (!holds(t->range, gpa)) {
		return S2_ERR_RANGE;
	}
	*out = s2_code_page(s2_track_code(t, gpa.val >> S2_PAGE_LG2));
	return S2_OK;
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
	out->page = s2_code_page(code);
	return S2_OK;
}

static bool is_whole(const struct s2_track *t, struct s2_range range)
{
	return range.start.val == t->range.start.val && range.len == t->range.len;
}

enum s2_err s2_track_sum(const struct s2_track *t, struct s2_range range, struct s2_track_sum *out)
{
	enum s2_err err = s2_track_covers(t, range);
	uint64_t count[S2_CODE_COUNT] = {0};

	if (err != S2_OK) {
		return err;
	}
	if (is_whole(t, range)) {
		memcpy(count, t->count, sizeof(count));
	} else {
		s2_track_count(t, s2_range_pages(range), count);
	}
	memset(out, 0, sizeof(*out));
	for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
		struct s2_page page = s2_code_page(code);

		out->state[page.state] += count[code];
		out->moving += page.moving ? count[code] : 0;
	}
	out->widened_share = count[S2_CODE_SHARED_WIDENED];
	out->widened_export = count[S2_CODE_EXPORTED_WIDENED];
	return S2_OK;
}

bool s2_track_check(const struct s2_track *t)
{
	uint64_t count[S2_CODE_COUNT] = {0};
	uint64_t map_count = 0;

	for (uint64_t i = 0; i < t->chunk_count; i++) {
		if (!s2_chunk_check(t, i, count, &map_count)) {
			return false;
		}
	}
	return map_count == t->map_count && memcmp(count, t->count, sizeof(count)) == 0;
}
