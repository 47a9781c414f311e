/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request on its way: start, resume, and the two ways to give it up. The journal is the job and the
 * tracker: the pages of the job's scope that are making its move are the ones still to do.
 */
#include "internal.h"

static const struct s2_move_codes *codes_of(const struct s2_job *job)
{
	return &s2_move_codes[job->request.move];
}

static struct s2_pages scope_of(const struct s2_job *job)
{
	return s2_range_pages(job->scope);
}

/* What is still to do, from a page on: the first stretch of it. */
static struct s2_pages next_moving(const struct s2_engine *e, const struct s2_job *job,
				   uint64_t page)
{
	struct s2_pages left = s2_pages(page, scope_of(job).end);

	return s2_next_with(e->track, left, codes_of(job)->moving);
}

static bool has_views(const struct s2_engine *e)
{
	return e->guest != NULL || e->host != NULL;
}

/* The job waits, or has just begun: says where. */
static void wait_at(const struct s2_engine *e, struct s2_job *job)
{
	struct s2_pages left = s2_pages(job->reached, scope_of(job).end);

	job->reached = s2_track_skip(e->track, left, S2_CODE_ALL & ~codes_of(job)->moving);
	if (job->reached < left.end) {
		job->at = s2_gpa(job->reached << S2_PAGE_LG2);
	}
}

/* Rights that both states of a move allow. */
static unsigned both(const struct s2_view *v, enum s2_state from, enum s2_state to)
{
	return v->prot[from] & v->prot[to];
}

/* What a view shows of pages that make a move, at most. */
static unsigned between(const struct s2_view *v, const struct s2_move_codes *codes)
{
	return codes->start == S2_STATE_COUNT ? 0 : both(v, codes->start, codes->end);
}

/* Does the move change what the view shows? */
static bool changes(const struct s2_view *v, const struct s2_move_codes *codes)
{
	return codes->start == S2_STATE_COUNT || v->prot[codes->start] != v->prot[codes->end];
}

/* Does it show more in the end than while the pages are in transition? */
static bool widens(const struct s2_view *v, const struct s2_move_codes *codes)
{
	if (codes->start == S2_STATE_COUNT) {
		return v->prot[codes->end] != 0;
	}
	return between(v, codes) != v->prot[codes->end];
}

static void sync(struct s2_view *v)
{
	if (v != NULL && s2_gather_owes(&v->gather)) {
		s2_gather_sync(&v->gather);
	}
}

static void sync_views(const struct s2_engine *e)
{
	sync(e->guest);
	sync(e->host);
}

/* May pages have to be marked when the job ends? */
static bool marks_at_end(const struct s2_plan *p)
{
	unsigned codes = 0;

	if (p->codes->out && !p->all_move) {
		codes = p->codes->to & ~S2_CODE_BIT(p->codes->end); /* to be claimed */
	} else if (p->codes->back && p->request->policy == S2_WIDEN) {
		codes = p->codes->from; /* to be kept */
	}
	return codes != 0 &&
	       s2_track_skip(p->e->track, p->asked, S2_CODE_ALL & ~codes) != p->asked.end;
}

/* Enough maps for all that can happen, a back end that stops at any page included. */
static enum s2_err reserve_maps(const struct s2_plan *p, struct s2_pool *pool)
{
	const struct s2_track *t = p->e->track;
	unsigned map_count = 0;

	/* Pages that nobody has to touch need nothing: asking again must not fail. */
	if (p->all_move || s2_track_skip(t, p->asked, S2_CODE_BIT(p->codes->end)) != p->asked.end) {
		map_count = s2_track_uniform_count(t, p->scope, S2_POOL_MAX);
	}
	/* Chunks at both ends may become uniform before the job ends. */
	if (marks_at_end(p)) {
		map_count = map_count + 2 < S2_POOL_MAX ? map_count + 2 : S2_POOL_MAX;
	}
	return s2_pool_fill(pool, &t->env, map_count);
}

static void count_cuts(const struct s2_engine *e, const struct s2_view *v, struct s2_pages piece,
		       enum s2_state from, enum s2_state to, struct s2_table_count *tables)
{
	if (v != NULL && both(v, from, to) != v->prot[from]) {
		s2_view_count_cuts(v, e, piece, tables);
	}
}

static enum s2_err reserve_tables(struct s2_plan *p)
{
	const struct s2_engine *e = p->e;
	struct s2_table_count guest = {{0}};
	struct s2_table_count host = {{0}};
	enum s2_err err = S2_OK;
	struct s2_pages piece;
	enum s2_state state;

	if (!has_views(e)) {
		return S2_OK;
	}
	while (s2_plan_next(p, &piece, &state)) {
		count_cuts(e, e->guest, piece, state, p->codes->end, &guest);
		count_cuts(e, e->host, piece, state, p->codes->end, &host);
	}
	s2_plan_rewind(p);
	if (e->guest != NULL) {
		err = s2_gather_reserve(&e->guest->gather, guest);
	}
	if (err == S2_OK && e->host != NULL) {
		err = s2_gather_reserve(&e->host->gather, host);
	}
	return err;
}

static enum s2_err narrow(const struct s2_engine *e, struct s2_view *v, struct s2_pages piece,
			  enum s2_state from, enum s2_state to)
{
	if (v == NULL || both(v, from, to) == v->prot[from]) {
		return S2_OK;
	}
	return s2_view_narrow(v, e, piece, both(v, from, to));
}

static void begin(const struct s2_plan *p, struct s2_job *job, struct s2_pages pages, bool widened)
{
	s2_track_commit(p->e->track, pages, s2_move_step(s2_begin_steps, p->request->move, widened),
			&job->pool);
}

/* Marks a piece: what is asked for as itself, the rest of it, when it goes out, as widened. */
static enum s2_err begin_piece(const struct s2_plan *p, struct s2_job *job, struct s2_pages piece,
			       enum s2_state state)
{
	const struct s2_engine *e = p->e;
	enum s2_err err;

	if (p->request->policy == S2_WIDEN) {
		begin(p, job, s2_pages_before(piece, p->asked), p->codes->out);
		begin(p, job, s2_pages_behind(piece, p->asked), p->codes->out);
	}
	begin(p, job, s2_pages_overlap(piece, p->asked), false);
	err = narrow(e, e->guest, piece, state, p->codes->end);
	return err != S2_OK ? err : narrow(e, e->host, piece, state, p->codes->end);
}

static void enter_job(struct s2_engine *e, struct s2_job *job, const struct s2_plan *p)
{
	job->phase = S2_JOB_STARTED;
	job->request = *p->request;
	job->reply = S2_REPLY_OK;
	job->scope = s2_pages_range(p->scope);
	job->granted = p->scope.start;
	job->next = e->jobs;
	e->jobs = job;
}

static enum s2_err start(struct s2_engine *e, const struct s2_request *request, struct s2_job *job)
{
	struct s2_plan plan;
	struct s2_pages piece;
	enum s2_state state;
	enum s2_err err = job->phase == S2_JOB_IDLE ? s2_plan_init(&plan, e, request) : S2_ERR_BUSY;

	if (err != S2_OK) {
		return err;
	}
	err = reserve_maps(&plan, &job->pool);
	if (err != S2_OK) {
		return err;
	}
	err = reserve_tables(&plan);
	if (err != S2_OK) {
		s2_pool_drain(&job->pool, &e->track->env);
		return err;
	}
	enter_job(e, job, &plan);
	if (e->marks != NULL && plan.codes->end == S2_SECURE) {
		s2_marks_enter(e, plan.scope);
	}
	while (err == S2_OK && s2_plan_next(&plan, &piece, &state)) {
		err = begin_piece(&plan, job, piece, state);
	}
	sync_views(e);
	job->count = plan.count;
	job->reached = plan.scope.start;
	job->narrowed = err == S2_OK;
	if (!job->narrowed && s2_convert_back(e, job) != S2_OK) {
		wait_at(e, job);
		return S2_ERR_AGAIN;
	}
	return err;
}

enum s2_err s2_convert_start(struct s2_engine *e, const struct s2_request *request,
			     struct s2_job *job)
{
	enum s2_err err = start(e, request, job);

	if (err == S2_OK) {
		wait_at(e, job);
	}
	return err;
}

/* A view shows more than it may of pages that are in the job: before anything else that has to end. */
static enum s2_err narrow_again(struct s2_engine *e, struct s2_job *job)
{
	const struct s2_move_codes *codes = codes_of(job);
	struct s2_pages pages = next_moving(e, job, scope_of(job).start);
	struct s2_view *const views[] = {e->guest, e->host};

	for (; !s2_pages_are_none(pages); pages = next_moving(e, job, pages.end)) {
		for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
			enum s2_err err = views[i] == NULL
						  ? S2_OK
						  : s2_view_narrow(views[i], e, pages,
								   between(views[i], codes));

			if (err != S2_OK) {
				return err;
			}
		}
	}
	sync_views(e);
	job->narrowed = true;
	return S2_OK;
}

/* Adds to what the engine has done. */
static void add_count(struct s2_convert_count *to, const struct s2_convert_count *count)
{
	to->requests += count->requests;
	to->requests_satisfied += count->requests_satisfied;
	to->calls += count->calls;
	to->requested += count->requested;
	to->satisfied += count->satisfied;
	to->converted += count->converted;
	to->widened += count->widened;
	to->refused += count->refused;
	to->kept += count->kept;
}

static void end_job(struct s2_engine *e, struct s2_job *job)
{
	struct s2_job **link = &e->jobs;

	while (*link != job) {
		link = &(*link)->next;
	}
	*link = job->next;
	s2_marks_leave(e, scope_of(job));
	job->next = NULL;
	job->phase = S2_JOB_IDLE;
	s2_pool_drain(&job->pool, &e->track->env);
}

/* The pages between have taken their new state for good: the views follow. */
static enum s2_err grant(struct s2_engine *e, struct s2_view *v, const struct s2_job *job,
			 struct s2_pages pages)
{
	const struct s2_move_codes *codes = codes_of(job);

	if (v == NULL || !widens(v, codes)) {
		return S2_OK;
	}
	while (!s2_pages_are_none(pages)) {
		struct s2_pages stretch = s2_next_with(e->track, pages, codes->to);
		enum s2_err err = s2_pages_are_none(stretch)
					  ? S2_OK
					  : s2_view_grant(v, e, stretch, v->prot[codes->end]);

		if (err != S2_OK) {
			return err;
		}
		pages.start = stretch.end;
	}
	return S2_OK;
}

/* Gives the views what is confirmed. */
static enum s2_err grant_confirmed(struct s2_engine *e, struct s2_job *job)
{
	struct s2_pages pages = s2_pages(job->granted, job->reached);
	enum s2_err err;

	if (!has_views(e)) {
		return S2_OK;
	}
	err = grant(e, e->guest, job, pages);

	if (err == S2_OK) {
		err = grant(e, e->host, job, pages);
	}
	sync_views(e);
	if (err == S2_OK) {
		job->granted = pages.end;
	}
	return err;
}

static void settle_views(struct s2_engine *e, const struct s2_job *job)
{
	if (e->guest != NULL && changes(e->guest, codes_of(job))) {
		s2_view_settle(e->guest, e, scope_of(job));
	}
	if (e->host != NULL && changes(e->host, codes_of(job))) {
		s2_view_settle(e->host, e, scope_of(job));
	}
}

/* All is done: who asks for the pages that were there already, and who does not any longer. */
static void finish(struct s2_engine *e, struct s2_job *job)
{
	struct s2_pages asked = s2_range_pages(job->request.range);
	struct s2_convert_count *count = &job->count;

	if (codes_of(job)->out && count->satisfied != 0) {
		s2_track_commit(e->track, asked, &s2_claim_step, &job->pool);
	}
	if (codes_of(job)->back && job->request.policy == S2_WIDEN && count->kept != 0) {
		s2_track_commit(e->track, asked, &s2_release_step, &job->pool);
	}
	/* What has gone neither way was poisoned meanwhile. */
	count->refused = count->requested - count->satisfied - count->kept -
			 (count->converted - count->widened);
	count->requests = 1;
	count->requests_satisfied = count->satisfied == count->requested;
	if (count->converted != 0) {
		settle_views(e, job);
	}
	add_count(&e->count, count);
	end_job(e, job);
}

static void confirm(struct s2_engine *e, struct s2_job *job, struct s2_pages pages)
{
	struct s2_pages asked = s2_pages_overlap(pages, s2_range_pages(job->request.range));

	if (s2_pages_are_none(pages)) {
		return;
	}
	s2_track_commit(e->track, pages, &s2_done_step, &job->pool);
	job->count.converted += s2_pages_count(pages);
	job->count.widened += s2_pages_count(pages) - s2_pages_count(asked);
	job->phase = S2_JOB_PARTIAL;
}

static struct s2_answer call_backend(struct s2_engine *e, struct s2_job *job, struct s2_range range)
{
	const struct s2_backend *backend = e->backend;
	struct s2_answer answer;

	job->count.calls++;
	answer = backend->convert(backend->cookie, job->request.move, range);
	if (answer.done > range.len || (answer.done & (S2_PAGE_SIZE - 1)) != 0 ||
	    (unsigned)answer.reply >= S2_REPLY_COUNT) {
		/* An answer that cannot be confirms nothing. */
		return (struct s2_answer){S2_REPLY_FAILED, 0};
	}
	if (answer.done == range.len) {
		answer.reply = S2_REPLY_OK;
	} else if (answer.reply == S2_REPLY_OK) {
		answer.reply = S2_REPLY_AGAIN; /* partial */
	}
	return answer;
}

/* The page behind the grain of this one, or any page behind the tracker. */
static uint64_t grain_end_at(const struct s2_engine *e, const struct s2_request *request,
			     uint64_t page)
{
	if (request->grain != S2_GRAIN_FOLIO) {
		return (page | ((request->grain >> S2_PAGE_LG2) - 1)) + 1;
	}
	return s2_grain_at(e, request, page).all.end;
}

/*
 * What the next call of the back end is about: the first stretch that is still to do, as far as it lies in
 * one grain and is not too long. None if all is done.
 */
static struct s2_pages next_unit(const struct s2_engine *e, const struct s2_job *job)
{
	const struct s2_track *t = e->track;
	unsigned moving = codes_of(job)->moving;
	struct s2_pages unit = s2_pages(job->reached, scope_of(job).end);

	if (s2_pages_are_none(unit)) {
		return unit;
	}
	unit.start = s2_track_skip(t, unit, S2_CODE_ALL & ~moving);
	if (e->backend != NULL && !s2_pages_are_none(unit)) {
		uint64_t grain_end = grain_end_at(e, &job->request, unit.start);
		uint64_t most = e->backend->max_len >> S2_PAGE_LG2;

		unit.end = unit.end < grain_end ? unit.end : grain_end;
		if (most != 0 && unit.end - unit.start > most) {
			unit.end = unit.start + most;
		}
	}
	unit.end = s2_track_skip(t, unit, moving);
	return unit;
}

/* Carries out the next unit; none: all is done. */
static enum s2_err convert_unit(struct s2_engine *e, struct s2_job *job, struct s2_pages unit)
{
	static const enum s2_err err[S2_REPLY_COUNT] = {
		[S2_REPLY_OK] = S2_OK,
		[S2_REPLY_AGAIN] = S2_ERR_AGAIN,
		[S2_REPLY_BUSY] = S2_ERR_HELD,
		[S2_REPLY_FAILED] = S2_ERR_BACKEND,
		[S2_REPLY_POISON] = S2_ERR_POISON,
	};
	struct s2_answer answer = {.reply = S2_REPLY_OK};

	if (e->backend != NULL && !s2_pages_are_none(unit)) {
		answer = call_backend(e, job, s2_pages_range(unit));
		unit.end = unit.start + (answer.done >> S2_PAGE_LG2);
	}
	confirm(e, job, unit);
	job->reached = unit.end;
	job->reply = answer.reply;
	return err[answer.reply];
}

/* The page where the back end stopped has an error. */
static enum s2_err take_poison(struct s2_engine *e, struct s2_job *job)
{
	struct s2_pages page = s2_pages(job->reached, job->reached + 1);
	enum s2_err err = s2_convert_poison(e, s2_pages_range(page));

	return err == S2_OK ? S2_ERR_POISON : err;
}

enum s2_err s2_convert_resume(struct s2_engine *e, struct s2_job *job)
{
	enum s2_err err = S2_OK;
	struct s2_pages unit = s2_pages(0, 1);
	enum s2_err granted;

	if (job->phase == S2_JOB_IDLE) {
		return S2_OK;
	}
	if (!job->narrowed) {
		err = narrow_again(e, job);
	}
	if (err != S2_OK) {
		return err;
	}
	while (err == S2_OK && !s2_pages_are_none(unit)) {
		unit = next_unit(e, job);
		err = convert_unit(e, job, unit);
	}
	granted = grant_confirmed(e, job);
	if (err == S2_ERR_POISON) {
		err = take_poison(e, job);
	}
	err = err == S2_OK ? granted : err;
	if (err == S2_OK) {
		finish(e, job);
	} else {
		wait_at(e, job);
	}
	return err;
}

enum s2_err s2_convert(struct s2_engine *e, const struct s2_request *request, struct s2_job *job)
{
	enum s2_err err = start(e, request, job);

	return err == S2_OK ? s2_convert_resume(e, job) : err;
}

/* Gives a view back what a stretch that has been making the move was allowed before, or nothing. */
static enum s2_err give_back(struct s2_engine *e, struct s2_view *v, struct s2_pages pages,
			     const struct s2_move_codes *codes)
{
	enum s2_state from = codes->start;

	if (v == NULL || between(v, codes) == v->prot[from]) {
		return S2_OK;
	}
	return s2_view_grant(v, e, pages, v->prot[from]);
}

/*
 * Takes a stretch of one code out of the job. What the views are to get they get while the pages are
 * still in transition: if that fails, the job is as it was.
 */
static enum s2_err undo(struct s2_engine *e, struct s2_job *job, struct s2_pages pages)
{
	struct s2_pages asked = s2_range_pages(job->request.range);
	enum s2_err err = give_back(e, e->guest, pages, codes_of(job));

	if (err == S2_OK) {
		err = give_back(e, e->host, pages, codes_of(job));
	}
	if (err != S2_OK) {
		job->narrowed = false; /* the job may go forward yet */
		return err;
	}
	s2_track_commit(e->track, pages, &s2_undo_step, &job->pool);
	if (job->request.move == S2_IMPORT) {
		/* An undone import forgets the mark. All pages that nobody asked for had it. */
		s2_track_commit(e->track, s2_pages_before(pages, asked), &s2_release_step,
				&job->pool);
		s2_track_commit(e->track, s2_pages_behind(pages, asked), &s2_release_step,
				&job->pool);
	}
	return S2_OK;
}

S2_COLD static enum s2_err undo_all(struct s2_engine *e, struct s2_job *job)
{
	enum s2_err err = S2_OK;
	struct s2_pages pages = next_moving(e, job, scope_of(job).start);

	while (err == S2_OK && !s2_pages_are_none(pages)) {
		err = undo(e, job, pages);
		pages = next_moving(e, job, pages.end);
	}
	sync_views(e);
	return err;
}

static bool is_one_way(const struct s2_engine *e, const struct s2_job *job)
{
	return job->request.move == S2_RECLAIM &&
	       !s2_pages_are_none(next_moving(e, job, scope_of(job).start));
}

enum s2_err s2_convert_back(struct s2_engine *e, struct s2_job *job)
{
	enum s2_err err;

	if (job->phase == S2_JOB_IDLE) {
		return S2_OK;
	}
	if (job->phase == S2_JOB_PARTIAL || is_one_way(e, job)) {
		return S2_ERR_STATE;
	}
	err = undo_all(e, job);
	if (err == S2_OK) {
		e->count.calls += job->count.calls;
		settle_views(e, job);
		end_job(e, job);
	}
	return err;
}

enum s2_err s2_convert_stop(struct s2_engine *e, struct s2_job *job)
{
	enum s2_err err;

	if (job->phase == S2_JOB_IDLE) {
		return S2_OK;
	}
	if (is_one_way(e, job)) {
		return S2_ERR_STATE;
	}
	err = grant_confirmed(e, job);
	err = err != S2_OK ? err : undo_all(e, job);
	if (err == S2_OK) {
		settle_views(e, job);
		add_count(&e->count, &job->count);
		end_job(e, job);
	}
	return err;
}
