/* SPDX-License-Identifier: BSD-2-Clause */
/* Random operations on the marks: accessed and dirty. */
#ifndef TESTS_MODEL_MAP_MARKS_H
#define TESTS_MODEL_MAP_MARKS_H

#include "map_ops.h"

/* The leaves around both ends of a range: whole, or, where they stick out, left out. */
static inline struct s2_range leaves_of(const struct world *w, struct s2_range range, bool whole)
{
	uint64_t first = range.start.val;
	uint64_t last = s2_range_last(range).val;
	struct s2_leaf head, tail;

	if (s2_query(&w->s, s2_gpa(first), &head) != S2_OK ||
	    s2_query(&w->s, s2_gpa(last), &tail) != S2_OK) {
		wrong(w, "query");
	}
	if (whole) {
		first = head.mapped ? min_u64(first, head.range.start.val) : first;
		last = tail.mapped && s2_range_last(tail.range).val > last
			       ? s2_range_last(tail.range).val
			       : last;
		return s2_range(s2_gpa(first), last - first + 1);
	}
	if (head.mapped && head.range.start.val < first) {
		if (s2_range_last(head.range).val >= last) {
			return s2_range(s2_gpa(first), 0);
		}
		first = s2_range_last(head.range).val + 1;
	}
	if (tail.mapped && s2_range_last(tail.range).val > last) {
		if (tail.range.start.val <= first) {
			return s2_range(s2_gpa(first), 0);
		}
		last = tail.range.start.val - 1;
	}
	return s2_range(s2_gpa(first), last - first + 1);
}

static inline void op_age(struct world *w)
{
	struct s2_range range = pick_range(w);
	bool keeps = w->s.fmt->keeps_accessed(&w->s);
	struct s2_range aged;
	struct call call;
	uint64_t young = 0, must = 0, may = 0;
	enum s2_err err;

	for (unsigned i = 0; i < w->o.windows; i++) {
		const struct window *win = &w->o.window[i];
		uint64_t at = 0, end = 0;

		for (window_part(win, range, &at, &end); at < end; at++) {
			must += (win->page[at].marks & MUST_YOUNG) != 0 ? S2_PAGE_SIZE : 0;
			may += (win->page[at].marks & MAY_YOUNG) != 0 ? S2_PAGE_SIZE : 0;
		}
	}
	call_begin(w, &call, range);
	aged = leaves_of(w, range, true);
	err = s2_age(&w->s, range, &w->g, &young);
	world_trace(w, "%#" PRIx64 " + %#" PRIx64 ": %s", range.start.val, range.len,
		    s2_strerror(err));
	call_end(w, &call, err);
	if (err != (keeps ? S2_OK : S2_ERR_FORMAT)) {
		wrong(w, "%s", s2_strerror(err));
	}
	if (!keeps) {
		return;
	}
	if (young < must || young > may) {
		wrong(w, "%#" PRIx64 " bytes are young, not %#" PRIx64 " to %#" PRIx64, young, must,
		      may);
	}
	oracle_each(&w->o, aged, page_clear_young, 0);
	compare(w, range, false);
}

static inline void op_touch(struct world *w)
{
	uint64_t gpa = pick_gpa(w);
	bool write = chance(2);
	struct map_page *page = oracle_page(&w->o, gpa);
	bool fails = page == NULL || page->prot == 0 || (write && (page->prot & S2_WRITE) == 0);
	struct call call;
	struct s2_leaf leaf;
	enum s2_err err;

	call_begin(w, &call, s2_range(s2_gpa(gpa & ~(S2_PAGE_SIZE - 1)), S2_PAGE_SIZE));
	err = s2_touch(&w->s, s2_gpa(gpa), write, &w->g);
	world_trace(w, "%#" PRIx64 " %s: %s", gpa, write ? "write" : "read", s2_strerror(err));
	call_end(w, &call, err);
	if (err != (fails ? S2_ERR_ABSENT : S2_OK)) {
		wrong(w, "%#" PRIx64 ": %s", gpa, s2_strerror(err));
	}
	if (fails) {
		return;
	}
	page->marks |= MUST_YOUNG | MAY_YOUNG;
	page->marks |= write ? MUST_DIRTY | MAY_DIRTY : 0;
	if (s2_query(&w->s, s2_gpa(gpa), &leaf) != S2_OK) {
		wrong(w, "query");
	}
	check_leaf(w, oracle_window(&w->o, gpa), &leaf, true);
}

static enum s2_dirty_policy model_policy;

static inline enum s2_err run_dirty_start(struct world *w, struct s2_range range,
					  struct s2_budget *budget)
{
	return s2_dirty_start(&w->s, range, model_policy, &w->g, budget);
}

static inline void done_dirty_start(struct world *w, struct s2_range done)
{
	if (done.len != 0) {
		if (model_policy == S2_DIRTY_SPLIT) {
			check_split(w, done, S2_PAGE_LG2);
		}
		oracle_each(&w->o, leaves_of(w, done, false), page_clear_dirty, 0);
	}
}

static inline void op_dirty_start(struct world *w)
{
	model_policy = chance(3) ? S2_DIRTY_KEEP : S2_DIRTY_SPLIT;
	run_steps(w, pick_range(w), S2_OK, run_dirty_start, done_dirty_start, false);
}

/* Told stretches: in order, maximal, inside the range. */
struct telling {
	struct world *w;
	struct s2_range range;
	uint64_t next; /* the first byte of which nothing was told yet */
	bool begun;
};

static inline void check_told(const struct telling *t, uint64_t first, uint64_t end, bool told)
{
	const struct oracle *o = &t->w->o;

	for (unsigned i = 0; first < end && i < o->windows; i++) {
		uint64_t at = 0, to = 0;

		window_part(&o->window[i], s2_range(s2_gpa(first), end - first), &at, &to);
		for (; at < to; at++) {
			unsigned marks = o->window[i].page[at].marks;

			if (told ? (marks & MAY_DIRTY) == 0 : (marks & MUST_DIRTY) != 0) {
				wrong(t->w, "%#" PRIx64 " is %s dirty",
				      window_gpa(&o->window[i], at),
				      told ? "told to be" : "not told");
			}
		}
	}
	for (; told && first < end; first = (first | (S2_PAGE_SIZE - 1)) + 1) {
		if (oracle_page(o, first) == NULL) {
			wrong(t->w, "%#" PRIx64 " is told to be dirty", first);
		}
		if (end - first <= S2_PAGE_SIZE) {
			break; /* behind it may be no address */
		}
	}
}

static inline void tell_dirty(void *cookie, struct s2_range range)
{
	struct telling *t = cookie;
	uint64_t first = range.start.val;
	uint64_t end = first + range.len;

	if (range.len == 0 || ((first | range.len) & (S2_PAGE_SIZE - 1)) != 0 || first < t->next ||
	    (t->begun && first == t->next) ||
	    s2_range_last(range).val > s2_range_last(t->range).val) {
		wrong(t->w, "told: %#" PRIx64 " + %#" PRIx64, first, range.len);
	}
	check_told(t, t->next, first, false);
	/* Up to the last page, whose end has no number where addresses have 64 bits. */
	check_told(t, first, end - S2_PAGE_SIZE, true);
	check_told(t, end - S2_PAGE_SIZE, end - 1, true);
	t->next = end;
	t->begun = true;
}

static inline void op_dirty_collect(struct world *w)
{
	struct s2_range range = pick_range(w);
	struct telling t = {.w = w, .range = range, .next = range.start.val};
	bool clear = chance(2);
	struct call call;
	enum s2_err err;

	call_begin(w, &call, range);
	world_trace(w, "%#" PRIx64 " + %#" PRIx64 "%s", range.start.val, range.len,
		    clear ? " clear" : "");
	err = s2_dirty_collect(&w->s, range, clear, tell_dirty, &t, &w->g);
	call_end(w, &call, err);
	if (err != S2_OK) {
		wrong(w, "%s", s2_strerror(err));
	}
	if (t.next != 0) {
		check_told(&t, t.next, s2_range_last(range).val, false);
	}
	if (clear) {
		oracle_each(&w->o, leaves_of(w, range, false), page_clear_dirty, 0);
	}
	compare(w, range, false);
}

static inline void op_dirty_clear(struct world *w)
{
	struct s2_range range = pick_range(w);
	struct call call;

	call_begin(w, &call, range);
	world_trace(w, "%#" PRIx64 " + %#" PRIx64, range.start.val, range.len);
	if (s2_dirty_clear(&w->s, range, &w->g) != S2_OK) {
		wrong(w, "fails");
	}
	call_end(w, &call, S2_OK);
	oracle_each(&w->o, leaves_of(w, range, false), page_clear_dirty, 0);
	compare(w, range, false);
}

static inline enum s2_err run_dirty_stop(struct world *w, struct s2_range range,
					 struct s2_budget *budget)
{
	pool_fail(&w->m.pool, 1); /* needs no memory */
	return s2_dirty_stop(&w->s, range, model_lg2, &w->g, budget);
}

static inline void page_stop(struct oracle *o, struct map_page *page, unsigned arg)
{
	(void)o;
	(void)arg;
	page->marks |= (page->prot & S2_WRITE) != 0 ? MUST_DIRTY | MAY_DIRTY : 0;
}

static inline void done_dirty_stop(struct world *w, struct s2_range done)
{
	if (done.len != 0) {
		oracle_each(&w->o, leaves_of(w, done, false), page_stop, 0);
	}
}

static inline void op_dirty_stop(struct world *w)
{
	model_lg2 = (uint8_t)(chance(2) ? 0 : pick_lg2(w));
	run_steps(w, pick_range(w),
		  model_lg2 == 0 || has_size(w, model_lg2) ? S2_OK : S2_ERR_FORMAT, run_dirty_stop,
		  done_dirty_stop, true);
}

#endif
