/* SPDX-License-Identifier: BSD-2-Clause */
#include <check.h>
#include <string.h>

#include "check_main.h"
#include <stage2/run.h>

#define PAGE S2_PAGE_SIZE
#define K64 (UINT64_C(1) << 16)
#define M2 (UINT64_C(1) << 21)
#define G1 (UINT64_C(1) << 30)
#define TOP (UINT64_MAX - PAGE + 1) /* the last page */

static struct s2_run run(uint64_t gpa, uint64_t hpa, uint64_t len, uint8_t order)
{
	struct s2_run out = {s2_gpa(gpa), s2_hpa(hpa), len, order};

	return out;
}

static void expect_run(const struct s2_run *got, struct s2_run want)
{
	ck_assert_uint_eq(got->gpa.val, want.gpa.val);
	ck_assert_uint_eq(got->hpa.val, want.hpa.val);
	ck_assert_uint_eq(got->len, want.len);
	ck_assert_uint_eq(got->folio_order, want.folio_order);
}

START_TEST(range_check)
{
	static const struct {
		uint64_t start;
		uint64_t len;
		enum s2_err err;
	} cases[] = {
		{0, PAGE, S2_OK},
		{TOP, PAGE, S2_OK},
		{0, TOP, S2_OK},
		{PAGE, TOP, S2_OK}, /* ends at the last byte */
		{1, 0, S2_ERR_INVAL},
		{1, PAGE, S2_ERR_ALIGN},
		{0, PAGE + 1, S2_ERR_ALIGN},
		{TOP, 2 * PAGE - 1, S2_ERR_ALIGN},
		{TOP, 2 * PAGE, S2_ERR_WRAP},
		{2 * PAGE, TOP, S2_ERR_WRAP},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct s2_range range = s2_range(s2_gpa(cases[i].start), cases[i].len);

		ck_assert_msg(s2_range_check(range) == cases[i].err, "case %zu", i);
	}
}
END_TEST

START_TEST(run_check)
{
	const struct {
		struct s2_run run;
		enum s2_err err;
	} cases[] = {
		{run(0, 0, PAGE, 0), S2_OK},
		{run(PAGE, M2, M2, 9), S2_OK},
		{run(0, M2 + PAGE, M2 - PAGE, 9), S2_OK},
		{run(0, 0, PAGE << S2_FOLIO_ORDER_MAX, S2_FOLIO_ORDER_MAX), S2_OK},
		{run(TOP, TOP, PAGE, 0), S2_OK},
		{run(1, 1, 0, 0), S2_ERR_INVAL},
		{run(1, 0, PAGE, S2_FOLIO_ORDER_MAX + 1), S2_ERR_INVAL},
		{run(1, 0, PAGE, 0), S2_ERR_ALIGN},
		{run(0, 1, PAGE, 0), S2_ERR_ALIGN},
		{run(0, 0, PAGE + 8, 1), S2_ERR_ALIGN},
		{run(TOP, 0, 2 * PAGE, 1), S2_ERR_WRAP},
		{run(0, TOP, 2 * PAGE, 1), S2_ERR_WRAP},
		{run(0, 0, 2 * PAGE, 0), S2_ERR_RANGE},
		{run(0, M2 - PAGE, 2 * PAGE, 9), S2_ERR_RANGE},
		{run(0, M2 + PAGE, M2, 9), S2_ERR_RANGE},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(s2_run_check(&cases[i].run) == cases[i].err, "case %zu", i);
	}
}
END_TEST

START_TEST(split)
{
	struct s2_run whole = run(M2, 3 * M2, 8 * PAGE, 9);
	struct s2_run saved = whole;
	struct s2_run head = run(1, 2, 3, 4);
	struct s2_run tail = run(5, 6, 7, 8);

	ck_assert_int_eq(s2_run_split(&whole, 100, &head, &tail), S2_ERR_ALIGN);
	ck_assert_int_eq(s2_run_split(&whole, 0, &head, &tail), S2_ERR_RANGE);
	ck_assert_int_eq(s2_run_split(&whole, 8 * PAGE, &head, &tail), S2_ERR_RANGE);
	expect_run(&head, run(1, 2, 3, 4));
	expect_run(&tail, run(5, 6, 7, 8));

	ck_assert_int_eq(s2_run_split(&whole, 3 * PAGE, &head, &tail), S2_OK);
	expect_run(&head, run(M2, 3 * M2, 3 * PAGE, 9));
	expect_run(&tail, run(M2 + 3 * PAGE, 3 * M2 + 3 * PAGE, 5 * PAGE, 9));
	expect_run(&whole, saved);
	ck_assert(s2_run_can_merge(&head, &tail));
	ck_assert(!s2_run_can_merge(&tail, &head));

	/* In place, either way. */
	ck_assert_int_eq(s2_run_split(&whole, 3 * PAGE, &whole, &tail), S2_OK);
	expect_run(&whole, head);
	whole = saved;
	ck_assert_int_eq(s2_run_split(&whole, 3 * PAGE, &head, &whole), S2_OK);
	expect_run(&whole, tail);
}
END_TEST

START_TEST(can_merge)
{
	struct s2_run a = run(0, M2, 4 * PAGE, 9);
	const struct {
		struct s2_run b;
		bool merges;
	} cases[] = {
		{run(4 * PAGE, M2 + 4 * PAGE, PAGE, 9), true},
		{run(5 * PAGE, M2 + 4 * PAGE, PAGE, 9), false}, /* hole in gpa */
		{run(4 * PAGE, M2 + 5 * PAGE, PAGE, 9), false}, /* hole in hpa */
		{run(4 * PAGE, M2 + 4 * PAGE, PAGE, 0), false}, /* another order, another folio */
	};
	struct s2_run end = run(0, 2 * M2 - PAGE, PAGE, 9);
	struct s2_run next = run(PAGE, 2 * M2, PAGE, 9);
	struct s2_run top = run(TOP, 0, PAGE, 9);
	struct s2_run bottom = run(0, PAGE, PAGE, 9);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(s2_run_can_merge(&a, &cases[i].b) == cases[i].merges, "case %zu", i);
	}
	ck_assert(!s2_run_can_merge(&end, &next));   /* two folios that are neighbours */
	ck_assert(!s2_run_can_merge(&top, &bottom)); /* nothing follows the last page */
}
END_TEST

START_TEST(merge)
{
	struct s2_run runs[] = {
		run(0, M2, PAGE, 9),
		run(PAGE, M2 + PAGE, PAGE, 9),
		run(2 * PAGE, M2 + 2 * PAGE, 2 * PAGE, 9),
		run(4 * PAGE, 9 * M2, PAGE, 0),
		run(5 * PAGE, 9 * M2 + PAGE, PAGE, 0),
		run(7 * PAGE, 5 * M2, PAGE, 1),
		run(8 * PAGE, 5 * M2 + PAGE, PAGE, 1),
	};

	ck_assert_uint_eq(s2_runs_merge(runs, 7), 4);
	expect_run(&runs[0], run(0, M2, 4 * PAGE, 9));
	expect_run(&runs[1], run(4 * PAGE, 9 * M2, PAGE, 0));
	expect_run(&runs[2], run(5 * PAGE, 9 * M2 + PAGE, PAGE, 0));
	expect_run(&runs[3], run(7 * PAGE, 5 * M2, 2 * PAGE, 1));
	ck_assert_uint_eq(s2_runs_merge(runs, 4), 4);
	ck_assert_uint_eq(s2_runs_merge(runs, 1), 1);
	ck_assert_uint_eq(s2_runs_merge(NULL, 0), 0);
}
END_TEST

START_TEST(find)
{
	const struct s2_run runs[] = {
		run(2 * PAGE, 0, PAGE, 0),
		run(3 * PAGE, M2, 2 * PAGE, 9),
		run(8 * PAGE, 2 * M2, 4 * PAGE, 9),
		run(TOP, 3 * M2, PAGE, 0),
	};

	ck_assert_ptr_null(s2_runs_find(runs, 4, s2_gpa(0)));
	ck_assert_ptr_null(s2_runs_find(runs, 4, s2_gpa(2 * PAGE - 1)));
	ck_assert_ptr_eq(s2_runs_find(runs, 4, s2_gpa(2 * PAGE)), &runs[0]);
	ck_assert_ptr_eq(s2_runs_find(runs, 4, s2_gpa(3 * PAGE - 1)), &runs[0]);
	ck_assert_ptr_eq(s2_runs_find(runs, 4, s2_gpa(3 * PAGE)), &runs[1]);
	ck_assert_ptr_eq(s2_runs_find(runs, 4, s2_gpa(5 * PAGE - 1)), &runs[1]);
	ck_assert_ptr_null(s2_runs_find(runs, 4, s2_gpa(5 * PAGE)));
	ck_assert_ptr_eq(s2_runs_find(runs, 4, s2_gpa(11 * PAGE)), &runs[2]);
	ck_assert_ptr_null(s2_runs_find(runs, 4, s2_gpa(12 * PAGE)));
	ck_assert_ptr_eq(s2_runs_find(runs, 4, s2_gpa(UINT64_MAX)), &runs[3]);
	ck_assert_ptr_null(s2_runs_find(NULL, 0, s2_gpa(0)));
	ck_assert_uint_eq(s2_run_range(&runs[2]).start.val, 8 * PAGE);
	ck_assert_uint_eq(s2_run_range(&runs[2]).len, 4 * PAGE);
}
END_TEST

START_TEST(best_leaf)
{
	struct s2_run aligned = run(G1, 4 * G1, G1, 18);
	struct s2_run skewed = run(M2 + K64, 2 * G1, M2, 18);
	uint64_t all = PAGE | K64 | M2 | G1;

	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(G1), UINT64_MAX, all), 30);
	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(G1), G1 - 1, all), 21);
	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(G1), UINT64_MAX, PAGE | M2), 21);
	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(G1 + M2), UINT64_MAX, all), 21);
	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(G1 + K64), UINT64_MAX, all), 16);
	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(2 * G1 - PAGE), UINT64_MAX, all), 12);
	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(2 * G1), UINT64_MAX, all), 0);
	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(0), UINT64_MAX, all), 0);
	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(G1), PAGE - 1, all), 0);
	ck_assert_uint_eq(s2_run_best_leaf(&aligned, s2_gpa(G1 + PAGE), UINT64_MAX, M2), 0);
	/* gpa is aligned to 2M somewhere, hpa is too, never both. */
	ck_assert_uint_eq(s2_run_best_leaf(&skewed, s2_gpa(2 * M2), UINT64_MAX, all), 16);
}
END_TEST

/* One leaf after the other, as the header words it. */
static void count_naively(const struct s2_run *r, struct s2_range range, uint64_t sizes,
			  struct s2_leaf_count *out)
{
	uint64_t gpa = r->gpa.val;

	while (gpa - r->gpa.val < r->len) {
		uint64_t end = range.start.val + range.len;
		uint8_t lg2;

		if (gpa < range.start.val || gpa >= end) {
			gpa += PAGE;
			continue;
		}
		lg2 = s2_run_best_leaf(r, s2_gpa(gpa), end - gpa, sizes);
		if (lg2 == 0) {
			break;
		}
		out->count[lg2]++;
		gpa += UINT64_C(1) << lg2;
	}
}

START_TEST(count_leaves)
{
	static const uint64_t sizes[] = {PAGE, PAGE | M2, PAGE | K64 | M2, PAGE | 4 * PAGE | K64,
					 K64,  M2};
	const struct s2_run runs[] = {
		run(M2, 3 * M2, M2, 9),
		run(M2 + 5 * PAGE, 8 * M2 + 5 * PAGE, 2 * M2, 12),
		run(M2 - 3 * PAGE, 8 * M2 - 3 * PAGE, 7 * PAGE, 18),
		run(M2 + PAGE, 8 * M2, 3 * M2, 12),
		run(M2 + K64, 8 * M2, 3 * M2, 12),
		run(M2, M2, 15 * PAGE, 9),
	};
	const struct s2_range ranges[] = {
		s2_range(s2_gpa(0), 64 * M2),
		s2_range(s2_gpa(M2 + 7 * PAGE), 3 * K64),
		s2_range(s2_gpa(M2 + K64), M2 + K64 + PAGE),
		s2_range(s2_gpa(32 * M2), M2),
	};

	for (size_t i = 0; i < 6 * 6 * 4; i++) {
		const struct s2_run *r = &runs[i % 6];
		struct s2_leaf_count got = {{0}};
		struct s2_leaf_count want = {{0}};

		s2_run_count_leaves(r, ranges[i / 36], sizes[i / 6 % 6], &got);
		count_naively(r, ranges[i / 36], sizes[i / 6 % 6], &want);
		ck_assert_msg(memcmp(&got, &want, sizeof(got)) == 0, "case %zu", i);
	}
}
END_TEST

/* 16 GiB of pages must not take four million steps, and the top of all addresses has no end. */
START_TEST(count_leaves_limits)
{
	struct s2_run huge = run(16 * G1, 32 * G1, 16 * G1, S2_FOLIO_ORDER_MAX);
	struct s2_run top = run(TOP, TOP, PAGE, 0);
	struct s2_leaf_count count = {{0}};

	s2_run_count_leaves(&huge, s2_run_range(&huge), PAGE, &count);
	ck_assert_uint_eq(count.count[12], UINT64_C(1) << 22);
	s2_run_count_leaves(&top, s2_run_range(&top), PAGE | M2, &count);
	ck_assert_uint_eq(count.count[12], (UINT64_C(1) << 22) + 1);
	ck_assert_uint_eq(count.count[21], 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("run");
	TCase *tcase = tcase_create("run");

	tcase_add_test(tcase, range_check);
	tcase_add_test(tcase, run_check);
	tcase_add_test(tcase, split);
	tcase_add_test(tcase, can_merge);
	tcase_add_test(tcase, merge);
	tcase_add_test(tcase, find);
	tcase_add_test(tcase, best_leaf);
	tcase_add_test(tcase, count_leaves);
	tcase_add_test(tcase, count_leaves_limits);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
