/* SPDX-License-Identifier: BSD-2-Clause */
/* Mapping runs: try (counts tables, may fail, changes nothing), then commit (cannot fail). */

/* A run, and what its leaves look like. */
struct mapping {
	const struct s2_space *s;
	uint64_t gpa;
	uint64_t last;
	uint64_t offset; /* hpa - gpa */
	uint64_t attr;
	unsigned fit_lg2; /* no leaf can be larger: gpa and hpa agree in so many low bits */
};

ENGINE_INLINE struct mapping mapping_of(const struct s2_space *s, const struct s2_run *run,
					uint64_t attr)
{
	uint64_t differ = run->gpa.val ^ run->hpa.val;
	struct mapping m = {
		.s = s,
		.gpa = run->gpa.val,
		.last = run->gpa.val + (run->len - 1),
		.offset = run->hpa.val - run->gpa.val,
		.attr = attr,
		.fit_lg2 = differ == 0 ? 63 : (unsigned)__builtin_ctzll(differ),
	};

	return m;
}

/* May items of this level be leaves of the run, where they are whole? */
ENGINE_INLINE bool mapping_fits(const struct mapping *m, unsigned level)
{
	return level == 0 || (level_has_leaves(m->s, level) && fmt_lg2(level) <= m->fit_lg2);
}

/* The tables that make a chain of need: one for each span of a level, counted once. */
struct need {
	struct s2_table_count tables;
	uint64_t counted[FMT_LEVELS]; /* last byte of the newest table that was counted; or 0 */
};

/* [gpa, last] is in one item of this level, which will point to a table. */
ENGINE_FUNCTION void need_table(struct need *need, const struct mapping *m, unsigned level,
				uint64_t gpa, uint64_t last)
{
	unsigned below = level - 1;

	if (need->counted[below] != item_last(gpa, level)) {
		need->counted[below] = item_last(gpa, level);
		need->tables.count[table_class(below)]++;
	}
	if (below == 0) {
		return;
	}
	if (mapping_fits(m, below)) {
		/* What is whole becomes leaves: tables are for the ends alone. */
		if (item_first(gpa, below) != gpa) {
			uint64_t end = item_last(gpa, below);

			need_table(need, m, below, gpa, end < last ? end : last);
			if (end >= last) {
				return;
			}
		}
		if (item_last(last, below) != last) {
			need_table(need, m, below, item_first(last, below), last);
		}
		return;
	}
	while (gpa <= last) {
		uint64_t end = item_last(gpa, below);

		need_table(need, m, below, gpa, end < last ? end : last);
		if (end >= last) {
			break;
		}
		gpa = end + 1;
	}
}

ENGINE_RARE void need_root(struct need *need, const struct mapping *m, unsigned top)
{
	uint64_t gpa = m->gpa;

	for (;;) {
		uint64_t end = item_last(gpa, top);
		bool whole = item_first(gpa, top) == gpa && end <= m->last;

		if (!whole || !mapping_fits(m, top)) {
			need_table(need, m, top, gpa, end < m->last ? end : m->last);
		}
		if (end >= m->last) {
			return;
		}
		gpa = end + 1;
	}
}

ENGINE_RARE void engine_bound(const struct s2_space *s, const struct s2_run *runs, size_t run_count,
			      struct s2_table_count *out)
{
	struct need need = {.counted = {0}};

	for (size_t i = 0; i < run_count; i++) {
		struct mapping m = mapping_of(s, &runs[i], 0);

		if (s->top > 0) {
			need_root(&need, &m, s->top);
		}
	}
	*out = need.tables;
}

/* Does a leaf that is there say what the mapping wants of the bytes from gpa on? */
ENGINE_RARE bool leaf_agrees(const struct mapping *m, uint64_t v, unsigned level, uint64_t gpa)
{
	const struct s2_space *s = m->s;
	struct s2_leaf is;
	struct s2_leaf wanted;
	uint64_t hpa = fmt_hpa(s, v, level, item_first(gpa, level));

	fmt_decode(s, v, level, &is);
	fmt_decode(s, fmt_leaf(s, m->attr, 0, level), level, &wanted);
	return hpa + (gpa - item_first(gpa, level)) == gpa + m->offset && is.prot == wanted.prot &&
	       is.mem == wanted.mem;
}

/* How many of count items say nothing, from the first on. */
ENGINE_INLINE size_t items_none(const uint64_t *item, unsigned level, size_t count)
{
	size_t i = 0;

	while (i < count && item_load(&item[i]) == fmt_none(level)) {
		i++;
	}
	return i;
}

/*
 * Can the run be mapped, and what does it take? Where the budget ends it, the cursor is not done.
 */
ENGINE_FUNCTION enum s2_err map_try(const struct mapping *m, struct need *need, struct cursor *c)
{
	for (;;) {
		unsigned level = c->level;
		bool whole = cursor_is_whole(c);
		uint64_t v = item_load_whole(m->s, cursor_item(c), level);

		if (fmt_is_table(v, level)) {
			if (!cursor_down(c, v)) {
				return S2_OK;
			}
			continue;
		}
		if (fmt_is_leaf(v, level)) {
			if (!leaf_agrees(m, v, level, c->gpa)) {
				return S2_ERR_EXISTS;
			}
		} else if (whole && mapping_fits(m, level)) {
			if (!cursor_skip(
				    c, items_none(cursor_item(c), level, cursor_whole_items(c)))) {
				break;
			}
			continue;
		} else {
			uint64_t end = item_last(c->gpa, level);

			if (c->visits == 0) {
				return S2_OK;
			}
			c->visits--;
			need_table(need, m, level, c->gpa, end < c->last ? end : c->last);
		}
		if (!cursor_next(c)) {
			break;
		}
	}
	return S2_OK;
}

/*
 * Writes count leaves, all wholly of the run, from gpa on: groups where a whole one is among them.
 * live: other processors see the table.
 */
ENGINE_INLINE void leaves_write(const struct mapping *m, uint64_t *item, unsigned level,
				size_t count, uint64_t gpa, bool live)
{
	uint64_t step = fmt_step(level);
	uint64_t leaf = fmt_leaf(m->s, m->attr, gpa + m->offset, level);
	size_t members = group_items(level);

	if (level_has_groups(m->s, level) && count >= members &&
	    fmt_lg2(level) + fmt_group_lg2(level) <= m->fit_lg2) {
		size_t head = (size_t)(-(gpa >> fmt_lg2(level))) & (members - 1);

		if (head > count) {
			head = count;
		}
		items_store(item, head, leaf, step);
		item += head;
		count -= head;
		leaf += head * step;
		for (; count >= members; count -= members) {
			if (live) {
				items_store(item, members, fmt_group(leaf, level),
					    fmt_group_step(level));
			} else {
				items_fill(item, members, fmt_group(leaf, level),
					   fmt_group_step(level));
			}
			item += members;
			leaf += members * step;
		}
	}
	if (live || count < level_items(level)) {
		items_store(item, count, leaf, step);
	} else {
		items_fill(item, level_items(level), leaf, step);
	}
}

/* The three ways in which that is compiled: fast for pages, small for the rest. */
ENGINE_COLD void leaves_store_pages(const struct mapping *m, uint64_t *item, size_t count,
				    uint64_t gpa)
{
	leaves_write(m, item, 0, count, gpa, true);
}

ENGINE_COLD void leaves_fill_pages(const struct mapping *m, uint64_t *table, uint64_t gpa)
{
	leaves_write(m, table, 0, level_items(0), gpa, false);
	table_clear_tail(table, 0);
}

ENGINE_COLD void leaves_fill(const struct mapping *m, uint64_t *table, unsigned level, uint64_t gpa)
{
	leaves_write(m, table, level, level_items(level), gpa, false);
	table_clear_tail(table, level);
}

ENGINE_COLD void leaves_store(const struct mapping *m, uint64_t *item, unsigned level, size_t count,
			      uint64_t gpa)
{
	leaves_write(m, item, level, count, gpa, true);
}

/*
 * Links a table where there is nothing. Only where the item sticks out of the range can another
 * thread have come first; then the table is spare again.
 */
ENGINE_INLINE void map_link(struct cursor *c, struct s2_gather *g, uint64_t *table, bool whole)
{
	uint64_t pointer = fmt_table(c->s, table_hpa(c->s, table), c->level);

	if (whole) {
		item_store_release(cursor_item(c), pointer);
	} else if (!item_cas(cursor_item(c), fmt_none(c->level), pointer)) {
		table_give_back(g, table, c->level - 1);
		return;
	}
	if (c->level == 1) {
		s2_walk_cache_note(c->s, c->gpa, table);
	}
	g->events.linked++;
	g->events.written++;
	if (fmt_flush_on_map(c->s)) {
		struct s2_flush flush =
			flush_walk(item_first(c->gpa, c->level), item_last(c->gpa, c->level));

		s2_gather_add_new(g, &flush);
	}
}

/* Nothing is there, and it is not for a leaf of this level. True: the item is done with. */
ENGINE_COLD bool map_none(const struct mapping *m, struct cursor *c, struct s2_gather *g)
{
	unsigned below = c->level - 1;
	uint64_t *table = table_take(g, below);
	bool whole = cursor_is_whole(c);

	if (whole && mapping_fits(m, below)) {
		if (below == 0) {
			leaves_fill_pages(m, table, c->gpa);
		} else {
			leaves_fill(m, table, below, c->gpa);
		}
		g->events.written += level_items(below);
		map_link(c, g, table, true);
		return true;
	}
	if (below == 0) {
		items_fill(table, level_items(0), fmt_none(0), 0);
	} else {
		table_fill_none(table, below, level_items(below));
	}
	table_clear_tail(table, below);
	map_link(c, g, table, whole);
	return false;
}

/* Is there no leaf below this table? */
ENGINE_RARE bool table_is_empty(const struct s2_space *s, const uint64_t *table, unsigned level)
{
	for (size_t i = 0; i < level_items(level); i++) {
		uint64_t v = item_load(&table[i]);

		if (fmt_is_table(v, level)) {
			if (!table_is_empty(s, item_table(s, v, level), level - 1)) {
				return false;
			}
		} else if (v != fmt_none(level)) {
			return false;
		}
	}
	return true;
}

/* A table is where a leaf could be. True: it was empty, and is replaced. */
ENGINE_RARE bool map_over(const struct mapping *m, struct cursor *c, struct s2_gather *g,
			  uint64_t v)
{
	uint64_t *table = item_table(c->s, v, c->level);
	struct s2_place place = cursor_place(c);
	uint64_t leaf = fmt_leaf(m->s, m->attr, c->gpa + m->offset, c->level);

	if (!table_is_empty(c->s, table, c->level - 1)) {
		return false;
	}
	s2_walk_cache_drop(c->s, c->gpa, item_last(c->gpa, c->level));
	if (!replace_live(c->s, g, &place, v, leaf, S2_FLUSH_WALK)) {
		return false;
	}
	table_retire_all(c->s, g, table, c->level - 1);
	return true;
}

/*
 * Empty tables stand where a group of the run's leaves could be: takes them out, so that nothing is there.
 * at: so many items from the cursor on is one of them. False: not so, and nothing is changed.
 */
ENGINE_RARE bool map_clear_group(const struct mapping *m, struct cursor *c, struct s2_gather *g,
				 size_t at)
{
	unsigned level = c->level;
	size_t members = group_items(level);
	size_t index = item_index(c->s, c->gpa, level);
	size_t first = (index + at) & ~(members - 1);
	struct s2_flush flush;
	uint64_t *item;
	uint64_t gpa;

	if (level == 0 || !level_has_groups(c->s, level) || first < index ||
	    first - index + members > cursor_whole_items(c) ||
	    fmt_lg2(level) + fmt_group_lg2(level) > m->fit_lg2) {
		return false;
	}
	item = cursor_item(c) + (first - index);
	gpa = c->gpa + ((uint64_t)(first - index) << fmt_lg2(level));
	for (size_t i = 0; i < members; i++) {
		uint64_t v = item_load(&item[i]);

		if (v != fmt_none(level) &&
		    (!fmt_is_table(v, level) ||
		     !table_is_empty(c->s, item_table(c->s, v, level), level - 1))) {
			return false;
		}
	}
	for (size_t i = 0; i < members; i++) {
		uint64_t v = item_load(&item[i]);

		if (fmt_is_table(v, level)) {
			uint64_t at_gpa = gpa + ((uint64_t)i << fmt_lg2(level));

			s2_walk_cache_drop(c->s, at_gpa, item_last(at_gpa, level));
			item_store(&item[i], fmt_none(level));
			g->events.written++;
			table_retire_all(c->s, g, item_table(c->s, v, level), level - 1);
		}
	}
	flush = flush_of(S2_FLUSH_WALK, gpa, gpa + (((uint64_t)members << fmt_lg2(level)) - 1),
			 fmt_lg2(0), S2_LEVEL_ANY);
	flush_now(c->s, g, &flush);
	return true;
}

/* Whole items of a level that can have leaves of the run. False: the range ends with them. */
ENGINE_COLD bool map_leaves(const struct mapping *m, struct cursor *c, struct s2_gather *g,
			    size_t none)
{
	unsigned level = c->level;
	uint64_t gpa = c->gpa;

	if (level == 0) {
		leaves_store_pages(m, cursor_item(c), none, gpa);
	} else {
		leaves_store(m, cursor_item(c), level, none, gpa);
	}
	g->events.written += none;
	if (fmt_flush_on_map(m->s)) {
		struct s2_flush flush =
			flush_leaves(gpa, gpa + (((uint64_t)none << fmt_lg2(level)) - 1), level);

		s2_gather_add_new(g, &flush);
	}
	return cursor_skip(c, none);
}

ENGINE_COLD void map_commit(const struct mapping *m, struct s2_gather *g)
{
	struct cursor c;
	bool more = true;

	cursor_start(&c, m->s, m->gpa, m->last, NULL);
	while (more) {
		bool fits = cursor_is_whole(&c) && mapping_fits(m, c.level);
		uint64_t v = item_load_whole(m->s, cursor_item(&c), c.level);

		if (fmt_is_table(v, c.level)) {
			if (fits && map_clear_group(m, &c, g, 0)) {
				continue;
			}
			if (fits && map_over(m, &c, g, v)) {
				more = cursor_next(&c);
			} else {
				cursor_down(&c, v);
			}
		} else if (fmt_is_leaf(v, c.level)) {
			more = cursor_next(&c);
		} else if (fits) {
			size_t whole = cursor_whole_items(&c);
			size_t none = items_none(cursor_item(&c), c.level, whole);

			if (none == whole || !map_clear_group(m, &c, g, none)) {
				more = map_leaves(m, &c, g, none);
			}
		} else if (map_none(m, &c, g)) {
			more = cursor_next(&c);
		}
	}
}

/* The part of a run that lies in [first, last]. False: there is none. */
ENGINE_COLD bool run_part(const struct s2_run *run, uint64_t first, uint64_t last,
			  struct s2_run *part)
{
	uint64_t start = run->gpa.val > first ? run->gpa.val : first;
	uint64_t run_last = run->gpa.val + (run->len - 1);

	if (run_last > last) {
		run_last = last;
	}
	if (start > run_last) {
		return false;
	}
	*part = *run;
	part->gpa.val = start;
	part->hpa.val += start - run->gpa.val;
	part->len = run_last - start + 1;
	return true;
}

/* All runs from first on; if the budget ends before the runs do, *last is where. */
ENGINE_FUNCTION enum s2_err map_try_all(const struct s2_space *s, const struct s2_run *runs,
					size_t run_count, uint64_t attr,
					const struct s2_budget *budget, uint64_t first,
					uint64_t *last, struct need *need)
{
	struct cursor c;
	bool begun = false;

	for (size_t i = 0; i < run_count; i++) {
		uint64_t visits = begun ? c.visits : 0;
		struct s2_run part;
		struct mapping m;
		enum s2_err err;

		if (!run_part(&runs[i], first, *last, &part)) {
			continue;
		}
		m = mapping_of(s, &part, attr);
		cursor_start(&c, s, m.gpa, m.last, budget);
		if (begun) {
			c.visits = visits;
		}
		begun = true;
		err = map_try(&m, need, &c);
		if (err != S2_OK) {
			return err;
		}
		if (!c.done) {
			*last = c.gpa - 1;
			break;
		}
	}
	return S2_OK;
}

/* Where entries are broken before others are made, that holds across calls, too. */
ENGINE_INLINE void map_settle(const struct s2_space *s, struct s2_gather *g, uint64_t gpa,
			      uint64_t last)
{
	if (g->owes_old &&
	    (fmt_replace(s, 0, false) == S2_REPLACE_BREAK ||
	     (level_has_groups(s, 0) && fmt_replace(s, 0, true) == S2_REPLACE_BREAK))) {
		s2_gather_settle(g, s2_range(s2_gpa(gpa), last - gpa + 1));
	}
}

ENGINE_FUNCTION enum s2_err engine_map(struct s2_space *s, const struct s2_run *runs,
				       size_t run_count, unsigned prot, uint64_t attr,
				       struct s2_gather *g, struct s2_budget *budget)
{
	struct need need = {.counted = {0}};
	uint64_t first = budget != NULL && budget->rest.len != 0 ? budget->rest.start.val : 0;
	uint64_t end = runs[run_count - 1].gpa.val + (runs[run_count - 1].len - 1);
	uint64_t last = end; /* of what this call maps */
	enum s2_err err = map_try_all(s, runs, run_count, attr, budget, first, &last, &need);

	if (err == S2_OK) {
		err = s2_gather_reserve(g, need.tables);
	}
	if (err != S2_OK) {
		return err;
	}
	map_settle(s, g, first > runs[0].gpa.val ? first : runs[0].gpa.val, last);
	for (size_t i = 0; i < run_count; i++) {
		struct s2_run part;
		struct mapping m;

		if (run_part(&runs[i], first, last, &part)) {
			m = mapping_of(s, &part, attr);
			s2_map_prepare(s, &part, prot, g);
			map_commit(&m, g);
			s2_map_finish(s, &part, prot);
		}
	}
	if (budget != NULL) {
		budget->rest = last == end ? s2_range(s2_gpa(end), 0)
					   : s2_range(s2_gpa(last + 1), end - last);
	}
	return S2_OK;
}
