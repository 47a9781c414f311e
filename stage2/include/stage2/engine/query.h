/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading: these never wait and never write. */

/* What the item says, also while it is broken. */
ENGINE_INLINE uint64_t item_peek(const uint64_t *item, unsigned level)
{
	uint64_t v = item_load(item);

	return __builtin_expect(fmt_is_broken(v, level), false) ? fmt_unbreak(v, level) : v;
}

/* Where the walk for an address ends: at a leaf or at nothing. */
ENGINE_COLD uint64_t walk_peek(const struct s2_space *s, uint64_t gpa, uint64_t **table,
			       unsigned *level)
{
	uint64_t v;

	*table = s->root;
	*level = s->top;
	for (;;) {
		v = item_peek(&(*table)[item_index(s, gpa, *level)], *level);
		if (!fmt_is_table(v, *level)) {
			return v;
		}
		*table = item_table(s, v, *level);
		--*level;
	}
}

ENGINE_FUNCTION enum s2_err engine_lookup(const struct s2_space *s, s2_gpa_t gpa, s2_hpa_t *hpa)
{
	uint64_t *table;
	unsigned level;
	uint64_t v = walk_peek(s, gpa.val, &table, &level);

	if (!fmt_is_leaf(v, level)) {
		return S2_ERR_ABSENT;
	}
	hpa->val = fmt_hpa(s, v, level, item_first(gpa.val, level)) +
		   (gpa.val & (level_size(level) - 1));
	return S2_OK;
}

ENGINE_FUNCTION void engine_query(const struct s2_space *s, s2_gpa_t gpa, struct s2_leaf *out)
{
	uint64_t *table;
	unsigned level;
	uint64_t v = walk_peek(s, gpa.val, &table, &level);
	struct group group = group_around(s, table, gpa.val, level);

	memset(out, 0, sizeof(*out));
	out->level = (uint8_t)level;
	out->range = s2_range(s2_gpa(item_first(gpa.val, level)), level_size(level));
	if (!fmt_is_leaf(v, level)) {
		return;
	}
	if (fmt_is_group(v, level)) {
		/* The items before this one may be gone by now: the address comes from this one. */
		out->range = s2_range(s2_gpa(group.gpa), (uint64_t)group.count << fmt_lg2(level));
		out->hpa.val = fmt_hpa(s, v, level, item_first(gpa.val, level)) -
			       (item_first(gpa.val, level) - group.gpa);
		for (size_t i = 0; i < group.count; i++) {
			uint64_t other = item_peek(&group.item[i], level);

			v = fmt_is_leaf(other, level) ? marks_join(s, v, other, level) : v;
		}
	} else {
		out->hpa.val = fmt_hpa(s, v, level, item_first(gpa.val, level));
	}
	out->mapped = true;
	fmt_decode(s, v, level, out);
}

ENGINE_RARE bool visit_table(const struct s2_space *s, uint64_t *table, unsigned level,
			     uint64_t gpa, bool (*visit)(void *, const struct s2_item *),
			     void *cookie)
{
	size_t count = level == s->top ? s->root_size / sizeof(*table) : level_items(level);

	for (size_t i = 0; i < count; i++) {
		struct s2_item item;
		uint64_t at = gpa + ((uint64_t)i << fmt_lg2(level));
		uint64_t v = item_load(&table[i]);

		if (at > s->last) {
			break;
		}
		item.place = place_of(s, table, at, level);
		item.broken = fmt_is_broken(v, level);
		item.value = item.broken ? fmt_unbreak(v, level) : v;
		item.kind = fmt_is_table(item.value, level)  ? S2_ITEM_TABLE
			    : fmt_is_leaf(item.value, level) ? S2_ITEM_LEAF
							     : S2_ITEM_NONE;
		if (!visit(cookie, &item)) {
			return false;
		}
		if (item.kind == S2_ITEM_TABLE && !visit_table(s, item_table(s, item.value, level),
							       level - 1, at, visit, cookie)) {
			return false;
		}
	}
	return true;
}

ENGINE_RARE bool engine_visit(const struct s2_space *s,
			      bool (*visit)(void *, const struct s2_item *), void *cookie)
{
	return visit_table(s, s->root, s->top, 0, visit, cookie);
}
