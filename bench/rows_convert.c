/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows about the transition engine. */
#include <stage2/convert.h>

#include "bench.h"

#define RUN_LG2 16
#define RUN_PAGES (1u << (RUN_LG2 - S2_PAGE_LG2))

struct work {
	const struct setup *setup;
	struct s2_track track;
	struct s2_engine engine;
	uint64_t grain;
	uint64_t calls; /* of the back end */
	unsigned failed;
};

/* The back end that does nothing: what is left is the engine. */
static struct s2_answer nothing(void *cookie, enum s2_move move, struct s2_range range)
{
	struct work *w = cookie;

	(void)move;
	w->calls++;
	return (struct s2_answer){S2_REPLY_OK, range.len};
}

static struct s2_range run_of(uint64_t run)
{
	return s2_range(s2_gpa(GUEST_GPA + (run << RUN_LG2)), UINT64_C(1) << RUN_LG2);
}

/* Every 64K, in a random order: the first page of each in the order of pages. */
static void each_run(struct work *w, void (*do_run)(struct work *w, struct s2_range run))
{
	for (uint64_t i = 0; i < w->setup->memory >> S2_PAGE_LG2; i++) {
		uint32_t page = w->setup->order[i];

		if (page % RUN_PAGES == 0) {
			do_run(w, run_of(page / RUN_PAGES));
		}
	}
}

static void convert(struct work *w, enum s2_move move, struct s2_range range)
{
	const struct s2_request request = {
		.move = move, .range = range, .grain = w->grain, .policy = S2_EXACT};
	struct s2_job job = {.phase = S2_JOB_IDLE};

	w->failed += s2_convert(&w->engine, &request, &job) != S2_OK;
}

static void share_run(struct work *w, struct s2_range run)
{
	convert(w, S2_SHARE, run);
}

static void unshare_run(struct work *w, struct s2_range run)
{
	convert(w, S2_UNSHARE, run);
}

static void run_64k(void *cookie)
{
	each_run(cookie, share_run);
	each_run(cookie, unshare_run);
}

static void limit_share(struct work *w, struct s2_range run)
{
	w->failed += s2_track_begin(&w->track, run, S2_SHARE, false) != S2_OK ||
		     s2_track_done(&w->track, run) != S2_OK;
}

static void limit_unshare(struct work *w, struct s2_range run)
{
	w->failed += s2_track_begin(&w->track, run, S2_UNSHARE, false) != S2_OK ||
		     s2_track_done(&w->track, run) != S2_OK;
}

static void limit_64k(void *cookie)
{
	each_run(cookie, limit_share);
	each_run(cookie, limit_unshare);
}

static bool check_calls(void *cookie)
{
	const struct work *w = cookie;

	return w->calls > 0 && w->engine.count.converted > 0;
}

static void run_all(void *cookie)
{
	struct work *w = cookie;

	convert(w, S2_SHARE, w->track.range);
	convert(w, S2_UNSHARE, w->track.range);
}

static void limit_all(void *cookie)
{
	struct work *w = cookie;

	limit_share(w, w->track.range);
	limit_unshare(w, w->track.range);
}

/* variant: the grain, as log2; all memory in one request, or 64K in each. */
static bool measure_convert(const struct setup *setup, struct result *result)
{
	static const struct way runs[] = {{"", NULL, run_64k, check_calls},
					  {"begin and done of the tracker", NULL, limit_64k, NULL}};
	static const struct way all[] = {{"", NULL, run_all, check_calls},
					 {"begin and done of the tracker", NULL, limit_all, NULL}};
	const struct s2_range memory = s2_range(s2_gpa(GUEST_GPA), setup->memory);
	struct work w = {.setup = setup, .grain = UINT64_C(1) << result->row->variant};
	const struct s2_backend backend = {.convert = nothing, .cookie = &w};
	bool good;

	if (s2_track_init(&w.track, &heap_env, memory) != S2_OK) {
		return false;
	}
	w.engine = (struct s2_engine){.track = &w.track, .backend = &backend};
	w.failed += s2_track_move(&w.track, memory, S2_DONATE, false) != S2_OK;
	good = measure_row(setup, result->row->variant == RUN_LG2 ? runs : all, 2, &w,
			   2 * (double)(setup->memory >> S2_PAGE_LG2), result) &&
	       w.failed == 0 && s2_track_check(&w.track);
	s2_track_fini(&w.track);
	return good;
}

const struct row convert_rows[] = {
	{"convert-64k", "a transition of a random 64K run, back end that does nothing", "ns/page",
	 0, 0, false, false, measure_convert, RUN_LG2},
	{"convert-2m", "of all memory in one request, at a grain of 2M", "ns/page", 0, 0, false,
	 false, measure_convert, 21},
	{"convert-4k", "the same at a grain of 4K: a call of the back end for each page", "ns/page",
	 0, 0, false, false, measure_convert, S2_PAGE_LG2},
};

const size_t convert_row_count = sizeof(convert_rows) / sizeof(convert_rows[0]);
