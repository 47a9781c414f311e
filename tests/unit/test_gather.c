/* SPDX-License-Identifier: BSD-2-Clause */
/* What is owed becomes ranges; tables that wait for a sync; spare tables. */
#include "gather.h"

#include <stdlib.h>

#include "check_main.h"

#define LOG_MAX 64u

/* What the space asks of its surroundings, in order. */
enum call {
	CALL_FLUSH,
	CALL_FREE,
};

struct s2_space space;
struct s2_gather g;
static struct s2_mmu mmu;
static struct s2_flush told[S2_GATHER_RANGES]; /* by the last call of the back end */
static size_t told_count;
static enum call call_log[LOG_MAX];
static size_t call_count;
static size_t live;	 /* tables */
static size_t fail_from; /* so many allocations still succeed; SIZE_MAX: all */

static void *table_alloc(void *cookie, size_t size)
{
	void *table;

	(void)cookie;
	if (fail_from == 0) {
		return NULL;
	}
	fail_from -= fail_from != SIZE_MAX;
	table = aligned_alloc(size, size);
	ck_assert_ptr_nonnull(table);
	memset(table, 0xa5, size);
	live++;
	return table;
}

static void table_free(void *cookie, void *table, size_t size)
{
	(void)cookie;
	memset(table, 0x5a, size);
	free(table);
	live--;
	if (call_count < LOG_MAX) {
		call_log[call_count++] = CALL_FREE;
	}
}

static void take_flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	(void)cookie;
	ck_assert_uint_ge(count, 1);
	ck_assert_uint_le(count, S2_GATHER_RANGES);
	memcpy(told, flush, count * sizeof(*flush));
	told_count = count;
	if (call_count < LOG_MAX) {
		call_log[call_count++] = CALL_FLUSH;
	}
}

static void setup(void)
{
	struct s2_config config = {
		.fmt = &s2_fmt_mock,
		.gpa_bits = 48,
		.tables = {.alloc = table_alloc, .free = table_free},
		.mmu = &mmu,
	};

	memset(&mmu, 0, sizeof(mmu));
	mmu.flush = take_flush;
	mmu.flush_max = UINT64_MAX;
	fail_from = SIZE_MAX;
	live = 0;
	told_count = 0;
	ck_assert_int_eq(s2_space_init(&space, &config), S2_OK);
	s2_gather_init(&g, &space);
	call_count = 0;
}

static void teardown(void)
{
	s2_gather_fini(&g);
	s2_space_fini(&space);
	ck_assert_uint_eq(live, 0);
}

static void expect(unsigned at, enum s2_flush_kind kind, uint64_t page, uint64_t count,
		   unsigned stride_lg2, unsigned level)
{
	ck_assert_uint_lt(at, g.flush_count);
	ck_assert_int_eq(g.flush[at].kind, kind);
	ck_assert_uint_eq(g.flush[at].range.start.val, page << S2_PAGE_LG2);
	ck_assert_uint_eq(g.flush[at].range.len, count << S2_PAGE_LG2);
	ck_assert_uint_eq(g.flush[at].stride_lg2, stride_lg2);
	if (kind == S2_FLUSH_LEAF) {
		ck_assert_uint_eq(g.flush[at].level, level);
	}
}

START_TEST(starts_with_nothing)
{
	ck_assert(!s2_gather_owes(&g));
	s2_gather_sync(&g);
	ck_assert_uint_eq(call_count, 0);
	ck_assert_uint_eq(space.events.synced, 0);
}
END_TEST

/* Two ranges, the second at different distances from the first, and what becomes of them. */
static const struct {
	uint64_t page, count;
	unsigned ranges;
	uint64_t first, len;
} pairs[] = {
	{90, 9, 2, 90, 9},     {90, 10, 1, 90, 20},  {90, 15, 1, 90, 20},   {90, 30, 1, 90, 30},
	{100, 10, 1, 100, 10}, {103, 2, 1, 100, 10}, {105, 10, 1, 100, 15}, {110, 3, 1, 100, 13},
	{111, 3, 2, 100, 10},  {0, 100, 1, 0, 110},  {0, 99, 2, 0, 99},
};

START_TEST(neighbours_become_one)
{
	add(S2_FLUSH_LEAF, 100, 10, 12, 0);
	add(S2_FLUSH_LEAF, pairs[_i].page, pairs[_i].count, 12, 0);
	ck_assert_uint_eq(g.flush_count, pairs[_i].ranges);
	expect(0, S2_FLUSH_LEAF, pairs[_i].first, pairs[_i].len, 12, 0);
}
END_TEST

START_TEST(a_bridge_joins_both_sides)
{
	add(S2_FLUSH_LEAF, 10, 1, 12, 0);
	add(S2_FLUSH_LEAF, 20, 1, 12, 0);
	add(S2_FLUSH_LEAF, 30, 1, 12, 0);
	add(S2_FLUSH_LEAF, 40, 1, 12, 0);
	add(S2_FLUSH_LEAF, 11, 25, 12, 0);
	ck_assert_uint_eq(g.flush_count, 2);
	expect(0, S2_FLUSH_LEAF, 10, 26, 12, 0);
	expect(1, S2_FLUSH_LEAF, 40, 1, 12, 0);
}
END_TEST

START_TEST(a_join_says_what_both_said)
{
	add(S2_FLUSH_LEAF, 10, 1, 19, 1);
	add(S2_FLUSH_LEAF, 11, 1, 19, 1);
	expect(0, S2_FLUSH_LEAF, 10, 2, 19, 1);
	add(S2_FLUSH_LEAF, 12, 1, 12, 0);
	expect(0, S2_FLUSH_LEAF, 10, 3, 12, S2_LEVEL_ANY);
	add(S2_FLUSH_LEAF, 13, 1, 29, 2);
	expect(0, S2_FLUSH_LEAF, 10, 4, 12, S2_LEVEL_ANY);
	add(S2_FLUSH_WALK, 9, 1, 12, S2_LEVEL_ANY);
	expect(0, S2_FLUSH_WALK, 9, 5, 12, 0);
	add(S2_FLUSH_LEAF, 9, 9, 29, 2);
	expect(0, S2_FLUSH_WALK, 9, 9, 12, 0);
}
END_TEST

START_TEST(both_ends_of_the_address_space)
{
	uint64_t last = (space.last >> S2_PAGE_LG2);

	add(S2_FLUSH_LEAF, last, 1, 12, 0);
	add(S2_FLUSH_LEAF, 0, 1, 12, 0);
	ck_assert_uint_eq(g.flush_count, 2);
	add(S2_FLUSH_LEAF, 1, last - 1, 12, 0);
	ck_assert_uint_eq(g.flush_count, 1);
	expect(0, S2_FLUSH_LEAF, 0, last + 1, 12, 0);
}
END_TEST

/* The last byte of a space of 64 bits has no byte behind it. */
START_TEST(the_last_page_of_all)
{
	uint64_t last = UINT64_MAX >> S2_PAGE_LG2;

	add(S2_FLUSH_LEAF, last, 1, 12, 0);
	add(S2_FLUSH_LEAF, 0, 1, 12, 0);
	ck_assert_uint_eq(g.flush_count, 2);
	add(S2_FLUSH_LEAF, last - 1, 1, 12, 0);
	ck_assert_uint_eq(g.flush_count, 2);
	expect(0, S2_FLUSH_LEAF, 0, 1, 12, 0);
	expect(1, S2_FLUSH_LEAF, last - 1, 2, 12, 0);
}
END_TEST

/* Ranges far apart from each other, but for those at two places. */
static void fill(uint64_t near_page)
{
	for (unsigned i = 0; i < S2_GATHER_RANGES; i++) {
		add(S2_FLUSH_LEAF, 1000 * (uint64_t)(i + 1), 10, 12, 0);
	}
	ck_assert_uint_eq(g.flush_count, S2_GATHER_RANGES);
	add(S2_FLUSH_LEAF, near_page, 10, 12, 0);
	ck_assert_uint_eq(g.flush_count, S2_GATHER_RANGES);
}

START_TEST(squeeze_joins_the_new_one_with_what_is_near_before_it)
{
	fill(3100);
	expect(2, S2_FLUSH_LEAF, 3000, 110, 12, 0);
	expect(3, S2_FLUSH_LEAF, 4000, 10, 12, 0);
}
END_TEST

START_TEST(squeeze_joins_the_new_one_with_what_is_near_behind_it)
{
	fill(3900);
	expect(2, S2_FLUSH_LEAF, 3000, 10, 12, 0);
	expect(3, S2_FLUSH_LEAF, 3900, 110, 12, 0);
}
END_TEST

START_TEST(squeeze_joins_others_if_the_new_one_is_far)
{
	fill(100000);
	expect(0, S2_FLUSH_LEAF, 1000, 1010, 12, 0);
	expect(S2_GATHER_RANGES - 1, S2_FLUSH_LEAF, 100000, 10, 12, 0);
}
END_TEST

START_TEST(sync_flushes_once)
{
	add(S2_FLUSH_LEAF, 10, 2, 12, 0);
	add(S2_FLUSH_WALK, 20, 2, 12, S2_LEVEL_ANY);
	ck_assert(s2_gather_owes(&g));
	s2_gather_sync(&g);
	ck_assert(!s2_gather_owes(&g));
	ck_assert_uint_eq(call_count, 1);
	ck_assert_uint_eq(told_count, 2);
	ck_assert_int_eq(told[0].kind, S2_FLUSH_LEAF);
	ck_assert_int_eq(told[1].kind, S2_FLUSH_WALK);
	ck_assert_uint_eq(space.events.synced, 1);
	ck_assert_uint_eq(space.events.flushed[S2_FLUSH_LEAF], 1);
	ck_assert_uint_eq(space.events.flushed[S2_FLUSH_WALK], 1);
	s2_gather_sync(&g);
	ck_assert_uint_eq(call_count, 1);
}
END_TEST

/* Entries: 10 of 4 KiB, then 3 of 512 KiB. */
static const struct {
	uint64_t max;
	bool all;
} maxima[] = {{0, true}, {12, true}, {13, false}, {UINT64_MAX, false}};

START_TEST(too_much_becomes_all)
{
	mmu.flush_max = maxima[_i].max;
	add(S2_FLUSH_LEAF, 1000, 10, 12, 0);
	add(S2_FLUSH_LEAF, 128 * 100, 128 * 3, 19, 1);
	s2_gather_sync(&g);
	ck_assert_uint_eq(told_count, maxima[_i].all ? 1 : 2);
	ck_assert_int_eq(told[0].kind, maxima[_i].all ? S2_FLUSH_ALL : S2_FLUSH_LEAF);
	ck_assert_uint_eq(space.events.flushed[S2_FLUSH_ALL], maxima[_i].all ? 1 : 0);
	if (maxima[_i].all) {
		ck_assert_uint_eq(told[0].range.start.val, 0);
		ck_assert_uint_eq(s2_range_last(told[0].range).val, space.last);
	}
}
END_TEST

START_TEST(all_swallows_the_rest)
{
	add(S2_FLUSH_LEAF, 10, 1, 12, 0);
	add(S2_FLUSH_ALL, 0, (space.last >> S2_PAGE_LG2) + 1, 12, S2_LEVEL_ANY);
	s2_gather_sync(&g);
	ck_assert_uint_eq(told_count, 1);
	ck_assert_int_eq(told[0].kind, S2_FLUSH_ALL);
}
END_TEST

static void map_page(uint64_t page)
{
	struct s2_run run = {s2_gpa(page << S2_PAGE_LG2), s2_hpa(0x1000), S2_PAGE_SIZE, 0};

	ck_assert_int_eq(s2_map(&space, &run, 1, S2_RWX, S2_MEM_NORMAL, &g, NULL), S2_OK);
}

START_TEST(tables_are_freed_after_the_flush)
{
	size_t before;

	map_page(0);
	s2_gather_sync(&g);
	before = live;
	ck_assert_int_eq(s2_unmap(&space, s2_space_range(&space), &g, NULL), S2_OK);
	ck_assert_uint_eq(live, before);
	call_count = 0;
	s2_gather_sync(&g);
	ck_assert_uint_eq(live, 1);
	ck_assert_uint_eq(call_count, before);
	ck_assert_int_eq(call_log[0], CALL_FLUSH);
	ck_assert_int_eq(call_log[1], CALL_FREE);
	ck_assert_uint_eq(space.events.linked, 3);
	ck_assert_uint_eq(space.events.unlinked, 3);
}
END_TEST

START_TEST(events_come_with_the_sync)
{
	struct s2_events events;

	map_page(0);
	s2_space_events(&space, &events);
	ck_assert_uint_eq(events.written, 0);
	ck_assert_uint_eq(events.linked, 0);
	s2_gather_sync(&g);
	s2_space_events(&space, &events);
	ck_assert_uint_eq(events.linked, 3);
	ck_assert_uint_eq(events.written, 4);
}
END_TEST

START_TEST(reserve)
{
	struct s2_table_count some = {{3, 2}};
	struct s2_table_count less = {{2, 1}};

	ck_assert_int_eq(s2_gather_reserve(&g, some), S2_OK);
	ck_assert_uint_eq(live, 1 + 5);
	ck_assert(!s2_gather_owes(&g));
	ck_assert_int_eq(s2_gather_reserve(&g, less), S2_OK);
	ck_assert_uint_eq(live, 1 + 5);
	s2_gather_sync(&g);
	ck_assert_uint_eq(live, 1 + 5);
	fail_from = 0;
	map_page(0);
	ck_assert_uint_eq(live, 1 + 5);
	ck_assert_uint_eq(g.spare[S2_TABLE_LEAF].count, 2);
	ck_assert_uint_eq(g.spare[S2_TABLE_UPPER].count, 0);
	s2_gather_fini(&g);
	ck_assert_uint_eq(live, 1 + 3);
}
END_TEST

START_TEST(reserve_fails)
{
	struct s2_table_count some = {{3, 2}};
	struct s2_table_count more = {{5, 4}};
	struct s2_gather before;

	ck_assert_int_eq(s2_gather_reserve(&g, some), S2_OK);
	memcpy(&before, &g, sizeof(g));
	for (size_t n = 0; n < 4; n++) {
		fail_from = n;
		ck_assert_int_eq(s2_gather_reserve(&g, more), S2_ERR_NOMEM);
		ck_assert_uint_eq(live, 1 + 5);
		ck_assert_int_eq(memcmp(&before, &g, sizeof(g)), 0);
	}
	fail_from = 4;
	ck_assert_int_eq(s2_gather_reserve(&g, more), S2_OK);
	ck_assert_uint_eq(live, 1 + 9);
}
END_TEST

START_TEST(table_sizes)
{
	ck_assert_uint_eq(s2_table_size(&space, S2_TABLE_LEAF), 4096);
	ck_assert_uint_eq(s2_table_size(&space, S2_TABLE_UPPER), 8192);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gather");
	TCase *tcase = tcase_create("gather");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, starts_with_nothing);
	tcase_add_loop_test(tcase, neighbours_become_one, 0,
			    (int)(sizeof(pairs) / sizeof(pairs[0])));
	tcase_add_test(tcase, a_bridge_joins_both_sides);
	tcase_add_test(tcase, a_join_says_what_both_said);
	tcase_add_test(tcase, both_ends_of_the_address_space);
	tcase_add_test(tcase, the_last_page_of_all);
	tcase_add_test(tcase, squeeze_joins_the_new_one_with_what_is_near_before_it);
	tcase_add_test(tcase, squeeze_joins_the_new_one_with_what_is_near_behind_it);
	tcase_add_test(tcase, squeeze_joins_others_if_the_new_one_is_far);
	tcase_add_test(tcase, sync_flushes_once);
	tcase_add_loop_test(tcase, too_much_becomes_all, 0,
			    (int)(sizeof(maxima) / sizeof(maxima[0])));
	tcase_add_test(tcase, all_swallows_the_rest);
	tcase_add_test(tcase, tables_are_freed_after_the_flush);
	tcase_add_test(tcase, events_come_with_the_sync);
	tcase_add_test(tcase, reserve);
	tcase_add_test(tcase, reserve_fails);
	tcase_add_test(tcase, table_sizes);
	add_random(tcase);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
