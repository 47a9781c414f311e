/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transition engine's back end (convert.h) on Ultravisor calls: what a host's kernel does on s390
 * to move pages (Linux, arch/s390/kernel/uv.c), a page a call. Whoever issues the call decides what is
 * behind it: s2_uvc() of a software Ultravisor, or the instruction with the same block.
 *
 *	donate, import   IMPORT; a page that is new to the guest becomes zeros
 *	export           EXPORT
 *	reclaim          DESTROY, and where that is refused, EXPORT
 *	share, unshare   the guest's own SHARE and UNSHARE
 *
 * What the Ultravisor remembers of a page outlives a reclaim: of one that was sealed, at the latest by
 * the reclaim itself, the next donation opens the seal, and fails (S2_UVC_RC_SEAL) if the host has
 * changed a byte; of one that the guest shows it fails (S2_UVC_RC_SHARED) until the guest has taken it
 * back, or UNSHARE_ALL was issued.
 *
 * IMPORT and UNSHARE look for the page in the guest's tables. Where those are the engine's view of the guest,
 * it has to show pages that are NONE and EXPORTED as well: the Ultravisor keeps the guest from them. Not from
 * one that the guest shows and the host reclaims: that the embedder takes out of the tables itself.
 */
#ifndef STAGE2_UV_BACKEND_H
#define STAGE2_UV_BACKEND_H

#include <stage2/convert.h>
#include <stage2/uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A call that was not carried out. */
struct s2_uv_refusal {
	uint16_t cmd;
	uint16_t rc; /* with cc S2_UVC_CC_ERROR */
	uint16_t rrc;
	int cc; /* or below 0, as s2_uvc() */
	s2_gpa_t gpa;
};

/*
 * The embedder fills in the members above the line before s2_uv_backend_init(), and keeps what they
 * point to.
 */
struct s2_uv_backend {
	/*
	 * Issues the call and returns what s2_uvc() does. guest: 0 for the host's calls; for SHARE and
	 * UNSHARE the handle of the guest, whose call this is: where guests issue theirs themselves, as
	 * on a real machine, this has happened by now, and issue returns S2_UVC_CC_OK.
	 */
	int (*issue)(void *cookie, uint64_t guest, union s2_uvcb *block);
	void *cookie;
	uint64_t handle;	   /* the configuration */
	const struct s2_run *runs; /* where the pages are; as in struct s2_engine */
	size_t run_count;
	/* -- */
	struct s2_backend backend; /* for struct s2_engine; max_len may be set */
	struct s2_uv_refusal last; /* the latest refusal; for messages */
	union s2_uvcb block;
};

/* Sets backend and last. Cannot fail. The object stays where it is while backend is in use. */
void s2_uv_backend_init(struct s2_uv_backend *b);

/*
 * What a call's answer means for the engine.
 *
 *	OK       carried out
 *	AGAIN    busy; partial; the page is not mapped for the guest: map it and go on
 *	BUSY     unshare: the host has pinned the page
 *	FAILED   everything else
 */
enum s2_reply s2_uv_reply(int cc, uint16_t rc);

/*
 * Pins shared pages with the Ultravisor, so that it tells the host before the guest takes them back
 * (S2_UVC_NOTIFICATION); and undoes that. The Ultravisor does not count pins: pin.h does, and these are
 * for the first pin of a page and the last. Pages pinned (not pinned) already are no error. Context: the
 * engine's.
 */
struct s2_answer s2_uv_backend_pin(struct s2_uv_backend *b, struct s2_range range);
struct s2_answer s2_uv_backend_unpin(struct s2_uv_backend *b, struct s2_range range);

#ifdef __cplusplus
}
#endif
#endif
