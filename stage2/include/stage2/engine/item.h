/* SPDX-License-Identifier: BSD-2-Clause */
/* Items and tables in memory: the only functions of the engine that touch them. */

#define ENGINE_INLINE static inline __attribute__((always_inline, unused))
#define ENGINE_FUNCTION static __attribute__((unused))
/* Once in the code, however many callers. */
#define ENGINE_COLD static __attribute__((noinline, unused))
/* The same, and small rather than fast. */
#define ENGINE_RARE static __attribute__((cold, noinline, unused))

/* Loops over the levels are unrolled, so that shifts and masks are constants. */
#ifdef __clang__
#define ENGINE_UNROLL _Pragma("unroll")
#else
#define ENGINE_UNROLL _Pragma("GCC unroll 8")
#endif

ENGINE_INLINE uint64_t item_swap(uint64_t v)
{
	const bool host_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

	return host_big == (FMT_BIG_ENDIAN != 0) ? v : __builtin_bswap64(v);
}

/*
 * Items of tables that are linked are read and written atomically: processors, their MMUs and other
 * threads look at them. A load acquires, because what follows may look into the table it points to.
 */
ENGINE_INLINE uint64_t item_load(const uint64_t *item)
{
	return item_swap(__atomic_load_n(item, __ATOMIC_ACQUIRE));
}

ENGINE_INLINE void item_store(uint64_t *item, uint64_t v)
{
	__atomic_store_n(item, item_swap(v), __ATOMIC_RELAXED);
}

/* Links what was written before: the new table is whole before anybody can see it. */
ENGINE_INLINE void item_store_release(uint64_t *item, uint64_t v)
{
	__atomic_store_n(item, item_swap(v), __ATOMIC_RELEASE);
}

ENGINE_INLINE bool item_cas(uint64_t *item, uint64_t old, uint64_t v)
{
	uint64_t expected = item_swap(old);

	return __atomic_compare_exchange_n(item, &expected, item_swap(v), false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

ENGINE_INLINE uint64_t item_swap_in(uint64_t *item, uint64_t v)
{
	return item_swap(__atomic_exchange_n(item, item_swap(v), __ATOMIC_ACQ_REL));
}

/* Plain stores, for tables that are not linked: the compiler may use vectors. */
ENGINE_INLINE void items_fill(uint64_t *item, size_t count, uint64_t first, uint64_t step)
{
	const uint64_t *end = item + (count & ~(size_t)7);

	for (; item < end; item += 8) {
		for (size_t j = 0; j < 8; j++) {
			item[j] = item_swap(first + j * step);
		}
		first += 8 * step;
	}
	for (size_t i = 0; i < (count & 7); i++) {
		item[i] = item_swap(first + i * step);
	}
}

ENGINE_INLINE void items_store(uint64_t *item, size_t count, uint64_t first, uint64_t step)
{
	for (size_t i = 0; i < count; i++) {
		item_store(&item[i], first + i * step);
	}
}

ENGINE_INLINE uint64_t level_size(unsigned level)
{
	return UINT64_C(1) << fmt_lg2(level);
}

ENGINE_INLINE size_t level_items(unsigned level)
{
	return (size_t)1 << fmt_items_lg2(level);
}

/* Items of a group of this level; 1 if there are none. */
ENGINE_INLINE size_t group_items(unsigned level)
{
	return (size_t)1 << fmt_group_lg2(level);
}

ENGINE_INLINE bool level_has_leaves(const struct s2_space *s, unsigned level)
{
	return (s->leaf_kinds[level] & S2_KIND_SINGLE) != 0;
}

ENGINE_INLINE bool level_has_groups(const struct s2_space *s, unsigned level)
{
	return fmt_group_lg2(level) != 0 && (s->leaf_kinds[level] & S2_KIND_GROUP) != 0;
}

/* The last byte that the item of this level around gpa translates. */
ENGINE_INLINE uint64_t item_last(uint64_t gpa, unsigned level)
{
	return gpa | (level_size(level) - 1);
}

ENGINE_INLINE uint64_t item_first(uint64_t gpa, unsigned level)
{
	return gpa & ~(level_size(level) - 1);
}

ENGINE_INLINE size_t item_index(const struct s2_space *s, uint64_t gpa, unsigned level)
{
	uint64_t number = gpa >> fmt_lg2(level);

	return (size_t)(level == s->top ? number : number & (level_items(level) - 1));
}

ENGINE_INLINE uint64_t *table_at(const struct s2_space *s, uint64_t hpa)
{
	return (uint64_t *)(uintptr_t)(hpa - s->config.tables.hpa_offset);
}

ENGINE_INLINE uint64_t table_hpa(const struct s2_space *s, const uint64_t *table)
{
	return (uint64_t)(uintptr_t)table + s->config.tables.hpa_offset;
}

/* The table that an item points to. */
ENGINE_INLINE uint64_t *item_table(const struct s2_space *s, uint64_t v, unsigned level)
{
	return table_at(s, fmt_table_hpa(s, v, level));
}

/* A table without entries; level is that of its items. */
ENGINE_FUNCTION void table_fill_none(uint64_t *table, unsigned level, size_t count)
{
	items_fill(table, count, fmt_none(level), 0);
}

/* What some formats have behind the items of a table. */
ENGINE_INLINE void table_clear_tail(uint64_t *table, unsigned level)
{
	size_t used = level_items(level) * sizeof(*table);

	if (fmt_table_bytes(level) > used) {
		memset(table + level_items(level), 0, fmt_table_bytes(level) - used);
	}
}

ENGINE_INLINE enum s2_table_class table_class(unsigned level)
{
	return level == 0 ? S2_TABLE_LEAF : S2_TABLE_UPPER;
}

/* From the gather's spares, which the caller has seen to; the contents are undefined. */
ENGINE_INLINE uint64_t *table_take(struct s2_gather *g, unsigned level)
{
	struct s2_table_list *list = &g->spare[table_class(level)];
	uint64_t *table = list->first;

	if (table == NULL) {
		/* The reservation was too small: our own bug. There is no way back from here. */
		__builtin_trap();
	}
	list->first = (uint64_t *)(uintptr_t)*s2_table_link(table);
	list->count--;
	return table;
}

ENGINE_INLINE void table_give_back(struct s2_gather *g, uint64_t *table, unsigned level)
{
	struct s2_table_list *list = &g->spare[table_class(level)];

	*s2_table_link(table) = (uint64_t)(uintptr_t)list->first;
	list->first = table;
	list->count++;
}

/*
 * A table that is no longer linked, but may still be walked until the sync: the list goes through
 * its first item, as a value that says none to an MMU. A group there goes as a whole.
 */
ENGINE_COLD void table_retire(struct s2_gather *g, uint64_t *table, unsigned level)
{
	struct s2_table_list *list = &g->unlinked[table_class(level)];

	uint64_t *link = s2_table_link(table);
	uint64_t *group = table + ((size_t)(link - table) & ~(group_items(level) - 1));

	if (fmt_group_lg2(level) != 0 && fmt_is_group(item_load(group), level)) {
		items_store(group, group_items(level), fmt_none(level), 0);
	}
	item_store(link, (uint64_t)(uintptr_t)list->first | fmt_none(level));
	list->first = table;
	list->count++;
	g->events.unlinked++;
}

/* The same for all tables below it, too. Leaf tables are not read. */
ENGINE_FUNCTION void table_retire_all(const struct s2_space *s, struct s2_gather *g,
				      uint64_t *table, unsigned level)
{
	for (size_t i = 0; level > 0 && i < level_items(level); i++) {
		uint64_t v = item_load(&table[i]);

		if (fmt_is_table(v, level)) {
			table_retire_all(s, g, item_table(s, v, level), level - 1);
		}
	}
	table_retire(g, table, level);
}

/* Another thread is replacing the entry. */
ENGINE_INLINE void wait_a_little(const struct s2_space *s)
{
	if (s->config.mmu->relax != NULL) {
		s->config.mmu->relax(s->config.mmu_cookie);
	}
}

/* The item as it is at rest: waits while it is broken. For those who change; queries never wait. */
ENGINE_INLINE uint64_t item_load_whole(const struct s2_space *s, const uint64_t *item,
				       unsigned level)
{
	uint64_t v = item_load(item);

	while (__builtin_expect(fmt_is_broken(v, level), false)) {
		wait_a_little(s);
		v = item_load(item);
	}
	return v;
}
