/* SPDX-License-Identifier: BSD-2-Clause */
/* Views: what they may be, what they show, and what becomes of large leaves. */
#include "check_main.h"
#include "engine.h"
#include <stage2/arm64.h>
#include <stage2/mock.h>

#define ROUNDS 1000u
#define INSIDE (FIRST + 77) /* a page inside the first folio, which is of 2M */

static struct world_config arm64 = {
	.fmt = &s2_fmt_arm64, .shape = SHAPE_LARGE, .rejoin = S2_REJOIN_AT_ONCE};

static struct s2_request one_page(enum s2_move move)
{
	return world_request(move, INSIDE, 1, S2_PAGE_SIZE, S2_EXACT);
}

/* As an embedder does it; world_check() is for who wants to see every page each time. */
static void do_quickly(const struct s2_request *request)
{
	struct s2_job job = {.phase = S2_JOB_IDLE};

	w.move = request->move;
	ck_assert_int_eq(s2_convert(&w.engine, request, &job), S2_OK);
}

static void start_guest(enum s2_rejoin rejoin, bool equal_rights)
{
	arm64.rejoin = rejoin;
	arm64.equal_rights = equal_rights;
	arm64.features = 0;
	world_start(&arm64);
	world_move(S2_DONATE, FIRST, w.page_count);
	w.engine.backend = NULL;
}

START_TEST(bad_views)
{
	const struct s2_fmt *const fmt = &s2_fmt_arm64;
	struct world_config config = {.fmt = fmt};
	struct s2_view good, v;

	world_start(&config);
	good = w.guest.view;
	v = good;
	v.space = NULL;
	ck_assert_int_eq(s2_view_init(&v), S2_ERR_INVAL);
	v = good;
	v.mem = S2_MEM_COUNT;
	ck_assert_int_eq(s2_view_init(&v), S2_ERR_INVAL);
	v = good;
	v.rejoin = S2_REJOIN_COUNT;
	ck_assert_int_eq(s2_view_init(&v), S2_ERR_INVAL);
	v = good;
	v.prot[S2_POISONED] = S2_READ;
	ck_assert_int_eq(s2_view_init(&v), S2_ERR_INVAL);
	v = good;
	v.prot[S2_SHARED] = S2_PROT_ALL + 1;
	ck_assert_int_eq(s2_view_init(&v), S2_ERR_INVAL);
	v = good;
	v.prot[S2_SHARED] = S2_WRITE;
	ck_assert_int_eq(s2_view_init(&v), S2_ERR_FORMAT);
	/* Each by itself can be said, and what both allow cannot: write alone. */
	v = good;
	v.mem = S2_MEM_WT;
	ck_assert_int_eq(s2_view_init(&v), S2_ERR_FORMAT);
	ck_assert_str_eq(s2_rejoin_name(S2_REJOIN_NEVER), "never");
	ck_assert_str_eq(s2_rejoin_name(S2_REJOIN_IDLE), "idle");
	ck_assert_str_eq(s2_rejoin_name(S2_REJOIN_AT_ONCE), "at-once");
	ck_assert_str_eq(s2_rejoin_name(S2_REJOIN_COUNT), "unknown");
	world_finish();
}
END_TEST

/*
 * The folio stays one and large, though a page of it is shared and unshared a thousand times, which
 * others answer by splitting it for good.
 */
START_TEST(a_block_survives)
{
	enum s2_rejoin rejoin = (enum s2_rejoin)_i;
	struct s2_request share = one_page(S2_SHARE);
	struct s2_request unshare = one_page(S2_UNSHARE);

	start_guest(rejoin, false);
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 3);
	for (unsigned round = 0; round < ROUNDS; round++) {
		do_quickly(&share);
		if (round % 100 == 0) {
			world_check();
			ck_assert_uint_eq(world_leaves(&w.guest, 21), 2);
			ck_assert_uint_eq(world_leaves(&w.guest, 12), 512 + 64);
			ck_assert_uint_eq(world_leaves(&w.host, 12), 1);
		}
		do_quickly(&unshare);
		if (rejoin == S2_REJOIN_AT_ONCE) {
			ck_assert_uint_eq(world_leaves(&w.guest, 21), 3);
		}
	}
	world_check();
	if (rejoin != S2_REJOIN_AT_ONCE) {
		ck_assert_uint_eq(world_leaves(&w.guest, 21), 2);
		ck_assert(s2_view_rejoin(&w.guest.view, w.runs, w.run_count, 0));
	}
	ck_assert_uint_eq(world_leaves(&w.guest, 21), rejoin == S2_REJOIN_NEVER ? 2 : 3);
	ck_assert_uint_eq(world_leaves(&w.guest, 12), rejoin == S2_REJOIN_NEVER ? 512 + 64 : 64);
	ck_assert_uint_eq(w.guest.view.broken.len, 0);
	world_finish();
}
END_TEST

/* Where both states give the guest the same there is nothing to split, ever. */
START_TEST(equal_rights_never_split)
{
	struct s2_request share = one_page(S2_SHARE);
	struct s2_request unshare = one_page(S2_UNSHARE);
	struct s2_events before, after;

	start_guest((enum s2_rejoin)_i, true);
	ck_assert(s2_view_rejoin(&w.guest.view, w.runs, w.run_count, 0));
	s2_space_events(&w.guest.space, &before);
	for (unsigned round = 0; round < ROUNDS; round++) {
		do_quickly(&share);
		ck_assert_uint_eq(world_leaves(&w.guest, 21), 3);
		do_quickly(&unshare);
	}
	s2_space_events(&w.guest.space, &after);
	ck_assert_mem_eq(&before, &after, sizeof(before));
	ck_assert_uint_eq(w.guest.view.broken.len, 0);
	world_finish();
}
END_TEST

/* A folio is a hole while a page of it is shared; those next to it need not wait for it. */
START_TEST(whole_leaves_beside_a_hole)
{
	start_guest(S2_REJOIN_IDLE, false);
	if (_i != 0) {
		world_finish();
		arm64.features = S2_ARM64_CONT;
		world_start(&arm64);
		world_move(S2_DONATE, FIRST, w.page_count);
		w.engine.backend = NULL;
	}
	world_move(S2_SHARE, FIRST + 3, 1);
	world_move(S2_SHARE, FIRST + 1000, 1);
	world_move(S2_UNSHARE, FIRST + 1000, 1);
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 1);
	ck_assert(s2_view_rejoin(&w.guest.view, w.runs, w.run_count, 0));
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 2);
	world_move(S2_UNSHARE, FIRST + 3, 1);
	ck_assert(s2_view_rejoin(&w.guest.view, w.runs, w.run_count, 0));
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 3);
	/* Two blocks of one folio, the first with a hole: the second is one leaf again at once. */
	world_move(S2_SHARE, FIRST + 512, 1024);
	world_move(S2_UNSHARE, FIRST + 513, 1023);
	ck_assert(s2_view_rejoin(&w.guest.view, w.runs, w.run_count, 0));
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 2);
	world_move(S2_UNSHARE, FIRST + 512, 1);
	ck_assert(s2_view_rejoin(&w.guest.view, w.runs, w.run_count, 0));
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 3);
	world_finish();
}
END_TEST

/* The same with a request over both blocks, each of which was in pieces. */
START_TEST(whole_leaves_of_one_request)
{
	struct s2_request request =
		world_request(S2_UNSHARE, FIRST + 513, 1023, S2_PAGE_SIZE, S2_EXACT);

	arm64.rejoin = _i / 2 == 0 ? S2_REJOIN_AT_ONCE : S2_REJOIN_IDLE;
	arm64.equal_rights = false;
	arm64.features = _i % 2 == 0 ? S2_ARM64_CONT : 0;
	world_start(&arm64);
	world_move(S2_DONATE, FIRST, w.page_count);
	w.engine.backend = NULL;
	for (unsigned i = 513; i < 1536; i += 3) {
		world_move(S2_SHARE, FIRST + i, 1);
	}
	world_move(S2_SHARE, FIRST + 512, 1);
	do_quickly(&request);
	world_check();
	ck_assert(s2_view_rejoin(&w.guest.view, w.runs, w.run_count, 0));
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 2);
	world_finish();
}
END_TEST

/* Idle work in steps: each looks at so much and no more, and a change in between is not forgotten. */
START_TEST(rejoin_in_steps)
{
	unsigned steps = 0;

	start_guest(S2_REJOIN_IDLE, false);
	for (unsigned i = 1; i < 1536; i += 64) {
		world_move(S2_SHARE, FIRST + i, 1);
		world_move(S2_UNSHARE, FIRST + i, 1);
	}
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 0);
	/* The end is two pages behind the last block's beginning: one step there brings all of it. */
	while (!s2_view_rejoin(&w.guest.view, w.runs, w.run_count, M2 / 4)) {
		steps++;
		world_check();
		ck_assert_uint_ge(world_leaves(&w.guest, 21), (steps + 3) / 4);
		if (steps == 2) {
			world_move(S2_SHARE, FIRST + 5, 1);
			world_move(S2_UNSHARE, FIRST + 5, 1);
			ck_assert_uint_eq(world_leaves(&w.guest, 21), 0);
			steps = 3;
			break;
		}
	}
	ck_assert_uint_eq(steps, 3);
	ck_assert_uint_eq(w.guest.view.broken.start.val, (FIRST + 5) * S2_PAGE_SIZE);
	for (steps = 1; !s2_view_rejoin(&w.guest.view, w.runs, w.run_count, S2_PAGE_SIZE);
	     steps++) {
		ck_assert_uint_lt(steps, 1600);
	}
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 3);
	ck_assert(s2_view_rejoin(&w.guest.view, w.runs, w.run_count, S2_PAGE_SIZE));
	world_finish();
}
END_TEST

/* Neighbouring folios that would fit one leaf stay two: their memory is freed apart. */
START_TEST(leaves_keep_to_folios)
{
	start_guest(S2_REJOIN_AT_ONCE, false);
	for (unsigned i = 0; i < 3; i++) {
		w.runs[i].folio_order = 9;
	}
	w.runs[1].len = M2;
	memmove(&w.runs[3], &w.runs[2], (w.run_count - 2) * sizeof(w.runs[0]));
	w.runs[2] = w.runs[1];
	w.runs[2].gpa.val += M2;
	w.runs[2].hpa.val += M2;
	w.engine.run_count = ++w.run_count;
	w.runs[3].folio_order = SMALL_ORDER;
	ck_assert_int_eq(s2_split(&w.guest.space, pages(FIRST, w.page_count), 12,
				  &w.guest.view.gather, NULL),
			 S2_OK);
	world_move(S2_SHARE, FIRST, w.page_count);
	world_move(S2_UNSHARE, FIRST, w.page_count);
	ck_assert_uint_eq(world_leaves(&w.guest, 21), 3);
	world_finish();
}
END_TEST

/* One page of a block, of a group and of a small folio: all others stay as they are, for both. */
START_TEST(poison_takes_one_page)
{
	static const unsigned at[] = {0, 200, 511, 512, 1400, 1535, 1536, 1540};
	struct world_config config = {.fmt = _i % 2 == 0 ? &s2_fmt_arm64 : &s2_fmt_mock,
				      .features =
					      _i % 2 == 0 ? S2_ARM64_CONT : S2_MOCK_FLUSH_ON_MAP,
				      .shape = SHAPE_LARGE,
				      .rejoin = (enum s2_rejoin)(_i / 2 % 3)};

	for (unsigned n = 0; n < 8; n++) {
		world_start(&config);
		if (_i < 6) {
			world_move(S2_DONATE, FIRST, w.page_count);
			world_move(S2_SHARE, FIRST + 100, 1400);
			ck_assert_int_eq(s2_pin(&w.pins, &w.track, pages(FIRST + 150, 100)), S2_OK);
		}
		ck_assert_int_eq(world_poison(FIRST + at[n], 1), S2_OK);
		for (unsigned i = 0; i < w.page_count; i++) {
			EXPECT_PAGE((page_at(&w.track, FIRST + i).state == S2_POISONED) ==
					    (i == at[n]),
				    i);
		}
		/* Once more, and the page is the host's no more either. */
		ck_assert_int_eq(world_poison(FIRST + at[n], 1), S2_OK);
		world_finish();
	}
}
END_TEST

START_TEST(poison_of_what_is_not_there)
{
	start_guest(S2_REJOIN_NEVER, false);
	ck_assert_int_eq(world_poison(FIRST - 1, 1), S2_ERR_RANGE);
	ck_assert_int_eq(world_poison(FIRST, 0), S2_ERR_INVAL);
	ck_assert_int_eq(s2_convert_poison(&w.engine, s2_range(s2_gpa(1), 4096)), S2_ERR_ALIGN);
	w.engine.run_count--;
	ck_assert_int_eq(s2_convert_poison(&w.engine, pages(FIRST + w.page_count - 1, 1)),
			 S2_ERR_INVAL);
	ck_assert_int_eq(page_at(&w.track, FIRST + w.page_count - 1).state, S2_SECURE);
	w.engine.run_count++;
	world_finish();
}
END_TEST

/* A request for pages whose place in the host's memory is not known. */
START_TEST(pages_in_no_run)
{
	struct s2_request request =
		world_request(S2_SHARE, FIRST + 1590, 10, S2_PAGE_SIZE, S2_EXACT);
	struct s2_job job = {.phase = S2_JOB_IDLE};

	start_guest(S2_REJOIN_NEVER, false);
	w.engine.run_count--;
	ck_assert_int_eq(world_begin(&request, &job), S2_ERR_INVAL);
	w.engine.run_count++;
	w.runs[w.run_count - 1].len++;
	ck_assert_int_eq(s2_convert_start(&w.engine, &request, &job), S2_ERR_INVAL);
	w.runs[w.run_count - 1].len--;
	world_finish();
}
END_TEST

/* What may fail for want of memory. */
static enum s2_err attempt(unsigned what, struct s2_job *job)
{
	struct s2_request share =
		world_request(S2_SHARE, FIRST + 100, 1440, S2_GRAIN_FOLIO, S2_EXACT);
	struct s2_request unshare = share;
	enum s2_err err;

	if (what == 2) {
		return s2_convert_poison(&w.engine, pages(FIRST + 700, 3));
	}
	unshare.move = S2_UNSHARE;
	w.move = what == 0 ? S2_SHARE : S2_UNSHARE;
	err = s2_convert_start(&w.engine, what == 0 ? &share : &unshare, job);
	return err == S2_OK ? s2_convert_resume(&w.engine, job) : err;
}

/*
 * Every allocation fails once. Before anything is under way nothing is changed; afterwards the views show
 * less than they are to show, and resuming brings the rest.
 */
START_TEST(no_memory)
{
	struct world_config config = {.fmt = _i % 2 == 0 ? &s2_fmt_arm64 : &s2_fmt_mock,
				      .features = _i % 2 == 0 ? 0 : S2_MOCK_FLUSH_ON_MAP,
				      .shape = SHAPE_LARGE,
				      .rejoin = (enum s2_rejoin)(_i / 2 % 3)};
	unsigned what = (unsigned)_i / 6;
	enum s2_err err = S2_ERR_NOMEM;

	for (size_t n = 1; err == S2_ERR_NOMEM; n++) {
		struct s2_job job = {.phase = S2_JOB_IDLE};
		struct picture before;

		world_start(&config);
		world_move(S2_DONATE, FIRST, w.page_count);
		if (what == 1) {
			world_move(S2_SHARE, FIRST + 100, 1440);
		}
		before = picture_take(&w.track);
		test_env_fail(&w.env, n);
		err = attempt(what, &job);
		ck_assert(err == S2_OK || err == S2_ERR_NOMEM);
		w.slack = err == S2_ERR_NOMEM;
		world_check();
		if (err == S2_ERR_NOMEM && job.phase == S2_JOB_IDLE) {
			picture_expect(&before, &w.track);
		}
		ck_assert(n > 1 || err == S2_ERR_NOMEM);
		test_env_fail(&w.env, 0);
		ck_assert_int_eq(world_resume(&job), S2_OK);
		picture_free(&before);
		world_finish();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("view");
	TCase *tcase = tcase_create("view");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, bad_views);
	tcase_add_loop_test(tcase, a_block_survives, 0, S2_REJOIN_COUNT);
	tcase_add_loop_test(tcase, equal_rights_never_split, 0, S2_REJOIN_COUNT);
	tcase_add_loop_test(tcase, whole_leaves_beside_a_hole, 0, 2);
	tcase_add_loop_test(tcase, whole_leaves_of_one_request, 0, 4);
	tcase_add_test(tcase, rejoin_in_steps);
	tcase_add_test(tcase, leaves_keep_to_folios);
	tcase_add_loop_test(tcase, poison_takes_one_page, 0, 12);
	tcase_add_test(tcase, poison_of_what_is_not_there);
	tcase_add_test(tcase, pages_in_no_run);
	tcase_add_loop_test(tcase, no_memory, 0, 18);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
