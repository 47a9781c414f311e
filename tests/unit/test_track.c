/* SPDX-License-Identifier: BSD-2-Clause */
#include <check.h>
#include <string.h>

#include "check_main.h"
#include "test_env.h"
#include "test_track.h"
#include <stage2/track.h>

/* Neither end on a chunk: half a chunk, two whole ones, a quarter. */
#define BASE (CHUNK * 7 + 256)
#define COUNT (256 + 2 * CHUNK + 128)
#define WHOLE pages(BASE, COUNT)
/* The first whole chunk. */
#define C1 (CHUNK * 8)

/* One GiB. */
#define REGION (CHUNK * 512)

static struct test_env env;
static struct s2_track t;
static size_t memory; /* bytes that are allocated */

static void *count_alloc(void *cookie, size_t size)
{
	void *ptr = test_env_alloc(cookie, size);

	memory += ptr != NULL ? size : 0;
	return ptr;
}

static void count_free(void *cookie, void *ptr, size_t size)
{
	memory -= size;
	test_env_free(cookie, ptr, size);
}

static void setup(void)
{
	test_env_init(&env);
	env.env.alloc = count_alloc;
	env.env.free = count_free;
	memory = 0;
	ck_assert_int_eq(s2_track_init(&t, &env.env, WHOLE), S2_OK);
}

static void teardown(void)
{
	ck_assert(s2_track_check(&t));
	s2_track_fini(&t);
	ck_assert_uint_eq(env.live, 0);
}

static void move(uint64_t start, uint64_t count, enum s2_move kind, bool widened)
{
	ck_assert_int_eq(s2_track_move(&t, pages(start, count), kind, widened), S2_OK);
	ck_assert(s2_track_check(&t));
}

static void begin(uint64_t start, uint64_t count, enum s2_move kind, bool widened)
{
	ck_assert_int_eq(s2_track_begin(&t, pages(start, count), kind, widened), S2_OK);
	ck_assert(s2_track_check(&t));
}

static void expect(uint64_t page, enum s2_state state, bool moving, bool widened)
{
	struct s2_page got = page_at(&t, page);

	ck_assert_int_eq(got.state, state);
	ck_assert_int_eq(got.moving, moving);
	ck_assert_int_eq(got.widened, widened);
}

START_TEST(starts_with_nothing)
{
	struct s2_track_sum sum;

	ck_assert_uint_eq(t.chunk_count, 4);
	ck_assert_uint_eq(t.map_count, 0);
	ck_assert_int_eq(s2_track_sum(&t, WHOLE, &sum), S2_OK);
	ck_assert_uint_eq(sum.state[S2_NONE], COUNT);
	expect(BASE, S2_NONE, false, false);
	expect(BASE + COUNT - 1, S2_NONE, false, false);
	ck_assert_uint_eq(env.calls, 1);
}
END_TEST

START_TEST(init_fails)
{
	struct s2_track other;

	ck_assert_int_eq(s2_track_init(&other, &env.env, pages(0, 0)), S2_ERR_INVAL);
	ck_assert_int_eq(s2_track_init(&other, &env.env, s2_range(s2_gpa(1), S2_PAGE_SIZE)),
			 S2_ERR_ALIGN);
	ck_assert_int_eq(s2_track_init(&other, &env.env,
				       s2_range(s2_gpa(UINT64_MAX - 4095), 2 * S2_PAGE_SIZE)),
			 S2_ERR_WRAP);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_init(&other, &env.env, pages(0, 1)), S2_ERR_NOMEM);
	ck_assert_uint_eq(env.live, 1);
}
END_TEST

/* Every error that a range can make, from every call that takes one. */
static enum s2_err call(unsigned which, struct s2_range range)
{
	struct s2_span span;
	struct s2_track_sum sum;

	switch (which) {
	case 0:
		return s2_track_begin(&t, range, S2_DONATE, false);
	case 1:
		return s2_track_done(&t, range);
	case 2:
		return s2_track_undo(&t, range);
	case 3:
		return s2_track_move(&t, range, S2_DONATE, false);
	case 4:
		return s2_track_claim(&t, range);
	case 5:
		return s2_track_release(&t, range);
	case 6:
		return s2_track_poison(&t, range);
	case 7:
		return s2_track_next(&t, range.start, range, &span);
	default:
		return s2_track_sum(&t, range, &sum);
	}
}

START_TEST(ranges)
{
	struct picture before = picture_take(&t);
	unsigned which = (unsigned)_i;

	ck_assert_int_eq(call(which, pages(BASE, 0)), S2_ERR_INVAL);
	ck_assert_int_eq(call(which, s2_range(s2_gpa(BASE * 4096 + 1), 4096)), S2_ERR_ALIGN);
	ck_assert_int_eq(call(which, s2_range(s2_gpa(BASE * 4096), 4095)), S2_ERR_ALIGN);
	ck_assert_int_eq(call(which, s2_range(s2_gpa(UINT64_MAX - 4095), 8192)), S2_ERR_WRAP);
	ck_assert_int_eq(call(which, pages(BASE - 1, 1)), S2_ERR_RANGE);
	ck_assert_int_eq(call(which, pages(BASE - 1, 2)), S2_ERR_RANGE);
	ck_assert_int_eq(call(which, pages(BASE + COUNT, 1)), S2_ERR_RANGE);
	ck_assert_int_eq(call(which, pages(BASE, COUNT + 1)), S2_ERR_RANGE);
	picture_expect(&before, &t);
	picture_free(&before);
}
END_TEST

START_TEST(arguments)
{
	struct s2_page page;
	struct s2_span span;

	for (int kind = 0; kind < S2_MOVE_COUNT; kind++) {
		if (kind != S2_SHARE && kind != S2_EXPORT) {
			ck_assert_int_eq(s2_track_begin(&t, WHOLE, (enum s2_move)kind, true),
					 S2_ERR_INVAL);
			ck_assert_int_eq(s2_track_move(&t, WHOLE, (enum s2_move)kind, true),
					 S2_ERR_INVAL);
		}
	}
	ck_assert_int_eq(s2_track_begin(&t, WHOLE, S2_MOVE_COUNT, false), S2_ERR_INVAL);
	ck_assert_int_eq(s2_track_move(&t, WHOLE, (enum s2_move) - 1, false), S2_ERR_INVAL);
	ck_assert_int_eq(s2_track_get(&t, s2_gpa(BASE * 4096 - 1), &page), S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_get(&t, s2_gpa((BASE + COUNT) * 4096), &page), S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_get(&t, s2_gpa((BASE + COUNT) * 4096 - 1), &page), S2_OK);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa(BASE * 4096), pages(BASE + 1, 1), &span),
			 S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa((BASE + 2) * 4096), pages(BASE + 1, 1), &span),
			 S2_ERR_RANGE);
}
END_TEST

/* Each state, and how to get a page there. */
struct how {
	const char *name;
	enum s2_move path[3];
	unsigned path_count;
	bool widened; /* the last of the path */
	bool stop;    /* the last of the path is only begun */
	struct s2_page page;
};

static const struct how hows[] = {
	{"none", {0}, 0, false, false, {S2_NONE, false, false}},
	{"secure", {S2_DONATE}, 1, false, false, {S2_SECURE, false, false}},
	{"shared", {S2_DONATE, S2_SHARE}, 2, false, false, {S2_SHARED, false, false}},
	{"shared widened", {S2_DONATE, S2_SHARE}, 2, true, false, {S2_SHARED, false, true}},
	{"exported", {S2_DONATE, S2_EXPORT}, 2, false, false, {S2_EXPORTED, false, false}},
	{"exported widened", {S2_DONATE, S2_EXPORT}, 2, true, false, {S2_EXPORTED, false, true}},
	{"donating", {S2_DONATE}, 1, false, true, {S2_SECURE, true, false}},
	{"sharing", {S2_DONATE, S2_SHARE}, 2, false, true, {S2_SECURE, true, false}},
	{"sharing widened", {S2_DONATE, S2_SHARE}, 2, true, true, {S2_SECURE, true, false}},
	{"unsharing", {S2_DONATE, S2_SHARE, S2_UNSHARE}, 3, false, true, {S2_SECURE, true, false}},
	{"exporting", {S2_DONATE, S2_EXPORT}, 2, false, true, {S2_SECURE, true, false}},
	{"exporting widened", {S2_DONATE, S2_EXPORT}, 2, true, true, {S2_SECURE, true, false}},
	{"importing", {S2_DONATE, S2_EXPORT, S2_IMPORT}, 3, false, true, {S2_SECURE, true, false}},
	{"reclaiming", {S2_RECLAIM}, 1, false, true, {S2_SECURE, true, false}},
};

#define HOW_COUNT (sizeof(hows) / sizeof(hows[0]))

static void bring(const struct how *how, uint64_t start, uint64_t count)
{
	for (unsigned i = 0; i < how->path_count; i++) {
		bool last = i + 1 == how->path_count;

		if (last && how->stop) {
			begin(start, count, how->path[i], how->widened);
		} else {
			move(start, count, how->path[i], last && how->widened);
		}
	}
}

/* What beginning a move from each state gives, by the text of the header. */
static enum s2_err begin_err(const struct how *how, enum s2_move kind)
{
	static const enum s2_state from[] = {
		[S2_DONATE] = S2_NONE,	 [S2_SHARE] = S2_SECURE,    [S2_UNSHARE] = S2_SHARED,
		[S2_EXPORT] = S2_SECURE, [S2_IMPORT] = S2_EXPORTED,
	};

	if (how->page.moving) {
		return S2_ERR_BUSY;
	}
	if (kind == S2_RECLAIM || how->page.state == from[kind]) {
		return S2_OK;
	}
	return S2_ERR_STATE;
}

/* All moves from all states, over a part of a chunk, over a whole one and over one page. */
START_TEST(transitions)
{
	static const enum s2_state to[] = {
		[S2_DONATE] = S2_SECURE,   [S2_SHARE] = S2_SHARED,  [S2_UNSHARE] = S2_SECURE,
		[S2_EXPORT] = S2_EXPORTED, [S2_IMPORT] = S2_SECURE, [S2_RECLAIM] = S2_NONE,
	};
	static const uint64_t counts[] = {5, CHUNK, 1};
	const struct how *how = &hows[(size_t)_i % HOW_COUNT];
	enum s2_move kind = (enum s2_move)((size_t)_i / HOW_COUNT % S2_MOVE_COUNT);
	uint64_t count = counts[(size_t)_i / HOW_COUNT / S2_MOVE_COUNT];
	uint64_t last = C1 + count - 1;
	struct picture before;
	enum s2_err want = begin_err(how, kind);

	bring(how, C1, count);
	expect(C1, how->page.state, how->page.moving, how->page.widened);
	before = picture_take(&t);
	ck_assert_int_eq(s2_track_begin(&t, pages(C1, count), kind, false), want);
	if (want != S2_OK) {
		picture_expect(&before, &t);
		ck_assert_int_eq(s2_track_move(&t, pages(C1, count), kind, false), want);
		picture_expect(&before, &t);
	} else {
		expect(last, S2_SECURE, true, false);
		if (kind == S2_RECLAIM) {
			ck_assert_int_eq(s2_track_undo(&t, pages(C1, count)), S2_ERR_STATE);
		} else {
			ck_assert_int_eq(s2_track_undo(&t, pages(C1, count)), S2_OK);
			if (kind == S2_IMPORT) {
				expect(last, S2_EXPORTED, false, false);
			} else {
				picture_expect(&before, &t);
			}
			begin(C1, count, kind, false);
		}
		ck_assert_int_eq(s2_track_done(&t, pages(C1, count)), S2_OK);
		expect(C1, to[kind], false, false);
		expect(last, to[kind], false, false);
	}
	picture_free(&before);
}
END_TEST

/* done and undo want pages in transition; claim and release want shared or exported ones. */
START_TEST(other_calls)
{
	const struct how *how = &hows[(size_t)_i % HOW_COUNT];
	uint64_t count = (size_t)_i / HOW_COUNT != 0 ? 1 : 4;
	uint64_t last = C1 + 3 + count - 1;
	struct s2_range range = pages(C1 + 3, count);
	bool open = how->page.state == S2_SHARED || how->page.state == S2_EXPORTED;
	enum s2_err want = how->page.moving ? S2_ERR_BUSY : S2_ERR_STATE;

	bring(how, C1 + 3, count);
	if (!how->page.moving) {
		ck_assert_int_eq(s2_track_done(&t, range), S2_ERR_STATE);
		ck_assert_int_eq(s2_track_undo(&t, range), S2_ERR_STATE);
	}
	ck_assert_int_eq(s2_track_claim(&t, range), open ? S2_OK : want);
	expect(C1 + 3, how->page.state, how->page.moving, false);
	ck_assert_int_eq(s2_track_release(&t, range), open ? S2_OK : want);
	expect(C1 + 3, how->page.state, how->page.moving, open);

	ck_assert_int_eq(s2_track_poison(&t, range), S2_OK);
	expect(C1 + 3, S2_POISONED, false, false);
	expect(last, S2_POISONED, false, false);
	ck_assert_int_eq(s2_track_done(&t, range), S2_ERR_STATE);
	ck_assert_int_eq(s2_track_undo(&t, range), S2_ERR_STATE);
	ck_assert_int_eq(s2_track_claim(&t, range), S2_ERR_STATE);
	ck_assert_int_eq(s2_track_release(&t, range), S2_ERR_STATE);
	ck_assert_int_eq(s2_track_begin(&t, range, S2_DONATE, false), S2_ERR_POISON);
	ck_assert_int_eq(s2_track_begin(&t, range, S2_UNSHARE, false), S2_ERR_POISON);
	move(C1 + 3, count, S2_RECLAIM, false);
	expect(C1 + 3, S2_NONE, false, false);
	ck_assert_uint_eq(t.map_count, 0);
}
END_TEST

START_TEST(widened_comes_and_goes)
{
	move(C1, 8, S2_DONATE, false);
	begin(C1, 4, S2_SHARE, true);
	expect(C1, S2_SECURE, true, false);
	ck_assert_int_eq(s2_track_done(&t, pages(C1, 4)), S2_OK);
	expect(C1, S2_SHARED, false, true);
	begin(C1, 4, S2_UNSHARE, false);
	ck_assert_int_eq(s2_track_undo(&t, pages(C1, 2)), S2_OK);
	expect(C1, S2_SHARED, false, true);
	ck_assert_int_eq(s2_track_done(&t, pages(C1 + 2, 2)), S2_OK);
	expect(C1 + 2, S2_SECURE, false, false);
	move(C1 + 4, 2, S2_EXPORT, true);
	expect(C1 + 4, S2_EXPORTED, false, true);
	begin(C1 + 4, 1, S2_IMPORT, false);
	ck_assert_int_eq(s2_track_undo(&t, pages(C1 + 4, 1)), S2_OK);
	expect(C1 + 4, S2_EXPORTED, false, false); /* forgotten, as the header says */
}
END_TEST

/* The first page by address decides which error it is, whatever chunk it is in. */
START_TEST(first_offender_decides)
{
	move(BASE, COUNT, S2_DONATE, false);
	begin(C1 + 100, 1, S2_SHARE, false);
	ck_assert_int_eq(s2_track_poison(&t, pages(C1 + 50, 1)), S2_OK);
	move(C1 + CHUNK, 1, S2_RECLAIM, false);
	ck_assert_int_eq(s2_track_begin(&t, WHOLE, S2_SHARE, false), S2_ERR_POISON);
	ck_assert_int_eq(s2_track_begin(&t, pages(C1 + 51, CHUNK), S2_SHARE, false), S2_ERR_BUSY);
	ck_assert_int_eq(s2_track_begin(&t, pages(C1 + 101, CHUNK), S2_SHARE, false), S2_ERR_STATE);
	move(BASE, 256, S2_RECLAIM, false);
	ck_assert_int_eq(s2_track_begin(&t, WHOLE, S2_SHARE, false), S2_ERR_STATE);
}
END_TEST

START_TEST(maps_come_and_go)
{
	move(BASE, COUNT, S2_DONATE, false);
	ck_assert_uint_eq(t.map_count, 0);
	move(BASE + 1, COUNT - 2, S2_SHARE, false);
	ck_assert_uint_eq(t.map_count, 2); /* the ends; nothing in between */
	move(BASE, 1, S2_SHARE, false);
	ck_assert_uint_eq(t.map_count, 1);
	move(BASE + COUNT - 1, 1, S2_SHARE, false);
	ck_assert_uint_eq(t.map_count, 0);
	ck_assert_uint_eq(env.live, 1);
	for (uint64_t i = 0; i < CHUNK; i++) {
		move(C1 + i, 1, S2_UNSHARE, false);
		ck_assert_uint_eq(t.map_count, i + 1 < CHUNK);
	}
}
END_TEST

/* Two moves that together fill a chunk: neither may need memory to be finished. */
START_TEST(finishing_needs_no_memory)
{
	move(BASE, COUNT, S2_DONATE, false);
	begin(C1 + 10, CHUNK - 10, S2_SHARE, false);
	begin(C1, 10, S2_SHARE, false);
	begin(C1 + CHUNK, CHUNK, S2_SHARE, false);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_done(&t, pages(C1, 10)), S2_OK);
	ck_assert_int_eq(s2_track_undo(&t, pages(C1 + 10, CHUNK - 10)), S2_OK);
	ck_assert_int_eq(s2_track_done(&t, pages(C1 + CHUNK, 1)), S2_ERR_NOMEM);
	ck_assert_int_eq(s2_track_done(&t, pages(C1 + CHUNK, CHUNK)), S2_OK);
	test_env_fail(&env, 0);
	expect(C1 + 9, S2_SHARED, false, false);
	expect(C1 + 10, S2_SECURE, false, false);
}
END_TEST

/* The same if the page that fills the chunk comes alone. */
START_TEST(finishing_one_page_needs_no_memory)
{
	move(BASE, COUNT, S2_DONATE, false);
	begin(C1, 10, S2_SHARE, false);
	begin(C1 + 11, CHUNK - 11, S2_SHARE, false);
	begin(C1 + 10, 1, S2_SHARE, false);
	ck_assert_uint_eq(t.map_count, 1);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_undo(&t, pages(C1 + 10, 1)), S2_OK);
	ck_assert_int_eq(s2_track_done(&t, pages(C1, 10)), S2_OK);
	test_env_fail(&env, 0);
	expect(C1 + 9, S2_SHARED, false, false);
	expect(C1 + 10, S2_SECURE, false, false);
	expect(C1 + 11, S2_SECURE, true, false);
}
END_TEST

/* No allocation that fails may leave a trace; two are needed where both ends are inside chunks. */
START_TEST(no_memory)
{
	struct s2_range range = pages(C1 + 7, CHUNK + 9);
	enum s2_err err = S2_ERR_NOMEM;
	struct picture before;
	size_t n;

	move(BASE, COUNT, S2_DONATE, false);
	if (_i == 1 || _i == 2 || _i == 5) {
		begin(C1, 2 * CHUNK, S2_SHARE, false);
	} else if (_i != 0) {
		move(C1, 2 * CHUNK, S2_SHARE, _i == 4);
	}
	before = picture_take(&t);
	for (n = 1; err == S2_ERR_NOMEM; n++) {
		test_env_fail(&env, n);
		switch (_i) {
		case 0:
			err = s2_track_begin(&t, range, S2_SHARE, true);
			break;
		case 1:
			err = s2_track_done(&t, range);
			break;
		case 2:
			err = s2_track_undo(&t, range);
			break;
		case 3:
			err = s2_track_release(&t, range);
			break;
		case 4:
			err = s2_track_claim(&t, range);
			break;
		default:
			err = s2_track_poison(&t, range);
			break;
		}
		test_env_fail(&env, 0);
		if (err == S2_ERR_NOMEM) {
			picture_expect(&before, &t);
			ck_assert_uint_eq(env.live, 1);
		}
	}
	ck_assert_int_eq(err, S2_OK);
	ck_assert_uint_eq(n, 4); /* it failed twice */
	ck_assert_uint_eq(t.map_count, 2);
	picture_free(&before);
}
END_TEST

START_TEST(claims_of_claimed_pages_need_no_memory)
{
	move(C1, CHUNK, S2_DONATE, false);
	move(C1, CHUNK, S2_SHARE, false);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_claim(&t, pages(C1 + 1, 1)), S2_OK);
	test_env_fail(&env, 0);
}
END_TEST

START_TEST(spans)
{
	struct s2_span span;

	move(BASE, COUNT, S2_DONATE, false);
	move(C1 + 17, CHUNK, S2_SHARE, false);
	move(C1 + 17 + CHUNK, 40, S2_SHARE, true);
	begin(BASE, 3, S2_EXPORT, false);
	begin(BASE + 3, 3, S2_RECLAIM, false);

	/* Two moves look alike while they last. */
	ck_assert_int_eq(s2_track_next(&t, s2_gpa(BASE * 4096 + 5), WHOLE, &span), S2_OK);
	ck_assert_uint_eq(span.range.start.val, BASE * 4096);
	ck_assert_uint_eq(span.range.len, 6 * 4096);
	ck_assert(span.page.moving && span.page.state == S2_SECURE);

	ck_assert_int_eq(s2_track_next(&t, s2_gpa((BASE + 6) * 4096), WHOLE, &span), S2_OK);
	ck_assert_uint_eq(span.range.len, (C1 + 17 - BASE - 6) * 4096);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa((C1 + 20) * 4096), WHOLE, &span), S2_OK);
	ck_assert_uint_eq(span.range.len, (CHUNK - 3) * 4096);
	ck_assert(span.page.state == S2_SHARED && !span.page.widened);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa((C1 + 20) * 4096), pages(C1 + 19, 3), &span),
			 S2_OK);
	ck_assert_uint_eq(span.range.len, 2 * 4096);
	ck_assert_int_eq(s2_track_next(&t, s2_gpa((C1 + 17 + CHUNK) * 4096), WHOLE, &span), S2_OK);
	ck_assert_uint_eq(span.range.len, 40 * 4096);
	ck_assert(span.page.widened);
}
END_TEST

START_TEST(sums)
{
	struct s2_track_sum sum;

	move(BASE, COUNT, S2_DONATE, false);
	move(C1 + 1, 10, S2_SHARE, false);
	move(C1 + 11, 20, S2_SHARE, true);
	move(C1 + 31, 5, S2_EXPORT, true);
	begin(C1 + 36, 2, S2_EXPORT, false);
	ck_assert_int_eq(s2_track_poison(&t, pages(C1 + CHUNK, 3)), S2_OK);
	for (int part = 0; part < 2; part++) {
		uint64_t start = part != 0 ? C1 + 2 : BASE;
		uint64_t count = part != 0 ? CHUNK : COUNT;

		ck_assert_int_eq(s2_track_sum(&t, pages(start, count), &sum), S2_OK);
		ck_assert_uint_eq(sum.state[S2_SHARED], part != 0 ? 29 : 30);
		ck_assert_uint_eq(sum.state[S2_EXPORTED], 5);
		ck_assert_uint_eq(sum.state[S2_POISONED], part != 0 ? 2 : 3);
		ck_assert_uint_eq(sum.state[S2_SECURE], count - (part != 0 ? 36 : 38));
		ck_assert_uint_eq(sum.moving, 2);
		ck_assert_uint_eq(sum.widened_share, 20);
		ck_assert_uint_eq(sum.widened_export, 5);
		ck_assert_uint_eq(sum.state[S2_NONE], 0);
	}
}
END_TEST

/* The last page of the address space is a page like any other. */
START_TEST(top_of_the_address_space)
{
	uint64_t last = UINT64_MAX / 4096;
	struct s2_track top;
	struct s2_span span;

	ck_assert_int_eq(s2_track_init(&top, &env.env, pages(last - 600, 601)), S2_OK);
	ck_assert_int_eq(s2_track_move(&top, pages(last - 1, 2), S2_DONATE, false), S2_OK);
	ck_assert_int_eq(page_at(&top, last).state, S2_SECURE);
	ck_assert_int_eq(s2_track_next(&top, s2_gpa(UINT64_MAX), top.range, &span), S2_OK);
	ck_assert_uint_eq(span.range.start.val, last * 4096);
	ck_assert_uint_eq(span.range.len, 4096);
	ck_assert_int_eq(s2_track_move(&top, top.range, S2_RECLAIM, false), S2_OK);
	ck_assert_uint_eq(top.map_count, 0);
	ck_assert(s2_track_check(&top));
	s2_track_fini(&top);
}
END_TEST

/* s2_track_check() must be able to say no. */
START_TEST(check_finds_damage)
{
	move(C1, 3, S2_DONATE, false);
	ck_assert(s2_track_check(&t));
	t.count[1]++;
	ck_assert(!s2_track_check(&t));
	t.count[1]--;
	t.map_count++;
	ck_assert(!s2_track_check(&t));
	t.map_count--;
	ck_assert(s2_track_check(&t));
}
END_TEST

/* A word a chunk that is alike, 256 bytes more for one that is not, and a little for each GiB. */
START_TEST(memory_is_small)
{
	struct s2_track large;
	size_t alike;

	memory = 0;
	ck_assert_int_eq(s2_track_init(&large, &env.env, pages(REGION, 4 * REGION)), S2_OK);
	alike = memory;
	ck_assert_uint_le(alike, 4 * (512 * sizeof(uintptr_t) + 72));
	ck_assert_int_eq(s2_track_move(&large, large.range, S2_DONATE, false), S2_OK);
	ck_assert_uint_eq(memory, alike);
	/* One page of each of three chunks; a second page of one of them; pages across two. */
	for (uint64_t i = 0; i < 3; i++) {
		ck_assert_int_eq(s2_track_move(&large, pages(REGION * 2 + i * CHUNK + 9, 1),
					       S2_SHARE, false),
				 S2_OK);
		ck_assert_uint_eq(memory, alike + (i + 1) * 256);
	}
	ck_assert_int_eq(s2_track_move(&large, pages(REGION * 2 + 400, 1), S2_SHARE, false), S2_OK);
	ck_assert_uint_eq(memory, alike + 3 * 256);
	ck_assert_int_eq(s2_track_move(&large, pages(REGION * 4 - 1, 2), S2_SHARE, false), S2_OK);
	ck_assert_uint_eq(memory, alike + 5 * 256);
	ck_assert_int_eq(s2_track_move(&large, large.range, S2_RECLAIM, false), S2_OK);
	ck_assert_uint_eq(memory, alike);
	ck_assert(s2_track_check(&large));
	s2_track_fini(&large);
	ck_assert_uint_eq(memory, 0);
}
END_TEST

/* Wherever the page is that differs last, the map goes with it; and not before. */
START_TEST(map_goes_with_the_last_page)
{
	size_t before = memory;

	move(BASE, COUNT, S2_DONATE, false);
	for (uint64_t i = 0; i < CHUNK; i++) {
		uint64_t other = (i * 7 + 1) % CHUNK;

		move(C1 + i, 1, S2_SHARE, false);
		move(C1 + other, 1, S2_EXPORT, false);
		ck_assert_uint_eq(memory, before + 256);
		move(C1 + i, 1, S2_UNSHARE, false);
		ck_assert_uint_eq(memory, before + 256);
		move(C1 + other, 1, S2_IMPORT, false);
		ck_assert_uint_eq(memory, before);
	}
}
END_TEST

/* A page that cannot have a map stays as it was. */
START_TEST(no_memory_for_one_page)
{
	struct picture before;

	move(BASE, COUNT, S2_DONATE, false);
	before = picture_take(&t);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_track_move(&t, pages(C1 + 9, 1), S2_SHARE, false), S2_ERR_NOMEM);
	ck_assert_int_eq(s2_track_begin(&t, pages(C1 + 9, 1), S2_SHARE, true), S2_ERR_NOMEM);
	ck_assert_int_eq(s2_track_poison(&t, pages(C1 + 9, 1)), S2_ERR_NOMEM);
	picture_expect(&before, &t);
	/* What is wrong with the page comes first, and what changes nothing needs nothing. */
	ck_assert_int_eq(s2_track_move(&t, pages(C1 + 9, 1), S2_UNSHARE, false), S2_ERR_STATE);
	ck_assert_int_eq(s2_track_move(&t, pages(C1, CHUNK), S2_SHARE, false), S2_OK);
	ck_assert_int_eq(s2_track_claim(&t, pages(C1 + 9, 1)), S2_OK);
	ck_assert_int_eq(s2_track_release(&t, pages(C1 + 9, 1)), S2_ERR_NOMEM);
	test_env_fail(&env, 0);
	ck_assert_uint_eq(t.map_count, 0);
	picture_free(&before);
}
END_TEST

/* Trackers of one page and of two: all that there is lies at an edge. */
START_TEST(smallest)
{
	uint64_t count = (uint64_t)_i;
	struct s2_track small;

	ck_assert_int_eq(s2_track_init(&small, &env.env, pages(C1 + 77, count)), S2_OK);
	ck_assert_int_eq(s2_track_move(&small, pages(C1 + 76, 1), S2_DONATE, false), S2_ERR_RANGE);
	for (uint64_t i = 0; i < 600; i++) {
		ck_assert_int_eq(
			s2_track_move(&small, pages(C1 + 77 + count + i, 1), S2_DONATE, false),
			S2_ERR_RANGE);
	}
	for (uint64_t i = 0; i < count; i++) {
		ck_assert_int_eq(s2_track_move(&small, pages(C1 + 77 + i, 1), S2_DONATE, false),
				 S2_OK);
		ck_assert(s2_track_check(&small));
	}
	ck_assert_uint_eq(small.map_count, 0);
	ck_assert_int_eq(s2_track_begin(&small, small.range, S2_SHARE, false), S2_OK);
	ck_assert_int_eq(s2_track_done(&small, pages(C1 + 77, 1)), S2_OK);
	ck_assert(s2_track_check(&small));
	ck_assert_uint_eq(small.map_count, count > 1);
	s2_track_fini(&small);
}
END_TEST

static void alike(const struct s2_track *of, uint64_t page, uint8_t lg2, bool want,
		  struct s2_page answer)
{
	struct s2_page got = {S2_POISONED, true, true};
	bool uniform = !want;

	ck_assert_int_eq(s2_track_uniform(of, s2_gpa(page * 4096), lg2, &uniform, &got), S2_OK);
	ck_assert_int_eq(uniform, want);
	ck_assert_int_eq(got.state, answer.state);
	ck_assert_int_eq(got.moving, answer.moving);
	ck_assert_int_eq(got.widened, answer.widened);
}

static const struct s2_page none = {S2_NONE, false, false};
static const struct s2_page secure = {S2_SECURE, false, false};
static const struct s2_page moving = {S2_SECURE, true, false};

START_TEST(uniform_arguments)
{
	struct s2_page page = {S2_POISONED, true, true};
	bool uniform = true;

	for (unsigned lg2 = 0; lg2 < 256; lg2++) {
		if (lg2 != 21 && lg2 != 30) {
			ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(C1 * 4096 + 1), (uint8_t)lg2,
							  &uniform, &page),
					 S2_ERR_INVAL);
		}
	}
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(C1 * 4096 + 4096), 21, &uniform, &page),
			 S2_ERR_ALIGN);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(C1 * 4096), 30, &uniform, &page),
			 S2_ERR_ALIGN);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(1), 21, &uniform, &page), S2_ERR_ALIGN);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(0), 21, &uniform, &page), S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa((C1 - 2 * CHUNK) * 4096), 21, &uniform, &page),
			 S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa((C1 + 3 * CHUNK) * 4096), 21, &uniform, &page),
			 S2_ERR_RANGE);
	ck_assert_int_eq(s2_track_uniform(&t, s2_gpa(REGION * 4096), 30, &uniform, &page),
			 S2_ERR_RANGE);
	ck_assert(uniform && page.state == S2_POISONED && page.moving && page.widened);
}
END_TEST

/* Neither end on a chunk: what exists of it decides. */
START_TEST(uniform_chunks)
{
	static const struct s2_page widened = {S2_SHARED, false, true};

	for (uint64_t chunk = C1 - CHUNK; chunk <= C1 + 2 * CHUNK; chunk += CHUNK) {
		alike(&t, chunk, 21, true, none);
	}
	alike(&t, 0, 30, true, none);
	move(BASE, 256, S2_DONATE, false);
	alike(&t, C1 - CHUNK, 21, true, secure);
	alike(&t, C1, 21, true, none);
	alike(&t, 0, 30, false, none);
	move(C1, COUNT - 256, S2_DONATE, false);
	alike(&t, 0, 30, true, secure);
	move(BASE + COUNT - 1, 1, S2_SHARE, false);
	alike(&t, C1 + 2 * CHUNK, 21, false, none);
	move(C1 + 2 * CHUNK, 127, S2_SHARE, true);
	alike(&t, C1 + 2 * CHUNK, 21, false, none);
	ck_assert_int_eq(s2_track_release(&t, pages(C1 + 2 * CHUNK, 128)), S2_OK);
	alike(&t, C1 + 2 * CHUNK, 21, true, widened);
}
END_TEST

/* Different moves look alike while they last, and only then. */
START_TEST(uniform_moving)
{
	move(BASE, COUNT, S2_DONATE, false);
	move(C1 + 100, 100, S2_EXPORT, true);
	begin(C1 + 200, 312, S2_SHARE, false);
	begin(C1, 100, S2_RECLAIM, false);
	alike(&t, C1, 21, false, none);
	begin(C1 + 100, 100, S2_IMPORT, false);
	alike(&t, C1, 21, true, moving);
	alike(&t, 0, 30, false, none);
	begin(BASE, C1 - BASE, S2_SHARE, true);
	begin(C1 + CHUNK, CHUNK + 128, S2_EXPORT, true);
	alike(&t, 0, 30, true, moving);
	ck_assert_int_eq(s2_track_undo(&t, pages(C1 + 511, 1)), S2_OK);
	alike(&t, C1, 21, false, none);
	alike(&t, 0, 30, false, none);
}
END_TEST

/* Three regions, the first and the last of them not whole. */
START_TEST(uniform_regions)
{
	uint64_t first = REGION * 5 - 700;
	struct s2_range range = pages(first, 700 + REGION + 300);
	struct s2_track large;
	struct s2_track_sum sum;

	ck_assert_int_eq(s2_track_init(&large, &env.env, range), S2_OK);
	ck_assert_int_eq(s2_track_move(&large, range, S2_DONATE, false), S2_OK);
	for (uint64_t region = 4; region <= 6; region++) {
		alike(&large, region * REGION, 30, true, secure);
	}
	/* One page anywhere spoils its own region. */
	for (uint64_t page = first; page < first + 700 + REGION + 300; page += 9973) {
		ck_assert_int_eq(s2_track_move(&large, pages(page, 1), S2_SHARE, false), S2_OK);
		for (uint64_t region = 4; region <= 6; region++) {
			bool is_own = region == page / REGION;

			alike(&large, region * REGION, 30, !is_own, is_own ? none : secure);
		}
		ck_assert_int_eq(s2_track_sum(&large, pages(5 * REGION, REGION), &sum), S2_OK);
		ck_assert_uint_eq(sum.state[S2_SHARED], page / REGION == 5);
		ck_assert(s2_track_check(&large));
		ck_assert_int_eq(s2_track_move(&large, pages(page, 1), S2_UNSHARE, false), S2_OK);
	}
	/* The first page that cannot decides, whatever the counters of its region say. */
	ck_assert_int_eq(s2_track_move(&large, pages(5 * REGION + 4711, 1), S2_SHARE, false),
			 S2_OK);
	ck_assert_int_eq(s2_track_begin(&large, pages(5 * REGION + 9999, 1), S2_SHARE, false),
			 S2_OK);
	ck_assert_int_eq(s2_track_move(&large, range, S2_SHARE, false), S2_ERR_STATE);
	ck_assert_int_eq(s2_track_move(&large, range, S2_RECLAIM, false), S2_ERR_BUSY);
	ck_assert_int_eq(s2_track_done(&large, pages(5 * REGION + 9999, 1)), S2_OK);
	/* All codes of a region can make it, though its chunks are mixed. */
	ck_assert_int_eq(s2_track_move(&large, range, S2_RECLAIM, false), S2_OK);
	alike(&large, 5 * REGION, 30, true, none);
	ck_assert_uint_eq(large.map_count, 0);
	ck_assert(s2_track_check(&large));
	s2_track_fini(&large);
}
END_TEST

/* s2_track_check() looks at all counters of a region, and at what a map is for. */
START_TEST(check_finds_damage_in_regions)
{
	uint32_t *counters = (uint32_t *)t.region; /* 16 codes, maps */
	void **map = (void **)t.chunk + 1;
	unsigned char saved[256];

	move(C1 + 9, 2, S2_DONATE, false);
	for (size_t i = 0; i < 17; i++) {
		counters[i]++;
		ck_assert(!s2_track_check(&t));
		counters[i]--;
	}
	ck_assert(s2_track_check(&t));
	/* No page is another than the others, and all counters say so; but there is a map. */
	memcpy(saved, *map, sizeof(saved));
	memset(*map, 0, sizeof(saved));
	t.count[S2_SECURE] -= 2;
	t.count[S2_NONE] += 2;
	counters[S2_SECURE] -= 2;
	counters[S2_NONE] += 2;
	ck_assert(!s2_track_check(&t));
	memcpy(*map, saved, sizeof(saved));
	t.count[S2_SECURE] += 2;
	t.count[S2_NONE] -= 2;
	counters[S2_SECURE] += 2;
	counters[S2_NONE] -= 2;
}
END_TEST

START_TEST(fini_twice)
{
	move(C1, 3, S2_DONATE, false);
	s2_track_fini(&t);
	s2_track_fini(&t);
	ck_assert_uint_eq(env.live, 0);
	ck_assert_int_eq(s2_track_init(&t, &env.env, WHOLE), S2_OK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("track");
	TCase *tcase = tcase_create("track");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, starts_with_nothing);
	tcase_add_test(tcase, init_fails);
	tcase_add_loop_test(tcase, ranges, 0, 9);
	tcase_add_test(tcase, arguments);
	tcase_add_loop_test(tcase, transitions, 0, (int)HOW_COUNT * S2_MOVE_COUNT * 3);
	tcase_add_loop_test(tcase, other_calls, 0, (int)HOW_COUNT * 2);
	tcase_add_test(tcase, widened_comes_and_goes);
	tcase_add_test(tcase, first_offender_decides);
	tcase_add_test(tcase, maps_come_and_go);
	tcase_add_test(tcase, finishing_needs_no_memory);
	tcase_add_test(tcase, finishing_one_page_needs_no_memory);
	tcase_add_loop_test(tcase, no_memory, 0, 6);
	tcase_add_test(tcase, claims_of_claimed_pages_need_no_memory);
	tcase_add_test(tcase, spans);
	tcase_add_test(tcase, sums);
	tcase_add_test(tcase, top_of_the_address_space);
	tcase_add_test(tcase, check_finds_damage);
	tcase_add_test(tcase, memory_is_small);
	tcase_add_test(tcase, map_goes_with_the_last_page);
	tcase_add_test(tcase, no_memory_for_one_page);
	tcase_add_loop_test(tcase, smallest, 1, 4);
	tcase_add_test(tcase, uniform_arguments);
	tcase_add_test(tcase, uniform_chunks);
	tcase_add_test(tcase, uniform_moving);
	tcase_add_test(tcase, uniform_regions);
	tcase_add_test(tcase, check_finds_damage_in_regions);
	tcase_add_test(tcase, fini_twice);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
