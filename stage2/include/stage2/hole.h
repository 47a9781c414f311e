/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holes: a folio that stays whole and large although a few of its pages are in another state. "Record
 * four page pointers in an insecure-memory structure" (Matthew Wilcox, linux-mm, 13 July 2023), here
 * read from the tracker, which is the only place that knows.
 *
 * The state of a folio is the one that most of its pages have (of two equally many, the one with the
 * smaller number). A hole is a maximal stretch of pages of the folio in any other state, or in
 * transition; stretches of different states are different holes.
 *
 * Context: as the tracker's readers.
 */
#ifndef STAGE2_HOLE_H
#define STAGE2_HOLE_H

#include <stage2/run.h>
#include <stage2/track.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A folio as a whole. */
struct s2_folio_sum {
	struct s2_track_sum pages; /* how many of its pages are in which state */
	enum s2_state state;	   /* of most */
	bool whole;		   /* all pages are alike and at rest: no holes */
	uint64_t hole_count;	   /* stretches */
	uint64_t hole_pages;
};

/*
 * Counts the folio, or what the run has of it. O(holes) and a chunk.
 * Fails: the errors of s2_run_check(); S2_ERR_RANGE if the run is not all in the tracker.
 */
S2_NODISCARD enum s2_err s2_holes_count(const struct s2_track *t, const struct s2_run *run,
					struct s2_folio_sum *out);

/*
 * The first hole of the folio at or behind the page that holds gpa, cut at gpa. state is the folio's,
 * from s2_holes_count(). Walk by calling again with the address behind the hole.
 * Fails: as s2_holes_count(); S2_ERR_RANGE if gpa is not in the run; S2_ERR_ABSENT: no hole follows.
 */
S2_NODISCARD enum s2_err s2_holes_next(const struct s2_track *t, const struct s2_run *run,
				       enum s2_state state, s2_gpa_t gpa, struct s2_span *out);

#ifdef __cplusplus
}
#endif
#endif
