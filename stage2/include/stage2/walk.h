/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of map.h that are inline, for those who make one a page: a walk by the numbers of
 * struct s2_walk. Whatever is not the common case is left to the functions of the library.
 */
#ifndef STAGE2_WALK_H
#define STAGE2_WALK_H

#include <stage2/map.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For the functions below. */
S2_NODISCARD enum s2_err s2_lookup_slowly(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t *hpa);

/*
 * What follows depends on the address that was loaded, which orders the two on every machine that we
 * know; a checker of races does not know that.
 */
#ifdef __SANITIZE_THREAD__
#define S2_WALK_ORDER __ATOMIC_ACQUIRE
#else
#define S2_WALK_ORDER __ATOMIC_RELAXED
#endif

static inline uint64_t s2_walk_load(const struct s2_walk *w, const uint64_t *item)
{
	uint64_t v = __atomic_load_n(item, S2_WALK_ORDER);

	return __builtin_expect(w->swap, false) ? __builtin_bswap64(v) : v;
}

/*
 * The item of level 0 that has gpa; NULL if the walk ends before. Then *v and *lg2 are the last item
 * that was looked at, and its size.
 */
__attribute__((always_inline)) static inline uint64_t *
s2_walk_page(const struct s2_space *s, uint64_t gpa, uint64_t *v, unsigned *lg2)
{
	const struct s2_walk *w = &s->walk;
	uint64_t *table = s->root;
	uint64_t index = gpa >> s->top_lg2;

	if (__builtin_expect(w->nine, true)) {
		const uint64_t mask = w->table_mask;
		const uint64_t value = w->table_value;
		const uint64_t bits = w->hpa_bits;
		const uint64_t offset = s->config.tables.hpa_offset;
		const unsigned shift = w->hpa_shift;

		for (*lg2 = s->top_lg2; *lg2 > 30; *lg2 -= 9) {
			*v = __atomic_load_n(&table[index], S2_WALK_ORDER);
			if (__builtin_expect((*v & mask) != value, false)) {
				return NULL;
			}
			table = (uint64_t *)(uintptr_t)(((*v & bits) << shift) - offset);
			index = (gpa >> (*lg2 - 9)) & 511;
		}
		*v = __atomic_load_n(&table[index], S2_WALK_ORDER);
		if (__builtin_expect((*v & mask) != value, false)) {
			return NULL;
		}
		table = (uint64_t *)(uintptr_t)(((*v & bits) << shift) - offset);
		*lg2 = 21;
		*v = __atomic_load_n(&table[(gpa >> 21) & 511], S2_WALK_ORDER);
		if (__builtin_expect((*v & mask) != value, false)) {
			return NULL;
		}
		table = (uint64_t *)(uintptr_t)(((*v & bits) << shift) - offset);
		return &table[(gpa >> 12) & 511];
	}
	for (*lg2 = s->top_lg2;; *lg2 -= w->upper_bits) {
		*v = s2_walk_load(w, &table[index]);
		if (__builtin_expect((*v & w->table_mask) != w->table_value, false)) {
			return NULL;
		}
		table = (uint64_t *)(uintptr_t)(((*v & w->hpa_bits) << w->hpa_shift) -
						s->config.tables.hpa_offset);
		if (*lg2 == S2_PAGE_LG2 + (unsigned)w->page_bits) {
			return &table[(gpa >> S2_PAGE_LG2) & ((UINT64_C(1) << w->page_bits) - 1)];
		}
		index = (gpa >> (*lg2 - w->upper_bits)) & ((UINT64_C(1) << w->upper_bits) - 1);
	}
}

static inline enum s2_err s2_lookup(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t *hpa)
{
	const struct s2_walk *w = &s->walk;
	uint64_t offset = S2_PAGE_SIZE - 1;
	const uint64_t *item;
	uint64_t v;
	unsigned lg2;

	if (__builtin_expect(gpa.val > s->last || !w->usable, false)) {
		return s2_lookup_slowly(s, gpa, hpa);
	}
	item = s2_walk_page(s, gpa.val, &v, &lg2);
	if (__builtin_expect(item != NULL, true)) {
		v = s2_walk_load(w, item);
		if (__builtin_expect((v & w->page_mask) != w->page_value, false)) {
			return s2_lookup_slowly(s, gpa, hpa);
		}
	} else {
		if (__builtin_expect((v & w->block_mask) != w->block_value, false)) {
			return s2_lookup_slowly(s, gpa, hpa);
		}
		offset = (UINT64_C(1) << lg2) - 1;
	}
	hpa->val = (((v & w->hpa_bits) << w->hpa_shift) & ~offset) | (gpa.val & offset);
	return S2_OK;
}

/*
 * What s2_map() checks of a run, that it does not fill a table, and that nothing needs more than
 * stores. A length of 0 makes a last byte that is in another table.
 */
static inline bool s2_map_is_small(const struct s2_space *s, const struct s2_run *run,
				   unsigned prot, enum s2_mem mem, const struct s2_gather *g)
{
	const struct s2_walk *w = &s->walk;
	uint64_t last = run->gpa.val + (run->len - 1);
	uint64_t hpa_last = run->hpa.val + (run->len - 1);

	return ((run->gpa.val | run->len) & (S2_PAGE_SIZE - 1)) == 0 && last <= s->last &&
	       ((run->gpa.val ^ last) >> S2_PAGE_LG2 >> w->page_bits) == 0 &&
	       run->len >> S2_PAGE_LG2 >> w->page_bits == 0 && hpa_last <= s->hpa_last &&
	       ((run->hpa.val >> w->hpa_shift) & ~w->hpa_bits) == 0 &&
	       run->folio_order <= S2_FOLIO_ORDER_MAX &&
	       ((run->hpa.val ^ hpa_last) >> S2_PAGE_LG2 >> run->folio_order) == 0 &&
	       prot <= S2_PROT_ALL && (unsigned)mem < S2_MEM_COUNT && s->attr[mem][prot] != 0 &&
	       s->maps_inline && g->flush_count == 0;
}

static inline bool s2_walk_is_none(const struct s2_walk *w, const uint64_t *item, size_t count)
{
	uint64_t other = 0;

	for (size_t i = 0; i < count; i++) {
		other |= s2_walk_load(w, &item[i]) ^ w->page_none;
	}
	return other == 0;
}

static inline void s2_walk_store(const struct s2_walk *w, uint64_t *item, size_t count, uint64_t v,
				 uint64_t step)
{
	for (size_t i = 0; i < count; i++) {
		__atomic_store_n(&item[i],
				 __builtin_expect(w->swap, false) ? __builtin_bswap64(v) : v,
				 __ATOMIC_RELAXED);
		v += step;
	}
}

/* Stores the leaves of a run: all single, or all in groups. False: they are mixed. */
static inline bool s2_walk_leaves(const struct s2_walk *w, uint64_t *item, const struct s2_run *run,
				  uint64_t v)
{
	size_t count = (size_t)(run->len >> S2_PAGE_LG2);
	uint64_t step = S2_PAGE_SIZE >> w->hpa_shift;

	if (w->group_items == 0 || count < w->group_items) {
		s2_walk_store(w, item, count, v, step);
		return true;
	}
	if (((run->gpa.val | run->hpa.val | run->len) >> S2_PAGE_LG2 & (w->group_items - 1)) != 0) {
		return false;
	}
	for (size_t i = 0; i < count; i += w->group_items) {
		s2_walk_store(w, &item[i], w->group_items, v | w->group_leaf, w->group_step);
		v += step * w->group_items;
	}
	return true;
}

static inline enum s2_err s2_map_run(struct s2_space *s, const struct s2_run *run, unsigned prot,
				     enum s2_mem mem, struct s2_gather *g)
{
	const struct s2_walk *w = &s->walk;

	if (__builtin_expect(s2_map_is_small(s, run, prot, mem, g), true)) {
		size_t count = (size_t)(run->len >> S2_PAGE_LG2);
		uint64_t leaf = s->attr[mem][prot] | w->page_leaf | (run->hpa.val >> w->hpa_shift);
		uint64_t v;
		unsigned lg2;
		uint64_t *item = s2_walk_page(s, run->gpa.val, &v, &lg2);

		if (__builtin_expect(item != NULL && s2_walk_is_none(w, item, count), true) &&
		    s2_walk_leaves(w, item, run, leaf)) {
			g->events.written += count;
			return S2_OK;
		}
	}
	return s2_map(s, run, 1, prot, mem, g, NULL);
}

/* What s2_map_is_small() says of a run of one page. */
static inline bool s2_map_page_is_plain(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t hpa,
					unsigned prot, enum s2_mem mem, const struct s2_gather *g)
{
	return (gpa.val & (S2_PAGE_SIZE - 1)) == 0 && gpa.val <= s->last &&
	       hpa.val <= s->hpa_last &&
	       ((hpa.val >> s->walk.hpa_shift) & ~s->walk.hpa_bits) == 0 && prot <= S2_PROT_ALL &&
	       (unsigned)mem < S2_MEM_COUNT && s->attr[mem][prot] != 0 && s->maps_inline &&
	       g->flush_count == 0;
}

static inline enum s2_err s2_map_page(struct s2_space *s, s2_gpa_t gpa, s2_hpa_t hpa, unsigned prot,
				      enum s2_mem mem, struct s2_gather *g)
{
	const struct s2_walk *w = &s->walk;

	if (__builtin_expect(s2_map_page_is_plain(s, gpa, hpa, prot, mem, g), true)) {
		uint64_t v;
		unsigned lg2;
		uint64_t *item = s2_walk_page(s, gpa.val, &v, &lg2);

		if (__builtin_expect(item != NULL && s2_walk_load(w, item) == w->page_none, true)) {
			v = s->attr[mem][prot] | w->page_leaf | (hpa.val >> w->hpa_shift);
			__atomic_store_n(item, w->swap ? __builtin_bswap64(v) : v,
					 __ATOMIC_RELAXED);
			g->events.written++;
			return S2_OK;
		}
	}
	{
		const struct s2_run run = {gpa, hpa, S2_PAGE_SIZE, 0};

		return s2_map(s, &run, 1, prot, mem, g, NULL);
	}
}

#ifdef __cplusplus
}
#endif
#endif
