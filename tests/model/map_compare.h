/* SPDX-License-Identifier: BSD-2-Clause */
/* The space, the machine's view of it, and the oracle must say the same. */
#ifndef TESTS_MODEL_MAP_COMPARE_H
#define TESTS_MODEL_MAP_COMPARE_H

#include "map_world.h"

static inline void check_machine(struct world *w)
{
	if (!machine_ok(&w->m)) {
		wrong(w, "machine: %s", machine_error_detail(&w->m));
	}
}

/* Does the leaf have a size and addresses that the space's leaves can have? */
static inline void check_shape(const struct world *w, const struct s2_leaf *leaf)
{
	uint64_t len = leaf->range.len;
	bool group = (w->variant->group_sizes & len) != 0;

	if ((len & (len - 1)) != 0 || (len & w->variant->leaf_sizes) == 0 ||
	    (len & s2_space_leaf_sizes(&w->s)) == 0 || leaf->group != group ||
	    ((leaf->range.start.val | leaf->hpa.val) & (len - 1)) != 0) {
		wrong(w, "a leaf at %#" PRIx64 " of %#" PRIx64 " bytes to %#" PRIx64,
		      leaf->range.start.val, len, leaf->hpa.val);
	}
}

/* The machine's walk to a page of the leaf. */
static inline void check_walk(struct world *w, const struct s2_leaf *leaf, uint64_t gpa)
{
	struct machine_walk walk;
	unsigned missing;
	s2_hpa_t hpa = {0};

	if (s2_lookup(&w->s, s2_gpa(gpa), &hpa) != S2_OK ||
	    hpa.val != leaf->hpa.val + (gpa - leaf->range.start.val)) {
		wrong(w, "lookup of %#" PRIx64 " is %#" PRIx64, gpa, hpa.val);
	}
	if (!numbers_agree(&w->s, s2_gpa(gpa))) {
		wrong(w, "lookup of %#" PRIx64 " with other numbers", gpa);
	}
	machine_walk(&w->m, gpa, &walk);
	if (walk.fault == MACHINE_ABSENT && !leaf->accessed) {
		return; /* that is how some formats say so */
	}
	if (walk.fault != MACHINE_OK) {
		wrong(w, "the walk to %#" PRIx64 ": %s, %s", gpa, machine_fault_name(walk.fault),
		      walk.why == NULL ? "" : walk.why);
	}
	missing = leaf->dirty ? 0 : S2_WRITE; /* likewise */
	if (walk.hpa != hpa.val || walk.leaf.gpa != leaf->range.start.val ||
	    UINT64_C(1) << walk.leaf.lg2 != leaf->range.len || walk.leaf.group != leaf->group ||
	    walk.leaf.mem != leaf->mem || (walk.leaf.prot | missing) != (leaf->prot | missing) ||
	    (walk.leaf.prot & ~leaf->prot) != 0) {
		wrong(w, "the walk to %#" PRIx64 " finds hpa %#" PRIx64 " 2^%u prot %u mem %u", gpa,
		      walk.hpa, walk.leaf.lg2, walk.leaf.prot, walk.leaf.mem);
	}
}

/* All pages of a leaf. Their bounds become those of the leaf. */
static inline void check_leaf(struct world *w, const struct window *win, const struct s2_leaf *leaf,
			      bool may_mark)
{
	uint64_t first = leaf->range.start.val / S2_PAGE_SIZE - win->first;
	uint64_t count = leaf->range.len / S2_PAGE_SIZE;
	unsigned all = 0;
	uint8_t may = (uint8_t)((leaf->dirty ? MAY_DIRTY : 0) | (leaf->accessed ? MAY_YOUNG : 0));

	check_shape(w, leaf);
	if (first >= win->count || count > win->count - first) {
		wrong(w, "the leaf at %#" PRIx64 " leaves its window", leaf->range.start.val);
	}
	for (uint64_t i = 0; i < count; i++) {
		const struct map_page *page = &win->page[first + i];

		all |= page->marks;
		if (page->prot != leaf->prot || page->mem != leaf->mem ||
		    page->hpa != leaf->hpa.val + i * S2_PAGE_SIZE) {
			wrong(w,
			      "at %#" PRIx64 ": hpa %#" PRIx64 " prot %u mem %u, not %#" PRIx64
			      " %u %u",
			      window_gpa(win, first + i), leaf->hpa.val + i * S2_PAGE_SIZE,
			      leaf->prot, leaf->mem, page->hpa, page->prot, page->mem);
		}
	}
	if (((all & MUST_DIRTY) != 0 && !leaf->dirty) ||
	    ((all & MUST_YOUNG) != 0 && !leaf->accessed)) {
		wrong(w, "at %#" PRIx64 " a mark is lost: %u, accessed %d dirty %d",
		      leaf->range.start.val, all, leaf->accessed, leaf->dirty);
	}
	if (!may_mark &&
	    ((leaf->dirty && (all & MAY_DIRTY) == 0) ||
	     (leaf->accessed && (all & MAY_YOUNG) == 0 && w->s.fmt->keeps_accessed(&w->s)))) {
		wrong(w, "at %#" PRIx64 " a mark came from nowhere: %u, accessed %d dirty %d",
		      leaf->range.start.val, all, leaf->accessed, leaf->dirty);
	}
	for (uint64_t i = 0; i < count; i++) {
		uint8_t *marks = &win->page[first + i].marks;

		*marks = (uint8_t)((*marks & (MUST_DIRTY | MUST_YOUNG)) | may);
	}
}

/* Pages [at, end) of a window. may_mark: the operation may have set marks of its own accord. */
static inline void compare_pages(struct world *w, const struct window *win, uint64_t at,
				 uint64_t end, bool may_mark)
{
	while (at < end) {
		uint64_t gpa = window_gpa(win, at);
		struct s2_leaf leaf;
		uint64_t next;

		if (s2_query(&w->s, s2_gpa(gpa), &leaf) != S2_OK ||
		    gpa - leaf.range.start.val >= leaf.range.len) {
			wrong(w, "query of %#" PRIx64, gpa);
		}
		next = s2_range_last(leaf.range).val / S2_PAGE_SIZE - win->first + 1;
		if (leaf.mapped) {
			check_leaf(w, win, &leaf, may_mark);
			if (chance(8)) {
				check_walk(w, &leaf,
					   leaf.range.start.val + below_u64(leaf.range.len));
			}
			at = next;
			continue;
		}
		for (next = min_u64(next, end); at < next; at++) {
			if (win->page[at].prot != 0) {
				wrong(w, "%#" PRIx64 " is not mapped", window_gpa(win, at));
			}
		}
	}
}

/* The range, and a little more at its ends. */
static inline void compare(struct world *w, struct s2_range range, bool may_mark)
{
	for (unsigned i = 0; range.len != 0 && i < w->o.windows; i++) {
		const struct window *win = &w->o.window[i];
		uint64_t start, end;

		if (window_part(win, range, &start, &end)) {
			compare_pages(w, win, start > 3 ? start - 3 : 0,
				      min_u64(end + 3, win->count), may_mark);
		}
	}
}

/* The pages that are alike and contiguous from a page on. */
static inline void check_next_run(const struct world *w)
{
	struct s2_range limit = pick_range(w);
	uint64_t from = limit.start.val + below_u64(limit.len / S2_PAGE_SIZE) * S2_PAGE_SIZE;
	const struct map_page none = {0};
	const struct map_page *first = oracle_page(&w->o, from);
	uint64_t pages = 1;
	struct s2_leaf run;

	if (limit.len / S2_PAGE_SIZE > 100000) {
		return;
	}
	first = first == NULL ? &none : first;
	while (from + pages * S2_PAGE_SIZE - 1 < s2_range_last(limit).val) {
		const struct map_page *page = oracle_page(&w->o, from + pages * S2_PAGE_SIZE);

		if (!page_goes_on(first, page == NULL ? &none : page, pages)) {
			break;
		}
		pages++;
	}
	if (s2_next_run(&w->s, s2_gpa(from), limit, &run) != S2_OK || run.range.start.val != from ||
	    run.range.len != pages * S2_PAGE_SIZE || run.mapped != (first->prot != 0) ||
	    (run.mapped && (run.hpa.val != first->hpa || run.prot != first->prot))) {
		wrong(w, "the run at %#" PRIx64 " is of %#" PRIx64 " bytes, not %#" PRIx64, from,
		      run.range.len, pages * S2_PAGE_SIZE);
	}
}

struct scanning {
	struct world *w;
	uint64_t pages;
};

static inline bool scan_leaf(void *cookie, const struct machine_leaf *leaf)
{
	struct scanning *scan = cookie;
	struct world *w = scan->w;
	uint64_t count = (UINT64_C(1) << leaf->lg2) / S2_PAGE_SIZE;

	for (uint64_t i = 0; i < count; i++) {
		const struct map_page *page = oracle_page(&w->o, leaf->gpa + i * S2_PAGE_SIZE);

		if (page == NULL || page->prot == 0 || (leaf->prot & ~page->prot) != 0 ||
		    page->hpa != leaf->hpa + i * S2_PAGE_SIZE) {
			wrong(w, "the machine sees a leaf at %#" PRIx64 " to %#" PRIx64, leaf->gpa,
			      leaf->hpa);
		}
	}
	scan->pages += count;
	return true;
}

/* Mapped pages of all windows; *young: of those that may be accessed. */
static inline uint64_t count_pages(const struct world *w, uint64_t *young)
{
	uint64_t pages = 0;

	*young = 0;
	for (unsigned i = 0; i < w->o.windows; i++) {
		for (uint64_t at = 0; at < w->o.window[i].count; at++) {
			const struct map_page *page = &w->o.window[i].page[at];

			pages += page->prot != 0;
			*young += page->prot != 0 && (page->marks & MUST_YOUNG) != 0;
		}
	}
	return pages;
}

static inline void check_tables(const struct world *w, const struct s2_count *count,
				const uint64_t tables[S2_LEVEL_MAX])
{
	struct s2_events events;
	uint64_t sum = 0;

	s2_space_events(&w->s, &events);
	for (unsigned level = 0; level < S2_LEVEL_MAX; level++) {
		sum += count->table[level];
		if (count->table[level] != tables[level]) {
			wrong(w, "%" PRIu64 " tables of level %u, not %" PRIu64,
			      count->table[level], level, tables[level]);
		}
	}
	if (events.linked + w->g.events.linked - events.unlinked - w->g.events.unlinked != sum) {
		wrong(w, "%" PRIu64 " tables linked and %" PRIu64 " unlinked leave %" PRIu64,
		      events.linked, events.unlinked, sum);
	}
	sum += 1; /* the root */
	for (unsigned i = 0; i < S2_TABLE_CLASS_COUNT; i++) {
		sum += w->g.spare[i].count + w->g.unlinked[i].count;
	}
	if (sum != w->m.pool.live) {
		wrong(w, "%zu tables are allocated, %" PRIu64 " are known of", w->m.pool.live, sum);
	}
}

/* Everything. */
static inline void compare_all(struct world *w)
{
	struct scanning scan = {.w = w};
	uint64_t tables[S2_LEVEL_MAX];
	struct s2_count count;
	uint64_t young, pages = count_pages(w, &young);

	for (unsigned i = 0; i < w->o.windows; i++) {
		compare_pages(w, &w->o.window[i], 0, w->o.window[i].count, false);
	}
	if (!machine_scan(&w->m, scan_leaf, &scan, tables)) {
		check_machine(w);
	}
	/* Some machines do not see a page that is not marked accessed. */
	if (scan.pages > pages || scan.pages < young) {
		wrong(w, "the machine sees %" PRIu64 " pages of %" PRIu64, scan.pages, pages);
	}
	if (s2_count(&w->s, s2_space_range(&w->s), &count) != S2_OK ||
	    (w->s.last != UINT64_MAX && count.bytes != pages * S2_PAGE_SIZE)) {
		wrong(w, "%#" PRIx64 " bytes are mapped, not %" PRIu64 " pages", count.bytes,
		      pages);
	}
	check_tables(w, &count, tables);
}

/*
 * s2_check() looks at every item: as often as 300 items an operation allow, or after each operation.
 */
static inline void check_items(struct world *w)
{
	struct s2_item at;

	w->debt += 300;
	if (w->debt < world_items(w) && !w->each) {
		return;
	}
	w->debt = 0;
	if (!s2_check(&w->s, &at)) {
		wrong(w, "s2_check: level %u gpa %#" PRIx64 " item %#" PRIx64, at.place.level,
		      at.place.gpa.val, at.value);
	}
}

#endif
