/* SPDX-License-Identifier: BSD-2-Clause */
/* Making spaces: what a config may say, which leaf sizes come of it, and the locks. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include <stage2/fmt.h>
#include <stage2/mock.h>

#define HPA_OFFSET UINT64_C(0x123456000000)
#define CHUNK (UINT64_C(2) << 20)
#define LOCKS 4u

#define B(n) (UINT64_C(1) << (n))

static struct s2_space space;
static struct s2_config config;
static struct s2_mmu mmu;
static struct s2_fmt fmt; /* a copy that tests may change */
static size_t live;
static bool fail;
static uint32_t lock[LOCKS];
static uint32_t lock_seen[LOCKS]; /* by the back end, inside of a call */

static void *table_alloc(void *cookie, size_t size)
{
	void *table;

	ck_assert_ptr_eq(cookie, &live);
	if (fail) {
		return NULL;
	}
	table = aligned_alloc(size < 4096 ? 4096 : size, size < 4096 ? 4096 : size);
	ck_assert_ptr_nonnull(table);
	memset(table, 0xa5, size);
	live++;
	return table;
}

static void table_free(void *cookie, void *table, size_t size)
{
	ck_assert_ptr_eq(cookie, &live);
	memset(table, 0x5a, size);
	free(table);
	live--;
}

static void flush_nothing(void *cookie, const struct s2_flush *flush, size_t count)
{
	(void)cookie;
	(void)flush;
	(void)count;
}

static void see_locks(void *cookie, s2_hpa_t hpa, uint64_t len)
{
	(void)cookie;
	(void)hpa;
	(void)len;
	memcpy(lock_seen, lock, sizeof(lock));
}

static bool yes(void)
{
	return true;
}

static void setup(void)
{
	memset(&mmu, 0, sizeof(mmu));
	memset(&config, 0, sizeof(config));
	memset(lock, 0, sizeof(lock));
	mmu.flush = flush_nothing;
	fmt = s2_fmt_mock;
	live = 0;
	fail = false;
	config.fmt = &fmt;
	config.gpa_bits = 48;
	config.tables.alloc = table_alloc;
	config.tables.free = table_free;
	config.tables.cookie = &live;
	config.tables.hpa_offset = HPA_OFFSET;
	config.mmu = &mmu;
}

static void init_ok(void)
{
	ck_assert_int_eq(s2_space_init(&space, &config), S2_OK);
	ck_assert_uint_eq(live, 1);
}

static void init_fails(enum s2_err err)
{
	ck_assert_int_eq(s2_space_init(&space, &config), err);
	ck_assert_uint_eq(live, 0);
}

static void finish(void)
{
	s2_space_fini(&space);
	ck_assert_uint_eq(live, 0);
}

START_TEST(required_members)
{
	setup();
	config.fmt = NULL;
	init_fails(S2_ERR_INVAL);
	setup();
	config.tables.alloc = NULL;
	init_fails(S2_ERR_INVAL);
	setup();
	config.tables.free = NULL;
	init_fails(S2_ERR_INVAL);
	setup();
	config.mmu = NULL;
	init_fails(S2_ERR_INVAL);
	setup();
	mmu.flush = NULL;
	init_fails(S2_ERR_INVAL);
}
END_TEST

START_TEST(walk_cache_range)
{
	static uint64_t *words[3];

	setup();
	config.walk_cache = words;
	init_fails(S2_ERR_INVAL);
	config.walk_cache_range = s2_range(s2_gpa(0x1001), 0x1000);
	init_fails(S2_ERR_ALIGN);
	config.walk_cache_range = s2_range(s2_gpa((UINT64_C(1) << 48) - 0x1000), 0x2000);
	init_fails(S2_ERR_RANGE);
	config.walk_cache_range = s2_range(s2_gpa(UINT64_MAX - 0xfff), 0x2000);
	init_fails(S2_ERR_WRAP);
	config.walk_cache_range = s2_range(s2_gpa((UINT64_C(1) << fmt.lg2(1)) - 0x1000),
					   (UINT64_C(1) << fmt.lg2(1)) + 0x2000);
	ck_assert_uint_eq(s2_walk_cache_words(&fmt, config.walk_cache_range), 3);
	init_ok();
	finish();
	config.walk_cache_range = s2_range(s2_gpa((UINT64_C(1) << 48) - 0x1000), 0x1000);
	ck_assert_uint_eq(s2_walk_cache_words(&fmt, config.walk_cache_range), 1);
	init_ok();
	finish();
}
END_TEST

static void no_invalidate(void *cookie, const struct s2_place *place, size_t count)
{
	(void)cookie;
	(void)place;
	(void)count;
}

static bool no_replace(void *cookie, const struct s2_place *place, uint64_t old, uint64_t value)
{
	(void)cookie;
	(void)place;
	return old == value;
}

START_TEST(formats_that_purge_need_more)
{
	fmt.purges = yes;
	init_fails(S2_ERR_INVAL);
	mmu.replace = no_replace;
	init_fails(S2_ERR_INVAL);
	mmu.replace = NULL;
	mmu.invalidate = no_invalidate;
	init_fails(S2_ERR_INVAL);
	mmu.replace = no_replace;
	init_ok();
	finish();
}
END_TEST

START_TEST(lock_counts)
{
	static const struct {
		size_t count;
		bool legal;
	} cases[] = {{0, false}, {1, true}, {2, true}, {3, false}, {4, true}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		config.lock = lock;
		config.lock_count = cases[i].count;
		if (cases[i].legal) {
			init_ok();
			finish();
		} else {
			init_fails(S2_ERR_INVAL);
		}
	}
	config.lock = NULL;
	config.lock_count = 3;
	init_ok();
	finish();
}
END_TEST

START_TEST(sizes_and_features)
{
	static const struct {
		uint8_t gpa_bits, hpa_bits;
		uint64_t features;
		bool legal;
	} cases[] = {
		{48, 0, 0, true},
		{32, 48, 0, true},
		{38, 30, S2_MOCK_FEATURES_ALL, true},
		{0, 0, 0, false},
		{31, 0, 0, false},
		{49, 0, 0, false},
		{48, 29, 0, false},
		{48, 49, 0, false},
		{48, 0, S2_MOCK_FEATURES_ALL + 1, false},
		{48, 0, UINT64_C(1) << 63, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		config.gpa_bits = cases[i].gpa_bits;
		config.hpa_bits = cases[i].hpa_bits;
		config.features = cases[i].features;
		if (cases[i].legal) {
			init_ok();
			finish();
		} else {
			init_fails(S2_ERR_FORMAT);
		}
	}
}
END_TEST

START_TEST(inval_comes_before_format)
{
	config.gpa_bits = 0;
	config.lock = lock;
	config.lock_count = 3;
	init_fails(S2_ERR_INVAL);
}
END_TEST

START_TEST(no_memory)
{
	fail = true;
	init_fails(S2_ERR_NOMEM);
	config.gpa_bits = 0;
	init_fails(S2_ERR_FORMAT);
}
END_TEST

START_TEST(what_a_space_says)
{
	struct s2_events none = {0};
	struct s2_events events;

	config.hpa_bits = 40;
	init_ok();
	ck_assert_uint_eq(s2_space_root(&space).val, (uint64_t)(uintptr_t)space.root + HPA_OFFSET);
	ck_assert_uint_eq(s2_space_range(&space).start.val, 0);
	ck_assert_uint_eq(s2_space_range(&space).len, B(48));
	ck_assert_uint_eq(space.hpa_last, B(40) - 1);
	ck_assert_uint_eq(space.top, 3);
	ck_assert_uint_eq(space.root_size, 8192 * 8);
	s2_space_events(&space, &events);
	ck_assert_int_eq(memcmp(&events, &none, sizeof(events)), 0);
	finish();
}
END_TEST

/* The mock has 4 KiB, groups of 16 KiB, 512 KiB, groups of 4 MiB, 512 MiB. */
#define MOCK_ALL (B(12) | B(14) | B(19) | B(22) | B(29))

static const struct {
	uint64_t wanted, got;
} sizes[] = {
	{0, MOCK_ALL},
	{UINT64_MAX, MOCK_ALL},
	{MOCK_ALL, MOCK_ALL},
	{B(12), B(12)},
	{B(14), B(12) | B(14)}, /* pages are always in */
	{B(19), B(12) | B(19)},
	{B(12) | B(19), B(12) | B(19)},
	{B(12) | B(13) | B(18), B(12)}, /* what the format does not have */
	{B(12) | B(29), B(12)},		/* a gap below */
	{B(12) | B(22), B(12)},
	{B(12) | B(14) | B(29), B(12) | B(14)},
	{B(12) | B(14) | B(22) | B(29), B(12) | B(14)},
	{B(12) | B(19) | B(29), B(12) | B(19) | B(29)}, /* a gap of groups is none */
	{B(12) | B(19) | B(22) | B(29), B(12) | B(19) | B(22) | B(29)},
	{B(63), B(12)},
};

START_TEST(leaf_sizes)
{
	config.leaf_sizes = sizes[_i].wanted;
	init_ok();
	ck_assert_uint_eq(s2_space_leaf_sizes(&space), sizes[_i].got);
	finish();
}
END_TEST

static void map(uint64_t gpa, uint64_t len, struct s2_gather *g)
{
	struct s2_run run = {s2_gpa(gpa), s2_hpa(0), len, S2_FOLIO_ORDER_MAX};

	ck_assert_int_eq(s2_map(&space, &run, 1, S2_RWX, S2_MEM_NORMAL, g, NULL), S2_OK);
}

START_TEST(fini_frees_all_tables)
{
	struct s2_gather g;

	init_ok();
	s2_gather_init(&g, &space);
	map(0, B(20), &g);
	map(B(47), B(30) + 4096, &g);
	map(B(48) - 4096, 4096, &g);
	s2_gather_fini(&g);
	ck_assert_uint_gt(live, 8);
	finish();
}
END_TEST

/* Chunks that a call touches, and the locks that it must hold meanwhile: bit n for lock[n]. */
static const struct {
	uint64_t chunk, count;
	unsigned held;
} held[] = {
	{0, 1, 1},  {1, 1, 2},	{3, 1, 8},  {7, 1, 8},	{4, 2, 3},  {6, 2, 12},	     {7, 2, 9},
	{6, 3, 13}, {5, 3, 14}, {0, 4, 15}, {2, 4, 15}, {1, 9, 15}, {1000, 100, 15},
};

START_TEST(locks_are_held)
{
	struct s2_gather g;
	unsigned seen = 0;

	config.lock = lock;
	config.lock_count = LOCKS;
	mmu.clean = see_locks;
	init_ok();
	s2_gather_init(&g, &space);
	map(held[_i].chunk * CHUNK, held[_i].count * CHUNK, &g);
	for (unsigned i = 0; i < LOCKS; i++) {
		ck_assert_uint_eq(lock[i], 0);
		seen |= lock_seen[i] != 0 ? 1u << i : 0;
	}
	ck_assert_uint_eq(seen, held[_i].held);
	s2_gather_fini(&g);
	finish();
}
END_TEST

START_TEST(one_lock_for_all)
{
	struct s2_gather g;

	config.lock = lock;
	config.lock_count = 1;
	mmu.clean = see_locks;
	init_ok();
	s2_gather_init(&g, &space);
	map(5 * CHUNK, 3 * CHUNK, &g);
	ck_assert_uint_eq(lock_seen[0], 1);
	ck_assert_uint_eq(lock[0], 0);
	s2_gather_fini(&g);
	finish();
}
END_TEST

/* Errors that are found with the locks held give them back, too. */
START_TEST(locks_are_given_back)
{
	struct s2_run run = {s2_gpa(0), s2_hpa(4096), 4096, 0};
	struct s2_gather g;

	config.lock = lock;
	config.lock_count = LOCKS;
	init_ok();
	s2_gather_init(&g, &space);
	map(0, B(29), &g);
	ck_assert_int_eq(s2_map(&space, &run, 1, S2_RWX, S2_MEM_NORMAL, &g, NULL), S2_ERR_EXISTS);
	fail = true;
	ck_assert_int_eq(s2_unmap(&space, s2_range(s2_gpa(0), 4096), &g, NULL), S2_ERR_NOMEM);
	ck_assert_int_eq(s2_collapse(&space, s2_range(s2_gpa(0), 8192), &g), S2_ERR_FORMAT);
	for (unsigned i = 0; i < LOCKS; i++) {
		ck_assert_uint_eq(lock[i], 0);
	}
	s2_gather_fini(&g);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("space");
	TCase *tcase = tcase_create("space");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, required_members);
	tcase_add_test(tcase, walk_cache_range);
	tcase_add_test(tcase, formats_that_purge_need_more);
	tcase_add_test(tcase, lock_counts);
	tcase_add_test(tcase, sizes_and_features);
	tcase_add_test(tcase, inval_comes_before_format);
	tcase_add_test(tcase, no_memory);
	tcase_add_test(tcase, what_a_space_says);
	tcase_add_loop_test(tcase, leaf_sizes, 0, (int)(sizeof(sizes) / sizeof(sizes[0])));
	tcase_add_test(tcase, fini_frees_all_tables);
	tcase_add_loop_test(tcase, locks_are_held, 0, (int)(sizeof(held) / sizeof(held[0])));
	tcase_add_test(tcase, one_lock_for_all);
	tcase_add_test(tcase, locks_are_given_back);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
