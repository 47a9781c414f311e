/* SPDX-License-Identifier: BSD-2-Clause */
/* Making leaves smaller and larger, and taking empty tables away: a guest sees none of it. */
#include "bench.h"
#include "cases.h"
#include "picture.h"

#include <stdlib.h>
#include <string.h>

#define LEAF_MAX 1024u	/* of most tests */
#define TREE_MAX 32768u /* of those that make trees */

/* Where a leaf is split, a table is linked below it; where tables go, they were rejoined. */
static void expect_events(const struct s2_events *before, const struct s2_count *had)
{
	struct s2_count has;

	must_do(s2_count(&b.s, whole_space(), &has));
	for (unsigned level = 0; level < b.s.top; level++) {
		uint64_t shattered = b.s.events.shattered[level + 1] - before->shattered[level + 1];
		uint64_t rejoined = b.s.events.rejoined[level + 1] - before->rejoined[level + 1];

		must_eq(has.table[level] + rejoined, had->table[level] + shattered);
	}
	must_eq(b.s.events.shattered[0], 0);
	must_eq(b.s.events.rejoined[0], 0);
}

static void split_one(unsigned from, unsigned to, uint64_t gpa, uint64_t len)
{
	uint64_t size = size_at(from);
	struct s2_events before;
	struct s2_count count;
	struct view v;

	map_as(b.home, hpa_at(size, 1), size, from);
	map(b.home - S2_PAGE_SIZE, hpa_at(S2_PAGE_SIZE, 1), S2_PAGE_SIZE);
	settle();
	view_take(&v);
	s2_space_events(&b.s, &before);
	must_do(s2_count(&b.s, whole_space(), &count));
	load(b.home, size);
	must_do(s2_split(&b.s, range_at(gpa, len), b.size[to], &b.g, NULL));
	view_check(&v);
	must_eq(leaves_of(size_at(to)), size / size_at(to) + (to == 0));
	must_eq(leaves(), size / size_at(to) + 1);
	expect_events(&before, &count);
	must_eq(b.s.events.unfolded - before.unfolded, size_is_group(from));
	view_free(&v);
	unmap_all();
}

ON_EVERY_MACHINE(split_from_each_to_each)
{
	for (unsigned from = 1; from < b.large; from++) {
		for (unsigned to = 0; to < from; to++) {
			if (size_at(from) / size_at(to) <= LEAF_MAX) {
				split_one(from, to, b.home, size_at(from));
			}
		}
	}
}

/* Over more than one level, where that is not too many leaves: whole trees are made at once. */
ON_EVERY_MACHINE(split_makes_trees)
{
	for (unsigned from = b.large; from-- > 1;) {
		for (unsigned to = from; to-- > 0;) {
			uint64_t ratio = size_at(from) / size_at(to);

			if (ratio > LEAF_MAX && ratio <= TREE_MAX) {
				split_one(from, to, b.home, size_at(from));
				return;
			}
		}
	}
}

/* A range that is a single page in the leaf: it is split as a whole. */
ON_EVERY_MACHINE(split_of_a_part_is_of_the_whole)
{
	for (unsigned from = 1; from < b.large; from++) {
		uint64_t size = size_at(from);

		split_one(from, from - 1, b.home, S2_PAGE_SIZE);
		split_one(from, from - 1, b.home + size - S2_PAGE_SIZE, S2_PAGE_SIZE);
		split_one(from, from - 1, b.home + size / 2, S2_PAGE_SIZE);
	}
}

/* What is small enough is left alone, and nothing is owed for it. */
ON_EVERY_MACHINE(split_of_small_leaves_is_nothing)
{
	for (unsigned k = 0; k < b.large; k++) {
		map_as(b.home, hpa_at(size_at(k), 1), size_at(k), k);
		settle();
		for (unsigned to = k; to < b.large; to++) {
			struct picture before;

			picture_take(&before);
			must_do(s2_split(&b.s, range_at(b.home, size_at(k)), b.size[to], &b.g,
					 NULL));
			picture_check(&before);
		}
		unmap_all();
	}
}

ON_EVERY_MACHINE(split_wants_a_size)
{
	map(b.home, hpa_at(large_size(), 1), large_size());
	for (unsigned lg2 = 0; lg2 < 256; lg2++) {
		if (lg2 < 64 && ((b.v->leaf_sizes >> lg2) & 1) != 0) {
			continue;
		}
		must_refuse(
			s2_split(&b.s, range_at(b.home, S2_PAGE_SIZE), (uint8_t)lg2, &b.g, NULL),
			S2_ERR_FORMAT);
		must_refuse(s2_collapse_all(&b.s, range_at(b.home, S2_PAGE_SIZE), (uint8_t)lg2,
					    &b.g, NULL),
			    S2_ERR_FORMAT);
	}
}

static void collapse_one(unsigned from, unsigned to)
{
	uint64_t size = size_at(to);
	struct s2_events before;
	struct s2_count count;
	struct view v;

	map_as(b.home, hpa_at(size, 1), size, from);
	map(b.home - S2_PAGE_SIZE, hpa_at(size, 1) - S2_PAGE_SIZE, S2_PAGE_SIZE);
	settle();
	view_take(&v);
	s2_space_events(&b.s, &before);
	must_do(s2_count(&b.s, whole_space(), &count));
	load(b.home, size);
	must_do(s2_collapse(&b.s, range_at(b.home, size), &b.g));
	view_check(&v);
	expect_size(b.home, size);
	must_eq(leaves(), 2);
	expect_events(&before, &count);
	must(!size_is_group(to) || b.s.events.folded > before.folded);
	must_do(s2_collapse(&b.s, range_at(b.home, size), &b.g));
	must(!s2_gather_owes(&b.g));
	view_free(&v);
	unmap_all();
}

ON_EVERY_MACHINE(collapse_from_each_to_each)
{
	for (unsigned to = 1; to < b.large; to++) {
		for (unsigned from = 0; from < to; from++) {
			if (size_at(to) / size_at(from) <= LEAF_MAX) {
				collapse_one(from, to);
			}
		}
	}
}

/* Leaves of all sizes in one leaf of the largest. */
ON_EVERY_MACHINE(collapse_of_a_mixture)
{
	uint64_t large = large_size();
	uint64_t hpa = hpa_at(large, 1);

	for (unsigned k = 0; k + 1 < b.large; k++) {
		uint64_t size = size_at(k);

		map(b.home + size, hpa + size, size);
		map(b.home + large - 3 * size, hpa + large - 3 * size, size);
	}
	map(b.home, hpa, large);
	settle();
	load(b.home, large);
	must_do(s2_collapse(&b.s, range_at(b.home, large), &b.g));
	settle();
	must_eq(leaves(), 1);
	expect_size(b.home, large);
}

/* Part of a leaf is one leaf: the caller gets at least what it asked for. */
ON_EVERY_MACHINE(collapse_in_a_leaf_is_nothing)
{
	map(b.home, hpa_at(large_size(), 1), large_size());
	settle();
	for (unsigned k = 0; k < b.large; k++) {
		struct picture before;

		picture_take(&before);
		must_do(s2_collapse(&b.s, range_at(b.home, size_at(k)), &b.g));
		must_do(s2_collapse(&b.s, range_at(b.home + large_size() - size_at(k), size_at(k)),
				    &b.g));
		picture_check(&before);
	}
}

ON_EVERY_MACHINE(collapse_wants_a_size)
{
	uint64_t large = large_size();

	map(b.home, hpa_at(large, 1), large);
	settle();
	must_refuse(s2_collapse(&b.s, range_at(b.home, 3 * S2_PAGE_SIZE), &b.g), S2_ERR_FORMAT);
	for (uint64_t size = S2_PAGE_SIZE; size != 0 && size <= b.last / 2; size <<= 1) {
		if ((b.v->leaf_sizes & size) == 0) {
			must_refuse(s2_collapse(&b.s, range_at(b.home, size), &b.g), S2_ERR_FORMAT);
		} else if (size > S2_PAGE_SIZE) {
			must_refuse(s2_collapse(&b.s, range_at(b.home - size + S2_PAGE_SIZE, size),
						&b.g),
				    S2_ERR_ALIGN);
			must_refuse(s2_collapse(&b.s, range_at(b.home - size / 2, size), &b.g),
				    S2_ERR_ALIGN);
		}
	}
}

/* Pages that are not like the others, at the start, in the middle and at the end. */
static void mixed(uint64_t size, uint64_t at)
{
	uint64_t hpa = hpa_at(size, 1) + at;
	struct s2_range range = range_at(b.home, size);

	unmap(b.home + at, S2_PAGE_SIZE);
	must_refuse(s2_collapse(&b.s, range, &b.g), S2_ERR_MIXED);
	map(b.home + at, hpa ^ S2_PAGE_SIZE, S2_PAGE_SIZE);
	s2_gather_sync(&b.g);
	must_refuse(s2_collapse(&b.s, range, &b.g), S2_ERR_MIXED);
	unmap(b.home + at, S2_PAGE_SIZE);
	must_do(try_map(b.home + at, hpa, S2_PAGE_SIZE, S2_RX, S2_MEM_NORMAL));
	s2_gather_sync(&b.g);
	must_refuse(s2_collapse(&b.s, range, &b.g), S2_ERR_MIXED);
	unmap(b.home + at, S2_PAGE_SIZE);
	if (machine_can_say(b.v, S2_RWX, S2_MEM_DEVICE)) {
		must_do(try_map(b.home + at, hpa, S2_PAGE_SIZE, S2_RWX, S2_MEM_DEVICE));
		s2_gather_sync(&b.g);
		must_refuse(s2_collapse(&b.s, range, &b.g), S2_ERR_MIXED);
		unmap(b.home + at, S2_PAGE_SIZE);
	}
	map(b.home + at, hpa, S2_PAGE_SIZE);
	s2_gather_sync(&b.g);
}

ON_EVERY_MACHINE(collapse_of_what_is_not_one)
{
	for (unsigned k = 1; k < b.large; k++) {
		uint64_t size = size_at(k);

		if (size / S2_PAGE_SIZE > LEAF_MAX) {
			break;
		}
		map_as(b.home, hpa_at(size, 1), size, 0);
		mixed(size, 0);
		mixed(size, size / 2);
		mixed(size, size - S2_PAGE_SIZE);
		must_do(s2_collapse(&b.s, range_at(b.home, size), &b.g));
		settle();
		expect_size(b.home, size);
		unmap_all();
		/* Contiguous, but not aligned. */
		map(b.home, hpa_at(size, 1) + S2_PAGE_SIZE, size);
		must_refuse(s2_collapse(&b.s, range_at(b.home, size), &b.g), S2_ERR_MIXED);
		unmap_all();
	}
	must_refuse(s2_collapse(&b.s, range_at(b.home, large_size()), &b.g), S2_ERR_MIXED);
}

/* The largest size that is worth it to map page by page. */
static unsigned middle(void)
{
	unsigned k = 0;

	while (k + 1 < b.large && size_at(k + 1) / S2_PAGE_SIZE <= LEAF_MAX) {
		k++;
	}
	return k;
}

/*
 * Pieces with all sorts of ends, in leaves of this size at most. Another page in the second of them has
 * other rights.
 */
static void map_pieces(unsigned k)
{
	uint64_t mid = size_at(middle());
	uint64_t hpa = hpa_at(mid * 4, 1);
	uint64_t ro = b.home + mid / 2;

	map_as(b.home - mid, hpa - mid, mid + mid / 2, k);
	map_as(b.home + mid, hpa + mid, mid + S2_PAGE_SIZE, k);
	must_do(try_map(ro, hpa + mid / 2, S2_PAGE_SIZE, S2_RX, S2_MEM_NORMAL));
	if (mid > 4 * S2_PAGE_SIZE) {
		map_as(ro + 2 * S2_PAGE_SIZE, hpa + mid / 2 + 2 * S2_PAGE_SIZE,
		       mid / 2 - 2 * S2_PAGE_SIZE, k);
	}
}

/* What is collapsed is as if it had been mapped so. */
ON_EVERY_MACHINE(collapse_all_is_as_good_as_mapping)
{
	if (b.large == 1) {
		return;
	}
	for (unsigned to = 0; to <= middle(); to++) {
		uint64_t mid = size_at(middle());
		char *wanted;
		char *got;
		uint64_t count;

		map_pieces(to);
		settle();
		wanted = dump_text();
		count = tables();
		unmap_all();
		map_pieces(0);
		settle();
		load(b.home - mid, 3 * mid);
		load(b.home, mid);
		must_do(s2_collapse_all(&b.s, range_at(b.home - mid, 4 * mid), b.size[to], &b.g,
					NULL));
		settle();
		got = dump_text();
		if (strcmp(got, wanted) != 0) {
			ck_abort_msg("%s:\n%s\nnot\n%s", b.v->name, got, wanted);
		}
		must_eq(tables(), count);
		free(wanted);
		free(got);
		unmap_all();
	}
}

/* Nothing outside of the range becomes part of a larger leaf. */
ON_EVERY_MACHINE(collapse_all_keeps_to_its_range)
{
	for (unsigned k = 1; k <= middle(); k++) {
		uint64_t size = size_at(k);

		map_as(b.home - 2 * size, hpa_at(4 * size, 1), 4 * size, 0);
		settle();
		load(b.home - size, 2 * size);
		must_do(s2_collapse_all(&b.s, range_at(b.home - size - S2_PAGE_SIZE, 2 * size),
					b.size[k], &b.g, NULL));
		settle();
		must_eq(leaves_of(size), 1);
		expect_size(b.home - size, size);
		expect_size(b.home - size - S2_PAGE_SIZE, S2_PAGE_SIZE);
		unmap_all();
	}
}

ON_EVERY_MACHINE(trim_takes_empty_tables)
{
	uint64_t span = UINT64_C(1) << b.s.fmt->lg2(1);
	uint64_t count;

	for (unsigned i = 0; i < 4; i++) {
		map(b.home + i * span, hpa_at(S2_PAGE_SIZE, i), S2_PAGE_SIZE);
		map(b.home - (i + 1) * span, hpa_at(S2_PAGE_SIZE, i), S2_PAGE_SIZE);
	}
	settle();
	count = tables();
	unmap(b.home, S2_PAGE_SIZE);
	unmap(b.home + span, S2_PAGE_SIZE);
	unmap(b.home - span, S2_PAGE_SIZE);
	settle();
	must_eq(tables(), count);
	/* Not as a whole in the range. */
	must_do(s2_trim(&b.s, range_at(b.home, span - S2_PAGE_SIZE), &b.g, NULL));
	must_do(s2_trim(&b.s, range_at(b.home + S2_PAGE_SIZE, span - S2_PAGE_SIZE), &b.g, NULL));
	settle();
	must_eq(tables(), count);
	load(b.home, span);
	must_do(s2_trim(&b.s, range_at(b.home, span), &b.g, NULL));
	settle();
	must_eq(tables(), count - 1);
	load(b.home, span);
	must_do(s2_trim(&b.s, whole_space(), &b.g, NULL));
	settle();
	must_eq(tables(), count - 3);
	must_eq(leaves(), 5);
}

/* Empty tables below empty tables go at once. */
ON_EVERY_MACHINE(trim_takes_whole_trees)
{
	uint64_t step = b.large == 1 ? S2_PAGE_SIZE : large_size() / 4;

	for (unsigned i = 0; i < 8; i++) {
		map(b.home + i * step, hpa_at(S2_PAGE_SIZE, i), S2_PAGE_SIZE);
		map(i * 8 * S2_PAGE_SIZE, hpa_at(S2_PAGE_SIZE, i), S2_PAGE_SIZE);
	}
	for (unsigned i = 0; i < 8; i++) {
		load(b.home + i * step, S2_PAGE_SIZE);
		unmap(b.home + i * step, S2_PAGE_SIZE);
		unmap(i * 8 * S2_PAGE_SIZE, S2_PAGE_SIZE);
	}
	settle();
	must_eq(leaves(), 0);
	must_do(s2_trim(&b.s, whole_space(), &b.g, NULL));
	if (b.last == UINT64_MAX) {
		must_do(s2_trim(&b.s, range_at(b.home, b.home), &b.g, NULL));
	}
	settle();
	must_eq(tables(), 0);
	unmap_all();
}

TCase *case_size(void)
{
	TCase *tcase = tcase_create("size");

	ADD(tcase, split_from_each_to_each);
	ADD(tcase, split_makes_trees);
	ADD(tcase, split_of_a_part_is_of_the_whole);
	ADD(tcase, split_of_small_leaves_is_nothing);
	ADD(tcase, split_wants_a_size);
	ADD(tcase, collapse_from_each_to_each);
	ADD(tcase, collapse_of_a_mixture);
	ADD(tcase, collapse_in_a_leaf_is_nothing);
	ADD(tcase, collapse_wants_a_size);
	ADD(tcase, collapse_of_what_is_not_one);
	ADD(tcase, collapse_all_is_as_good_as_mapping);
	ADD(tcase, collapse_all_keeps_to_its_range);
	ADD(tcase, trim_takes_empty_tables);
	ADD(tcase, trim_takes_whole_trees);
	return tcase;
}
