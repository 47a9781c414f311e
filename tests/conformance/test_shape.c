/* SPDX-License-Identifier: BSD-2-Clause */
/* The shape of the tables: every bit of an address counts, and every size of leaf is one. */
#include "bench.h"
#include "cases.h"

#include <string.h>

#include <stage2/run.h>

ON_EVERY_MACHINE(is_what_the_manual_says)
{
	must_eq(b.s.top, b.v->top);
	must_eq(b.last, UINT64_MAX >> (64 - b.v->gpa_bits));
	must_eq(b.s.hpa_last, UINT64_MAX >> (64 - b.v->hpa_bits));
	must_eq(s2_space_leaf_sizes(&b.s), b.v->leaf_sizes);
	must(b.s.root_size >= b.v->root_items * sizeof(uint64_t));
	must(strcmp(b.s.fmt->name, machine_kind_name(b.v->kind)) == 0);
	must_eq(s2_space_range(&b.s).start.val, 0);
	must_eq(s2_range_last(s2_space_range(&b.s)).val,
		b.last == UINT64_MAX ? UINT64_MAX - S2_PAGE_SIZE : b.last);
}

ON_EVERY_MACHINE(indexes_tile_the_address)
{
	const struct s2_fmt *fmt = b.s.fmt;
	unsigned lg2 = S2_PAGE_LG2;

	for (unsigned level = 0; level < b.s.top; level++) {
		must_eq(fmt->lg2(level), lg2);
		lg2 += fmt->items_lg2(level);
		must(fmt->group_lg2(level) <= fmt->items_lg2(level));
		must(fmt->table_bytes(level) >= sizeof(uint64_t) << fmt->items_lg2(level));
		must_eq(fmt->table_bytes(level),
			s2_table_size(&b.s, level == 0 ? S2_TABLE_LEAF : S2_TABLE_UPPER));
	}
	must_eq(fmt->lg2(b.s.top), lg2);
	must(b.s.top < fmt->levels);
	must((b.last >> lg2) < b.v->root_items);
}

ON_EVERY_MACHINE(an_empty_space)
{
	struct s2_leaf leaf;

	settle();
	must_eq(leaves(), 0);
	must_eq(tables(), 0);
	must_do(s2_next_run(&b.s, s2_gpa(0), whole_space(), &leaf));
	must(!leaf.mapped);
	must_eq(leaf.range.len, whole_space().len);
	must_do(s2_unmap(&b.s, whole_space(), &b.g, NULL));
	must_do(s2_trim(&b.s, whole_space(), &b.g, NULL));
	must(!s2_gather_owes(&b.g));
}

ON_EVERY_MACHINE(first_and_last_page)
{
	uint64_t last = b.last & ~(S2_PAGE_SIZE - 1);
	s2_hpa_t hpa;

	load(0, S2_PAGE_SIZE);
	load(last - S2_PAGE_SIZE, S2_PAGE_SIZE);
	map(0, hpa_at(S2_PAGE_SIZE, 3), S2_PAGE_SIZE);
	map(last, hpa_at(S2_PAGE_SIZE, 5), S2_PAGE_SIZE);
	settle();
	expect_at(0, hpa_at(S2_PAGE_SIZE, 3));
	expect_at(b.last, hpa_at(S2_PAGE_SIZE, 5) + S2_PAGE_SIZE - 1);
	expect_hole(S2_PAGE_SIZE);
	expect_hole(last - 1);
	must_eq(leaves(), 2);
	if (b.last != UINT64_MAX) {
		must_err(s2_lookup(&b.s, s2_gpa(b.last + 1), &hpa), S2_ERR_RANGE);
		must_err(s2_lookup(&b.s, s2_gpa(UINT64_MAX), &hpa), S2_ERR_RANGE);
	}
	load(last, S2_PAGE_SIZE);
	unmap(last, S2_PAGE_SIZE);
	settle();
	expect_hole(b.last);
	expect_at(0, hpa_at(S2_PAGE_SIZE, 3));
}

/* A page for each bit: if an index lost one, or used one twice, two of them would be one. */
ON_EVERY_MACHINE(every_bit_of_a_gpa_counts)
{
	uint64_t count = 1;

	map(0, hpa_at(S2_PAGE_SIZE, 0), S2_PAGE_SIZE);
	for (unsigned bit = S2_PAGE_LG2; bit < b.v->gpa_bits; bit++, count++) {
		uint64_t gpa = UINT64_C(1) << bit;

		load(gpa, S2_PAGE_SIZE);
		map(gpa, hpa_at(S2_PAGE_SIZE, bit), S2_PAGE_SIZE);
	}
	settle();
	must_eq(leaves_of(S2_PAGE_SIZE), count);
	for (unsigned bit = S2_PAGE_LG2; bit < b.v->gpa_bits; bit++) {
		expect_at(UINT64_C(1) << bit, hpa_at(S2_PAGE_SIZE, bit));
	}
}

/* Leaves of sizes that no run can be are made of smaller ones. */
static void make_leaf(uint64_t gpa, uint64_t hpa, unsigned k)
{
	load(gpa, size_at(k));
	map(gpa, hpa, size_at(k));
	if (size_at(k) > RUN_MAX) {
		must_do(s2_collapse(&b.s, range_at(gpa, size_at(k)), &b.g));
	}
}

static void one_leaf(unsigned k, uint64_t gpa)
{
	uint64_t size = size_at(k);
	uint64_t hpa = hpa_at(size, 1);

	make_leaf(gpa, hpa, k);
	settle();
	must_eq(leaves(), 1);
	expect_size(gpa, size);
	expect_at(gpa, hpa);
	expect_at(gpa + size / 2 + 5, hpa + size / 2 + 5);
	expect_at(gpa + size - 1, hpa + size - 1);
	if (gpa != 0) {
		expect_hole(gpa - 1);
	}
	if (gpa + (size - 1) != b.last) {
		expect_hole(gpa + size);
	}
	load(gpa, size);
	unmap(gpa, size);
	settle();
	must_eq(leaves(), 0);
	unmap_all();
}

ON_EVERY_MACHINE(every_size_of_leaf)
{
	for (unsigned k = 0; k < b.size_count; k++) {
		uint64_t size = size_at(k);

		must(size - 1 <= b.last);
		one_leaf(k, 0);
		one_leaf(k, b.last - (size - 1));
		one_leaf(k, b.home & ~(size - 1));
	}
}

/* A leaf of each size at each bit that its address can have, and at the end of memory. */
ON_EVERY_MACHINE(every_bit_of_an_hpa_counts)
{
	uint64_t pool = machine_hpa_low(&b.m).last + 1;

	for (unsigned k = 0; k < b.large; k++) {
		uint64_t size = size_at(k);

		for (unsigned bit = b.size[k]; bit < b.v->hpa_bits; bit++) {
			uint64_t hpa = UINT64_C(1) << bit;

			if (hpa + (size - 1) >= pool) {
				continue;
			}
			map(b.home, hpa, size);
			s2_gather_sync(&b.g);
			expect_size(b.home, size);
			expect_at(b.home, hpa);
			expect_at(b.home + (size - 1), hpa + (size - 1));
			unmap(b.home, size);
		}
		if (b.s.hpa_last - (size - 1) < machine_hpa_high(&b.m).start) {
			continue;
		}
		map(b.home, b.s.hpa_last - (size - 1), size);
		settle();
		expect_size(b.home, size);
		expect_at(b.home + (size - 1), b.s.hpa_last);
		unmap(b.home, size);
	}
}

/* Differences between gpa and hpa, in pages, for the next test: what they allow goes up to there. */
ON_EVERY_MACHINE(leaves_are_as_large_as_can_be)
{
	uint64_t large = large_size();

	for (unsigned bit = S2_PAGE_LG2; (UINT64_C(1) << bit) <= large; bit++) {
		uint64_t off = UINT64_C(1) << bit;
		uint64_t len = off * 40 < large ? off * 40 + S2_PAGE_SIZE : large;
		uint64_t gpa = b.home - off - (off < large ? S2_PAGE_SIZE : 0);
		uint64_t hpa = (gpa + off) & (large - 1);
		struct s2_run run = {s2_gpa(gpa), s2_hpa(hpa), len, S2_FOLIO_ORDER_MAX};
		struct s2_leaf_count wanted = {{0}};
		struct s2_count count;

		load(gpa, len);
		map(gpa, hpa, len);
		settle();
		s2_run_count_leaves(&run, range_at(gpa, len), s2_space_leaf_sizes(&b.s), &wanted);
		must_do(s2_count(&b.s, whole_space(), &count));
		for (unsigned lg2 = 0; lg2 < 64; lg2++) {
			if (count.leaf[lg2] != wanted.count[lg2]) {
				ck_abort_msg("%s: %u leaves of 2^%u, not %u, off %" PRIx64,
					     b.v->name, (unsigned)count.leaf[lg2], lg2,
					     (unsigned)wanted.count[lg2], off);
			}
		}
		expect_at(gpa, hpa);
		expect_at(gpa + len - 1, hpa + len - 1);
		load(gpa, len);
		unmap(gpa, len);
		settle();
		must_eq(leaves(), 0);
	}
}

/* A config may leave sizes out; of single items, all that are above a gap go, too. */
static uint64_t mask_wanted;

static void want_sizes(struct s2_config *config)
{
	config->leaf_sizes = mask_wanted;
}

static uint64_t mask_left(uint64_t wanted)
{
	uint64_t single = b.v->leaf_sizes & ~b.v->group_sizes;
	uint64_t left = S2_PAGE_SIZE;
	bool gap = false;

	for (unsigned lg2 = S2_PAGE_LG2; lg2 < 64; lg2++) {
		uint64_t size = UINT64_C(1) << lg2;

		if ((single & size) != 0 && size != S2_PAGE_SIZE) {
			gap = gap || (wanted & size) == 0;
		}
		if ((b.v->leaf_sizes & size & wanted) != 0 && !gap) {
			left |= size;
		}
	}
	return left;
}

static void fewer(int choice, uint64_t wanted)
{
	uint64_t len;

	mask_wanted = wanted;
	bench_start(choice, want_sizes);
	must_eq(s2_space_leaf_sizes(&b.s), mask_left(wanted));
	len = large_size();
	map(b.home, hpa_at(len, 1), len);
	map(b.home + len, hpa_at(len, 1) + S2_PAGE_SIZE, S2_PAGE_SIZE);
	settle();
	expect_size(b.home, len);
	if (len > S2_PAGE_SIZE) {
		load(b.home, len);
		unmap(b.home + S2_PAGE_SIZE, S2_PAGE_SIZE);
		settle();
		expect_at(b.home, hpa_at(len, 1));
		expect_hole(b.home + S2_PAGE_SIZE);
	}
	bench_finish();
}

ON_EVERY_CHOICE(sizes_may_be_left_out)
{
	uint64_t all;

	bench_start(choice, NULL);
	all = b.v->leaf_sizes;
	bench_finish();
	fewer(choice, S2_PAGE_SIZE);
	fewer(choice, all & ~b.v->group_sizes);
	for (uint64_t size = S2_PAGE_SIZE; size != 0; size <<= 1) {
		if ((all & size) != 0) {
			fewer(choice, all & ~size);
			fewer(choice, size);
		}
	}
}

TCase *case_shape(void)
{
	TCase *tcase = tcase_create("shape");

	ADD(tcase, is_what_the_manual_says);
	ADD(tcase, indexes_tile_the_address);
	ADD(tcase, an_empty_space);
	ADD_TWICE(tcase, first_and_last_page);
	ADD_TWICE(tcase, every_bit_of_a_gpa_counts);
	ADD(tcase, every_size_of_leaf);
	ADD(tcase, every_bit_of_an_hpa_counts);
	ADD(tcase, leaves_are_as_large_as_can_be);
	ADD(tcase, sizes_may_be_left_out);
	return tcase;
}
