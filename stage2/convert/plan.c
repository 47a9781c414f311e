/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a request comes to, before anything changes: arguments, runs, the exposure rule, the states of
 * all pages that are asked for; then the pieces that move, grain by grain.
 */
#include "internal.h"

#define RESTING_SHARED (S2_CODE_BIT(S2_CODE_SHARED) | S2_CODE_BIT(S2_CODE_SHARED_WIDENED))
#define RESTING_EXPORTED (S2_CODE_BIT(S2_CODE_EXPORTED) | S2_CODE_BIT(S2_CODE_EXPORTED_WIDENED))

const struct s2_move_codes s2_move_codes[S2_MOVE_COUNT] = {
	[S2_DONATE] = {.from = S2_CODE_BIT(S2_CODE_NONE),
		       .to = S2_CODE_BIT(S2_CODE_SECURE),
		       .moving = S2_CODE_BIT(S2_CODE_DONATING),
		       .start = S2_NONE,
		       .end = S2_SECURE},
	[S2_SHARE] = {.from = S2_CODE_BIT(S2_CODE_SECURE),
		      .to = RESTING_SHARED,
		      .moving = S2_CODE_BIT(S2_CODE_SHARING) | S2_CODE_BIT(S2_CODE_SHARING_WIDENED),
		      .start = S2_SECURE,
		      .end = S2_SHARED,
		      .out = true},
	[S2_UNSHARE] = {.from = RESTING_SHARED,
			.to = S2_CODE_BIT(S2_CODE_SECURE),
			.moving = S2_CODE_BIT(S2_CODE_UNSHARING) |
				  S2_CODE_BIT(S2_CODE_UNSHARING_WIDENED),
			.start = S2_SHARED,
			.end = S2_SECURE,
			.back = true},
	[S2_EXPORT] = {.from = S2_CODE_BIT(S2_CODE_SECURE),
		       .to = RESTING_EXPORTED,
		       .moving = S2_CODE_BIT(S2_CODE_EXPORTING) |
				 S2_CODE_BIT(S2_CODE_EXPORTING_WIDENED),
		       .start = S2_SECURE,
		       .end = S2_EXPORTED,
		       .out = true},
	[S2_IMPORT] = {.from = RESTING_EXPORTED,
		       .to = S2_CODE_BIT(S2_CODE_SECURE),
		       .moving = S2_CODE_BIT(S2_CODE_IMPORTING),
		       .start = S2_EXPORTED,
		       .end = S2_SECURE,
		       .back = true},
	[S2_RECLAIM] = {.from = S2_CODE_BIT(S2_CODE_SECURE) | RESTING_SHARED | RESTING_EXPORTED,
			.to = S2_CODE_BIT(S2_CODE_NONE),
			.moving = S2_CODE_BIT(S2_CODE_RECLAIMING),
			.skip = S2_CODE_BIT(S2_CODE_POISONED),
			.start = S2_STATE_COUNT,
			.end = S2_NONE},
};

uint64_t s2_count_with(const struct s2_track *t, struct s2_pages pages, unsigned codes)
{
	uint64_t count = 0;

	while (!s2_pages_are_none(pages)) {
		struct s2_pages stretch = s2_next_with(t, pages, codes);

		count += s2_pages_count(stretch);
		pages.start = stretch.end;
	}
	return count;
}

static bool any_with(const struct s2_track *t, struct s2_pages pages, unsigned codes)
{
	return s2_track_skip(t, pages, S2_CODE_ALL & ~codes) < pages.end;
}

static const struct s2_run *run_at(const struct s2_engine *e, uint64_t page)
{
	return s2_runs_find(e->runs, e->run_count, s2_gpa(page << S2_PAGE_LG2));
}

struct s2_grain s2_grain_at(const struct s2_engine *e, const struct s2_request *request,
			    uint64_t page)
{
	uint64_t grain_pages = request->grain >> S2_PAGE_LG2;
	struct s2_pages all = s2_pages(page, page + 1);
	struct s2_grain grain;

	if (request->grain != S2_GRAIN_FOLIO) {
		all.start = page & ~(grain_pages - 1);
		all.end = all.start + grain_pages;
	} else {
		const struct s2_run *run = run_at(e, page);

		if (run != NULL) {
			all = s2_range_pages(s2_run_range(run));
		}
	}
	grain.all = s2_pages_overlap(all, s2_range_pages(e->track->range));
	grain.asked = s2_pages_overlap(grain.all, s2_range_pages(request->range));
	return grain;
}

static enum s2_err check_arguments(const struct s2_engine *e, const struct s2_request *request)
{
	enum s2_err err = s2_track_covers(e->track, request->range);

	if (err != S2_OK) {
		return err;
	}
	if ((unsigned)request->move >= S2_MOVE_COUNT ||
	    (unsigned)request->policy >= S2_POLICY_COUNT) {
		return S2_ERR_INVAL;
	}
	if (request->grain != S2_GRAIN_FOLIO &&
	    (request->grain < S2_PAGE_SIZE || (request->grain & (request->grain - 1)) != 0)) {
		return S2_ERR_INVAL;
	}
	return e->runs == NULL && e->run_count != 0 ? S2_ERR_INVAL : S2_OK;
}

/* Only a share shows plain text, and only a widened one shows more than was asked for. */
static bool may_expose(const struct s2_request *request)
{
	return request->move == S2_SHARE && request->policy == S2_WIDEN &&
	       !request->guest_offers_grain;
}

static bool exposes(const struct s2_plan *p, struct s2_grain grain)
{
	const struct s2_track *t = p->e->track;
	unsigned from = p->codes->from;

	return any_with(t, grain.asked, from) &&
	       (any_with(t, s2_pages_before(grain.all, grain.asked), from) ||
		any_with(t, s2_pages_behind(grain.all, grain.asked), from));
}

static enum s2_err check_run_at(const struct s2_engine *e, uint64_t page)
{
	const struct s2_run *run = run_at(e, page);

	return run == NULL || s2_run_check(run) == S2_OK ? S2_OK : S2_ERR_INVAL;
}

/* What takes a look at each grain; most requests need none of it. */
static enum s2_err check_grains(const struct s2_plan *p)
{
	bool folio = p->request->grain == S2_GRAIN_FOLIO;
	bool expose = false;
	struct s2_grain grain;

	if (!folio && !may_expose(p->request)) {
		return S2_OK;
	}
	for (uint64_t page = p->asked.start; page < p->asked.end; page = grain.all.end) {
		if (folio && check_run_at(p->e, page) != S2_OK) {
			return S2_ERR_INVAL;
		}
		grain = s2_grain_at(p->e, p->request, page);
		expose = expose || (may_expose(p->request) && exposes(p, grain));
	}
	return expose ? S2_ERR_EXPOSE : S2_OK;
}

/* Views need to know where the pages are. */
static enum s2_err check_runs(const struct s2_plan *p)
{
	const struct s2_engine *e = p->e;
	struct s2_pages left = p->scope;

	if (e->guest == NULL && e->host == NULL) {
		return S2_OK;
	}
	while (!s2_pages_are_none(left)) {
		uint64_t page = s2_track_skip(e->track, left, S2_CODE_ALL & ~p->codes->from);
		const struct s2_run *run = page == left.end ? NULL : run_at(e, page);

		if (page == left.end) {
			break;
		}
		if (run == NULL || s2_run_check(run) != S2_OK) {
			return S2_ERR_INVAL;
		}
		left.start = s2_range_pages(s2_run_range(run)).end;
	}
	return S2_OK;
}

/* Every page that is asked for can make the move or has made it, and no other job is in the way. */
static enum s2_err check_states(struct s2_plan *p)
{
	const struct s2_track *t = p->e->track;
	unsigned codes = p->codes->from | p->codes->to | p->codes->skip;
	uint64_t page = s2_track_skip(t, p->asked, p->codes->from);

	p->all_move = page == p->asked.end;
	page = s2_track_skip(t, s2_pages(page, p->asked.end), codes);
	if (page != p->asked.end) {
		return s2_code_err(s2_track_code(t, page));
	}
	for (const struct s2_job *job = p->e->jobs; job != NULL; job = job->next) {
		if (!s2_pages_are_none(s2_pages_overlap(p->scope, s2_range_pages(job->scope)))) {
			return S2_ERR_BUSY;
		}
	}
	if (p->request->policy == S2_WIDEN &&
	    any_with(t, p->scope, s2_code_alike(S2_CODE_DONATING))) {
		return S2_ERR_BUSY;
	}
	return S2_OK;
}

void s2_plan_rewind(struct s2_plan *p)
{
	p->left = s2_pages(0, 0);
	p->next = p->asked.start;
	p->count = (struct s2_convert_count){.requested = s2_pages_count(p->asked)};
}

static bool is_pinned(const struct s2_plan *p, struct s2_pages pages)
{
	return s2_pinned(p->e->pins, s2_pages_range(pages), NULL);
}

/*
 * What the host uses it keeps: shared pages that it has pinned. Of a grain that is widened all pages that
 * move count: one of them may have been pinned before it was given back and kept.
 */
static enum s2_err check_pins(struct s2_plan *p)
{
	bool held;
	struct s2_pages piece;
	enum s2_state state;

	if (p->e->pins == NULL || p->e->pins->page_count == 0 ||
	    (p->request->move != S2_UNSHARE && p->request->move != S2_RECLAIM)) {
		return S2_OK;
	}
	held = is_pinned(p, p->asked);
	while (!held && p->request->policy == S2_WIDEN && s2_plan_next(p, &piece, &state)) {
		held = is_pinned(p, piece);
	}
	s2_plan_rewind(p);
	return held ? S2_ERR_HELD : S2_OK;
}

enum s2_err s2_plan_init(struct s2_plan *p, const struct s2_engine *e,
			 const struct s2_request *request)
{
	enum s2_err err = check_arguments(e, request);

	if (err != S2_OK) {
		return err;
	}
	p->e = e;
	p->request = request;
	p->codes = &s2_move_codes[request->move];
	p->asked = s2_range_pages(request->range);
	p->scope = p->asked;
	err = check_grains(p);
	if (err == S2_OK && request->policy == S2_WIDEN) {
		p->scope.start = s2_grain_at(e, request, p->asked.start).all.start;
		p->scope.end = s2_grain_at(e, request, p->asked.end - 1).all.end;
	}
	err = err != S2_OK ? err : check_states(p);
	s2_plan_rewind(p);
	err = err != S2_OK ? err : check_pins(p);
	err = err != S2_OK ? err : check_runs(p);
	return err;
}

/* Does somebody other than this request ask for a page of the grain? */
static bool is_wanted(const struct s2_plan *p, struct s2_grain grain)
{
	unsigned widened = p->request->move == S2_UNSHARE ? S2_CODE_BIT(S2_CODE_SHARED)
							  : S2_CODE_BIT(S2_CODE_EXPORTED);

	return any_with(p->e->track, s2_pages_before(grain.all, grain.asked), widened) ||
	       any_with(p->e->track, s2_pages_behind(grain.all, grain.asked), widened);
}

/* What of a grain moves. */
static struct s2_pages enter_grain(struct s2_plan *p, struct s2_grain grain)
{
	const struct s2_pages nothing = s2_pages(grain.all.end, grain.all.end);
	uint64_t pending = s2_count_with(p->e->track, grain.asked, p->codes->from);
	uint64_t skipped = s2_count_with(p->e->track, grain.asked, p->codes->skip);

	p->count.satisfied += s2_pages_count(grain.asked) - pending - skipped;
	p->count.refused += skipped;
	if (pending == 0 || p->request->policy == S2_EXACT) {
		return grain.asked;
	}
	if (p->request->policy == S2_WIDEN) {
		/* Going out, the rest's state does not matter; coming back, the last takes all. */
		if (!p->codes->back || !is_wanted(p, grain)) {
			return grain.all;
		}
		p->count.kept += pending;
		return nothing;
	}
	if (s2_pages_count(grain.asked) == s2_pages_count(grain.all)) {
		return grain.asked;
	}
	p->count.refused += pending;
	return nothing;
}

/* The next grain; with S2_EXACT they need not be told apart. */
static void next_grain(struct s2_plan *p)
{
	struct s2_grain grain = {p->asked, p->asked};

	if (p->request->policy != S2_EXACT) {
		grain = s2_grain_at(p->e, p->request, p->next);
	}
	p->next = grain.all.end;
	p->left = p->request->policy == S2_EXACT && p->all_move ? p->asked : enter_grain(p, grain);
}

/* The first stretch of what is left of a grain. */
static struct s2_pages next_in_grain(const struct s2_plan *p)
{
	if (p->request->policy == S2_EXACT && p->all_move) {
		return p->left;
	}
	return s2_next_with(p->e->track, p->left, p->codes->from);
}

bool s2_plan_next(struct s2_plan *p, struct s2_pages *piece, enum s2_state *state)
{
	const struct s2_track *t = p->e->track;

	for (;;) {
		*piece = next_in_grain(p);
		if (!s2_pages_are_none(*piece)) {
			break;
		}
		if (p->next >= p->asked.end) {
			return false;
		}
		next_grain(p);
	}
	*state = p->codes->start;
	if (*state == S2_STATE_COUNT) {
		*state = s2_code_pages[s2_track_code(t, piece->start)].state;
		piece->end = s2_track_skip(t, *piece, s2_code_resting(*state));
	}
	p->left.start = piece->end;
	return true;
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
