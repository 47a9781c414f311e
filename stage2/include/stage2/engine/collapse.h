/* SPDX-License-Identifier: BSD-2-Clause */
/* Making larger leaves out of smaller ones. */

/* A leaf without what may differ between leaves that are alike: a single item, marked. */
ENGINE_RARE uint64_t leaf_plain(const struct s2_space *s, uint64_t v, uint64_t hpa, unsigned level)
{
	v = fmt_move(s, v, level, hpa, level);
	return fmt_set_dirty(s, fmt_set_accessed(s, v, level, true), level, true);
}

/*
 * Are these items leaves, alike, and contiguous from an address that is aligned to all of them
 * together?
 */
ENGINE_RARE bool items_are_run(const struct s2_space *s, const uint64_t *item, size_t count,
			       unsigned level, uint64_t gpa)
{
	uint64_t v = item_load(item);
	uint64_t hpa;
	uint64_t plain;

	if (!fmt_is_leaf(v, level)) {
		return false;
	}
	hpa = fmt_hpa(s, v, level, gpa);
	plain = leaf_plain(s, v, hpa, level);
	if ((hpa & ((count << fmt_lg2(level)) - 1)) != 0) {
		return false;
	}
	for (size_t i = 1; i < count; i++) {
		uint64_t offset = (uint64_t)i << fmt_lg2(level);

		v = item_load(&item[i]);
		if (!fmt_is_leaf(v, level) || fmt_hpa(s, v, level, gpa + offset) != hpa + offset ||
		    leaf_plain(s, v, hpa, level) != plain) {
			return false;
		}
	}
	return true;
}

/* The leaf of the level above that says what the items of a table say, with all their marks. */
ENGINE_RARE uint64_t items_leaf(const struct s2_space *s, const uint64_t *table, unsigned level,
				uint64_t gpa)
{
	uint64_t joined = item_load(table);
	uint64_t hpa = fmt_hpa(s, joined, level, gpa);
	bool machine_writes = false;

	for (size_t i = 0; i < level_items(level); i++) {
		uint64_t v = item_load(&table[i]);

		joined = marks_join(s, joined, v, level);
		machine_writes = machine_writes || fmt_machine_writes(s, v, level);
	}
	if (machine_writes && fmt_replace(s, level + 1, false) != S2_REPLACE_BREAK) {
		/* A mark may still be set in the table that goes: call them set. */
		joined = fmt_set_accessed(s, joined, level, true);
		if (fmt_is_writable(s, joined, level)) {
			joined = fmt_set_dirty(s, joined, level, true);
		}
	}
	return fmt_move(s, joined, level, hpa, level + 1);
}

/* Replaces a table by the leaf that says the same. */
ENGINE_RARE void collapse_table(const struct s2_space *s, struct s2_gather *g,
				const struct s2_place *place, uint64_t v)
{
	unsigned level = place->level;
	uint64_t *table = item_table(s, v, level);
	uint64_t last = item_last(place->gpa.val, level);
	struct s2_flush flush =
		flush_of(S2_FLUSH_WALK, place->gpa.val, last, fmt_lg2(0), S2_LEVEL_ANY);

	s2_walk_cache_drop(s, place->gpa.val, last);
	if (fmt_replace(s, level, false) == S2_REPLACE_BREAK) {
		/* Not replace_live(): marks may be set until the flush, and are read after it. */
		item_store(place->item, fmt_break(v, level));
		flush_now(s, g, &flush);
		item_store_release(place->item, items_leaf(s, table, level - 1, place->gpa.val));
		owe_made(s, g, &flush);
		g->events.written++;
	} else if (!replace_live(s, g, place, v, items_leaf(s, table, level - 1, place->gpa.val),
				 S2_FLUSH_WALK)) {
		return; /* a table item changes only by a call that covers it: not beside this one */
	}
	g->events.rejoined[level]++;
	table_retire(g, table, level - 1);
}

/* Folds the groups of a table that lie in the range. */
ENGINE_RARE void fold_groups(const struct s2_space *s, struct s2_gather *g, uint64_t *table,
			     unsigned level, uint64_t gpa, uint64_t last)
{
	uint64_t size = (uint64_t)group_items(level) << fmt_lg2(level);

	gpa = (gpa + (size - 1)) & ~(size - 1);
	for (; gpa <= last && last - gpa >= size - 1; gpa += size) {
		struct group group = group_around(s, table, gpa, level);
		uint64_t v = item_load(group.item);

		if (fmt_is_group(v, level) ||
		    !items_are_run(s, group.item, group.count, level, gpa)) {
			continue;
		}
		while (!group_rewrite(s, g, &group, v, true)) {
			v = item_load(group.item); /* the machine has set a mark */
		}
		if (last - gpa == size - 1) {
			break;
		}
	}
}

/* A walk that collapses from below, so that leaves that it made can make larger ones. */
struct collapse {
	struct s2_space *s;
	struct s2_gather *g;
	uint64_t first;
	uint64_t last;
	unsigned lg2;
	uint64_t visits;
	uint64_t stop; /* the budget ended here */
	bool stopped;
};

ENGINE_RARE void collapse_items(struct collapse *w, uint64_t *table, unsigned level, uint64_t gpa,
				uint64_t last);

/* An item that points to a table, after all that is below it. */
ENGINE_RARE void collapse_item(struct collapse *w, uint64_t *table, unsigned level, uint64_t gpa,
			       uint64_t v)
{
	uint64_t *below = item_table(w->s, v, level);
	struct s2_place place = place_of(w->s, table, gpa, level);
	uint64_t first = place.gpa.val;
	uint64_t last = item_last(gpa, level);
	bool whole = first >= w->first && (last <= w->last || w->last == w->s->last);

	if (w->visits == 0) {
		w->stopped = true;
		w->stop = gpa;
		return;
	}
	w->visits--;
	collapse_items(w, below, level - 1, gpa, last < w->last ? last : w->last);
	if (w->stopped) {
		return;
	}
	if (whole && table_is_empty(w->s, below, level - 1)) {
		struct cursor c;

		cursor_start(&c, w->s, first, last < w->last ? last : w->last, NULL);
		c.level = level;
		c.table[level] = table;
		unlink_tables(&c, w->g, 1);
	} else if (whole && level_has_leaves(w->s, level) && fmt_lg2(level) <= w->lg2 &&
		   items_are_run(w->s, below, level_items(level - 1), level - 1, first)) {
		collapse_table(w->s, w->g, &place, v);
	} else if (level_has_groups(w->s, level - 1) &&
		   fmt_lg2(level - 1) + fmt_group_lg2(level - 1) <= w->lg2) {
		fold_groups(w->s, w->g, below, level - 1, gpa, last < w->last ? last : w->last);
	}
}

/* The items of a table that translate gpa to last. */
ENGINE_RARE void collapse_items(struct collapse *w, uint64_t *table, unsigned level, uint64_t gpa,
				uint64_t last)
{
	while (level > 0 && !w->stopped) {
		uint64_t *item = &table[item_index(w->s, gpa, level)];
		uint64_t v = item_load_whole(w->s, item, level);

		if (fmt_is_table(v, level)) {
			collapse_item(w, table, level, gpa, v);
		}
		if (item_last(gpa, level) >= last) {
			break;
		}
		gpa = item_last(gpa, level) + 1;
	}
}

/* With a size of 0 it takes out empty tables, and nothing else. */
ENGINE_RARE void engine_collapse_all(struct s2_space *s, struct s2_range range, uint8_t lg2,
				     struct s2_gather *g, struct s2_budget *budget)
{
	struct collapse w = {
		.s = s,
		.g = g,
		.first = range.start.val,
		.last = s2_range_last(range).val,
		.lg2 = lg2,
		.visits = UINT64_MAX,
	};

	if (budget != NULL && budget->tables < UINT64_MAX - s->top) {
		w.visits = budget->tables + s->top;
	}
	collapse_items(&w, s->root, s->top, w.first, w.last);
	if (!w.stopped && level_has_groups(s, s->top) &&
	    fmt_lg2(s->top) + fmt_group_lg2(s->top) <= lg2) {
		fold_groups(s, g, s->root, s->top, w.first, w.last);
	}
	if (budget != NULL) {
		budget->rest = w.stopped ? s2_range(s2_gpa(w.stop), w.last - w.stop + 1)
					 : s2_range(s2_gpa(w.last), 0);
	}
}
