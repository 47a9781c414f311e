/* SPDX-License-Identifier: BSD-2-Clause */
/* Accessed and dirty marks arrive, from the machine or from s2_touch(), and can be cleared. */
#include "metal.h"

#define SIZE UINT64_C(0x400000)
#define PAGES (SIZE / PAGE)

static const struct s2_range all = {{TEST_GPA}, SIZE};

/* What s2_dirty_collect() tells: how much, and whether it is only what was written. */
struct told {
	uint64_t bytes;
	uint64_t page[3];
	bool strange;
};

static void tell(void *cookie, struct s2_range range)
{
	struct told *told = cookie;

	told->bytes += range.len;
	for (uint64_t at = range.start.val; at <= s2_range_last(range).val; at += PAGE) {
		uint64_t page = (at - TEST_GPA) / PAGE;

		told->strange = told->strange || (page != told->page[0] && page != told->page[1] &&
						  page != told->page[2]);
	}
}

static void collect(struct world *w, struct told *told)
{
	told->bytes = 0;
	told->strange = false;
	CHECK(s2_dirty_collect(&w->space, all, true, tell, told, &w->gather) == S2_OK);
	world_sync(w);
}

/* To the page: leaves are split, and what is written shows, every time anew. */
static void dirty(const struct machine_space *kind)
{
	struct told told = {.page = {5, 16, 777 % PAGES}};
	void *host = pattern_alloc(SIZE, 1);
	struct world w;

	world_open(&w, kind, 0);
	world_map(&w, TEST_GPA, host, SIZE, S2_RWX);
	world_sync(&w);
	CHECK(guest_returns(&w, guest_write, TEST_GPA + 5 * PAGE, 1, 0));
	CHECK(s2_dirty_start(&w.space, all, S2_DIRTY_SPLIT, &w.gather, NULL) == S2_OK);
	world_sync(&w);
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < 3; i++) {
			CHECK(guest_returns(&w, guest_write, TEST_GPA + told.page[i] * PAGE, i, 0));
			CHECK(pattern_reads(&w, TEST_GPA, 1, told.page[i] + 1, 1));
		}
		collect(&w, &told);
		CHECK(told.bytes == 3 * PAGE && !told.strange);
		collect(&w, &told);
		CHECK(told.bytes == 0);
	}
	CHECK(s2_dirty_stop(&w.space, all, largest_leaf(&w, SIZE), &w.gather, NULL) == S2_OK);
	world_sync(&w);
	CHECK(pattern_reads(&w, TEST_GPA, 1, 0, PAGES));
	world_close(&w);
	memory_free(host, SIZE);
}

/* Leaves stay: one write makes all of its leaf dirty, and nothing more. */
static void dirty_keep(const struct machine_space *kind)
{
	struct told told = {.page = {0}};
	void *host = pattern_alloc(SIZE, 1);
	struct s2_leaf leaf;
	struct world w;

	world_open(&w, kind, 0);
	world_map(&w, TEST_GPA, host, SIZE, S2_RWX);
	CHECK(s2_dirty_start(&w.space, all, S2_DIRTY_KEEP, &w.gather, NULL) == S2_OK);
	world_sync(&w);
	CHECK(pattern_reads(&w, TEST_GPA, 1, 0, PAGES));
	collect(&w, &told);
	CHECK(told.bytes == 0);
	CHECK(guest_returns(&w, guest_write, TEST_GPA + 8, 1, 0));
	CHECK(s2_query(&w.space, s2_gpa(TEST_GPA), &leaf) == S2_OK && leaf.dirty);
	collect(&w, &told);
	CHECK(told.bytes == leaf.range.len);
	world_close(&w);
	memory_free(host, SIZE);
}

/* Only what was touched since the last look is young. */
static void age(const struct machine_space *kind)
{
	void *host = pattern_alloc(SIZE, 1);
	uint64_t young = 0;
	enum s2_err err;
	struct world w;

	world_open(&w, kind, PAGE);
	world_map(&w, TEST_GPA, host, SIZE, S2_RWX);
	world_sync(&w);
	err = s2_age(&w.space, all, &w.gather, &young);
	if (err == S2_ERR_FORMAT) {
		test_skip("the format has no accessed marks with these features");
	} else {
		CHECK(err == S2_OK && young == SIZE);
		world_sync(&w);
		CHECK(s2_age(&w.space, all, &w.gather, &young) == S2_OK && young == 0);
		world_sync(&w);
		for (unsigned round = 0; round < 3; round++) {
			CHECK(pattern_reads(&w, TEST_GPA, 1, 20, 2));
			CHECK(pattern_reads(&w, TEST_GPA, 1, PAGES - 1, 1));
			CHECK(s2_age(&w.space, all, &w.gather, &young) == S2_OK);
			CHECK(young == 3 * PAGE);
			world_sync(&w);
		}
	}
	world_close(&w);
	memory_free(host, SIZE);
}

const struct test mark_tests[] = {
	{"dirty", dirty, false},
	{"dirty-keep", dirty_keep, false},
	{"age", age, false},
	{NULL, NULL, false},
};
