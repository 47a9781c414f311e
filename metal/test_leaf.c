/* SPDX-License-Identifier: BSD-2-Clause */
/* Every size of leaf, single and group, maps what it says. */
#include "metal.h"

/* Blocks up to this size are allocated; a larger leaf maps what memory lies around. */
#define BLOCK_MAX UINT64_C(0x400000)
#define FOLIO_MAX (PAGE << S2_FOLIO_ORDER_MAX)

/* The first address from TEST_GPA on that a leaf of this size can be at. */
static uint64_t place_for(uint64_t size)
{
	return (TEST_GPA + size - 1) & ~(size - 1);
}

/* Leaves larger than the largest folio come from collapsing. */
static void map_large(struct world *w, uint64_t gpa, uint64_t hpa, uint64_t size)
{
	struct s2_range range = s2_range(s2_gpa(gpa), size);

	for (uint64_t at = 0; at < size; at += FOLIO_MAX) {
		const struct s2_run run = {s2_gpa(gpa + at), s2_hpa(hpa + at),
					   size < FOLIO_MAX ? size : FOLIO_MAX, S2_FOLIO_ORDER_MAX};

		MUST(s2_map(&w->space, &run, 1, S2_RWX, S2_MEM_NORMAL, &w->gather, NULL) == S2_OK);
	}
	if (size > FOLIO_MAX) {
		CHECK(s2_collapse(&w->space, range, &w->gather) == S2_OK);
	}
	world_sync(w);
}

static bool is_one_leaf(struct world *w, uint64_t gpa, uint64_t size)
{
	struct s2_leaf leaf;

	return s2_query(&w->space, s2_gpa(gpa), &leaf) == S2_OK && leaf.mapped &&
	       leaf.range.start.val == gpa && leaf.range.len == size;
}

/* The guest reads what the host wrote, through its own mapping, and the other way round. */
static void check_pages(struct world *w, uint64_t gpa, char *host, uint64_t size, uint64_t seed)
{
	uint64_t last = size / PAGE - 1;

	CHECK(pattern_reads(w, gpa, seed, 0, size / PAGE));
	CHECK(guest_returns(w, guest_write, gpa + last * PAGE + 8, seed, 0));
	CHECK(*(volatile uint64_t *)(void *)(host + last * PAGE + 8) == seed);
}

static void check_leaf(const struct machine_space *kind, unsigned lg2)
{
	uint64_t size = UINT64_C(1) << lg2;
	uint64_t block = size < BLOCK_MAX ? size : BLOCK_MAX;
	char *host = pattern_alloc(block, lg2);
	uint64_t hpa = (uint64_t)(uintptr_t)host & ~(size - 1);
	uint64_t gpa = place_for(size);
	uint64_t last;
	struct world w;

	world_open(&w, kind, 0);
	last = s2_range_last(s2_space_range(&w.space)).val;
	if (gpa + size - 1 <= last) {
		map_large(&w, gpa, hpa, size);
		CHECK(is_one_leaf(&w, gpa, size));
		check_pages(&w, gpa + ((uint64_t)(uintptr_t)host - hpa), host, block, lg2);
	}
	if (gpa + size - 1 < last) {
		CHECK(guest_faults(&w, guest_read, gpa + size + 16, S2_READ, false));
	}
	world_close(&w);
	memory_free(host, (size_t)block);
}

static void leaves(const struct machine_space *kind)
{
	uint64_t sizes = kind_leaf_sizes(kind);

	for (unsigned lg2 = S2_PAGE_LG2; lg2 < 63; lg2++) {
		if ((sizes & UINT64_C(1) << lg2) != 0) {
			check_leaf(kind, lg2);
		}
	}
}

/* Each size again where it is the largest that may be used. */
static void limited(const struct machine_space *kind)
{
	uint64_t sizes = kind_leaf_sizes(kind);

	for (uint64_t size = PAGE; size <= BLOCK_MAX; size <<= 1) {
		char *host;
		struct world w;

		if ((sizes & size) == 0) {
			continue;
		}
		host = pattern_alloc(BLOCK_MAX, size >> S2_PAGE_LG2);
		world_open(&w, kind, sizes & (2 * size - 1));
		world_map(&w, TEST_GPA, host, BLOCK_MAX, S2_RWX);
		world_sync(&w);
		CHECK(is_one_leaf(&w, TEST_GPA, size));
		check_pages(&w, TEST_GPA, host, BLOCK_MAX, size >> S2_PAGE_LG2);
		world_close(&w);
		memory_free(host, BLOCK_MAX);
	}
}

const struct test leaf_tests[] = {
	{"leaves", leaves, false},
	{"leaves-limited", limited, false},
	{NULL, NULL, false},
};
