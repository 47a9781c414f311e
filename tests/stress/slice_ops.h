/* SPDX-License-Identifier: BSD-2-Clause */
/* What a thread does in its slices. */
#ifndef TESTS_STRESS_SLICE_OPS_H
#define TESTS_STRESS_SLICE_OPS_H

#include "slice.h"

static inline void do_map(struct worker *w, unsigned first, unsigned count)
{
	struct disjoint *d = w->d;
	uint8_t color = (uint8_t)(chance(2) ? 0 : below(COLORS));
	uint8_t prot = prots[chance(2) ? 0 : below(sizeof(prots))];
	struct s2_run run = color_run(color, page_range(&d->a, first, count));
	bool exists = false;

	for (unsigned i = first; i < first + count; i++) {
		exists = exists || (d->page[i].prot != 0 &&
				    (d->page[i].prot != prot || d->page[i].color != color));
	}
	expect(d, "map",
	       chance(2) ? s2_map_run(&d->a.s, &run, prot, S2_MEM_NORMAL, &w->g)
			 : s2_map(&d->a.s, &run, 1, prot, S2_MEM_NORMAL, &w->g, NULL),
	       exists ? S2_ERR_EXISTS : S2_OK);
	for (unsigned i = first; !exists && i < first + count; i++) {
		if (d->page[i].prot == 0) {
			d->page[i] = (struct own_page){prot, color, true};
		}
	}
}

/* Whatever the guest has written is gone with the page, or with its mark. */
static inline void forget(struct disjoint *d, unsigned first, unsigned count)
{
	write_lock(d);
	for (unsigned i = first; i < first + count; i++) {
		d->page[i].dirty = false;
		d->written[i] = false;
	}
	write_unlock(d);
}

static inline void do_unmap(struct worker *w, unsigned first, unsigned count)
{
	struct disjoint *d = w->d;

	expect(d, "unmap", s2_unmap(&d->a.s, page_range(&d->a, first, count), &w->g, NULL), S2_OK);
	for (unsigned i = first; i < first + count; i++) {
		d->page[i].prot = 0;
	}
	s2_gather_sync(&w->g);
	forget(d, first, count);
}

static inline void do_protect(struct worker *w, unsigned first, unsigned count)
{
	struct disjoint *d = w->d;
	uint8_t prot = prots[below(sizeof(prots))];

	expect(d, "protect",
	       s2_protect(&d->a.s, page_range(&d->a, first, count), prot, &w->g, NULL), S2_OK);
	for (unsigned i = first; i < first + count; i++) {
		d->page[i].prot = d->page[i].prot == 0 ? 0 : prot;
	}
}

static inline void do_sizes(struct worker *w, unsigned first, unsigned count)
{
	struct disjoint *d = w->d;
	struct s2_range range = page_range(&d->a, first, count);
	uint64_t sizes = s2_space_leaf_sizes(&d->a.s);
	unsigned n = below((unsigned)__builtin_popcountll(sizes) - 1);
	struct s2_budget budget = {.tables = below(3)};
	uint8_t lg2;

	while (n-- > 0) {
		sizes &= sizes - 1;
	}
	lg2 = (uint8_t)__builtin_ctzll(sizes);
	if (chance(3)) {
		expect(d, "split", s2_split(&d->a.s, range, lg2, &w->g, NULL), S2_OK);
	} else if (chance(3)) {
		expect(d, "trim", s2_trim(&d->a.s, range, &w->g, NULL), S2_OK);
	} else {
		expect(d, "collapse",
		       s2_collapse_all(&d->a.s, range, lg2, &w->g, chance(4) ? &budget : NULL),
		       S2_OK);
		s2_gather_sync(&w->g);
	}
}

/* As the answer to a fault: again and again, until the mark is there. */
static inline void do_touch(struct worker *w, unsigned page)
{
	struct disjoint *d = w->d;
	s2_gpa_t gpa = s2_gpa(page_gpa(&d->a, page));
	struct s2_leaf leaf = {.dirty = false};

	while ((d->page[page].prot & S2_WRITE) != 0 && !leaf.dirty && !has_failed()) {
		expect(d, "touch", s2_touch(&d->a.s, gpa, true, &w->g), S2_OK);
		if (s2_query(&d->a.s, gpa, &leaf) != S2_OK) {
			blame("query");
		}
		d->page[page].dirty = leaf.dirty;
	}
}

static inline void tell(void *cookie, struct s2_range range)
{
	struct worker *w = cookie;
	unsigned first = (unsigned)((range.start.val - w->d->a.gpa) / S2_PAGE_SIZE);

	for (unsigned i = 0; i < range.len / S2_PAGE_SIZE; i++) {
		w->told[first + i] = true;
	}
}

static inline void do_collect(struct worker *w, unsigned first, unsigned count)
{
	struct disjoint *d = w->d;
	struct s2_range range = page_range(&d->a, first, count);

	s2_gather_sync(&w->g);
	write_lock(d);
	for (unsigned i = first; i < first + count; i++) {
		d->page[i].dirty = d->page[i].dirty || d->written[i];
		w->told[i] = false;
	}
	write_unlock(d);
	expect(d, "collect", s2_dirty_collect(&d->a.s, range, true, tell, w, &w->g), S2_OK);
	s2_gather_sync(&w->g);
	write_lock(d);
	for (unsigned i = first; i < first + count; i++) {
		if (d->page[i].dirty && !w->told[i]) {
			blame("%s, collect: page %u is dirty and was not told", arena_name(&d->a),
			      i);
		}
		if (w->told[i]) {
			d->page[i].dirty = false;
			d->written[i] = false;
		}
	}
	write_unlock(d);
}

static inline void do_start(struct worker *w, unsigned first, unsigned count)
{
	struct disjoint *d = w->d;
	struct s2_range range = page_range(&d->a, first, count);
	uint64_t young;

	if (chance(3)) {
		expect(d, "age", s2_age(&d->a.s, range, &w->g, &young), S2_OK);
		return;
	}
	forget(d, first, count);
	expect(d, "dirty start",
	       s2_dirty_start(&d->a.s, range, chance(2) ? S2_DIRTY_SPLIT : S2_DIRTY_KEEP, &w->g,
			      NULL),
	       S2_OK);
	s2_gather_sync(&w->g);
	forget(d, first, count);
}

/* A slice that is a whole leaf table comes and goes, or goes and comes back as one leaf. */
static inline void do_table(struct worker *w, const struct slice *slice)
{
	struct disjoint *d = w->d;
	struct s2_range range = page_range(&d->a, slice->first, slice->count);

	if (chance(2)) {
		do_unmap(w, slice->first, slice->count);
		do_map(w, slice->first, slice->count);
		return;
	}
	forget(d, slice->first, slice->count);
	expect(d, "dirty start", s2_dirty_start(&d->a.s, range, S2_DIRTY_SPLIT, &w->g, NULL),
	       S2_OK);
	s2_gather_sync(&w->g);
	forget(d, slice->first, slice->count);
	expect(d, "collapse",
	       s2_collapse_all(&d->a.s, range, (uint8_t)d->a.s.fmt->lg2(1), &w->g, NULL), S2_OK);
	s2_gather_sync(&w->g);
}

/* One of the thread's own; NULL if it has none. */
static inline const struct slice *pick_slice(const struct disjoint *d, unsigned owner)
{
	unsigned at = below(d->slices);

	for (unsigned i = 0; i < d->slices; i++) {
		const struct slice *slice = &d->slice[(at + i) % d->slices];

		if (slice->owner == owner) {
			return slice;
		}
	}
	return NULL;
}

/* One operation in one of the thread's slices. */
static inline void worker_op(struct worker *w)
{
	struct disjoint *d = w->d;
	const struct slice *slice = pick_slice(d, w->number);
	unsigned first, count;

	if (slice == NULL) {
		return;
	}
	first = chance(2) || d->tables ? 0 : below(slice->count);
	count = chance(2) ? slice->count - first : 1 + below(slice->count - first);
	first += slice->first;
	__atomic_store_n(&d->hot, first, __ATOMIC_RELAXED);
	if (d->tables && chance(2)) {
		do_table(w, slice);
		check_around(d, slice, slice->first, slice->count);
	}
	switch (below(10)) {
	case 0:
	case 1:
	case 2:
		do_map(w, first, count);
		break;
	case 3:
	case 4:
		do_unmap(w, first, count);
		break;
	case 5:
		do_protect(w, first, count);
		break;
	case 6:
		do_sizes(w, first, count);
		break;
	case 7:
		do_touch(w, first);
		break;
	case 8:
		do_collect(w, first, count);
		break;
	default:
		do_start(w, first, count);
		break;
	}
	check_around(d, slice, first, count);
	if (chance(4)) {
		s2_gather_sync(&w->g);
	}
	limbo_drain(limbo, false);
}

#endif
