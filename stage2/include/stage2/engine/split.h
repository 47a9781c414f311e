/* SPDX-License-Identifier: BSD-2-Clause */
/* Splitting leaves to a size. */

/* What leaves of a size are: their level, and whether they are groups. */
struct leaf_size {
	unsigned level;
	bool group;
};

ENGINE_RARE bool leaf_size_of(const struct s2_space *s, unsigned lg2, struct leaf_size *out)
{
	for (unsigned level = 0; level <= s->top; level++) {
		if (level_has_leaves(s, level) && fmt_lg2(level) == lg2) {
			out->level = level;
			out->group = false;
			return true;
		}
		if (level_has_groups(s, level) && fmt_lg2(level) + fmt_group_lg2(level) == lg2) {
			out->level = level;
			out->group = true;
			return true;
		}
	}
	return false;
}

/* Adds the tables that replace one leaf of this level. */
ENGINE_RARE void split_need(unsigned level, unsigned to, struct s2_table_count *need)
{
	size_t count = 1;

	while (level > to) {
		level--;
		need->count[table_class(level)] += count;
		count *= level_items(level);
	}
}

/* Tables, not linked yet, that say what the leaf v says. */
ENGINE_COLD uint64_t *split_build(const struct s2_space *s, struct s2_gather *g, uint64_t v,
				  unsigned level, uint64_t gpa, const struct leaf_size *to)
{
	uint64_t *table = table_take(g, level - 1);

	split_fill(s, table, v, level, gpa, level - 1 == to->level && to->group);
	if (level - 1 == to->level) {
		return table;
	}
	for (size_t i = 0; i < level_items(level - 1); i++) {
		uint64_t first = item_first(gpa, level) + ((uint64_t)i << fmt_lg2(level - 1));
		uint64_t *below = split_build(s, g, item_swap(table[i]), level - 1, first, to);

		table[i] = item_swap(fmt_table(s, table_hpa(s, below), level - 1));
	}
	return table;
}

/* Another thread, or a mark, came between: what was built is spare again. */
ENGINE_RARE void split_drop(const struct s2_space *s, struct s2_gather *g, uint64_t *table,
			    unsigned level, unsigned to)
{
	for (size_t i = 0; level > to && i < level_items(level); i++) {
		split_drop(s, g, item_table(s, item_swap(table[i]), level), level - 1, to);
	}
	table_give_back(g, table, level);
}

/* Can there be entries to split below an item of this level that points to a table? */
ENGINE_INLINE bool is_above(const struct s2_space *s, unsigned level, const struct leaf_size *to)
{
	return level > to->level + 1 ||
	       (level == to->level + 1 && !to->group && level_has_groups(s, to->level));
}

/* To the next entry: all items of a group at once, or all that could be one. */
ENGINE_INLINE bool cursor_next_entry(struct cursor *c)
{
	uint64_t size = (uint64_t)group_items(c->level) << fmt_lg2(c->level);

	return cursor_pass(c, c->gpa | (size - 1));
}

ENGINE_INLINE bool is_larger(uint64_t v, unsigned level, const struct leaf_size *to)
{
	return level > to->level || (level == to->level && !to->group && fmt_is_group(v, level));
}

/* Counts the tables for all that is to split; the budget ends it early. */
ENGINE_RARE void split_try(struct cursor *c, const struct leaf_size *to,
			   struct s2_table_count *need)
{
	bool more = true;

	while (more) {
		uint64_t v = item_load_whole(c->s, cursor_item(c), c->level);

		if (fmt_is_table(v, c->level)) {
			if (!is_above(c->s, c->level, to)) {
				more = cursor_next(c);
			} else if (!cursor_down(c, v)) {
				return;
			}
			continue;
		}
		if (fmt_is_leaf(v, c->level) && is_larger(v, c->level, to)) {
			if (c->visits == 0) {
				return;
			}
			c->visits--;
			split_need(c->level, to->level, need);
		}
		more = c->level == to->level ? cursor_next_entry(c) : cursor_next(c);
	}
}

/* The tables of level 0 of a range of the call are linked. */
ENGINE_RARE void note_tables(const struct s2_space *s, uint64_t gpa, uint64_t last)
{
	struct cursor c;
	bool more = true;

	cursor_start(&c, s, gpa, last, NULL);
	while (more) {
		uint64_t v = item_load(cursor_item(&c));

		if (c.level > 1 && fmt_is_table(v, c.level)) {
			cursor_down(&c, v);
			continue;
		}
		if (c.level == 1 && fmt_is_table(v, 1)) {
			s2_walk_cache_note(s, c.gpa, item_table(s, v, 1));
		}
		more = cursor_next(&c);
	}
}

/* False: the entry is to be looked at again. */
ENGINE_RARE bool split_entry(const struct cursor *c, struct s2_gather *g, uint64_t v,
			     const struct leaf_size *to)
{
	struct s2_place place = cursor_place(c);
	uint64_t *table;

	if (fmt_is_group(v, c->level)) {
		group_unfold(c->s, g, c->table[c->level], c->gpa, c->level);
		return c->level == to->level;
	}
	table = split_build(c->s, g, v, c->level, c->gpa, to);
	if (!split_link(c->s, g, &place, v, table)) {
		split_drop(c->s, g, table, c->level - 1, to->level);
		return false;
	}
	if (c->level == 1) {
		s2_walk_cache_note(c->s, c->gpa, table);
	} else if (to->level == 0) {
		uint64_t last = item_last(c->gpa, c->level);

		note_tables(c->s, c->gpa, last < c->last ? last : c->last);
	}
	for (unsigned level = c->level - 1; level > to->level; level--) {
		size_t tables = (size_t)1 << (fmt_lg2(c->level) - fmt_lg2(level));

		g->events.linked += tables;
		g->events.shattered[level] += tables;
	}
	return true;
}

ENGINE_RARE enum s2_err split_range(struct s2_space *s, uint64_t gpa, uint64_t last,
				    const struct leaf_size *to, struct s2_gather *g,
				    struct s2_budget *budget)
{
	struct s2_table_count need = {{0}};
	struct cursor c;
	enum s2_err err;
	bool more = true;

	cursor_start(&c, s, gpa, last, budget);
	c.visits += c.visits != UINT64_MAX; /* the way to a group of pages takes all the others */
	split_try(&c, to, &need);
	err = s2_gather_reserve(g, need);
	if (err != S2_OK) {
		return err;
	}
	if (budget != NULL) {
		budget_stop(budget, &c);
	}
	if (!c.done) {
		if (c.gpa == gpa) {
			return S2_OK;
		}
		last = c.gpa - 1;
	}
	cursor_start(&c, s, gpa, last, NULL);
	while (more) {
		uint64_t v = item_load_whole(s, cursor_item(&c), c.level);

		if (fmt_is_table(v, c.level)) {
			if (is_above(s, c.level, to)) {
				cursor_down(&c, v);
			} else {
				more = cursor_next(&c);
			}
		} else if (!fmt_is_leaf(v, c.level) || !is_larger(v, c.level, to)) {
			more = c.level == to->level ? cursor_next_entry(&c) : cursor_next(&c);
		} else if (split_entry(&c, g, v, to)) {
			more = cursor_next(&c);
		}
	}
	return S2_OK;
}

ENGINE_RARE enum s2_err engine_split(struct s2_space *s, struct s2_range range, uint8_t lg2,
				     struct s2_gather *g, struct s2_budget *budget)
{
	struct leaf_size to;

	if (!leaf_size_of(s, lg2, &to)) {
		return S2_ERR_FORMAT;
	}
	return split_range(s, range.start.val, s2_range_last(range).val, &to, g, budget);
}
