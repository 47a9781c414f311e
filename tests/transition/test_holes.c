/* SPDX-License-Identifier: BSD-2-Clause */
/* Folios with pages that are not as the folio is: what is said of them, and that leaves come back. */
#include "cases.h"

#define FOLIO 512u /* 16 pages */

static struct s2_folio_sum sum_of(unsigned run)
{
	struct s2_folio_sum sum;

	must_err(s2_holes_count(&w.track, &w.run[run], &sum), S2_OK);
	return sum;
}

static void expect_hole(enum s2_state of, unsigned from, unsigned start, unsigned count,
			enum s2_state state, bool moving)
{
	struct s2_span hole;

	must_err(s2_holes_next(&w.track, &w.run[1], of, page_range(from, 1).start, &hole), S2_OK);
	must(hole.range.start.val == page_range(start, 1).start.val);
	must(hole.range.len == count * S2_PAGE_SIZE);
	must(hole.page.state == state && hole.page.moving == moving);
}

/* Leaves of both views, by size, in the guest's part. */
struct shape {
	struct s2_count guest, host;
};

static struct shape shape_now(void)
{
	struct shape shape;
	struct s2_range store =
		s2_range(s2_gpa(STORE_FIRST << S2_PAGE_LG2), STORE_PAGES * S2_PAGE_SIZE);

	must_err(s2_count(&w.guest.space, page_range(0, ORACLE_PAGES), &shape.guest), S2_OK);
	must_err(s2_count(&w.host.space, store, &shape.host), S2_OK);
	return shape;
}

static bool same_leaves(const struct s2_count *a, const struct s2_count *b)
{
	return a->bytes == b->bytes && memcmp(a->leaf, b->leaf, sizeof(a->leaf)) == 0;
}

static void rejoin_all(void)
{
	while (!s2_view_rejoin(&w.guest.view, w.run, w.run_count, K64)) {
	}
	while (!s2_view_rejoin(&w.host.view, w.run, w.run_count, K64)) {
	}
}

IN_WORLDS(pages_of_a_folio, false)
{
	struct s2_span hole;

	act_populate();
	must(sum_of(1).whole && sum_of(1).state == S2_SECURE && sum_of(1).hole_count == 0);
	act_move(S2_SHARE, FOLIO + 3, 2);
	act_move(S2_EXPORT, FOLIO + 5, 1);
	must_err(act_start(1, request_of(S2_EXPORT, FOLIO + 15, 1, K4, S2_EXACT)), S2_OK);
	watch_settled();
	must(!sum_of(1).whole && sum_of(1).state == S2_SECURE);
	must(sum_of(1).hole_count == 3 && sum_of(1).hole_pages == 4);
	expect_hole(S2_SECURE, FOLIO, FOLIO + 3, 2, S2_SHARED, false);
	expect_hole(S2_SECURE, FOLIO + 4, FOLIO + 4, 1, S2_SHARED, false);
	expect_hole(S2_SECURE, FOLIO + 5, FOLIO + 5, 1, S2_EXPORTED, false);
	expect_hole(S2_SECURE, FOLIO + 6, FOLIO + 15, 1, S2_SECURE, true);
	must_err(act_back(1), S2_OK);
	must_err(s2_holes_next(&w.track, &w.run[1], S2_SECURE, page_range(FOLIO + 6, 1).start,
			       &hole),
		 S2_ERR_ABSENT);
	/* The other folio is nobody's concern. */
	must(sum_of(2).whole);
}

/* A folio is large again once its holes are closed: at once, when there is time, or never. */
IN_WORLDS(leaves_come_back, false)
{
	struct shape before;
	struct shape after;

	act_populate();
	rejoin_all();
	before = shape_now();
	act_move(S2_SHARE, FOLIO + 3, 2);
	act_move(S2_EXPORT, 40, 1);
	watch_settled();
	act_move(S2_UNSHARE, FOLIO + 3, 2);
	act_move(S2_IMPORT, 40, 1);
	rejoin_all();
	watch_settled();
	after = shape_now();
	if (w.choice.rejoin != S2_REJOIN_NEVER) {
		must(same_leaves(&before.guest, &after.guest));
		must(same_leaves(&before.host, &after.host));
	} else {
		must(before.guest.bytes == after.guest.bytes);
		must(before.host.bytes == after.host.bytes);
	}
}

/* A hardware error is a hole for good, of one page; in a job it is taken out. */
IN_WORLDS(one_page_has_an_error, false)
{
	unsigned page = FOLIO + 9;

	act_populate();
	must_err(act_poison(page, 1), S2_OK);
	watch_settled();
	must(sum_of(1).hole_count == 1 && sum_of(1).hole_pages == 1);
	expect_hole(S2_SECURE, FOLIO, page, 1, S2_POISONED, false);
	must_err(act_start(1, request_of(S2_EXPORT, FOLIO, 9, K64, S2_WIDEN)), S2_OK);
	must_err(act_poison(FOLIO + 2, 3), S2_OK);
	watch_settled();
	must_err(act_resume(1), S2_OK);
	watch_settled();
	must_err(act_convert(1, request_of(S2_IMPORT, FOLIO, 4, K64, S2_WIDEN)), S2_ERR_POISON);
	must_err(act_convert(1, request_of(S2_RECLAIM, FOLIO, 16, K64, S2_EXACT)), S2_OK);
	must(w.job[1].count.refused == 4 && w.job[1].count.converted == 12);
	watch_settled();
}

/* What the host has pinned stays shared; with the Ultravisor, the guest's own call says so, too. */
IN_WORLDS(pinned, true)
{
	union s2_uvcb block;

	act_populate();
	must_err(act_pin(FOLIO, 1), S2_ERR_STATE);
	act_move(S2_SHARE, FOLIO, 8);
	must_err(act_pin(FOLIO + 2, 2), S2_OK);
	must_err(act_pin(FOLIO + 3, 2), S2_OK);
	watch_settled();
	for (unsigned g = 0; g < GRAIN_COUNT; g++) {
		for (unsigned policy = 0; policy < S2_POLICY_COUNT; policy++) {
			must_err(act_convert(1, request_of(S2_UNSHARE, FOLIO, 8, grains[g],
							   (enum s2_policy)policy)),
				 S2_ERR_HELD);
			must_err(act_convert(1, request_of(S2_RECLAIM, FOLIO, 8, grains[g],
							   (enum s2_policy)policy)),
				 S2_ERR_HELD);
		}
	}
	if (w.choice.behind == BEHIND_UV) {
		s2_uvcb_begin(&block, S2_UVC_UNSHARE);
		s2_uvcb_put64(&block, S2_UVCB_GADDR, page_range(FOLIO + 4, 1).start.val);
		must(s2_uvc(&w.uv, w.uv_backend.handle, &block, sizeof(block)) ==
		     S2_UVC_NOTIFICATION);
	}
	must_err(act_unpin(FOLIO + 2, 2), S2_OK);
	must_err(act_unpin(FOLIO + 2, 1), S2_ERR_STATE);
	must_err(act_convert(1, request_of(S2_UNSHARE, FOLIO, 3, K4, S2_EXACT)), S2_OK);
	must_err(act_convert(1, request_of(S2_UNSHARE, FOLIO, 4, K4, S2_EXACT)), S2_ERR_HELD);
	/* A hardware error does not ask. */
	must_err(act_poison(FOLIO + 3, 1), S2_OK);
	watch_settled();
	must_err(act_unpin(FOLIO + 3, 2), S2_OK);
	watch_settled();
}

TCase *case_holes(void)
{
	TCase *tcase = tcase_create("holes, errors, pins");

	tcase_add_test(tcase, pages_of_a_folio);
	tcase_add_test(tcase, leaves_come_back);
	tcase_add_test(tcase, one_page_has_an_error);
	tcase_add_test(tcase, pinned);
	return tcase;
}
