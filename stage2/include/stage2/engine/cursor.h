/* SPDX-License-Identifier: BSD-2-Clause */
/* The cursor: a place in the tables, on the way from one end of a range to the other. */

struct cursor {
	const struct s2_space *s;
	uint64_t gpa;  /* inside the item */
	uint64_t last; /* of the range */
	uint64_t *table[FMT_LEVELS];
	unsigned level;
	bool done;	 /* the range has ended */
	uint64_t visits; /* tables that may still be visited; see struct s2_budget */
};

ENGINE_COLD void cursor_start(struct cursor *c, const struct s2_space *s, uint64_t gpa,
			      uint64_t last, const struct s2_budget *budget)
{
	c->s = s;
	c->gpa = gpa;
	c->last = last;
	c->level = s->top;
	c->done = false;
	c->table[s->top] = s->root;
	c->visits = UINT64_MAX;
	if (budget != NULL && budget->tables < UINT64_MAX - s->top) {
		c->visits = budget->tables + s->top; /* so that each call gets somewhere */
	}
}

ENGINE_INLINE uint64_t *cursor_item(const struct cursor *c)
{
	return &c->table[c->level][item_index(c->s, c->gpa, c->level)];
}

/* Is all that the item translates in what is left of the range? */
ENGINE_INLINE bool cursor_is_whole(const struct cursor *c)
{
	return item_first(c->gpa, c->level) == c->gpa && item_last(c->gpa, c->level) <= c->last;
}

/* Is all of the item that lies in the space? Items may be larger than it, and no range is. */
ENGINE_INLINE bool cursor_covers(const struct cursor *c)
{
	return item_first(c->gpa, c->level) == c->gpa &&
	       (item_last(c->gpa, c->level) <= c->last || c->last == c->s->last);
}

/* How many items, from a whole one to the end of the table, are whole. */
ENGINE_COLD size_t cursor_whole_items(const struct cursor *c)
{
	uint64_t left = (c->last - c->gpa) >> fmt_lg2(c->level);
	uint64_t in_table;

	left += ((c->last - c->gpa) & (level_size(c->level) - 1)) == level_size(c->level) - 1;
	if (c->level == c->s->top) {
		return (size_t)left;
	}
	in_table = level_items(c->level) - item_index(c->s, c->gpa, c->level);
	return (size_t)(left < in_table ? left : in_table);
}

/* To the byte behind last, upwards where a table ends there. False: the range ends with it. */
ENGINE_COLD bool cursor_pass(struct cursor *c, uint64_t last)
{
	if (last >= c->last) {
		c->done = true;
		return false;
	}
	c->gpa = last + 1;
	while (c->level < c->s->top && (c->gpa & (level_size(c->level + 1) - 1)) == 0) {
		c->level++;
	}
	return true;
}

ENGINE_INLINE bool cursor_next(struct cursor *c)
{
	return cursor_pass(c, item_last(c->gpa, c->level));
}

/* Past count whole items. */
ENGINE_INLINE bool cursor_skip(struct cursor *c, size_t count)
{
	return cursor_pass(c, c->gpa + (((uint64_t)count << fmt_lg2(c->level)) - 1));
}

/* Into the table that the item points to. False: the budget is used up, and nothing is changed. */
ENGINE_COLD bool cursor_down(struct cursor *c, uint64_t v)
{
	if (c->visits == 0) {
		return false;
	}
	c->visits--;
	c->table[c->level - 1] = item_table(c->s, v, c->level);
	c->level--;
	return true;
}

/* Where the cursor stopped before the end is where the next call goes on. */
ENGINE_INLINE void budget_stop(struct s2_budget *budget, const struct cursor *c)
{
	budget->rest = c->done ? s2_range(s2_gpa(c->last), 0)
			       : s2_range(s2_gpa(c->gpa), c->last - c->gpa + 1);
}

ENGINE_COLD struct s2_place place_of(const struct s2_space *s, uint64_t *table, uint64_t gpa,
				     unsigned level)
{
	struct s2_place place = {
		.gpa = s2_gpa(item_first(gpa, level)),
		.table = s2_hpa(table_hpa(s, table)),
		.item = &table[item_index(s, gpa, level)],
		.index = (uint32_t)item_index(s, gpa, level),
		.level = (uint8_t)level,
		.lg2 = (uint8_t)fmt_lg2(level),
	};

	return place;
}

ENGINE_INLINE struct s2_place cursor_place(const struct cursor *c)
{
	return place_of(c->s, c->table[c->level], c->gpa, c->level);
}

ENGINE_INLINE struct s2_flush flush_of(enum s2_flush_kind kind, uint64_t gpa, uint64_t last,
				       unsigned stride_lg2, unsigned level)
{
	struct s2_flush flush = {
		.kind = kind,
		.range = s2_range(s2_gpa(gpa), last - gpa + 1),
		.stride_lg2 = (uint8_t)stride_lg2,
		.level = (uint8_t)level,
	};

	return flush;
}

/* Of leaves of this level, or of groups of them. */
ENGINE_INLINE struct s2_flush flush_leaves(uint64_t gpa, uint64_t last, unsigned level)
{
	return flush_of(S2_FLUSH_LEAF, gpa, last, fmt_lg2(level), level);
}

/* Of a table and all that it leads to. */
ENGINE_INLINE struct s2_flush flush_walk(uint64_t gpa, uint64_t last)
{
	return flush_of(S2_FLUSH_WALK, gpa, last, fmt_lg2(0), S2_LEVEL_ANY);
}

/* What was there is owed a flush. */
ENGINE_COLD void owe_leaves(struct s2_gather *g, uint64_t gpa, uint64_t last, unsigned level)
{
	struct s2_flush flush = flush_leaves(gpa, last, level);

	s2_gather_add(g, &flush);
}

ENGINE_COLD void owe_walk(struct s2_gather *g, uint64_t gpa, uint64_t last)
{
	struct s2_flush flush = flush_walk(gpa, last);

	s2_gather_add(g, &flush);
}

ENGINE_INLINE void flush_now(const struct s2_space *s, struct s2_gather *g,
			     const struct s2_flush *flush)
{
	s->config.mmu->flush(s->config.mmu_cookie, flush, 1);
	g->events.replaced++;
}
