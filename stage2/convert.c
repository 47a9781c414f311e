/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conversion at a grain. First the plan, which may fail and changes nothing: arguments, runs, the
 * exposure rule, the states of all pages that are asked for, memory. Then the grains in order of
 * address, where nothing but the back end can fail.
 */
#include "internal.h"
#include <stage2/convert.h>

struct job {
	struct s2_track *t;
	const struct s2_run *runs;
	size_t run_count;
	const struct s2_request *request;
	const struct s2_backend *backend;
	struct s2_convert_count *count;
	struct s2_pages asked; /* the request's range */
	enum s2_state from;
	enum s2_state to;
	struct s2_pool pool;
};

/* A grain that the request touches, and what the request asks for in it. */
struct grain {
	struct s2_pages all;
	struct s2_pages asked;
};

static bool is_empty(struct s2_pages pages)
{
	return pages.start >= pages.end;
}

static struct s2_pages overlap(struct s2_pages a, struct s2_pages b)
{
	return s2_pages(a.start > b.start ? a.start : b.start, a.end < b.end ? a.end : b.end);
}

static uint64_t page_count(struct s2_pages pages)
{
	return is_empty(pages) ? 0 : pages.end - pages.start;
}

/* What of pages lies before, and what behind, a part of it. The part may lie outside altogether. */
static struct s2_pages before(struct s2_pages pages, struct s2_pages part)
{
	return overlap(pages, s2_pages(0, part.start));
}

static struct s2_pages behind(struct s2_pages pages, struct s2_pages part)
{
	return overlap(pages, s2_pages(part.end, UINT64_MAX));
}

/*
 * The first maximal stretch of pages at rest in a state, widened or not; empty, at the end of
 * pages, if there is none.
 */
static struct s2_pages next_in(const struct job *job, struct s2_pages pages, enum s2_state state)
{
	unsigned codes = s2_code_resting(state);

	pages.start = s2_track_skip(job->t, pages, S2_CODE_ALL & ~codes);
	pages.end = s2_track_skip(job->t, pages, codes);
	return pages;
}

static uint64_t count_in(const struct job *job, struct s2_pages pages, enum s2_state state)
{
	uint64_t count = 0;

	while (!is_empty(pages)) {
		struct s2_pages stretch = next_in(job, pages, state);

		count += page_count(stretch);
		pages.start = stretch.end;
	}
	return count;
}

static bool any_in(const struct job *job, struct s2_pages pages, enum s2_state state)
{
	return !is_empty(next_in(job, pages, state));
}

/* The grain at a page. */
static struct grain grain_at(const struct job *job, uint64_t page)
{
	uint64_t grain_pages = job->request->grain >> S2_PAGE_LG2;
	struct s2_pages all = s2_pages(page, page + 1);
	struct grain grain;

	if (job->request->grain != S2_GRAIN_FOLIO) {
		all.start = page & ~(grain_pages - 1);
		all.end = all.start + grain_pages;
	} else {
		const struct s2_run *run =
			s2_runs_find(job->runs, job->run_count, s2_gpa(page << S2_PAGE_LG2));

		if (run != NULL) {
			all = s2_range_pages(s2_run_range(run));
		}
	}
	grain.all = overlap(all, s2_range_pages(job->t->range));
	grain.asked = overlap(grain.all, job->asked);
	return grain;
}

static bool move_states(struct job *job)
{
	switch (job->request->move) {
	case S2_SHARE:
		job->from = S2_SECURE;
		job->to = S2_SHARED;
		return true;
	case S2_UNSHARE:
		job->from = S2_SHARED;
		job->to = S2_SECURE;
		return true;
	case S2_EXPORT:
		job->from = S2_SECURE;
		job->to = S2_EXPORTED;
		return true;
	case S2_IMPORT:
		job->from = S2_EXPORTED;
		job->to = S2_SECURE;
		return true;
	case S2_DONATE:
	case S2_RECLAIM:
	case S2_MOVE_COUNT:
		break;
	}
	return false;
}

static enum s2_err check_arguments(struct job *job)
{
	const struct s2_request *request = job->request;
	enum s2_err err = s2_track_covers(job->t, request->range);

	if (err != S2_OK) {
		return err;
	}
	if (!move_states(job) || (unsigned)request->policy >= S2_POLICY_COUNT) {
		return S2_ERR_INVAL;
	}
	if (request->grain != S2_GRAIN_FOLIO &&
	    (request->grain < S2_PAGE_SIZE || (request->grain & (request->grain - 1)) != 0)) {
		return S2_ERR_INVAL;
	}
	if (request->grain == S2_GRAIN_FOLIO && job->runs == NULL && job->run_count != 0) {
		return S2_ERR_INVAL;
	}
	return S2_OK;
}

/* Only a share shows plain text, and only a widened one shows more than was asked for. */
static bool may_expose(const struct s2_request *request)
{
	return request->move == S2_SHARE && request->policy == S2_WIDEN &&
	       !request->guest_offers_grain;
}

static bool exposes(const struct job *job, struct grain grain)
{
	return any_in(job, grain.asked, job->from) &&
	       (any_in(job, before(grain.all, grain.asked), job->from) ||
		any_in(job, behind(grain.all, grain.asked), job->from));
}

static enum s2_err check_run_at(const struct job *job, uint64_t page)
{
	const struct s2_run *run =
		s2_runs_find(job->runs, job->run_count, s2_gpa(page << S2_PAGE_LG2));

	return run == NULL || s2_run_check(run) == S2_OK ? S2_OK : S2_ERR_INVAL;
}

/* What takes a look at each grain; most requests need none of it. */
static enum s2_err check_grains(const struct job *job)
{
	bool folio = job->request->grain == S2_GRAIN_FOLIO;
	bool expose = false;
	struct grain grain;

	if (!folio && !may_expose(job->request)) {
		return S2_OK;
	}
	for (uint64_t page = job->asked.start; page < job->asked.end; page = grain.all.end) {
		if (folio && check_run_at(job, page) != S2_OK) {
			return S2_ERR_INVAL;
		}
		grain = grain_at(job, page);
		expose = expose || (may_expose(job->request) && exposes(job, grain));
	}
	return expose ? S2_ERR_EXPOSE : S2_OK;
}

/* Every page that is asked for can make the move or has made it. */
static enum s2_err check_states(const struct job *job)
{
	unsigned codes = s2_code_resting(job->from) | s2_code_resting(job->to);
	uint64_t page = s2_track_skip(job->t, job->asked, codes);

	return page == job->asked.end ? S2_OK : s2_code_err(s2_track_code(job->t, page));
}

/* Enough maps for all that can happen, a back end that stops at any page included. */
static enum s2_err reserve(struct job *job)
{
	struct s2_pages touched = job->asked;
	unsigned map_count = 0;

	/* Pages that nobody has to touch need nothing: asking again must not fail. */
	if (s2_track_skip(job->t, touched, S2_CODE_BIT(job->to)) != touched.end) {
		touched.start = grain_at(job, job->asked.start).all.start;
		touched.end = grain_at(job, job->asked.end - 1).all.end;
		map_count = s2_track_uniform_count(job->t, touched, S2_POOL_MAX);
	}
	return s2_pool_fill(&job->pool, &job->t->env, map_count);
}

static enum s2_err plan(struct job *job)
{
	enum s2_err err = check_arguments(job);

	if (err != S2_OK) {
		return err;
	}
	job->asked = s2_range_pages(job->request->range);
	err = check_grains(job);
	if (err != S2_OK) {
		return err;
	}
	err = check_states(job);
	if (err != S2_OK) {
		return err;
	}
	return reserve(job);
}

static void begin(struct job *job, struct s2_pages pages, bool widened)
{
	s2_track_commit(job->t, pages, s2_move_step(s2_begin_steps, job->request->move, widened),
			&job->pool);
}

/* Begins a piece: what is asked for as itself, the rest of it, when it goes out, as widened. */
static void begin_piece(struct job *job, struct s2_pages piece, struct s2_pages asked)
{
	bool widened = job->from == S2_SECURE;

	begin(job, before(piece, asked), widened);
	begin(job, overlap(piece, asked), false);
	begin(job, behind(piece, asked), widened);
}

static void finish(struct job *job, struct s2_pages pages, struct s2_pages asked)
{
	s2_track_commit(job->t, pages, &s2_done_step, &job->pool);
	job->count->converted += page_count(pages);
	job->count->widened += page_count(pages) - page_count(overlap(pages, asked));
}

static void take_back(struct job *job, struct s2_pages pages, struct s2_pages asked)
{
	s2_track_commit(job->t, pages, &s2_undo_step, &job->pool);
	if (job->request->move == S2_IMPORT) {
		/* An undone import forgets the mark. All pages that nobody asked for had it. */
		s2_track_commit(job->t, before(pages, asked), &s2_release_step, &job->pool);
		s2_track_commit(job->t, behind(pages, asked), &s2_release_step, &job->pool);
	}
}

static enum s2_err convert_piece(struct job *job, struct s2_pages piece, struct s2_pages asked)
{
	struct s2_range range = s2_pages_range(piece);
	struct s2_pages good = piece;
	struct s2_pages rest = piece;
	uint64_t len;

	begin_piece(job, piece, asked);
	job->count->pieces++;
	len = job->backend->convert(job->backend->cookie, job->request->move, range);
	if (len > range.len || (len & (S2_PAGE_SIZE - 1)) != 0) {
		len = 0; /* an answer that cannot be confirms nothing */
	}
	good.end = piece.start + (len >> S2_PAGE_LG2);
	rest.start = good.end;
	finish(job, good, asked);
	take_back(job, rest, asked);
	return is_empty(rest) ? S2_OK : S2_ERR_BACKEND;
}

static enum s2_err convert_pieces(struct job *job, struct s2_pages scope, struct s2_pages asked)
{
	while (!is_empty(scope)) {
		struct s2_pages piece = next_in(job, scope, job->from);
		enum s2_err err;

		if (is_empty(piece)) {
			break;
		}
		err = convert_piece(job, piece, asked);
		if (err != S2_OK) {
			return err;
		}
		scope.start = piece.end;
	}
	return S2_OK;
}

/* Counts the pages that are there already; those that were widened have somebody who asks now. */
static void claim_satisfied(struct job *job, struct s2_pages asked)
{
	job->count->satisfied += count_in(job, asked, job->to);
	if (job->from == S2_SECURE) {
		s2_track_commit(job->t, asked, &s2_claim_step, &job->pool);
	}
}

/* Does somebody other than this request ask for a page of the grain? */
static bool is_wanted(const struct job *job, struct grain grain)
{
	unsigned others = S2_CODE_ALL & ~S2_CODE_BIT(job->from);
	struct s2_pages head = before(grain.all, grain.asked);
	struct s2_pages tail = behind(grain.all, grain.asked);

	return s2_track_skip(job->t, head, others) < head.end ||
	       s2_track_skip(job->t, tail, others) < tail.end;
}

static enum s2_err convert_widened(struct job *job, struct grain grain, uint64_t pending)
{
	/* Going out, the state of the rest does not matter; coming back, the last one takes all. */
	if (job->from == S2_SECURE || !is_wanted(job, grain)) {
		return convert_pieces(job, grain.all, grain.asked);
	}
	s2_track_commit(job->t, grain.asked, &s2_release_step, &job->pool);
	job->count->kept += pending;
	return S2_OK;
}

static enum s2_err convert_grain(struct job *job, struct grain grain)
{
	uint64_t pending = count_in(job, grain.asked, job->from);

	claim_satisfied(job, grain.asked);
	if (pending == 0) {
		return S2_OK;
	}
	switch (job->request->policy) {
	case S2_EXACT:
		return convert_pieces(job, grain.asked, grain.asked);
	case S2_WIDEN:
		return convert_widened(job, grain, pending);
	case S2_REFUSE:
		if (page_count(grain.asked) == page_count(grain.all)) {
			return convert_pieces(job, grain.asked, grain.asked);
		}
		job->count->refused += pending;
		return S2_OK;
	case S2_POLICY_COUNT:
		break;
	}
	return S2_ERR_INVAL;
}

static enum s2_err carry_out(struct job *job)
{
	uint64_t satisfied = job->count->satisfied;
	struct grain grain;

	job->count->requested += page_count(job->asked);
	for (uint64_t page = job->asked.start; page < job->asked.end; page = grain.all.end) {
		enum s2_err err;

		grain = grain_at(job, page);
		err = convert_grain(job, grain);
		if (err != S2_OK) {
			return err;
		}
	}
	job->count->requests++;
	if (job->count->satisfied - satisfied == page_count(job->asked)) {
		job->count->requests_satisfied++;
	}
	return S2_OK;
}

enum s2_err s2_convert(struct s2_track *t, const struct s2_run *runs, size_t run_count,
		       const struct s2_request *request, const struct s2_backend *backend,
		       struct s2_convert_count *count)
{
	struct job job = {
		.t = t,
		.runs = runs,
		.run_count = run_count,
		.request = request,
		.backend = backend,
		.count = count,
	};
	enum s2_err err = plan(&job);

	if (err != S2_OK) {
		return err;
	}
	err = carry_out(&job);
	s2_pool_drain(&job.pool, &t->env);
	return err;
}

const char *s2_policy_name(enum s2_policy policy)
{
	static const char *const name[S2_POLICY_COUNT] = {
		[S2_EXACT] = "exact",
		[S2_WIDEN] = "widen",
		[S2_REFUSE] = "refuse",
	};

	return (unsigned)policy < S2_POLICY_COUNT ? name[policy] : "unknown";
}
