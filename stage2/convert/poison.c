/* SPDX-License-Identifier: BSD-2-Clause */
/* Hardware errors: one page, whatever state it is in and whoever uses it. */
#include "internal.h"

static enum s2_err reserve_cuts(struct s2_view *v, const struct s2_engine *e, struct s2_pages pages)
{
	struct s2_table_count tables = {{0}};

	if (v == NULL) {
		return S2_OK;
	}
	s2_view_count_cuts(v, e, pages, &tables);
	return s2_gather_reserve(&v->gather, tables);
}

static enum s2_err take_away(struct s2_view *v, const struct s2_engine *e, struct s2_pages pages)
{
	enum s2_err err = v == NULL ? S2_OK : s2_view_narrow(v, e, pages, 0);

	if (v != NULL && err == S2_OK) {
		s2_gather_sync(&v->gather);
	}
	return err;
}

/* A view that is addressed by hpa has to know where each page is. */
static bool are_known(const struct s2_engine *e, struct s2_pages pages)
{
	while (e->host != NULL && e->host->by_hpa && !s2_pages_are_none(pages)) {
		const struct s2_run *run =
			s2_runs_find(e->runs, e->run_count, s2_gpa(pages.start << S2_PAGE_LG2));

		if (run == NULL) {
			return false;
		}
		pages.start = s2_range_pages(s2_run_range(run)).end;
	}
	return true;
}

S2_COLD enum s2_err s2_convert_poison(struct s2_engine *e, struct s2_range range)
{
	enum s2_err err = s2_track_covers(e->track, range);
	struct s2_pages pages;

	if (err != S2_OK) {
		return err;
	}
	pages = s2_range_pages(range);
	if (!are_known(e, pages)) {
		return S2_ERR_INVAL;
	}
	err = reserve_cuts(e->guest, e, pages);
	if (err == S2_OK) {
		err = reserve_cuts(e->host, e, pages);
	}
	if (err == S2_OK) {
		err = s2_track_poison(e->track, range);
	}
	if (err == S2_OK) {
		s2_marks_poison(e, pages);
		err = take_away(e->guest, e, pages);
	}
	return err == S2_OK ? take_away(e->host, e, pages) : err;
}
