/* SPDX-License-Identifier: BSD-2-Clause */
#include <check.h>
#include <string.h>

#include "check_main.h"
#include "test_env.h"
#include "test_track.h"
#include <stage2/convert.h>

#define BASE (CHUNK * 7 + 256)
#define COUNT (256 + 2 * CHUNK + 128)
#define WHOLE pages(BASE, COUNT)
#define C1 (CHUNK * 8)
#define K16 UINT64_C(0x4000)
#define K64 UINT64_C(0x10000)
#define M2 UINT64_C(0x200000)

static struct test_env env;
static struct s2_track t;
static struct s2_convert_count count;

/* A back end that keeps a list, and stops at one call after some pages. */
static struct {
	struct s2_range piece[64];
	enum s2_move move[64];
	size_t piece_count;
	size_t stop_at; /* which call, from 1; 0: none */
	uint64_t stop_len;
	bool bad; /* a page of a piece was not in transition */
} calls;

static struct s2_answer log_convert(void *cookie, enum s2_move move, struct s2_range range)
{
	size_t call = calls.piece_count++;

	ck_assert_ptr_eq(cookie, &calls);
	if (call < 64) {
		calls.piece[call] = range;
		calls.move[call] = move;
	}
	for (uint64_t i = 0; i < range.len / S2_PAGE_SIZE; i++) {
		struct s2_page page = page_at(&t, range.start.val / S2_PAGE_SIZE + i);

		calls.bad = calls.bad || page.state != S2_SECURE || !page.moving || page.widened;
	}
	if (call + 1 == calls.stop_at) {
		return (struct s2_answer){S2_REPLY_FAILED, calls.stop_len};
	}
	return (struct s2_answer){S2_REPLY_OK, range.len};
}

static const struct s2_backend backend = {log_convert, &calls, 0};

/* Carries a request out as far as it goes, and gives up where it stops. */
static enum s2_err carry_out(const struct s2_run *runs, size_t run_count,
			     const struct s2_request *req)
{
	struct s2_engine engine = {
		.track = &t, .runs = runs, .run_count = run_count, .backend = &backend};
	struct s2_job job = {.phase = S2_JOB_IDLE};
	enum s2_err err = s2_convert(&engine, req, &job);

	if (err != S2_OK) {
		ck_assert_int_eq(s2_convert_stop(&engine, &job), S2_OK);
	}
	ck_assert_int_eq(job.phase, S2_JOB_IDLE);
	ck_assert_ptr_null(engine.jobs);
	count = engine.count;
	return err;
}

static void setup(void)
{
	test_env_init(&env);
	memset(&calls, 0, sizeof(calls));
	memset(&count, 0, sizeof(count));
	ck_assert_int_eq(s2_track_init(&t, &env.env, WHOLE), S2_OK);
	ck_assert_int_eq(s2_track_move(&t, WHOLE, S2_DONATE, false), S2_OK);
}

static void teardown(void)
{
	ck_assert(!calls.bad);
	ck_assert(s2_track_check(&t));
	ck_assert_uint_eq(env.live, 1 + t.map_count);
	s2_track_fini(&t);
	ck_assert_uint_eq(env.live, 0);
}

static struct s2_request request(enum s2_move move, uint64_t start, uint64_t len, uint64_t grain,
				 enum s2_policy policy)
{
	struct s2_request out = {move, pages(start, len), grain, policy, false};

	return out;
}

static enum s2_err convert(enum s2_move move, uint64_t start, uint64_t len, uint64_t grain,
			   enum s2_policy policy)
{
	struct s2_request req = request(move, start, len, grain, policy);
	enum s2_err err;

	memset(&count, 0, sizeof(count));
	calls.piece_count = 0;
	err = carry_out(NULL, 0, &req);
	ck_assert(s2_track_check(&t));
	ck_assert_uint_eq(count.calls, calls.piece_count);
	if (err == S2_OK) {
		ck_assert_uint_eq(count.requests, 1);
		ck_assert_uint_eq(count.requested, len);
		ck_assert_uint_eq(count.requested, count.satisfied + count.converted -
							   count.widened + count.refused +
							   count.kept);
	}
	return err;
}

static void expect(uint64_t start, uint64_t len, enum s2_state state, bool widened)
{
	struct s2_span span;

	ck_assert_int_eq(s2_track_next(&t, s2_gpa(start * 4096), pages(start, len), &span), S2_OK);
	ck_assert_uint_eq(span.range.len, len * 4096);
	ck_assert_int_eq(span.page.state, state);
	ck_assert_int_eq(span.page.widened, widened);
	ck_assert(!span.page.moving);
}

static void expect_piece(size_t i, uint64_t start, uint64_t len)
{
	ck_assert_uint_lt(i, calls.piece_count);
	ck_assert_uint_eq(calls.piece[i].start.val, start * 4096);
	ck_assert_uint_eq(calls.piece[i].len, len * 4096);
}

START_TEST(exact_is_cut_at_grains)
{
	ck_assert_int_eq(convert(S2_SHARE, C1 + 2, 7, K16, S2_EXACT), S2_OK);
	ck_assert_uint_eq(calls.piece_count, 3);
	expect_piece(0, C1 + 2, 2);
	expect_piece(1, C1 + 4, 4);
	expect_piece(2, C1 + 8, 1);
	expect(C1 + 2, 7, S2_SHARED, false);
	expect(C1, 2, S2_SECURE, false);
	expect(C1 + 9, 7, S2_SECURE, false);
	ck_assert_int_eq(calls.move[0], S2_SHARE);

	/* Again, and a bit more: only what is missing moves, one piece for each hole. */
	ck_assert_int_eq(convert(S2_SHARE, C1, 16, K64, S2_EXACT), S2_OK);
	ck_assert_uint_eq(calls.piece_count, 2);
	expect_piece(0, C1, 2);
	expect_piece(1, C1 + 9, 7);
	ck_assert_uint_eq(count.satisfied, 7);
	ck_assert_uint_eq(count.requests_satisfied, 0);

	ck_assert_int_eq(convert(S2_SHARE, C1, 16, K64, S2_EXACT), S2_OK);
	ck_assert_uint_eq(calls.piece_count, 0);
	ck_assert_uint_eq(count.requests_satisfied, 1);

	ck_assert_int_eq(convert(S2_UNSHARE, C1 + 1, 16, S2_PAGE_SIZE, S2_EXACT), S2_OK);
	ck_assert_uint_eq(count.calls, 15);
	ck_assert_uint_eq(count.satisfied, 1);
	expect(C1, 1, S2_SHARED, false);
	expect(C1 + 1, 40, S2_SECURE, false);
}
END_TEST

START_TEST(widening_an_export)
{
	ck_assert_int_eq(convert(S2_EXPORT, C1 + 17, 2, K64, S2_WIDEN), S2_OK);
	ck_assert_uint_eq(calls.piece_count, 1);
	expect_piece(0, C1 + 16, 16);
	expect(C1 + 16, 1, S2_EXPORTED, true);
	expect(C1 + 17, 2, S2_EXPORTED, false);
	expect(C1 + 19, 13, S2_EXPORTED, true);
	expect(C1 + 32, 1, S2_SECURE, false);
	ck_assert_uint_eq(count.converted, 16);
	ck_assert_uint_eq(count.widened, 14);

	/* A widened page that is asked for now is claimed, without a call. */
	ck_assert_int_eq(convert(S2_EXPORT, C1 + 20, 1, K64, S2_WIDEN), S2_OK);
	ck_assert_uint_eq(calls.piece_count, 0);
	expect(C1 + 20, 1, S2_EXPORTED, false);

	/* The grain stays out until the last one is given back, and then comes back as one. */
	ck_assert_int_eq(convert(S2_IMPORT, C1 + 17, 2, K64, S2_WIDEN), S2_OK);
	ck_assert_uint_eq(calls.piece_count, 0);
	ck_assert_uint_eq(count.kept, 2);
	expect(C1 + 16, 4, S2_EXPORTED, true);
	ck_assert_int_eq(convert(S2_IMPORT, C1 + 20, 1, K64, S2_WIDEN), S2_OK);
	expect_piece(0, C1 + 16, 16);
	ck_assert_uint_eq(count.converted, 16);
	ck_assert_uint_eq(count.widened, 15);
	expect(BASE, COUNT, S2_SECURE, false);
	ck_assert_uint_eq(t.map_count, 0);
}
END_TEST

START_TEST(widening_a_share_needs_the_guest)
{
	struct s2_request req = request(S2_SHARE, C1 + 15, 2, K64, S2_WIDEN);
	struct picture before = picture_take(&t);

	ck_assert_int_eq(convert(S2_SHARE, C1 + 15, 2, K64, S2_WIDEN), S2_ERR_EXPOSE);
	ck_assert_int_eq(convert(S2_SHARE, C1 + 15, 17, K64, S2_WIDEN), S2_ERR_EXPOSE);
	ck_assert_int_eq(convert(S2_SHARE, C1, 17, K64, S2_WIDEN), S2_ERR_EXPOSE);
	ck_assert_uint_eq(calls.piece_count, 0);
	picture_expect(&before, &t);
	picture_free(&before);

	/* What fills its grains shows nothing else. */
	ck_assert_int_eq(convert(S2_SHARE, C1 + 16, 16, K64, S2_WIDEN), S2_OK);
	expect(C1 + 16, 16, S2_SHARED, false);
	ck_assert_int_eq(convert(S2_SHARE, C1 + 17, 1, K64, S2_WIDEN), S2_OK);
	/* The second grain is there, the first would still show fifteen pages. */
	ck_assert_int_eq(convert(S2_SHARE, C1 + 15, 2, K64, S2_WIDEN), S2_ERR_EXPOSE);

	req.guest_offers_grain = true;
	ck_assert_int_eq(carry_out(NULL, 0, &req), S2_OK);
	expect(C1, 15, S2_SHARED, true);
	expect(C1 + 15, 17, S2_SHARED, false);
}
END_TEST

START_TEST(refuse_takes_whole_grains)
{
	ck_assert_int_eq(convert(S2_SHARE, C1 + 10, 30, K64, S2_REFUSE), S2_OK);
	ck_assert_uint_eq(calls.piece_count, 1);
	expect_piece(0, C1 + 16, 16);
	ck_assert_uint_eq(count.refused, 14);
	expect(C1 + 10, 6, S2_SECURE, false);
	expect(C1 + 16, 16, S2_SHARED, false);
	expect(C1 + 32, 8, S2_SECURE, false);

	ck_assert_int_eq(convert(S2_UNSHARE, C1 + 17, 15, K64, S2_REFUSE), S2_OK);
	ck_assert_uint_eq(count.refused, 15);
	ck_assert_uint_eq(calls.piece_count, 0);
	expect(C1 + 16, 16, S2_SHARED, false);
	ck_assert_int_eq(convert(S2_UNSHARE, C1 + 15, 17, K64, S2_REFUSE), S2_OK);
	ck_assert_uint_eq(count.satisfied, 1);
	expect(BASE, COUNT, S2_SECURE, false);
}
END_TEST

/* The tracker starts in the middle of a 2M grain: the grain is what is there. */
START_TEST(grains_end_with_the_tracker)
{
	ck_assert_int_eq(convert(S2_SHARE, BASE, 256, M2, S2_REFUSE), S2_OK);
	expect_piece(0, BASE, 256);
	ck_assert_int_eq(convert(S2_EXPORT, C1 + 2 * CHUNK + 127, 1, M2, S2_WIDEN), S2_OK);
	expect_piece(0, C1 + 2 * CHUNK, 128);
	ck_assert_int_eq(convert(S2_UNSHARE, BASE, 256, UINT64_C(1) << 63, S2_EXACT), S2_OK);
	expect_piece(0, BASE, 256);
	ck_assert_uint_eq(calls.piece_count, 1);
}
END_TEST

START_TEST(folio_grains)
{
	struct s2_run runs[] = {
		{s2_gpa((C1 + 2) * 4096), s2_hpa(M2), 6 * 4096, 9},
		{s2_gpa((C1 + 8) * 4096), s2_hpa(3 * M2), 4096, 0},
		{s2_gpa((C1 + 12) * 4096), s2_hpa(4 * M2), 4 * 4096, 2},
	};
	struct s2_request req = request(S2_EXPORT, C1 + 7, 6, S2_GRAIN_FOLIO, S2_WIDEN);

	ck_assert_int_eq(carry_out(runs, 3, &req), S2_OK);
	/* The folio, the single page, three pages in no run, the last folio. */
	ck_assert_uint_eq(calls.piece_count, 6);
	expect_piece(0, C1 + 2, 6);
	expect_piece(1, C1 + 8, 1);
	expect_piece(2, C1 + 9, 1);
	expect_piece(4, C1 + 11, 1);
	expect_piece(5, C1 + 12, 4);
	expect(C1 + 2, 5, S2_EXPORTED, true);
	expect(C1 + 7, 6, S2_EXPORTED, false);
	expect(C1 + 13, 3, S2_EXPORTED, true);

	runs[1].len = 100;
	ck_assert_int_eq(carry_out(runs, 3, &req), S2_ERR_INVAL);
	ck_assert_int_eq(carry_out(NULL, 3, &req), S2_ERR_INVAL);
	/* Without runs every page is its own grain. */
	req.range = pages(C1 + 100, 2);
	ck_assert_int_eq(carry_out(NULL, 0, &req), S2_OK);
	expect(C1 + 100, 2, S2_EXPORTED, false);
	expect(C1 + 102, 2, S2_SECURE, false);
}
END_TEST

START_TEST(bad_requests)
{
	struct picture before = picture_take(&t);
	struct s2_request req = request(S2_SHARE, C1, 1, 4096, S2_EXACT);

	ck_assert_int_eq(convert(S2_SHARE, C1, 0, 4096, S2_EXACT), S2_ERR_INVAL);
	req.range.start.val++;
	ck_assert_int_eq(carry_out(NULL, 0, &req), S2_ERR_ALIGN);
	req.range = s2_range(s2_gpa(UINT64_MAX - 4095), 8192);
	ck_assert_int_eq(carry_out(NULL, 0, &req), S2_ERR_WRAP);
	ck_assert_int_eq(convert(S2_SHARE, BASE - 1, 2, 4096, S2_EXACT), S2_ERR_RANGE);
	ck_assert_int_eq(convert(S2_MOVE_COUNT, C1, 1, 4096, S2_EXACT), S2_ERR_INVAL);
	ck_assert_int_eq(convert(S2_SHARE, C1, 1, 4096, S2_POLICY_COUNT), S2_ERR_INVAL);
	ck_assert_int_eq(convert(S2_SHARE, C1, 1, 2048, S2_EXACT), S2_ERR_INVAL);
	ck_assert_int_eq(convert(S2_SHARE, C1, 1, 3 * 4096, S2_EXACT), S2_ERR_INVAL);
	picture_expect(&before, &t);
	picture_free(&before);
}
END_TEST

START_TEST(states_that_do_not_allow_it)
{
	struct picture before;

	ck_assert_int_eq(s2_track_poison(&t, pages(C1 + 3, 1)), S2_OK);
	ck_assert_int_eq(s2_track_begin(&t, pages(C1 + 6, 1), S2_SHARE, false), S2_OK);
	ck_assert_int_eq(s2_track_move(&t, pages(C1 + 9, 1), S2_EXPORT, false), S2_OK);
	ck_assert_int_eq(s2_track_move(&t, pages(C1 + 12, 1), S2_RECLAIM, false), S2_OK);
	before = picture_take(&t);
	ck_assert_int_eq(convert(S2_SHARE, C1, 16, K64, S2_EXACT), S2_ERR_POISON);
	ck_assert_int_eq(convert(S2_SHARE, C1 + 4, 12, K64, S2_EXACT), S2_ERR_BUSY);
	ck_assert_int_eq(convert(S2_SHARE, C1 + 7, 9, K64, S2_EXACT), S2_ERR_STATE);
	ck_assert_int_eq(convert(S2_UNSHARE, C1 + 7, 9, K64, S2_REFUSE), S2_ERR_STATE);
	ck_assert_int_eq(convert(S2_EXPORT, C1 + 10, 6, K64, S2_WIDEN), S2_ERR_STATE);
	picture_expect(&before, &t);
	picture_free(&before);

	/* As neighbours they are in nobody's way and left alone, but for one in transition. */
	ck_assert_int_eq(convert(S2_EXPORT, C1, 2, K64, S2_WIDEN), S2_ERR_BUSY);
	ck_assert_int_eq(s2_track_undo(&t, pages(C1 + 6, 1)), S2_OK);
	ck_assert_int_eq(convert(S2_EXPORT, C1, 2, K64, S2_WIDEN), S2_OK);
	ck_assert_uint_eq(calls.piece_count, 4);
	expect_piece(0, C1, 3);
	expect_piece(1, C1 + 4, 5);
	/* 9 is there already, 12 is not there at all. */
	expect_piece(2, C1 + 10, 2);
	expect_piece(3, C1 + 13, 3);
}
END_TEST

/* Where the back end stops decides what is converted; the tracker says exactly that. */
START_TEST(back_end_stops)
{
	calls.stop_at = 2;
	calls.stop_len = 3 * 4096;
	ck_assert_int_eq(convert(S2_EXPORT, C1 + 10, 16, K64, S2_WIDEN), S2_ERR_BACKEND);
	expect(C1, 10, S2_EXPORTED, true);
	expect(C1 + 10, 9, S2_EXPORTED, false);
	expect(C1 + 19, 13, S2_SECURE, false);
	ck_assert_uint_eq(count.requests, 0);
	ck_assert_uint_eq(count.requested, 16);
	ck_assert_uint_eq(count.converted, 19);
	ck_assert_uint_eq(count.widened, 10);

	/* On the way back, a neighbour stays widened and the asked ones stay asked for. */
	calls.stop_at = 1;
	calls.stop_len = 2 * 4096;
	ck_assert_int_eq(convert(S2_IMPORT, C1 + 10, 6, K64, S2_WIDEN), S2_ERR_BACKEND);
	expect(C1, 2, S2_SECURE, false);
	expect(C1 + 2, 8, S2_EXPORTED, true);
	expect(C1 + 10, 9, S2_EXPORTED, false);
	ck_assert_int_eq(convert(S2_IMPORT, C1 + 10, 16, K64, S2_WIDEN), S2_ERR_BACKEND);
	calls.stop_at = 0;
	ck_assert_int_eq(convert(S2_IMPORT, C1 + 10, 16, K64, S2_WIDEN), S2_OK);
	expect(BASE, COUNT, S2_SECURE, false);
}
END_TEST

/* A failed unshare leaves each page marked as it was. */
START_TEST(undone_unshare_keeps_marks)
{
	ck_assert_int_eq(s2_track_move(&t, pages(C1, 16), S2_SHARE, true), S2_OK);
	ck_assert_int_eq(s2_track_claim(&t, pages(C1 + 3, 2)), S2_OK);
	calls.stop_at = 1;
	calls.stop_len = 0;
	ck_assert_int_eq(convert(S2_UNSHARE, C1 + 3, 4, K64, S2_WIDEN), S2_ERR_BACKEND);
	expect_piece(0, C1, 16);
	expect(C1, 3, S2_SHARED, true);
	expect(C1 + 3, 2, S2_SHARED, false);
	expect(C1 + 5, 11, S2_SHARED, true);
}
END_TEST

START_TEST(impossible_answers_count_as_nothing)
{
	static const uint64_t answers[] = {UINT64_MAX, 17 * 4096, 4095, 4097};

	for (size_t i = 0; i < 4; i++) {
		calls.stop_at = 1;
		calls.stop_len = answers[i];
		ck_assert_int_eq(convert(S2_SHARE, C1, 16, K64, S2_EXACT), S2_ERR_BACKEND);
		ck_assert_uint_eq(count.converted, 0);
		expect(C1, 16, S2_SECURE, false);
	}
}
END_TEST

/* Any allocation that fails does so before anything is seen, by the back end too. */
START_TEST(no_memory)
{
	static const uint64_t grains[] = {4096, K64, M2, 2 * M2};
	uint64_t grain = grains[_i % 4];
	enum s2_policy policy = (enum s2_policy)(_i / 4);
	enum s2_err err = S2_ERR_NOMEM;
	struct picture before;
	size_t failures = 0;

	before = picture_take(&t);
	while (err == S2_ERR_NOMEM) {
		test_env_fail(&env, failures + 1);
		err = convert(S2_EXPORT, C1 - 5, CHUNK + 11, grain, policy);
		test_env_fail(&env, 0);
		if (err == S2_ERR_NOMEM) {
			failures++;
			picture_expect(&before, &t);
			ck_assert_uint_eq(calls.piece_count, 0);
			ck_assert_uint_eq(env.live, 1);
		}
	}
	ck_assert_int_eq(err, S2_OK);
	ck_assert_uint_ge(failures, 2);
	picture_free(&before);
}
END_TEST

START_TEST(a_satisfied_request_needs_no_memory)
{
	test_env_fail(&env, 1);
	ck_assert_int_eq(convert(S2_UNSHARE, C1 + 1, 2, K64, S2_WIDEN), S2_OK);
	test_env_fail(&env, 0);
	ck_assert_uint_eq(count.requests_satisfied, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("convert");
	TCase *tcase = tcase_create("convert");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, exact_is_cut_at_grains);
	tcase_add_test(tcase, widening_an_export);
	tcase_add_test(tcase, widening_a_share_needs_the_guest);
	tcase_add_test(tcase, refuse_takes_whole_grains);
	tcase_add_test(tcase, grains_end_with_the_tracker);
	tcase_add_test(tcase, folio_grains);
	tcase_add_test(tcase, bad_requests);
	tcase_add_test(tcase, states_that_do_not_allow_it);
	tcase_add_test(tcase, back_end_stops);
	tcase_add_test(tcase, undone_unshare_keeps_marks);
	tcase_add_test(tcase, impossible_answers_count_as_nothing);
	tcase_add_loop_test(tcase, no_memory, 0, 12);
	tcase_add_test(tcase, a_satisfied_request_needs_no_memory);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
