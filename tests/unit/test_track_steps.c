/* SPDX-License-Identifier: BSD-2-Clause */
/* From each state to each other. */
#include "track.h"

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

void add_steps(TCase *tcase)
{
	tcase_add_loop_test(tcase, transitions, 0, (int)HOW_COUNT * S2_MOVE_COUNT * 3);
	tcase_add_loop_test(tcase, other_calls, 0, (int)HOW_COUNT * 2);
	tcase_add_test(tcase, widened_comes_and_goes);
	tcase_add_test(tcase, first_offender_decides);
}
