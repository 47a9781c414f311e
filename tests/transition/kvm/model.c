/* SPDX-License-Identifier: BSD-2-Clause */
/* Random requests, and what the oracle expects of them. */
#include "trial.h"

#define FOLIO_PAGES 512u

unsigned below(unsigned n)
{
	return flat_below(n);
}

/* Some length: mostly short, now and then as long as a large folio. */
static unsigned random_count(void)
{
	static const unsigned most[] = {1, 1, 4, 16, 16, 64};

	return below(20) == 0 ? 1 + below(FOLIO_PAGES)
			      : 1 + below(most[below(sizeof(most) / sizeof(*most))]);
}

static enum s2_move random_move(void)
{
	const unsigned n = below(40);

	if (t.expected->seals && n < 16) {
		return n < 8 ? S2_EXPORT : S2_IMPORT;
	}
	return n == 39 ? S2_DONATE : n % 5 < 3 ? S2_SHARE : S2_UNSHARE;
}

/* Pages for a move: there is mostly something to do, and nothing that makes the request an error. */
static struct s2_range aim(enum s2_move move)
{
	unsigned start = below(ORACLE_PAGES);
	unsigned count = random_count();
	unsigned end;

	for (unsigned i = 0; i < 256 && !rests(start, flat_from(move)); i++) {
		start = (start + 1) % ORACLE_PAGES;
	}
	if (below(4) == 0) {
		start &= ~15u;
		count = 16;
	}
	end = start + count < ORACLE_PAGES ? start + count : ORACLE_PAGES;
	count = 1;
	while (start + count < end && (below(64) == 0 || rests(start + count, flat_from(move)) ||
				       rests(start + count, flat_to(move)))) {
		count++;
	}
	return pages_range(start, count);
}

static void spoil(struct s2_request *request)
{
	switch (below(6)) {
	case 0:
		request->range.len = 0;
		break;
	case 1:
		request->range.start.val += 0x800;
		break;
	case 2:
		request->range.start.val = UINT64_MAX - S2_PAGE_SIZE + 1;
		request->range.len = 2 * S2_PAGE_SIZE;
		break;
	case 3:
		request->range.start.val = 0; /* no RAM there */
		break;
	case 4:
		request->grain = 3 * S2_PAGE_SIZE;
		break;
	default:
		request->policy = S2_POLICY_COUNT;
		break;
	}
}

static struct s2_request random_request(void)
{
	static const uint64_t grains[] = {S2_PAGE_SIZE, UINT64_C(1) << 14, UINT64_C(1) << 16,
					  UINT64_C(1) << 21, S2_GRAIN_FOLIO};
	struct s2_request request = {.move = random_move(),
				     .grain = grains[below(sizeof(grains) / sizeof(*grains))],
				     .policy = (enum s2_policy)below(S2_POLICY_COUNT),
				     .guest_offers_grain = below(4) != 0};

	request.range = aim(request.move);
	if (request.policy == S2_REFUSE && below(2) == 0) {
		/* Fills a grain, of whatever size. */
		unsigned start;
		unsigned end;

		oracle_grain(&t.o, &request, page_of(request.range.start), &start, &end);
		request.range = pages_range(start, end - start);
	}
	if (below(30) == 0) {
		spoil(&request);
	}
	return request;
}

static void order_stop(void)
{
	static const enum s2_reply replies[] = {S2_REPLY_OK, S2_REPLY_AGAIN, S2_REPLY_BUSY,
						S2_REPLY_FAILED};

	t.armed = true;
	t.skip = below(3);
	t.pages = below(4) == 0 ? below(64) : below(4);
	t.reply = replies[below(sizeof(replies) / sizeof(*replies))];
}

/* What goes wrong: the back end stops, or the guest converts a page of the request on its own. */
static void disturb(int slot)
{
	const enum s2_move move = t.o.job[slot].request.move;
	const unsigned what = below(6);

	if (what < 2) {
		order_stop();
	} else if (what == 2 && !t.expected->repeats && (move == S2_SHARE || move == S2_UNSHARE)) {
		unsigned page = oracle_next(&t.o, slot, below(ORACLE_PAGES));

		page = page == ORACLE_PAGES ? oracle_next(&t.o, slot, 0) : page;
		if (page != ORACLE_PAGES) {
			guest_moves(move, page);
			t.ahead = page;
		}
	}
}

static enum s2_err go(int slot, const struct s2_request *request)
{
	enum s2_err err;

	t.running = slot;
	t.answered = S2_REPLY_OK;
	err = request ? s2_convert(&t.engine, request, &t.job[slot])
		      : s2_convert_resume(&t.engine, &t.job[slot]);
	t.running = -1;
	return err;
}

/* Where the job waits, and why. */
static void look_at_job(int slot, enum s2_err err)
{
	const struct s2_job *job = &t.job[slot];
	const unsigned at = oracle_next(&t.o, slot, 0);

	check(LOOK_RESUME, at, err == oracle_err(t.answered) && job->reply == t.answered);
	check(LOOK_RESUME, at,
	      job->phase == (t.o.job[slot].confirmed ? S2_JOB_PARTIAL : S2_JOB_STARTED));
	check(LOOK_RESUME, at, at < ORACLE_PAGES && page_of(job->at) == at);
	look_at_states();
	if (t.ahead != NO_PAGE) {
		check(LOOK_REFUSAL, at, err == S2_ERR_BACKEND && at == t.ahead);
		guest_moves(job->request.move == S2_SHARE ? S2_UNSHARE : S2_SHARE, at);
		t.ahead = NO_PAGE;
	}
	if (job->request.move == S2_SHARE) {
		look_at_waiting(at);
	}
}

static bool goes_back(int slot)
{
	const enum s2_err err = s2_convert_back(&t.engine, &t.job[slot]);

	if (t.o.job[slot].confirmed) {
		check(LOOK_BACK, NO_PAGE, err == S2_ERR_STATE);
		return false;
	}
	check(LOOK_BACK, NO_PAGE, err == S2_OK && t.job[slot].phase == S2_JOB_IDLE);
	oracle_back(&t.o, slot);
	return true;
}

static void stops(int slot)
{
	const enum s2_err err = s2_convert_stop(&t.engine, &t.job[slot]);

	check(LOOK_STOP, NO_PAGE, err == S2_OK && t.job[slot].phase == S2_JOB_IDLE);
	oracle_stop(&t.o, slot);
}

static void carry_out(int slot, struct s2_request request, bool calm);

/* The job waits. Until it has ended: others come in between, it goes on, goes back, or is given up. */
static void settle(int slot, enum s2_err err)
{
	while (err != S2_OK) {
		look_at_job(slot, err);
		if (slot == 0 && below(3) == 0) {
			carry_out(1, random_request(), true);
		}
		if (below(3) == 0 && goes_back(slot)) {
			return;
		}
		if (below(5) == 0) {
			stops(slot);
			return;
		}
		if (below(3) == 0) {
			order_stop();
		}
		err = go(slot, NULL);
		check(LOOK_RESUME, NO_PAGE, err == oracle_err(t.answered));
	}
	check(LOOK_ERR, NO_PAGE, oracle_next(&t.o, slot, 0) == ORACLE_PAGES);
	check(LOOK_ERR, NO_PAGE, t.job[slot].phase == S2_JOB_IDLE);
	oracle_finish(&t.o, slot);
}

/* One request from its start to its end. */
static void carry_out(int slot, struct s2_request request, bool calm)
{
	const enum s2_err want = oracle_start(&t.o, slot, &request);
	const struct oracle_job *job = &t.o.job[slot];
	enum s2_err err;

	t.request = request;
	if (!calm) {
		t.step++;
		t.armed = false;
		t.ahead = NO_PAGE;
		if (want == S2_OK) {
			disturb(slot);
		}
	}
	err = go(slot, &request);
	t.got = err;
	t.want = want != S2_OK ? want : oracle_err(t.answered);
	check(want == S2_ERR_HELD ? LOOK_HELD : LOOK_ERR, NO_PAGE, t.got == t.want);
	if (want != S2_OK) {
		check(LOOK_ERR, NO_PAGE, t.job[slot].phase == S2_JOB_IDLE);
		return;
	}
	settle(slot, err);
	look_at_page(job->scope_start);
	look_at_page(job->start);
	look_at_page(job->end - 1);
	look_at_page(job->scope_end - 1);
	guest_verifies_what_is_there(job->scope_start, job->scope_end);
}

/* Somebody on the host holds a page, or lets go. */
static void hold_or_let_go(void)
{
	const unsigned page = below(ORACLE_PAGES);
	const enum s2_err want = oracle_pin(&t.o, page, 1);

	check(LOOK_HELD, page, s2_pin(&t.pins, t.track, pages_range(page, 1)) == want);
	t.o.page[page].pins += want == S2_OK;
	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		if (t.o.page[i].pins != 0 && below(3) == 0) {
			check(LOOK_HELD, i, s2_unpin(&t.pins, pages_range(i, 1)) == S2_OK);
			t.o.page[i].pins--;
		}
	}
}

/* What guest and host do with the memory between two requests. */
static void use(void)
{
	const unsigned start = below(ORACLE_PAGES);
	const unsigned count = 1 + below(8);
	const unsigned end = start + count < ORACLE_PAGES ? start + count : ORACLE_PAGES;

	for (unsigned i = start; i < end; i++) {
		look_at_page(i);
		if (rests(i, S2_SHARED) && !t.o.flat.page[i].widened) {
			host_writes(i);
		}
	}
	guest_verifies_what_is_there(start, end);
	guest_fills_empty(0, ORACLE_PAGES);
	if (rests(start, S2_SECURE)) {
		guest_writes(start, 1);
	}
	if (below(3) == 0) {
		hold_or_let_go();
	}
}

static void look_at_all(void)
{
	look_at_states();
	look_at_counts();
	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		look_at_page(i);
	}
	guest_fills_empty(0, ORACLE_PAGES);
	guest_verifies_what_is_there(0, ORACLE_PAGES);
}

void model_run(unsigned requests)
{
	flat_random_state = flat_seed();
	look_at_all();
	/* So few that chance may leave something out: then some more. */
	for (unsigned i = 0; i < requests || (!looked_at_all() && i < 8 * requests); i++) {
		carry_out(0, random_request(), false);
		look_at_states();
		look_at_counts();
		use();
	}
	look_at_all();
}

/* One move for all pages that can make it. */
static void move_back(enum s2_move move)
{
	for (unsigned i = 0; i < ORACLE_PAGES;) {
		unsigned end = i;

		while (end < ORACLE_PAGES && rests(end, flat_from(move))) {
			end++;
		}
		if (end != i) {
			carry_out(0,
				  (struct s2_request){.move = move,
						      .range = pages_range(i, end - i),
						      .grain = UINT64_C(1) << 21},
				  true);
		}
		i = end + 1;
	}
}

void model_restore(void)
{
	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		while (t.o.page[i].pins != 0) {
			check(LOOK_HELD, i, s2_unpin(&t.pins, pages_range(i, 1)) == S2_OK);
			t.o.page[i].pins--;
		}
	}
	t.armed = false;
	move_back(S2_IMPORT);
	move_back(S2_UNSHARE);
	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		check(LOOK_STATE, i, rests(i, S2_SECURE));
	}
	look_at_all();
}
