/* SPDX-License-Identifier: BSD-2-Clause */
/* Mapping, unmapping and protecting: what becomes of the range, and of all that is not in it. */
#include "bench.h"
#include "cases.h"
#include "picture.h"

#include <stdlib.h>
#include <string.h>

ON_EVERY_MACHINE(the_same_again)
{
	uint64_t len = large_size() + 3 * S2_PAGE_SIZE;
	uint64_t hpa = hpa_at(large_size(), 1);
	struct s2_events before;
	char *dump;
	char *again;

	map(b.home - large_size(), hpa, len);
	settle();
	dump = dump_text();
	s2_space_events(&b.s, &before);
	map(b.home - large_size(), hpa, len);
	map(b.home, hpa + large_size(), S2_PAGE_SIZE);
	map(b.home - S2_PAGE_SIZE, hpa + large_size() - S2_PAGE_SIZE, 2 * S2_PAGE_SIZE);
	must(!s2_gather_owes(&b.g));
	settle();
	must_eq(b.s.events.written, before.written);
	must_eq(b.s.events.linked, before.linked);
	again = dump_text();
	must(strcmp(dump, again) == 0);
	free(dump);
	free(again);
}

/* What is there stays as it is, whatever its leaves; the rest is filled in. */
ON_EVERY_MACHINE(what_overlaps_is_kept)
{
	uint64_t large = large_size();
	uint64_t hpa = hpa_at(large, 1);
	struct view v;

	map(b.home + S2_PAGE_SIZE, hpa + S2_PAGE_SIZE, S2_PAGE_SIZE);
	map(b.home - S2_PAGE_SIZE, hpa - S2_PAGE_SIZE, 3 * S2_PAGE_SIZE);
	settle();
	view_take(&v);
	view_map(&v, b.home - large, hpa - large, 2 * large, S2_RWX, S2_MEM_NORMAL);
	load(b.home - large, 2 * large);
	map(b.home - large, hpa - large, 2 * large);
	view_check(&v);
	expect_size(b.home + S2_PAGE_SIZE, S2_PAGE_SIZE);
	view_free(&v);
}

/* One page that says something else, anywhere, and nothing is changed. */
ON_EVERY_MACHINE(another_mapping_is_in_the_way)
{
	uint64_t large = large_size();
	uint64_t len = large + 2 * S2_PAGE_SIZE;
	uint64_t hpa = hpa_at(large, 1);
	uint64_t at[] = {b.home - S2_PAGE_SIZE, b.home, b.home + large - S2_PAGE_SIZE,
			 b.home + large};
	unsigned other = machine_can_say(b.v, S2_READ, S2_MEM_NORMAL) ? S2_READ : S2_RX;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		uint64_t right = hpa + (at[i] - b.home);

		map(at[i], right ^ S2_PAGE_SIZE, S2_PAGE_SIZE);
		must_refuse(try_map(b.home - S2_PAGE_SIZE, hpa - S2_PAGE_SIZE, len, S2_RWX,
				    S2_MEM_NORMAL),
			    S2_ERR_EXISTS);
		unmap(at[i], S2_PAGE_SIZE);
		must_do(try_map(at[i], right, S2_PAGE_SIZE, other, S2_MEM_NORMAL));
		must_refuse(try_map(b.home - S2_PAGE_SIZE, hpa - S2_PAGE_SIZE, len, S2_RWX,
				    S2_MEM_NORMAL),
			    S2_ERR_EXISTS);
		unmap(at[i], S2_PAGE_SIZE);
	}
	for (unsigned mem = 1; mem < S2_MEM_COUNT; mem++) {
		if (machine_can_say(b.v, S2_RWX, (enum s2_mem)mem)) {
			map(b.home, hpa, S2_PAGE_SIZE);
			must_refuse(try_map(b.home, hpa, S2_PAGE_SIZE, S2_RWX, (enum s2_mem)mem),
				    S2_ERR_EXISTS);
			unmap(b.home, S2_PAGE_SIZE);
		}
	}
}

/* Within a large leaf: the same bytes are the same, whatever the length; others are not. */
ON_EVERY_MACHINE(inside_of_a_leaf)
{
	uint64_t large = large_size();
	uint64_t hpa = hpa_at(large, 1);

	map(b.home, hpa, large);
	s2_gather_sync(&b.g);
	for (unsigned k = 0; k < b.large; k++) {
		uint64_t at = (large - size_at(k)) / 2 & ~(S2_PAGE_SIZE - 1);

		map(b.home + at, hpa + at, size_at(k));
		settle();
		must_eq(leaves(), 1);
		must_refuse(try_map(b.home + at, hpa + at + S2_PAGE_SIZE, S2_PAGE_SIZE, S2_RWX,
				    S2_MEM_NORMAL),
			    S2_ERR_EXISTS);
	}
}

/* Tables that unmapping page by page leaves behind do not keep a large leaf from its place. */
ON_EVERY_MACHINE(empty_tables_make_room)
{
	uint64_t large = large_size();
	uint64_t hpa = hpa_at(large, 1);

	for (unsigned i = 0; i < 3; i++) {
		uint64_t at = b.home + (large / 2 & ~(S2_PAGE_SIZE - 1)) * (i % 2);

		map(at, hpa_at(S2_PAGE_SIZE, i), S2_PAGE_SIZE);
		load(at, S2_PAGE_SIZE);
		unmap(at, S2_PAGE_SIZE);
	}
	settle();
	load(b.home, large);
	map(b.home, hpa, large);
	settle();
	must_eq(leaves(), 1);
	expect_size(b.home, large);
}

ON_EVERY_MACHINE(many_runs_at_once)
{
	uint64_t large = large_size();
	uint64_t hpa = hpa_at(large, 1);
	struct s2_run runs[] = {
		{s2_gpa(b.home - large - S2_PAGE_SIZE), s2_hpa(0), S2_PAGE_SIZE, 0},
		{s2_gpa(b.home - large), s2_hpa(hpa), large, S2_FOLIO_ORDER_MAX},
		{s2_gpa(b.home), s2_hpa(hpa + S2_PAGE_SIZE), S2_PAGE_SIZE, 0},
		{s2_gpa(b.home + 2 * S2_PAGE_SIZE), s2_hpa(0), S2_PAGE_SIZE, 0},
		{s2_gpa(b.home + 3 * S2_PAGE_SIZE), s2_hpa(0), 2 * S2_PAGE_SIZE, 1},
		{s2_gpa(b.last - (S2_PAGE_SIZE - 1)), s2_hpa(hpa), S2_PAGE_SIZE, 0},
	};
	size_t count = sizeof(runs) / sizeof(runs[0]);
	struct view v = {.count = 0};

	for (size_t i = 0; i < count; i++) {
		load(runs[i].gpa.val, runs[i].len);
		view_map(&v, runs[i].gpa.val, runs[i].hpa.val, runs[i].len, S2_RWX, S2_MEM_NORMAL);
	}
	must_do(s2_map(&b.s, runs, count, S2_RWX, S2_MEM_NORMAL, &b.g, NULL));
	view_check(&v);
	expect_size(b.home - large, large);
	view_free(&v);
}

/* Ranges in and around a leaf of size s at 0; in units of pages, or of the leaf. */
static const struct cut {
	const char *name;
	int64_t leaf_from, page_from; /* from = leaf_from / 4 of the leaf, plus pages */
	int64_t leaf_end, page_end;
} cuts[] = {
	{"first page", 0, 0, 0, 1},
	{"second page", 0, 1, 0, 2},
	{"last page", 4, -1, 4, 0},
	{"all but the first page", 0, 1, 4, 0},
	{"all but the last page", 0, 0, 4, -1},
	{"all but both ends", 0, 1, 4, -1},
	{"middle page", 2, 0, 2, 1},
	{"around the middle", 2, -1, 2, 1},
	{"first half", 0, 0, 2, 0},
	{"second half", 2, 0, 4, 0},
	{"second quarter", 1, 0, 2, 0},
	{"across the start", -4, -1, 1, 3},
	{"across the end", 3, 2, 8, 1},
	{"all", 0, 0, 4, 0},
	{"all and more", -2, 0, 6, 0},
	{"before", -4, 0, 0, 0},
	{"behind", 4, 0, 8, 0},
};

#define CUT_COUNT (sizeof(cuts) / sizeof(cuts[0]))

static uint64_t cut_at(int64_t quarters, int64_t pages, uint64_t size)
{
	int64_t at = quarters * (int64_t)(size / 4) + pages * (int64_t)S2_PAGE_SIZE;

	return b.home + ((uint64_t)at & ~(S2_PAGE_SIZE - 1));
}

static struct s2_range cut_range(const struct cut *cut, uint64_t size)
{
	uint64_t from = cut_at(cut->leaf_from, cut->page_from, size);
	uint64_t end = cut_at(cut->leaf_end, cut->page_end, size);

	return range_at(from, end - from);
}

/* A leaf of this size, and neighbours on both sides that must not be hurt. */
static void cut_scene(unsigned k, unsigned prot, struct view *v)
{
	uint64_t size = size_at(k);
	uint64_t hpa = hpa_at(size, 1);
	struct {
		uint64_t gpa, hpa, len;
	} const pieces[] = {
		{b.home, hpa, size},
		{b.home - S2_PAGE_SIZE, hpa_at(S2_PAGE_SIZE, 7), S2_PAGE_SIZE},
		{b.home + size, hpa_at(S2_PAGE_SIZE, 9), 2 * S2_PAGE_SIZE},
	};

	*v = (struct view){.count = 0};
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		must_do(try_map(pieces[i].gpa, pieces[i].hpa, pieces[i].len, prot, S2_MEM_NORMAL));
		view_map(v, pieces[i].gpa, pieces[i].hpa, pieces[i].len, prot, S2_MEM_NORMAL);
	}
	s2_gather_sync(&b.g);
	expect_size(b.home, size);
}

/* All cuts of the smallest and the largest leaf that can be cut, some of those between. */
static size_t cut_first(unsigned k)
{
	return k == 1 || k + 1 == b.large ? 0 : k % 3;
}

static size_t cut_step(unsigned k)
{
	return k == 1 || k + 1 == b.large ? 1 : 3;
}

ON_EVERY_MACHINE(unmap_cuts)
{
	for (unsigned k = 1; k < b.large; k++) {
		for (size_t i = cut_first(k); i < CUT_COUNT; i += cut_step(k)) {
			struct s2_range range = cut_range(&cuts[i], size_at(k));
			struct view v;

			cut_scene(k, S2_RWX, &v);
			load(b.home, size_at(k));
			load(range.start.val, range.len);
			must_do(s2_unmap(&b.s, range, &b.g, NULL));
			view_clear(&v, range.start.val, range.len);
			view_check(&v);
			view_free(&v);
			unmap_all();
		}
	}
}

ON_EVERY_MACHINE(protect_cuts)
{
	for (unsigned k = 1; k < b.large; k++) {
		for (size_t i = cut_first(k); i < CUT_COUNT; i += cut_step(k)) {
			struct s2_range range = cut_range(&cuts[i], size_at(k));
			unsigned to = i % 2 == 0 ? S2_RX : S2_RWX;
			struct view v;

			cut_scene(k, i % 2 == 0 ? S2_RWX : S2_RX, &v);
			load(b.home, size_at(k));
			load(range.start.val, range.len);
			must_do(s2_protect(&b.s, range, to, &b.g, NULL));
			view_protect(&v, range.start.val, range.len, to);
			view_check(&v);
			view_free(&v);
			unmap_all();
		}
	}
}

ON_EVERY_MACHINE(holes_are_skipped)
{
	uint64_t large = large_size();
	struct view v;

	unmap(b.home - large, 2 * large);
	must(!s2_gather_owes(&b.g));
	must_do(s2_protect(&b.s, range_at(b.home - large, 2 * large), S2_RX, &b.g, NULL));
	must(!s2_gather_owes(&b.g));
	for (unsigned i = 0; i < 8; i++) {
		map(b.home + i * 3 * S2_PAGE_SIZE, hpa_at(S2_PAGE_SIZE, i), S2_PAGE_SIZE);
		map(b.home - large - i * 3 * S2_PAGE_SIZE, hpa_at(S2_PAGE_SIZE, i), S2_PAGE_SIZE);
	}
	settle();
	view_take(&v);
	load(b.home - S2_PAGE_SIZE, 14 * S2_PAGE_SIZE);
	must_do(s2_protect(&b.s, range_at(b.home - S2_PAGE_SIZE, 14 * S2_PAGE_SIZE), S2_RX, &b.g,
			   NULL));
	view_protect(&v, b.home - S2_PAGE_SIZE, 14 * S2_PAGE_SIZE, S2_RX);
	view_check(&v);
	load(b.home - large, large + 8 * S2_PAGE_SIZE);
	unmap(b.home - large, large + 8 * S2_PAGE_SIZE);
	view_clear(&v, b.home - large, large + 8 * S2_PAGE_SIZE);
	view_check(&v);
	view_free(&v);
}

/* A range that covers tables takes them out; page by page they stay until they are trimmed. */
ON_EVERY_MACHINE(unmap_takes_tables_out)
{
	struct machine_walk w;
	uint64_t span;

	map(b.home, hpa_at(S2_PAGE_SIZE, 1), S2_PAGE_SIZE);
	settle();
	machine_walk(&b.m, b.home, &w);
	must_eq(w.steps, b.s.top + 1);
	must_eq(tables(), b.s.top);
	load(b.home, S2_PAGE_SIZE);
	unmap(b.home, S2_PAGE_SIZE);
	settle();
	must_eq(tables(), b.s.top);
	span = UINT64_C(1) << b.s.fmt->lg2(1);
	load(b.home, span);
	unmap(b.home, span);
	settle();
	must_eq(tables(), b.s.top - 1u);
	map(b.home, hpa_at(S2_PAGE_SIZE, 1), S2_PAGE_SIZE);
	settle();
	load(b.home, S2_PAGE_SIZE);
	unmap_all();
}

ON_EVERY_MACHINE(unmap_of_everything)
{
	uint64_t large = large_size();

	for (unsigned k = 0; k < b.large; k++) {
		map_as(b.home + (k % 2 == 0 ? 0 : large), hpa_at(large, k), size_at(k), k);
		map(b.home - 2 * large + k * S2_PAGE_SIZE * 2, hpa_at(S2_PAGE_SIZE, k),
		    S2_PAGE_SIZE);
		settle();
		load(b.home - 2 * large, 4 * large);
		unmap_all();
	}
}

TCase *case_map(void)
{
	TCase *tcase = tcase_create("map");

	ADD_TWICE(tcase, the_same_again);
	ADD_TWICE(tcase, what_overlaps_is_kept);
	ADD_TWICE(tcase, another_mapping_is_in_the_way);
	ADD_TWICE(tcase, inside_of_a_leaf);
	ADD(tcase, empty_tables_make_room);
	ADD_TWICE(tcase, many_runs_at_once);
	ADD(tcase, unmap_cuts);
	ADD(tcase, protect_cuts);
	ADD(tcase, holes_are_skipped);
	ADD_TWICE(tcase, unmap_takes_tables_out);
	ADD(tcase, unmap_of_everything);
	return tcase;
}
