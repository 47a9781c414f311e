/* SPDX-License-Identifier: BSD-2-Clause */
/* Every error of map.h, which of several comes first, and that a call that fails changes nothing. */
#include "bench.h"
#include "cases.h"
#include "picture.h"

#include <string.h>

#define PAGE S2_PAGE_SIZE

/* Some of everything, so that there is something to change. */
static void scene(void)
{
	uint64_t large = large_size();

	map(b.home, hpa_at(large, 1), large);
	map(b.home - 3 * PAGE, hpa_at(PAGE, 3), 2 * PAGE);
	map(0, hpa_at(PAGE, 5), PAGE);
	settle();
	unmap(0, PAGE);
	must_do(s2_unmap(&b.s, range_at(b.home - 2 * PAGE, PAGE), &b.g, NULL));
}

/* All calls that take a range, with nothing else that could be wrong. */
static enum s2_err do_unmap(struct s2_range range)
{
	return s2_unmap(&b.s, range, &b.g, NULL);
}

static enum s2_err do_protect(struct s2_range range)
{
	return s2_protect(&b.s, range, S2_RWX, &b.g, NULL);
}

static enum s2_err do_split(struct s2_range range)
{
	return s2_split(&b.s, range, S2_PAGE_LG2, &b.g, NULL);
}

static enum s2_err do_collapse(struct s2_range range)
{
	return s2_collapse(&b.s, range, &b.g);
}

static enum s2_err do_collapse_all(struct s2_range range)
{
	return s2_collapse_all(&b.s, range, S2_PAGE_LG2, &b.g, NULL);
}

static enum s2_err do_trim(struct s2_range range)
{
	return s2_trim(&b.s, range, &b.g, NULL);
}

static enum s2_err do_age(struct s2_range range)
{
	uint64_t young = 77;
	enum s2_err err = s2_age(&b.s, range, &b.g, &young);

	must_eq(young, 77);
	return err;
}

static enum s2_err do_dirty_start(struct s2_range range)
{
	return s2_dirty_start(&b.s, range, S2_DIRTY_SPLIT, &b.g, NULL);
}

static void tell_nothing(void *cookie, struct s2_range range)
{
	(void)cookie;
	(void)range;
	ck_abort_msg("%s: told of pages by a call that failed", b.v->name);
}

static enum s2_err do_dirty_collect(struct s2_range range)
{
	return s2_dirty_collect(&b.s, range, true, tell_nothing, NULL, &b.g);
}

static enum s2_err do_dirty_clear(struct s2_range range)
{
	return s2_dirty_clear(&b.s, range, &b.g);
}

static enum s2_err do_dirty_stop(struct s2_range range)
{
	return s2_dirty_stop(&b.s, range, S2_PAGE_LG2, &b.g, NULL);
}

static enum s2_err do_next_run(struct s2_range range)
{
	struct s2_leaf leaf;

	return s2_next_run(&b.s, range.start, range, &leaf);
}

static enum s2_err do_count(struct s2_range range)
{
	struct s2_count count;

	return s2_count(&b.s, range, &count);
}

/* The same, with something else that is wrong: the range is looked at first. */
static enum s2_err bad_protect(struct s2_range range)
{
	return s2_protect(&b.s, range, 0, &b.g, NULL);
}

static enum s2_err bad_split(struct s2_range range)
{
	return s2_split(&b.s, range, 63, &b.g, NULL);
}

static enum s2_err bad_collapse_all(struct s2_range range)
{
	return s2_collapse_all(&b.s, range, 63, &b.g, NULL);
}

static enum s2_err bad_dirty_start(struct s2_range range)
{
	return s2_dirty_start(&b.s, range, (enum s2_dirty_policy)2, &b.g, NULL);
}

static enum s2_err bad_dirty_stop(struct s2_range range)
{
	return s2_dirty_stop(&b.s, range, 63, &b.g, NULL);
}

static enum s2_err (*const calls[])(struct s2_range) = {
	do_unmap,	  do_protect,	   do_split,	   do_collapse,	     do_collapse_all,
	do_trim,	  do_age,	   do_dirty_start, do_dirty_collect, do_dirty_clear,
	do_dirty_stop,	  do_next_run,	   do_count,	   bad_protect,	     bad_split,
	bad_collapse_all, bad_dirty_start, bad_dirty_stop,
};

#define CALL_COUNT (sizeof(calls) / sizeof(calls[0]))

static void bad_range(uint64_t start, uint64_t len, enum s2_err err)
{
	for (size_t i = 0; i < CALL_COUNT; i++) {
		must_refuse(calls[i](range_at(start, len)), err);
	}
}

ON_EVERY_MACHINE(ranges)
{
	uint64_t end = b.last - (PAGE - 1);

	scene();
	bad_range(b.home, 0, S2_ERR_INVAL);
	bad_range(b.home + 1, 0, S2_ERR_INVAL);
	bad_range(UINT64_MAX, 0, S2_ERR_INVAL);
	bad_range(b.home + 1, PAGE, S2_ERR_ALIGN);
	bad_range(b.home, PAGE + 1, S2_ERR_ALIGN);
	bad_range(b.home, 1, S2_ERR_ALIGN);
	bad_range(UINT64_MAX - 1, PAGE, S2_ERR_ALIGN);
	bad_range(UINT64_MAX - (PAGE - 1), 2 * PAGE, S2_ERR_WRAP);
	bad_range(b.home, UINT64_MAX - (PAGE - 1), S2_ERR_WRAP);
	if (b.last != UINT64_MAX) {
		bad_range(b.last + 1, PAGE, S2_ERR_RANGE);
		bad_range(end, 2 * PAGE, S2_ERR_RANGE);
		bad_range(0, b.last + 1 + PAGE, S2_ERR_RANGE);
		bad_range(UINT64_MAX - (PAGE - 1), PAGE, S2_ERR_RANGE);
	}
}

static enum s2_err map_runs(const struct s2_run *runs, size_t count)
{
	return s2_map(&b.s, runs, count, S2_RWX, S2_MEM_NORMAL, &b.g, NULL);
}

static enum s2_err map_run(uint64_t gpa, uint64_t hpa, uint64_t len, unsigned order)
{
	struct s2_run run = {s2_gpa(gpa), s2_hpa(hpa), len, (uint8_t)order};

	return map_runs(&run, 1);
}

ON_EVERY_MACHINE(map_of_bad_runs)
{
	uint64_t last = UINT64_MAX - (PAGE - 1);

	scene();
	must_refuse(map_run(0, 0, 0, 0), S2_ERR_INVAL);
	must_refuse(map_run(0, 0, PAGE, S2_FOLIO_ORDER_MAX + 1), S2_ERR_INVAL);
	must_refuse(map_run(1, 0, PAGE, 99), S2_ERR_INVAL);
	must_refuse(map_run(1, 0, PAGE, 0), S2_ERR_ALIGN);
	must_refuse(map_run(0, 1, PAGE, 0), S2_ERR_ALIGN);
	must_refuse(map_run(0, 0, PAGE + 1, 1), S2_ERR_ALIGN);
	must_refuse(map_run(last, 0, 2 * PAGE, 1), S2_ERR_WRAP);
	must_refuse(map_run(0, last, 2 * PAGE, 1), S2_ERR_WRAP);
	must_refuse(map_run(0, 0, 2 * PAGE, 0), S2_ERR_RANGE);
	must_refuse(map_run(0, PAGE, 2 * PAGE, 1), S2_ERR_RANGE);
	if (b.last != UINT64_MAX) {
		must_refuse(map_run(b.last + 1, 0, PAGE, 0), S2_ERR_RANGE);
		must_refuse(map_run(b.last - (PAGE - 1), 0, 2 * PAGE, 1), S2_ERR_RANGE);
	}
	if (b.s.hpa_last != UINT64_MAX) {
		must_refuse(map_run(0, b.s.hpa_last + 1, PAGE, 0), S2_ERR_RANGE);
		must_refuse(map_run(0, last, PAGE, 0), S2_ERR_RANGE);
	}
}

ON_EVERY_MACHINE(map_of_many_runs)
{
	struct s2_run runs[3] = {
		{s2_gpa(8 * PAGE), s2_hpa(0), 2 * PAGE, 1},
		{s2_gpa(16 * PAGE), s2_hpa(0), 2 * PAGE, 1},
		{s2_gpa(24 * PAGE), s2_hpa(0), 2 * PAGE, 1},
	};

	scene();
	must_refuse(map_runs(runs, 0), S2_ERR_INVAL);
	runs[2].gpa.val = 17 * PAGE;
	must_refuse(map_runs(runs, 3), S2_ERR_OVERLAP);
	runs[2].gpa.val = 16 * PAGE;
	must_refuse(map_runs(runs, 3), S2_ERR_OVERLAP);
	runs[2].gpa.val = 4 * PAGE;
	must_refuse(map_runs(runs, 3), S2_ERR_OVERLAP);
	runs[2].gpa.val = 18 * PAGE;
	runs[2].len = 0;
	must_refuse(map_runs(runs, 3), S2_ERR_INVAL);
	/* The last page of the last run is in the way of what is there. */
	runs[2].gpa.val = b.home - 4 * PAGE;
	runs[2].len = 2 * PAGE;
	must_refuse(map_runs(runs, 3), S2_ERR_EXISTS);
}

/* Two that could be told, and the one that is. */
ON_EVERY_MACHINE(map_and_which_comes_first)
{
	struct s2_run over[2] = {
		{s2_gpa(b.home), s2_hpa(0), PAGE, 0},
		{s2_gpa(b.home), s2_hpa(0), PAGE, 0},
	};
	struct s2_run *one = over;
	enum s2_mem mem = S2_MEM_NORMAL;

	scene();
	must_refuse(s2_map(&b.s, over, 2, 0, mem, &b.g, NULL), S2_ERR_OVERLAP);
	must_refuse(s2_map(&b.s, one, 1, 0, mem, &b.g, NULL), S2_ERR_INVAL);
	must_refuse(s2_map(&b.s, one, 1, S2_PROT_ALL + 1, mem, &b.g, NULL), S2_ERR_INVAL);
	must_refuse(s2_map(&b.s, one, 1, S2_RWX, S2_MEM_COUNT, &b.g, NULL), S2_ERR_INVAL);
	must_refuse(s2_map(&b.s, one, 1, S2_WRITE, S2_MEM_COUNT, &b.g, NULL), S2_ERR_INVAL);
	must_refuse(s2_map(&b.s, one, 1, S2_WRITE, mem, &b.g, NULL), S2_ERR_FORMAT);
	must_refuse(s2_map(&b.s, one, 1, S2_RX, mem, &b.g, NULL), S2_ERR_EXISTS);
	pool_fail(&b.m.pool, 1);
	one->len = 0;
	must_refuse(s2_map(&b.s, one, 1, S2_RX, mem, &b.g, NULL), S2_ERR_INVAL);
	one->len = PAGE;
	must_refuse(s2_map(&b.s, one, 1, S2_RX, mem, &b.g, NULL), S2_ERR_EXISTS);
	one->gpa.val = b.home / 2;
	must_refuse(s2_map(&b.s, one, 1, S2_RX, mem, &b.g, NULL), S2_ERR_NOMEM);
	pool_fail(&b.m.pool, 0);
}

ON_EVERY_MACHINE(other_arguments)
{
	struct s2_range range = range_at(b.home, PAGE);
	struct s2_leaf leaf;
	uint64_t young;
	s2_hpa_t hpa;

	scene();
	must_refuse(s2_protect(&b.s, range, 0, &b.g, NULL), S2_ERR_INVAL);
	must_refuse(s2_protect(&b.s, range, S2_PROT_ALL + 1, &b.g, NULL), S2_ERR_INVAL);
	must_refuse(s2_protect(&b.s, range, S2_WRITE, &b.g, NULL), S2_ERR_FORMAT);
	must_refuse(s2_split(&b.s, range, S2_PAGE_LG2 - 1, &b.g, NULL), S2_ERR_FORMAT);
	must_refuse(bad_dirty_start(range), S2_ERR_INVAL);
	must_refuse(s2_dirty_stop(&b.s, range, 63, &b.g, NULL), S2_ERR_FORMAT);
	must_refuse(s2_dirty_stop(&b.s, range, 11, &b.g, NULL), S2_ERR_FORMAT);
	if (!b.s.fmt->keeps_accessed(&b.s)) {
		must_refuse(s2_age(&b.s, range, &b.g, &young), S2_ERR_FORMAT);
	}
	must_refuse(s2_next_run(&b.s, s2_gpa(b.home - 1), range, &leaf), S2_ERR_RANGE);
	must_refuse(s2_next_run(&b.s, s2_gpa(b.home + PAGE), range, &leaf), S2_ERR_RANGE);
	must_refuse(s2_touch(&b.s, s2_gpa(0), false, &b.g), S2_ERR_ABSENT);
	must_refuse(s2_lookup(&b.s, s2_gpa(0), &hpa), S2_ERR_ABSENT);
	if (b.last != UINT64_MAX) {
		must_refuse(s2_touch(&b.s, s2_gpa(b.last + 1), false, &b.g), S2_ERR_RANGE);
		must_refuse(s2_query(&b.s, s2_gpa(b.last + 1), &leaf), S2_ERR_RANGE);
		must_refuse(s2_query(&b.s, s2_gpa(UINT64_MAX), &leaf), S2_ERR_RANGE);
		must_refuse(s2_lookup(&b.s, s2_gpa(b.last + 1), &hpa), S2_ERR_RANGE);
	}
}

TCase *case_errors(void)
{
	TCase *tcase = tcase_create("errors");

	ADD(tcase, ranges);
	ADD_TWICE(tcase, map_of_bad_runs);
	ADD_TWICE(tcase, map_of_many_runs);
	ADD_TWICE(tcase, map_and_which_comes_first);
	ADD_TWICE(tcase, other_arguments);
	return tcase;
}
