/* SPDX-License-Identifier: BSD-2-Clause */
/* Random operations that change translations or the sizes of leaves. */
#ifndef TESTS_MODEL_MAP_OPS_H
#define TESTS_MODEL_MAP_OPS_H

#include "map_guest.h"

/* One call, and what must not change if it fails. */
struct call {
	struct s2_range range;
	struct s2_gather before;
	uint64_t hash; /* of all items; 0: not taken */
	size_t live;
	bool armed; /* an allocation may fail */
};

static inline bool hash_item(void *cookie, const struct s2_item *item)
{
	uint64_t *hash = cookie;

	*hash = (*hash ^ item->value ^ item->place.table.val) * UINT64_C(0x9e3779b97f4a7c15);
	*hash ^= *hash >> 29;
	return true;
}

static inline uint64_t hash_items(const struct world *w)
{
	uint64_t hash = 1;

	s2_visit(&w->s, hash_item, &hash);
	return hash | 1;
}

/* The guest uses what is about to change. */
static inline void call_begin(struct world *w, struct call *call, struct s2_range range)
{
	call->range = range;
	call->armed = chance(16);
	call->hash = chance(call->armed ? 8 : 256) ? hash_items(w) : 0;
	if (chance(2)) {
		machine_touch_range(&w->m, range);
	}
	if (call->armed) {
		pool_fail(&w->m.pool, 1 + flat_below(3));
	}
	call->live = w->m.pool.live;
	memcpy(&call->before, &w->g, sizeof(w->g));
}

/* A call that fails has changed nothing. */
static inline void call_end(struct world *w, struct call *call, enum s2_err err)
{
	pool_fail(&w->m.pool, 0);
	check_machine(w);
	if (err == S2_ERR_NOMEM && !call->armed) {
		wrong(w, "no memory");
	}
	if (err == S2_OK) {
		return;
	}
	if (memcmp(&call->before, &w->g, sizeof(w->g)) != 0 || call->live != w->m.pool.live) {
		wrong(w, "the gather has changed, and the error is: %s", s2_strerror(err));
	}
	if (call->hash != 0 && call->hash != hash_items(w)) {
		wrong(w, "items have changed, and the error is: %s", s2_strerror(err));
	}
}

/* A budget, or none. */
static inline struct s2_budget *pick_budget(struct s2_budget *budget)
{
	static const uint64_t tables[] = {0, 0, 1, 2, 5, 100};

	if (!chance(4)) {
		return NULL;
	}
	budget->tables = tables[flat_below(sizeof(tables) / sizeof(tables[0]))];
	budget->rest = s2_range(s2_gpa(0), 0);
	return budget;
}

/* What a step has left. It must have got somewhere. */
static inline struct s2_range step_rest(const struct world *w, struct s2_range todo,
					const struct s2_budget *budget)
{
	struct s2_range rest = budget == NULL ? s2_range(todo.start, 0) : budget->rest;

	if (rest.len != 0 && (rest.start.val <= todo.start.val || rest.len >= todo.len ||
			      rest.start.val % S2_PAGE_SIZE != 0 ||
			      s2_range_last(rest).val != s2_range_last(todo).val)) {
		wrong(w, "of %#" PRIx64 " + %#" PRIx64 " is left %#" PRIx64 " + %#" PRIx64,
		      todo.start.val, todo.len, rest.start.val, rest.len);
	}
	return rest;
}

static inline struct s2_range step_done(struct s2_range todo, struct s2_range rest)
{
	return s2_range(todo.start, todo.len - rest.len);
}

/* Between two steps anything may happen; false: the rest is left undone. */
static inline bool between_steps(struct world *w)
{
	check_items(w);
	if (chance(4)) {
		model_sync(w);
	}
	guest_runs(w);
	return !chance(16);
}

typedef enum s2_err range_fn(struct world *w, struct s2_range range, struct s2_budget *budget);
typedef void done_fn(struct world *w, struct s2_range done);

/*
 * A call that takes a range and perhaps a budget, until it is done. want: what it must say, if
 * memory does not run out. may_mark: it may set marks of its own accord.
 */
static inline void run_steps(struct world *w, struct s2_range todo, enum s2_err want, range_fn *run,
			     done_fn *done, bool may_mark)
{
	bool more = true;

	while (more) {
		struct s2_budget room, *budget = pick_budget(&room);
		struct s2_range rest = s2_range(todo.start, 0);
		struct call call;
		enum s2_err err;

		call_begin(w, &call, todo);
		err = run(w, todo, budget);
		world_trace(w, "%#" PRIx64 " + %#" PRIx64 " tables %d: %s", todo.start.val,
			    todo.len, budget == NULL ? -1 : (int)budget->tables, s2_strerror(err));
		call_end(w, &call, err);
		if (err != want && !(err == S2_ERR_NOMEM && want == S2_OK)) {
			wrong(w, "%#" PRIx64 " + %#" PRIx64 ": %s", todo.start.val, todo.len,
			      s2_strerror(err));
		}
		if (err == S2_OK) {
			rest = step_rest(w, todo, budget);
			done(w, step_done(todo, rest));
		}
		compare(w, todo, err == S2_OK && may_mark);
		if (err != S2_OK && err != S2_ERR_NOMEM) {
			return;
		}
		todo = err == S2_OK ? rest : todo;
		more = todo.len != 0 && between_steps(w);
	}
}

static inline enum s2_err run_unmap(struct world *w, struct s2_range range,
				    struct s2_budget *budget)
{
	return s2_unmap(&w->s, range, &w->g, budget);
}

static inline void done_unmap(struct world *w, struct s2_range done)
{
	oracle_each(&w->o, done, page_unmap, 0);
}

static inline void op_unmap(struct world *w)
{
	run_steps(w, pick_range(w), S2_OK, run_unmap, done_unmap, w->hardware_marks);
}

static unsigned model_prot; /* of the protect that is under way */

static inline enum s2_err run_protect(struct world *w, struct s2_range range,
				      struct s2_budget *budget)
{
	return s2_protect(&w->s, range, model_prot, &w->g, budget);
}

static inline void done_protect(struct world *w, struct s2_range done)
{
	oracle_each(&w->o, done, page_protect, model_prot);
}

static inline void op_protect(struct world *w)
{
	enum s2_err want = S2_OK;

	model_prot = pick_prot(w);
	if (chance(16)) {
		model_prot = flat_below(S2_PROT_ALL + 2);
		want = model_prot == 0 || model_prot > S2_PROT_ALL		? S2_ERR_INVAL
		       : machine_can_say(w->variant, model_prot, S2_MEM_NORMAL) ? S2_OK
										: S2_ERR_FORMAT;
	}
	run_steps(w, pick_range(w), want, run_protect, done_protect, w->hardware_marks);
}

static uint8_t model_lg2; /* of the split or collapse that is under way */

static inline enum s2_err run_split(struct world *w, struct s2_range range,
				    struct s2_budget *budget)
{
	return s2_split(&w->s, range, model_lg2, &w->g, budget);
}

/* No leaf that meets the range is larger than 2^lg2. */
static inline void check_split(struct world *w, struct s2_range done, unsigned lg2)
{
	for (unsigned i = 0; done.len != 0 && i < w->o.windows; i++) {
		const struct window *win = &w->o.window[i];
		uint64_t at, end;
		struct s2_leaf leaf;

		if (!window_part(win, done, &at, &end)) {
			continue;
		}
		for (; at < end;
		     at = s2_range_last(leaf.range).val / S2_PAGE_SIZE + 1 - win->first) {
			if (s2_query(&w->s, s2_gpa(window_gpa(win, at)), &leaf) != S2_OK ||
			    (leaf.mapped && leaf.range.len > UINT64_C(1) << lg2)) {
				wrong(w, "a leaf at %#" PRIx64 " is larger than 2^%u",
				      window_gpa(win, at), lg2);
			}
		}
	}
}

static inline void done_split(struct world *w, struct s2_range done)
{
	check_split(w, done, model_lg2);
}

static inline bool has_size(const struct world *w, unsigned lg2)
{
	return lg2 < 64 && (s2_space_leaf_sizes(&w->s) >> lg2 & 1) != 0;
}

static inline unsigned pick_lg2(const struct world *w)
{
	return chance(32) ? flat_below(70) : pick_leaf_lg2(w);
}

static inline void op_split(struct world *w)
{
	model_lg2 = (uint8_t)pick_lg2(w);
	run_steps(w, pick_range(w), has_size(w, model_lg2) ? S2_OK : S2_ERR_FORMAT, run_split,
		  done_split, w->hardware_marks);
}

static inline enum s2_err run_collapse_all(struct world *w, struct s2_range range,
					   struct s2_budget *budget)
{
	pool_fail(&w->m.pool, 1); /* needs no memory */
	return s2_collapse_all(&w->s, range, model_lg2, &w->g, budget);
}

static inline void done_nothing(struct world *w, struct s2_range done)
{
	(void)w;
	(void)done;
}

/* No larger leaf could be made around some page, of what the range covers. */
static inline void check_collapsed(struct world *w, struct s2_range range)
{
	uint64_t gpa = range.start.val + below_u64(range.len / S2_PAGE_SIZE) * S2_PAGE_SIZE;
	const struct map_page *page = oracle_page(&w->o, gpa);
	struct s2_leaf leaf;

	if (page == NULL || page->prot == 0 || s2_query(&w->s, s2_gpa(gpa), &leaf) != S2_OK) {
		return;
	}
	for (unsigned lg2 = S2_PAGE_LG2 + 1; lg2 <= model_lg2; lg2++) {
		struct s2_range all = s2_range(s2_gpa(gpa >> lg2 << lg2), UINT64_C(1) << lg2);

		if (!has_size(w, lg2) || all.start.val < range.start.val ||
		    s2_range_last(all).val > s2_range_last(range).val) {
			continue;
		}
		if (oracle_is_run(&w->o, all) && leaf.range.len < all.len) {
			wrong(w, "at %#" PRIx64 " is a leaf of %#" PRIx64 ", not 2^%u", gpa,
			      leaf.range.len, lg2);
		}
	}
}

static inline void op_collapse_all(struct world *w)
{
	struct s2_range range = pick_range(w);
	bool whole = chance(2);
	enum s2_err want;

	model_lg2 = (uint8_t)pick_lg2(w);
	want = has_size(w, model_lg2) ? S2_OK : S2_ERR_FORMAT;
	run_steps(w, range, want, run_collapse_all, done_nothing, w->hardware_marks);
	if (whole && want == S2_OK) {
		if (s2_collapse_all(&w->s, range, model_lg2, &w->g, NULL) != S2_OK) {
			wrong(w, "once more");
		}
		compare(w, range, w->hardware_marks);
		for (unsigned i = 0; i < 4; i++) {
			check_collapsed(w, range);
		}
	}
}

static inline enum s2_err collapse_want(const struct world *w, struct s2_range range)
{
	if ((range.len & (range.len - 1)) != 0 || (range.len & s2_space_leaf_sizes(&w->s)) == 0) {
		return S2_ERR_FORMAT;
	}
	if ((range.start.val & (range.len - 1)) != 0) {
		return S2_ERR_ALIGN;
	}
	return oracle_is_run(&w->o, range) ? S2_OK : S2_ERR_MIXED;
}

/* Makes a run first, most of the time: chance alone seldom brings one. */
static inline void op_collapse(struct world *w)
{
	struct s2_range range = pick_range(w);
	struct s2_leaf leaf, whole;
	struct call call;
	enum s2_err err, want;

	if (!chance(8)) {
		uint64_t len = UINT64_C(1) << pick_leaf_lg2(w);

		range = s2_range(s2_gpa(range.start.val & ~(len - 1)), len);
	}
	want = collapse_want(w, range);
	if (s2_query(&w->s, range.start, &leaf) != S2_OK) {
		wrong(w, "query");
	}
	call_begin(w, &call, range);
	err = s2_collapse(&w->s, range, &w->g);
	world_trace(w, "%#" PRIx64 " + %#" PRIx64 ": %s", range.start.val, range.len,
		    s2_strerror(err));
	call_end(w, &call, err);
	/* What is part of a larger leaf cannot become one, or need not. */
	if (err != want && !(want == S2_OK && err == S2_ERR_MIXED && leaf.range.len > range.len)) {
		wrong(w, "%#" PRIx64 " + %#" PRIx64 ": %s", range.start.val, range.len,
		      s2_strerror(err));
	}
	compare(w, range, w->hardware_marks);
	if (err == S2_OK &&
	    (s2_query(&w->s, range.start, &whole) != S2_OK || whole.range.len < range.len ||
	     (leaf.range.len <= range.len && whole.range.len != range.len))) {
		wrong(w, "%#" PRIx64 " + %#" PRIx64 " is not one leaf", range.start.val, range.len);
	}
}

static inline enum s2_err run_trim(struct world *w, struct s2_range range, struct s2_budget *budget)
{
	pool_fail(&w->m.pool, 1);
	return s2_trim(&w->s, range, &w->g, budget);
}

static inline void op_trim(struct world *w)
{
	struct s2_count count;
	uint64_t empty = 0;

	if (!chance(8)) {
		run_steps(w, pick_range(w), S2_OK, run_trim, done_nothing, false);
		return;
	}
	if (s2_trim(&w->s, s2_space_range(&w->s), &w->g, NULL) != S2_OK ||
	    s2_count(&w->s, s2_space_range(&w->s), &count) != S2_OK) {
		wrong(w, "all of the space");
	}
	for (unsigned level = 0; level < S2_LEVEL_MAX; level++) {
		empty += count.empty[level];
	}
	/* All of what an item of the root translates must be in the range. */
	if (empty != 0 && w->s.last != UINT64_MAX && w->s.last >> w->s.top_lg2 != 0) {
		wrong(w, "%" PRIu64 " tables are empty after a trim of all", empty);
	}
}

#define RUNS_MAX 4u

/* Runs in order, with holes between them or without. */
static inline size_t pick_runs(const struct world *w, struct s2_run runs[RUNS_MAX])
{
	const struct window *win = pick_window(w);
	size_t count = 0, max = chance(3) ? 1 + flat_below(RUNS_MAX) : 1;
	uint64_t start, pages, end;

	pick_pages(w, win, &start, &pages);
	end = start + pages;
	while (count < max && start < win->count) {
		pages = count == 0 ? end - start : min_u64(1 + flat_below(40), win->count - start);
		runs[count] = pick_run(w, window_gpa(win, start), pages);
		start += runs[count].len / S2_PAGE_SIZE + (chance(2) ? 0 : flat_below(20));
		count++;
	}
	return count;
}

static inline struct s2_range runs_hull(const struct s2_run *runs, size_t count)
{
	uint64_t last = s2_range_last(s2_run_range(&runs[count - 1])).val;

	return s2_range(runs[0].gpa, last - runs[0].gpa.val + 1);
}

static inline bool runs_exist(const struct world *w, const struct s2_run *runs, size_t count,
			      struct s2_range in, unsigned prot, unsigned mem)
{
	for (size_t i = 0; i < count; i++) {
		if (in.len != 0 && run_exists(&w->o, &runs[i], in, prot, mem)) {
			return true;
		}
	}
	return false;
}

/* By one of the calls that can do it. */
static inline enum s2_err map_call(struct world *w, const struct s2_run *runs, size_t count,
				   unsigned prot, enum s2_mem mem, struct s2_budget *budget)
{
	if (count > 1 || budget != NULL || chance(8)) {
		return s2_map(&w->s, runs, count, prot, mem, &w->g, budget);
	}
	return numbers_map(&w->s, chance(2) ? numbers_own(&w->s) : flat_below(NUMBERS_COUNT + 1),
			   runs->len == S2_PAGE_SIZE && chance(2), runs, prot, mem, &w->g);
}

/* One step of a map. Returns what is left to do. */
static inline struct s2_range map_step(struct world *w, const struct s2_run *runs, size_t count,
				       struct s2_range todo, unsigned prot, unsigned mem,
				       struct s2_budget *budget)
{
	bool exists = runs_exist(w, runs, count, todo, prot, mem);
	struct s2_range rest = todo, done;
	struct call call;
	enum s2_err err;

	call_begin(w, &call, todo);
	err = map_call(w, runs, count, prot, (enum s2_mem)mem, budget);
	world_trace(w, "%#" PRIx64 " + %#" PRIx64 " -> %#" PRIx64 " (%zu) prot %u mem %u: %s",
		    runs[0].gpa.val, runs[0].len, runs[0].hpa.val, count, prot, mem,
		    s2_strerror(err));
	call_end(w, &call, err);
	if (err == S2_OK) {
		rest = step_rest(w, todo, budget);
		done = step_done(todo, rest);
		if (runs_exist(w, runs, count, done, prot, mem)) {
			wrong(w, "mapped over what exists");
		}
		for (size_t i = 0; i < count; i++) {
			run_map(&w->o, &runs[i], done, prot, mem);
		}
	} else if (err == S2_ERR_EXISTS ? !exists : err != S2_ERR_NOMEM) {
		wrong(w, "%s", s2_strerror(err));
	}
	compare(w, todo, false);
	return err == S2_ERR_EXISTS ? s2_range(todo.start, 0) : rest;
}

/* Memory is reserved: it cannot run out. */
static inline void map_reserved(struct world *w, const struct s2_run *runs, size_t count,
				unsigned prot, unsigned mem)
{
	struct s2_table_count bound = s2_tables_bound(&w->s, runs, count);
	struct s2_range hull = runs_hull(runs, count);
	bool exists = runs_exist(w, runs, count, hull, prot, mem);
	enum s2_err err;

	if (s2_gather_reserve(&w->g, bound) != S2_OK) {
		wrong(w, "reserve");
	}
	pool_fail(&w->m.pool, 1);
	err = s2_map(&w->s, runs, count, prot, (enum s2_mem)mem, &w->g, NULL);
	pool_fail(&w->m.pool, 0);
	world_trace(w, "%#" PRIx64 " + %#" PRIx64 " reserved: %s", hull.start.val, hull.len,
		    s2_strerror(err));
	if (err != (exists ? S2_ERR_EXISTS : S2_OK)) {
		wrong(w, "with memory reserved: %s", s2_strerror(err));
	}
	for (size_t i = 0; err == S2_OK && i < count; i++) {
		run_map(&w->o, &runs[i], hull, prot, mem);
	}
	compare(w, hull, false);
}

static inline void op_map(struct world *w)
{
	struct s2_run runs[RUNS_MAX];
	size_t count = pick_runs(w, runs);
	struct s2_range todo = runs_hull(runs, count);
	unsigned prot = pick_prot(w), mem = pick_mem(w);
	struct s2_budget room, *budget = pick_budget(&room);

	if (!machine_can_say(w->variant, prot, (enum s2_mem)mem)) {
		mem = S2_MEM_NORMAL;
	}
	if (budget == NULL && chance(8)) {
		map_reserved(w, runs, count, prot, mem);
		return;
	}
	do {
		todo = map_step(w, runs, count, todo, prot, mem, budget);
		if (budget != NULL && todo.start.val != runs[0].gpa.val) {
			budget->rest = todo;
		}
	} while (todo.len != 0 && between_steps(w));
}

#endif
