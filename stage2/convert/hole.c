/* SPDX-License-Identifier: BSD-2-Clause */
/* The pages of a folio that are not as the folio is; all of it is read from the tracker. */
#include "../internal.h"
#include <stage2/hole.h>

static enum s2_err check(const struct s2_track *t, const struct s2_run *run)
{
	enum s2_err err = s2_run_check(run);

	return err != S2_OK ? err : s2_track_covers(t, s2_run_range(run));
}

/* The first hole at or behind a page; none, at the end of pages, if there is none. */
static struct s2_pages next_hole(const struct s2_track *t, struct s2_pages pages,
				 enum s2_state state)
{
	pages.start = s2_track_skip(t, pages, s2_code_resting(state));
	if (pages.start < pages.end) {
		unsigned code = s2_track_code(t, pages.start);

		pages.end = s2_track_skip(t, pages,
					  s2_code_moving(code)
						  ? s2_code_alike(code)
						  : s2_code_resting(s2_code_pages[code].state));
	}
	return pages;
}

enum s2_err s2_holes_count(const struct s2_track *t, const struct s2_run *run,
			   struct s2_folio_sum *out)
{
	enum s2_err err = check(t, run);
	struct s2_pages left;

	if (err != S2_OK) {
		return err;
	}
	*out = (struct s2_folio_sum){.state = S2_NONE};
	err = s2_track_sum(t, s2_run_range(run), &out->pages);
	for (unsigned state = 0; state < S2_STATE_COUNT; state++) {
		if (out->pages.state[state] > out->pages.state[out->state]) {
			out->state = (enum s2_state)state;
		}
	}
	left = s2_range_pages(s2_run_range(run));
	for (left = next_hole(t, left, out->state); left.start < left.end;
	     left = next_hole(t, left, out->state)) {
		out->hole_count++;
		out->hole_pages += left.end - left.start;
		left = s2_pages(left.end, s2_range_pages(s2_run_range(run)).end);
	}
	out->whole = out->hole_count == 0;
	return err;
}

enum s2_err s2_holes_next(const struct s2_track *t, const struct s2_run *run, enum s2_state state,
			  s2_gpa_t gpa, struct s2_span *out)
{
	enum s2_err err = check(t, run);
	struct s2_pages hole;

	if (err != S2_OK) {
		return err;
	}
	if ((unsigned)state >= S2_STATE_COUNT) {
		return S2_ERR_INVAL;
	}
	hole = s2_range_pages(s2_run_range(run));
	if (gpa.val >> S2_PAGE_LG2 < hole.start || gpa.val >> S2_PAGE_LG2 >= hole.end) {
		return S2_ERR_RANGE;
	}
	hole.start = gpa.val >> S2_PAGE_LG2;
	hole = next_hole(t, hole, state);
	if (hole.start >= hole.end) {
		return S2_ERR_ABSENT;
	}
	out->range = s2_pages_range(hole);
	out->page = s2_code_pages[s2_track_code(t, hole.start)];
	return S2_OK;
}
