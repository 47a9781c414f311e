/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk cache has the tables that it can have: lookups are right without it, too, only slower. */
#include "bench.h"
#include "cases.h"

#define TREE_MAX (UINT64_C(1) << 18) /* pages */

/* Bytes that a table of level 0 translates. */
static uint64_t span(void)
{
	return UINT64_C(1) << b.s.fmt->lg2(1);
}

static bool has_leaf(uint64_t size)
{
	return (s2_space_leaf_sizes(&b.s) & size) != 0;
}

/* It knows all tables for these bytes or none, as far as it goes. Machines without numbers have none. */
static void expect_words(uint64_t gpa, uint64_t len, bool known)
{
	const struct s2_range *range = &b.config.walk_cache_range;

	for (uint64_t i = 0; i < s2_walk_cache_words(b.config.fmt, *range); i++) {
		uint64_t at = (range->start.val & ~(span() - 1)) + i * span();

		if (at >= gpa && at - gpa < len) {
			must_eq(b.walk_cache[i] != NULL, known && b.s.walk.usable);
		}
	}
}

static void expect_known(uint64_t gpa, uint64_t len, bool known)
{
	settle();
	expect_words(gpa, len, known);
}

ON_EVERY_MACHINE(walk_cache_of_what_is_mapped)
{
	map(b.home, hpa_at(S2_PAGE_SIZE, 1), S2_PAGE_SIZE);
	expect_known(b.home, span(), true);
	unmap(b.home, S2_PAGE_SIZE);
	expect_known(b.home, span(), true); /* the table stays */
	expect_hole(b.home);
	unmap(b.home, span());
	expect_known(b.home, span(), false);
}

/* Tables that are linked with all their leaves in them. */
ON_EVERY_MACHINE(walk_cache_of_whole_tables)
{
	map_as(b.home, hpa_at(4 * span(), 1), 4 * span(), 0);
	expect_known(b.home, 4 * span(), true);
	unmap_all();
	expect_known(b.home, 4 * span(), false);
}

static void map_block(void)
{
	map(b.home, hpa_at(span(), 1), span());
	expect_known(b.home, span(), false);
}

ON_EVERY_MACHINE(walk_cache_of_a_split)
{
	if (!has_leaf(span())) {
		return;
	}
	map_block();
	must_do(s2_split(&b.s, range_at(b.home, span()), S2_PAGE_LG2, &b.g, NULL));
	expect_known(b.home, span(), true);
	must_do(s2_collapse(&b.s, range_at(b.home, span()), &b.g));
	expect_known(b.home, span(), false);
}

/* A boundary inside a leaf. */
ON_EVERY_MACHINE(walk_cache_of_a_cut)
{
	if (!has_leaf(span())) {
		return;
	}
	map_block();
	unmap(b.home, S2_PAGE_SIZE);
	expect_known(b.home, span(), true);
}

/* Trees that are linked in one step: too many leaves to settle. */
ON_EVERY_MACHINE(walk_cache_of_a_tree)
{
	for (unsigned k = b.large; k-- > 1;) {
		if (size_at(k) > span() && size_at(k) / S2_PAGE_SIZE <= TREE_MAX) {
			map_as(b.home, hpa_at(size_at(k), 1), size_at(k), k);
			expect_known(b.home, size_at(k), false);
			must_do(s2_split(&b.s, range_at(b.home, size_at(k)), S2_PAGE_LG2, &b.g,
					 NULL));
			expect_words(b.home, size_at(k), true);
			must(s2_check(&b.s, NULL));
			unmap_all();
			expect_known(b.home, size_at(k), false);
		}
	}
}

/* An empty table stands where a leaf comes, or a group of them. */
ON_EVERY_MACHINE(walk_cache_of_tables_that_give_way)
{
	for (unsigned k = 1; k < b.large; k++) {
		if (size_at(k) < span()) {
			continue;
		}
		map(b.home, hpa_at(S2_PAGE_SIZE, 1), S2_PAGE_SIZE);
		expect_known(b.home, span(), true);
		unmap(b.home, S2_PAGE_SIZE);
		map_as(b.home, hpa_at(size_at(k), 1), size_at(k), k);
		expect_known(b.home, span(), false);
		unmap_all();
	}
}

ON_EVERY_MACHINE(walk_cache_of_empty_tables)
{
	map(b.home, hpa_at(S2_PAGE_SIZE, 1), S2_PAGE_SIZE);
	unmap(b.home, S2_PAGE_SIZE);
	expect_known(b.home, span(), true);
	must_do(s2_trim(&b.s, whole_space(), &b.g, NULL));
	expect_known(b.home, span(), false);
}

/* s2_check() sees a word that it should not have. */
ON_EVERY_MACHINE(walk_cache_that_is_wrong)
{
	struct s2_item at;
	uint64_t *table;

	if (!b.s.walk.usable) {
		return;
	}
	map(b.home, hpa_at(S2_PAGE_SIZE, 1), S2_PAGE_SIZE);
	settle();
	for (size_t i = 0; i < s2_walk_cache_words(b.config.fmt, b.config.walk_cache_range); i++) {
		table = b.walk_cache[i];
		b.walk_cache[i] = table == NULL ? b.s.root : table + 1;
		must(!s2_check(&b.s, &at));
		b.walk_cache[i] = table;
	}
	must(s2_check(&b.s, &at));
}

TCase *case_walk_cache(void)
{
	TCase *tcase = tcase_create("walk_cache");

	ADD_TWICE(tcase, walk_cache_of_what_is_mapped);
	ADD(tcase, walk_cache_of_whole_tables);
	ADD(tcase, walk_cache_of_a_split);
	ADD(tcase, walk_cache_of_a_cut);
	ADD(tcase, walk_cache_of_a_tree);
	ADD(tcase, walk_cache_of_tables_that_give_way);
	ADD(tcase, walk_cache_of_empty_tables);
	ADD(tcase, walk_cache_that_is_wrong);
	return tcase;
}
