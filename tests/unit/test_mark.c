/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marks. What goes wrong with one bit for a folio is done here the way Linux does it; the functions that
 * play a part of Linux have its names. Beside each: the same with a truth for each page.
 */
#include <check.h>
#include <string.h>

#include "check_main.h"
#include "model/flat.h"
#include "test_env.h"
#include "test_track.h"
#include <stage2/mark.h>

#define FOLIO 16u /* pages, 64K */
#define FOLIO_COUNT 4u
#define FIRST (CHUNK * 8)
#define COUNT (FOLIO * FOLIO_COUNT + 8) /* the last eight pages are in no run */

static struct test_env env;
static struct s2_track t;
static struct s2_run runs[FOLIO * FOLIO_COUNT];
static struct s2_marks marks;
static struct s2_engine engine;
static struct s2_job job;

/* The Ultravisor: it knows by itself which pages are secure, and does one page at a time. */
static struct {
	bool secure[COUNT];
	uint64_t calls;
	unsigned held;	    /* a page that somebody holds; COUNT: none */
	unsigned again_in;  /* the call, from 1, that has to be made again; 0: none */
	bool not_marked;    /* a page became secure in a folio without a mark */
	bool freezes_folio; /* wants to be sure of all the folio's pages before the first */
} uv;

static struct s2_run *run_of(uint64_t page)
{
	for (size_t i = 0; i < engine.run_count; i++) {
		struct s2_range range = s2_run_range(&runs[i]);

		if (page * S2_PAGE_SIZE - range.start.val < range.len) {
			return &runs[i];
		}
	}
	return NULL;
}

static void check_mark(uint64_t page)
{
	const struct s2_run *run = run_of(page);

	if (engine.marks != NULL && marks.scheme == S2_MARK_FOLIO && run != NULL &&
	    (marks.mark[run - runs] & S2_MARK_SECURE) == 0) {
		uv.not_marked = true;
	}
}

/* One instruction. */
static void uv_call(enum s2_move move, uint64_t page)
{
	uv.calls++;
	if (move == S2_IMPORT || move == S2_DONATE || move == S2_UNSHARE) {
		check_mark(page);
		uv.secure[page - FIRST] = true;
	} else {
		uv.secure[page - FIRST] = false;
	}
}

/* Linux: the refcount of the folio of a page can be frozen if nobody holds any page of it. */
static bool folio_ref_freeze(uint64_t page)
{
	const struct s2_run *run = run_of(page);

	return run == NULL || (FIRST + uv.held) * S2_PAGE_SIZE - run->gpa.val >= run->len;
}

static struct s2_answer uv_convert(void *cookie, enum s2_move move, struct s2_range range)
{
	uint64_t page = range.start.val / S2_PAGE_SIZE;

	(void)cookie;
	ck_assert_uint_eq(range.len, S2_PAGE_SIZE);
	if (uv.again_in != 0 && --uv.again_in == 0) {
		return (struct s2_answer){S2_REPLY_AGAIN, 0};
	}
	if (move == S2_IMPORT &&
	    (page == FIRST + uv.held || (uv.freezes_folio && !folio_ref_freeze(page)))) {
		return (struct s2_answer){S2_REPLY_BUSY, 0};
	}
	uv_call(move, page);
	return (struct s2_answer){S2_REPLY_OK, range.len};
}

static const struct s2_backend backend = {uv_convert, NULL, S2_PAGE_SIZE};

static void convert(enum s2_move move, uint64_t start, uint64_t count)
{
	struct s2_request request = {
		.move = move, .range = pages(start, count), .grain = S2_PAGE_SIZE};

	ck_assert_int_eq(s2_convert(&engine, &request, &job), S2_OK);
}

static void start(enum s2_mark_scheme scheme)
{
	test_env_init(&env);
	memset(&uv, 0, sizeof(uv));
	memset(&job, 0, sizeof(job));
	uv.held = COUNT;
	for (unsigned i = 0; i < FOLIO_COUNT; i++) {
		runs[i] = (struct s2_run){s2_gpa((FIRST + i * FOLIO) * S2_PAGE_SIZE),
					  s2_hpa((0x1000 + i * FOLIO) * S2_PAGE_SIZE),
					  FOLIO * S2_PAGE_SIZE, 4};
	}
	ck_assert_int_eq(s2_track_init(&t, &env.env, pages(FIRST, COUNT)), S2_OK);
	engine = (struct s2_engine){
		.track = &t, .runs = runs, .run_count = FOLIO_COUNT, .backend = &backend};
	ck_assert_int_eq(s2_marks_init(&marks, &env.env, scheme, &engine), S2_OK);
	engine.marks = &marks;
	convert(S2_DONATE, FIRST, COUNT);
	uv.calls = 0;
}

static void finish(void)
{
	ck_assert(!uv.not_marked);
	ck_assert_int_eq(job.phase, S2_JOB_IDLE);
	s2_marks_fini(&marks);
	s2_track_fini(&t);
	ck_assert_uint_eq(env.live, 0);
}

static unsigned secure_pages(uint64_t start_page, unsigned count)
{
	unsigned secure = 0;

	for (unsigned i = 0; i < count; i++) {
		secure += uv.secure[start_page - FIRST + i];
	}
	return secure;
}

static enum s2_err access_pages(uint64_t start_page, uint64_t count)
{
	uv.calls = 0;
	return s2_make_accessible(&engine, pages(start_page, count), &job);
}

/* Linux: __folio_split_to_order() without what a kernel without PG_arch_1 in the list forgets. */
static void split_folio(size_t index, bool hand_down)
{
	struct s2_run whole = runs[index];
	uint8_t head = marks.mark[index];

	ck_assert_int_eq(s2_marks_split(&marks, index, FOLIO), S2_OK);
	memmove(&runs[index + FOLIO], &runs[index + 1],
		(engine.run_count - index - 1) * sizeof(runs[0]));
	for (unsigned i = 0; i < FOLIO; i++) {
		runs[index + i] =
			(struct s2_run){s2_gpa(whole.gpa.val + i * S2_PAGE_SIZE),
					s2_hpa(whole.hpa.val + i * S2_PAGE_SIZE), S2_PAGE_SIZE, 0};
		ck_assert_uint_eq(marks.mark[index + i], head);
		if (i > 0 && !hand_down) {
			marks.mark[index + i] = 0;
		}
	}
	engine.run_count += FOLIO - 1;
}

/* The use of one page, of a folio, of all, and again: only what the scheme wants is exported. */
START_TEST(access_exports)
{
	bool folio = _i == S2_MARK_FOLIO;

	start((enum s2_mark_scheme)_i);
	ck_assert_str_eq(s2_mark_scheme_name(marks.scheme), folio ? "folio" : "page");
	ck_assert_int_eq(access_pages(FIRST + 3, 1), S2_OK);
	ck_assert_uint_eq(uv.calls, folio ? FOLIO : 1);
	ck_assert_uint_eq(secure_pages(FIRST, FOLIO), folio ? 0 : FOLIO - 1);
	ck_assert_uint_eq(marks.mark[0], 0);
	ck_assert_uint_eq(marks.mark[1], folio ? S2_MARK_SECURE : 0);
	ck_assert_int_eq(access_pages(FIRST + 3, 1), S2_OK);
	ck_assert_uint_eq(uv.calls, 0);

	/* Over two folios and the pages behind, which are in none. */
	ck_assert_int_eq(access_pages(FIRST + 3 * FOLIO - 1, FOLIO + 2), S2_OK);
	ck_assert_uint_eq(uv.calls, folio ? 2 * FOLIO + 1 : FOLIO + 2);
	ck_assert_uint_eq(secure_pages(FIRST + 4 * FOLIO, 8), 7);
	ck_assert_int_eq(access_pages(FIRST, COUNT), S2_OK);
	ck_assert_uint_eq(secure_pages(FIRST, COUNT), 0);
	ck_assert_int_eq(access_pages(FIRST, COUNT), S2_OK);
	ck_assert_uint_eq(uv.calls, 0);
	finish();
}
END_TEST

/* What is shared or nobody's needs no export and gets none. */
START_TEST(access_leaves_alone)
{
	start((enum s2_mark_scheme)_i);
	convert(S2_SHARE, FIRST, 4);
	convert(S2_RECLAIM, FIRST + 4, 4);
	ck_assert_int_eq(access_pages(FIRST, FOLIO), S2_OK);
	ck_assert_uint_eq(uv.calls, 8);
	ck_assert_int_eq(page_at(&t, FIRST).state, S2_SHARED);
	ck_assert_int_eq(page_at(&t, FIRST + 4).state, S2_NONE);
	ck_assert_int_eq(page_at(&t, FIRST + 8).state, S2_EXPORTED);
	finish();
}
END_TEST

START_TEST(access_fails_before_it_exports)
{
	struct picture before;

	start((enum s2_mark_scheme)_i);
	ck_assert_int_eq(s2_track_move(&t, pages(FIRST + 5, 1), S2_SHARE, true), S2_OK);
	ck_assert_int_eq(s2_convert_poison(&engine, pages(FIRST + 9, 1)), S2_OK);
	ck_assert_int_eq(s2_track_begin(&t, pages(FIRST + 12, 1), S2_SHARE, false), S2_OK);
	before = picture_take(&t);
	ck_assert_int_eq(access_pages(FIRST, 6), S2_ERR_EXPOSE);
	ck_assert_int_eq(access_pages(FIRST + 6, 10), S2_ERR_POISON);
	ck_assert_int_eq(access_pages(FIRST + 10, 6), S2_ERR_BUSY);
	ck_assert_int_eq(access_pages(FIRST, 0), S2_ERR_INVAL);
	ck_assert_int_eq(access_pages(FIRST - 1, 2), S2_ERR_RANGE);
	ck_assert_uint_eq(uv.calls, 0);
	picture_expect(&before, &t);
	picture_free(&before);
	finish();
}
END_TEST

/* A back end that wants to be called again: the same call goes on, in both directions. */
START_TEST(calls_go_on)
{
	uint64_t held;

	start((enum s2_mark_scheme)_i);
	uv.again_in = 5;
	ck_assert_int_eq(access_pages(FIRST, FOLIO), S2_ERR_AGAIN);
	ck_assert_int_eq(job.phase, S2_JOB_PARTIAL);
	ck_assert_uint_eq(secure_pages(FIRST, FOLIO), FOLIO - 4);
	ck_assert_uint_eq(marks.mark[0], _i == S2_MARK_FOLIO ? S2_MARK_SECURE : 0);
	ck_assert_int_eq(access_pages(FIRST, FOLIO), S2_OK);
	ck_assert_uint_eq(uv.calls, FOLIO - 4);
	ck_assert_uint_eq(secure_pages(FIRST, FOLIO), 0);
	ck_assert_uint_eq(marks.mark[0], 0);

	uv.again_in = 2;
	ck_assert_int_eq(s2_make_secure(&engine, pages(FIRST, FOLIO), &job, &held), S2_ERR_AGAIN);
	ck_assert_int_eq(s2_make_secure(&engine, pages(FIRST, FOLIO), &job, &held), S2_OK);
	ck_assert_uint_eq(held, 0);
	ck_assert_uint_eq(secure_pages(FIRST, FOLIO), FOLIO);
	finish();
}
END_TEST

/* Linux: uv_convert_from_secure_folio(): every page of it, and no test of PG_arch_1 before. */
static void uv_convert_from_secure_folio(size_t index)
{
	uint64_t first = runs[index].gpa.val / S2_PAGE_SIZE;

	for (unsigned i = 0; i < FOLIO; i++) {
		if (page_at(&t, first + i).state == S2_SECURE) {
			convert(S2_EXPORT, first + i, 1);
		} else {
			uv_call(S2_EXPORT, first + i); /* it is normal, and nobody knew */
		}
	}
}

enum unmap {
	BY_LINUX, /* ptep_get_and_clear(): uv_convert_from_secure_pte() takes the folio of the pte */
	BY_CALL
};

/* A folio that is mapped by pages is unmapped; returns how often the Ultravisor was called. */
static uint64_t unmap_folio(enum s2_mark_scheme scheme, enum unmap how)
{
	uint64_t calls = 0;

	start(scheme);
	for (unsigned i = 0; i < FOLIO; i++) {
		uv.calls = 0;
		if (how == BY_LINUX) {
			uv_convert_from_secure_folio(0);
		} else {
			ck_assert_int_eq(access_pages(FIRST + i, 1), S2_OK);
		}
		calls += uv.calls;
	}
	ck_assert_uint_eq(secure_pages(FIRST, FOLIO), 0);
	ck_assert_uint_eq(secure_pages(FIRST + FOLIO, FOLIO), FOLIO);
	finish();
	return calls;
}

START_TEST(unmapping_page_by_page)
{
	ck_assert_uint_eq(unmap_folio(S2_MARK_FOLIO, BY_LINUX), 256);
	ck_assert_uint_eq(unmap_folio(S2_MARK_FOLIO, BY_CALL), 16); /* the bit is tested first */
	ck_assert_uint_eq(unmap_folio(S2_MARK_PAGE, BY_CALL), 16);
}
END_TEST

/* A tail of a folio that was split is used by the host: how many secure pages does it get? */
static unsigned use_tails(enum s2_mark_scheme scheme, bool hand_down)
{
	unsigned secure;

	start(scheme);
	split_folio(1, hand_down);
	ck_assert_int_eq(access_pages(FIRST + FOLIO, FOLIO), S2_OK);
	secure = secure_pages(FIRST + FOLIO, FOLIO);
	finish();
	return secure;
}

START_TEST(splitting_a_folio)
{
	/* All tails, unexported, and the call said that all is well. */
	ck_assert_uint_eq(use_tails(S2_MARK_FOLIO, false), FOLIO - 1);
	ck_assert_uint_eq(use_tails(S2_MARK_FOLIO, true), 0);
	/* There is no bit that could be lost. */
	ck_assert_uint_eq(use_tails(S2_MARK_PAGE, false), 0);
	ck_assert_uint_eq(use_tails(S2_MARK_PAGE, true), 0);
}
END_TEST

/* One page is held. How many of its folio become secure, and how many calls does it take? */
static unsigned import_folio(enum s2_mark_scheme scheme, uint64_t *held, uint64_t *calls)
{
	unsigned secure;

	start(scheme);
	ck_assert_int_eq(access_pages(FIRST, 2 * FOLIO), S2_OK);
	uv.calls = 0;
	uv.held = 5;
	uv.freezes_folio = scheme == S2_MARK_FOLIO; /* __make_folio_secure() */
	ck_assert_int_eq(s2_make_secure(&engine, pages(FIRST + 2, 2 * FOLIO - 2), &job, held),
			 S2_ERR_HELD);
	*calls = uv.calls;
	secure = secure_pages(FIRST, FOLIO);
	ck_assert_uint_eq(secure_pages(FIRST + FOLIO, FOLIO), FOLIO);
	ck_assert_int_eq(page_at(&t, FIRST + 5).state, S2_EXPORTED);

	/* They have let go. */
	uv.held = COUNT;
	ck_assert_int_eq(
		s2_make_secure(&engine, pages(FIRST + 2, 2 * FOLIO - 2), &job, &(uint64_t){0}),
		S2_OK);
	ck_assert_uint_eq(secure_pages(FIRST + 2, FOLIO - 2), FOLIO - 2);
	finish();
	return secure;
}

START_TEST(importing_with_one_page_held)
{
	uint64_t held;
	uint64_t calls;

	ck_assert_uint_eq(import_folio(S2_MARK_FOLIO, &held, &calls), 0);
	ck_assert_uint_eq(held, FOLIO);
	ck_assert_uint_eq(calls, FOLIO); /* of the other folio */
	/* Fourteen were asked for, one is held. */
	ck_assert_uint_eq(import_folio(S2_MARK_PAGE, &held, &calls), 13);
	ck_assert_uint_eq(held, 1);
	ck_assert_uint_eq(calls, 13 + FOLIO);
}
END_TEST

/* A page of the folio may be secure exactly if the mark says so, whatever happens. */
START_TEST(marks_over_indicate)
{
	flat_random_state = flat_seed();
	start(S2_MARK_FOLIO);
	for (unsigned n = 0; n < 3000; n++) {
		static const enum s2_move moves[] = {S2_DONATE, S2_SHARE,  S2_UNSHARE,
						     S2_EXPORT, S2_IMPORT, S2_RECLAIM};
		unsigned first = flat_below(FOLIO * FOLIO_COUNT);
		unsigned count = 1 + flat_below(FOLIO * FOLIO_COUNT - first);
		struct s2_request request = {.move = moves[flat_below(6)],
					     .range = pages(FIRST + first, 1 + flat_below(count)),
					     .grain = S2_GRAIN_FOLIO,
					     .policy = (enum s2_policy)flat_below(3),
					     .guest_offers_grain = true};

		uv.again_in = flat_below(4) == 0 ? 1 + flat_below(8) : 0;
		if (s2_convert(&engine, &request, &job) == S2_ERR_AGAIN &&
		    request.move != S2_RECLAIM && flat_below(2) == 0) {
			ck_assert_int_eq(s2_convert_stop(&engine, &job), S2_OK);
		}
		ck_assert_int_eq(s2_convert_resume(&engine, &job), S2_OK);
		for (unsigned i = 0; i < FOLIO_COUNT; i++) {
			struct s2_track_sum sum;

			ck_assert_int_eq(s2_track_sum(&t, s2_run_range(&runs[i]), &sum), S2_OK);
			ck_assert_uint_eq(marks.mark[i],
					  sum.state[S2_SECURE] != 0 ? S2_MARK_SECURE : 0);
		}
	}
	finish();
}
END_TEST

START_TEST(marks_begin_with_the_truth)
{
	struct s2_marks late;

	start(S2_MARK_PAGE);
	convert(S2_EXPORT, FIRST, FOLIO);
	ck_assert_int_eq(s2_track_begin(&t, pages(FIRST, 1), S2_IMPORT, false), S2_OK);
	convert(S2_SHARE, FIRST + FOLIO, FOLIO);
	ck_assert_int_eq(s2_convert_poison(&engine, pages(FIRST + FOLIO + 1, 1)), S2_OK);
	ck_assert_int_eq(s2_marks_init(&late, &env.env, S2_MARK_FOLIO, &engine), S2_OK);
	ck_assert_uint_eq(late.count, FOLIO_COUNT);
	ck_assert_uint_eq(late.mark[0], S2_MARK_SECURE);
	ck_assert_uint_eq(late.mark[1], S2_MARK_POISON);
	ck_assert_uint_eq(late.mark[2], S2_MARK_SECURE);
	s2_marks_fini(&late);

	ck_assert_int_eq(s2_marks_init(&late, &env.env, S2_MARK_SCHEME_COUNT, &engine),
			 S2_ERR_INVAL);
	ck_assert_str_eq(s2_mark_scheme_name(S2_MARK_SCHEME_COUNT), "unknown");
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_marks_init(&late, &env.env, S2_MARK_FOLIO, &engine), S2_ERR_NOMEM);
	test_env_fail(&env, 0);
	engine.run_count = 0;
	ck_assert_int_eq(s2_marks_init(&late, &env.env, S2_MARK_FOLIO, &engine), S2_ERR_INVAL);
	finish();
}
END_TEST

START_TEST(split_and_merge)
{
	start(S2_MARK_FOLIO);
	convert(S2_EXPORT, FIRST, 2 * FOLIO);
	ck_assert_int_eq(s2_convert_poison(&engine, pages(FIRST + FOLIO, 1)), S2_OK);
	test_env_fail(&env, 1);
	ck_assert_int_eq(s2_marks_split(&marks, 1, 3), S2_ERR_NOMEM);
	ck_assert_uint_eq(marks.count, 4);
	test_env_fail(&env, 0);
	ck_assert_int_eq(s2_marks_split(&marks, 1, 3), S2_OK);
	ck_assert_uint_eq(marks.count, 6);
	ck_assert_mem_eq(marks.mark, ((const uint8_t[]){0, 2, 2, 2, 1, 1}), 6);
	ck_assert_int_eq(s2_marks_split(&marks, 5, 1), S2_OK);
	ck_assert_int_eq(s2_marks_merge(&marks, 3, 2), S2_OK);
	ck_assert_mem_eq(marks.mark, ((const uint8_t[]){0, 2, 2, 3, 1}), 5);
	ck_assert_int_eq(s2_marks_merge(&marks, 0, 5), S2_OK);
	ck_assert_uint_eq(marks.count, 1);
	ck_assert_uint_eq(marks.mark[0], 3);

	ck_assert_int_eq(s2_marks_split(&marks, 1, 2), S2_ERR_RANGE);
	ck_assert_int_eq(s2_marks_split(&marks, 0, 0), S2_ERR_INVAL);
	ck_assert_int_eq(s2_marks_merge(&marks, 1, 1), S2_ERR_RANGE);
	ck_assert_int_eq(s2_marks_merge(&marks, 0, 2), S2_ERR_RANGE);
	ck_assert_int_eq(s2_marks_merge(&marks, 0, 0), S2_ERR_INVAL);
	finish();
}
END_TEST

/* The folio's bit follows the pages' truth, through a split too; nobody else of the folio suffers. */
START_TEST(poisoned_folio)
{
	start((enum s2_mark_scheme)_i);
	ck_assert(!s2_folio_has_poison(&engine, 1));
	ck_assert_int_eq(s2_convert_poison(&engine, pages(FIRST + FOLIO + 7, 1)), S2_OK);
	ck_assert(s2_folio_has_poison(&engine, 1));
	ck_assert(!s2_folio_has_poison(&engine, 0));
	ck_assert(!s2_folio_has_poison(&engine, 2));
	ck_assert_int_eq(access_pages(FIRST + FOLIO + 8, 8), S2_OK);

	split_folio(1, true);
	for (unsigned i = 0; i < FOLIO; i++) {
		ck_assert_int_eq(s2_folio_has_poison(&engine, 1 + i), i == 7);
		ck_assert_uint_eq(marks.mark[1 + i] & S2_MARK_POISON, i == 7 ? S2_MARK_POISON : 0);
	}
	/* The page is replaced by a good one: its table of state begins again. */
	ck_assert_int_eq(s2_track_move(&t, pages(FIRST + FOLIO + 7, 1), S2_RECLAIM, false), S2_OK);
	ck_assert(!s2_folio_has_poison(&engine, 8));
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mark");
	TCase *tcase = tcase_create("mark");

	tcase_add_loop_test(tcase, access_exports, 0, S2_MARK_SCHEME_COUNT);
	tcase_add_loop_test(tcase, access_leaves_alone, 0, S2_MARK_SCHEME_COUNT);
	tcase_add_loop_test(tcase, access_fails_before_it_exports, 0, S2_MARK_SCHEME_COUNT);
	tcase_add_loop_test(tcase, calls_go_on, 0, S2_MARK_SCHEME_COUNT);
	tcase_add_test(tcase, unmapping_page_by_page);
	tcase_add_test(tcase, splitting_a_folio);
	tcase_add_test(tcase, importing_with_one_page_held);
	tcase_add_test(tcase, marks_over_indicate);
	tcase_add_test(tcase, marks_begin_with_the_truth);
	tcase_add_test(tcase, split_and_merge);
	tcase_add_loop_test(tcase, poisoned_folio, 0, S2_MARK_SCHEME_COUNT);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
