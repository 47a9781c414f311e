/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and ending trackers, errors of ranges, trackers at an edge. */
#include "track.h"

#include "check_main.h"

struct test_env env;
struct s2_track t;
size_t memory;

static void *count_alloc(void *cookie, size_t size)
{
	void *ptr = test_env_alloc(cookie, size);

	memory += ptr != NULL ? size : 0;
	return ptr;
}

static void count_free(void *cookie, void *ptr, size_t size)
{
	memory -= size;
	test_env_free(cookie, ptr, size);
}

static void setup(void)
{
	test_env_init(&env);
	env.env.alloc = count_alloc;
	env.env.free = count_free;
	memory = 0;
	ck_assert_int_eq(s2_track_init(&t, &env.env, WHOLE), S2_OK);
}

static void teardown(void)
{
	ck_assert(s2_track_check(&t));
	s2_track_fini(&t);
	ck_assert_uint_eq(env.live, 0);
}

void move(uint64_t start, uint64_t count, enum s2_move kind, bool widened)
{
	ck_assert_int_eq(s2_track_move(&t, pages(start, count), kind, widened), S2_OK);
	ck_assert(s2_track_check(&t));
}

void begin(uint64_t start, uint64_t count, enum s2_move kind, bool widened)
{
	ck_assert_int_eq(s2_track_begin(&t, pages(start, count), kind, widened), S2_OK);
	ck_assert(s2_track_check(&t));
}

void expect(uint64_t page, enum s2_state state, bool moving, bool widened)
{
	struct s2_page got = page_at(&t, page);

	ck_assert_int_eq(got.state, state);
	ck_assert_int_eq(got.moving, moving);
	ck_assert_int_eq(got.widened, widened);
}

START_TEST(starts_with_nothing)
{
	struct s2_track_sum sum;

	ck_assert_uint_eq(t.chunk_count, 4);
	ck_assert_uint_eq(t.map_count, 0);
	ck_assert_int_eq(s2_track_sum(&t, WHOLE, &sum), S2_OK);
	ck_assert_uint_eq(sum.state[S2_NONE], COUNT);
	expect(BASE, S2_NONE, false, false);
	expect(BASE + COUNT - 1, S2_NONE, false, false);
	ck_assert_uint_eq(env.calls, 1);
}
END_TEST

START_TEST(init_fails)
{
	struct s2_track other;

	ck_assert_int_eq(s2_track_init(&other, &env.env, pages(0, 0)), S2_ERR_INVAL);
	ck_assert_int_eq(s2_track_init(&other, &env.env, s2_range(s2_gpa(1), S2_PAGE_SIZE)),
			 S2_ERR_ALIGN);
	ck_assert_int_eq(s2_track_init(&other, &env.env,
				       s2_range(s2_gpa(UINT64_MAX - 4095), 2 * S2_PAGE_SIZE)),
			 S2_ERR_WRAP);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_init(&other, &env.env, pages(0, 1)), S2_ERR_NOMEM);
	ck_assert_uint_eq(env.live, 1);
}
END_TEST

/* Every error that a range can make, from every call that takes one. */
static enum s2_err call(unsigned which, struct s2_range range)
{
	struct s2_span span;
	struct s2_track_sum sum;

	switch (which) {
	case 0:
		return s2_track_begin(&t, range, S2_DONATE, false);
	case 1:
		return s2_track_done(&t, range);
	case 2:
		return s2_track_undo(&t, range);
	case 3:
		return s2_track_move(&t, range, S2_DONATE, false);
	case 4:
		return s2_track_claim(&t, range);
	case 5:
		return s2_track_release(&t, range);
	case 6:
		return s2_track_poison(&t, range);
	case 7:
		return s2_track_next(&t, range.start, range, &span);
	default:
		return s2_track_sum(&t, range, &sum);
	}
}

START_TEST(ranges)
{
	struct picture before = picture_take(&t);
	unsigned which = (unsigned)_i;

	ck_assert_int_eq(call(which, pages(BASE, 0)), S2_ERR_INVAL);
	ck_assert_int_eq(call(which, s2_range(s2_gpa(BASE * 4096 + 1), 4096)), S2_ERR_ALIGN);
	ck_assert_int_eq(call(which, s2_range(s2_gpa(BASE * 4096), 4095)), S2_ERR_ALIGN);
	ck_assert_int_eq(call(which, s2_range(s2_gpa(UINT64_MAX - 4095), 8192)), S2_ERR_WRAP);
	ck_assert_int_eq(call(which, pages(BASE - 1, 1)), S2_ERR_RANGE);
	ck_assert_int_eq(call(which, pages(BASE - 1, 2)), S2_ERR_RANGE);
	ck_assert_int_eq(call(which, pages(BASE + COUNT, 1)), S2_ERR_RANGE);
	ck_assert_int_eq(call(which, pages(BASE, COUNT + 1)), S2_ERR_RANGE);
	picture_expect(&before, &t);
	picture_free(&before);
}
END_TEST

START_TEST(arguments)
{
	struct s2_page page;
	struct s2_span span;

	for (int kind = 0; kind < S2_MOVE_COUNT; kind++) {
		if (kind != S2_SHARE && kind != S2_EXPORT) {
			ck_assert_int_eq(s2_track_begin(&t, WHOLE, (enum s2_move)kind, true),
					 S2_ERR_INVAL);
			ck_assert_int_eq(s2_track_move(&t, WHOLE, (enum s2_move)kind, true),
					 S2_ERR_INVAL);
		}
	}
	ck_assert_int_eq(s2_track_begin(&t, WHOLE, S2_MOVE_COUNT, false), S2_ERR_INVAL);
	ck_assert_int_eq(s2_track_move(&t, WHOLE, (enum s2_move) - 1, false), S2_ERR_INVAL);
	ck_assert_int_eq(s2_track_get(&t, s2_gpa(BASE * 4096 - 1), &page), S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_get(&t, s2_gpa((BASE + COUNT) * 4096), &page), S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_get(&t, s2_gpa((BASE + COUNT) * 4096 - 1), &page), S2_OK);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa(BASE * 4096), pages(BASE + 1, 1), &span),
			 S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa((BASE + 2) * 4096), pages(BASE + 1, 1), &span),
			 S2_ERR_RANGE);
}
END_TEST

/* The last page of the address space is a page like any other. */
START_TEST(top_of_the_address_space)
{
	uint64_t last = UINT64_MAX / 4096;
	struct s2_track top;
	struct s2_span span;

	ck_assert_int_eq(s2_track_init(&top, &env.env, pages(last - 600, 601)), S2_OK);
	ck_assert_int_eq(s2_track_move(&top, pages(last - 1, 2), S2_DONATE, false), S2_OK);
	ck_assert_int_eq(page_at(&top, last).state, S2_SECURE);
	ck_assert_int_eq(s2_track_next(&top, s2_gpa(UINT64_MAX), top.range, &span), S2_OK);
	ck_assert_uint_eq(span.range.start.val, last * 4096);
	ck_assert_uint_eq(span.range.len, 4096);
	ck_assert_int_eq(s2_track_move(&top, top.range, S2_RECLAIM, false), S2_OK);
	ck_assert_uint_eq(top.map_count, 0);
	ck_assert(s2_track_check(&top));
	s2_track_fini(&top);
}
END_TEST

/* Trackers of one page and of two: all that there is lies at an edge. */
START_TEST(smallest)
{
	uint64_t count = (uint64_t)_i;
	struct s2_track small;

	ck_assert_int_eq(s2_track_init(&small, &env.env, pages(C1 + 77, count)), S2_OK);
	ck_assert_int_eq(s2_track_move(&small, pages(C1 + 76, 1), S2_DONATE, false), S2_ERR_RANGE);
	for (uint64_t i = 0; i < 600; i++) {
		ck_assert_int_eq(
			s2_track_move(&small, pages(C1 + 77 + count + i, 1), S2_DONATE, false),
			S2_ERR_RANGE);
	}
	for (uint64_t i = 0; i < count; i++) {
		ck_assert_int_eq(s2_track_move(&small, pages(C1 + 77 + i, 1), S2_DONATE, false),
				 S2_OK);
		ck_assert(s2_track_check(&small));
	}
	ck_assert_uint_eq(small.map_count, 0);
	ck_assert_int_eq(s2_track_begin(&small, small.range, S2_SHARE, false), S2_OK);
	ck_assert_int_eq(s2_track_done(&small, pages(C1 + 77, 1)), S2_OK);
	ck_assert(s2_track_check(&small));
	ck_assert_uint_eq(small.map_count, count > 1);
	s2_track_fini(&small);
}
END_TEST

START_TEST(fini_twice)
{
	move(C1, 3, S2_DONATE, false);
	s2_track_fini(&t);
	s2_track_fini(&t);
	ck_assert_uint_eq(env.live, 0);
	ck_assert_int_eq(s2_track_init(&t, &env.env, WHOLE), S2_OK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("track");
	TCase *tcase = tcase_create("track");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, starts_with_nothing);
	tcase_add_test(tcase, init_fails);
	tcase_add_loop_test(tcase, ranges, 0, 9);
	tcase_add_test(tcase, arguments);
	tcase_add_test(tcase, top_of_the_address_space);
	tcase_add_loop_test(tcase, smallest, 1, 4);
	tcase_add_test(tcase, fini_twice);
	add_steps(tcase);
	add_maps(tcase);
	add_questions(tcase);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
