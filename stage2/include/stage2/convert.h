/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Converting pages between secure and shared (or exported), at a grain.
 *
 * A request names bytes; the grain is the unit in which it is carried out; the policy says what
 * happens where the request does not fill a grain:
 *
 *	exact    only the pages that were asked for, cut at grain boundaries
 *	widen    the whole grain. On the way back a grain returns only when nobody asks for a page
 *	         of it any longer; until then its pages stay converted ("widened")
 *	refuse   only grains that the request fills; the rest of it is not converted
 *
 * A grain in which every page that is asked for is there already is left alone, whatever its other
 * pages are. Grains are cut at the ends of the tracker.
 *
 * Widening an export costs time and nothing else. Widening a share shows the host plain text that
 * the guest did not offer; a request that would do so fails with S2_ERR_EXPOSE unless the caller
 * sets guest_offers_grain, which says: the guest itself has agreed to show the whole grain.
 */
#ifndef STAGE2_CONVERT_H
#define STAGE2_CONVERT_H

#include <stage2/err.h>
#include <stage2/run.h>
#include <stage2/track.h>
#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum s2_policy {
	S2_EXACT = 0,
	S2_WIDEN = 1,
	S2_REFUSE = 2,
	S2_POLICY_COUNT
};

/* Lower-case name of a policy, static storage; "unknown" for a value outside the enum. */
const char *s2_policy_name(enum s2_policy policy);

/* The grain "whatever size was allocated": the folio under each page. Other grains are bytes. */
#define S2_GRAIN_FOLIO UINT64_C(0)

struct s2_request {
	enum s2_move move;     /* S2_SHARE, S2_UNSHARE, S2_EXPORT or S2_IMPORT */
	struct s2_range range; /* what is asked for */
	uint64_t grain;	       /* bytes, a power of two, at least a page; or S2_GRAIN_FOLIO */
	enum s2_policy policy;
	bool guest_offers_grain; /* widening a share is the guest's own wish; see above */
};

/*
 * The back end: carries out a move for pages that the tracker has marked as in transition.
 *
 * convert is called once for each piece: a range that lies in one grain and moves as a whole.
 * It returns how many bytes, from the start of the piece, it has converted: a multiple of the page,
 * range.len if all went well. The library records those as done, takes the rest back and fails with
 * S2_ERR_BACKEND. An answer that cannot be (not a multiple of the page, or longer than the piece)
 * counts as 0.
 *
 * convert may read the tracker and must not change it. One that meets a hardware error returns what
 * it has converted up to there; the caller of s2_convert() then calls s2_track_poison().
 */
struct s2_backend {
	uint64_t (*convert)(void *cookie, enum s2_move move, struct s2_range range);
	void *cookie;
};

/*
 * What a request came to. All but pieces and requests are pages. For each request that succeeds
 *
 *	requested == satisfied + (converted - widened) + refused + kept
 *
 * One that the back end cut short counts in requested as a whole, in the others as far as it got,
 * and not in requests.
 */
struct s2_convert_count {
	uint64_t requests;	     /* requests carried out */
	uint64_t requests_satisfied; /* of those: all pages were there already */
	uint64_t pieces;	     /* calls of the back end, the failing one included */
	uint64_t requested;	     /* asked for */
	uint64_t satisfied;	     /* asked for and in the right state already */
	uint64_t converted;	     /* moved by the back end, widened ones included */
	uint64_t widened;	     /* moved although nobody asked */
	uint64_t refused; /* asked for and not moved: did not fill a grain, or is held by it */
	uint64_t kept;	  /* given back, but still converted: their grain is in use */
};

/*
 * Carries out a request and adds to *count.
 *
 * runs, sorted by gpa, are needed for S2_GRAIN_FOLIO and may otherwise be NULL; a page in no run is
 * its own grain. The request's pages may be in the target state already ("satisfied"); a page that
 * was widened and is asked for now is claimed without a call of the back end. Pages of a grain that
 * are neither asked for nor in the move's starting state are left alone.
 *
 * Fails, and changes nothing: the range errors; S2_ERR_RANGE outside the tracker; S2_ERR_INVAL for
 * an unknown move, policy or grain, or a run in the request that s2_run_check() rejects;
 * S2_ERR_EXPOSE (above); S2_ERR_BUSY, S2_ERR_POISON or S2_ERR_STATE if a page that is asked for can
 * neither make the move nor has made it; S2_ERR_NOMEM.
 * Fails after the fact: S2_ERR_BACKEND; the pieces before the failing one, and its confirmed part,
 * stay converted, *count tells how much, the tracker is right for every page. One thing is lost:
 * pages that were asked for, were widened, and whose import failed, are not widened any longer.
 */
S2_NODISCARD enum s2_err s2_convert(struct s2_track *t, const struct s2_run *runs, size_t run_count,
				    const struct s2_request *request,
				    const struct s2_backend *backend,
				    struct s2_convert_count *count);

#ifdef __cplusplus
}
#endif
#endif
