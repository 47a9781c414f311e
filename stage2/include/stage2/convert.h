/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transition engine: moves pages between their states (track.h), at a grain, through a back end,
 * and keeps what the guest and the host can reach (view.h) in line with it.
 *
 * A request names bytes; the grain is the unit in which it is carried out; the policy says what
 * happens where the request does not fill a grain:
 *
 *	exact    only the pages that were asked for, cut at grain boundaries
 *	widen    the whole grain. On the way back (unshare, import) a grain returns only when nobody
 *	         asks for a page of it any longer; until then its pages stay converted ("widened")
 *	refuse   only grains that the request fills; the rest of it is not converted
 *
 * A grain in which every page that is asked for is there already is left alone, whatever its other
 * pages are. Grains are cut at the ends of the tracker.
 *
 * Widening an export, an import or a reclaim costs time and nothing else. Widening a share shows the
 * host plain text that the guest did not offer; a request that would do so fails with S2_ERR_EXPOSE
 * unless the caller sets guest_offers_grain, which says: the guest itself has agreed to show the
 * whole grain. A widened donation gives the guest pages that it did not ask for; that is the host's
 * own affair.
 *
 * The order of every request:
 *
 *	s2_convert_start()   check everything, reserve memory, mark all pages "in transition", take away
 *	                     from both views what one of the two ends of the move does not allow, sync
 *	s2_convert_resume()  the back end, unit by unit; each page it confirms takes its new state, and
 *	                     the views get what that state allows
 *
 * In between, and whenever the back end wants to be called again, the request is a job: a journal
 * that can be asked (its members), rolled forward (resume) and, until the first page is confirmed,
 * rolled back (s2_convert_back()). So at every instant a page that the tracker calls SECURE, and that
 * is not in transition, is out of the host's reach.
 *
 * Context: one thread at a time for an engine and all its jobs; readers of the tracker as track.h
 * says. The embedder brings the lock. Several jobs may be under way; what they touch (the ranges that
 * were asked for, and with S2_WIDEN the whole grains) does not overlap.
 */
#ifndef STAGE2_CONVERT_H
#define STAGE2_CONVERT_H

#include <stage2/err.h>
#include <stage2/pin.h>
#include <stage2/run.h>
#include <stage2/track.h>
#include <stage2/types.h>
#include <stage2/view.h>

#ifdef __cplusplus
extern "C" {
#endif

struct s2_marks;

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
	enum s2_move move;
	struct s2_range range; /* what is asked for */
	uint64_t grain;	       /* bytes, a power of two, at least a page; or S2_GRAIN_FOLIO */
	enum s2_policy policy;
	bool guest_offers_grain; /* widening a share is the guest's own wish; see above */
};

/* What a back end says of a call. Whatever it says, done bytes from the start are converted. */
enum s2_reply {
	S2_REPLY_OK = 0,     /* went well as far as it went: the rest at once, if there is any */
	S2_REPLY_AGAIN = 1,  /* nothing is wrong; call again, later or at once */
	S2_REPLY_BUSY = 2,   /* somebody holds the page behind done: a pin, I/O; call again */
	S2_REPLY_FAILED = 3, /* the page behind done cannot be converted, and is as it was */
	S2_REPLY_POISON = 4, /* the page behind done has a hardware error */
	S2_REPLY_COUNT
};

struct s2_answer {
	enum s2_reply reply;
	uint64_t done; /* bytes from the start of the range: a multiple of the page */
};

/*
 * The back end: carries out a move for pages that the tracker has marked as in transition.
 *
 * convert is called for a range that lies in one grain, is at most max_len bytes long, and moves as a
 * whole. It may read the tracker and must not change it, nor call the engine. An answer that cannot
 * be (done not a multiple of the page, or longer than the range; an unknown reply) counts as FAILED
 * at the first page.
 * A range of which OK says that less than all is done is PARTIAL: the job stops there, to be resumed.
 */
struct s2_backend {
	struct s2_answer (*convert)(void *cookie, enum s2_move move, struct s2_range range);
	void *cookie;
	uint64_t max_len; /* bytes, a multiple of the page: the longest range at once; 0: any */
};

/*
 * What requests came to. All but calls and requests are pages. For each request that succeeds
 *
 *	requested == satisfied + (converted - widened) + refused + kept
 *
 * One that is stopped before its end counts as a whole in requested, satisfied, refused and kept, in
 * converted and widened as far as it got, and not in requests. One that is rolled back counts in calls
 * only.
 */
struct s2_convert_count {
	uint64_t requests;	     /* requests carried out */
	uint64_t requests_satisfied; /* of those: all pages were there already */
	uint64_t calls;		     /* of the back end, all of them */
	uint64_t requested;	     /* asked for */
	uint64_t satisfied;	     /* asked for and in the right state already */
	uint64_t converted;	     /* moved by the back end, widened ones included */
	uint64_t widened;	     /* moved although nobody asked */
	uint64_t refused; /* asked for and not moved: did not fill a grain, or poisoned */
	uint64_t kept;	  /* given back, but still converted: their grain is in use */
};

/*
 * An engine: a tracker, what lies behind it, and who must hear of a change. The embedder fills in the
 * members above the line and keeps what they point to; zero is "none" where the comment says so.
 */
struct s2_engine {
	struct s2_track *track;
	const struct s2_run *runs; /* sorted by gpa; for S2_GRAIN_FOLIO and for views; or NULL */
	size_t run_count;
	const struct s2_backend *backend; /* NULL: every move succeeds, nobody is called */
	struct s2_view *guest;		  /* what the guest can reach; or NULL */
	struct s2_view *host;		  /* what the host can reach; or NULL */
	struct s2_pins *pins;		  /* pages that must stay shared; or NULL */
	struct s2_marks *marks;		  /* one for each run (mark.h); or NULL */
	/* -- all zero at first */
	struct s2_convert_count count;
	struct s2_job *jobs; /* under way */
};

enum s2_job_phase {
	S2_JOB_IDLE = 0,    /* nothing to do: finished, rolled back, stopped, or never started */
	S2_JOB_STARTED = 1, /* under way; no page is confirmed */
	S2_JOB_PARTIAL = 2, /* under way; some pages are confirmed */
};

/*
 * A request on its way. The embedder provides the memory, which must stay where it is while the job is
 * under way; zero is S2_JOB_IDLE. Read-only.
 */
struct s2_job {
	enum s2_job_phase phase;
	struct s2_request request;
	s2_gpa_t at;		       /* the first page that is not confirmed, while under way */
	enum s2_reply reply;	       /* why it waits there: what the back end said last */
	struct s2_convert_count count; /* of this request, so far */
	/* The library's own. */
	struct s2_range scope; /* no other job may touch it */
	uint64_t reached;      /* page number: where resume goes on */
	uint64_t granted;      /* page number: up to here the views have what they are to get */
	bool narrowed;	       /* the views show no more than they may of what is in transition */
	struct s2_pool pool;
	struct s2_job *next;
};

/*
 * Carries out a request: s2_convert_start() and s2_convert_resume(). Fails as they do; after S2_ERR_AGAIN,
 * S2_ERR_HELD, S2_ERR_BACKEND and S2_ERR_POISON with job->phase other than S2_JOB_IDLE the job is
 * under way and one of resume, back and stop is owed.
 */
S2_NODISCARD enum s2_err s2_convert(struct s2_engine *e, const struct s2_request *request,
				    struct s2_job *job);

/*
 * First half; see above. *job must be idle. The request's pages may be in the target state already
 * ("satisfied"); one that was widened and is asked for now is claimed, when the job ends, without a
 * call of the back end. Pages of a grain that are neither asked for nor in the move's starting state
 * are left alone. A reclaim leaves poisoned pages as they are.
 *
 * Fails, and changes nothing, job->phase is S2_JOB_IDLE: the range errors; S2_ERR_RANGE outside the
 * tracker; S2_ERR_INVAL for an unknown move, policy or grain, a run in the request that s2_run_check()
 * rejects, or with a view a page that no run has; S2_ERR_EXPOSE (above); S2_ERR_BUSY, S2_ERR_POISON
 * or S2_ERR_STATE if a page that is asked for can neither make the move nor has made it; S2_ERR_BUSY
 * also if another job touches the same pages, or if a grain to be widened has a page in transition;
 * S2_ERR_HELD if a page is pinned that an unshare or a reclaim asks for, or would move with its grain;
 * S2_ERR_NOMEM.
 */
S2_NODISCARD enum s2_err s2_convert_start(struct s2_engine *e, const struct s2_request *request,
					  struct s2_job *job);

/*
 * Goes on from job->at until all is done (S2_OK, and the job is idle) or the back end stops:
 * S2_ERR_AGAIN (again or partial), S2_ERR_HELD (busy), S2_ERR_BACKEND (failed: job->at names the
 * page), S2_ERR_POISON (the page at job->at is POISONED now, both views have lost it, and resuming
 * goes on behind it). Resuming after any of them is legal. An idle job is S2_OK.
 * Fails also with S2_ERR_NOMEM: there was no table for what a view is to get, or no memory to note the
 * poison. The job waits as after S2_ERR_AGAIN; views have less than they are to have, never more.
 */
S2_NODISCARD enum s2_err s2_convert_resume(struct s2_engine *e, struct s2_job *job);

/*
 * Rolls back: pages, views and counts are as before the start, and the job is idle. One thing is lost:
 * pages that had been widened, and whose import is undone, may have lost that mark.
 * Fails with S2_ERR_STATE if a page is confirmed, or the move is a reclaim, which goes forward only;
 * then nothing changes. S2_ERR_NOMEM: there was no table to give a view back what it had: once more.
 * An idle job is S2_OK.
 */
S2_NODISCARD enum s2_err s2_convert_back(struct s2_engine *e, struct s2_job *job);

/*
 * Gives up: what is confirmed stays converted, all other pages are as before the start. A reclaim goes
 * forward only: S2_ERR_STATE, and nothing changes, if a page of it is still to do. S2_ERR_NOMEM: there
 * was no table for what a view is to get, or to give it back what it had: once more.
 */
S2_NODISCARD enum s2_err s2_convert_stop(struct s2_engine *e, struct s2_job *job);

/*
 * A hardware error was reported for these pages: they are POISONED from here on, out of both views,
 * and in no move. All other pages of their folios keep their mapping, split around the hole. Pages
 * that are in a job are taken out of it.
 * Fails, and changes nothing: the range errors; S2_ERR_RANGE; S2_ERR_INVAL (with a view by
 * hpa, a page that no run has); S2_ERR_NOMEM.
 */
S2_NODISCARD enum s2_err s2_convert_poison(struct s2_engine *e, struct s2_range range);

#ifdef __cplusplus
}
#endif
#endif
