/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a space and taking it down; its events. */
#include <stage2/engine/hooks.h>
#include <stage2/fmt.h>
#include <stage2/space.h>

#include "internal.h"

/* Removes the sizes that are not wanted: single items up to the first gap, groups one by one. */
S2_COLD static void choose_leaves(struct s2_space *s, uint64_t wanted)
{
	bool gap = false;

	for (unsigned level = 0; level <= s->top; level++) {
		unsigned lg2 = s->fmt->lg2(level);
		unsigned group_lg2 = lg2 + s->fmt->group_lg2(level);

		gap = gap || (s->leaf_kinds[level] & S2_KIND_SINGLE) == 0 ||
		      (level > 0 && wanted != 0 && ((wanted >> lg2) & 1) == 0);
		if (gap) {
			s->leaf_kinds[level] = 0;
		} else if (wanted != 0 && (group_lg2 > 63 || ((wanted >> group_lg2) & 1) == 0)) {
			s->leaf_kinds[level] = S2_KIND_SINGLE;
		}
	}
}

/* All that the format can say of rights and kinds, so that no call has to work it out. */
S2_COLD static void fill_attr(struct s2_space *s)
{
	for (unsigned mem = 0; mem < S2_MEM_COUNT; mem++) {
		for (unsigned prot = 1; prot <= S2_PROT_ALL; prot++) {
			uint64_t attr;

			if (s->fmt->attr(s, prot, mem, &attr)) {
				s->attr[mem][prot] = attr;
			}
		}
	}
}

/* What the inline calls need. Of a space of 2^64 bytes they leave out the last one. */
S2_COLD static void init_walk(struct s2_space *s)
{
	uint64_t end = s->last + (s->last != UINT64_MAX);

	s->fmt->walk(s, &s->walk);
	s->walk.top_lg2 = s->top_lg2;
	s->walk.shape |= s->walk.shape != 0 ? s->top_lg2 : 0;
	s->walk_nine = !s->walk.swap && s->walk.page_bits == 9 && s->walk.upper_bits == 9;
	s->lookup_end = s->walk.usable ? end : 0;
	s->map_end = s->is_quiet && !s->fmt->flush_on_map(s) ? s->lookup_end : 0;
	s->page_hpa_not = ~(s->hpa_last & s->walk.hpa_bits << s->walk.hpa_shift);
	s->group_items = UINT32_MAX;
	if ((s->leaf_kinds[0] & S2_KIND_GROUP) != 0) {
		s->group_items = 1u << s->fmt->group_lg2(0);
		s->group_leaf = s->fmt->group(s->walk.page_leaf, 0) ^ s->walk.page_leaf;
		s->group_step = s->fmt->group_step(0);
	}
}

S2_COLD static enum s2_err check_config(const struct s2_config *config)
{
	if (config->fmt == NULL || config->tables.alloc == NULL || config->tables.free == NULL ||
	    config->mmu == NULL || config->mmu->flush == NULL) {
		return S2_ERR_INVAL;
	}
	if (config->fmt->purges() &&
	    (config->mmu->invalidate == NULL || config->mmu->replace == NULL)) {
		return S2_ERR_INVAL;
	}
	if (config->lock != NULL &&
	    (config->lock_count == 0 || (config->lock_count & (config->lock_count - 1)) != 0)) {
		return S2_ERR_INVAL;
	}
	return S2_OK;
}

S2_COLD enum s2_err s2_space_init(struct s2_space *s, const struct s2_config *config)
{
	enum s2_err err = check_config(config);
	void *root;

	if (err != S2_OK) {
		return err;
	}
	memset(s, 0, sizeof(*s));
	s->config = *config;
	s->fmt = config->fmt;
	err = s->fmt->init(s);
	if (err != S2_OK) {
		return err;
	}
	s->top_lg2 = (uint8_t)s->fmt->lg2(s->top);
	choose_leaves(s, config->leaf_sizes);
	fill_attr(s);
	s->is_quiet = config->mmu->clean == NULL && config->mmu->invalidate_code == NULL &&
		      config->mmu->mapped == NULL && config->lock == NULL;
	init_walk(s);
	err = s2_walk_cache_init(s);
	if (err != S2_OK) {
		return err;
	}
	root = config->tables.alloc(config->tables.cookie, s->root_size);
	if (root == NULL) {
		return S2_ERR_NOMEM;
	}
	s->root = root;
	s->fmt->fill_none(s->root, s->top, s->root_size / sizeof(*s->root));
	return S2_OK;
}

S2_COLD void s2_space_fini(struct s2_space *s)
{
	struct s2_gather g;

	s2_walk_cache_drop(s, 0, UINT64_MAX);
	s2_gather_init(&g, s);
	s->fmt->retire(s, &g);
	s2_gather_fini(&g);
	s->config.tables.free(s->config.tables.cookie, s->root, s->root_size);
	s->root = NULL;
}

S2_COLD s2_hpa_t s2_space_root(const struct s2_space *s)
{
	return s2_hpa((uint64_t)(uintptr_t)s->root + s->config.tables.hpa_offset);
}

S2_COLD struct s2_range s2_space_range(const struct s2_space *s)
{
	/* A length of 2^64 cannot be said: such a space is told without its last page. */
	uint64_t len = s->last == UINT64_MAX ? UINT64_MAX - (S2_PAGE_SIZE - 1) : s->last + 1;

	return s2_range(s2_gpa(0), len);
}

enum s2_err s2_space_covers(const struct s2_space *s, struct s2_range range)
{
	enum s2_err err = s2_range_check(range);

	if (err == S2_OK && s2_range_last(range).val > s->last) {
		err = S2_ERR_RANGE;
	}
	return err;
}

S2_COLD uint64_t s2_space_leaf_sizes(const struct s2_space *s)
{
	uint64_t sizes = 0;

	for (unsigned level = 0; level <= s->top; level++) {
		unsigned lg2 = s->fmt->lg2(level);

		if ((s->leaf_kinds[level] & S2_KIND_SINGLE) != 0) {
			sizes |= UINT64_C(1) << lg2;
		}
		if ((s->leaf_kinds[level] & S2_KIND_GROUP) != 0) {
			sizes |= UINT64_C(1) << (lg2 + s->fmt->group_lg2(level));
		}
	}
	return sizes;
}

S2_COLD size_t s2_table_size(const struct s2_space *s, enum s2_table_class table_class)
{
	return s->fmt->table_bytes(table_class == S2_TABLE_LEAF ? 0 : 1);
}

/* struct s2_events is nothing but counters of 64 bits. */
#define EVENT_COUNT (sizeof(struct s2_events) / sizeof(uint64_t))

S2_COLD void s2_events_add(struct s2_space *s, struct s2_events *events)
{
	const uint64_t *from = (const uint64_t *)(const void *)events;
	uint64_t *to = (uint64_t *)(void *)&s->events;

	for (size_t i = 0; i < EVENT_COUNT; i++) {
		if (from[i] != 0) {
			__atomic_fetch_add(&to[i], from[i], __ATOMIC_RELAXED);
		}
	}
	memset(events, 0, sizeof(*events));
}

S2_COLD void s2_space_events(const struct s2_space *s, struct s2_events *out)
{
	const uint64_t *from = (const uint64_t *)(const void *)&s->events;
	uint64_t *to = (uint64_t *)(void *)out;

	for (size_t i = 0; i < EVENT_COUNT; i++) {
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
}
