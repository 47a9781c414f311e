/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs: a request that stops at every call of the back end and every page, and each way to go on. */
#include "test_job.h"
#include "check_main.h"
#include "engine.h"
#include <stage2/arm64.h>

/* A request over two folios and a half, not at their ends. */
#define START (FIRST + 3)
#define LEN 30u
#define UNIT 7u /* pages at a time */

/* A small folio is one group of 16 items. */
static const struct world_config small = {
	.fmt = &s2_fmt_arm64, .features = S2_ARM64_CONT, .rejoin = S2_REJOIN_AT_ONCE};

static struct s2_job job;

/* States from which the move goes; the pages of the last folio are in another one. */
static void prepare(enum s2_move move)
{
	static const enum s2_move before[S2_MOVE_COUNT] = {
		[S2_UNSHARE] = S2_SHARE, [S2_IMPORT] = S2_EXPORT, [S2_RECLAIM] = S2_SHARE};

	world_start(&small);
	memset(&job, 0, sizeof(job));
	if (move != S2_DONATE) {
		world_move(S2_DONATE, FIRST, w.page_count);
	}
	if (before[move] != S2_DONATE) {
		world_move(before[move], FIRST, 3 * SMALL);
	}
	w.backend.max_len = UNIT * S2_PAGE_SIZE;
	w.call_count = 0;
	w.confirmed = 0;
	memset(&w.engine.count, 0, sizeof(w.engine.count));
}

static void check_identity(const struct s2_convert_count *count)
{
	ck_assert_uint_eq(count->requested, count->satisfied + (count->converted - count->widened) +
						    count->refused + count->kept);
}

/* What the answers of a back end that stops are called. */
static const struct {
	struct s2_answer answer; /* done in pages */
	enum s2_err err;
	enum s2_reply reply;
} stops[] = {
	{{S2_REPLY_AGAIN, 0}, S2_ERR_AGAIN, S2_REPLY_AGAIN},
	{{S2_REPLY_OK, 1}, S2_ERR_AGAIN, S2_REPLY_AGAIN},
	{{S2_REPLY_BUSY, 0}, S2_ERR_HELD, S2_REPLY_BUSY},
	{{S2_REPLY_BUSY, 1}, S2_ERR_HELD, S2_REPLY_BUSY},
	{{S2_REPLY_FAILED, 1}, S2_ERR_BACKEND, S2_REPLY_FAILED},
	{{S2_REPLY_POISON, 0}, S2_ERR_POISON, S2_REPLY_POISON},
	{{S2_REPLY_POISON, 1}, S2_ERR_POISON, S2_REPLY_POISON},
	/* Nonsense. */
	{{S2_REPLY_OK, 99}, S2_ERR_BACKEND, S2_REPLY_FAILED},
	{{S2_REPLY_COUNT, 1}, S2_ERR_BACKEND, S2_REPLY_FAILED},
};

#define STOP_COUNT (sizeof(stops) / sizeof(stops[0]))

/* How many pages the moves of a policy take, from where: folios are the grains. */
struct extent {
	uint64_t start;
	unsigned count;
};

static struct extent extent_of(enum s2_move move, enum s2_policy policy)
{
	if (policy == S2_EXACT) {
		return (struct extent){START, LEN};
	}
	/* On the way back the first and the last folio are kept for those of their pages that stay. */
	return policy == S2_WIDEN && move != S2_UNSHARE && move != S2_IMPORT
		       ? (struct extent){FIRST, 3 * SMALL}
		       : (struct extent){FIRST + SMALL, SMALL};
}

static enum s2_state target(enum s2_move move)
{
	return move == S2_SHARE	    ? S2_SHARED
	       : move == S2_EXPORT  ? S2_EXPORTED
	       : move == S2_RECLAIM ? S2_NONE
				    : S2_SECURE;
}

/* The job is where the back end stopped it, and says so. */
static void check_stopped(size_t stop, const struct extent *extent, unsigned confirmed)
{
	unsigned at = confirmed + (stops[stop].err == S2_ERR_POISON);

	ck_assert_int_eq(job.reply, stops[stop].reply);
	ck_assert_int_eq(job.phase, confirmed == 0 ? S2_JOB_STARTED : S2_JOB_PARTIAL);
	ck_assert_uint_eq(job.count.converted, confirmed);
	ck_assert_uint_eq(job.count.calls, w.call_count);
	ck_assert_ptr_eq(w.engine.jobs, &job);
	if (at < extent->count) {
		ck_assert_uint_eq(job.at.val, (extent->start + at) * S2_PAGE_SIZE);
	}
	for (unsigned i = 0; i < extent->count; i++) {
		struct s2_page page = page_at(&w.track, extent->start + i);

		if (i == confirmed && stops[stop].err == S2_ERR_POISON) {
			EXPECT_PAGE(page.state == S2_POISONED, i);
		} else {
			EXPECT_PAGE(page.moving == (i >= confirmed), i);
			EXPECT_PAGE(page.moving || page.state == target(job.request.move), i);
		}
	}
}

/* Goes on to the end: all pages have moved, but for one that is poisoned; each was asked for once. */
static void go_on(size_t stop, const struct extent *extent, unsigned confirmed)
{
	bool poisoned = stops[stop].err == S2_ERR_POISON;

	ck_assert_int_eq(world_resume(&job), S2_OK);
	for (unsigned i = 0; i < extent->count; i++) {
		struct s2_page page = page_at(&w.track, extent->start + i);

		EXPECT_PAGE(!page.moving, i);
		EXPECT_PAGE(page.state == (poisoned && i == confirmed ? S2_POISONED
								      : target(job.request.move)),
			    i);
	}
	ck_assert_uint_eq(job.count.converted, extent->count - poisoned);
	check_identity(&job.count);
	ck_assert_uint_eq(job.count.requests, 1);
	ck_assert_mem_eq(&w.engine.count, &job.count, sizeof(job.count));
	ck_assert_int_eq(s2_convert_resume(&w.engine, &job), S2_OK);
}

/* Stops: what is confirmed stays, all else is as it was. */
static void give_up(const struct extent *extent, unsigned confirmed, const struct picture *before,
		    bool poisoned)
{
	enum s2_err err = world_stop(&job);

	if (job.request.move == S2_RECLAIM) {
		bool left = confirmed + poisoned < extent->count;

		ck_assert_int_eq(err, left ? S2_ERR_STATE : S2_OK);
		ck_assert_int_eq(left ? world_resume(&job) : S2_OK, S2_OK);
		return;
	}
	ck_assert_int_eq(err, S2_OK);
	for (unsigned i = 0; i < w.page_count; i++) {
		unsigned char now = page_byte(page_at(&w.track, FIRST + i));
		unsigned at = (unsigned)(FIRST + i - extent->start);

		if (at >= extent->count || at >= confirmed + poisoned) {
			EXPECT_PAGE(now == before->page[i], i);
		} else {
			EXPECT_PAGE((now & 15) == (at == confirmed ? S2_POISONED
								   : target(job.request.move)),
				    i);
		}
	}
	ck_assert_uint_eq(w.engine.count.requests, 0);
	ck_assert_uint_eq(w.engine.count.requested, LEN);
	ck_assert_uint_eq(w.engine.count.converted, confirmed);
	ck_assert_uint_eq(w.engine.count.calls, w.call_count);
}

/* Rolls back, if that is still possible: everything is as before, memory too. */
static void go_back(const struct extent *extent, unsigned confirmed, const struct picture *before,
		    size_t tables, bool poisoned)
{
	const struct s2_convert_count calls = {.calls = w.call_count};

	if (confirmed != 0 || job.request.move == S2_RECLAIM) {
		struct picture now = picture_take(&w.track);

		ck_assert_int_eq(world_back(&job), S2_ERR_STATE);
		picture_expect(&now, &w.track);
		picture_free(&now);
		give_up(extent, confirmed, before, poisoned);
		return;
	}
	ck_assert_int_eq(world_back(&job), S2_OK);
	ck_assert_mem_eq(&w.engine.count, &calls, sizeof(calls));
	if (!poisoned) {
		picture_expect(before, &w.track);
		ck_assert_uint_eq(world_tables(), tables);
	}
}

enum ending {
	GO_ON,
	GIVE_UP,
	GO_BACK,
	ENDING_COUNT
};

/* One request, stopped once, ended in one way. Returns whether the back end came to that call. */
static bool stop_once(enum s2_move move, enum s2_policy policy, unsigned call, size_t stop,
		      enum ending ending)
{
	struct s2_request request = world_request(move, START, LEN, S2_GRAIN_FOLIO, policy);
	struct extent extent = extent_of(move, policy);
	struct picture before;
	enum s2_err err;
	size_t tables;
	unsigned confirmed = 0;

	prepare(move);
	before = picture_take(&w.track);
	tables = world_tables();
	w.stop_at = call;
	w.stop = stops[stop].answer;
	w.stop.done *= S2_PAGE_SIZE;
	ck_assert_int_eq(world_begin(&request, &job), S2_OK);
	ck_assert_int_eq(job.phase, S2_JOB_STARTED);
	ck_assert_uint_eq(job.at.val, extent.start * S2_PAGE_SIZE);
	err = world_resume(&job);
	/* Who has done all of it has not stopped, whatever he says. */
	if (w.call_count >= call &&
	    (w.stop.done != w.stopped_len || w.stop.reply == S2_REPLY_COUNT)) {
		confirmed = w.confirmed;
		ck_assert_int_eq(err, stops[stop].err);
		check_stopped(stop, &extent, confirmed);
		if (ending == GO_ON) {
			go_on(stop, &extent, confirmed);
		} else if (ending == GIVE_UP) {
			give_up(&extent, confirmed, &before, err == S2_ERR_POISON);
		} else {
			go_back(&extent, confirmed, &before, tables, err == S2_ERR_POISON);
		}
	} else {
		ck_assert_int_eq(err, S2_OK);
		check_identity(&w.engine.count);
	}
	ck_assert_int_eq(job.phase, S2_JOB_IDLE);
	picture_free(&before);
	world_finish();
	return w.call_count >= call;
}

/* Every call of the back end that the request makes, every answer, every ending. */
START_TEST(every_stop)
{
	enum s2_move move = (enum s2_move)(_i % S2_MOVE_COUNT);
	enum s2_policy policy = (enum s2_policy)(_i / S2_MOVE_COUNT);
	unsigned call = 1;

	for (bool came = true; came; call++) {
		for (size_t stop = 0; stop < STOP_COUNT; stop++) {
			for (unsigned ending = 0; ending < ENDING_COUNT; ending++) {
				came = stop_once(move, policy, call, stop, (enum ending)ending);
			}
		}
	}
	ck_assert_uint_ge(call, 4);
}
END_TEST

/* Several at a time: whoever would touch the same pages waits, and nobody else does. */
START_TEST(jobs_side_by_side)
{
	static struct s2_job jobs[3];
	struct s2_request a = world_request(S2_SHARE, FIRST + 2, 4, K16, S2_EXACT);
	struct s2_request b = world_request(S2_EXPORT, FIRST + 6, 4, K64, S2_EXACT);
	struct s2_request c = world_request(S2_RECLAIM, FIRST + 20, 40, K64, S2_WIDEN);
	struct picture before;

	memset(jobs, 0, sizeof(jobs));
	prepare(S2_SHARE);
	before = picture_take(&w.track);
	ck_assert_int_eq(world_begin(&a, &jobs[0]), S2_OK);
	ck_assert_int_eq(world_begin(&b, &jobs[1]), S2_OK);
	/* One is under way already; others overlap it: all of it, an end, only by their grain. */
	ck_assert_int_eq(world_begin(&c, &jobs[1]), S2_ERR_BUSY);
	a.range = pages(FIRST + 9, 2);
	ck_assert_int_eq(world_begin(&a, &jobs[2]), S2_ERR_BUSY);
	a.range = pages(FIRST + 1, 2);
	ck_assert_int_eq(world_begin(&a, &jobs[2]), S2_ERR_BUSY);
	a = world_request(S2_SHARE, FIRST + 12, 1, K64, S2_WIDEN);
	ck_assert_int_eq(world_begin(&a, &jobs[2]), S2_ERR_BUSY);
	ck_assert_int_eq(jobs[2].phase, S2_JOB_IDLE);
	ck_assert_int_eq(world_begin(&c, &jobs[2]), S2_OK);
	/* To be there already is to be touched, too. */
	a = world_request(S2_DONATE, FIRST + 10, 10, K64, S2_EXACT);
	ck_assert_int_eq(world_begin(&a, &(struct s2_job){.phase = S2_JOB_IDLE}), S2_ERR_BUSY);

	ck_assert_int_eq(world_resume(&jobs[1]), S2_OK);
	ck_assert_int_eq(world_back(&jobs[0]), S2_OK);
	ck_assert_int_eq(world_resume(&jobs[2]), S2_OK);
	for (unsigned i = 0; i < w.page_count; i++) {
		unsigned char want = i >= 6 && i < 10 ? S2_EXPORTED : i < 16 ? S2_SECURE : S2_NONE;

		ck_assert_uint_eq(page_byte(page_at(&w.track, FIRST + i)), want);
	}
	picture_free(&before);
	world_finish();
}
END_TEST

/* Pages that are satisfied belong to the job as well: nobody takes them away from under it. */
START_TEST(satisfied_pages_are_kept)
{
	static struct s2_job jobs[2];
	struct s2_request a = world_request(S2_SHARE, FIRST, 8, K64, S2_EXACT);
	struct s2_request b = world_request(S2_UNSHARE, FIRST, 4, K64, S2_EXACT);

	memset(jobs, 0, sizeof(jobs));
	prepare(S2_SHARE);
	world_move(S2_SHARE, FIRST, 4);
	a.range = pages(FIRST, 4);
	ck_assert_int_eq(world_begin(&a, &jobs[0]), S2_OK);
	/* Nothing is in transition, and a grain that reaches there has to wait all the same. */
	b = world_request(S2_EXPORT, FIRST + 10, 1, K64, S2_WIDEN);
	ck_assert_int_eq(world_begin(&b, &jobs[1]), S2_ERR_BUSY);
	ck_assert_int_eq(world_resume(&jobs[0]), S2_OK);
	a.range = pages(FIRST, 8);
	b = world_request(S2_UNSHARE, FIRST, 4, K64, S2_EXACT);
	ck_assert_int_eq(world_begin(&a, &jobs[0]), S2_OK);
	ck_assert_int_eq(world_begin(&b, &jobs[1]), S2_ERR_BUSY);
	ck_assert_int_eq(world_resume(&jobs[0]), S2_OK);
	ck_assert_uint_eq(jobs[0].count.satisfied, 4);
	ck_assert_uint_eq(jobs[0].count.converted, 4);
	ck_assert_int_eq(world_begin(&b, &jobs[1]), S2_OK);
	ck_assert_int_eq(world_resume(&jobs[1]), S2_OK);
	world_finish();
}
END_TEST

/* A guest is taken down with a page that is poisoned: it stays, is counted, and holds nobody up. */
START_TEST(reclaim_leaves_poisoned_pages)
{
	struct s2_request all;

	prepare(S2_SHARE);
	all = world_request(S2_RECLAIM, FIRST, w.page_count, S2_GRAIN_FOLIO, S2_EXACT);
	world_move(S2_EXPORT, FIRST, 2);
	ck_assert_int_eq(world_poison(FIRST + 20, 2), S2_OK);
	memset(&w.engine.count, 0, sizeof(w.engine.count));
	ck_assert_int_eq(world_begin(&all, &job), S2_OK);
	ck_assert_int_eq(world_back(&job), S2_ERR_STATE);
	ck_assert_int_eq(world_stop(&job), S2_ERR_STATE);
	ck_assert_int_eq(world_resume(&job), S2_OK);
	ck_assert_uint_eq(w.engine.count.refused, 2);
	ck_assert_uint_eq(w.engine.count.converted, w.page_count - 2);
	check_identity(&w.engine.count);
	for (unsigned i = 0; i < w.page_count; i++) {
		ck_assert_int_eq(page_at(&w.track, FIRST + i).state,
				 i / 2 == 10 ? S2_POISONED : S2_NONE);
	}
	/* Donated again, but for those. */
	all = world_request(S2_DONATE, FIRST, w.page_count, S2_GRAIN_FOLIO, S2_EXACT);
	ck_assert_int_eq(world_begin(&all, &job), S2_ERR_POISON);
	world_move(S2_DONATE, FIRST, 20);
	world_finish();
}
END_TEST

/* Pages of a job get an error from elsewhere: before it, in it, all that is left of it. */
START_TEST(poison_inside_a_job)
{
	struct s2_request request =
		world_request(S2_SHARE, START, LEN, S2_GRAIN_FOLIO, (enum s2_policy)_i);
	struct extent extent = extent_of(S2_SHARE, (enum s2_policy)_i);

	prepare(S2_SHARE);
	w.backend.max_len = 2 * S2_PAGE_SIZE;
	w.stop_at = 2;
	w.stop = (struct s2_answer){S2_REPLY_AGAIN, 0};
	ck_assert_int_eq(world_begin(&request, &job), S2_OK);
	ck_assert_int_eq(world_resume(&job), S2_ERR_AGAIN);
	ck_assert_int_eq(world_poison(extent.start + 1, 1), S2_OK);
	ck_assert_int_eq(world_poison(job.at.val / S2_PAGE_SIZE + 1, 2), S2_OK);
	ck_assert_int_eq(world_poison(job.at.val / S2_PAGE_SIZE, 1), S2_OK);
	w.stop_at = 4;
	ck_assert_int_eq(world_resume(&job), S2_ERR_AGAIN);
	ck_assert_int_eq(world_poison(job.at.val / S2_PAGE_SIZE,
				      extent.start + extent.count - job.at.val / S2_PAGE_SIZE),
			 S2_OK);
	ck_assert_int_eq(world_resume(&job), S2_OK);
	check_identity(&job.count);
	world_finish();
}
END_TEST

START_TEST(a_pinned_page_holds)
{
	struct s2_request request = world_request(S2_UNSHARE, FIRST, 4, K64, (enum s2_policy)_i);
	struct picture before;

	prepare(S2_UNSHARE);
	before = picture_take(&w.track);
	ck_assert_int_eq(s2_pin(&w.pins, &w.track, pages(FIRST + 3, 2)), S2_OK);
	ck_assert_int_eq(world_begin(&request, &job), S2_ERR_HELD);
	request.move = S2_RECLAIM;
	ck_assert_int_eq(world_begin(&request, &job), S2_ERR_HELD);
	/* Only the grain has one. */
	request.range = pages(FIRST, 3);
	request.policy = S2_WIDEN;
	ck_assert_int_eq(world_begin(&request, &job), S2_ERR_HELD);
	ck_assert_uint_eq(w.call_count, 0);
	picture_expect(&before, &w.track);
	picture_free(&before);

	/* A hardware error does not ask; the pin is undone all the same. */
	ck_assert_int_eq(world_poison(FIRST + 3, 1), S2_OK);
	ck_assert_int_eq(s2_unpin(&w.pins, pages(FIRST + 3, 2)), S2_OK);
	ck_assert_int_eq(world_begin(&request, &job), S2_OK);
	ck_assert_int_eq(world_resume(&job), S2_OK);
	world_finish();
}
END_TEST

/* A page that is given back while its grain is in use, and pinned before it is marked so. */
START_TEST(a_pin_on_a_kept_page_holds_its_grain)
{
	struct s2_request request = world_request(S2_UNSHARE, FIRST, 4, K64, S2_WIDEN);

	prepare(S2_UNSHARE);
	ck_assert_int_eq(world_begin(&request, &job), S2_OK);
	ck_assert_int_eq(s2_pin(&w.pins, &w.track, pages(FIRST + 1, 1)), S2_OK);
	ck_assert_int_eq(world_resume(&job), S2_OK);
	ck_assert_uint_eq(job.count.kept, 4);
	request.range = pages(FIRST + 4, SMALL - 4);
	ck_assert_int_eq(world_begin(&request, &job), S2_ERR_HELD);
	ck_assert_int_eq(s2_unpin(&w.pins, pages(FIRST + 1, 1)), S2_OK);
	ck_assert_int_eq(world_begin(&request, &job), S2_OK);
	ck_assert_int_eq(world_resume(&job), S2_OK);
	ck_assert_int_eq(page_at(&w.track, FIRST + 1).state, S2_SECURE);
	world_finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("job");
	TCase *tcase = tcase_create("job");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, every_stop, 0, (int)S2_MOVE_COUNT * (int)S2_POLICY_COUNT);
	tcase_add_test(tcase, jobs_side_by_side);
	tcase_add_test(tcase, satisfied_pages_are_kept);
	tcase_add_test(tcase, reclaim_leaves_poisoned_pages);
	tcase_add_loop_test(tcase, poison_inside_a_job, 0, S2_POLICY_COUNT);
	tcase_add_loop_test(tcase, a_pinned_page_holds, 0, S2_POLICY_COUNT);
	tcase_add_test(tcase, a_pin_on_a_kept_page_holds_its_grain);
	add_random_jobs(tcase);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
