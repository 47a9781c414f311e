/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The best that this machine can do, on the same tables and with the same pages in the same order:
 * arm64, three levels, 4 KiB granule, leaves of 4 KiB. No checks, no locks, no other formats.
 */
#include <string.h>

#include "bench.h"

#define LEAF UINT64_C(0x7df) /* FWB write-back, read and write, AF, page */
#define ADDRESS UINT64_C(0x0000fffffffff000)
#define TABLE UINT64_C(3)	      /* and the same bits say page */
#define GUEST_END (UINT64_C(1) << 40) /* of the space */

static inline uint64_t *below(uint64_t item)
{
	return (uint64_t *)(uintptr_t)(item & ADDRESS);
}

static inline uint64_t *leaf_table(const uint64_t *root, uint64_t gpa)
{
	return below(below(root[gpa >> 30])[(gpa >> 21) & 511]);
}

void limit_store(uint64_t *root, const uint32_t *order, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (uint64_t)order[i] << S2_PAGE_LG2;
		uint64_t gpa = GUEST_GPA + at;

		leaf_table(root, gpa)[(gpa >> 12) & 511] = (GUEST_HPA + at) | LEAF;
	}
}

/* The same, but only where nothing is: what a map cannot do without. Returns how many there were. */
uint64_t limit_look_store(uint64_t *root, const uint32_t *order, uint64_t count)
{
	uint64_t done = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (uint64_t)order[i] << S2_PAGE_LG2;
		uint64_t gpa = GUEST_GPA + at;
		uint64_t *item = &leaf_table(root, gpa)[(gpa >> 12) & 511];

		if (*item == 0) {
			*item = (GUEST_HPA + at) | LEAF;
			done++;
		}
	}
	return done;
}

void limit_store_runs(uint64_t *root, uint64_t count)
{
	for (uint64_t i = 0; i < count; i += 16) {
		uint64_t at = i << S2_PAGE_LG2;
		uint64_t gpa = GUEST_GPA + at;
		uint64_t *item = &leaf_table(root, gpa)[(gpa >> 12) & 511];

		for (unsigned j = 0; j < 16; j++) {
			item[j] = ((GUEST_HPA + at) | LEAF) + ((uint64_t)j << S2_PAGE_LG2);
		}
		__asm__ volatile("" ::: "memory");
	}
}

uint64_t limit_walk(const uint64_t *root, const uint32_t *order, uint64_t count)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t gpa = GUEST_GPA + ((uint64_t)order[i] << S2_PAGE_LG2);

		sum += leaf_table(root, gpa)[(gpa >> 12) & 511] & ADDRESS;
	}
	return sum;
}

/*
 * The same, but each item is looked at before it is followed, and the address before that: what no
 * lookup in a space can do without, in as few instructions as we know. What is left of a table's or
 * a page's item without its low bits is its address. Returns 0 where something is missing.
 */
uint64_t limit_look_walk(const uint64_t *root, const uint32_t *order, uint64_t count)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t gpa = GUEST_GPA + ((uint64_t)order[i] << S2_PAGE_LG2);
		uint64_t item;

		if (gpa >= GUEST_END) {
			return 0;
		}
		item = root[gpa >> 30] - TABLE;
		if ((item & ~ADDRESS) != 0) {
			return 0;
		}
		item = *(const uint64_t *)(uintptr_t)(item + ((gpa >> 18) & 0xff8)) - TABLE;
		if ((item & ~ADDRESS) != 0) {
			return 0;
		}
		item = *(const uint64_t *)(uintptr_t)(item + ((gpa >> 9) & 0xff8)) - TABLE;
		if ((item & TABLE) != 0) {
			return 0;
		}
		sum += item & ADDRESS;
	}
	return sum;
}

/* One load and one store an item, as where other processors look on. */
void limit_write_scalar(uint64_t *root, uint64_t count, uint64_t clear, uint64_t set)
{
	for (uint64_t i = 0; i < count; i += 512) {
		uint64_t *table = leaf_table(root, GUEST_GPA + (i << S2_PAGE_LG2));

		for (unsigned j = 0; j < 512; j++) {
			uint64_t v = __atomic_load_n(&table[j], __ATOMIC_RELAXED);

			__atomic_store_n(&table[j], (v & ~clear) | set, __ATOMIC_RELAXED);
		}
	}
}

void limit_write_vector(uint64_t *root, uint64_t count, uint64_t clear, uint64_t set)
{
	for (uint64_t i = 0; i < count; i += 512) {
		uint64_t *table = leaf_table(root, GUEST_GPA + (i << S2_PAGE_LG2));

		for (unsigned j = 0; j < 512; j++) {
			table[j] = (table[j] & ~clear) | set;
		}
		__asm__ volatile("" ::: "memory");
	}
}

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
