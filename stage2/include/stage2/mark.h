/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marks: what is known of a folio as a whole, and who is believed when the host is about to use memory:
 * each page, or one bit for all of them.
 *
 * The tracker says for every page whether it is secure. A host kernel has one bit for a folio that says
 * "a page of it may be secure" (Linux: PG_arch_1), which costs nothing to keep and nothing to
 * test. It over-indicates: it is set before the first page becomes secure and cleared after the last one
 * has been exported, shared or reclaimed. Both are here, so that they can be compared:
 *
 *	S2_MARK_PAGE	each page is asked about and handled by itself. The tracker's own summary, one word
 *			for 2 MiB that are alike, is the fast path; there is no second truth to lose
 *	S2_MARK_FOLIO	the bit is believed. A clear one says that no page has to be exported; a set one
 *			that the whole folio has to be. What it costs:
 *	 - one page that is used exports all pages of its folio
 *	 - one page that cannot be imported, because somebody holds it, holds up its folio
 *	 - whoever splits a folio must hand the bit down to all parts, and lets the host have secure
 *	   pages if he forgets. Linux does not: __split_folio_to_order() copies PG_arch_2 and PG_arch_3,
 *	   not PG_arch_1; it is safe there because no large folio ever has the bit
 *	 - an action on a folio that does not test the bit, called for each page, is n calls n times
 *
 * In both schemes a second bit says "a page of it may have a hardware error" (Linux: PG_has_hwpoisoned
 * beside PG_hwpoison of the page), so that most folios are known to be well without a look at their
 * pages. The truth is the tracker's: the bit is set too often after a split, and then taken back.
 *
 * A folio is what a run of the engine has of it. Its marks have the index of the run.
 *
 * Context: the engine's.
 */
#ifndef STAGE2_MARK_H
#define STAGE2_MARK_H

#include <stage2/convert.h>
#include <stage2/env.h>

#ifdef __cplusplus
extern "C" {
#endif

enum s2_mark_scheme {
	S2_MARK_PAGE = 0,
	S2_MARK_FOLIO = 1,
	S2_MARK_SCHEME_COUNT
};

/* Lower-case name of a scheme, static storage; "unknown" for a value outside the enum. */
const char *s2_mark_scheme_name(enum s2_mark_scheme scheme);

#define S2_MARK_SECURE \
	1u /* a page of the folio may be secure, or in transition; S2_MARK_FOLIO only */
#define S2_MARK_POISON 2u /* a page of the folio may be poisoned */

/* Public size. The members are read-only. */
struct s2_marks {
	struct s2_env env;
	enum s2_mark_scheme scheme;
	uint8_t *mark; /* S2_MARK_..., one for each run */
	size_t count;
	size_t capacity;
};

/*
 * Marks for the engine's runs as its tracker has them now. The embedder puts them into e->marks
 * afterwards; from then on the engine keeps them right. Owns memory until s2_marks_fini().
 * Fails with S2_ERR_INVAL (unknown scheme, no runs), S2_ERR_NOMEM; then *m needs no fini.
 */
S2_NODISCARD enum s2_err s2_marks_init(struct s2_marks *m, const struct s2_env *env,
				       enum s2_mark_scheme scheme, const struct s2_engine *e);
void s2_marks_fini(struct s2_marks *m);

/*
 * The folio of a run is about to be split in so many parts: each part gets all marks of the whole. The
 * embedder then puts the parts in the place of the run in the engine's array. No job may be under way
 * in the folio.
 * Fails, and changes nothing: S2_ERR_RANGE (no such run), S2_ERR_INVAL (no parts), S2_ERR_NOMEM.
 */
S2_NODISCARD enum s2_err s2_marks_split(struct s2_marks *m, size_t index, size_t parts);

/*
 * The same backwards: so many folios from this index on become one, which has every mark that one of
 * them had. Fails, and changes nothing: S2_ERR_RANGE, S2_ERR_INVAL (no parts).
 */
S2_NODISCARD enum s2_err s2_marks_merge(struct s2_marks *m, size_t index, size_t parts);

/* Has a page of the folio a hardware error? The answer is exact; O(1) if none ever had. */
bool s2_folio_has_poison(const struct s2_engine *e, size_t index);

/*
 * The host is about to use these pages, or to unmap them: exports what is secure, through
 * s2_convert(). With S2_OK all pages are the host's to use: plain text where the guest shares it, else
 * cipher text. Without marks as with S2_MARK_PAGE. If nothing is to do: O(1) for each 2 MiB of the
 * range, with S2_MARK_FOLIO for each folio.
 *
 * *job is idle, or was left under way by an earlier call for the same pages, which is continued.
 * Fails: the range errors; S2_ERR_RANGE; before anything is exported, S2_ERR_BUSY (in transition),
 * S2_ERR_POISON and S2_ERR_EXPOSE (shared, but widened: the guest has not offered this page) for the
 * first page that can never be used; and as s2_convert().
 */
S2_NODISCARD enum s2_err s2_make_accessible(struct s2_engine *e, struct s2_range range,
					    struct s2_job *job);

/*
 * The guest wants to use these pages: imports what is exported; with S2_MARK_FOLIO all of each folio.
 * Pages that somebody holds are passed over: S2_ERR_HELD if there are any, and *held is their number;
 * all others are imported. With S2_MARK_PAGE *held counts exactly the pages that are held, at the price
 * of a call for each page of a folio that has one. With S2_MARK_FOLIO a folio is the unit, and what is
 * left of one in which a page is held stays exported with it.
 *
 * *job as above. Fails: the range errors; S2_ERR_RANGE; as s2_convert(), in order of address.
 */
S2_NODISCARD enum s2_err s2_make_secure(struct s2_engine *e, struct s2_range range,
					struct s2_job *job, uint64_t *held);

#ifdef __cplusplus
}
#endif
#endif
