/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The algebra of runs: check, split, merge, find, and the best leaf at a place.
 *
 * All functions are pure: no allocation, no state, no locks; any number of threads may call them.
 */
#ifndef STAGE2_RUN_H
#define STAGE2_RUN_H

#include <stage2/err.h>
#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Is this range usable as page state: aligned to pages, not empty, not wrapping?
 * Fails with S2_ERR_INVAL (empty), S2_ERR_ALIGN, S2_ERR_WRAP, in this order of precedence.
 */
S2_NODISCARD enum s2_err s2_range_check(struct s2_range range);

/*
 * Is this a run: page-aligned gpa, hpa and length, not empty, not wrapping in either space, an
 * order of at most S2_FOLIO_ORDER_MAX, and inside one folio of that order?
 * Fails with S2_ERR_INVAL (empty, order), S2_ERR_ALIGN, S2_ERR_WRAP, or S2_ERR_RANGE (crosses a
 * folio), in this order of precedence.
 */
S2_NODISCARD enum s2_err s2_run_check(const struct s2_run *run);

/*
 * Splits a run into what lies before the offset and what follows. at is in bytes from the start of
 * the run, a multiple of the page, and strictly inside. head and tail may alias run.
 * Fails with S2_ERR_ALIGN or S2_ERR_RANGE; then head and tail are untouched.
 */
S2_NODISCARD enum s2_err s2_run_split(const struct s2_run *run, uint64_t at, struct s2_run *head,
				      struct s2_run *tail);

/*
 * May b be appended to a: does it follow a at once in gpa and in hpa, in the same folio? Two folios
 * that happen to be neighbours do not merge: memory is freed by folio.
 */
bool s2_run_can_merge(const struct s2_run *a, const struct s2_run *b);

/*
 * Merges neighbours in place over an array that is sorted by gpa. Returns the number of runs left.
 * Never fails: runs that cannot merge are kept as they are.
 */
size_t s2_runs_merge(struct s2_run *runs, size_t run_count);

/*
 * The run that holds gpa, in an array sorted by gpa without overlaps; NULL if none does.
 * O(log run_count).
 */
const struct s2_run *s2_runs_find(const struct s2_run *runs, size_t run_count, s2_gpa_t gpa);

/*
 * The part of the folio under gpa that this run maps, as guest-physical bytes: what "convert the
 * whole folio" means at gpa. The run is the whole of it, because a run never leaves its folio; runs
 * of one folio that are not neighbours in gpa are separate.
 */
struct s2_range s2_run_range(const struct s2_run *run);

/*
 * log2 of the size of the largest leaf that may start at gpa, which lies in the run: gpa and hpa
 * are both aligned to it, it ends inside the run, and at most max_len bytes from gpa. leaf_sizes
 * has a bit for each size that the format offers. Returns 0 if none fits (which a mask with bit
 * S2_PAGE_LG2 and a max_len of at least a page rule out).
 */
uint8_t s2_run_best_leaf(const struct s2_run *run, s2_gpa_t gpa, uint64_t max_len,
			 uint64_t leaf_sizes);

/* How many leaves of each size; index is log2 of the size in bytes. */
struct s2_leaf_count {
	uint64_t count[64];
};

/*
 * Adds to *out the leaves that the greedy choice of s2_run_best_leaf makes over the part of the run
 * that lies in range. The greedy choice is the smallest number of leaves, because each size divides
 * the next. Stops where no leaf fits, which a mask with bit S2_PAGE_LG2 rules out.
 */
void s2_run_count_leaves(const struct s2_run *run, struct s2_range range, uint64_t leaf_sizes,
			 struct s2_leaf_count *out);

#ifdef __cplusplus
}
#endif
#endif
