/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of the engine, beside what the oracle expects of them; and what guest and host do. */
#include "world.h"

static unsigned first_page(struct s2_range range)
{
	uint64_t page = (range.start.val >> S2_PAGE_LG2) - GPA_FIRST;

	return page < ORACLE_PAGES ? (unsigned)page : 0;
}

/* S2_TRACE=1: every call of the engine, for replays. */
static void trace(const char *what, int slot, const struct s2_request *request, enum s2_err err)
{
	static const char *on;

	if (on == NULL) {
		on = getenv("S2_TRACE") != NULL ? "1" : "";
	}
	if (*on == '\0') {
		return;
	}
	fprintf(stderr, "%s job %d", what, slot);
	if (request != NULL) {
		fprintf(stderr, " %s pages %" PRId64 "+%" PRIu64 " grain %" PRIu64 "K %s%s",
			s2_move_name(request->move),
			(int64_t)(request->range.start.val >> S2_PAGE_LG2) - (int64_t)GPA_FIRST,
			request->range.len >> S2_PAGE_LG2, request->grain >> 10,
			s2_policy_name(request->policy),
			request->guest_offers_grain ? " offered" : "");
	}
	fprintf(stderr, ": %s (back end %d)\n", s2_strerror(err), (int)w.answered);
}

static void enter(int slot)
{
	must(!w.in_call);
	w.in_call = true;
	w.alloc_failed = false;
	w.running = slot;
	w.answered = S2_REPLY_OK;
}

static void leave(void)
{
	w.in_call = false;
	w.running = -1;
}

/* The window of the steps: the request, and the grains that it may widen to. */
static void watch_request(const struct s2_request *request)
{
	unsigned start = first_page(request->range);
	uint64_t count = request->range.len >> S2_PAGE_LG2;
	unsigned end = count < ORACLE_PAGES - start ? start + (unsigned)count : ORACLE_PAGES;

	if (request->policy == S2_WIDEN && request->grain <= K64) {
		start = start < 16 ? 0 : start - 16;
		end += 16;
	}
	watch_near(start, end);
}

enum s2_err act_start(int slot, struct s2_request request)
{
	static struct oracle before;
	enum s2_err want;
	enum s2_err err;

	if (w.alloc_fail != 0) {
		before = w.o;
	}
	want = w.o.job[slot].busy ? S2_ERR_BUSY : oracle_start(&w.o, slot, &request);
	watch_request(&request);
	enter(slot);
	err = s2_convert_start(&w.engine, &request, &w.job[slot]);
	leave();
	trace("start", slot, &request, err);
	if (err == S2_ERR_NOMEM && w.alloc_failed) {
		must(want == S2_OK);
		w.o = before;
		return err;
	}
	must_err(err, want);
	return err;
}

/* Were all pages confirmed that could be, they are in the views now. */
static void settle_late(int slot, bool all)
{
	const struct oracle_job *job = &w.o.job[slot];

	for (unsigned i = job->scope_start; all && i < job->scope_end; i++) {
		w.o.page[i].late = false;
	}
}

enum s2_err act_resume(int slot)
{
	struct oracle_job *job = &w.o.job[slot];
	enum s2_err err;

	if (job->busy) {
		watch_request(&job->request);
	}
	enter(slot);
	err = s2_convert_resume(&w.engine, &w.job[slot]);
	leave();
	trace("resume", slot, NULL, err);
	if (!job->busy) {
		must_err(err, S2_OK);
		return err;
	}
	job->poisoned = false;
	if (w.answered == S2_REPLY_POISON && err == S2_ERR_POISON) {
		oracle_poison(&w.o, oracle_next(&w.o, slot, 0));
		job->poisoned = false;
	}
	if (err == S2_ERR_NOMEM) {
		must(w.alloc_failed);
	} else {
		must_err(err, oracle_err(w.answered));
	}
	must(err == S2_OK || w.job[slot].reply == w.answered || err == S2_ERR_NOMEM);
	job->lame = job->lame && err == S2_ERR_NOMEM;
	settle_late(slot, !w.alloc_failed);
	if (err == S2_OK) {
		must(oracle_next(&w.o, slot, 0) == ORACLE_PAGES);
		oracle_finish(&w.o, slot);
	}
	return err;
}

enum s2_err act_convert(int slot, struct s2_request request)
{
	enum s2_err err = act_start(slot, request);

	return err == S2_OK ? act_resume(slot) : err;
}

/* Both ways to give up. */
static enum s2_err give_up(int slot, bool stop)
{
	struct oracle_job *job = &w.o.job[slot];
	bool one_way = job->busy && job->request.move == S2_RECLAIM &&
		       oracle_next(&w.o, slot, 0) < ORACLE_PAGES;
	enum s2_err err;

	enter(slot);
	err = stop ? s2_convert_stop(&w.engine, &w.job[slot])
		   : s2_convert_back(&w.engine, &w.job[slot]);
	leave();
	trace(stop ? "stop" : "back", slot, NULL, err);
	if (!job->busy) {
		must_err(err, S2_OK);
	} else if (one_way || (!stop && job->confirmed)) {
		must_err(err, S2_ERR_STATE);
	} else if (err == S2_ERR_NOMEM) {
		/* Some are back already: those that no longer move. */
		must(w.alloc_failed);
		job->lame = true;
		for (unsigned i = oracle_next(&w.o, slot, 0); i < ORACLE_PAGES;
		     i = oracle_next(&w.o, slot, i + 1)) {
			struct s2_page now;

			must_err(s2_track_get(&w.track, page_range(i, 1).start, &now), S2_OK);
			if (!now.moving) {
				oracle_undo(&w.o, i);
			}
		}
	} else {
		must_err(err, S2_OK);
		if (stop) {
			oracle_stop(&w.o, slot);
		} else {
			oracle_back(&w.o, slot);
		}
	}
	return err;
}

enum s2_err act_back(int slot)
{
	return give_up(slot, false);
}

enum s2_err act_stop(int slot)
{
	return give_up(slot, true);
}

enum s2_err act_poison(unsigned start, unsigned count)
{
	enum s2_err err;

	watch_near(start, start + count);
	enter(-1);
	err = s2_convert_poison(&w.engine, page_range(start, count));
	leave();
	trace("poison", (int)start, NULL, err);
	if (err == S2_ERR_NOMEM) {
		must(w.alloc_failed);
		return err;
	}
	must_err(err, S2_OK);
	for (unsigned i = start; i < start + count; i++) {
		oracle_poison(&w.o, i);
	}
	return err;
}

/* With the Ultravisor, the first pin of a page, or after the last. What is ordered is not for these. */
static void pin_behind(unsigned page, bool pin)
{
	struct order order = w.order;
	struct s2_range range = page_range(page, 1);
	struct s2_answer answer;

	if (w.choice.behind != BEHIND_UV) {
		return;
	}
	w.order = (struct order){.armed = false};
	answer = pin ? s2_uv_backend_pin(&w.uv_backend, range)
		     : s2_uv_backend_unpin(&w.uv_backend, range);
	must_at(page, answer.reply == S2_REPLY_OK && answer.done == range.len);
	w.order = order;
}

enum s2_err act_pin(unsigned start, unsigned count)
{
	enum s2_err want = oracle_pin(&w.o, start, count);
	enum s2_err err;

	enter(-1);
	err = s2_pin(&w.pins, &w.track, page_range(start, count));
	leave();
	if (err == S2_ERR_NOMEM && w.alloc_failed) {
		must(want == S2_OK);
		return err;
	}
	must_err(err, want);
	for (unsigned i = start; err == S2_OK && i < start + count; i++) {
		if (w.o.page[i].pins++ == 0) {
			pin_behind(i, true);
		}
	}
	return err;
}

enum s2_err act_unpin(unsigned start, unsigned count)
{
	enum s2_err want = S2_OK;
	enum s2_err err;

	for (unsigned i = start; i < start + count; i++) {
		want = w.o.page[i].pins == 0 ? S2_ERR_STATE : want;
	}
	enter(-1);
	err = s2_unpin(&w.pins, page_range(start, count));
	leave();
	if (err == S2_ERR_NOMEM && w.alloc_failed) {
		must(want == S2_OK);
		return err;
	}
	must_err(err, want);
	for (unsigned i = start; err == S2_OK && i < start + count; i++) {
		if (--w.o.page[i].pins == 0) {
			pin_behind(i, false);
		}
	}
	return err;
}

bool act_guest_writes(unsigned page)
{
	struct oracle_page *p = &w.o.page[page];
	const struct flat_page *flat = &w.o.flat.page[page];

	if (flat->moving || !guest_reaches(page, true) || !behind_lets_guest(page)) {
		return false;
	}
	if (p->shown && flat->state == S2_NONE) {
		return false; /* the host's by now, and still mapped: see behind_refuses() */
	}
	must_at(page, flat->state == S2_SECURE || flat->state == S2_SHARED);
	p->seed = world_random() | 1;
	p->step = STEP_GUEST;
	fill_page(page, p->seed, p->step);
	return true;
}

bool act_host_writes(unsigned page)
{
	struct oracle_page *p = &w.o.page[page];

	if (w.o.flat.page[page].moving || w.o.flat.page[page].state != S2_SHARED ||
	    !host_reaches(page)) {
		return false;
	}
	p->seed = world_random() | 1;
	p->step = STEP_HOST;
	fill_page(page, p->seed, p->step);
	return true;
}

#define SCRIBBLE (UINT64_C(1) << 33)

void act_host_scribbles(unsigned page)
{
	struct oracle_page *p = &w.o.page[page];

	must_at(page, host_reaches(page));
	memory_of(page)[7] ^= SCRIBBLE;
	p->scribbled = !p->scribbled;
}

void act_host_repairs(unsigned page)
{
	if (w.o.page[page].scribbled) {
		memory_of(page)[7] ^= SCRIBBLE;
		w.o.page[page].scribbled = false;
	}
}

/* By large calls, and without a look at each step: there are other tests for that. */
void act_move(enum s2_move move, unsigned start, unsigned count)
{
	struct s2_request request = request_of(move, start, count, K4, S2_EXACT);
	uint64_t fail = w.alloc_fail;
	uint64_t max_len = w.backend.max_len;

	request.grain = M2;
	w.alloc_fail = 0;
	w.backend.max_len = 0;
	w.quiet = true;
	must_err(act_convert(0, request), S2_OK);
	w.quiet = false;
	w.backend.max_len = max_len;
	w.alloc_fail = fail;
}

void act_populate(void)
{
	act_move(S2_DONATE, 0, ORACLE_PAGES);
	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		must_at(i, act_guest_writes(i));
	}
}
