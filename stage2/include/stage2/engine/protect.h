/* SPDX-License-Identifier: BSD-2-Clause */
/* Changing rights and marks of leaves, in place. */

/* What becomes of a leaf. arg: the attributes of new rights, or a mark, on or off. */
typedef uint64_t change_fn(const struct s2_space *s, uint64_t v, uint64_t arg, unsigned level);

ENGINE_INLINE uint64_t change_rights(const struct s2_space *s, uint64_t v, uint64_t arg,
				     unsigned level)
{
	return fmt_protect(s, v, arg, level);
}

ENGINE_INLINE uint64_t change_dirty(const struct s2_space *s, uint64_t v, uint64_t arg,
				    unsigned level)
{
	if (arg != 0 && !fmt_is_writable(s, v, level)) {
		return v; /* nobody can have written, and nobody will */
	}
	return fmt_set_dirty(s, v, level, arg != 0);
}

ENGINE_INLINE uint64_t change_accessed(const struct s2_space *s, uint64_t v, uint64_t arg,
				       unsigned level)
{
	return fmt_set_accessed(s, v, level, arg != 0);
}

/* One leaf, in which the machine may set marks meanwhile: those are kept. */
ENGINE_COLD void change_item(const struct cursor *c, size_t index, unsigned level, uint64_t v,
			     change_fn *change, uint64_t arg)
{
	struct s2_place place = cursor_place(c);
	uint64_t to = change(c->s, v, arg, level);

	place.gpa.val += (uint64_t)index << fmt_lg2(level);
	place.item += index;
	place.index += (uint32_t)index;
	while (to != v && !change_leaf(c->s, &place, v, to)) {
		v = item_load(place.item);
		to = change(c->s, v, arg, level);
	}
}

/* Loads four items; false: the bits of one differ from those of like. In the order of memory. */
ENGINE_INLINE bool load_alike(const uint64_t *item, uint64_t like, uint64_t like_bits,
			      uint64_t v[4])
{
	uint64_t differ = 0;

	ENGINE_UNROLL
	for (size_t i = 0; i < 4; i++) {
		v[i] = __atomic_load_n(&item[i], __ATOMIC_RELAXED);
		differ |= v[i] ^ like;
	}
	return (differ & like_bits) == 0;
}

/*
 * Changes items from the first on while they are like it but for their address: such items change in
 * the same bits. Returns how many.
 */
ENGINE_INLINE size_t change_alike(uint64_t *item, size_t count, uint64_t flip, uint64_t like_bits)
{
	uint64_t like = __atomic_load_n(item, __ATOMIC_RELAXED);
	size_t i = 0;

	/* In the order of memory, so that nothing is swapped; four at a time. */
	flip = item_swap(flip);
	like_bits = item_swap(like_bits);
	for (; i + 4 <= count; i += 4) {
		uint64_t v[4];

		if (!load_alike(&item[i], like, like_bits, v)) {
			break;
		}
		__atomic_store_n(&item[i], v[0] ^ flip, __ATOMIC_RELAXED);
		__atomic_store_n(&item[i + 1], v[1] ^ flip, __ATOMIC_RELAXED);
		__atomic_store_n(&item[i + 2], v[2] ^ flip, __ATOMIC_RELAXED);
		__atomic_store_n(&item[i + 3], v[3] ^ flip, __ATOMIC_RELAXED);
	}
	for (; i < count; i++) {
		uint64_t v = __atomic_load_n(&item[i], __ATOMIC_RELAXED);

		if (((v ^ like) & like_bits) != 0) {
			break;
		}
		__atomic_store_n(&item[i], v ^ flip, __ATOMIC_RELAXED);
	}
	return i;
}

/* Only counts them: where something must be done to all of them before they change. */
ENGINE_INLINE size_t count_alike(const uint64_t *item, size_t count, uint64_t like_bits)
{
	uint64_t like = __atomic_load_n(item, __ATOMIC_RELAXED);
	size_t i = 0;

	like_bits = item_swap(like_bits);
	for (; i + 4 <= count; i += 4) {
		uint64_t v[4];

		if (!load_alike(&item[i], like, like_bits, v)) {
			break;
		}
	}
	while (i < count &&
	       ((__atomic_load_n(&item[i], __ATOMIC_RELAXED) ^ like) & like_bits) == 0) {
		i++;
	}
	return i;
}

/* Makes items like a leaf but for their address; four at a time as above. */
ENGINE_INLINE void store_alike(uint64_t *item, size_t count, uint64_t like, uint64_t like_bits)
{
	uint64_t keep = item_swap(~like_bits);
	size_t i = 0;

	like = item_swap(like & like_bits);
	for (; i + 4 <= count; i += 4) {
		uint64_t a = __atomic_load_n(&item[i], __ATOMIC_RELAXED) & keep;
		uint64_t b = __atomic_load_n(&item[i + 1], __ATOMIC_RELAXED) & keep;
		uint64_t c = __atomic_load_n(&item[i + 2], __ATOMIC_RELAXED) & keep;
		uint64_t d = __atomic_load_n(&item[i + 3], __ATOMIC_RELAXED) & keep;

		__atomic_store_n(&item[i], a | like, __ATOMIC_RELAXED);
		__atomic_store_n(&item[i + 1], b | like, __ATOMIC_RELAXED);
		__atomic_store_n(&item[i + 2], c | like, __ATOMIC_RELAXED);
		__atomic_store_n(&item[i + 3], d | like, __ATOMIC_RELAXED);
	}
	for (; i < count; i++) {
		uint64_t v = __atomic_load_n(&item[i], __ATOMIC_RELAXED) & keep;

		__atomic_store_n(&item[i], v | like, __ATOMIC_RELAXED);
	}
}

/*
 * The leaf v and those behind it that are like it, where machines purge: one call makes all of them
 * invalid, and then nobody else stores to them or uses them. Queries go on to read what was there, and
 * the addresses come from it. A leaf by itself is replaced: that costs no more, and no guest finds it
 * invalid. Returns how many.
 */
ENGINE_COLD size_t change_purged(const struct cursor *c, size_t index, size_t count, uint64_t v,
				 change_fn *change, uint64_t arg)
{
	uint64_t hpa_bits = fmt_hpa_bits(c->level);
	uint64_t to = change(c->s, v, arg, c->level);
	struct s2_place place = cursor_place(c);
	uint64_t *item = place.item + index;

	count = count_alike(item, count, ~hpa_bits);
	if (count == 1) {
		change_item(c, index, c->level, v, change, arg);
		return 1;
	}
	place.gpa.val += (uint64_t)index << fmt_lg2(c->level);
	place.item = item;
	place.index += (uint32_t)index;
	c->s->config.mmu->invalidate(c->s->config.mmu_cookie, &place, count);
	store_alike(item, count, to, ~hpa_bits);
	return count;
}

/* Items from first to end, counted from the cursor, have changed; a group is flushed as a whole. */
ENGINE_COLD void owe_changed(const struct cursor *c, struct s2_gather *g, unsigned level,
			     size_t first, size_t end)
{
	size_t index = item_index(c->s, c->gpa, level);
	size_t members = group_items(level);

	if (fmt_is_group(item_load(cursor_item(c) + first), level)) {
		first = ((index + first) & ~(members - 1)) - index;
	}
	if (fmt_is_group(item_load(cursor_item(c) + end - 1), level)) {
		end = ((index + end + members - 1) & ~(members - 1)) - index;
	}
	owe_leaves(g, c->gpa + ((uint64_t)first << fmt_lg2(level)),
		   c->gpa + (((uint64_t)end << fmt_lg2(level)) - 1), level);
}

/* The leaves among the next count items. Stops at the first table; returns how many items. */
ENGINE_COLD size_t change_items(const struct cursor *c, struct s2_gather *g, unsigned level,
				size_t count, change_fn *change, uint64_t arg)
{
	uint64_t *item = cursor_item(c);
	size_t first = count;
	size_t end = 0;
	size_t i = 0;

	while (i < count) {
		uint64_t v = item_load(&item[i]);
		size_t done = 1;

		if (fmt_is_leaf(v, level)) {
			uint64_t flip = v ^ change(c->s, v, arg, level);

			if (flip != 0) {
				first = i < first ? i : first;
				if (fmt_machine_writes(c->s, v, level)) {
					change_item(c, i, level, v, change, arg);
				} else if (fmt_purges()) {
					done = change_purged(c, i, count - i, v, change, arg);
				} else {
					done = change_alike(&item[i], count - i, flip,
							    ~fmt_hpa_bits(level));
				}
				g->events.written += done;
				end = i + done;
			}
		} else if (fmt_is_table(v, level)) {
			break;
		}
		i += done;
	}
	if (end != 0 && !fmt_purges()) {
		owe_changed(c, g, level, first, end);
	}
	return i;
}

/*
 * Groups change as a whole or not at all. If the next count items begin inside one, returns how many
 * to leave out; if they end inside one, *count becomes less, or, where it would be 0, all are left out.
 */
ENGINE_COLD size_t group_overhang(const struct cursor *c, unsigned level, size_t *count)
{
	size_t index = item_index(c->s, c->gpa, level);
	size_t into = index & (group_items(level) - 1);
	size_t over = (index + *count) & (group_items(level) - 1);
	const uint64_t *item = cursor_item(c);

	if (!level_has_groups(c->s, level)) {
		return 0;
	}
	/* The first item of a group is the last that changes where others make it single. */
	if (into != 0 && fmt_is_group(item_load(item - into), level)) {
		return group_items(level) - into < *count ? group_items(level) - into : *count;
	}
	if (over != 0 && fmt_is_group(item_load(item + *count - over), level)) {
		if (over >= *count) {
			return *count;
		}
		*count -= over;
	}
	return 0;
}

ENGINE_INLINE size_t change_whole_items(const struct cursor *c, struct s2_gather *g,
					change_fn *change, uint64_t arg)
{
	size_t count = cursor_whole_items(c);
	size_t skip = group_overhang(c, c->level, &count);

	return skip != 0 ? skip : change_items(c, g, c->level, count, change, arg);
}

/*
 * All leaves that lie in the range; those that stick out are left alone. The budget ends it early.
 */
ENGINE_COLD void change_range(struct cursor *c, struct s2_gather *g, change_fn *change,
			      uint64_t arg)
{
	bool more = true;

	while (more) {
		uint64_t v = item_load_whole(c->s, cursor_item(c), c->level);

		if (fmt_is_table(v, c->level)) {
			more = cursor_down(c, v);
		} else if (!cursor_is_whole(c)) {
			more = cursor_next(c);
		} else {
			more = cursor_skip(c, change_whole_items(c, g, change, arg));
		}
	}
}

ENGINE_FUNCTION enum s2_err engine_protect(struct s2_space *s, struct s2_range range, uint64_t attr,
					   struct s2_gather *g, struct s2_budget *budget)
{
	uint64_t last = s2_range_last(range).val;
	enum s2_err err = cut_ends(s, g, range.start.val, last);
	struct cursor c;

	if (err != S2_OK) {
		return err;
	}
	cursor_start(&c, s, range.start.val, last, budget);
	change_range(&c, g, change_rights, attr);
	if (budget != NULL) {
		budget_stop(budget, &c);
	}
	return S2_OK;
}
