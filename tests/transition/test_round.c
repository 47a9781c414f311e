/* SPDX-License-Identifier: BSD-2-Clause */
/* Round trips: every move at every grain by every policy, and what is read where meanwhile. */
#include "cases.h"

/* A request, then whatever it came to is undone page by page. */
static void out_and_back(enum s2_move move, const struct spot *spot, uint64_t grain,
			 enum s2_policy policy, bool offers)
{
	struct s2_request request = request_of(move, spot->start, spot->count, grain, policy);

	request.guest_offers_grain = offers;
	prepare(move, spot->start, spot->count);
	act_convert(1, request);
	watch_window();
	/* Once more: what is there already, and what is widened and asked for now. */
	if (act_start(1, request) == S2_OK) {
		act_resume(1);
	}
	watch_window();
}

/* What came out of it comes back at the same grain, by the same policy. */
static void back_at_grain(enum s2_move move, const struct spot *spot, uint64_t grain,
			  enum s2_policy policy)
{
	struct s2_request request = request_of(move, spot->start, spot->count, grain, policy);

	act_convert(1, request);
	watch_window();
}

static void at_grain(const struct spot *spot, uint64_t grain, enum s2_policy policy)
{
	for (unsigned move = 0; move < S2_MOVE_COUNT; move++) {
		out_and_back((enum s2_move)move, spot, grain, policy, false);
		restore_or_restart();
	}
	watch_settled();
	out_and_back(S2_SHARE, spot, grain, policy, true);
	back_at_grain(S2_UNSHARE, spot, grain, policy);
	restore_or_restart();
	out_and_back(S2_EXPORT, spot, grain, policy, true);
	back_at_grain(S2_IMPORT, spot, grain, policy);
	restore_or_restart();
}

IN_WORLDS(every_grain_and_policy, true)
{
	act_populate();
	for (unsigned g = 0; g < GRAIN_COUNT; g++) {
		for (unsigned policy = 0; policy < S2_POLICY_COUNT; policy++) {
			/* 2M is the same grain for most of them, and takes long. */
			unsigned every = only_few() ? 3 : grains[g] == M2 ? 2 : 1;

			for (unsigned s = only_few() ? g % 3 : 0; s < SPOT_COUNT; s += every) {
				at_grain(&spots[s], grains[g], (enum s2_policy)policy);
			}
		}
	}
}

IN_WORLDS(every_machine, false)
{
	act_populate();
	at_grain(&spots[1], S2_GRAIN_FOLIO, S2_EXACT);
	at_grain(&spots[2], K64, S2_WIDEN);
	at_grain(&spots[0], M2, S2_WIDEN);
}

/* What the guest wrote it reads after any way out and back, and the host reads it when offered. */
IN_WORLDS(contents, false)
{
	unsigned page = 530;
	uint64_t seed;

	act_populate();
	seed = w.o.page[page].seed;
	must(!host_reaches(page));
	act_move(S2_SHARE, page, 1);
	must(host_reaches(page) && page_holds(page, seed, STEP_GUEST, 1));
	must(act_host_writes(page));
	watch_settled();
	seed = w.o.page[page].seed;
	act_move(S2_UNSHARE, page, 1);
	must(!host_reaches(page) && guest_reaches(page, true));
	must(page_holds(page, seed, STEP_HOST, 1));
	must(act_guest_writes(page));
	seed = w.o.page[page].seed;
	act_move(S2_EXPORT, page, 1);
	must(host_reaches(page) && !page_is_plain(page));
	watch_settled();
	act_move(S2_IMPORT, page, 1);
	must(!host_reaches(page) && page_holds(page, seed, STEP_GUEST, 1));
	act_move(S2_RECLAIM, page, 1);
	must(host_reaches(page) && page_holds(page, 0, 0, 1));
	watch_settled();
	act_move(S2_DONATE, page, 1);
	must(!host_reaches(page) && guest_reaches(page, true) && page_holds(page, 0, 0, 1));
}

/* The same pages again and again: each seal is another one, and only the newest is taken back. */
IN_WORLDS(exported_again_and_again, true)
{
	static uint64_t old[4][512];
	unsigned page = 3;

	act_populate();
	for (unsigned i = 0; i < 4; i++) {
		act_move(S2_EXPORT, page, 1);
		memcpy(old[i], memory_of(page), S2_PAGE_SIZE);
		for (unsigned k = 0; k < i; k++) {
			must(memcmp(old[i], old[k], S2_PAGE_SIZE) != 0);
		}
		if (i == 3) {
			/* The host plays back what it has kept. */
			memcpy(memory_of(page), old[2], S2_PAGE_SIZE);
			w.o.page[page].scribbled = true;
			must_err(act_convert(0, request_of(S2_IMPORT, page, 1, K4, S2_EXACT)),
				 S2_ERR_BACKEND);
			must(w.job[0].at.val == page_range(page, 1).start.val);
			watch_settled();
			memcpy(memory_of(page), old[3], S2_PAGE_SIZE);
			w.o.page[page].scribbled = false;
			must_err(act_resume(0), S2_OK);
		} else {
			act_move(S2_IMPORT, page, 1);
		}
		watch_settled();
	}
}

/* Without a back end, and without views: nobody is called, and everything else is the same. */
IN_WORLDS(without_a_back_end, true)
{
	struct s2_job job = {.phase = S2_JOB_IDLE};
	struct s2_engine engine = {.track = &w.track};
	struct s2_request request = request_of(S2_DONATE, 0, 32, K16, S2_EXACT);
	struct s2_track_sum sum;

	must_err(s2_convert(&engine, &request, &job), S2_OK);
	must(job.phase == S2_JOB_IDLE && engine.count.calls == 0 && engine.count.converted == 32);
	must_err(s2_track_sum(&w.track, page_range(0, 32), &sum), S2_OK);
	must(sum.state[S2_SECURE] == 32 && sum.moving == 0);
	request.move = S2_RECLAIM;
	must_err(s2_convert(&engine, &request, &job), S2_OK);
}

TCase *case_round(void)
{
	TCase *tcase = tcase_create("round trips");

	tcase_add_test(tcase, every_grain_and_policy);
	tcase_add_test(tcase, every_machine);
	tcase_add_test(tcase, contents);
	tcase_add_test(tcase, exported_again_and_again);
	tcase_add_test(tcase, without_a_back_end);
	return tcase;
}
