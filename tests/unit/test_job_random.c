/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several jobs at a time, at random: started, resumed, rolled back and stopped; pages that get errors and
 * pins; memory that runs out. After each step all views are held against all pages, what is not in the
 * step's reach has not changed, and a job that is given up leaves what was there before.
 */
#include "engine.h"
#include "model/flat.h"
#include "test_job.h"
#include <stage2/mock.h>

#define JOBS 4u
#define STEPS 2500u

static struct {
	struct s2_job job;
	unsigned char before[PAGE_MAX]; /* page_byte() when it was started */
} slots[JOBS];

static unsigned char now[PAGE_MAX];

static void look(unsigned char *page)
{
	for (unsigned i = 0; i < w.page_count; i++) {
		page[i] = page_byte(page_at(&w.track, FIRST + i));
	}
}

static bool in_range(struct s2_range range, unsigned i)
{
	return (FIRST + i) * S2_PAGE_SIZE - range.start.val < range.len;
}

/* Nothing but these pages has changed since the last look. */
static void expect_only(struct s2_range range)
{
	for (unsigned i = 0; i < w.page_count; i++) {
		unsigned char page = page_byte(page_at(&w.track, FIRST + i));

		EXPECT_PAGE(page == now[i] || in_range(range, i), i);
	}
}

/* As before the start, but for errors since, marks that an undone import loses, and what is confirmed. */
static void expect_undone(unsigned slot, const struct s2_job *was)
{
	enum s2_move move = was->request.move;

	for (unsigned i = 0; i < w.page_count; i++) {
		unsigned char page = page_byte(page_at(&w.track, FIRST + i));
		unsigned char before = slots[slot].before[i];

		if (!in_range(was->scope, i) || page == before || page == S2_POISONED) {
			continue;
		}
		EXPECT_PAGE((move == S2_IMPORT && (page & 15) == S2_EXPORTED &&
			     (before & 15) == S2_EXPORTED) ||
				    was->phase == S2_JOB_PARTIAL,
			    i);
		EXPECT_PAGE((page & 16) == 0, i);
	}
}

static void random_answers(void)
{
	w.call_count = 0;
	w.stop_at = flat_below(2) == 0 ? 0 : 1 + flat_below(4);
	w.stop = (struct s2_answer){(enum s2_reply)flat_below(S2_REPLY_COUNT),
				    flat_below(4) * S2_PAGE_SIZE};
	if (w.stop.reply == S2_REPLY_POISON && flat_below(4) != 0) {
		w.stop.reply = S2_REPLY_AGAIN;
	}
}

static void start_one(unsigned slot)
{
	static const uint64_t grains[] = {S2_PAGE_SIZE, K16, K64, S2_GRAIN_FOLIO};
	unsigned first = flat_below(w.page_count);
	unsigned count = 1 + flat_below(20);
	struct s2_request request =
		world_request((enum s2_move)flat_below(S2_MOVE_COUNT), FIRST + first,
			      count < w.page_count - first ? count : w.page_count - first,
			      grains[flat_below(4)], (enum s2_policy)flat_below(S2_POLICY_COUNT));
	struct s2_job *job = &slots[slot].job;
	enum s2_err err;

	look(slots[slot].before);
	err = world_begin(&request, job);
	if (err == S2_OK) {
		expect_only(job->scope);
	} else {
		ck_assert_int_eq(job->phase, S2_JOB_IDLE);
		expect_only(s2_range(s2_gpa(0), 0));
	}
}

static void end_one(unsigned slot)
{
	struct s2_job *job = &slots[slot].job;
	struct s2_job was = *job;
	enum s2_err err = flat_below(2) == 0 ? world_back(job) : world_stop(job);

	expect_only(was.scope);
	if (err == S2_OK) {
		expect_undone(slot, &was);
	} else if (err != S2_ERR_NOMEM) {
		ck_assert_int_eq(err, S2_ERR_STATE);
		ck_assert_int_ne(job->phase, S2_JOB_IDLE);
		expect_only(s2_range(s2_gpa(0), 0));
	}
}

static void resume_one(unsigned slot)
{
	struct s2_job *job = &slots[slot].job;
	struct s2_range scope = job->scope;
	enum s2_err err;

	random_answers();
	err = world_resume(job);
	expect_only(scope);
	ck_assert_int_eq(err == S2_OK, job->phase == S2_JOB_IDLE);
	if (err == S2_OK) {
		const struct s2_convert_count *count = &job->count;

		ck_assert_uint_eq(count->requested, count->satisfied +
							    (count->converted - count->widened) +
							    count->refused + count->kept);
	}
}

static void others(void)
{
	struct s2_range range = pages(FIRST + flat_below(w.page_count - 2), 1 + flat_below(2));
	enum s2_err err;

	switch (flat_below(8)) {
	case 0:
		err = world_poison(range.start.val / S2_PAGE_SIZE, range.len / S2_PAGE_SIZE);
		ck_assert(err == S2_OK || err == S2_ERR_NOMEM);
		expect_only(err == S2_OK ? range : s2_range(s2_gpa(0), 0));
		break;
	case 1:
	case 2:
		err = s2_pin(&w.pins, &w.track, range);
		break;
	default:
		err = s2_unpin(&w.pins, range);
		break;
	}
	(void)err; /* many a pin cannot be, and that is all right */
}

/* Pages with an error are replaced, so that the others do not run out. */
static void repair(void)
{
	for (unsigned i = 0; i < w.page_count; i++) {
		if (page_at(&w.track, FIRST + i).state == S2_POISONED && w.engine.jobs == NULL) {
			struct s2_run run = w.runs[i / SMALL];

			run.gpa.val = run.hpa.val + i % SMALL * S2_PAGE_SIZE;
			run.hpa.val = run.gpa.val;
			run.len = S2_PAGE_SIZE;
			ck_assert_int_eq(
				s2_track_move(&w.track, pages(FIRST + i, 1), S2_RECLAIM, false),
				S2_OK);
			ck_assert_int_eq(s2_map(&w.host.space, &run, 1, w.host.view.prot[S2_NONE],
						S2_MEM_NORMAL, &w.host.view.gather, NULL),
					 S2_OK);
			s2_gather_sync(&w.host.view.gather);
		}
	}
}

static void end_all(void)
{
	test_env_fail(&w.env, 0);
	for (unsigned slot = 0; slot < JOBS; slot++) {
		while (slots[slot].job.phase != S2_JOB_IDLE) {
			look(now);
			resume_one(slot);
		}
	}
	/* No job waits for memory any longer: all views show all that they are to show. */
	w.slack = false;
	world_check();
	repair();
}

START_TEST(random_jobs)
{
	struct world_config config = {.fmt = &s2_fmt_mock,
				      .features = S2_MOCK_FLUSH_ON_MAP,
				      .rejoin = (enum s2_rejoin)_i};

	flat_random_state = flat_seed() + (uint64_t)_i;
	memset(slots, 0, sizeof(slots));
	world_start(&config);
	world_move(S2_DONATE, FIRST, w.page_count);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned slot = flat_below(JOBS);

		look(now);
		w.backend.max_len = flat_below(3) * S2_PAGE_SIZE;
		test_env_fail(&w.env, flat_below(4) == 0 ? 1 + flat_below(4) : 0);
		if (flat_below(8) == 0) {
			others();
		} else if (slots[slot].job.phase == S2_JOB_IDLE) {
			start_one(slot);
		} else if (flat_below(3) == 0) {
			end_one(slot);
		} else {
			resume_one(slot);
		}
		if (flat_below(32) == 0) {
			end_all();
			s2_view_rejoin(&w.guest.view, w.runs, w.run_count, K64);
			s2_view_rejoin(&w.host.view, w.runs, w.run_count, 0);
		}
	}
	end_all();
	/* It would be no test of anything if hardly any came to be: 240 to 400, by the seed. */
	ck_assert_uint_gt(w.engine.count.requests, STEPS / 20);
	world_finish();
}
END_TEST

void add_random_jobs(TCase *tcase)
{
	tcase_add_loop_test(tcase, random_jobs, 0, S2_REJOIN_COUNT);
}
