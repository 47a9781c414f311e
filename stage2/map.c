/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls that change or read page tables: they check what they are given, take the locks
 * where the space has some, and hand over to the engine of the format.
 */
#include <stage2/fmt.h>
#include <stage2/map.h>

#include "internal.h"

static enum s2_err check_attr(const struct s2_space *s, unsigned prot, unsigned mem, uint64_t *attr)
{
	if (prot == 0 || (prot & ~S2_PROT_ALL) != 0 || mem >= S2_MEM_COUNT) {
		return S2_ERR_INVAL;
	}
	*attr = s->attr[mem][prot];
	return *attr != 0 ? S2_OK : S2_ERR_FORMAT;
}

static enum s2_err check_run(const struct s2_space *s, const struct s2_run *run)
{
	enum s2_err err = s2_run_check(run);

	if (err == S2_OK && (run->gpa.val + (run->len - 1) > s->last ||
			     run->hpa.val + (run->len - 1) > s->hpa_last)) {
		err = S2_ERR_RANGE;
	}
	return err;
}

static enum s2_err check_runs(const struct s2_space *s, const struct s2_run *runs, size_t run_count)
{
	if (run_count == 0) {
		return S2_ERR_INVAL;
	}
	for (size_t i = 0; i < run_count; i++) {
		enum s2_err err = check_run(s, &runs[i]);

		if (err != S2_OK) {
			return err;
		}
		if (i > 0 && runs[i].gpa.val <= s2_range_last(s2_run_range(&runs[i - 1])).val) {
			return S2_ERR_OVERLAP;
		}
	}
	return S2_OK;
}

/*
 * What s2_map_run() does, for a run that was checked and has no group: a loop over the levels, because
 * it is shorter. False: nothing has changed, and it is for the engine.
 */
static bool map_at_once(const struct s2_space *s, const struct s2_run *run, uint64_t attr,
			struct s2_gather *g)
{
	const struct s2_walk w = s2_walk_of(s, false);
	size_t count = (size_t)(run->len >> S2_PAGE_LG2);
	uint64_t last = run->gpa.val + (run->len - 1);
	struct s2_walk_at at = {.item = &s->root[run->gpa.val >> w.top_lg2]};
	unsigned lg2 = w.top_lg2;

	if (last >= s->map_end || (run->gpa.val ^ last) >> S2_PAGE_LG2 >> w.page_bits != 0 ||
	    (run->hpa.val & s->page_hpa_not) != 0 || count >= s->group_items ||
	    g->flush_count != 0) {
		return false;
	}
	if (s2_walk_cached(s, &w, run->gpa.val, &at)) {
		lg2 = S2_PAGE_LG2;
	}
	while (lg2 > S2_PAGE_LG2) {
		unsigned bits =
			lg2 == S2_PAGE_LG2 + (unsigned)w.page_bits ? w.page_bits : w.upper_bits;

		lg2 -= bits;
		if (!s2_walk_step(s, &w, run->gpa.val, lg2, bits, &at)) {
			return false;
		}
	}
	if (!s2_walk_is_none(&w, at.item, count)) {
		return false;
	}
	s2_walk_store(&w, at.item, count, attr | w.page_leaf | run->hpa.val >> w.hpa_shift,
		      S2_PAGE_SIZE >> w.hpa_shift);
	g->events.written += count;
	return true;
}

enum s2_err s2_map(struct s2_space *s, const struct s2_run *runs, size_t run_count, unsigned prot,
		   enum s2_mem mem, struct s2_gather *g, struct s2_budget *budget)
{
	enum s2_err err = check_runs(s, runs, run_count);
	struct s2_range range;
	uint64_t attr;

	if (err == S2_OK) {
		err = check_attr(s, prot, mem, &attr);
	}
	if (err != S2_OK) {
		return err;
	}
	if (run_count == 1 && budget == NULL && map_at_once(s, runs, attr, g)) {
		return S2_OK;
	}
	range = s2_range(runs[0].gpa,
			 runs[run_count - 1].gpa.val - runs[0].gpa.val + runs[run_count - 1].len);
	s2_lock(s, range);
	err = s->fmt->map(s, runs, run_count, prot, attr, g, budget);
	s2_unlock(s, range);
	return err;
}

struct s2_table_count s2_tables_bound(const struct s2_space *s, const struct s2_run *runs,
				      size_t run_count)
{
	struct s2_table_count count;

	s->fmt->bound(s, runs, run_count, &count);
	return count;
}

struct s2_table_count s2_cut_bound(const struct s2_space *s)
{
	struct s2_table_count count = {{0}};

	/* A chain from the largest leaf down, for either end of a range. */
	for (unsigned level = 1; level <= s->top && s->leaf_kinds[level] != 0; level++) {
		count.count[level == 1 ? S2_TABLE_LEAF : S2_TABLE_UPPER] += 2;
	}
	return count;
}

enum s2_err s2_unmap(struct s2_space *s, struct s2_range range, struct s2_gather *g,
		     struct s2_budget *budget)
{
	enum s2_err err = s2_space_covers(s, range);

	if (err == S2_OK) {
		s2_lock(s, range);
		err = s->fmt->unmap(s, range, g, budget);
		s2_unlock(s, range);
	}
	return err;
}

enum s2_err s2_protect(struct s2_space *s, struct s2_range range, unsigned prot,
		       struct s2_gather *g, struct s2_budget *budget)
{
	enum s2_err err = s2_space_covers(s, range);
	uint64_t attr;

	if (err == S2_OK) {
		err = check_attr(s, prot, S2_MEM_NORMAL, &attr);
	}
	if (err == S2_OK) {
		s2_lock(s, range);
		err = s->fmt->protect(s, range, attr, g, budget);
		s2_unlock(s, range);
	}
	return err;
}

enum s2_err s2_split(struct s2_space *s, struct s2_range range, uint8_t lg2, struct s2_gather *g,
		     struct s2_budget *budget)
{
	enum s2_err err = s2_space_covers(s, range);

	if (err == S2_OK) {
		s2_lock(s, range);
		err = s->fmt->split(s, range, lg2, g, budget);
		s2_unlock(s, range);
	}
	return err;
}

static bool has_leaf_size(const struct s2_space *s, uint8_t lg2)
{
	return lg2 < 64 && ((s2_space_leaf_sizes(s) >> lg2) & 1) != 0;
}

/* Can the range be one leaf? */
static enum s2_err check_one_leaf(const struct s2_space *s, struct s2_range range)
{
	struct s2_leaf run;
	enum s2_err err;

	if ((range.len & (range.len - 1)) != 0 ||
	    !has_leaf_size(s, (uint8_t)__builtin_ctzll(range.len))) {
		return S2_ERR_FORMAT;
	}
	if ((range.start.val & (range.len - 1)) != 0) {
		return S2_ERR_ALIGN;
	}
	err = s2_next_run(s, range.start, range, &run);
	if (err == S2_OK &&
	    (!run.mapped || run.range.len != range.len || (run.hpa.val & (range.len - 1)) != 0)) {
		err = S2_ERR_MIXED;
	}
	return err;
}

S2_COLD enum s2_err s2_collapse(struct s2_space *s, struct s2_range range, struct s2_gather *g)
{
	enum s2_err err = s2_space_covers(s, range);

	if (err != S2_OK) {
		return err;
	}
	s2_lock(s, range);
	err = check_one_leaf(s, range);
	if (err == S2_OK) {
		s->fmt->collapse_all(s, range, (uint8_t)__builtin_ctzll(range.len), g, NULL);
	}
	s2_unlock(s, range);
	return err;
}

S2_COLD enum s2_err s2_collapse_all(struct s2_space *s, struct s2_range range, uint8_t lg2,
				    struct s2_gather *g, struct s2_budget *budget)
{
	enum s2_err err = s2_space_covers(s, range);

	if (err == S2_OK && !has_leaf_size(s, lg2)) {
		err = S2_ERR_FORMAT;
	}
	if (err == S2_OK) {
		s2_lock(s, range);
		s->fmt->collapse_all(s, range, lg2, g, budget);
		s2_unlock(s, range);
	}
	return err;
}

S2_COLD enum s2_err s2_trim(struct s2_space *s, struct s2_range range, struct s2_gather *g,
			    struct s2_budget *budget)
{
	enum s2_err err = s2_space_covers(s, range);

	if (err == S2_OK) {
		s2_lock(s, range);
		s->fmt->collapse_all(s, range, 0, g, budget);
		s2_unlock(s, range);
	}
	return err;
}

enum s2_err s2_lookup_slowly(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t *hpa)
{
	if (gpa.val > s->last) {
		return S2_ERR_RANGE;
	}
	return s->fmt->lookup(s, gpa, hpa);
}

enum s2_err s2_query(const struct s2_space *s, s2_gpa_t gpa, struct s2_leaf *out)
{
	if (gpa.val > s->last) {
		return S2_ERR_RANGE;
	}
	s->fmt->query(s, gpa, out);
	return S2_OK;
}

/* Cuts what a query told to [first, last]. */
static void leaf_clip(struct s2_leaf *leaf, uint64_t first, uint64_t last)
{
	uint64_t end = s2_range_last(leaf->range).val;

	if (leaf->range.start.val < first) {
		leaf->hpa.val += leaf->mapped ? first - leaf->range.start.val : 0;
		leaf->range.start.val = first;
	}
	leaf->range.len = (end < last ? end : last) - leaf->range.start.val + 1;
}

static bool leaf_follows(const struct s2_leaf *run, const struct s2_leaf *next)
{
	if (run->mapped != next->mapped) {
		return false;
	}
	return !run->mapped || (run->hpa.val + run->range.len == next->hpa.val &&
				run->prot == next->prot && run->mem == next->mem);
}

enum s2_err s2_next_run(const struct s2_space *s, s2_gpa_t gpa, struct s2_range limit,
			struct s2_leaf *out)
{
	enum s2_err err = s2_space_covers(s, limit);
	uint64_t last = s2_range_last(limit).val;

	if (err != S2_OK) {
		return err;
	}
	if (gpa.val < limit.start.val || gpa.val > last) {
		return S2_ERR_RANGE;
	}
	s->fmt->query(s, gpa, out);
	leaf_clip(out, gpa.val, last);
	while (s2_range_last(out->range).val < last) {
		s2_gpa_t at = s2_gpa(s2_range_last(out->range).val + 1);
		struct s2_leaf next;

		s->fmt->query(s, at, &next);
		leaf_clip(&next, at.val, last);
		if (!leaf_follows(out, &next)) {
			break;
		}
		out->range.len += next.range.len;
		out->accessed = out->accessed || next.accessed;
		out->dirty = out->dirty || next.dirty;
	}
	return S2_OK;
}

enum s2_err s2_age(struct s2_space *s, struct s2_range range, struct s2_gather *g, uint64_t *young)
{
	enum s2_err err = s2_space_covers(s, range);

	if (err == S2_OK && !s->fmt->keeps_accessed(s)) {
		err = S2_ERR_FORMAT;
	}
	if (err == S2_OK) {
		s2_lock(s, range);
		*young = s->fmt->age(s, range, g);
		s2_unlock(s, range);
	}
	return err;
}

enum s2_err s2_touch(struct s2_space *s, s2_gpa_t gpa, bool write, struct s2_gather *g)
{
	struct s2_range range = s2_range(s2_gpa(gpa.val & ~(S2_PAGE_SIZE - 1)), S2_PAGE_SIZE);
	enum s2_err err;

	if (gpa.val > s->last) {
		return S2_ERR_RANGE;
	}
	s2_lock(s, range);
	err = s->fmt->touch(s, gpa, write, g);
	s2_unlock(s, range);
	return err;
}

S2_COLD enum s2_err s2_dirty_start(struct s2_space *s, struct s2_range range,
				   enum s2_dirty_policy policy, struct s2_gather *g,
				   struct s2_budget *budget)
{
	enum s2_err err = s2_space_covers(s, range);
	struct s2_range part = range;

	if (err == S2_OK && policy != S2_DIRTY_SPLIT && policy != S2_DIRTY_KEEP) {
		err = S2_ERR_INVAL;
	}
	if (err != S2_OK) {
		return err;
	}
	s2_lock(s, range);
	if (policy == S2_DIRTY_SPLIT) {
		err = s->fmt->split(s, range, S2_PAGE_LG2, g, budget);
		if (budget != NULL) {
			part.len -= budget->rest.len;
		}
		if (err == S2_OK && part.len != 0) {
			s->fmt->dirty_mark(s, part, false, g, NULL);
		}
	} else {
		s->fmt->dirty_mark(s, range, false, g, budget);
	}
	s2_unlock(s, range);
	return err;
}

enum s2_err s2_dirty_collect(struct s2_space *s, struct s2_range range, bool clear,
			     void (*tell)(void *cookie, struct s2_range range), void *cookie,
			     struct s2_gather *g)
{
	enum s2_err err = s2_space_covers(s, range);

	if (err == S2_OK) {
		s2_lock(s, range);
		s->fmt->dirty_collect(s, range, clear, tell, cookie, g);
		s2_unlock(s, range);
	}
	return err;
}

enum s2_err s2_dirty_clear(struct s2_space *s, struct s2_range range, struct s2_gather *g)
{
	enum s2_err err = s2_space_covers(s, range);

	if (err == S2_OK) {
		s2_lock(s, range);
		s->fmt->dirty_mark(s, range, false, g, NULL);
		s2_unlock(s, range);
	}
	return err;
}

S2_COLD enum s2_err s2_dirty_stop(struct s2_space *s, struct s2_range range, uint8_t rejoin_lg2,
				  struct s2_gather *g, struct s2_budget *budget)
{
	enum s2_err err = s2_space_covers(s, range);
	struct s2_range part = range;

	if (err == S2_OK && rejoin_lg2 != 0 && !has_leaf_size(s, rejoin_lg2)) {
		err = S2_ERR_FORMAT;
	}
	if (err != S2_OK) {
		return err;
	}
	s2_lock(s, range);
	s->fmt->dirty_mark(s, range, true, g, budget);
	if (budget != NULL) {
		part.len -= budget->rest.len;
	}
	if (rejoin_lg2 != 0 && part.len != 0) {
		s->fmt->collapse_all(s, part, rejoin_lg2, g, NULL);
	}
	s2_unlock(s, range);
	return S2_OK;
}

bool s2_visit(const struct s2_space *s, bool (*visit)(void *cookie, const struct s2_item *item),
	      void *cookie)
{
	return s->fmt->visit(s, visit, cookie);
}
