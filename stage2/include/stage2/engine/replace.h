/* SPDX-License-Identifier: BSD-2-Clause */
/* Replacing what is live: one entry by another, a leaf by a table, a group by single items. */

/* What was broken is made: processors may remember that nothing was there. */
ENGINE_INLINE void owe_made(const struct s2_space *s, struct s2_gather *g,
			    const struct s2_flush *flush)
{
	if (fmt_flush_on_map(s)) {
		s2_gather_add_new(g, flush);
	}
}

/*
 * Replaces a live item by another live one that translates the same bytes. False: the item is not old
 * any more, because the machine set a mark in it or another thread came first; nothing is changed.
 */
ENGINE_FUNCTION bool replace_live(const struct s2_space *s, struct s2_gather *g,
				  const struct s2_place *place, uint64_t old, uint64_t v,
				  enum s2_flush_kind kind)
{
	unsigned level = place->level;
	uint64_t last = item_last(place->gpa.val, level);
	struct s2_flush flush =
		kind == S2_FLUSH_LEAF
			? flush_of(kind, place->gpa.val, last, fmt_lg2(level), level)
			: flush_of(kind, place->gpa.val, last, fmt_lg2(0), S2_LEVEL_ANY);

	switch (fmt_replace(s, level, false)) {
	case S2_REPLACE_BREAK:
		if (!item_cas(place->item, old, fmt_break(old, level))) {
			return false;
		}
		flush_now(s, g, &flush);
		item_store_release(place->item, v);
		flush.kind = S2_FLUSH_WALK; /* where nothing was for a while, a table may be now */
		owe_made(s, g, &flush);
		break;
	case S2_REPLACE_FADE:
		/* A leaf that goes is marked before the change, a leaf that comes until after it. */
		if (kind == S2_FLUSH_LEAF) {
			if (fmt_fade(old, level) != old) {
				if (item_cas(place->item, old, fmt_fade(old, level))) {
					flush_now(s, g, &flush);
				}
				return false; /* the caller comes again, with the faded leaf */
			}
			if (!item_cas(place->item, old, v)) {
				return false;
			}
		} else {
			if (!item_cas(place->item, old, fmt_fade(v, level))) {
				return false;
			}
			flush_now(s, g, &flush);
			item_store_release(place->item, v);
		}
		s2_gather_add(g, &flush);
		break;
	case S2_REPLACE_SWAP:
		if (!item_cas(place->item, old, v)) {
			return false;
		}
		if (fmt_flush_on_map(s) && s2_gather_owes_at(g, flush.range)) {
			flush.kind =
				S2_FLUSH_WALK; /* nothing was there before, for all they know */
		}
		s2_gather_add(g, &flush);
		break;
	case S2_REPLACE_PURGE:
		if (!s->config.mmu->replace(s->config.mmu_cookie, place, old, v)) {
			return false;
		}
		break;
	}
	g->events.written++;
	return true;
}

/* Changes rights or marks of a leaf, which no machine wants broken for that. False as above. */
ENGINE_INLINE bool change_leaf(const struct s2_space *s, const struct s2_place *place, uint64_t old,
			       uint64_t v)
{
	if (fmt_purges()) {
		return s->config.mmu->replace(s->config.mmu_cookie, place, old, v);
	}
	return item_cas(place->item, old, v);
}

/* Items around one that is part of a group. */
struct group {
	uint64_t *item;
	uint64_t gpa;
	size_t count;
	unsigned level;
};

ENGINE_RARE struct group group_around(const struct s2_space *s, uint64_t *table, uint64_t gpa,
				      unsigned level)
{
	size_t count = group_items(level);
	struct group group = {
		.item = &table[item_index(s, gpa, level) & ~(count - 1)],
		.gpa = item_first(gpa, level) & ~((uint64_t)(count << fmt_lg2(level)) - 1),
		.count = count,
		.level = level,
	};

	return group;
}

ENGINE_INLINE uint64_t group_last(const struct group *group)
{
	return group->gpa + (((uint64_t)group->count << fmt_lg2(group->level)) - 1);
}

/* The marks of v and of another item of its entry: machines may set them in any of the items. */
ENGINE_RARE uint64_t marks_join(const struct s2_space *s, uint64_t v, uint64_t other,
				unsigned level)
{
	if (fmt_is_accessed(s, other, level) && !fmt_is_accessed(s, v, level)) {
		v = fmt_set_accessed(s, v, level, true);
	}
	if (fmt_is_dirty(s, other, level) && !fmt_is_dirty(s, v, level)) {
		v = fmt_set_dirty(s, v, level, true);
	}
	return v;
}

/*
 * Makes the items of a live group single ones with the same translations, or the other way round.
 * Whoever breaks or swaps the first item has the group; an item that is still of the group while the
 * first is not belongs to somebody who is at it. False: the first item is not old any more.
 */
ENGINE_RARE bool group_rewrite(const struct s2_space *s, struct s2_gather *g,
			       const struct group *group, uint64_t old, bool to_group)
{
	unsigned level = group->level;
	bool breaks = fmt_replace(s, level, true) == S2_REPLACE_BREAK;
	uint64_t hpa = fmt_hpa(s, old, level, group->gpa);
	uint64_t first = fmt_move(s, old, level, hpa, level);
	uint64_t step = to_group ? fmt_group_step(level) : fmt_step(level);
	struct s2_flush flush =
		flush_of(S2_FLUSH_LEAF, group->gpa, group_last(group), fmt_lg2(level), level);

	if (!item_cas(group->item, old,
		      breaks	 ? fmt_break(old, level)
		      : to_group ? fmt_group(first, level)
				 : first)) {
		return false;
	}
	for (size_t i = 1; i < group->count; i++) {
		uint64_t was = breaks ? item_swap_in(&group->item[i],
						     fmt_break(item_load(&group->item[i]), level))
				      : item_load(&group->item[i]);

		first = marks_join(s, first, was, level);
	}
	if (!breaks && fmt_machine_writes(s, first, level)) {
		/* A mark may be set until the last store: call them set. */
		first = fmt_set_accessed(s, first, level, true);
		if (fmt_is_writable(s, first, level)) {
			first = fmt_set_dirty(s, first, level, true);
		}
	}
	if (to_group) {
		first = fmt_group(first, level);
	}
	if (breaks) {
		flush_now(s, g, &flush);
	} else {
		s2_gather_add(g, &flush);
	}
	for (size_t i = group->count; i-- > 0;) {
		item_store_release(&group->item[i], first + i * step);
	}
	if (breaks) {
		owe_made(s, g, &flush);
	}
	g->events.written += group->count;
	g->events.folded += to_group;
	g->events.unfolded += !to_group;
	return true;
}

/*
 * Makes the items of a live group single ones, each by itself: for machines that allow both side by side.
 * Any number of threads may be at it, or change items that are done. The first item comes last.
 */
ENGINE_RARE void group_swap(const struct s2_space *s, struct s2_gather *g,
			    const struct group *group)
{
	unsigned level = group->level;
	struct s2_flush flush =
		flush_of(S2_FLUSH_LEAF, group->gpa, group_last(group), fmt_lg2(level), level);
	uint64_t marks = item_load(group->item);

	for (size_t i = 1; i < group->count; i++) {
		uint64_t v = item_load(&group->item[i]);

		marks = fmt_is_leaf(v, level) ? marks_join(s, marks, v, level) : marks;
	}
	if (fmt_machine_writes(s, marks, level)) {
		/* A mark may be set in an item that is still of the group: call them set. */
		marks = fmt_set_accessed(s, marks, level, true);
		if (fmt_is_writable(s, marks, level)) {
			marks = fmt_set_dirty(s, marks, level, true);
		}
	}
	s2_gather_add(g, &flush);
	for (size_t i = group->count; i-- > 0;) {
		uint64_t gpa = group->gpa + ((uint64_t)i << fmt_lg2(level));
		uint64_t v = item_load(&group->item[i]);

		while (fmt_is_group(v, level)) {
			uint64_t to = fmt_move(s, v, level, fmt_hpa(s, v, level, gpa), level);

			if (item_cas(&group->item[i], v, marks_join(s, to, marks, level))) {
				g->events.written++;
				break;
			}
			v = item_load(&group->item[i]);
		}
	}
	g->events.unfolded++;
}

/*
 * Makes the group around gpa single items. Whoever is at it, the first item is the last to change: while
 * it is broken or of the group the others may still be written to, and behind this call they may not.
 */
ENGINE_RARE void group_unfold(const struct s2_space *s, struct s2_gather *g, uint64_t *table,
			      uint64_t gpa, unsigned level)
{
	struct group group = group_around(s, table, gpa, level);

	for (;;) {
		uint64_t first = item_load_whole(s, group.item, level);

		if (!fmt_is_group(first, level)) {
			return;
		}
		if (fmt_replace(s, level, true) == S2_REPLACE_BREAK) {
			group_rewrite(s, g, &group, first, false);
		} else {
			group_swap(s, g, &group);
		}
	}
}

/*
 * Fills a table, not linked yet, with leaves that together are the leaf v of the level above, in the
 * largest entries that the space has there.
 */
ENGINE_COLD void split_fill(const struct s2_space *s, uint64_t *table, uint64_t v, unsigned level,
			    uint64_t gpa, bool groups)
{
	unsigned below = level - 1;
	uint64_t hpa = fmt_hpa(s, v, level, item_first(gpa, level));
	uint64_t leaf = fmt_move(s, v, level, hpa, below);

	if (groups && level_has_groups(s, below)) {
		for (size_t i = 0; i < level_items(below); i += group_items(below)) {
			items_fill(&table[i], group_items(below),
				   fmt_group(leaf + i * fmt_step(below), below),
				   fmt_group_step(below));
		}
	} else if (below == 0) {
		items_fill(table, level_items(0), leaf, fmt_step(0));
	} else {
		items_fill(table, level_items(below), leaf, fmt_step(below));
	}
	table_clear_tail(table, below);
}

/* Replaces the live leaf v by the table. False: it is not v any more; the table is spare again. */
ENGINE_FUNCTION bool split_link(const struct s2_space *s, struct s2_gather *g,
				const struct s2_place *place, uint64_t v, uint64_t *table)
{
	uint64_t pointer = fmt_table(s, table_hpa(s, table), place->level);

	if (!replace_live(s, g, place, v, pointer, S2_FLUSH_LEAF)) {
		return false;
	}
	g->events.linked++;
	g->events.shattered[place->level]++;
	return true;
}

/*
 * Sees to it that no entry spans the boundary before gpa: a chain of tables is built down to where the
 * boundary is one, and linked in one step. cut_need() has told how many tables that takes.
 */
ENGINE_RARE void cut_leaf(const struct s2_space *s, struct s2_gather *g,
			  const struct s2_place *place, uint64_t v, uint64_t gpa)
{
	uint64_t *taken[FMT_LEVELS];
	unsigned level = place->level;
	uint64_t leaf = v;

	do {
		uint64_t *table = table_take(g, level - 1);
		uint64_t *item = &table[item_index(s, gpa, level - 1)];

		split_fill(s, table, leaf, level, gpa, true);
		taken[level - 1] = table;
		if (level < place->level) {
			taken[level][item_index(s, gpa, level)] =
				item_swap(fmt_table(s, table_hpa(s, table), level));
		}
		level--;
		leaf = item_swap(*item);
		if (fmt_is_group(leaf, level)) {
			struct group group = group_around(s, table, gpa, level);

			leaf = fmt_move(s, item_swap(*group.item), level,
					fmt_hpa(s, item_swap(*group.item), level, group.gpa),
					level);
			if (group.gpa != gpa) {
				items_fill(group.item, group.count, leaf, fmt_step(level));
			}
			leaf = item_swap(*item);
		}
	} while (item_first(gpa, level) != gpa);

	if (split_link(s, g, place, v, taken[place->level - 1])) {
		/* This table has both sides of the boundary: one of them is the caller's. */
		if (level == 0) {
			s2_walk_cache_note(s, gpa, taken[0]);
		}
		for (unsigned below = level; below + 1 < place->level; below++) {
			g->events.linked++;
			g->events.shattered[below + 1]++;
		}
		return;
	}
	for (unsigned below = level; below < place->level; below++) {
		table_give_back(g, taken[below], below);
	}
}

/*
 * The entry that could span the boundary before gpa. Waits while it is broken. A table that begins there is
 * not looked into: nothing in it spans the boundary, and it may be another thread's, who unlinks it.
 */
ENGINE_FUNCTION uint64_t walk_whole(const struct s2_space *s, uint64_t gpa, uint64_t **table,
				    unsigned *level)
{
	uint64_t v;

	*table = s->root;
	*level = s->top;
	for (;;) {
		v = item_load_whole(s, &(*table)[item_index(s, gpa, *level)], *level);
		if (!fmt_is_table(v, *level) || item_first(gpa, *level) == gpa) {
			return v;
		}
		*table = item_table(s, v, *level);
		--*level;
	}
}

/* See cut_leaf(). gpa is aligned to pages; one past the last byte of the space needs no cut. */
ENGINE_RARE void cut(const struct s2_space *s, struct s2_gather *g, uint64_t gpa)
{
	for (;;) {
		struct s2_place place;
		uint64_t *table;
		unsigned level;
		uint64_t v = walk_whole(s, gpa, &table, &level);

		if (!fmt_is_leaf(v, level)) {
			return;
		}
		if (level_has_groups(s, level) && group_around(s, table, gpa, level).gpa != gpa) {
			/* Even if this item is single: others of its group may not be yet. */
			group_unfold(s, g, table, gpa, level);
			if (fmt_is_group(v, level)) {
				continue;
			}
		}
		if (item_first(gpa, level) == gpa) {
			return;
		}
		place = place_of(s, table, gpa, level);
		cut_leaf(s, g, &place, v, gpa);
	}
}

/* Adds the tables that a cut at gpa may take. */
ENGINE_RARE void cut_need(const struct s2_space *s, uint64_t gpa, struct s2_table_count *need)
{
	uint64_t *table;
	unsigned level;
	uint64_t v = walk_whole(s, gpa, &table, &level);

	if (!fmt_is_leaf(v, level)) {
		return;
	}
	while (level > 0 && item_first(gpa, level) != gpa) {
		level--;
		need->count[table_class(level)]++;
	}
}

/* Both ends of a range. Fails with S2_ERR_NOMEM before anything is changed. */
ENGINE_FUNCTION enum s2_err cut_ends(const struct s2_space *s, struct s2_gather *g, uint64_t gpa,
				     uint64_t last)
{
	struct s2_table_count need = {{0}};
	enum s2_err err;

	cut_need(s, gpa, &need);
	if (last < s->last) {
		cut_need(s, last + 1, &need);
	}
	err = s2_gather_reserve(g, need);
	if (err != S2_OK) {
		return err;
	}
	cut(s, g, gpa);
	if (last < s->last) {
		cut(s, g, last + 1);
	}
	return S2_OK;
}
