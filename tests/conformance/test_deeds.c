/* SPDX-License-Identifier: BSD-2-Clause */
/* Whatever is done: failing allocations change nothing, spare tables make it safe, steps do the same. */
#include "bench.h"
#include "cases.h"
#include "deed.h"
#include "picture.h"

#include <stdlib.h>
#include <string.h>

#define STEP_MAX 100000u

/* The range of a deed is around home; the TLB knows it before it is changed. */
static void load_all(void)
{
	load(b.home - large_size(), 2 * large_size());
	load(b.home, S2_PAGE_SIZE);
	load(0, S2_PAGE_SIZE);
	load(b.last - (S2_PAGE_SIZE - 1), S2_PAGE_SIZE);
}

/* What a deed leads to. */
struct outcome {
	char *dump;
	uint64_t tables;
	struct view view;
};

static void outcome_take(const struct deed *deed, struct outcome *out)
{
	deed->scene();
	load_all();
	must_do(deed->run(NULL));
	settle();
	out->dump = dump_text();
	out->tables = tables();
	view_take(&out->view);
	unmap_all();
}

static void outcome_free(struct outcome *out)
{
	free(out->dump);
	view_free(&out->view);
}

static void expect_outcome(const struct deed *deed, const struct outcome *wanted)
{
	char *text;

	settle();
	text = dump_text();
	if (strcmp(text, wanted->dump) != 0) {
		ck_abort_msg("%s: %s:\n%s\nnot\n%s", b.v->name, deed->name, text, wanted->dump);
	}
	must_eq(tables(), wanted->tables);
	free(text);
	unmap_all();
}

/* The n-th allocation fails, for n from 1 until none does. */
static void fail_each(const struct deed *deed, const struct outcome *wanted)
{
	size_t n = 0;
	enum s2_err err;

	deed->scene();
	load_all();
	do {
		struct picture before;

		picture_take(&before);
		pool_fail(&b.m.pool, ++n);
		err = deed->run(NULL);
		pool_fail(&b.m.pool, 0);
		if (err != S2_OK) {
			must_err(err, S2_ERR_NOMEM);
			picture_check(&before);
		}
	} while (err != S2_OK);
	must(n == 1 || deed->bound != NULL);
	expect_outcome(deed, wanted);
}

/* With as many tables as the library says, an allocator that always fails does not matter. */
static void bound_is_enough(const struct deed *deed, const struct outcome *wanted)
{
	struct s2_table_count bound = {{0}};
	uint64_t before;
	uint64_t used;

	deed->scene();
	s2_gather_fini(&b.g);
	s2_gather_init(&b.g, &b.s);
	before = b.s.events.linked;
	if (deed->bound != NULL) {
		bound = deed->bound();
		must_do(s2_gather_reserve(&b.g, bound));
	}
	load_all();
	pool_fail(&b.m.pool, 1);
	must_do(deed->run(NULL));
	pool_fail(&b.m.pool, 0);
	expect_outcome(deed, wanted);
	/* And it is of use only if it is not much more than what is needed. */
	used = b.s.events.linked - before;
	must(bound.count[0] + bound.count[1] >= used);
	must(bound.count[0] + bound.count[1] <= 4 * used + 4u * b.s.top + 4);
}

/* In steps; each of them gets somewhere and is complete in itself. */
static void in_steps(const struct deed *deed, uint64_t budget_tables)
{
	struct s2_budget budget = {.tables = budget_tables};
	unsigned steps = 0;
	uint64_t left = UINT64_MAX;
	uint64_t last = 0;

	load_all();
	do {
		must_do(deed->run(&budget));
		s2_gather_sync(&b.g);
		must(steps++ < STEP_MAX);
		if (budget.rest.len != 0) {
			must(budget.rest.len < left);
			must(left == UINT64_MAX || s2_range_last(budget.rest).val == last);
			must_eq(budget.rest.start.val & (S2_PAGE_SIZE - 1), 0);
			left = budget.rest.len;
			last = s2_range_last(budget.rest).val;
			b.step = budget.rest;
		}
		if (steps == 2) {
			settle();
		}
	} while (budget.rest.len != 0);
	b.step = range_at(0, 0);
}

static void budgets(const struct deed *deed, const struct outcome *wanted)
{
	static const uint64_t sizes[] = {0, 3, UINT64_MAX};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (deed->in_steps && sizes[i] == UINT64_MAX) {
			continue;
		}
		deed->scene();
		in_steps(deed, sizes[i]);
		if (deed->in_steps || sizes[i] == UINT64_MAX) {
			expect_outcome(deed, wanted);
		} else {
			view_check(&wanted->view);
			unmap_all();
		}
	}
}

ON_EVERY_MACHINE(all_deeds)
{
	struct s2_table_count some = {{1, 1}};

	for (unsigned i = 0; i < deed_count; i++) {
		const struct deed *deed = &deeds[i];
		struct outcome wanted;

		if (deed->large && b.large == 1) {
			continue;
		}
		outcome_take(deed, &wanted);
		fail_each(deed, &wanted);
		bound_is_enough(deed, &wanted);
		if (deed->bound != NULL) {
			must_do(s2_gather_reserve(&b.g, some));
			fail_each(deed, &wanted);
		}
		if (deed->budget) {
			budgets(deed, &wanted);
		}
		outcome_free(&wanted);
	}
}

ON_EVERY_MACHINE(deeds_do_not_write_to_the_space)
{
	for (unsigned i = 0; i < deed_count; i++) {
		if (deeds[i].large && b.large == 1) {
			continue;
		}
		deeds[i].scene();
		load_all();
		space_freeze();
		must_do(deeds[i].run(NULL));
		space_thaw();
		unmap_all();
	}
}

/* A space with locks does the same, and gives back each lock that it has taken. */
#define LOCKS 4u

static uint32_t locks[LOCKS];

static void with_locks(struct s2_config *config)
{
	config->lock = locks;
	config->lock_count = LOCKS;
}

ON_EVERY_CHOICE(with_locks_too)
{
	bench_start(choice, with_locks);
	for (unsigned i = 0; i < deed_count; i++) {
		if (deeds[i].large && b.large == 1) {
			continue;
		}
		deeds[i].scene();
		load_all();
		must_do(deeds[i].run(NULL));
		settle();
		for (unsigned j = 0; j < LOCKS; j++) {
			must_eq(locks[j], 0);
		}
		unmap_all();
	}
	bench_finish();
}

TCase *case_deeds(void)
{
	TCase *tcase = tcase_create("deeds");

	ADD(tcase, all_deeds);
	ADD(tcase, deeds_do_not_write_to_the_space);
	ADD(tcase, with_locks_too);
	return tcase;
}
