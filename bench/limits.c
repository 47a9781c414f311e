/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The best that this machine can do, on the same tables and with the same pages in the same order: for one
 * format, whose numbers are known when this is compiled. No checks, no locks.
 */
#include <stage2/arm64.h>
#include <stage2/riscv.h>
#include <stage2/s390.h>
#include <stage2/x86.h>
#include <string.h>

#include "bench.h"

#define LIMIT_INLINE __attribute__((always_inline)) static inline

/* What a format's tables look like. */
struct shape {
	struct s2_walk walk;
	uint64_t guest_end; /* of the space */
	/* What items of level 0 have that the machine has purged, as it must before a change; or 0. */
	uint64_t purged;
};

/* From the order of bytes in tables to the processor's, or back. */
LIMIT_INLINE uint64_t swap(const struct shape *s, uint64_t v)
{
	return s->walk.swap ? __builtin_bswap64(v) : v;
}

LIMIT_INLINE uint64_t address_in(const struct shape *s, uint64_t item)
{
	return (item & s->walk.hpa_bits) << s->walk.hpa_shift;
}

/* In the table that the item points to, whose items translate 2^lg2 bytes and which has 2^bits of them. */
LIMIT_INLINE uint64_t *step_to(const struct shape *s, const uint64_t *item, uint64_t gpa,
			       unsigned lg2, unsigned bits)
{
	uint64_t *table = (uint64_t *)(uintptr_t)address_in(s, swap(s, *item));

	return &table[(gpa >> lg2) & ((1u << bits) - 1)];
}

/* The item of level 0 for this address, whatever the items say on the way. */
LIMIT_INLINE uint64_t *walk_to(const struct shape *s, uint64_t *root, uint64_t gpa)
{
	const unsigned bits = s->walk.upper_bits, first = S2_PAGE_LG2 + s->walk.page_bits;
	uint64_t *item = &root[gpa >> s->walk.top_lg2];

	if (s->walk.top_lg2 > first + bits) {
		item = step_to(s, item, gpa, first + bits, bits);
	}
	if (s->walk.top_lg2 > first) {
		item = step_to(s, item, gpa, first, bits);
	}
	return step_to(s, item, gpa, S2_PAGE_LG2, s->walk.page_bits);
}

/* The same, if the item points to a table. */
LIMIT_INLINE bool look_step_to(const struct shape *s, const uint64_t **item, uint64_t gpa,
			       unsigned lg2, unsigned bits)
{
	uint64_t index = (gpa >> (lg2 - 3)) & (((1u << bits) - 1) << 3); /* in bytes */
	uint64_t table = swap(s, **item) - s->walk.table_value;

	if ((table & s->walk.table_mask) != 0) {
		return false;
	}
	table = s->walk.tables_bare ? table << s->walk.hpa_shift : address_in(s, table);
	*item = (const uint64_t *)(uintptr_t)(table + index);
	return true;
}

/*
 * The same as walk_to(), but each item is looked at before it is followed, and the address before that: what
 * no lookup in a space can do without, in as few instructions as we know. False where something is missing.
 */
LIMIT_INLINE bool look_to(const struct shape *s, const uint64_t *root, uint64_t gpa,
			  const uint64_t **item)
{
	const unsigned bits = s->walk.upper_bits, first = S2_PAGE_LG2 + s->walk.page_bits;

	if (gpa >= s->guest_end) {
		return false;
	}
	*item = &root[gpa >> s->walk.top_lg2];
	return (s->walk.top_lg2 <= first + bits ||
		look_step_to(s, item, gpa, first + bits, bits)) &&
	       (s->walk.top_lg2 <= first || look_step_to(s, item, gpa, first, bits)) &&
	       look_step_to(s, item, gpa, S2_PAGE_LG2, s->walk.page_bits);
}

LIMIT_INLINE void store(const struct shape *s, const struct guest *guest, const uint32_t *order,
			uint64_t count)
{
	uint64_t *root = guest_root(guest);
	uint64_t leaf = guest_leaf(guest, S2_RWX);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (uint64_t)order[i] << S2_PAGE_LG2;

		*walk_to(s, root, GUEST_GPA + at) =
			swap(s, (GUEST_HPA + at) >> s->walk.hpa_shift | leaf);
	}
}

/* The same, but only where nothing is: what a map cannot do without. */
LIMIT_INLINE void look_store(const struct shape *s, const struct guest *guest,
			     const uint32_t *order, uint64_t count)
{
	uint64_t *root = guest_root(guest);
	uint64_t leaf = guest_leaf(guest, S2_RWX);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (uint64_t)order[i] << S2_PAGE_LG2;
		uint64_t *item = walk_to(s, root, GUEST_GPA + at);

		if (*item == swap(s, s->walk.page_none)) {
			*item = swap(s, (GUEST_HPA + at) >> s->walk.hpa_shift | leaf);
		}
	}
}

/* A table is cleared when its first run comes, as if it were new. */
LIMIT_INLINE void store_runs(const struct shape *s, const struct guest *guest, uint64_t count)
{
	uint64_t *root = guest_root(guest);
	uint64_t leaf = guest_leaf(guest, S2_RWX);

	for (uint64_t i = 0; i < count; i += 16) {
		uint64_t at = i << S2_PAGE_LG2;
		uint64_t *item = walk_to(s, root, GUEST_GPA + at);
		uint64_t v = (GUEST_HPA + at) >> s->walk.hpa_shift | leaf;

		if (i % (1u << s->walk.page_bits) == 0) {
			memset(item, 0, S2_PAGE_SIZE);
		}
		for (unsigned j = 0; j < 16; j++) {
			item[j] = swap(s, v + ((uint64_t)j << S2_PAGE_LG2 >> s->walk.hpa_shift));
		}
		__asm__ volatile("" ::: "memory");
	}
}

/* The sum of the pages' addresses. */
LIMIT_INLINE uint64_t walk(const struct shape *s, const struct guest *guest, const uint32_t *order,
			   uint64_t count)
{
	uint64_t *root = guest_root(guest);
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t gpa = GUEST_GPA + ((uint64_t)order[i] << S2_PAGE_LG2);

		sum += address_in(s, swap(s, *walk_to(s, root, gpa)));
	}
	return sum;
}

/* 0 where something is missing. */
LIMIT_INLINE uint64_t look_walk(const struct shape *s, const struct guest *guest,
				const uint32_t *order, uint64_t count)
{
	const uint64_t *root = guest_root(guest);
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t gpa = GUEST_GPA + ((uint64_t)order[i] << S2_PAGE_LG2);
		const uint64_t *item;
		uint64_t v;

		if (!look_to(s, root, gpa, &item)) {
			return 0;
		}
		v = swap(s, *item) - s->walk.page_value;
		if ((v & s->walk.page_mask) != 0) {
			return 0;
		}
		sum += address_in(s, v);
	}
	return sum;
}

LIMIT_INLINE void purge(const struct shape *s, uint64_t *table)
{
	if (s->purged != 0) {
		guest_purge(table, 1u << s->walk.page_bits, 0);
	}
}

/* One load and one store an item, as where other processors look on. */
LIMIT_INLINE void protect_scalar(const struct shape *s, const struct guest *guest, uint64_t count)
{
	uint64_t from = guest_leaf(guest, S2_RWX), to = guest_leaf(guest, S2_RX);
	uint64_t keep = ~swap(s, (from & ~to) | s->purged), set = swap(s, to & ~from);

	for (uint64_t i = 0; i < count; i += 1u << s->walk.page_bits) {
		uint64_t *table = walk_to(s, guest_root(guest), GUEST_GPA + (i << S2_PAGE_LG2));

		purge(s, table);
		for (unsigned j = 0; j < 1u << s->walk.page_bits; j++) {
			uint64_t v = __atomic_load_n(&table[j], __ATOMIC_RELAXED);

			__atomic_store_n(&table[j], (v & keep) | set, __ATOMIC_RELAXED);
		}
	}
}

LIMIT_INLINE void protect_vector(const struct shape *s, const struct guest *guest, uint64_t count)
{
	uint64_t from = guest_leaf(guest, S2_RWX), to = guest_leaf(guest, S2_RX);
	uint64_t keep = ~swap(s, (from & ~to) | s->purged), set = swap(s, to & ~from);

	for (uint64_t i = 0; i < count; i += 1u << s->walk.page_bits) {
		uint64_t *table = walk_to(s, guest_root(guest), GUEST_GPA + (i << S2_PAGE_LG2));

		purge(s, table);
		for (unsigned j = 0; j < 1u << s->walk.page_bits; j++) {
			table[j] = (table[j] & keep) | set;
		}
		__asm__ volatile("" ::: "memory");
	}
}

#define LIMITS(name, numbers, gpa_bits, purged)                                                    \
	static const struct shape shape_##name = {numbers, UINT64_C(1) << (gpa_bits), purged};     \
                                                                                                   \
	static void store_##name(const struct guest *guest, const uint32_t *order, uint64_t count) \
	{                                                                                          \
		store(&shape_##name, guest, order, count);                                         \
	}                                                                                          \
                                                                                                   \
	static void look_store_##name(const struct guest *guest, const uint32_t *order,            \
				      uint64_t count)                                              \
	{                                                                                          \
		look_store(&shape_##name, guest, order, count);                                    \
	}                                                                                          \
                                                                                                   \
	static void store_runs_##name(const struct guest *guest, uint64_t count)                   \
	{                                                                                          \
		store_runs(&shape_##name, guest, count);                                           \
	}                                                                                          \
                                                                                                   \
	static uint64_t walk_##name(const struct guest *guest, const uint32_t *order,              \
				    uint64_t count)                                                \
	{                                                                                          \
		return walk(&shape_##name, guest, order, count);                                   \
	}                                                                                          \
                                                                                                   \
	static uint64_t look_walk_##name(const struct guest *guest, const uint32_t *order,         \
					 uint64_t count)                                           \
	{                                                                                          \
		return look_walk(&shape_##name, guest, order, count);                              \
	}                                                                                          \
                                                                                                   \
	static void protect_scalar_##name(const struct guest *guest, uint64_t count)               \
	{                                                                                          \
		protect_scalar(&shape_##name, guest, count);                                       \
	}                                                                                          \
                                                                                                   \
	static void protect_vector_##name(const struct guest *guest, uint64_t count)               \
	{                                                                                          \
		protect_vector(&shape_##name, guest, count);                                       \
	}                                                                                          \
                                                                                                   \
	const struct limits limits_##name = {                                                      \
		store_##name,	  look_store_##name,	 store_runs_##name,    walk_##name,        \
		look_walk_##name, protect_scalar_##name, protect_vector_##name};

LIMITS(arm64, S2_ARM64_WALK(30), 40, 0)
LIMITS(riscv, S2_RISCV_WALK(30), 41, 0)
LIMITS(ept, S2_EPT_WALK(39), 40, 0)
LIMITS(npt, S2_NPT_WALK(39), 40, 0)
LIMITS(s390, S2_S390_WALK(31), 42, 0x400)

/* Table by table, as they are handed out. */
void limit_memset(unsigned char *tables, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += S2_PAGE_SIZE) {
		uint64_t left = size - at;

		memset(tables + at, 0, left < S2_PAGE_SIZE ? left : S2_PAGE_SIZE);
		__asm__ volatile("" ::: "memory");
	}
}

/* A list through the first words of tables: what giving them back one by one cannot do without. */
void limit_link(unsigned char *tables, size_t size)
{
	uint64_t before = 0;

	for (size_t at = 0; at < size; at += 4096) {
		memcpy(tables + at, &before, sizeof(before));
		before = (uint64_t)(uintptr_t)(tables + at);
	}
}

/*
 * Work that shares nothing with anybody and keeps the multipliers busy: what a second processor is
 * worth, also where two are threads of one core.
 */
uint64_t limit_loop(uint64_t count)
{
	uint64_t v[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		for (unsigned j = 0; j < 8; j++) {
			v[j] = v[j] * UINT64_C(6364136223846793005) + j;
			__asm__ volatile("" : "+r"(v[j]));
		}
	}
	for (unsigned j = 0; j < 8; j++) {
		sum += v[j];
	}
	return sum;
}
