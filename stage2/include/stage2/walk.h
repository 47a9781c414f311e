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

/* For s2_lookup(). */
S2_NODISCARD enum s2_err s2_lookup_slowly(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t *hpa);

/* Loops over the items of a run, which are sixteen most of the time. */
#ifdef __clang__
#define S2_WALK_UNROLL _Pragma("unroll(4)")
#else
#define S2_WALK_UNROLL _Pragma("GCC unroll 4")
#endif

/* Numbers that are known when this is compiled must be seen in all of it. */
#define S2_WALK_INLINE __attribute__((always_inline)) static inline

/*
 * What follows depends on the address that was loaded, which orders the two on every machine that we
 * know; a checker of races does not know that.
 */
#ifdef __SANITIZE_THREAD__
#define S2_WALK_ORDER __ATOMIC_ACQUIRE
#else
#define S2_WALK_ORDER __ATOMIC_RELAXED
#endif

/* From the processor's byte order to that of the tables, or back. */
S2_WALK_INLINE uint64_t s2_walk_swap(const struct s2_walk *w, uint64_t v)
{
	return __builtin_expect(w->swap, false) ? __builtin_bswap64(v) : v;
}

S2_WALK_INLINE uint64_t s2_walk_load(const struct s2_walk *w, const uint64_t *item)
{
	return s2_walk_swap(w, __atomic_load_n(item, S2_WALK_ORDER));
}

/* Where a walk is, the item before, and log2 of what that one translates. */
struct s2_walk_at {
	uint64_t *item;
	uint64_t v;
	unsigned lg2;
};

/*
 * To the table that the item points to, whose items translate 2^lg2 bytes and which has 2^bits of
 * them; false if it points to none. What is left of a table's item without table_value is the
 * address, if no bit of the mask is set.
 */
S2_WALK_INLINE bool s2_walk_step(const struct s2_space *s, const struct s2_walk *w, uint64_t gpa,
				 unsigned lg2, unsigned bits, struct s2_walk_at *at)
{
	uint64_t index = (gpa >> (lg2 - 3)) & (((UINT64_C(1) << bits) - 1) << 3); /* in bytes */
	uint64_t table;

	at->v = s2_walk_load(w, at->item);
	at->lg2 = lg2 + bits;
	table = at->v - w->table_value;
	if (__builtin_expect((table & w->table_mask) != 0, false)) {
		return false;
	}
	table = (w->tables_bare ? table : table & w->hpa_bits) << w->hpa_shift;
	at->item = (uint64_t *)(uintptr_t)(table + (index - s->config.tables.hpa_offset));
	return true;
}

/* To the item of level 0 that has gpa, by the walk cache; false: it does not know. */
S2_WALK_INLINE bool s2_walk_cached(const struct s2_space *s, const struct s2_walk *w, uint64_t gpa,
				   struct s2_walk_at *at)
{
	const unsigned lg2 = S2_PAGE_LG2 + (unsigned)w->page_bits;
	uint64_t offset = gpa - s->walk_cache_start;
	uint64_t *table;

	if (offset >= s->walk_cache_len) {
		return false;
	}
	table = __atomic_load_n(&s->walk_cache[offset >> lg2], S2_WALK_ORDER);
	if (__builtin_expect(table == NULL, false)) {
		return false;
	}
	at->item = &table[(gpa >> S2_PAGE_LG2) & ((UINT64_C(1) << w->page_bits) - 1)];
	return true;
}

/* The same from the root; false: the walk ends before. At most five levels. */
S2_WALK_INLINE bool s2_walk_root(const struct s2_space *s, const struct s2_walk *w, uint64_t gpa,
				 struct s2_walk_at *at)
{
	const unsigned bits = w->upper_bits;
	const unsigned first = S2_PAGE_LG2 + (unsigned)w->page_bits;

	at->item = &s->root[gpa >> w->top_lg2];
	return (w->top_lg2 <= first + 2 * bits ||
		s2_walk_step(s, w, gpa, first + 2 * bits, bits, at)) &&
	       (w->top_lg2 <= first + bits || s2_walk_step(s, w, gpa, first + bits, bits, at)) &&
	       (w->top_lg2 <= first || s2_walk_step(s, w, gpa, first, bits, at)) &&
	       s2_walk_step(s, w, gpa, S2_PAGE_LG2, w->page_bits, at);
}

S2_WALK_INLINE bool s2_walk_page(const struct s2_space *s, const struct s2_walk *w, uint64_t gpa,
				 struct s2_walk_at *at)
{
	return s2_walk_cached(s, w, gpa, at) || s2_walk_root(s, w, gpa, at);
}

/* The numbers of a space; nine: it has walk_nine. */
S2_WALK_INLINE struct s2_walk s2_walk_of(const struct s2_space *s, bool nine)
{
	struct s2_walk w = s->walk;

	w.tables_bare = false; /* one instruction, where to look at it would be one as well */
	if (nine) {
		w.swap = false;
		w.page_bits = 9;
		w.upper_bits = 9;
	}
	return w;
}

/* Are these the numbers of the space? */
S2_WALK_INLINE bool s2_walk_fits(const struct s2_space *s, const struct s2_walk *w)
{
	return __builtin_expect(s->walk.shape == w->shape, true);
}

/* The address of *hpa must not get out, or else it would have to be in memory all the time. */
S2_WALK_INLINE enum s2_err s2_lookup_else(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t *hpa)
{
	s2_hpa_t out = s2_hpa(0);
	enum s2_err err = s2_lookup_slowly(s, gpa, &out);

	if (err == S2_OK) {
		*hpa = out;
	}
	return err;
}

/* What a single leaf of level 0 translates gpa to; false: the item is something else. */
S2_WALK_INLINE bool s2_walk_leaf(const struct s2_walk *w, const uint64_t *item, s2_gpa_t gpa,
				 s2_hpa_t *hpa)
{
	/* As tables: nothing of the mask is left. */
	uint64_t v = s2_walk_load(w, item) - w->page_value;

	if (__builtin_expect((v & w->page_mask) != 0, false)) {
		return false;
	}
	hpa->val = (v & w->hpa_bits) << w->hpa_shift | (gpa.val & (S2_PAGE_SIZE - 1));
	return true;
}

/* What is in the walk cache is in the space. */
S2_WALK_INLINE bool s2_lookup_cached(const struct s2_space *s, const struct s2_walk *w,
				     s2_gpa_t gpa, s2_hpa_t *hpa)
{
	struct s2_walk_at at;

	return s2_walk_cached(s, w, gpa.val, &at) && s2_walk_leaf(w, at.item, gpa, hpa);
}

S2_WALK_INLINE enum s2_err s2_lookup_by(const struct s2_space *s, const struct s2_walk *w,
					s2_gpa_t gpa, s2_hpa_t *hpa)
{
	uint64_t within;
	struct s2_walk_at at;

	if (__builtin_expect(gpa.val >= s->lookup_end, false)) {
		return s2_lookup_else(s, gpa, hpa);
	}
	if (__builtin_expect(s2_walk_root(s, w, gpa.val, &at), true)) {
		return s2_walk_leaf(w, at.item, gpa, hpa) ? S2_OK : s2_lookup_else(s, gpa, hpa);
	}
	if ((at.v & w->block_mask) != w->block_value) {
		return s2_lookup_else(s, gpa, hpa);
	}
	within = (UINT64_C(1) << at.lg2) - 1;
	hpa->val = (((at.v & w->hpa_bits) << w->hpa_shift) & ~within) | (gpa.val & within);
	return S2_OK;
}

/* Numbers of their own for the walk cache, which needs few: or else compilers load all of them first. */
S2_WALK_INLINE enum s2_err s2_lookup_any(const struct s2_space *s, bool nine, s2_gpa_t gpa,
					 s2_hpa_t *hpa)
{
	const struct s2_walk page = s2_walk_of(s, nine);

	if (!s2_lookup_cached(s, &page, gpa, hpa)) {
		const struct s2_walk w = s2_walk_of(s, nine);

		return s2_lookup_by(s, &w, gpa, hpa);
	}
	return S2_OK;
}

static inline enum s2_err s2_lookup(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t *hpa)
{
	return __builtin_expect(s->walk_nine, true) ? s2_lookup_any(s, true, gpa, hpa)
						    : s2_lookup_any(s, false, gpa, hpa);
}

S2_WALK_INLINE enum s2_err s2_lookup_as(const struct s2_space *s, const struct s2_walk *w,
					s2_gpa_t gpa, s2_hpa_t *hpa)
{
	if (!s2_walk_fits(s, w)) {
		return s2_lookup_else(s, gpa, hpa);
	}
	return s2_lookup_cached(s, w, gpa, hpa) ? S2_OK : s2_lookup_by(s, w, gpa, hpa);
}

/*
 * What s2_map() checks of a run, that it does not fill a table, and that nothing needs more than
 * stores. A length of 0 makes a last byte that is in another table.
 */
S2_WALK_INLINE bool s2_map_is_small(const struct s2_space *s, const struct s2_walk *w,
				    const struct s2_run *run, unsigned prot, enum s2_mem mem,
				    const struct s2_gather *g)
{
	uint64_t last = run->gpa.val + (run->len - 1);
	uint64_t hpa_last = run->hpa.val + (run->len - 1);

	return ((run->gpa.val | run->len) & (S2_PAGE_SIZE - 1)) == 0 && last < s->map_end &&
	       ((run->gpa.val ^ last) >> S2_PAGE_LG2 >> w->page_bits) == 0 &&
	       run->len >> S2_PAGE_LG2 >> w->page_bits == 0 && hpa_last <= s->hpa_last &&
	       (run->hpa.val & s->page_hpa_not) == 0 && run->folio_order <= S2_FOLIO_ORDER_MAX &&
	       ((run->hpa.val ^ hpa_last) >> S2_PAGE_LG2 >> run->folio_order) == 0 &&
	       prot <= S2_PROT_ALL && (unsigned)mem < S2_MEM_COUNT && s->attr[mem][prot] != 0 &&
	       g->flush_count == 0;
}

S2_WALK_INLINE bool s2_walk_is_none(const struct s2_walk *w, uint64_t *item, size_t count)
{
	const uint64_t none = s2_walk_swap(w, w->page_none);
	uint64_t other = 0;

	S2_WALK_UNROLL
	for (size_t i = 0; i < count; i++) {
		other |= __atomic_load_n(&item[i], S2_WALK_ORDER) ^ none;
	}
	return other == 0;
}

S2_WALK_INLINE void s2_walk_store(const struct s2_walk *w, uint64_t *item, size_t count, uint64_t v,
				  uint64_t step)
{
	S2_WALK_UNROLL
	for (size_t i = 0; i < count; i++) {
		__atomic_store_n(&item[i], s2_walk_swap(w, v), __ATOMIC_RELAXED);
		v += step;
	}
}

/* Stores the leaves of a run: all single, or all in groups. False: they are mixed. */
S2_WALK_INLINE bool s2_walk_leaves(const struct s2_space *s, const struct s2_walk *w,
				   uint64_t *item, const struct s2_run *run, uint64_t v)
{
	size_t count = (size_t)(run->len >> S2_PAGE_LG2);
	uint64_t step = S2_PAGE_SIZE >> w->hpa_shift;
	size_t group = s->group_items;

	if (count < group) {
		s2_walk_store(w, item, count, v, step);
		return true;
	}
	if (((run->gpa.val | run->hpa.val | run->len) >> S2_PAGE_LG2 & (group - 1)) != 0) {
		return false;
	}
	for (size_t i = 0; i < count; i += group) {
		s2_walk_store(w, &item[i], group, v | s->group_leaf, s->group_step);
		v += step * group;
	}
	return true;
}

S2_WALK_INLINE enum s2_err s2_map_run_by(struct s2_space *s, const struct s2_walk *w,
					 const struct s2_run *run, unsigned prot, enum s2_mem mem,
					 struct s2_gather *g)
{
	if (__builtin_expect(s2_map_is_small(s, w, run, prot, mem, g), true)) {
		size_t count = (size_t)(run->len >> S2_PAGE_LG2);
		uint64_t leaf = s->attr[mem][prot] | w->page_leaf | (run->hpa.val >> w->hpa_shift);
		struct s2_walk_at at;

		if (__builtin_expect(s2_walk_page(s, w, run->gpa.val, &at) &&
					     s2_walk_is_none(w, at.item, count),
				     true) &&
		    s2_walk_leaves(s, w, at.item, run, leaf)) {
			g->events.written += count;
			return S2_OK;
		}
	}
	return s2_map(s, run, 1, prot, mem, g, NULL);
}

static inline enum s2_err s2_map_run(struct s2_space *s, const struct s2_run *run, unsigned prot,
				     enum s2_mem mem, struct s2_gather *g)
{
	if (__builtin_expect(s->walk_nine, true)) {
		const struct s2_walk w = s2_walk_of(s, true);

		return s2_map_run_by(s, &w, run, prot, mem, g);
	} else {
		const struct s2_walk w = s2_walk_of(s, false);

		return s2_map_run_by(s, &w, run, prot, mem, g);
	}
}

S2_WALK_INLINE enum s2_err s2_map_run_as(struct s2_space *s, const struct s2_walk *w,
					 const struct s2_run *run, unsigned prot, enum s2_mem mem,
					 struct s2_gather *g)
{
	return s2_walk_fits(s, w) ? s2_map_run_by(s, w, run, prot, mem, g)
				  : s2_map(s, run, 1, prot, mem, g, NULL);
}

/* What s2_map_is_small() says of a run of one page. */
S2_WALK_INLINE bool s2_map_page_is_plain(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t hpa,
					 unsigned prot, enum s2_mem mem, const struct s2_gather *g)
{
	return (gpa.val & (S2_PAGE_SIZE - 1)) == 0 && gpa.val < s->map_end &&
	       (hpa.val & s->page_hpa_not) == 0 && prot <= S2_PROT_ALL &&
	       (unsigned)mem < S2_MEM_COUNT && s->attr[mem][prot] != 0 && g->flush_count == 0;
}

/* A call of its own: or else compilers build the run in vector registers before they know of a need. */
__attribute__((cold, noinline)) static enum s2_err s2_map_page_else(struct s2_space *s,
								    s2_gpa_t gpa, s2_hpa_t hpa,
								    unsigned prot, enum s2_mem mem,
								    struct s2_gather *g)
{
	const struct s2_run run = {gpa, hpa, S2_PAGE_SIZE, 0};

	return s2_map(s, &run, 1, prot, mem, g, NULL);
}

/* After s2_map_page_is_plain(). */
S2_WALK_INLINE enum s2_err s2_map_page_by(struct s2_space *s, const struct s2_walk *w, s2_gpa_t gpa,
					  s2_hpa_t hpa, unsigned prot, enum s2_mem mem,
					  struct s2_gather *g)
{
	struct s2_walk_at at;

	if (__builtin_expect(s2_walk_page(s, w, gpa.val, &at) && s2_walk_is_none(w, at.item, 1),
			     true)) {
		s2_walk_store(w, at.item, 1,
			      s->attr[mem][prot] | w->page_leaf | (hpa.val >> w->hpa_shift), 0);
		g->events.written++;
		return S2_OK;
	}
	return s2_map_page_else(s, gpa, hpa, prot, mem, g);
}

static inline enum s2_err s2_map_page(struct s2_space *s, s2_gpa_t gpa, s2_hpa_t hpa, unsigned prot,
				      enum s2_mem mem, struct s2_gather *g)
{
	if (__builtin_expect(!s2_map_page_is_plain(s, gpa, hpa, prot, mem, g), false)) {
		return s2_map_page_else(s, gpa, hpa, prot, mem, g);
	}
	if (__builtin_expect(s->walk_nine, true)) {
		const struct s2_walk w = s2_walk_of(s, true);

		return s2_map_page_by(s, &w, gpa, hpa, prot, mem, g);
	} else {
		const struct s2_walk w = s2_walk_of(s, false);

		return s2_map_page_by(s, &w, gpa, hpa, prot, mem, g);
	}
}

S2_WALK_INLINE enum s2_err s2_map_page_as(struct s2_space *s, const struct s2_walk *w, s2_gpa_t gpa,
					  s2_hpa_t hpa, unsigned prot, enum s2_mem mem,
					  struct s2_gather *g)
{
	if (__builtin_expect(!s2_map_page_is_plain(s, gpa, hpa, prot, mem, g), false) ||
	    !s2_walk_fits(s, w)) {
		return s2_map_page_else(s, gpa, hpa, prot, mem, g);
	}
	return s2_map_page_by(s, w, gpa, hpa, prot, mem, g);
}

#ifdef __cplusplus
}
#endif
#endif
