/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads with overlapping ranges, in a space that has locks. Each map has host memory of its own, so that
 * every page tells which call has mapped it. When all threads are done, what is there must be what the calls
 * leave behind in some order, each as a whole:
 *
 *  - a page that a map covers, and that is not as the map has made it while other pages still are, was
 *    unmapped by a call that spares those and did not end before the map began;
 *  - a page has the rights of its map or of a protect that covers it and did not end before the map began.
 */
#ifndef TESTS_STRESS_OVERLAP_H
#define TESTS_STRESS_OVERLAP_H

#include "env.h"

#define CALLS 200u /* of a thread in a round, at most */

enum call_kind {
	CALL_NONE = 0, /* failed, or changes nothing that is looked at */
	CALL_MAP,
	CALL_UNMAP,
	CALL_PROTECT,
};

struct call {
	enum call_kind kind;
	unsigned first, count;
	uint8_t prot;
	uint64_t begin, end;
	bool left; /* of a map: some page is still as it made it */
};

struct overlap {
	struct arena a;
	struct call call[WORKERS][CALLS];
	unsigned calls;
	uint64_t clock;
	uint64_t round_seed;
	struct call *maker[PAGES_MAX]; /* what is left at the end */
};

struct overlap_worker {
	struct overlap *o;
	unsigned number;
};

static const uint8_t overlap_prots[] = {S2_RWX, S2_RX, S2_RW | S2_EXEC | S2_EXEC_USER};

/* Relaxed: the clock must not put in order what the library does not. */
static inline uint64_t overlap_now(struct overlap *o)
{
	return __atomic_fetch_add(&o->clock, 1, __ATOMIC_RELAXED);
}

static inline uint64_t call_hpa(unsigned worker, unsigned number, uint64_t gpa)
{
	return ((uint64_t)(worker * CALLS + number + 1) << 36) + gpa;
}

static inline void overlap_sizes(struct overlap *o, struct s2_range range, struct s2_gather *g)
{
	enum s2_err err = S2_OK;
	uint64_t young;

	switch (below(6)) {
	case 0:
		err = s2_split(&o->a.s, range, S2_PAGE_LG2, g, NULL);
		break;
	case 1:
		err = s2_collapse_all(&o->a.s, range, (uint8_t)o->a.s.fmt->lg2(1), g, NULL);
		break;
	case 2:
		err = s2_trim(&o->a.s, range, g, NULL);
		break;
	case 3:
		err = s2_dirty_start(&o->a.s, range, S2_DIRTY_KEEP, g, NULL);
		break;
	case 4:
		err = s2_dirty_stop(&o->a.s, range, (uint8_t)o->a.s.fmt->lg2(1), g, NULL);
		break;
	default:
		err = s2_age(&o->a.s, range, g, &young);
		break;
	}
	if (err != S2_OK) {
		blame("%s: %s", o->a.backend.variant->name, s2_strerror(err));
	}
}

static inline void overlap_op(struct overlap *o, unsigned worker, unsigned number,
			      struct s2_gather *g)
{
	struct call *call = &o->call[worker][number];
	unsigned max = chance(4) ? o->a.pages : 60;
	struct s2_range range;
	enum s2_err err = S2_OK;

	call->first = below(o->a.pages);
	call->count = 1 + below(max < o->a.pages - call->first ? max : o->a.pages - call->first);
	call->prot = overlap_prots[below(sizeof(overlap_prots))];
	call->kind = (enum call_kind)(1 + below(3));
	call->kind = chance(4) ? CALL_NONE : call->kind;
	range = page_range(&o->a, call->first, call->count);
	call->begin = overlap_now(o);
	if (call->kind == CALL_MAP) {
		struct s2_run run = {range.start, s2_hpa(call_hpa(worker, number, range.start.val)),
				     range.len, S2_FOLIO_ORDER_MAX};

		err = s2_map(&o->a.s, &run, 1, call->prot, S2_MEM_NORMAL, g, NULL);
	} else if (call->kind == CALL_UNMAP) {
		err = s2_unmap(&o->a.s, range, g, NULL);
	} else if (call->kind == CALL_PROTECT) {
		err = s2_protect(&o->a.s, range, call->prot, g, NULL);
	} else {
		overlap_sizes(o, range, g);
	}
	call->end = overlap_now(o);
	if (err == S2_ERR_EXISTS && call->kind == CALL_MAP) {
		call->kind = CALL_NONE;
	} else if (err != S2_OK) {
		blame("%s: %s", o->a.backend.variant->name, s2_strerror(err));
	}
}

static inline void *overlap_main(void *cookie)
{
	struct overlap_worker *w = cookie;
	struct overlap *o = w->o;
	struct s2_gather g;

	limbo = &o->a.limbo[w->number];
	random_state = o->round_seed * (w->number + 2) | 1;
	s2_gather_init(&g, &o->a.s);
	for (unsigned i = 0; i < o->calls && !has_failed(); i++) {
		overlap_op(o, w->number, i, &g);
		if (chance(3)) {
			s2_gather_sync(&g);
		}
		limbo_drain(limbo, false);
	}
	s2_gather_fini(&g);
	return NULL;
}

static inline bool call_covers(const struct call *call, unsigned page)
{
	return page - call->first < call->count;
}

/* The map that has made the page, and the rights it has now; NULL: not mapped. */
static inline struct call *page_maker(struct overlap *o, unsigned page, uint8_t *prot)
{
	uint64_t gpa = page_gpa(&o->a, page);
	struct s2_leaf leaf;
	struct call *call;
	uint64_t hpa, id;

	if (s2_query(&o->a.s, s2_gpa(gpa), &leaf) != S2_OK || !leaf.mapped) {
		return NULL;
	}
	hpa = leaf.hpa.val + (gpa - leaf.range.start.val);
	id = (hpa >> 36) - 1;
	*prot = leaf.prot;
	call = id < WORKERS * CALLS ? &o->call[id / CALLS][id % CALLS] : NULL;
	if (call == NULL || call->kind != CALL_MAP || !call_covers(call, page) ||
	    hpa != call_hpa((unsigned)(id / CALLS), (unsigned)(id % CALLS), gpa)) {
		blame("%s: page %u has hpa %#" PRIx64 " of nobody", o->a.backend.variant->name,
		      page, hpa);
		return NULL;
	}
	return call;
}

/* Is nothing of the map left where the call was? */
static inline bool call_spares(const struct overlap *o, const struct call *call,
			       const struct call *map)
{
	for (unsigned page = call->first; page < call->first + call->count; page++) {
		if (o->maker[page] == map) {
			return false;
		}
	}
	return true;
}

/* Is there a call of this kind that covers the page, and may have come after the map? */
static inline bool has_call(const struct overlap *o, enum call_kind kind, unsigned page,
			    const struct call *map, unsigned prot)
{
	for (unsigned i = 0; i < WORKERS * o->calls; i++) {
		const struct call *call = &o->call[i % WORKERS][i / WORKERS];

		if (call->kind != kind || !call_covers(call, page) || call->end < map->begin) {
			continue;
		}
		if (kind == CALL_PROTECT ? call->prot == prot : call_spares(o, call, map)) {
			return true;
		}
	}
	return false;
}

/* The map of each page, and its rights. */
static inline void overlap_look(struct overlap *o)
{
	for (unsigned page = 0; page < o->a.pages; page++) {
		uint8_t prot = 0;
		struct call *map = page_maker(o, page, &prot);

		o->maker[page] = map;
		if (map == NULL) {
			continue;
		}
		map->left = true;
		if (prot != map->prot && !has_call(o, CALL_PROTECT, page, map, prot)) {
			blame("%s: page %u has rights %u from nowhere", o->a.backend.variant->name,
			      page, prot);
		}
	}
}

static inline void overlap_check(struct overlap *o)
{
	overlap_look(o);
	for (unsigned i = 0; i < WORKERS * o->calls; i++) {
		const struct call *map = &o->call[i % WORKERS][i / WORKERS];

		for (unsigned n = 0; map->left && n < map->count; n++) {
			if (o->maker[map->first + n] != map &&
			    !has_call(o, CALL_UNMAP, map->first + n, map, 0)) {
				blame("%s: page %u was not mapped with the others of its run",
				      o->a.backend.variant->name, map->first + n);
			}
		}
	}
}

static inline void overlap_round(struct overlap *o)
{
	struct overlap_worker worker[WORKERS];
	pthread_t thread[WORKERS];

	memset(o->call, 0, sizeof(o->call));
	o->calls = 10 + below(CALLS - 10);
	o->clock = 0;
	o->round_seed = random_u64();
	for (unsigned i = 0; i < WORKERS; i++) {
		worker[i] = (struct overlap_worker){o, i};
		ck_assert_int_eq(pthread_create(&thread[i], NULL, overlap_main, &worker[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(thread[i], NULL);
	}
	overlap_check(o);
	arena_check(&o->a);
}

static inline unsigned run_overlap(const struct variant *v, uint64_t ms)
{
	static struct overlap o;
	uint64_t end = now_ms() + ms;
	unsigned rounds = 0;

	arena_init(&o.a, v, true);
	while (!has_failed() && (rounds == 0 || now_ms() < end)) {
		arena_place(&o.a);
		overlap_round(&o);
		arena_empty(&o.a);
		rounds++;
	}
	if (!has_failed()) {
		arena_fini(&o.a);
	}
	return rounds;
}

#endif
