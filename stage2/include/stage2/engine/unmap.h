/* SPDX-License-Identifier: BSD-2-Clause */
/* Unmapping. */

/* First and last byte of what was changed, for one flush; nothing yet if last < first. */
struct hull {
	uint64_t first;
	uint64_t last;
};

#define HULL_NONE             \
	{                     \
		UINT64_MAX, 0 \
	}

ENGINE_INLINE void hull_add(struct hull *hull, uint64_t first, uint64_t last)
{
	if (first < hull->first) {
		hull->first = first;
	}
	if (last > hull->last) {
		hull->last = last;
	}
}

ENGINE_INLINE void hull_owe(struct s2_gather *g, const struct hull *hull, unsigned level)
{
	if (hull->first <= hull->last) {
		owe_leaves(g, hull->first, hull->last, level);
	}
}

/* How many of the next count items, of which the first is one, point to tables. */
ENGINE_COLD size_t count_tables(const struct cursor *c, size_t count)
{
	const uint64_t *item = cursor_item(c);
	size_t n = 1;

	while (n < count && fmt_is_table(item_load_whole(c->s, &item[n], c->level), c->level)) {
		n++;
	}
	return n;
}

/* Takes the tables out that the next count items point to; all that they translate is in the range. */
ENGINE_COLD void unlink_tables(const struct cursor *c, struct s2_gather *g, size_t count)
{
	uint64_t *item = cursor_item(c);
	uint64_t last = item_last(c->gpa + ((uint64_t)(count - 1) << fmt_lg2(c->level)), c->level);

	s2_walk_cache_drop(c->s, c->gpa, last);
	if (fmt_purges()) {
		struct s2_place place = cursor_place(c);

		c->s->config.mmu->invalidate(c->s->config.mmu_cookie, &place, count);
	}
	owe_walk(g, c->gpa, last < c->last ? last : c->last);
	g->events.written += count;
	for (size_t i = 0; i < count; i++) {
		uint64_t *table = item_table(c->s, item_load(&item[i]), c->level);

		item_store(&item[i], fmt_none(c->level));
		table_retire_all(c->s, g, table, c->level - 1);
	}
}

/* Makes count items none, all of them leaves. */
ENGINE_INLINE void leaves_clear(const struct cursor *c, size_t first, size_t count)
{
	uint64_t *item = cursor_item(c) + first;

	if (fmt_purges() && count > 0) {
		struct s2_place place = cursor_place(c);

		place.gpa.val += (uint64_t)first << fmt_lg2(c->level);
		place.item += first;
		place.index += (uint32_t)first;
		c->s->config.mmu->invalidate(c->s->config.mmu_cookie, &place, count);
	}
	items_store(item, count, fmt_none(c->level), 0);
}

/*
 * Makes the leaves none that are among the next count items, and owes their flush. Stops at the first
 * table; returns how many items that took.
 */
ENGINE_INLINE size_t unmap_items(const struct cursor *c, struct s2_gather *g, unsigned level,
				 size_t count)
{
	const uint64_t *item = cursor_item(c);
	struct hull hull = HULL_NONE;
	size_t i = 0;

	while (i < count) {
		size_t start = i;
		uint64_t v = item_load(&item[i]);

		while (fmt_is_leaf(v, level) && ++i < count) {
			v = item_load(&item[i]);
		}
		if (i > start) {
			leaves_clear(c, start, i - start);
			g->events.written += i - start;
			hull_add(&hull, c->gpa + ((uint64_t)start << fmt_lg2(level)),
				 c->gpa + (((uint64_t)i << fmt_lg2(level)) - 1));
		} else if (fmt_is_table(v, level)) {
			break;
		} else {
			i++;
		}
	}
	if (!fmt_purges()) {
		hull_owe(g, &hull, level);
	}
	return i;
}

ENGINE_FUNCTION enum s2_err engine_unmap(struct s2_space *s, struct s2_range range,
					 struct s2_gather *g, struct s2_budget *budget)
{
	uint64_t last = s2_range_last(range).val;
	enum s2_err err = cut_ends(s, g, range.start.val, last);
	struct cursor c;
	bool more = err == S2_OK;

	cursor_start(&c, s, range.start.val, last, budget);
	while (more) {
		uint64_t v = item_load_whole(s, cursor_item(&c), c.level);

		if (fmt_is_table(v, c.level) && cursor_covers(&c)) {
			size_t count = cursor_whole_items(&c);

			if (c.visits == 0) {
				break;
			}
			count = count_tables(&c, count < c.visits ? count : (size_t)c.visits);
			c.visits -= count;
			unlink_tables(&c, g, count);
			more = cursor_skip(&c, count);
		} else if (!cursor_is_whole(&c)) {
			/* The ends are cut: this is a table, or there is nothing. */
			if (!fmt_is_table(v, c.level)) {
				more = cursor_next(&c);
			} else if (!cursor_down(&c, v)) {
				break;
			}
		} else {
			more = cursor_skip(&c, unmap_items(&c, g, c.level, cursor_whole_items(&c)));
		}
	}
	if (budget != NULL && err == S2_OK) {
		budget_stop(budget, &c);
	}
	return err;
}

/* All tables but the root, which is left as it is: for the end of a space. */
ENGINE_RARE void engine_retire(const struct s2_space *s, struct s2_gather *g)
{
	for (size_t i = 0; s->top > 0 && i < s->root_size / sizeof(*s->root); i++) {
		uint64_t v = item_load(&s->root[i]);

		if (fmt_is_table(v, s->top)) {
			table_retire_all(s, g, item_table(s, v, s->top), s->top - 1);
		}
	}
}
