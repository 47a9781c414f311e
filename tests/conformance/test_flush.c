/* SPDX-License-Identifier: BSD-2-Clause */
/* What is owed, when it is paid, and what must wait for it. */
#include "bench.h"
#include "cases.h"
#include "picture.h"

#include <string.h>

#define PAGE S2_PAGE_SIZE
#define TOLD_MAX 16u

/* The last call of the back end. */
static struct s2_flush told[TOLD_MAX];
static size_t told_count;
static unsigned calls;

static void on_flush(void *cookie, struct machine *m, const struct s2_flush *flush, size_t count)
{
	(void)cookie;
	(void)m;
	must(count <= TOLD_MAX);
	memcpy(told, flush, count * sizeof(*flush));
	told_count = count;
	calls++;
}

static void listen(void)
{
	b.m.on_flush = on_flush;
	calls = 0;
	told_count = 0;
}

static bool purges(void)
{
	return b.s.fmt->purges();
}

ON_EVERY_MACHINE(none_to_leaf)
{
	listen();
	map(b.home, hpa_at(PAGE, 1), PAGE);
	map(b.home + PAGE, hpa_at(PAGE, 3), 2 * PAGE);
	map(b.home - PAGE, hpa_at(PAGE, 3), PAGE);
	must_eq(s2_gather_owes(&b.g), machine_caches_none(b.v));
	must_eq(calls, 0);
	settle();
	must_eq(calls, machine_caches_none(b.v));
}

/* Page by page, and in any order: one range, once. */
ON_EVERY_MACHINE(neighbours_are_one_range)
{
	static const unsigned order[] = {3, 0, 1, 7, 6, 5, 4, 2};

	map(b.home, hpa_at(PAGE, 1), 8 * PAGE);
	map_as(b.home, hpa_at(PAGE, 1), 8 * PAGE, 0);
	settle();
	load(b.home, 8 * PAGE);
	listen();
	for (unsigned i = 0; i < 8; i++) {
		must_do(s2_unmap(&b.s, range_at(b.home + order[i] * PAGE, PAGE), &b.g, NULL));
	}
	must_eq(calls, 0);
	must_eq(s2_gather_owes(&b.g), !purges());
	settle();
	must_eq(calls, !purges());
	must_eq(b.m.stats.invalidate_items, purges() ? 8 : 0);
	if (!purges()) {
		must_eq(told_count, 1);
		must_eq(told[0].kind, S2_FLUSH_LEAF);
		must_eq(told[0].range.start.val, b.home);
		must_eq(told[0].range.len, 8 * PAGE);
		must_eq(told[0].stride_lg2, S2_PAGE_LG2);
		must_eq(told[0].level, 0);
	}
	s2_gather_sync(&b.g);
	must_eq(calls, !purges());
}

/* Neighbours in one table go by one call, where machines purge. */
ON_EVERY_MACHINE(purges_are_by_stretches)
{
	map_as(b.home, hpa_at(PAGE, 1), 8 * PAGE, 0);
	map(b.home + 9 * PAGE, hpa_at(PAGE, 1), PAGE);
	settle();
	load(b.home, 10 * PAGE);
	unmap(b.home, 10 * PAGE);
	must_eq(b.m.stats.invalidate_calls, purges() ? 2 : 0);
	must_eq(b.m.stats.invalidate_items, purges() ? 9 : 0);
}

/* Those that change in the same bits, too; one by itself is replaced. */
ON_EVERY_MACHINE(changes_are_by_stretches)
{
	uint64_t written;

	map_as(b.home, hpa_at(PAGE, 1), 8 * PAGE, 0);
	map(b.home + 9 * PAGE, hpa_at(PAGE, 1), PAGE);
	settle();
	must_do(s2_dirty_clear(&b.s, range_at(b.home + 4 * PAGE, PAGE), &b.g));
	settle();
	load(b.home, 10 * PAGE);
	must_eq(b.m.stats.replace_calls, purges() ? 1 : 0);
	written = b.s.events.written;
	listen();
	for (unsigned i = 0; i < 2; i++) { /* the second time nothing changes */
		must_do(s2_protect(&b.s, range_at(b.home, 10 * PAGE), S2_RX, &b.g, NULL));
		must_eq(s2_gather_owes(&b.g), !purges() && i == 0);
		settle();
		must_eq(calls, !purges());
		must_eq(b.m.stats.invalidate_calls, purges() ? 2 : 0);
		must_eq(b.m.stats.invalidate_items, purges() ? 4 + 3 : 0);
		must_eq(b.m.stats.replace_calls, purges() ? 1 + 2 : 0);
		must_eq(b.s.events.written, written + 9);
	}
}

/* Of larger leaves as well; the machine knows all of them. */
ON_EVERY_MACHINE(stretches_of_each_size)
{
	for (unsigned k = 0; k < b.large; k++) {
		uint64_t before = b.m.stats.invalidate_items;

		map_as(b.home, hpa_at(size_at(k), 1), 3 * size_at(k), k);
		settle();
		for (unsigned i = 0; i < 3; i++) {
			machine_touch(&b.m, b.home + i * size_at(k));
		}
		must_do(s2_protect(&b.s, range_at(b.home, 3 * size_at(k)), S2_RX, &b.g, NULL));
		settle();
		must_eq(b.m.stats.invalidate_items, before + (purges() ? 3 : 0));
		for (unsigned i = 0; i < 3; i++) {
			struct machine_result r;

			must(!machine_access(&b.m, b.home + i * size_at(k), MACHINE_WRITE, &r));
			must_eq(r.fault, MACHINE_DENIED);
		}
		unmap_all();
	}
}

ON_EVERY_MACHINE(a_leaf_of_each_size)
{
	for (unsigned k = 0; k < b.large; k++) {
		struct machine_walk w;

		map_as(b.home, hpa_at(size_at(k), 1), size_at(k), k);
		settle();
		machine_walk(&b.m, b.home, &w);
		load(b.home, size_at(k));
		listen();
		must_do(s2_unmap(&b.s, range_at(b.home, size_at(k)), &b.g, NULL));
		settle();
		if (!purges()) {
			must_eq(calls, 1);
			must_eq(told_count, 1);
			must_eq(told[0].kind, S2_FLUSH_LEAF);
			must_eq(told[0].range.start.val, b.home);
			must_eq(told[0].range.len, size_at(k));
			must_eq(told[0].stride_lg2, b.s.fmt->lg2(w.leaf.level));
			must_eq(told[0].level, w.leaf.level);
		}
		unmap_all();
	}
}

/* A table that is taken out is there until the sync: machines may be walking it. */
ON_EVERY_MACHINE(tables_wait_for_the_sync)
{
	uint64_t span = UINT64_C(1) << b.s.fmt->lg2(1);
	size_t before;

	map(b.home, hpa_at(PAGE, 1), PAGE);
	settle();
	before = b.m.pool.live;
	load(b.home, PAGE);
	listen();
	must_do(s2_unmap(&b.s, range_at(b.home, span), &b.g, NULL));
	must_eq(b.m.pool.live, before);
	must(s2_gather_owes(&b.g));
	must_eq(b.s.events.unlinked, 0);
	settle();
	must_eq(b.m.pool.live, before - 1);
	must_eq(b.s.events.unlinked, 1);
	must_eq(calls, 1);
	must_eq(told[0].kind, S2_FLUSH_WALK);
	must_eq(told[0].range.start.val, b.home);
	must_eq(told[0].range.len, span);
}

/* Neighbours are taken out by one step: one purge, one range; but no more of them than the budget has. */
ON_EVERY_MACHINE(neighbouring_tables)
{
	static const unsigned at[] = {0, 1, 2, 4};
	uint64_t span = UINT64_C(1) << b.s.fmt->lg2(1);
	struct s2_budget budget = {.tables = 1};

	for (unsigned i = 0; i < 4; i++) {
		map(b.home + at[i] * span, hpa_at(PAGE, i), PAGE);
		machine_touch(&b.m, b.home + at[i] * span);
	}
	settle();
	listen();
	must_do(s2_unmap(&b.s, range_at(b.home, 5 * span), &b.g, &budget));
	must_eq(budget.rest.start.val, b.home + 2 * span);
	must_eq(b.m.stats.invalidate_calls, purges() ? 1 : 0);
	must_eq(b.m.stats.invalidate_items, purges() ? 2 : 0);
	settle();
	must_eq(b.s.events.unlinked, 2);
	must_eq(told_count, 1);
	must_eq(told[0].range.start.val, b.home);
	must_eq(told[0].range.len, 2 * span);
	must_do(s2_unmap(&b.s, budget.rest, &b.g, NULL));
	must_eq(b.m.stats.invalidate_calls, purges() ? 3 : 0);
	must_eq(b.m.stats.invalidate_items, purges() ? 4 : 0);
	settle();
	must_eq(b.s.events.unlinked, 4);
	must_eq(told_count, 2);
	must_eq(told[1].range.start.val, b.home + 4 * span);
	must_eq(told[1].range.len, span);
}

/* All items of a table of this level are leaves of this size; the machine knows one page, and the way. */
static uint64_t start_table(unsigned k, unsigned level)
{
	uint64_t span = UINT64_C(1) << b.s.fmt->lg2(level + 1);

	map_as(b.home, hpa_at(span, 1), span, k);
	settle();
	machine_touch(&b.m, b.home);
	return span;
}

/* Through the table, wherever it is by now: what is said of an item is what was there, or nothing. */
static void use_table(unsigned level)
{
	uint64_t span = UINT64_C(1) << b.s.fmt->lg2(level + 1);

	for (uint64_t at = 0; at < span; at += UINT64_C(1) << b.s.fmt->lg2(level)) {
		struct machine_result r;

		if (machine_access(&b.m, b.home + at, MACHINE_WRITE, &r)) {
			must_eq(r.hpa, hpa_at(span, 1) + at);
		} else {
			must_eq(r.fault, MACHINE_ABSENT);
		}
		check_machine();
	}
}

/* Of all sizes of leaves, groups too: no part of one is missing where the rest is not. */
ON_EVERY_MACHINE(tables_that_wait_are_in_order)
{
	for (unsigned k = 0; k < b.large; k++) {
		struct machine_walk w;
		unsigned level;
		uint64_t span;

		map_as(b.home, hpa_at(size_at(k), 1), size_at(k), k);
		machine_walk(&b.m, b.home, &w);
		level = w.leaf.level;
		unmap_all();
		if (level == b.s.top || UINT64_C(1) << b.s.fmt->lg2(level + 1) > large_size()) {
			continue;
		}
		span = start_table(k, level);
		must_do(s2_unmap(&b.s, range_at(b.home, span), &b.g, NULL));
		use_table(level);
		settle();
		expect_hole(b.home);
		span = start_table(k, level);
		must_do(s2_collapse(&b.s, range_at(b.home, span), &b.g));
		use_table(level);
		settle();
		expect_at(b.home, hpa_at(span, 1));
		unmap_all();
	}
}

/* More than the back end wants to hear of: one of all. */
ON_EVERY_MACHINE(too_much)
{
	for (unsigned max = 0; max < 3; max++) {
		map_as(b.home, hpa_at(PAGE, 1), 2 * PAGE, 0);
		settle();
		b.m.mmu.flush_max = max;
		load(b.home, 2 * PAGE);
		listen();
		must_do(s2_protect(&b.s, range_at(b.home, 2 * PAGE), S2_RX, &b.g, NULL));
		settle();
		must_eq(calls, !purges());
		if (!purges()) {
			must_eq(told_count, 1);
			must_eq(told[0].kind, max < 2 ? S2_FLUSH_ALL : S2_FLUSH_LEAF);
		}
		unmap_all();
	}
	b.m.mmu.flush_max = UINT64_MAX;
}

/* More places than a gather has: nothing is forgotten. */
ON_EVERY_MACHINE(many_places)
{
	for (unsigned i = 0; i < 24; i++) {
		map(b.home + i * i * 5 * PAGE, hpa_at(PAGE, i), PAGE);
	}
	settle();
	listen();
	for (unsigned i = 0; i < 24; i++) {
		uint64_t gpa = b.home + i * i * 5 * PAGE;

		load(gpa, PAGE);
		must_do(s2_unmap(&b.s, range_at(gpa, PAGE), &b.g, NULL));
	}
	must_eq(calls, 0);
	settle();
	must_eq(calls, !purges());
	must(told_count <= S2_GATHER_RANGES);
}

/* Each thread has its own gather; here one after the other. */
ON_EVERY_MACHINE(two_gathers)
{
	struct s2_gather other;
	struct s2_run run = {s2_gpa(b.home - PAGE), s2_hpa(0), PAGE, 0};

	s2_gather_init(&other, &b.s);
	map(b.home, hpa_at(PAGE, 1), PAGE);
	must_do(s2_map(&b.s, &run, 1, S2_RWX, S2_MEM_NORMAL, &other, NULL));
	s2_gather_sync(&b.g);
	s2_gather_sync(&other);
	settle();
	load(b.home - PAGE, 2 * PAGE);
	must_do(s2_unmap(&b.s, range_at(b.home - PAGE, PAGE), &other, NULL));
	must_do(s2_unmap(&b.s, range_at(b.home, PAGE), &b.g, NULL));
	s2_gather_fini(&other);
	settle();
	must_eq(leaves(), 0);
}

/* Memory that is unmapped and mapped anew before the sync: the old translation is flushed first. */
ON_EVERY_MACHINE(mapped_anew_before_the_sync)
{
	uint64_t large = large_size();

	map(b.home, hpa_at(large, 1), large);
	settle();
	load(b.home, large);
	must_do(s2_unmap(&b.s, range_at(b.home, large), &b.g, NULL));
	map(b.home, hpa_at(large, 2), PAGE);
	map(b.home + PAGE, hpa_at(large, 1) + PAGE, PAGE);
	settle();
	expect_at(b.home, hpa_at(large, 2));
	load(b.home, large);
	must_do(s2_unmap(&b.s, range_at(b.home, 2 * PAGE), &b.g, NULL));
	map(b.home, hpa_at(large, 1), large);
	settle();
	expect_at(b.home, hpa_at(large, 1));
	load(b.home, large);
	must_do(s2_unmap(&b.s, range_at(b.home, large), &b.g, NULL));
	must_do(try_map(b.home, hpa_at(large, 1), large, S2_RX, S2_MEM_NORMAL));
	settle();
}

/* Nothing that is the same costs nothing. */
ON_EVERY_MACHINE(changes_that_are_none)
{
	uint64_t large = large_size();

	map(b.home, hpa_at(large, 1), large);
	settle();
	listen();
	must_do(s2_protect(&b.s, range_at(b.home, large), S2_RWX, &b.g, NULL));
	must_do(s2_dirty_stop(&b.s, range_at(b.home, large), 0, &b.g, NULL));
	must_do(s2_collapse(&b.s, range_at(b.home, large), &b.g));
	must_do(s2_trim(&b.s, whole_space(), &b.g, NULL));
	must(!s2_gather_owes(&b.g));
	settle();
	must_eq(calls, 0);
	must_eq(b.m.stats.replace_calls, 0);
}

/* What is counted: items, tables. */
ON_EVERY_MACHINE(events)
{
	map(b.home, hpa_at(PAGE, 1), 3 * PAGE);
	settle();
	must_eq(b.s.events.written, 3u + b.s.top);
	must_eq(b.s.events.linked, b.s.top);
	must_do(s2_protect(&b.s, range_at(b.home, 2 * PAGE), S2_RX, &b.g, NULL));
	settle();
	must_eq(b.s.events.written, 3u + b.s.top + 2);
	unmap(b.home + PAGE, 8 * PAGE);
	settle();
	must_eq(b.s.events.written, 3u + b.s.top + 2 + 2);
	must_eq(b.s.events.unlinked, 0);
}

TCase *case_flush(void)
{
	TCase *tcase = tcase_create("flush");

	ADD_TWICE(tcase, none_to_leaf);
	ADD(tcase, neighbours_are_one_range);
	ADD(tcase, purges_are_by_stretches);
	ADD(tcase, changes_are_by_stretches);
	ADD(tcase, stretches_of_each_size);
	ADD(tcase, a_leaf_of_each_size);
	ADD(tcase, tables_wait_for_the_sync);
	ADD(tcase, neighbouring_tables);
	ADD(tcase, tables_that_wait_are_in_order);
	ADD(tcase, too_much);
	ADD(tcase, many_places);
	ADD(tcase, two_gathers);
	ADD_TWICE(tcase, mapped_anew_before_the_sync);
	ADD(tcase, changes_that_are_none);
	ADD_TWICE(tcase, events);
	return tcase;
}
