/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads with disjoint ranges: pages belong to one thread each, in slices that share leaf tables, blocks
 * and groups. Each compares what it has made with an oracle that no other thread looks at. Readers ask for
 * all pages; a guest writes to them.
 */
#ifndef TESTS_STRESS_DISJOINT_H
#define TESTS_STRESS_DISJOINT_H

#include "slice_ops.h"

static inline void *worker_main(void *cookie)
{
	struct worker *w = cookie;

	limbo = &w->d->a.limbo[w->number];
	random_state = w->d->round_seed * (w->number + 2) | 1;
	s2_gather_init(&w->g, &w->d->a.s);
	for (unsigned i = 0; i < w->d->ops && !has_failed(); i++) {
		worker_op(w);
	}
	s2_gather_fini(&w->g);
	return NULL;
}

/* Is the answer one that the page can have had at some time? */
static inline void check_answer(const struct arena *a, uint64_t gpa, uint64_t hpa)
{
	unsigned color = (unsigned)(hpa >> 36) - 1;

	if (color >= COLORS || hpa != color_hpa(color, gpa)) {
		blame("%s: a reader sees %#" PRIx64 " at %#" PRIx64, arena_name(a), hpa, gpa);
	}
}

static inline void read_once(struct disjoint *d)
{
	struct arena *a = &d->a;
	s2_gpa_t gpa = s2_gpa(page_gpa(a, below(a->pages)));
	struct s2_leaf leaf;
	s2_hpa_t hpa;

	if (s2_lookup(&a->s, gpa, &hpa) == S2_OK) {
		check_answer(a, gpa.val, hpa.val);
	}
	if (s2_query(&a->s, gpa, &leaf) == S2_OK && leaf.mapped) {
		check_answer(a, gpa.val, leaf.hpa.val + (gpa.val - leaf.range.start.val));
	}
	if (chance(16) && s2_next_run(&a->s, gpa, page_range(a, 0, a->pages), &leaf) == S2_OK &&
	    leaf.mapped) {
		check_answer(a, gpa.val, leaf.hpa.val);
	}
	if (chance(64)) {
		struct s2_count count;

		if (s2_count(&a->s, page_range(a, 0, a->pages), &count) != S2_OK ||
		    count.bytes > a->pages * S2_PAGE_SIZE) {
			blame("%s: a count is wrong", arena_name(a));
		}
	}
}

static inline void guest_once(struct disjoint *d)
{
	unsigned page = below(d->a.pages);

	if (!chance(4)) {
		page = (__atomic_load_n(&d->hot, __ATOMIC_RELAXED) + below(20)) % d->a.pages;
	}
	write_lock(d);
	if (guest_write(&d->a.s, d->a.backend.variant->guest, page_gpa(&d->a, page))) {
		d->written[page] = true;
	}
	write_unlock(d);
}

struct reader {
	struct disjoint *d;
	unsigned number;
};

static inline void *reader_main(void *cookie)
{
	struct reader *r = cookie;
	struct disjoint *d = r->d;
	bool guest = r->number == 1 && d->a.backend.variant->guest != GUEST_NONE;

	random_state = d->round_seed * (r->number + 77) | 1;
	while (!__atomic_load_n(&d->stop, __ATOMIC_RELAXED)) {
		reader_enter(r->number);
		if (guest) {
			guest_once(d);
		} else {
			read_once(d);
		}
		reader_leave(r->number);
		if (chance(8)) {
			sched_yield();
		}
	}
	return NULL;
}

/* Of random lengths; or whole leaf tables, which are unlinked while neighbours cut at their borders. */
static inline unsigned slice_length(const struct disjoint *d, unsigned at, unsigned max)
{
	unsigned table = (unsigned)(leaf_bytes(&d->a, 1) / S2_PAGE_SIZE);
	unsigned into = (unsigned)(page_gpa(&d->a, at) / S2_PAGE_SIZE) % table;
	unsigned length = max == 0 ? table - into : 1 + below(max);

	return length < d->a.pages - at ? length : d->a.pages - at;
}

static inline void make_slices(struct disjoint *d)
{
	static const unsigned longest[] = {0, 0, 3, 20, 40, 300, 1200};
	unsigned max = longest[below(7)];
	unsigned at = 0;

	d->tables = max == 0;
	for (d->slices = 0; at < d->a.pages && d->slices < SLICES_MAX; d->slices++) {
		struct slice *slice = &d->slice[d->slices];

		slice->first = at;
		slice->count =
			d->slices == SLICES_MAX - 1 ? d->a.pages - at : slice_length(d, at, max);
		slice->owner = max == 0 ? d->slices % WORKERS : below(WORKERS);
		at += slice->count;
	}
}

/* Everything that is there is large when the threads begin, so that they cut it all at once. */
static inline void map_at_first(struct disjoint *d)
{
	struct s2_range range = page_range(&d->a, 0, d->a.pages);
	struct s2_run run;
	struct s2_gather g;

	memset(d->page, 0, sizeof(d->page));
	memset(d->written, 0, sizeof(d->written));
	if (chance(4)) {
		return;
	}
	if (chance(3)) {
		uint64_t big = leaf_bytes(&d->a, 2);
		uint64_t first = range.start.val & ~(big - 1);
		uint64_t last = s2_range_last(range).val | (big - 1);

		range = s2_range(s2_gpa(first), last - first + 1);
	}
	run = color_run(0, range);
	s2_gather_init(&g, &d->a.s);
	ck_assert_int_eq(s2_map(&d->a.s, &run, 1, S2_RWX, S2_MEM_NORMAL, &g, NULL), S2_OK);
	s2_gather_fini(&g);
	for (unsigned i = 0; i < d->a.pages; i++) {
		d->page[i] = (struct own_page){S2_RWX, 0, true};
	}
}

static inline void disjoint_round(struct disjoint *d)
{
	static struct worker worker[WORKERS];
	struct reader reader[READERS];
	pthread_t thread[WORKERS + READERS];

	make_slices(d);
	map_at_first(d);
	d->round_seed = random_u64();
	d->ops = 4 + below(40);
	d->stop = false;
	for (unsigned i = 0; i < READERS; i++) {
		reader[i] = (struct reader){d, i};
		ck_assert_int_eq(
			pthread_create(&thread[WORKERS + i], NULL, reader_main, &reader[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		worker[i].d = d;
		worker[i].number = i;
		ck_assert_int_eq(pthread_create(&thread[i], NULL, worker_main, &worker[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(thread[i], NULL);
	}
	__atomic_store_n(&d->stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(thread[WORKERS + i], NULL);
	}
	check_pages(d, 0, d->a.pages, "at the end");
	arena_check(&d->a);
}

/* Rounds for so many milliseconds; returns how many. */
static inline unsigned run_disjoint(const struct variant *v, uint64_t ms)
{
	static struct disjoint d;
	uint64_t end = now_ms() + ms;
	unsigned rounds = 0;

	arena_init(&d.a, v, false);
	while (!has_failed() && (rounds == 0 || now_ms() < end)) {
		arena_place(&d.a);
		disjoint_round(&d);
		arena_empty(&d.a);
		rounds++;
	}
	if (!has_failed()) {
		arena_fini(&d.a);
	}
	return rounds;
}

#endif
