/* SPDX-License-Identifier: BSD-2-Clause */
/* Marks of clean pages against one byte a page. */
#include <check.h>
#include <string.h>

#include "check_main.h"
#include "model/flat.h"
#include "test_env.h"
#include <stage2/clean.h>

#define OP_COUNT 40000u
#define MARGIN 70u /* pages around the object that are asked for, too */

static struct test_env env;

/* Where objects begin and how large they are, in pages. */
static const struct {
	uint64_t first;
	unsigned count;
} shapes[] = {
	{0, 1},
	{0, 63},
	{0, 64},
	{0, 65},
	{64, 128},
	{61, 300},
	{1000, 1},
	{UINT64_C(0xfffffffff), 500},
	{(UINT64_C(1) << 52) - 200, 200}, /* up to the last byte of all */
};

#define SHAPE_COUNT ((int)(sizeof(shapes) / sizeof(shapes[0])))
#define PAGE_MAX 512u

static uint8_t model[S2_CLEAN_MARK_COUNT][PAGE_MAX];
static struct s2_clean clean;

static s2_hpa_t at(uint64_t page)
{
	return s2_hpa(page << S2_PAGE_LG2);
}

static void setup(void)
{
	test_env_init(&env);
	memset(model, 0, sizeof(model));
}

static void start(int shape)
{
	ck_assert_int_eq(s2_clean_init(&clean, &env.env, at(shapes[shape].first),
				       (uint64_t)shapes[shape].count << S2_PAGE_LG2),
			 S2_OK);
	ck_assert_uint_eq(env.live, 2);
}

static void finish(void)
{
	s2_clean_fini(&clean);
	ck_assert_uint_eq(env.live, 0);
}

START_TEST(init_fails)
{
	static const struct {
		uint64_t start, len;
		enum s2_err err;
	} cases[] = {
		{0, 0, S2_ERR_INVAL},
		{1, 0, S2_ERR_INVAL},
		{1, S2_PAGE_SIZE, S2_ERR_ALIGN},
		{0, S2_PAGE_SIZE + 1, S2_ERR_ALIGN},
		{UINT64_MAX - 4095, 2 * S2_PAGE_SIZE, S2_ERR_WRAP},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(
			s2_clean_init(&clean, &env.env, s2_hpa(cases[i].start), cases[i].len),
			cases[i].err);
		ck_assert_uint_eq(env.calls, 0);
	}
	for (size_t n = 1; n <= 2; n++) {
		test_env_fail(&env, n);
		ck_assert_int_eq(s2_clean_init(&clean, &env.env, at(5), 100 * S2_PAGE_SIZE),
				 S2_ERR_NOMEM);
		ck_assert_uint_eq(env.live, 0);
	}
}
END_TEST

START_TEST(starts_unset)
{
	start(_i);
	for (unsigned i = 0; i < shapes[_i].count; i++) {
		s2_hpa_t page = at(shapes[_i].first + i);

		ck_assert(!s2_clean_test(&clean, S2_CLEAN_DATA, page, S2_PAGE_SIZE));
		ck_assert(!s2_clean_test(&clean, S2_CLEAN_CODE, page, S2_PAGE_SIZE));
	}
	finish();
}
END_TEST

/* Page numbers relative to the object, as far as there are such pages: may begin before it. */
static void pick(int shape, int64_t *first, unsigned *count)
{
	uint64_t base = shapes[shape].first;
	unsigned before = base < MARGIN ? (unsigned)base : MARGIN;
	uint64_t room = (UINT64_C(1) << 52) - base - shapes[shape].count;
	unsigned behind = room < MARGIN ? (unsigned)room : MARGIN;
	unsigned total = before + shapes[shape].count + behind;
	unsigned from = flat_below(total);

	*first = (int64_t)from - before;
	*count = 1 + flat_below(flat_below(2) == 0 ? total - from : (total - from + 7) / 8);
}

static bool model_test(int shape, unsigned mark, int64_t first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		int64_t page = first + i;

		if (page < 0 || page >= (int64_t)shapes[shape].count || model[mark][page] == 0) {
			return false;
		}
	}
	return true;
}

static void model_set(int shape, unsigned mark, int64_t first, unsigned count, uint8_t to)
{
	for (unsigned i = 0; i < count; i++) {
		int64_t page = first + i;

		if (page >= 0 && page < (int64_t)shapes[shape].count) {
			model[mark][page] = to;
		}
	}
}

START_TEST(random_marks)
{
	flat_random_state = flat_seed();
	start(_i);
	for (unsigned n = 0; n < OP_COUNT; n++) {
		enum s2_clean_mark mark = flat_below(2) == 0 ? S2_CLEAN_DATA : S2_CLEAN_CODE;
		unsigned count;
		int64_t first;
		s2_hpa_t hpa;
		uint64_t len;

		pick(_i, &first, &count);
		hpa = at(shapes[_i].first + (uint64_t)first);
		len = (uint64_t)count << S2_PAGE_LG2;
		switch (flat_below(4)) {
		case 0:
			s2_clean_set(&clean, mark, hpa, len);
			model_set(_i, mark, first, count, 1);
			break;
		case 1:
			if (flat_below(4) != 0) {
				break;
			}
			s2_clean_forget(&clean, hpa, len);
			model_set(_i, S2_CLEAN_DATA, first, count, 0);
			model_set(_i, S2_CLEAN_CODE, first, count, 0);
			break;
		default:
			ck_assert_int_eq(s2_clean_test(&clean, mark, hpa, len),
					 model_test(_i, mark, first, count));
			break;
		}
	}
	finish();
}
END_TEST

/* Folios are split and merged without a call: what counts is the pages. */
START_TEST(folios_come_and_go)
{
	start(5);
	s2_clean_set(&clean, S2_CLEAN_DATA, at(128), 64 * S2_PAGE_SIZE);
	ck_assert(s2_clean_test(&clean, S2_CLEAN_DATA, at(128), S2_PAGE_SIZE));
	ck_assert(s2_clean_test(&clean, S2_CLEAN_DATA, at(160), 32 * S2_PAGE_SIZE));
	ck_assert(!s2_clean_test(&clean, S2_CLEAN_CODE, at(128), S2_PAGE_SIZE));
	ck_assert(!s2_clean_test(&clean, S2_CLEAN_DATA, at(128), 128 * S2_PAGE_SIZE));
	s2_clean_set(&clean, S2_CLEAN_DATA, at(192), 64 * S2_PAGE_SIZE);
	ck_assert(s2_clean_test(&clean, S2_CLEAN_DATA, at(128), 128 * S2_PAGE_SIZE));
	s2_clean_forget(&clean, at(200), S2_PAGE_SIZE);
	ck_assert(!s2_clean_test(&clean, S2_CLEAN_DATA, at(128), 128 * S2_PAGE_SIZE));
	ck_assert(s2_clean_test(&clean, S2_CLEAN_DATA, at(128), 64 * S2_PAGE_SIZE));
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("clean");
	TCase *tcase = tcase_create("clean");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, init_fails);
	tcase_add_loop_test(tcase, starts_unset, 0, SHAPE_COUNT);
	tcase_add_loop_test(tcase, random_marks, 0, SHAPE_COUNT);
	tcase_add_test(tcase, folios_come_and_go);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
