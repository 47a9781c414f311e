/* SPDX-License-Identifier: BSD-2-Clause */
/* Few pages in a leaf table that is there already: what most faults lead to, and has a way of its own. */
#include "bench.h"
#include "cases.h"
#include "picture.h"

#include "machine/numbers.h"

#include <stage2/run.h>

#define PAGE S2_PAGE_SIZE

/* Bytes that a leaf table translates. */
static uint64_t span(void)
{
	return UINT64_C(1) << b.s.fmt->lg2(1);
}

/* A table with its last page mapped, so that it stays. */
static void scene(struct view *v)
{
	*v = (struct view){.count = 0};
	map(b.home + span() - PAGE, hpa_at(PAGE, 1), PAGE);
	view_map(v, b.home + span() - PAGE, hpa_at(PAGE, 1), PAGE, S2_RWX, S2_MEM_NORMAL);
	settle();
}

/* Pages from the start of the table on, and how far hpa is from fitting groups; in pages. */
static const struct {
	unsigned at, count, off;
} smalls[] = {
	{0, 1, 0},   {1, 1, 0},	  {5, 2, 0},   {0, 16, 0},   {0, 16, 1},  {0, 17, 0},
	{1, 16, 0},  {3, 64, 0},  {3, 64, 16}, {16, 32, 0},  {16, 32, 8}, {48, 48, 2},
	{60, 60, 4}, {0, 127, 0}, {0, 127, 3}, {16, 111, 0},
};

#define SMALL_COUNT (sizeof(smalls) / sizeof(smalls[0]))

static struct s2_run small_run(size_t i)
{
	struct s2_run run = {
		s2_gpa(b.home + smalls[i].at * PAGE),
		s2_hpa((512 + smalls[i].at + smalls[i].off) * PAGE),
		smalls[i].count * PAGE,
		10,
	};

	return run;
}

/* The inline calls, with all numbers in turn; what they leave to s2_map() is to be the same. */
static enum s2_err map_small(const struct s2_run *run, unsigned prot)
{
	static unsigned turn;
	unsigned which = turn++ % (2 * (NUMBERS_COUNT + 1));

	which = which <= NUMBERS_COUNT ? which : numbers_own(&b.s);
	return numbers_map(&b.s, which, run->len == PAGE, run, prot, S2_MEM_NORMAL, &b.g);
}

ON_EVERY_MACHINE(pages_of_a_table)
{
	struct view v;

	scene(&v);
	for (size_t i = 0; i < SMALL_COUNT; i++) {
		struct s2_run run = small_run(i);
		struct s2_leaf_count wanted = {{0}};
		struct s2_count count;

		load(run.gpa.val, run.len);
		space_freeze();
		must_do(map_small(&run, S2_RWX));
		space_thaw();
		view_map(&v, run.gpa.val, run.hpa.val, run.len, S2_RWX, S2_MEM_NORMAL);
		view_check(&v);
		s2_run_count_leaves(&run, range_at(run.gpa.val, run.len), s2_space_leaf_sizes(&b.s),
				    &wanted);
		must_do(s2_count(&b.s, range_at(run.gpa.val, run.len), &count));
		for (unsigned lg2 = 0; lg2 < 64; lg2++) {
			must_eq(count.leaf[lg2], wanted.count[lg2]);
		}
		load(run.gpa.val, run.len);
		unmap(run.gpa.val, run.len);
		view_clear(&v, run.gpa.val, run.len);
	}
	view_check(&v);
	view_free(&v);
}

/* A page that is in the way, or is the same, first, in the middle and last. */
ON_EVERY_MACHINE(pages_in_the_way)
{
	struct view v;

	scene(&v);
	for (size_t i = 0; i < SMALL_COUNT; i++) {
		struct s2_run run = small_run(i);
		uint64_t at[] = {0, run.len / 2 & ~(PAGE - 1), run.len - PAGE};

		for (size_t j = 0; j < sizeof(at) / sizeof(at[0]); j++) {
			uint64_t gpa = run.gpa.val + at[j];

			map(gpa, run.hpa.val + at[j] + PAGE, PAGE);
			must_refuse(map_small(&run, S2_RWX), S2_ERR_EXISTS);
			unmap(gpa, PAGE);
			map(gpa, run.hpa.val + at[j], PAGE);
			must_refuse(map_small(&run, S2_RX), S2_ERR_EXISTS);
			must_do(map_small(&run, S2_RWX));
			s2_gather_sync(&b.g);
			expect_at(run.gpa.val, run.hpa.val);
			expect_at(run.gpa.val + run.len - 1, run.hpa.val + run.len - 1);
			unmap(run.gpa.val, run.len);
		}
	}
	view_check(&v);
	view_free(&v);
}

/* Other memory where some was a moment ago, without a sync: what is owed may have to be paid first. */
ON_EVERY_MACHINE(pages_again_at_once)
{
	struct view v;

	scene(&v);
	for (size_t i = 0; i < 2 * SMALL_COUNT; i++) {
		struct s2_run run = small_run(i / 2);
		struct s2_run other = run;

		other.hpa.val += UINT64_C(2) << 20;
		must_do(map_small(&run, S2_RWX));
		load(run.gpa.val, run.len);
		must_do(s2_unmap(&b.s, range_at(run.gpa.val, run.len), &b.g, NULL));
		must_do(i % 2 == 0 ? map_small(&other, S2_RWX)
				   : s2_map(&b.s, &other, 1, S2_RWX, S2_MEM_NORMAL, &b.g, NULL));
		load(run.gpa.val, run.len);
		check_machine();
		s2_gather_sync(&b.g);
		expect_at(run.gpa.val + run.len - 1, other.hpa.val + run.len - 1);
		unmap(run.gpa.val, run.len);
	}
	view_check(&v);
	view_free(&v);
}

/* It needs no memory, and its budget is always enough. */
ON_EVERY_MACHINE(needs_no_memory)
{
	struct s2_budget budget = {.tables = 0};
	struct view v;

	scene(&v);
	pool_fail(&b.m.pool, 1);
	for (size_t i = 0; i < SMALL_COUNT; i++) {
		struct s2_run run = small_run(i);

		budget.rest.len = 0;
		must_do(s2_map(&b.s, &run, 1, S2_RWX, S2_MEM_NORMAL, &b.g, &budget));
		must_eq(budget.rest.len, 0);
		unmap(run.gpa.val, run.len);
	}
	pool_fail(&b.m.pool, 0);
	view_check(&v);
	view_free(&v);
}

/* Addresses that cannot be, by the inline calls with all numbers. */
ON_EVERY_MACHINE(pages_that_cannot_be)
{
	struct s2_run run = small_run(0);
	struct view v;

	scene(&v);
	for (unsigned which = 0; which <= 2 * NUMBERS_COUNT + 1; which++) {
		run.hpa.val = PAGE / 2;
		must_refuse(map_small(&run, S2_RWX), S2_ERR_ALIGN);
		run.hpa.val = b.s.hpa_last + 1;
		if (run.hpa.val != 0) {
			must_refuse(map_small(&run, S2_RWX), S2_ERR_RANGE);
		}
	}
	view_check(&v);
	view_free(&v);
}

TCase *case_small(void)
{
	TCase *tcase = tcase_create("small");

	ADD_TWICE(tcase, pages_of_a_table);
	ADD_BARE(tcase, pages_in_the_way);
	ADD_BARE(tcase, pages_again_at_once);
	ADD_BARE(tcase, pages_that_cannot_be);
	ADD_BARE(tcase, needs_no_memory);
	return tcase;
}
