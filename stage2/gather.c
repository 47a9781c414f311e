/* SPDX-License-Identifier: BSD-2-Clause */
/* Owed flushes, the tables that wait for them, and spare tables. */
#include <stage2/engine/hooks.h>
#include <stage2/fmt.h>
#include <stage2/gather.h>

#include "internal.h"
#include <stage2/engine/hooks.h>

void s2_gather_init(struct s2_gather *g, struct s2_space *s)
{
	memset(g, 0, sizeof(*g));
	g->space = s;
}

bool s2_gather_owes(const struct s2_gather *g)
{
	return g->flush_count != 0 || g->unlinked[S2_TABLE_LEAF].count != 0 ||
	       g->unlinked[S2_TABLE_UPPER].count != 0;
}

static uint64_t flush_last(const struct s2_flush *flush)
{
	return s2_range_last(flush->range).val;
}

/* Do they overlap, or is one right behind the other? */
static bool flush_touches(const struct s2_flush *a, const struct s2_flush *b)
{
	uint64_t a_last = flush_last(a);
	uint64_t b_last = flush_last(b);

	return (a->range.start.val <= b_last || a->range.start.val - 1 == b_last) &&
	       (b->range.start.val <= a_last || b->range.start.val - 1 == a_last);
}

/* a becomes what covers both, and all that is between them. */
static void flush_join(struct s2_flush *a, const struct s2_flush *b)
{
	uint64_t first =
		a->range.start.val < b->range.start.val ? a->range.start.val : b->range.start.val;
	uint64_t last = flush_last(a) > flush_last(b) ? flush_last(a) : flush_last(b);

	a->range = s2_range(s2_gpa(first), last - first + 1);
	if (a->level != b->level) {
		a->level = S2_LEVEL_ANY;
	}
	if (b->kind > a->kind) {
		a->kind = b->kind;
	}
	if (b->stride_lg2 < a->stride_lg2) {
		a->stride_lg2 = b->stride_lg2;
	}
}

static void flush_remove(struct s2_gather *g, unsigned at)
{
	g->flush_count--;
	memmove(&g->flush[at], &g->flush[at + 1], (g->flush_count - at) * sizeof(g->flush[0]));
}

/*
 * No room for one more, which belongs at this place: of all of them, the two neighbours become one
 * that have the smallest gap between them.
 */
static void flush_squeeze(struct s2_gather *g, const struct s2_flush *flush, unsigned at)
{
	const struct s2_flush *list[S2_GATHER_RANGES + 1];
	uint64_t best = UINT64_MAX;
	unsigned nearest = 0;

	for (unsigned i = 0; i <= S2_GATHER_RANGES; i++) {
		list[i] = i == at ? flush : &g->flush[i < at ? i : i - 1];
	}
	for (unsigned i = 0; i < S2_GATHER_RANGES; i++) {
		uint64_t gap = list[i + 1]->range.start.val - flush_last(list[i]);

		if (gap < best) {
			best = gap;
			nearest = i;
		}
	}
	if (nearest == at) {
		flush_join(&g->flush[at], flush);
	} else if (nearest + 1 == at) {
		flush_join(&g->flush[at - 1], flush);
	} else {
		nearest -= nearest > at;
		flush_join(&g->flush[nearest], &g->flush[nearest + 1]);
		flush_remove(g, nearest + 1);
		s2_gather_add_new(g, flush); /* there is room now: once */
	}
}

void s2_gather_add_new(struct s2_gather *g, const struct s2_flush *flush)
{
	unsigned at = g->flush_count;

	while (at > 0 && g->flush[at - 1].range.start.val > flush->range.start.val) {
		at--;
	}
	if (at > 0 && flush_touches(&g->flush[at - 1], flush)) {
		at--;
		flush_join(&g->flush[at], flush);
	} else if (at < g->flush_count && flush_touches(&g->flush[at], flush)) {
		flush_join(&g->flush[at], flush);
	} else if (g->flush_count == S2_GATHER_RANGES) {
		flush_squeeze(g, flush, at);
		return;
	} else {
		memmove(&g->flush[at + 1], &g->flush[at],
			(g->flush_count - at) * sizeof(g->flush[0]));
		g->flush[at] = *flush;
		g->flush_count++;
	}
	while (at + 1 < g->flush_count && flush_touches(&g->flush[at], &g->flush[at + 1])) {
		flush_join(&g->flush[at], &g->flush[at + 1]);
		flush_remove(g, at + 1);
	}
}

void s2_gather_add(struct s2_gather *g, const struct s2_flush *flush)
{
	g->owes_old = true;
	s2_gather_add_new(g, flush);
}

/* Is it too much to go entry by entry? */
static bool flush_is_too_much(const struct s2_gather *g)
{
	uint64_t max = g->space->config.mmu->flush_max;
	uint64_t count = 0;

	for (unsigned i = 0; i < g->flush_count; i++) {
		uint64_t entries = ((g->flush[i].range.len - 1) >> g->flush[i].stride_lg2) + 1;

		count = entries > UINT64_MAX - count ? UINT64_MAX : count + entries;
		if (g->flush[i].kind == S2_FLUSH_ALL) {
			return true;
		}
	}
	return count > max;
}

static void flush_all(struct s2_gather *g)
{
	struct s2_space *s = g->space;

	if (flush_is_too_much(g)) {
		g->flush[0].kind = S2_FLUSH_ALL;
		g->flush[0].range = s2_space_range(s);
		g->flush[0].stride_lg2 = S2_PAGE_LG2;
		g->flush[0].level = S2_LEVEL_ANY;
		g->flush_count = 1;
	}
	for (unsigned i = 0; i < g->flush_count; i++) {
		g->events.flushed[g->flush[i].kind]++;
	}
	g->events.synced++;
	s->config.mmu->flush(s->config.mmu_cookie, g->flush, g->flush_count);
	g->flush_count = 0;
	g->owes_old = false;
}

bool s2_gather_owes_at(const struct s2_gather *g, struct s2_range range)
{
	for (unsigned i = 0; i < g->flush_count; i++) {
		if (g->flush[i].range.start.val <= s2_range_last(range).val &&
		    range.start.val <= flush_last(&g->flush[i])) {
			return true;
		}
	}
	return false;
}

void s2_gather_settle(struct s2_gather *g, struct s2_range range)
{
	if (s2_gather_owes_at(g, range)) {
		flush_all(g);
	}
}

static void free_table(const struct s2_space *s, uint64_t *table, enum s2_table_class table_class)
{
	s->config.tables.free(s->config.tables.cookie, table, s2_table_size(s, table_class));
}

/* The list of retired tables runs through their first items, as values that an MMU takes for none. */
static uint64_t *retired_next(const struct s2_space *s, uint64_t *table)
{
	uint64_t v = __atomic_load_n(s2_table_link(table), __ATOMIC_RELAXED);
	bool host_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

	v = host_big == s->fmt->big_endian ? v : __builtin_bswap64(v);
	return (uint64_t *)(uintptr_t)(v & ~(S2_PAGE_SIZE - 1));
}

void s2_gather_sync(struct s2_gather *g)
{
	struct s2_space *s = g->space;

	if (g->flush_count != 0) {
		flush_all(g);
	}
	for (unsigned i = 0; i < S2_TABLE_CLASS_COUNT; i++) {
		struct s2_table_list *list = &g->unlinked[i];

		while (list->first != NULL) {
			uint64_t *table = list->first;

			list->first = retired_next(s, table);
			free_table(s, table, (enum s2_table_class)i);
		}
		list->count = 0;
	}
	s2_events_add(s, &g->events);
}

static void list_push(struct s2_table_list *list, uint64_t *table)
{
	*s2_table_link(table) = (uint64_t)(uintptr_t)list->first;
	list->first = table;
	list->count++;
}

static uint64_t *list_pop(struct s2_table_list *list)
{
	uint64_t *table = list->first;

	list->first = (uint64_t *)(uintptr_t)*s2_table_link(table);
	list->count--;
	return table;
}

/* Frees tables until the list has so many. */
static void list_shrink(const struct s2_space *s, struct s2_table_list *list,
			enum s2_table_class table_class, size_t count)
{
	while (list->count > count) {
		free_table(s, list_pop(list), table_class);
	}
}

void s2_gather_fini(struct s2_gather *g)
{
	s2_gather_sync(g);
	for (unsigned i = 0; i < S2_TABLE_CLASS_COUNT; i++) {
		list_shrink(g->space, &g->spare[i], (enum s2_table_class)i, 0);
	}
}

enum s2_err s2_gather_reserve(struct s2_gather *g, struct s2_table_count tables)
{
	const struct s2_space *s = g->space;
	size_t had[S2_TABLE_CLASS_COUNT];

	for (unsigned i = 0; i < S2_TABLE_CLASS_COUNT; i++) {
		had[i] = g->spare[i].count;
	}
	for (unsigned i = 0; i < S2_TABLE_CLASS_COUNT; i++) {
		size_t size = s2_table_size(s, (enum s2_table_class)i);

		while (g->spare[i].count < tables.count[i]) {
			uint64_t *table = s->config.tables.alloc(s->config.tables.cookie, size);

			if (table != NULL) {
				list_push(&g->spare[i], table);
				continue;
			}
			for (unsigned j = 0; j <= i; j++) {
				list_shrink(s, &g->spare[j], (enum s2_table_class)j, had[j]);
			}
			return S2_ERR_NOMEM;
		}
	}
	return S2_OK;
}
