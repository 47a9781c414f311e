/* SPDX-License-Identifier: BSD-2-Clause */
#include "oracle.h"

void oracle_grain(const struct oracle *o, const struct s2_request *request, unsigned page,
		  unsigned *start, unsigned *end)
{
	uint64_t number = o->flat.first + page;
	uint64_t first = number;
	uint64_t last = number;

	if (request->grain != S2_GRAIN_FOLIO) {
		uint64_t grain = request->grain / S2_PAGE_SIZE;

		first = number / grain * grain;
		last = first + (grain - 1);
	}
	for (size_t i = 0; request->grain == S2_GRAIN_FOLIO && i < o->run_count; i++) {
		uint64_t run_first = o->run[i].gpa.val / S2_PAGE_SIZE;
		uint64_t run_last = run_first + o->run[i].len / S2_PAGE_SIZE - 1;

		if (run_first <= number && number <= run_last) {
			first = run_first;
			last = run_last;
		}
	}
	*start = first < o->flat.first ? 0 : (unsigned)(first - o->flat.first);
	*end = last - o->flat.first >= o->flat.count ? o->flat.count
						     : (unsigned)(last - o->flat.first + 1);
}

static bool rests_in(const struct oracle *o, unsigned page, enum s2_state state)
{
	return !o->flat.page[page].moving && o->flat.page[page].state == state;
}

static bool can_make(const struct oracle *o, unsigned page, enum s2_move move)
{
	if (move == S2_RECLAIM) {
		return rests_in(o, page, S2_SECURE) || rests_in(o, page, S2_SHARED) ||
		       rests_in(o, page, S2_EXPORTED);
	}
	return rests_in(o, page, flat_from(move));
}

static bool is_asked(const struct oracle_job *job, unsigned page)
{
	return job->start <= page && page < job->end;
}

/* Would a grain show pages that are not asked for? */
static bool exposes(const struct oracle *o, const struct oracle_job *job)
{
	const struct s2_request *request = &job->request;

	if (request->move != S2_SHARE || request->policy != S2_WIDEN ||
	    request->guest_offers_grain) {
		return false;
	}
	for (unsigned i = job->start; i < job->end; i++) {
		unsigned start;
		unsigned end;

		oracle_grain(o, request, i, &start, &end);
		for (unsigned k = start; k < end && rests_in(o, i, S2_SECURE); k++) {
			if (!is_asked(job, k) && rests_in(o, k, S2_SECURE)) {
				return true;
			}
		}
	}
	return false;
}

static enum s2_err states_err(const struct oracle *o, const struct oracle_job *job)
{
	enum s2_move move = job->request.move;

	for (unsigned i = job->start; i < job->end; i++) {
		const struct flat_page *page = &o->flat.page[i];

		if (page->moving) {
			return S2_ERR_BUSY;
		}
		if (page->state == S2_POISONED && move != S2_RECLAIM) {
			return S2_ERR_POISON;
		}
		if (page->state != S2_POISONED && !can_make(o, i, move) &&
		    page->state != flat_to(move)) {
			return S2_ERR_STATE;
		}
	}
	return S2_OK;
}

static bool is_in_the_way(const struct oracle *o, const struct oracle_job *job)
{
	for (int i = 0; i < ORACLE_JOBS; i++) {
		const struct oracle_job *other = &o->job[i];

		if (other->busy && job->scope_start < other->scope_end &&
		    other->scope_start < job->scope_end) {
			return true;
		}
	}
	for (unsigned i = job->scope_start; i < job->scope_end; i++) {
		if (job->request.policy == S2_WIDEN && o->flat.page[i].moving) {
			return true;
		}
	}
	return false;
}

/* What becomes of a page that is asked for or in a grain of one; for those that move or are kept. */
enum fate {
	FATE_STAYS = 0,
	FATE_MOVES = 1,
	FATE_KEPT = 2,
	FATE_REFUSED = 3,
};

struct grain {
	unsigned start, end;
	unsigned pending; /* asked for, and can make the move */
	bool full;	  /* the request fills it */
	bool wanted;	  /* on the way back: somebody asks for a page that is not in the request */
};

static struct grain look_at(const struct oracle *o, const struct oracle_job *job, unsigned page)
{
	const struct s2_request *request = &job->request;
	struct grain grain = {.full = true};

	oracle_grain(o, request, page, &grain.start, &grain.end);
	for (unsigned i = grain.start; i < grain.end; i++) {
		bool asked = is_asked(job, i);

		grain.pending += asked && can_make(o, i, request->move);
		grain.full = grain.full && asked;
		grain.wanted = grain.wanted || (!asked && can_make(o, i, request->move) &&
						!o->flat.page[i].widened);
	}
	grain.wanted = grain.wanted && (request->move == S2_UNSHARE || request->move == S2_IMPORT);
	return grain;
}

static enum fate fate_of(const struct oracle *o, const struct oracle_job *job,
			 const struct grain *grain, unsigned page)
{
	bool asked = is_asked(job, page);

	if (!can_make(o, page, job->request.move) || grain->pending == 0) {
		return FATE_STAYS;
	}
	switch (job->request.policy) {
	case S2_WIDEN:
		if (grain->wanted) {
			return asked ? FATE_KEPT : FATE_STAYS;
		}
		return FATE_MOVES;
	case S2_REFUSE:
		if (!grain->full) {
			return asked ? FATE_REFUSED : FATE_STAYS;
		}
		return FATE_MOVES;
	case S2_EXACT:
	case S2_POLICY_COUNT:
		break;
	}
	return asked ? FATE_MOVES : FATE_STAYS;
}

/* Calls do_page for each page of each grain that the request touches; true if one call was. */
static bool each_page(struct oracle *o, struct oracle_job *job,
		      bool (*do_page)(struct oracle *o, struct oracle_job *job, unsigned page,
				      enum fate fate))
{
	struct grain grain;
	bool any = false;

	for (unsigned i = job->start; i < job->end; i = grain.end) {
		enum fate fate[ORACLE_PAGES];

		grain = look_at(o, job, i);
		for (unsigned k = grain.start; k < grain.end; k++) {
			fate[k] = fate_of(o, job, &grain, k);
		}
		for (unsigned k = grain.start; k < grain.end; k++) {
			any = do_page(o, job, k, fate[k]) || any;
		}
	}
	return any;
}

/* Is a page pinned that is asked for, or that moves with its grain? */
static bool is_held(struct oracle *o, struct oracle_job *job, unsigned page, enum fate fate)
{
	enum s2_move move = job->request.move;

	return (move == S2_UNSHARE || move == S2_RECLAIM) &&
	       (is_asked(job, page) || fate == FATE_MOVES) && o->page[page].pins != 0;
}

static bool take_page(struct oracle *o, struct oracle_job *job, unsigned page, enum fate fate)
{
	enum s2_move move = job->request.move;
	bool asked = is_asked(job, page);
	int slot = (int)(job - o->job);

	job->count.kept += fate == FATE_KEPT;
	job->count.refused += fate == FATE_REFUSED;
	if (asked && fate == FATE_STAYS) {
		if (rests_in(o, page, S2_POISONED)) {
			job->count.refused++;
		} else {
			job->count.satisfied++;
		}
	}
	o->page[page].kept = o->page[page].kept || fate == FATE_KEPT;
	if (fate == FATE_MOVES) {
		flat_begin(&o->flat.page[page], move,
			   !asked && (move == S2_SHARE || move == S2_EXPORT), 0);
		o->page[page].job = slot;
	}
	return false;
}

static void set_scope(const struct oracle *o, struct oracle_job *job)
{
	unsigned ignored;

	job->scope_start = job->start;
	job->scope_end = job->end;
	if (job->request.policy == S2_WIDEN) {
		oracle_grain(o, &job->request, job->start, &job->scope_start, &ignored);
		oracle_grain(o, &job->request, job->end - 1, &ignored, &job->scope_end);
	}
}

static enum s2_err arguments_err(const struct oracle *o, const struct s2_request *request)
{
	uint64_t last = request->range.start.val + (request->range.len - 1);
	uint64_t first = o->flat.first << S2_PAGE_LG2;

	if (request->range.len == 0) {
		return S2_ERR_INVAL;
	}
	if (((request->range.start.val | request->range.len) & (S2_PAGE_SIZE - 1)) != 0) {
		return S2_ERR_ALIGN;
	}
	if (last < request->range.start.val) {
		return S2_ERR_WRAP;
	}
	if (request->range.start.val < first ||
	    last - first >= (uint64_t)o->flat.count * S2_PAGE_SIZE) {
		return S2_ERR_RANGE;
	}
	if ((unsigned)request->move >= S2_MOVE_COUNT ||
	    (unsigned)request->policy >= S2_POLICY_COUNT) {
		return S2_ERR_INVAL;
	}
	if (request->grain != S2_GRAIN_FOLIO &&
	    (request->grain < S2_PAGE_SIZE || (request->grain & (request->grain - 1)) != 0)) {
		return S2_ERR_INVAL;
	}
	return S2_OK;
}

enum s2_err oracle_start(struct oracle *o, int slot, const struct s2_request *request)
{
	struct oracle_job job = {.request = *request};
	enum s2_err err = arguments_err(o, request);

	if (err != S2_OK) {
		return err;
	}
	job.start = (unsigned)((request->range.start.val >> S2_PAGE_LG2) - o->flat.first);
	job.end = job.start + (unsigned)(request->range.len >> S2_PAGE_LG2);
	set_scope(o, &job);
	if (exposes(o, &job)) {
		return S2_ERR_EXPOSE;
	}
	err = states_err(o, &job);
	if (err != S2_OK) {
		return err;
	}
	if (is_in_the_way(o, &job)) {
		return S2_ERR_BUSY;
	}
	if (each_page(o, &job, is_held)) {
		return S2_ERR_HELD;
	}
	job.busy = true;
	job.count.requested = job.end - job.start;
	o->job[slot] = job;
	each_page(o, &o->job[slot], take_page);
	return S2_OK;
}

unsigned oracle_next(const struct oracle *o, int slot, unsigned from)
{
	while (from < ORACLE_PAGES && o->page[from].job != slot) {
		from++;
	}
	return from;
}

struct s2_range oracle_unit(const struct oracle *o, int slot, uint64_t max_len)
{
	unsigned start = oracle_next(o, slot, 0);
	unsigned end = start;
	unsigned grain_start;
	unsigned grain_end;

	if (start == ORACLE_PAGES) {
		return flat_range(&o->flat, 0, 0);
	}
	oracle_grain(o, &o->job[slot].request, start, &grain_start, &grain_end);
	while (end < grain_end && o->page[end].job == slot &&
	       (max_len == 0 || end - start < max_len / S2_PAGE_SIZE)) {
		end++;
	}
	return flat_range(&o->flat, start, end - start);
}

void oracle_confirm(struct oracle *o, unsigned page)
{
	struct oracle_page *p = &o->page[page];
	struct oracle_job *job = &o->job[p->job];
	enum s2_state before = o->flat.page[page].state;

	flat_done(&o->flat.page[page]);
	job->count.converted++;
	job->count.widened += !is_asked(job, page);
	job->confirmed = true;
	switch (job->request.move) {
	case S2_DONATE:
		p->seed = p->sealed ? p->seed : 0;
		p->sealed = p->scribbled = p->offered = false;
		break;
	case S2_SHARE:
		p->offered = is_asked(job, page) || job->request.guest_offers_grain;
		break;
	case S2_UNSHARE:
		p->offered = false;
		break;
	case S2_RECLAIM:
		p->offered = p->offered && before == S2_SHARED;
		p->scribbled = p->scribbled && before == S2_EXPORTED;
		break;
	case S2_EXPORT:
	case S2_IMPORT:
	case S2_MOVE_COUNT:
		break;
	}
	p->late = true;
	p->job = -1;
}

void oracle_undo(struct oracle *o, unsigned page)
{
	/* Whether the mark of an import that was undone is lost, the engine may choose. */
	struct s2_page now;
	bool widened = o->flat.page[page].widened;

	flat_undo(&o->flat.page[page]);
	if (o->flat.page[page].move == S2_IMPORT && widened &&
	    s2_track_get(o->track, flat_range(&o->flat, page, 1).start, &now) == S2_OK) {
		o->flat.page[page].widened = now.widened;
	}
	o->page[page].job = -1;
}

void oracle_poison(struct oracle *o, unsigned page)
{
	struct flat_page *flat = &o->flat.page[page];
	int slot = o->page[page].job;

	if (slot >= 0) {
		o->job[slot].poisoned = true;
		o->page[page].job = -1;
	}
	*flat = (struct flat_page){.state = S2_POISONED};
	o->page[page].late = false;
	o->page[page].kept = false;
}

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

static void end_job(struct oracle *o, int slot)
{
	struct oracle_job *job = &o->job[slot];

	for (unsigned i = job->scope_start; i < job->scope_end; i++) {
		o->page[i].kept = false;
		o->page[i].late = false;
	}
	job->busy = false;
}

void oracle_finish(struct oracle *o, int slot)
{
	struct oracle_job *job = &o->job[slot];
	bool out = job->request.move == S2_SHARE || job->request.move == S2_EXPORT;

	for (unsigned i = job->start; i < job->end; i++) {
		if (o->page[i].kept) {
			o->flat.page[i].widened = true;
		}
		if (out && rests_in(o, i, flat_to(job->request.move))) {
			o->flat.page[i].widened = false;
			o->page[i].offered = o->page[i].offered || job->request.move == S2_SHARE;
		}
	}
	job->count.requests = 1;
	job->count.requests_satisfied = job->count.satisfied == job->count.requested;
	/* What was asked for and lost to a hardware error was not moved. */
	job->count.refused = job->count.requested - job->count.satisfied - job->count.kept -
			     (job->count.converted - job->count.widened);
	add_count(&o->count, &job->count);
	end_job(o, slot);
}

void oracle_stop(struct oracle *o, int slot)
{
	for (unsigned i = oracle_next(o, slot, 0); i < ORACLE_PAGES; i = oracle_next(o, slot, i)) {
		oracle_undo(o, i);
	}
	add_count(&o->count, &o->job[slot].count);
	end_job(o, slot);
}

void oracle_back(struct oracle *o, int slot)
{
	for (unsigned i = oracle_next(o, slot, 0); i < ORACLE_PAGES; i = oracle_next(o, slot, i)) {
		oracle_undo(o, i);
	}
	o->count.calls += o->job[slot].count.calls;
	end_job(o, slot);
}

enum s2_err oracle_pin(const struct oracle *o, unsigned start, unsigned count)
{
	for (unsigned i = start; i < start + count; i++) {
		const struct flat_page *page = &o->flat.page[i];

		if (page->moving) {
			return S2_ERR_BUSY;
		}
		if (page->state != S2_SHARED) {
			return page->state == S2_POISONED ? S2_ERR_POISON : S2_ERR_STATE;
		}
		if (page->widened) {
			return S2_ERR_EXPOSE;
		}
	}
	return S2_OK;
}

enum s2_err oracle_err(enum s2_reply reply)
{
	static const enum s2_err err[S2_REPLY_COUNT] = {
		[S2_REPLY_OK] = S2_OK,
		[S2_REPLY_AGAIN] = S2_ERR_AGAIN,
		[S2_REPLY_BUSY] = S2_ERR_HELD,
		[S2_REPLY_FAILED] = S2_ERR_BACKEND,
		[S2_REPLY_POISON] = S2_ERR_POISON,
	};

	return err[reply];
}
