/* SPDX-License-Identifier: BSD-2-Clause */
/* Questions: spans, sums, what is alike. */
#include "track.h"

START_TEST(spans)
{
	struct s2_span span;

	move(BASE, COUNT, S2_DONATE, false);
	move(C1 + 17, CHUNK, S2_SHARE, false);
	move(C1 + 17 + CHUNK, 40, S2_SHARE, true);
	begin(BASE, 3, S2_EXPORT, false);
	begin(BASE + 3, 3, S2_RECLAIM, false);

	/* Two moves look alike while they last. */
	ck_assert_int_eq(s2_track_next(&t, s2_gpa(BASE * 4096 + 5), WHOLE, &span), S2_OK);
	ck_assert_uint_eq(span.range.start.val, BASE * 4096);
	ck_assert_uint_eq(span.range.len, 6 * 4096);
	ck_assert(span.page.moving && span.page.state == S2_SECURE);

	ck_assert_int_eq(s2_track_next(&t, s2_gpa((BASE + 6) * 4096), WHOLE, &span), S2_OK);
	ck_assert_uint_eq(span.range.len, (C1 + 17 - BASE - 6) * 4096);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa((C1 + 20) * 4096), WHOLE, &span), S2_OK);
	ck_assert_uint_eq(span.range.len, (CHUNK - 3) * 4096);
	ck_assert(span.page.state == S2_SHARED && !span.page.widened);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa((C1 + 20) * 4096), pages(C1 + 19, 3), &span),
			 S2_OK);
	ck_assert_uint_eq(span.range.len, 2 * 4096);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa((C1 + 17 + CHUNK) * 4096), WHOLE, &span), S2_OK);
	ck_assert_uint_eq(span.range.len, 40 * 4096);
	ck_assert(span.page.widened);
}
END_TEST

START_TEST(sums)
{
	struct s2_track_sum sum;

	move(BASE, COUNT, S2_DONATE, false);
	move(C1 + 1, 10, S2_SHARE, false);
	move(C1 + 11, 20, S2_SHARE, true);
	move(C1 + 31, 5, S2_EXPORT, true);
	begin(C1 + 36, 2, S2_EXPORT, false);
	ck_assert_int_eq(s2_track_poison(&t, pages(C1 + CHUNK, 3)), S2_OK);
	for (int part = 0; part < 2; part++) {
		uint64_t start = part != 0 ? C1 + 2 : BASE;
		uint64_t count = part != 0 ? CHUNK : COUNT;

		ck_assert_int_eq(s2_track_sum(&t, pages(start, count), &sum), S2_OK);
		ck_assert_uint_eq(sum.state[S2_SHARED], part != 0 ? 29 : 30);
		ck_assert_uint_eq(sum.state[S2_EXPORTED], 5);
		ck_assert_uint_eq(sum.state[S2_POISONED], part != 0 ? 2 : 3);
		ck_assert_uint_eq(sum.state[S2_SECURE], count - (part != 0 ? 36 : 38));
		ck_assert_uint_eq(sum.moving, 2);
		ck_assert_uint_eq(sum.widened_share, 20);
		ck_assert_uint_eq(sum.widened_export, 5);
		ck_assert_uint_eq(sum.state[S2_NONE], 0);
	}
}
END_TEST

static void alike(const struct s2_track *of, uint64_t page, uint8_t lg2, bool want,
		  struct s2_page answer)
{
	struct s2_page got = {S2_POISONED, true, true};
	bool uniform = !want;

	ck_assert_int_eq(s2_track_uniform(of, s2_gpa(page * 4096), lg2, &uniform, &got), S2_OK);
	ck_assert_int_eq(uniform, want);
	ck_assert_int_eq(got.state, answer.state);
	ck_assert_int_eq(got.moving, answer.moving);
	ck_assert_int_eq(got.widened, answer.widened);
}

static const struct s2_page none = {S2_NONE, false, false};
static const struct s2_page secure = {S2_SECURE, false, false};
static const struct s2_page moving = {S2_SECURE, true, false};

START_TEST(uniform_arguments)
{
	struct s2_page page = {S2_POISONED, true, true};
	bool uniform = true;

	for (unsigned lg2 = 0; lg2 < 256; lg2++) {
		if (lg2 != 21 && lg2 != 30) {
			ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(C1 * 4096 + 1), (uint8_t)lg2,
							  &uniform, &page),
					 S2_ERR_INVAL);
		}
	}
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(C1 * 4096 + 4096), 21, &uniform, &page),
			 S2_ERR_ALIGN);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(C1 * 4096), 30, &uniform, &page),
			 S2_ERR_ALIGN);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(1), 21, &uniform, &page), S2_ERR_ALIGN);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(0), 21, &uniform, &page), S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa((C1 - 2 * CHUNK) * 4096), 21, &uniform, &page),
			 S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa((C1 + 3 * CHUNK) * 4096), 21, &uniform, &page),
			 S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(REGION * 4096), 30, &uniform, &page),
			 S2_ERR_RANGE);
	ck_assert(uniform && page.state == S2_POISONED && page.moving && page.widened);
}
END_TEST

/* Neither end on a chunk: what exists of it decides. */
START_TEST(uniform_chunks)
{
	static const struct s2_page widened = {S2_SHARED, false, true};

	for (uint64_t chunk = C1 - CHUNK; chunk <= C1 + 2 * CHUNK; chunk += CHUNK) {
		alike(&t, chunk, 21, true, none);
	}
	alike(&t, 0, 30, true, none);
	move(BASE, 256, S2_DONATE, false);
	alike(&t, C1 - CHUNK, 21, true, secure);
	alike(&t, C1, 21, true, none);
	alike(&t, 0, 30, false, none);
	move(C1, COUNT - 256, S2_DONATE, false);
	alike(&t, 0, 30, true, secure);
	move(BASE + COUNT - 1, 1, S2_SHARE, false);
	alike(&t, C1 + 2 * CHUNK, 21, false, none);
	move(C1 + 2 * CHUNK, 127, S2_SHARE, true);
	alike(&t, C1 + 2 * CHUNK, 21, false, none);
	ck_assert_int_eq(s2_track_release(&t, pages(C1 + 2 * CHUNK, 128)), S2_OK);
	alike(&t, C1 + 2 * CHUNK, 21, true, widened);
}
END_TEST

/* Different moves look alike while they last, and only then. */
START_TEST(uniform_moving)
{
	move(BASE, COUNT, S2_DONATE, false);
	move(C1 + 100, 100, S2_EXPORT, true);
	begin(C1 + 200, 312, S2_SHARE, false);
	begin(C1, 100, S2_RECLAIM, false);
	alike(&t, C1, 21, false, none);
	begin(C1 + 100, 100, S2_IMPORT, false);
	alike(&t, C1, 21, true, moving);
	alike(&t, 0, 30, false, none);
	begin(BASE, C1 - BASE, S2_SHARE, true);
	begin(C1 + CHUNK, CHUNK + 128, S2_EXPORT, true);
	alike(&t, 0, 30, true, moving);
	ck_assert_int_eq(s2_track_undo(&t, pages(C1 + 511, 1)), S2_OK);
	alike(&t, C1, 21, false, none);
	alike(&t, 0, 30, false, none);
}
END_TEST

/* Three regions, the first and the last of them not whole. */
START_TEST(uniform_regions)
{
	uint64_t first = REGION * 5 - 700;
	struct s2_range range = pages(first, 700 + REGION + 300);
	struct s2_track large;
	struct s2_track_sum sum;

	ck_assert_int_eq(s2_track_init(&large, &env.env, range), S2_OK);
	ck_assert_int_eq(s2_track_move(&large, range, S2_DONATE, false), S2_OK);
	for (uint64_t region = 4; region <= 6; region++) {
		alike(&large, region * REGION, 30, true, secure);
	}
	/* One page anywhere spoils its own region. */
	for (uint64_t page = first; page < first + 700 + REGION + 300; page += 9973) {
		ck_assert_int_eq(s2_track_move(&large, pages(page, 1), S2_SHARE, false), S2_OK);
		for (uint64_t region = 4; region <= 6; region++) {
			bool is_own = region == page / REGION;

			alike(&large, region * REGION, 30, !is_own, is_own ? none : secure);
		}
		ck_assert_int_eq(s2_track_sum(&large, pages(5 * REGION, REGION), &sum), S2_OK);
		ck_assert_uint_eq(sum.state[S2_SHARED], page / REGION == 5);
		ck_assert(s2_track_check(&large));
		ck_assert_int_eq(s2_track_move(&large, pages(page, 1), S2_UNSHARE, false), S2_OK);
	}
	/* The first page that cannot decides, whatever the counters of its region say. */
	ck_assert_int_eq(s2_track_move(&large, pages(5 * REGION + 4711, 1), S2_SHARE, false),
			 S2_OK);
	ck_assert_int_eq(s2_track_begin(&large, pages(5 * REGION + 9999, 1), S2_SHARE, false),
			 S2_OK);
	ck_assert_int_eq(s2_track_move(&large, range, S2_SHARE, false), S2_ERR_STATE);
	ck_assert_int_eq(s2_track_move(&large, range, S2_RECLAIM, false), S2_ERR_BUSY);
	ck_assert_int_eq(s2_track_done(&large, pages(5 * REGION + 9999, 1)), S2_OK);
	/* All codes of a region can make it, though its chunks are mixed. */
	ck_assert_int_eq(s2_track_move(&large, range, S2_RECLAIM, false), S2_OK);
	alike(&large, 5 * REGION, 30, true, none);
	ck_assert_uint_eq(large.map_count, 0);
	ck_assert(s2_track_check(&large));
	s2_track_fini(&large);
}
END_TEST

void add_questions(TCase *tcase)
{
	tcase_add_test(tcase, spans);
	tcase_add_test(tcase, sums);
	tcase_add_test(tcase, uniform_arguments);
	tcase_add_test(tcase, uniform_chunks);
	tcase_add_test(tcase, uniform_moving);
	tcase_add_test(tcase, uniform_regions);
}
