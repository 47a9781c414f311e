/* SPDX-License-Identifier: BSD-2-Clause */
/* Accessed and dirty: marks of whole entries, one item or a group. */

/* One entry: its items and what they translate. */
struct entry {
	const struct cursor *c;
	struct group items;
	uint64_t last;
};

ENGINE_RARE struct entry entry_of(const struct cursor *c, uint64_t v)
{
	struct entry entry = {.c = c};

	if (fmt_is_group(v, c->level)) {
		entry.items = group_around(c->s, c->table[c->level], c->gpa, c->level);
	} else {
		entry.items.item = cursor_item(c);
		entry.items.gpa = item_first(c->gpa, c->level);
		entry.items.count = 1;
		entry.items.level = c->level;
	}
	entry.last = group_last(&entry.items);
	return entry;
}

/*
 * Changes the marks of all items of an entry, whoever else may be at them. Items that another thread
 * is replacing or has replaced are left alone. Returns all marks that there were, in the last value.
 */
ENGINE_RARE uint64_t entry_change(const struct entry *entry, uint64_t joined, change_fn *change,
				  bool on)
{
	const struct s2_space *s = entry->c->s;
	unsigned level = entry->items.level;

	for (size_t i = 0; i < entry->items.count; i++) {
		struct s2_place place =
			place_of(s, entry->c->table[level], entry->items.gpa, level);
		uint64_t v;

		place.gpa.val += (uint64_t)i << fmt_lg2(level);
		place.item += i;
		place.index += (uint32_t)i;
		do {
			v = item_load(place.item);
			if (!fmt_is_leaf(v, level)) {
				break;
			}
			joined = marks_join(s, joined, v, level);
		} while (change(s, v, on, level) != v &&
			 !change_leaf(s, &place, v, change(s, v, on, level)));
	}
	return joined;
}

ENGINE_RARE uint64_t entry_marks(const struct entry *entry, uint64_t joined)
{
	for (size_t i = 0; i < entry->items.count; i++) {
		uint64_t v = item_load(&entry->items.item[i]);

		if (fmt_is_leaf(v, entry->items.level)) {
			joined = marks_join(entry->c->s, joined, v, entry->items.level);
		}
	}
	return joined;
}

ENGINE_RARE void owe_entry(struct s2_gather *g, const struct entry *entry)
{
	g->events.written += entry->items.count;
	if (!fmt_purges()) {
		owe_leaves(g, entry->items.gpa, entry->last, entry->items.level);
	}
}

/* To the next leaf at or behind the cursor. False: there is none, and the cursor is done. */
ENGINE_RARE bool cursor_find_leaf(struct cursor *c, uint64_t *v)
{
	while (!c->done) {
		*v = item_load(cursor_item(c));
		if (fmt_is_broken(*v, c->level)) {
			*v = fmt_unbreak(*v, c->level);
		}
		if (fmt_is_leaf(*v, c->level)) {
			return true;
		}
		if (fmt_is_table(*v, c->level)) {
			cursor_down(c, *v);
		} else {
			cursor_next(c);
		}
	}
	return false;
}

ENGINE_RARE uint64_t engine_age(struct s2_space *s, struct s2_range range, struct s2_gather *g)
{
	struct cursor c;
	uint64_t young = 0;
	uint64_t v;

	cursor_start(&c, s, range.start.val, s2_range_last(range).val, NULL);
	while (cursor_find_leaf(&c, &v)) {
		struct entry entry = entry_of(&c, v);
		uint64_t end = entry.last < c.last ? entry.last : c.last;

		if (fmt_is_accessed(s, entry_marks(&entry, v), c.level)) {
			entry_change(&entry, v, change_accessed, false);
			owe_entry(g, &entry);
			young += end - c.gpa + 1;
		}
		cursor_pass(&c, entry.last);
	}
	return young;
}

ENGINE_RARE enum s2_err engine_touch(struct s2_space *s, s2_gpa_t gpa, bool write,
				     struct s2_gather *g)
{
	struct cursor c;
	struct entry entry;
	uint64_t v;

	cursor_start(&c, s, gpa.val, gpa.val, NULL);
	if (!cursor_find_leaf(&c, &v) || (write && !fmt_is_writable(s, v, c.level))) {
		return S2_ERR_ABSENT;
	}
	entry = entry_of(&c, v);
	entry_change(&entry, v, change_accessed, true);
	if (write) {
		entry_change(&entry, v, change_dirty, true);
	}
	owe_entry(g, &entry);
	return S2_OK;
}

ENGINE_FUNCTION void engine_dirty_mark(struct s2_space *s, struct s2_range range, bool dirty,
				       struct s2_gather *g, struct s2_budget *budget)
{
	struct cursor c;

	cursor_start(&c, s, range.start.val, s2_range_last(range).val, budget);
	change_range(&c, g, change_dirty, dirty);
	if (budget != NULL) {
		budget_stop(budget, &c);
	}
}

/* Stretches of dirty bytes, joined before they are told. */
struct teller {
	void (*tell)(void *cookie, struct s2_range range);
	void *cookie;
	struct hull hull;
};

ENGINE_RARE void teller_flush(struct teller *teller)
{
	if (teller->hull.first <= teller->hull.last) {
		teller->tell(teller->cookie, s2_range(s2_gpa(teller->hull.first),
						      teller->hull.last - teller->hull.first + 1));
	}
	teller->hull.first = UINT64_MAX;
	teller->hull.last = 0;
}

ENGINE_RARE void teller_add(struct teller *teller, uint64_t first, uint64_t last)
{
	if (teller->hull.first > teller->hull.last || teller->hull.last + 1 != first) {
		teller_flush(teller);
	}
	hull_add(&teller->hull, first, last);
}

ENGINE_RARE void engine_dirty_collect(struct s2_space *s, struct s2_range range, bool clear,
				      void (*tell)(void *cookie, struct s2_range range),
				      void *cookie, struct s2_gather *g)
{
	struct teller teller = {.tell = tell, .cookie = cookie, .hull = HULL_NONE};
	struct cursor c;
	uint64_t v;

	cursor_start(&c, s, range.start.val, s2_range_last(range).val, NULL);
	while (cursor_find_leaf(&c, &v)) {
		struct entry entry = entry_of(&c, v);
		bool inside = entry.items.gpa >= range.start.val && entry.last <= c.last;
		uint64_t end = entry.last < c.last ? entry.last : c.last;
		uint64_t marks = entry_marks(&entry, v);

		if (fmt_is_dirty(s, marks, c.level)) {
			if (clear && inside) {
				entry_change(&entry, v, change_dirty, false);
				owe_entry(g, &entry);
			}
			teller_add(&teller, c.gpa, end);
		}
		cursor_pass(&c, entry.last);
	}
	teller_flush(&teller);
}
