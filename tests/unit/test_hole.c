/* SPDX-License-Identifier: BSD-2-Clause */
/* The holes of folios against a list of pages. */
#include <check.h>
#include <string.h>

#include "check_main.h"
#include "model/flat.h"
#include "test_env.h"
#include "test_track.h"
#include <stage2/hole.h>

#define FIRST (CHUNK * 4)
#define COUNT 1100u
#define OP_COUNT 3000u

static struct test_env env;
static struct s2_track t;

static const struct {
	unsigned start;
	unsigned count;
	uint8_t order;
} folios[] = {
	{0, 1, 0}, {16, 16, 4}, {0, 512, 9}, {256, 256, 9}, {0, 1024, 10}, {1088, 12, 4},
};

#define FOLIO_COUNT (sizeof(folios) / sizeof(folios[0]))

static struct s2_run run_of(size_t i)
{
	struct s2_range range = pages(FIRST + folios[i].start, folios[i].count);

	return (struct s2_run){range.start, s2_hpa(range.start.val), range.len, folios[i].order};
}

static void setup(void)
{
	test_env_init(&env);
	ck_assert_int_eq(s2_track_init(&t, &env.env, pages(FIRST, COUNT)), S2_OK);
}

static void teardown(void)
{
	s2_track_fini(&t);
	ck_assert_uint_eq(env.live, 0);
}

/* What makes two pages the same for a folio. */
static unsigned kind(uint64_t page)
{
	struct s2_page p = page_at(&t, page);

	return p.moving ? S2_STATE_COUNT : p.state;
}

/* Of moving pages, which answer as secure, too. */
static enum s2_state most(size_t f)
{
	unsigned count[S2_STATE_COUNT] = {0};
	unsigned best = 0;

	for (unsigned i = 0; i < folios[f].count; i++) {
		count[page_at(&t, FIRST + folios[f].start + i).state]++;
	}
	for (unsigned state = 0; state < S2_STATE_COUNT; state++) {
		best = count[state] > count[best] ? state : best;
	}
	return (enum s2_state)best;
}

static void check_hole(const struct s2_run *run, enum s2_state state, uint64_t from, uint64_t start,
		       uint64_t end)
{
	struct s2_span span;
	enum s2_err err = s2_holes_next(&t, run, state, s2_gpa(from * S2_PAGE_SIZE + 5), &span);

	if (start == end) {
		if (err != S2_ERR_ABSENT) {
			ck_abort_msg("a hole where there is none");
		}
		return;
	}
	if (err != S2_OK || span.range.start.val != start * S2_PAGE_SIZE ||
	    span.range.len != (end - start) * S2_PAGE_SIZE ||
	    page_byte(span.page) != page_byte(page_at(&t, start))) {
		ck_abort_msg("not the hole from %llx to %llx", (unsigned long long)start,
			     (unsigned long long)end);
	}
}

/* The whole folio, hole by hole; also from a page in the middle of one. */
static void compare(size_t f)
{
	struct s2_run run = run_of(f);
	uint64_t page = FIRST + folios[f].start;
	uint64_t end = page + folios[f].count;
	enum s2_state state = most(f);
	struct s2_folio_sum sum;
	uint64_t holes = 0;
	uint64_t hole_pages = 0;

	while (page < end) {
		uint64_t from = page;
		uint64_t start;

		while (page < end && kind(page) == state) {
			page++;
		}
		start = page;
		while (page < end && kind(page) == kind(start)) {
			page++;
		}
		check_hole(&run, state, from, start, page);
		if (page - start > 1) {
			check_hole(&run, state, start + 1, start + 1, page);
		}
		holes += page != start;
		hole_pages += page - start;
	}
	ck_assert_int_eq(s2_holes_count(&t, &run, &sum), S2_OK);
	if (sum.state != state || sum.hole_count != holes || sum.hole_pages != hole_pages ||
	    sum.whole != (holes == 0)) {
		ck_abort_msg("folio %zu: %u holes, should be %u", f, (unsigned)sum.hole_count,
			     (unsigned)holes);
	}
}

static void change(void)
{
	unsigned start = flat_below(COUNT);
	unsigned count = 1 + flat_below(flat_below(8) == 0 ? COUNT - start : 6);
	enum s2_move move = (enum s2_move)flat_below(S2_MOVE_COUNT);
	bool widened = (move == S2_SHARE || move == S2_EXPORT) && flat_below(2) == 0;
	struct s2_range range = pages(FIRST + start, count < COUNT - start ? count : COUNT - start);
	enum s2_err err;

	switch (flat_below(5)) {
	case 0:
		err = s2_track_begin(&t, range, move, widened);
		break;
	case 1:
		err = s2_track_done(&t, range);
		break;
	case 2:
		err = flat_below(8) == 0 ? s2_track_poison(&t, range) : S2_OK;
		break;
	default:
		err = s2_track_move(&t, range, move, widened);
		break;
	}
	(void)err; /* most cannot be, and that is all right */
}

START_TEST(random_holes)
{
	flat_random_state = flat_seed();
	for (unsigned n = 0; n < OP_COUNT; n++) {
		change();
		compare(n % FOLIO_COUNT);
		if (n % 500 == 499) {
			ck_assert_int_eq(s2_track_poison(&t, t.range), S2_OK);
			ck_assert_int_eq(s2_track_move(&t, t.range, S2_RECLAIM, false), S2_OK);
			ck_assert_int_eq(s2_track_move(&t, t.range, S2_DONATE, false), S2_OK);
		}
	}
}
END_TEST

START_TEST(a_folio_in_halves)
{
	struct s2_run run = run_of(1);
	struct s2_folio_sum sum;

	ck_assert_int_eq(s2_track_move(&t, t.range, S2_DONATE, false), S2_OK);
	ck_assert_int_eq(s2_holes_count(&t, &run, &sum), S2_OK);
	ck_assert(sum.whole);
	ck_assert_int_eq(sum.state, S2_SECURE);
	ck_assert_int_eq(s2_track_move(&t, pages(FIRST + 24, 8), S2_SHARE, true), S2_OK);
	ck_assert_int_eq(s2_holes_count(&t, &run, &sum), S2_OK);
	ck_assert_int_eq(sum.state, S2_SECURE);
	ck_assert_uint_eq(sum.hole_count, 1);
	ck_assert_uint_eq(sum.hole_pages, 8);
	ck_assert_uint_eq(sum.pages.widened_share, 8);
	ck_assert_int_eq(s2_track_move(&t, pages(FIRST + 23, 1), S2_SHARE, false), S2_OK);
	ck_assert_int_eq(s2_holes_count(&t, &run, &sum), S2_OK);
	ck_assert_int_eq(sum.state, S2_SHARED);
	ck_assert_uint_eq(sum.hole_pages, 7);
}
END_TEST

START_TEST(bad_questions)
{
	struct s2_run run = run_of(5);
	struct s2_folio_sum sum;
	struct s2_span span;

	ck_assert_int_eq(s2_holes_next(&t, &run, S2_STATE_COUNT, run.gpa, &span), S2_ERR_INVAL);
	ck_assert_int_eq(s2_holes_next(&t, &run, S2_NONE, s2_gpa(run.gpa.val - 1), &span),
			 S2_ERR_RANGE);
	ck_assert_int_eq(s2_holes_next(&t, &run, S2_NONE, s2_gpa(run.gpa.val + run.len), &span),
			 S2_ERR_RANGE);
	run.len += S2_PAGE_SIZE;
	ck_assert_int_eq(s2_holes_count(&t, &run, &sum), S2_ERR_RANGE);
	run.len = 5;
	ck_assert_int_eq(s2_holes_count(&t, &run, &sum), S2_ERR_ALIGN);
	ck_assert_int_eq(s2_holes_next(&t, &run, S2_NONE, run.gpa, &span), S2_ERR_ALIGN);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hole");
	TCase *tcase = tcase_create("hole");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, random_holes);
	tcase_add_test(tcase, a_folio_in_halves);
	tcase_add_test(tcase, bad_questions);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
