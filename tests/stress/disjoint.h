/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads with disjoint ranges: pages belong to one thread each, in slices that share leaf tables, blocks
 * and groups. Each compares what it has made with an oracle that no other thread looks at. Readers ask for
 * all pages; a guest writes to them.
 */
#ifndef TESTS_STRESS_DISJOINT_H
#define TESTS_STRESS_DISJOINT_H

#include "guest.h"

#define SLICES_MAX 400u
#define COLORS 4u

/* Host memory of a color; the last is shifted by a page, so that no large leaf fits. */
static inline uint64_t color_hpa(unsigned color, uint64_t gpa)
{
	return ((uint64_t)(color + 1) << 36) + gpa + (color == COLORS - 1 ? S2_PAGE_SIZE : 0);
}

static inline struct s2_run color_run(unsigned color, struct s2_range range)
{
	struct s2_run run = {
		range.start,
		s2_hpa(color_hpa(color, range.start.val)),
		range.len,
		S2_FOLIO_ORDER_MAX,
	};

	return run;
}

static const uint8_t prots[] = {S2_RWX, S2_RX, S2_RWX, S2_RW | S2_EXEC | S2_EXEC_USER};

struct slice {
	unsigned first;
	unsigned count;
	unsigned owner;
};

/* What the owner knows of its page. */
struct own_page {
	uint8_t prot; /* 0: not mapped */
	uint8_t color;
	bool dirty; /* must be told */
};

struct disjoint {
	struct arena a;
	struct own_page page[PAGES_MAX];
	struct slice slice[SLICES_MAX];
	unsigned slices;
	bool tables; /* slices are whole leaf tables */
	/*
	 * The guest has written, and the mark was set before this. The lock makes both one step, for
	 * owners who look at the flag, not for the library.
	 */
	bool written[PAGES_MAX];
	bool write_lock;
	unsigned hot; /* where some thread is at work */
	bool stop;
	uint64_t round_seed;
	unsigned ops;
};

struct worker {
	struct disjoint *d;
	unsigned number;
	struct s2_gather g;
	unsigned told_first, told_count; /* of the collect that is under way */
	bool told[PAGES_MAX];
};

static inline void write_lock(struct disjoint *d)
{
	while (__atomic_exchange_n(&d->write_lock, true, __ATOMIC_ACQUIRE)) {
		sched_yield();
	}
}

static inline void write_unlock(struct disjoint *d)
{
	__atomic_store_n(&d->write_lock, false, __ATOMIC_RELEASE);
}

static inline const char *arena_name(const struct arena *a)
{
	return a->backend.variant->name;
}

static inline bool was_written(struct disjoint *d, unsigned page)
{
	bool written;

	write_lock(d);
	written = d->written[page];
	write_unlock(d);
	return written;
}

/* One page of the thread's own. */
static inline void check_own(struct disjoint *d, unsigned page, const char *doing)
{
	const struct own_page *own = &d->page[page];
	uint64_t gpa = page_gpa(&d->a, page);
	bool dirty = own->dirty;
	struct s2_leaf leaf;
	uint64_t hpa;

	if (d->a.backend.variant->guest != GUEST_NONE) {
		dirty = dirty || was_written(d, page);
	}
	if (s2_query(&d->a.s, s2_gpa(gpa), &leaf) != S2_OK) {
		blame("query");
		return;
	}
	hpa = leaf.hpa.val + (gpa - leaf.range.start.val);
	if (leaf.mapped != (own->prot != 0) ||
	    (leaf.mapped && (hpa != color_hpa(own->color, gpa) || leaf.prot != own->prot))) {
		blame("%s, %s: page %u at %#" PRIx64 " is mapped %d to %#" PRIx64
		      " prot %u, not %u %u",
		      arena_name(&d->a), doing, page, gpa, leaf.mapped, hpa, leaf.prot, own->color,
		      own->prot);
	} else if (dirty && !leaf.dirty) {
		blame("%s, %s: page %u at %#" PRIx64 " is not dirty any more", arena_name(&d->a),
		      doing, page, gpa);
	}
}

static inline void check_pages(struct disjoint *d, unsigned first, unsigned count,
			       const char *doing)
{
	for (unsigned i = first; i < first + count && !has_failed(); i++) {
		check_own(d, i, doing);
	}
}

/* What was changed, or the ends of it and some pages between, and what is next to it. */
static inline void check_around(struct disjoint *d, const struct slice *slice, unsigned first,
				unsigned count)
{
	unsigned from = first - slice->first < 4 ? slice->first : first - 4;
	unsigned end = first + count + 4;

	end = end < slice->first + slice->count ? end : slice->first + slice->count;
	for (unsigned page = from; page < end && !has_failed(); page++) {
		if (page - from > 24 && end - page > 24) {
			page += below(16);
		}
		if (page < end) {
			check_own(d, page, "afterwards");
		}
	}
}

static inline void expect(const struct disjoint *d, const char *doing, enum s2_err err,
			  enum s2_err want)
{
	if (err != want) {
		blame("%s, %s: %s", arena_name(&d->a), doing, s2_strerror(err));
	}
}

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
