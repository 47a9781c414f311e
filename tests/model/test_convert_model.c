/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random requests to s2_convert() and to a model that works page by page, written from the text of
 * convert.h. Compared: the error, the calls of the back end one by one, the counts, every page.
 * The back end stops at random places and the allocator fails at random times.
 */
#include "check_main.h"
#include "flat.h"
#include "test_env.h"
#include <stage2/convert.h>

#define OP_COUNT 9000u /* for each shape */
#define RUN_MAX 400u

static const struct {
	uint64_t first;
	unsigned count;
} shapes[] = {
	{512 * 3, 1536},
	{512 * 5 + 100, 1100},
	{(UINT64_C(1) << 52) - 700, 700},
	{512 * 9 - 20, 40},
};

#define SHAPE_COUNT ((int)(sizeof(shapes) / sizeof(shapes[0])))

struct piece {
	unsigned start;
	unsigned count;
};

static uint64_t seed;
static struct flat flat;
static struct test_env env;
static struct s2_track track;
static struct s2_run runs[RUN_MAX];
static unsigned run_count;

/* What the back end saw, and where it stops. */
static struct piece seen[FLAT_MAX];
static unsigned seen_count;
static unsigned stop_at; /* which call, from 0 */
static unsigned stop_pages;
static const char *complaint;

/* What it should see, and the rest of what should happen. */
static struct piece wanted[FLAT_MAX];
static unsigned wanted_count;
static struct s2_convert_count tally;
static bool stopped; /* the back end did */
static enum mark {
	NO_MARK = 0,
	CLAIM,	/* there already, and asked for now */
	RELEASE /* given back, and kept with its grain */
} marked[FLAT_MAX];

static unsigned min_unsigned(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static struct s2_answer backend_convert(void *cookie, enum s2_move move, struct s2_range range)
{
	struct piece *piece = &seen[seen_count];
	struct s2_page page;

	(void)cookie;
	(void)move;
	piece->start = (unsigned)(range.start.val / S2_PAGE_SIZE - flat.first);
	piece->count = (unsigned)(range.len / S2_PAGE_SIZE);
	for (unsigned i = 0; i < piece->count; i++) {
		if (s2_track_get(&track, flat_range(&flat, piece->start + i, 1).start, &page) !=
			    S2_OK ||
		    page.state != S2_SECURE || !page.moving) {
			complaint = "a page of a piece is not in transition";
		}
	}
	/* The rest of the tracker is not to be different during the call, and its sums agree. */
	if (!s2_track_check(&track)) {
		complaint = "the tracker is broken during the call";
	}
	if (seen_count++ == stop_at) {
		return (struct s2_answer){S2_REPLY_FAILED,
					  min_unsigned(stop_pages, piece->count) * S2_PAGE_SIZE};
	}
	return (struct s2_answer){S2_REPLY_OK, range.len};
}

static const struct s2_backend backend = {.convert = backend_convert};

/* The grain of page i of the model, as start and end. */
static void grain_of(const struct s2_request *request, unsigned i, unsigned *start, unsigned *end)
{
	uint64_t page = flat.first + i;
	uint64_t first = page;
	uint64_t last = page;

	if (request->grain != S2_GRAIN_FOLIO) {
		uint64_t grain = request->grain / S2_PAGE_SIZE;

		first = page / grain * grain;
		last = first + grain - 1;
	}
	for (unsigned r = 0; request->grain == S2_GRAIN_FOLIO && r < run_count; r++) {
		uint64_t run_first = runs[r].gpa.val / S2_PAGE_SIZE;
		uint64_t run_last = run_first + runs[r].len / S2_PAGE_SIZE - 1;

		if (run_first <= page && page <= run_last) {
			first = run_first;
			last = run_last;
		}
	}
	*start = first < flat.first ? 0 : (unsigned)(first - flat.first);
	*end = last - flat.first >= flat.count ? flat.count : (unsigned)(last - flat.first + 1);
}

static bool rests_in(unsigned i, enum s2_state state)
{
	return !flat.page[i].moving && flat.page[i].state == state;
}

/* The request in pages of the model. */
struct ask {
	const struct s2_request *request;
	unsigned start;
	unsigned end;
	enum s2_state from;
	enum s2_state to;
};

static bool is_asked(const struct ask *ask, unsigned i)
{
	return ask->start <= i && i < ask->end;
}

static enum s2_err expected_err(const struct ask *ask)
{
	bool guarded = ask->request->move == S2_SHARE && ask->request->policy == S2_WIDEN &&
		       !ask->request->guest_offers_grain;

	for (unsigned i = ask->start; guarded && i < ask->end; i++) {
		unsigned start;
		unsigned end;

		grain_of(ask->request, i, &start, &end);
		for (unsigned k = start; k < end && rests_in(i, S2_SECURE); k++) {
			if (!is_asked(ask, k) && rests_in(k, S2_SECURE)) {
				return S2_ERR_EXPOSE;
			}
		}
	}
	for (unsigned i = ask->start; i < ask->end; i++) {
		if (flat.page[i].moving) {
			return S2_ERR_BUSY;
		}
		if (!rests_in(i, ask->from) && !rests_in(i, ask->to)) {
			return rests_in(i, S2_POISONED) ? S2_ERR_POISON : S2_ERR_STATE;
		}
	}
	for (unsigned i = ask->start; ask->request->policy == S2_WIDEN && i < ask->end; i++) {
		unsigned start;
		unsigned end;

		grain_of(ask->request, i, &start, &end);
		for (unsigned k = start; k < end; k++) {
			if (flat.page[k].moving) {
				return S2_ERR_BUSY;
			}
		}
	}
	return S2_OK;
}

static void model_page(const struct ask *ask, unsigned i)
{
	bool asked = is_asked(ask, i);

	flat.page[i].state = ask->to;
	flat.page[i].widened = ask->from == S2_SECURE && !asked;
	tally.converted++;
	tally.widened += !asked;
}

/* A piece: one call of the back end, if that has not stopped before. What is undone forgets its mark. */
static void model_piece(const struct ask *ask, unsigned start, unsigned end)
{
	unsigned good = stopped ? start : end;

	if (!stopped) {
		if (wanted_count == stop_at) {
			good = start + min_unsigned(stop_pages, end - start);
		}
		wanted[wanted_count].start = start;
		wanted[wanted_count++].count = end - start;
		tally.calls++;
		stopped = good < end;
	}
	for (unsigned i = start; i < good; i++) {
		model_page(ask, i);
	}
	for (unsigned i = good; i < end; i++) {
		if (ask->request->move == S2_IMPORT && is_asked(ask, i)) {
			flat.page[i].widened = false;
		}
	}
}

/* What happens in one grain. Marks are set when all is done; what is counted is what was planned. */
static void model_grain(const struct ask *ask, unsigned start, unsigned end)
{
	enum s2_policy policy = ask->request->policy;
	unsigned pending = 0;
	bool covered = ask->start <= start && end <= ask->end;
	bool wanted_by_others = false;

	for (unsigned i = start; i < end; i++) {
		if (!is_asked(ask, i)) {
			wanted_by_others = wanted_by_others ||
					   (rests_in(i, ask->from) && !flat.page[i].widened);
		} else if (rests_in(i, ask->from)) {
			pending++;
		} else {
			tally.satisfied++;
			marked[i] = CLAIM;
		}
	}
	if (pending == 0) {
		return;
	}
	if (policy == S2_REFUSE && !covered) {
		tally.refused += pending;
		return;
	}
	if (policy == S2_WIDEN && ask->to == S2_SECURE && wanted_by_others) {
		for (unsigned i = start; i < end; i++) {
			if (is_asked(ask, i) && rests_in(i, ask->from)) {
				marked[i] = RELEASE;
			}
		}
		tally.kept += pending;
		return;
	}
	for (unsigned i = start; i < end; i++) {
		unsigned stop = i;

		while (stop < end && rests_in(stop, ask->from) &&
		       (policy == S2_WIDEN || is_asked(ask, stop))) {
			stop++;
		}
		if (stop > i) {
			model_piece(ask, i, stop);
		}
		i = stop > i ? stop - 1 : i;
	}
}

static enum s2_err model_convert(const struct ask *ask)
{
	uint64_t satisfied = tally.satisfied;
	enum s2_err err = expected_err(ask);
	unsigned end;

	if (err != S2_OK) {
		return err;
	}
	stopped = false;
	memset(marked, 0, sizeof(marked));
	tally.requested += ask->end - ask->start;
	for (unsigned i = ask->start; i < ask->end; i = end) {
		unsigned start;

		grain_of(ask->request, i, &start, &end);
		model_grain(ask, start, end);
	}
	if (stopped) {
		return S2_ERR_BACKEND;
	}
	for (unsigned i = 0; i < flat.count; i++) {
		if (marked[i] != NO_MARK) {
			flat.page[i].widened = marked[i] == RELEASE;
		}
	}
	tally.requests++;
	tally.requests_satisfied += tally.satisfied - satisfied == ask->end - ask->start;
	return S2_OK;
}

/* Folios of random orders with holes between them; some reach over the ends of the tracker. */
static void make_runs(void)
{
	uint64_t page = flat.first > 16 ? flat.first - 16 : 0;
	uint64_t top = UINT64_C(1) << 52;

	run_count = 0;
	while (run_count < RUN_MAX && page < flat.first + flat.count) {
		unsigned order = flat_below(11);
		uint64_t count = 1 + flat_below(1u << order);
		struct s2_run *run = &runs[run_count];

		page += flat_below(3) == 0 ? flat_below(9) : 0;
		if (page + count > top) {
			break;
		}
		run->gpa = s2_gpa(page * S2_PAGE_SIZE);
		run->hpa = s2_hpa(((uint64_t)run_count << 24) * S2_PAGE_SIZE);
		run->len = count * S2_PAGE_SIZE;
		run->folio_order = (uint8_t)order;
		ck_assert_int_eq(s2_run_check(run), S2_OK);
		run_count++;
		page += count;
	}
}

static struct s2_request pick_request(void)
{
	static const uint64_t grains[] = {0x1000,   0x4000,   0x10000,	      0x10000,
					  0x200000, 0x400000, S2_GRAIN_FOLIO, S2_GRAIN_FOLIO};
	static const enum s2_move moves[] = {S2_SHARE, S2_UNSHARE, S2_EXPORT, S2_IMPORT};
	unsigned start = flat_below(flat.count);
	unsigned count = 1 + flat_below(min_unsigned(flat.count - start, 1u << flat_below(12)));
	struct s2_request request;

	memset(&request, 0, sizeof(request));
	if (flat_below(3) == 0) {
		/* A whole grain of some size. */
		unsigned grain = 1u << flat_below(10);

		start -= (unsigned)((flat.first + start) % grain) <= start
				 ? (unsigned)((flat.first + start) % grain)
				 : start;
		count = min_unsigned(grain, flat.count - start);
	}
	request.move = moves[flat_below(4)];
	for (unsigned i = 0; i < 4 && flat_below(8) != 0; i++) {
		enum s2_state from = flat_from(request.move);

		if (!rests_in(start, from)) {
			request.move = moves[flat_below(4)];
		}
	}
	request.range = flat_range(&flat, start, count);
	request.grain = grains[flat_below(8)];
	request.policy = (enum s2_policy)flat_below(S2_POLICY_COUNT);
	request.guest_offers_grain = flat_below(2) == 0;
	return request;
}

/* Things that others do to the tracker between requests. */
static void disturb(void)
{
	unsigned start = flat_below(flat.count);
	unsigned count = 1 + flat_below(min_unsigned(flat.count - start, 4));
	unsigned what = flat_below(3);

	for (unsigned i = start; i < start + count; i++) {
		struct s2_range range = flat_range(&flat, i, 1);
		struct flat_page *page = &flat.page[i];

		if (page->moving) {
			if (s2_track_done(&track, range) == S2_OK) {
				flat_done(page);
			}
		} else if (what == 0 && page->state == S2_SECURE) {
			if (s2_track_begin(&track, range, S2_SHARE, true) == S2_OK) {
				flat_begin(page, S2_SHARE, true, 0);
			}
		} else if (what == 1 && flat_below(4) == 0) {
			if (s2_track_poison(&track, range) == S2_OK) {
				memset(page, 0, sizeof(*page));
				page->state = S2_POISONED;
			}
		} else if (s2_track_move(&track, range, S2_RECLAIM, false) == S2_OK) {
			page->state = S2_NONE;
			page->widened = false;
		}
	}
}

/* Holes and strays are rare again after this: every page is at home, or shared, or exported. */
static void settle(void)
{
	for (unsigned i = 0; i < flat.count; i++) {
		struct s2_range range = flat_range(&flat, i, 1);
		struct flat_page *page = &flat.page[i];

		if (page->moving && s2_track_done(&track, range) == S2_OK) {
			flat_done(page);
		}
		if (page->state == S2_POISONED &&
		    s2_track_move(&track, range, S2_RECLAIM, false) == S2_OK) {
			page->state = S2_NONE;
		}
		if (page->state == S2_NONE &&
		    s2_track_move(&track, range, S2_DONATE, false) == S2_OK) {
			page->state = S2_SECURE;
		}
	}
}

static void reset(void)
{
	ck_assert_int_eq(s2_track_poison(&track, track.range), S2_OK);
	ck_assert_int_eq(s2_track_move(&track, track.range, S2_RECLAIM, false), S2_OK);
	ck_assert_int_eq(s2_track_move(&track, track.range, S2_DONATE, false), S2_OK);
	flat_init(&flat, flat.first, flat.count);
	for (unsigned i = 0; i < flat.count; i++) {
		flat.page[i].state = S2_SECURE;
	}
	make_runs();
}

static void compare(unsigned number, enum s2_err got, enum s2_err want,
		    const struct s2_convert_count *count)
{
	if (got != want) {
		ck_abort_msg("request %u: %s, not %s", number, s2_strerror(got), s2_strerror(want));
	}
	if (complaint != NULL) {
		ck_abort_msg("request %u: %s", number, complaint);
	}
	if (seen_count != wanted_count || memcmp(seen, wanted, seen_count * sizeof(seen[0])) != 0) {
		ck_abort_msg("request %u: not the pieces that it should be", number);
	}
	if (memcmp(count, &tally, sizeof(tally)) != 0) {
		ck_abort_msg("request %u: not the counts that it should be", number);
	}
}

/* Returns whether the request was carried out. */
static bool one_request(unsigned number)
{
	struct s2_request request = pick_request();
	struct s2_engine engine = {.track = &track,
				   .runs = runs,
				   .run_count = run_count,
				   .backend = &backend,
				   .count = tally};
	struct s2_job job = {.phase = S2_JOB_IDLE};
	unsigned start = (unsigned)(request.range.start.val / S2_PAGE_SIZE - flat.first);
	struct ask ask = {
		.request = &request,
		.start = start,
		.end = start + (unsigned)(request.range.len / S2_PAGE_SIZE),
		.from = flat_from(request.move),
		.to = flat_to(request.move),
	};
	enum s2_err want = expected_err(&ask);
	enum s2_err got;

	seen_count = 0;
	wanted_count = 0;
	stop_at = flat_below(3) == 0 ? flat_below(4) : UINT32_MAX;
	stop_pages = flat_below(3) == 0 ? flat_below(600) : flat_below(9);
	test_env_fail(&env, flat_below(3) == 0 ? 1 + flat_below(4) : 0);
	got = s2_convert(&engine, &request, &job);
	if (got == S2_ERR_BACKEND) {
		ck_assert_int_eq(s2_convert_stop(&engine, &job), S2_OK);
	}
	if (got == S2_ERR_NOMEM && env.fail_from != 0 && want == S2_OK) {
		want = S2_ERR_NOMEM;
	} else {
		want = model_convert(&ask);
	}
	test_env_fail(&env, 0);
	compare(number, got, want, &engine.count);
	return want == S2_OK;
}

START_TEST(model)
{
	unsigned done = 0;

	flat_random_state = seed + (uint64_t)_i * UINT64_C(0x9e3779b97f4a7c15);
	flat_init(&flat, shapes[_i].first, shapes[_i].count);
	test_env_init(&env);
	ck_assert_int_eq(s2_track_init(&track, &env.env, flat_range(&flat, 0, flat.count)), S2_OK);
	for (unsigned number = 0; number < OP_COUNT; number++) {
		if (number % 256 == 0) {
			reset();
		} else if (number % 32 == 0) {
			settle();
		} else if (flat_below(8) == 0) {
			disturb();
		}
		done += one_request(number);
		if (!s2_track_check(&track) || env.live != 1 + track.map_count) {
			ck_abort_msg("request %u: the tracker is broken", number);
		}
		if (number % 4 == 0) {
			flat_compare(&flat, &track, 0, flat.count);
		}
	}
	/* A walk that is refused everywhere would prove nothing. */
	ck_assert_uint_gt(done, OP_COUNT / 4);
	s2_track_fini(&track);
	ck_assert_uint_eq(env.live, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("convert_model");
	TCase *tcase = tcase_create("model");

	seed = flat_seed();
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, model, 0, SHAPE_COUNT);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
