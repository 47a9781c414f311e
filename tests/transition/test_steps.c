/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine is stopped wherever it can be: at each call of the back end, in each way; at each call of
 * the Ultravisor; at each allocation. What holds at a step is looked at by the hooks (watch.c); here,
 * that a job goes on from any stop to its end, and from any stop before the first page to its beginning.
 */
#include "cases.h"

/* What is done about a job that has stopped. */
enum then {
	THEN_RESUME = 0,
	THEN_BACK = 1,
	THEN_STOP = 2,
	THEN_COUNT
};

/* What stops it. */
enum stopper {
	STOP_AGAIN = 0,
	STOP_BUSY = 1,
	STOP_FAILED = 2,
	STOP_PARTIAL = 3, /* a page less than all, and OK */
	STOP_POISON = 4,
	STOP_UV_BUSY = 5,
	STOP_UV_ERROR = 6,
	STOP_ALLOC = 7,
	STOP_COUNT
};

static void order(enum stopper stopper, unsigned n)
{
	static const enum s2_reply reply[STOP_COUNT] = {[STOP_AGAIN] = S2_REPLY_AGAIN,
							[STOP_BUSY] = S2_REPLY_BUSY,
							[STOP_FAILED] = S2_REPLY_FAILED,
							[STOP_PARTIAL] = S2_REPLY_OK,
							[STOP_POISON] = S2_REPLY_POISON};

	w.order = (struct order){.skip = n, .armed = true, .reply = reply[stopper]};
	if (stopper == STOP_PARTIAL) {
		w.order.done = 1 + n % 3;
	}
	if (stopper == STOP_UV_BUSY || stopper == STOP_UV_ERROR) {
		w.order.by_uv = true;
		w.order.nth.skip = n;
		/* Twice, because a reclaim that is refused has another way. */
		w.order.nth.count = stopper == STOP_UV_BUSY ? 1 : 2;
		w.order.nth.cc = stopper == STOP_UV_BUSY ? S2_UVC_CC_BUSY : S2_UVC_CC_ERROR;
		w.order.nth.rc = S2_UVC_RC_NOMEM;
	}
	if (stopper == STOP_ALLOC) {
		w.order.armed = false;
		w.alloc_fail = w.alloc_calls + n + 1;
	}
}

/* Nothing fails any longer. Did what was ordered happen? */
static bool end_order(enum stopper stopper, unsigned n)
{
	bool left = stopper == STOP_ALLOC ? w.alloc_calls < w.alloc_fail
		    : w.order.by_uv	  ? w.order.nth.count != 0 && w.order.nth.skip != 0
					  : w.order.armed;

	(void)n;
	w.order = (struct order){.armed = false};
	w.alloc_fail = 0;
	return !left;
}

static void go_on(int slot)
{
	while (act_resume(slot) != S2_OK) {
		watch_window();
	}
}

/* One request, stopped at the n-th occasion. False: there are not so many. */
static bool stop_at(struct s2_request request, enum stopper stopper, unsigned n, enum then then)
{
	enum s2_err err;
	bool happened;

	order(stopper, n);
	err = act_convert(1, request);
	watch_window();
	if (then != THEN_RESUME && w.o.job[1].busy) {
		/* Want of memory on the way back, too: it waits, and the next time it gets there. */
		if ((then == THEN_BACK ? act_back(1) : act_stop(1)) == S2_ERR_NOMEM) {
			watch_window();
		}
	}
	happened = end_order(stopper, n);
	if (then == THEN_BACK && w.o.job[1].busy) {
		act_back(1);
	} else if (then == THEN_STOP && w.o.job[1].busy) {
		act_stop(1);
	}
	watch_window();
	go_on(1);
	watch_window();
	must(err != S2_ERR_NOMEM || happened);
	return happened;
}

static void stop_everywhere(struct s2_request request, enum stopper stopper, enum then then)
{
	struct s2_range range = request.range;
	unsigned start = (unsigned)((range.start.val >> S2_PAGE_LG2) - GPA_FIRST);
	unsigned count = (unsigned)(range.len >> S2_PAGE_LG2);
	bool happened = true;

	/* Slow processors stop at every third occasion. */
	for (unsigned n = 0; happened; n += only_few() ? 3 : 1) {
		prepare(request.move, start, count);
		happened = stop_at(request, stopper, n, then);
		restore_or_restart();
	}
}

static void in_every_way(struct s2_request request)
{
	for (unsigned stopper = 0; stopper < STOP_COUNT; stopper++) {
		bool uv = stopper == STOP_UV_BUSY || stopper == STOP_UV_ERROR;

		if (uv && w.choice.behind != BEHIND_UV) {
			continue;
		}
		/* A page with an error is for good, and a new world takes its time. */
		for (unsigned then = 0; then < (stopper == STOP_POISON ? 1u : THEN_COUNT); then++) {
			stop_everywhere(request, (enum stopper)stopper, (enum then)then);
		}
	}
}

static void each_move(const struct spot *spot, uint64_t grain, enum s2_policy policy)
{
	for (unsigned move = 0; move < S2_MOVE_COUNT; move++) {
		struct s2_request request =
			request_of((enum s2_move)move, spot->start, spot->count, grain, policy);

		request.guest_offers_grain = true;
		in_every_way(request);
		watch_settled();
	}
}

IN_WORLDS(pages, true)
{
	act_populate();
	w.backend.max_len = K4;
	each_move(&spots[0], K4, S2_EXACT);
}

IN_WORLDS(small_folios, true)
{
	act_populate();
	each_move(&spots[3], K16, S2_WIDEN);
}

IN_WORLDS(large_folios, true)
{
	act_populate();
	w.backend.max_len = 5 * S2_PAGE_SIZE;
	each_move(&spots[2], S2_GRAIN_FOLIO, S2_WIDEN);
}

IN_WORLDS(whole_grains, true)
{
	act_populate();
	w.backend.max_len = K16;
	each_move(&spots[1], K64, S2_REFUSE);
}

IN_WORLDS(two_megabytes, true)
{
	struct s2_request request = request_of(S2_EXPORT, 100, 3, M2, S2_WIDEN);

	act_populate();
	w.backend.max_len = 128 * S2_PAGE_SIZE;
	stop_everywhere(request, STOP_AGAIN, THEN_RESUME);
	stop_everywhere(request, STOP_PARTIAL, THEN_STOP);
	stop_everywhere(request, STOP_ALLOC, THEN_BACK);
	request.move = S2_SHARE;
	request.guest_offers_grain = true;
	stop_everywhere(request, STOP_BUSY, THEN_BACK);
	stop_everywhere(request, STOP_ALLOC, THEN_RESUME);
}

/*
 * In a world that is new to all of it there are no tables to be found: what a view is to get may be late,
 * and has to come all the same, with the job's end, whatever that is.
 */
static void start_anew(void)
{
	struct choice choice = w.choice;

	world_finish();
	world_start(&choice);
}

static void without_tables(enum s2_move move, enum then then)
{
	bool happened = true;

	for (unsigned n = 0; happened; n += only_few() ? 5 : 1) {
		start_anew();
		if (move != S2_DONATE) {
			act_move(S2_DONATE, 0, ORACLE_PAGES);
		}
		if (move == S2_IMPORT) {
			act_move(S2_EXPORT, 0, ORACLE_PAGES);
		}
		happened = stop_at(request_of(move, 0, 530, S2_GRAIN_FOLIO, S2_EXACT), STOP_ALLOC,
				   n, then);
		watch_settled();
	}
}

IN_WORLDS(no_tables, true)
{
	static const enum s2_move moves[] = {S2_DONATE, S2_SHARE, S2_EXPORT, S2_IMPORT, S2_RECLAIM};

	for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		for (unsigned then = 0; then < THEN_COUNT; then++) {
			without_tables(moves[i], (enum then)then);
		}
	}
}

TCase *case_steps(void)
{
	TCase *tcase = tcase_create("stopped at every step");

	tcase_add_test(tcase, pages);
	tcase_add_test(tcase, small_folios);
	tcase_add_test(tcase, large_folios);
	tcase_add_test(tcase, whole_grains);
	tcase_add_test(tcase, two_megabytes);
	tcase_add_test(tcase, no_tables);
	return tcase;
}
