/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of the transition engine and by nobody else. */
#ifndef STAGE2_CONVERT_INTERNAL_H
#define STAGE2_CONVERT_INTERNAL_H

#include "../internal.h"
#include <stage2/convert.h>

/* A move, as sets of codes. */
struct s2_move_codes {
	unsigned from;	     /* at rest, and can make it */
	unsigned to;	     /* at rest, and have made it */
	unsigned moving;     /* are making it */
	unsigned skip;	     /* may be asked for, and stay as they are */
	enum s2_state start; /* S2_STATE_COUNT: several */
	enum s2_state end;
	bool out;  /* to be widened is to be marked so */
	bool back; /* with S2_WIDEN a grain returns as a whole, the last one asked for */
};

extern const struct s2_move_codes s2_move_codes[S2_MOVE_COUNT];

static inline bool s2_pages_are_none(struct s2_pages pages)
{
	return pages.start >= pages.end;
}

static inline uint64_t s2_pages_count(struct s2_pages pages)
{
	return s2_pages_are_none(pages) ? 0 : pages.end - pages.start;
}

/* What of pages lies before, and what behind, a part of it. The part may lie outside altogether. */
static inline struct s2_pages s2_pages_before(struct s2_pages pages, struct s2_pages part)
{
	return s2_pages_overlap(pages, s2_pages(0, part.start));
}

static inline struct s2_pages s2_pages_behind(struct s2_pages pages, struct s2_pages part)
{
	return s2_pages_overlap(pages, s2_pages(part.end, UINT64_MAX));
}

/* The first maximal stretch of pages with these codes; none, at the end of pages, if there is none. */
static inline struct s2_pages s2_next_with(const struct s2_track *t, struct s2_pages pages,
					   unsigned codes)
{
	pages.start = s2_track_skip(t, pages, S2_CODE_ALL & ~codes);
	pages.end = s2_track_skip(t, pages, codes);
	return pages;
}

/* Pages with these codes. */
uint64_t s2_count_with(const struct s2_track *t, struct s2_pages pages, unsigned codes);

/* A grain that a request touches, and what the request asks for in it. */
struct s2_grain {
	struct s2_pages all;
	struct s2_pages asked;
};

struct s2_grain s2_grain_at(const struct s2_engine *e, const struct s2_request *request,
			    uint64_t page);

/* A walk over the pieces that a request moves: maximal stretches, those of a grain at a time. */
struct s2_plan {
	const struct s2_engine *e;
	const struct s2_request *request;
	const struct s2_move_codes *codes;
	struct s2_pages asked;
	struct s2_pages scope;
	bool all_move; /* every page that is asked for can make the move */
	/* where the walk is */
	struct s2_pages left; /* of the current grain */
	uint64_t next;	      /* page number: where the next grain begins */
	struct s2_convert_count count;
};

/* Checks all that can be wrong with a request, and makes *p ready for a walk. Changes nothing. */
S2_NODISCARD enum s2_err s2_plan_init(struct s2_plan *p, const struct s2_engine *e,
				      const struct s2_request *request);

/* From the beginning again, with nothing counted. */
void s2_plan_rewind(struct s2_plan *p);

/*
 * The next piece, all in one state; false if there is none. The pages before it may have changed since
 * the last call. Counts what is satisfied, refused and kept on the way.
 */
bool s2_plan_next(struct s2_plan *p, struct s2_pages *piece, enum s2_state *state);

/* Index of the first run that ends behind a page. */
size_t s2_first_run(const struct s2_run *runs, size_t run_count, uint64_t page);

/* These pages are about to become secure; they are at rest again; they are poisoned. See mark.h. */
void s2_marks_enter(const struct s2_engine *e, struct s2_pages pages);
void s2_marks_leave(const struct s2_engine *e, struct s2_pages pages);
void s2_marks_poison(const struct s2_engine *e, struct s2_pages pages);

/* Tables that narrowing these pages in the view may need. Adds to *tables. */
void s2_view_count_cuts(const struct s2_view *v, const struct s2_engine *e, struct s2_pages pages,
			struct s2_table_count *tables);

/*
 * Leaves of the pages that are mapped no more than these rights. Owes a flush. Cannot fail if the tables
 * that s2_view_count_cuts() said were reserved.
 */
S2_NODISCARD enum s2_err s2_view_narrow(struct s2_view *v, const struct s2_engine *e,
					struct s2_pages pages, unsigned prot);

/*
 * Gives the pages these rights; maps those that are not. Owes a flush. Fails with S2_ERR_NOMEM,
 * S2_ERR_EXISTS; then some of the pages may have them.
 */
S2_NODISCARD enum s2_err s2_view_grant(struct s2_view *v, const struct s2_engine *e,
				       struct s2_pages pages, unsigned prot);

/* These pages have changed for good: remembers them, or makes large leaves of them, by policy. */
void s2_view_settle(struct s2_view *v, const struct s2_engine *e, struct s2_pages pages);

#endif
