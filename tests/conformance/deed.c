/* SPDX-License-Identifier: BSD-2-Clause */
/* The deeds. Scenes end with a sync. */
#include "deed.h"

#define PAGE S2_PAGE_SIZE

/* The range of a deed; of a later step, what the step before has left. */
static struct s2_range step_of(struct s2_range range)
{
	return b.step.len != 0 ? b.step : range;
}

/* Bytes that a leaf table translates. */
static uint64_t span(void)
{
	return UINT64_C(1) << b.s.fmt->lg2(1);
}

/* A size that can be mapped page by page in reasonable time. */
static unsigned middle(void)
{
	unsigned k = 0;

	while (k + 1 < b.large && size_at(k + 1) / PAGE <= 1024) {
		k++;
	}
	return k;
}

static uint64_t middle_size(void)
{
	return size_at(middle());
}

static void empty(void)
{
}

/* Neither end at a boundary, and nothing larger than a page fits. */
static struct s2_run pages_run(void)
{
	struct s2_run run = {s2_gpa(b.home - 3 * PAGE), s2_hpa(4 * PAGE), 2 * span() + 5 * PAGE,
			     S2_FOLIO_ORDER_MAX};

	return run;
}

static enum s2_err map_pages(struct s2_budget *budget)
{
	struct s2_run run = pages_run();

	return s2_map(&b.s, &run, 1, S2_RWX, S2_MEM_NORMAL, &b.g, budget);
}

static struct s2_table_count bound_pages(void)
{
	struct s2_run run = pages_run();

	return s2_tables_bound(&b.s, &run, 1);
}

/* Large leaves, with pages before and behind, in several runs with holes between. */
static size_t many_runs(struct s2_run runs[5])
{
	uint64_t large = large_size();
	uint64_t hpa = hpa_at(large, 1);

	runs[0] = (struct s2_run){s2_gpa(0), s2_hpa(0), PAGE, 0};
	runs[1] = (struct s2_run){s2_gpa(b.home - large), s2_hpa(hpa), large, S2_FOLIO_ORDER_MAX};
	runs[2] = (struct s2_run){s2_gpa(b.home), s2_hpa(hpa + PAGE), PAGE, 0};
	runs[3] = (struct s2_run){s2_gpa(b.home + 2 * PAGE), s2_hpa(0), 2 * PAGE, 1};
	runs[4] = (struct s2_run){s2_gpa(b.last - (PAGE - 1)), s2_hpa(hpa), PAGE, 0};
	return 5;
}

static enum s2_err map_many(struct s2_budget *budget)
{
	struct s2_run runs[5];
	size_t count = many_runs(runs);

	return s2_map(&b.s, runs, count, S2_RWX, S2_MEM_NORMAL, &b.g, budget);
}

static struct s2_table_count bound_many(void)
{
	struct s2_run runs[5];
	size_t count = many_runs(runs);

	return s2_tables_bound(&b.s, runs, count);
}

static void half_of_many(void)
{
	uint64_t hpa = hpa_at(large_size(), 1);

	map(b.home - PAGE, hpa + large_size() - PAGE, PAGE);
	map(b.home + 2 * PAGE, 0, PAGE);
	s2_gather_sync(&b.g);
}

/* Two large leaves, of which a range cuts the first and the last page. */
static void two_large(void)
{
	map(b.home - large_size(), hpa_at(large_size(), 1), 2 * large_size());
	s2_gather_sync(&b.g);
}

static struct s2_range inner(void)
{
	uint64_t cut = large_size() == PAGE ? 0 : PAGE;

	return range_at(b.home - large_size() + cut, 2 * large_size() - 2 * cut);
}

static enum s2_err unmap_inner(struct s2_budget *budget)
{
	return s2_unmap(&b.s, step_of(inner()), &b.g, budget);
}

static enum s2_err protect_inner(struct s2_budget *budget)
{
	return s2_protect(&b.s, step_of(inner()), S2_RX, &b.g, budget);
}

static struct s2_table_count bound_cut(void)
{
	return s2_cut_bound(&b.s);
}

/* Several tables of pages. */
static void many_pages(void)
{
	must_do(map_pages(NULL));
	map(b.home - 3 * span(), hpa_at(PAGE, 1), 3 * PAGE);
	s2_gather_sync(&b.g);
}

static struct s2_range all_pages(void)
{
	return range_at(b.home - 3 * span(), 6 * span());
}

static enum s2_err unmap_pages(struct s2_budget *budget)
{
	return s2_unmap(&b.s, step_of(all_pages()), &b.g, budget);
}

static enum s2_err protect_pages(struct s2_budget *budget)
{
	return s2_protect(&b.s, step_of(all_pages()), S2_RX, &b.g, budget);
}

/* Leaves of a size that is not too large, and a few pages. */
static void some_leaves(void)
{
	uint64_t size = middle_size();

	map(b.home - size, hpa_at(size, 1), 2 * size);
	map(b.home + size + PAGE, hpa_at(PAGE, 1), PAGE);
	s2_gather_sync(&b.g);
}

static struct s2_range some_range(void)
{
	return range_at(b.home - middle_size(), 2 * middle_size() + 2 * PAGE);
}

static enum s2_err split_some(struct s2_budget *budget)
{
	return s2_split(&b.s, step_of(some_range()), S2_PAGE_LG2, &b.g, budget);
}

static enum s2_err dirty_split(struct s2_budget *budget)
{
	return s2_dirty_start(&b.s, step_of(some_range()), S2_DIRTY_SPLIT, &b.g, budget);
}

static enum s2_err dirty_keep(struct s2_budget *budget)
{
	return s2_dirty_start(&b.s, step_of(some_range()), S2_DIRTY_KEEP, &b.g, budget);
}

/* The bound of the range in pages, as map.h has it: a run that no larger leaf fits. */
static struct s2_table_count bound_split(void)
{
	struct s2_range range = some_range();
	struct s2_run run = {range.start, s2_hpa(range.start.val ^ PAGE), range.len,
			     S2_FOLIO_ORDER_MAX};

	return s2_tables_bound(&b.s, &run, 1);
}

static void some_split(void)
{
	some_leaves();
	must_do(dirty_split(NULL));
	s2_gather_sync(&b.g);
}

static enum s2_err dirty_stop(struct s2_budget *budget)
{
	return s2_dirty_stop(&b.s, step_of(some_range()), 0, &b.g, budget);
}

static enum s2_err dirty_stop_and_rejoin(struct s2_budget *budget)
{
	return s2_dirty_stop(&b.s, step_of(some_range()), b.size[b.large - 1], &b.g, budget);
}

static enum s2_err collapse_some(struct s2_budget *budget)
{
	return s2_collapse_all(&b.s, step_of(some_range()), b.size[middle()], &b.g, budget);
}

static enum s2_err collapse_one(struct s2_budget *budget)
{
	(void)budget;
	return s2_collapse(&b.s, range_at(b.home, middle_size()), &b.g);
}

/* Empty tables, between some that are not. */
static void empty_tables(void)
{
	for (unsigned i = 0; i < 6; i++) {
		map(b.home + i * span() - 3 * span(), hpa_at(PAGE, i), 2 * PAGE);
	}
	s2_gather_sync(&b.g);
	for (unsigned i = 0; i < 6; i++) {
		uint64_t gpa = b.home + i * span() - 3 * span();

		unmap(gpa, PAGE);
		if (i % 3 != 0) {
			unmap(gpa + PAGE, PAGE);
		}
	}
	s2_gather_sync(&b.g);
}

static enum s2_err trim(struct s2_budget *budget)
{
	return s2_trim(&b.s, step_of(range_at(b.home - 4 * span(), 8 * span())), &b.g, budget);
}

const struct deed deeds[] = {
	{"map pages", empty, map_pages, true, true, false, bound_pages},
	{"map many runs", empty, map_many, true, true, false, bound_many},
	{"map over some", half_of_many, map_many, true, true, false, bound_many},
	{"unmap and cut", two_large, unmap_inner, true, true, false, bound_cut},
	{"unmap pages", many_pages, unmap_pages, true, true, false, NULL},
	{"protect and cut", two_large, protect_inner, true, true, false, bound_cut},
	{"protect pages", many_pages, protect_pages, true, true, false, NULL},
	{"split", some_leaves, split_some, true, true, false, bound_split},
	{"dirty start, split", some_leaves, dirty_split, true, true, false, bound_split},
	{"dirty start, keep", some_leaves, dirty_keep, true, true, false, NULL},
	{"dirty stop", some_split, dirty_stop, true, true, false, NULL},
	{"dirty stop, rejoin", some_split, dirty_stop_and_rejoin, true, false, false, NULL},
	{"collapse all", some_split, collapse_some, true, false, false, NULL},
	{"collapse", some_split, collapse_one, false, true, true, NULL},
	{"trim", empty_tables, trim, true, true, false, NULL},
};

const unsigned deed_count = sizeof(deeds) / sizeof(deeds[0]);
