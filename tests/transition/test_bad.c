/* SPDX-License-Identifier: BSD-2-Clause */
/* What nobody should ask for, asked a million times; and what must come of it. */
#include "cases.h"

static uint64_t some_address(void)
{
	uint64_t page = (GPA_FIRST + world_below(ORACLE_PAGES)) << S2_PAGE_LG2;

	switch (world_below(12)) {
	case 0:
		return world_random() << 16 ^ world_random();
	case 1:
		return page + 1 + world_below(4095);
	case 2:
		return UINT64_MAX - world_below(20000);
	case 3:
		return (UINT64_MAX << S2_PAGE_LG2) - (uint64_t)world_below(4) * S2_PAGE_SIZE;
	case 4:
		/* Somebody else's: before the first page, or behind the last. */
		return world_below(2) == 0
			       ? (GPA_FIRST - 1 - world_below(8)) << S2_PAGE_LG2
			       : (GPA_FIRST + ORACLE_PAGES + world_below(8)) << S2_PAGE_LG2;
	case 5:
		return hpa_of(world_below(ORACLE_PAGES));
	default:
		return page;
	}
}

static uint64_t some_length(void)
{
	switch (world_below(12)) {
	case 0:
		return 0;
	case 1:
		return world_random();
	case 2:
		return UINT64_MAX - world_below(8192);
	case 3:
		return world_below(20000);
	case 4:
		return UINT64_C(1) << world_below(64);
	case 5:
		return (uint64_t)ORACLE_PAGES * S2_PAGE_SIZE;
	default:
		return (1 + world_below(6)) * S2_PAGE_SIZE;
	}
}

static struct s2_request bad_request(void)
{
	struct s2_request request = {
		.move = (enum s2_move)world_below(S2_MOVE_COUNT),
		.range = s2_range(s2_gpa(some_address()), some_length()),
		.grain = grains[world_below(3)],
		.policy = (enum s2_policy)world_below(S2_POLICY_COUNT),
	};

	switch (world_below(24)) {
	case 0:
		request.grain = world_random();
		break;
	case 1:
		request.grain = UINT64_C(1) << world_below(64);
		break;
	case 2:
		request.move = (enum s2_move)(S2_MOVE_COUNT + world_below(100));
		break;
	case 3:
		request.policy = (enum s2_policy)(S2_POLICY_COUNT + world_below(100));
		break;
	default:
		break;
	}
	return request;
}

/* A guest's own call to the Ultravisor, of what is not its own or is no page. */
static void bad_call(void)
{
	uint64_t addr = some_address();
	uint16_t cmd = world_below(2) == 0 ? S2_UVC_SHARE : S2_UVC_UNSHARE;
	union s2_uvcb block;
	uint64_t offset = addr - (GPA_FIRST << S2_PAGE_LG2);

	if (w.choice.behind != BEHIND_UV ||
	    (offset < 3u << 20 && (addr & (S2_PAGE_SIZE - 1)) == 0)) {
		return;
	}
	s2_uvcb_begin(&block, cmd);
	s2_uvcb_put64(&block, S2_UVCB_GADDR, addr);
	must(s2_uvc(&w.uv, w.uv_backend.handle, &block, sizeof(block)) == S2_UVC_CC_ERROR);
	must(s2_uvcb_get(&block, S2_UVCB_RC, 2) ==
	     (offset < 3u << 20 ? S2_UVC_RC_ALIGN : S2_UVC_RC_GADDR));
}

/* What was shown and reclaimed cannot be donated: the job names the page, and is given up. */
static void end_job(int slot)
{
	if (w.o.job[slot].busy && act_resume(slot) != S2_OK) {
		must(behind_refuses(oracle_next(&w.o, slot, 0), w.job[slot].request.move));
		must_err(act_stop(slot), S2_OK);
	}
}

static void bad_one(void)
{
	int slot = (int)world_below(2);

	switch (world_below(16)) {
	case 0:
		bad_call();
		return;
	case 1:
		/* A job that is left standing about, in the way of all others; and its end. */
		if (w.o.job[3].busy) {
			end_job(3);
		}
		act_start(3, bad_request());
		return;
	case 2:
		/* The job is busy: nothing else may be begun with it. */
		act_start(3, bad_request());
		return;
	default:
		break;
	}
	act_convert(slot, bad_request());
	end_job(slot);
}

IN_WORLDS(a_million, true)
{
	const char *text = getenv("STAGE2_MODEL_OPS");
	unsigned ops = text != NULL ? (unsigned)strtoul(text, NULL, 0) : 100000;

	w.random = flat_seed();
	act_populate();
	w.quiet = true;
	for (unsigned i = 0; i < 5 * ops; i++) {
		bad_one();
		if (i % 8192 == 0) {
			watch_settled();
		}
	}
	end_job(3);
	w.quiet = false;
}

IN_WORLDS(answers_that_cannot_be, true)
{
	static const struct s2_answer answers[] = {
		{S2_REPLY_OK, UINT64_MAX},     {S2_REPLY_OK, 17 * S2_PAGE_SIZE},
		{S2_REPLY_OK, 4095},	       {S2_REPLY_AGAIN, 4097},
		{S2_REPLY_COUNT, 0},	       {S2_REPLY_COUNT, S2_PAGE_SIZE},
		{(enum s2_reply)1000, 1 << 16}};

	act_populate();
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		w.order = (struct order){.armed = true, .wild = true, .answer = answers[i]};
		must_err(act_convert(1, request_of(S2_EXPORT, 512, 16, K64, S2_EXACT)),
			 S2_ERR_BACKEND);
		must(w.job[1].at.val == page_range(512, 1).start.val);
		must(w.job[1].phase == S2_JOB_STARTED);
		watch_settled();
		must_err(act_back(1), S2_OK);
		watch_settled();
	}
}

/* The page that could not be converted is named, whichever it is. */
IN_WORLDS(the_page_that_failed, true)
{
	act_populate();
	for (unsigned i = 0; i < 16; i++) {
		w.order = (struct order){.armed = true, .reply = S2_REPLY_FAILED, .done = i};
		must_err(act_convert(1, request_of(S2_EXPORT, 512, 16, K64, S2_EXACT)),
			 S2_ERR_BACKEND);
		must(w.job[1].at.val == page_range(512 + i, 1).start.val);
		must(w.job[1].reply == S2_REPLY_FAILED);
		must_err(act_resume(1), S2_OK);
		watch_window();
		/* On the way back it is the host's doing. */
		act_host_scribbles(512 + i);
		must_err(act_convert(1, request_of(S2_IMPORT, 512, 16, K64, S2_EXACT)),
			 S2_ERR_BACKEND);
		must(w.job[1].at.val == page_range(512 + i, 1).start.val);
		if (w.choice.behind == BEHIND_UV) {
			must(w.uv_backend.last.rc == S2_UVC_RC_SEAL);
			must(w.uv_backend.last.gpa.val == w.job[1].at.val);
		}
		watch_window();
		act_host_repairs(512 + i);
		must_err(act_resume(1), S2_OK);
		watch_window();
	}
}

/* With a view the engine has to know where pages are; nothing changes where it does not. */
IN_WORLDS(runs_that_are_wrong, true)
{
	struct s2_request request = request_of(S2_EXPORT, 565, 1, K4, S2_EXACT);
	struct s2_request folio = request_of(S2_EXPORT, 512, 4, S2_GRAIN_FOLIO, S2_EXACT);
	struct s2_run good = w.run[1];

	act_populate();
	w.engine.run_count = 3;
	must_err(s2_convert_start(&w.engine, &request, &w.job[1]), S2_ERR_INVAL);
	must_err(s2_convert_poison(&w.engine, request.range), S2_ERR_INVAL);
	w.engine.runs = NULL;
	must_err(s2_convert_start(&w.engine, &request, &w.job[1]), S2_ERR_INVAL);
	w.engine.runs = w.run;
	w.engine.run_count = w.run_count;
	w.run[1].folio_order = S2_FOLIO_ORDER_MAX + 1;
	must_err(s2_convert_start(&w.engine, &folio, &w.job[1]), S2_ERR_INVAL);
	w.run[1] = good;
	watch_settled();
	must_err(act_convert(1, folio), S2_OK);
}

TCase *case_bad(void)
{
	TCase *tcase = tcase_create("bad input");

	tcase_add_test(tcase, a_million);
	tcase_add_test(tcase, answers_that_cannot_be);
	tcase_add_test(tcase, the_page_that_failed);
	tcase_add_test(tcase, runs_that_are_wrong);
	return tcase;
}
