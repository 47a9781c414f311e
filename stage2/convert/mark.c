/* SPDX-License-Identifier: BSD-2-Clause */
/* Marks: one bit for a folio beside the truth of each page, and what the host asks of them. */
#include "internal.h"
#include <stage2/mark.h>

#define SECURE S2_CODE_BIT(S2_CODE_SECURE)
#define MOVING s2_code_alike(S2_CODE_DONATING)
#define POISONED S2_CODE_BIT(S2_CODE_POISONED)
#define OFFERED                                                                                    \
	(S2_CODE_BIT(S2_CODE_NONE) | S2_CODE_BIT(S2_CODE_SHARED) | S2_CODE_BIT(S2_CODE_EXPORTED) | \
	 S2_CODE_BIT(S2_CODE_EXPORTED_WIDENED))

const char *s2_mark_scheme_name(enum s2_mark_scheme scheme)
{
	static const char *const name[S2_MARK_SCHEME_COUNT] = {
		[S2_MARK_PAGE] = "page",
		[S2_MARK_FOLIO] = "folio",
	};

	return (unsigned)scheme < S2_MARK_SCHEME_COUNT ? name[scheme] : "unknown";
}

/* What the tracker has of a run. */
static struct s2_pages folio_pages(const struct s2_engine *e, size_t index)
{
	return s2_pages_overlap(s2_range_pages(s2_run_range(&e->runs[index])),
				s2_range_pages(e->track->range));
}

static bool folio_has(const struct s2_engine *e, size_t index, unsigned codes)
{
	struct s2_pages pages = folio_pages(e, index);

	return !s2_pages_are_none(s2_next_with(e->track, pages, codes));
}

enum s2_err s2_marks_init(struct s2_marks *m, const struct s2_env *env, enum s2_mark_scheme scheme,
			  const struct s2_engine *e)
{
	if ((unsigned)scheme >= S2_MARK_SCHEME_COUNT || e->run_count == 0) {
		return S2_ERR_INVAL;
	}
	*m = (struct s2_marks){
		.env = *env, .scheme = scheme, .count = e->run_count, .capacity = e->run_count};
	m->mark = env->alloc(env->cookie, m->capacity);
	if (m->mark == NULL) {
		return S2_ERR_NOMEM;
	}
	for (size_t i = 0; i < m->count; i++) {
		bool secure = scheme == S2_MARK_FOLIO && folio_has(e, i, SECURE | MOVING);

		m->mark[i] = (uint8_t)((secure ? S2_MARK_SECURE : 0) |
				       (folio_has(e, i, POISONED) ? S2_MARK_POISON : 0));
	}
	return S2_OK;
}

void s2_marks_fini(struct s2_marks *m)
{
	m->env.free(m->env.cookie, m->mark, m->capacity);
	*m = (struct s2_marks){.env = m->env};
}

static enum s2_err reserve(struct s2_marks *m, size_t more)
{
	size_t capacity = m->count + more;
	uint8_t *mark;

	if (capacity <= m->capacity) {
		return S2_OK;
	}
	capacity += m->capacity; /* at least twice as many, so that splitting costs little */
	mark = m->env.alloc(m->env.cookie, capacity);
	if (mark == NULL) {
		return S2_ERR_NOMEM;
	}
	memcpy(mark, m->mark, m->count);
	m->env.free(m->env.cookie, m->mark, m->capacity);
	m->mark = mark;
	m->capacity = capacity;
	return S2_OK;
}

enum s2_err s2_marks_split(struct s2_marks *m, size_t index, size_t parts)
{
	enum s2_err err;

	if (index >= m->count) {
		return S2_ERR_RANGE;
	}
	if (parts == 0) {
		return S2_ERR_INVAL;
	}
	err = reserve(m, parts - 1);
	if (err != S2_OK) {
		return err;
	}
	memmove(&m->mark[index + parts], &m->mark[index + 1], m->count - index - 1);
	memset(&m->mark[index], m->mark[index], parts);
	m->count += parts - 1;
	return S2_OK;
}

enum s2_err s2_marks_merge(struct s2_marks *m, size_t index, size_t parts)
{
	if (index >= m->count || parts > m->count - index) {
		return S2_ERR_RANGE;
	}
	if (parts == 0) {
		return S2_ERR_INVAL;
	}
	for (size_t i = 1; i < parts; i++) {
		m->mark[index] |= m->mark[index + i];
	}
	memmove(&m->mark[index + 1], &m->mark[index + parts], m->count - index - parts);
	m->count -= parts - 1;
	return S2_OK;
}

/* Is this scheme in force? */
static bool is_by_folio(const struct s2_engine *e)
{
	return e->marks != NULL && e->marks->scheme == S2_MARK_FOLIO;
}

/* Has the engine a folio with this index, and does it touch the pages? */
static bool touches(const struct s2_engine *e, size_t index, struct s2_pages pages)
{
	return index < e->run_count &&
	       !s2_pages_are_none(
		       s2_pages_overlap(pages, s2_range_pages(s2_run_range(&e->runs[index]))));
}

static void set_marks(const struct s2_engine *e, struct s2_pages pages, unsigned mark)
{
	for (size_t i = s2_first_run(e->runs, e->run_count, pages.start); touches(e, i, pages);
	     i++) {
		e->marks->mark[i] |= (uint8_t)mark;
	}
}

/* Takes a mark back where the truth does not want it. */
static void refresh(const struct s2_engine *e, size_t index, unsigned mark, unsigned codes)
{
	if ((e->marks->mark[index] & mark) != 0 && !folio_has(e, index, codes)) {
		e->marks->mark[index] &= (uint8_t)~mark;
	}
}

void s2_marks_enter(const struct s2_engine *e, struct s2_pages pages)
{
	if (is_by_folio(e)) {
		set_marks(e, pages, S2_MARK_SECURE);
	}
}

void s2_marks_leave(const struct s2_engine *e, struct s2_pages pages)
{
	if (!is_by_folio(e)) {
		return;
	}
	for (size_t i = s2_first_run(e->runs, e->run_count, pages.start); touches(e, i, pages);
	     i++) {
		refresh(e, i, S2_MARK_SECURE, SECURE | MOVING);
	}
}

void s2_marks_poison(const struct s2_engine *e, struct s2_pages pages)
{
	if (e->marks != NULL) {
		set_marks(e, pages, S2_MARK_POISON);
	}
}

bool s2_folio_has_poison(const struct s2_engine *e, size_t index)
{
	refresh(e, index, S2_MARK_POISON, POISONED);
	return (e->marks->mark[index] & S2_MARK_POISON) != 0;
}

/* Moves pages as one request. */
static enum s2_err move_pages(struct s2_engine *e, enum s2_move move, struct s2_pages pages,
			      struct s2_job *job)
{
	struct s2_request request = {
		.move = move, .range = s2_pages_range(pages), .grain = S2_GRAIN_FOLIO};

	return s2_convert(e, &request, job);
}

/* The first page that the host can never use, secure pages apart. */
static enum s2_err check_usable(const struct s2_engine *e, struct s2_pages pages)
{
	uint64_t page = s2_track_skip(e->track, pages, SECURE | OFFERED);
	unsigned code;

	if (page == pages.end) {
		return S2_OK;
	}
	code = s2_track_code(e->track, page);
	return code == S2_CODE_SHARED_WIDENED ? S2_ERR_EXPOSE : s2_code_err(code);
}

static enum s2_err export_pages(struct s2_engine *e, struct s2_pages pages, struct s2_job *job)
{
	enum s2_err err = S2_OK;

	while (err == S2_OK && !s2_pages_are_none(pages)) {
		struct s2_pages stretch = s2_next_with(e->track, pages, SECURE);

		if (!s2_pages_are_none(stretch)) {
			err = move_pages(e, S2_EXPORT, stretch, job);
		}
		pages.start = stretch.end;
	}
	return err;
}

/* The bit of each folio decides; pages that are in none speak for themselves. */
static enum s2_err export_folios(struct s2_engine *e, struct s2_pages pages, struct s2_job *job)
{
	enum s2_err err = S2_OK;
	size_t i = s2_first_run(e->runs, e->run_count, pages.start);

	for (; err == S2_OK && touches(e, i, pages); i++) {
		struct s2_pages folio = folio_pages(e, i);

		err = export_pages(e, s2_pages_before(pages, folio), job);
		pages.start = folio.end;
		if (err == S2_OK && (e->marks->mark[i] & S2_MARK_SECURE) != 0) {
			err = export_pages(e, folio, job);
			refresh(e, i, S2_MARK_SECURE, SECURE | MOVING);
		}
	}
	return err == S2_OK ? export_pages(e, pages, job) : err;
}

S2_COLD enum s2_err s2_make_accessible(struct s2_engine *e, struct s2_range range,
				       struct s2_job *job)
{
	enum s2_err err = s2_track_covers(e->track, range);
	struct s2_pages pages;

	if (err == S2_OK) {
		err = s2_convert_resume(e, job);
	}
	if (err != S2_OK) {
		return err;
	}
	pages = s2_range_pages(range);
	err = check_usable(e, pages);
	if (err != S2_OK) {
		return err;
	}
	return is_by_folio(e) ? export_folios(e, pages, job) : export_pages(e, pages, job);
}

/* A request that somebody holds up is given up: what is confirmed stays. */
static enum s2_err import_or_leave(struct s2_engine *e, struct s2_pages pages, struct s2_job *job,
				   bool *is_held)
{
	enum s2_err err = move_pages(e, S2_IMPORT, pages, job);

	*is_held = err == S2_ERR_HELD;
	return *is_held ? s2_convert_stop(e, job) : err;
}

/* Pages of one folio that are exported. Where one is held, page by page, or none of the rest. */
static enum s2_err import_stretch(struct s2_engine *e, struct s2_pages pages, struct s2_job *job,
				  uint64_t *held)
{
	unsigned from = s2_move_codes[S2_IMPORT].from;
	bool is_held;
	enum s2_err err = import_or_leave(e, pages, job, &is_held);

	if (err != S2_OK || !is_held) {
		return err;
	}
	if (is_by_folio(e)) {
		*held += s2_count_with(e->track, pages, from);
		return S2_OK;
	}
	pages = s2_next_with(e->track, pages, from);
	for (; err == S2_OK && !s2_pages_are_none(pages); pages.start++) {
		err = import_or_leave(e, s2_pages(pages.start, pages.start + 1), job, &is_held);
		*held += is_held;
	}
	return err;
}

static enum s2_err import_pages(struct s2_engine *e, struct s2_pages pages, struct s2_job *job,
				uint64_t *held)
{
	const struct s2_request folio = {
		.move = S2_IMPORT, .grain = S2_GRAIN_FOLIO, .range = s2_pages_range(pages)};
	enum s2_err err = S2_OK;

	while (err == S2_OK && !s2_pages_are_none(pages)) {
		struct s2_pages stretch =
			s2_next_with(e->track, pages, s2_move_codes[S2_IMPORT].from);

		if (s2_pages_are_none(stretch)) {
			break;
		}
		stretch = s2_pages_overlap(stretch, s2_grain_at(e, &folio, stretch.start).all);
		err = import_stretch(e, stretch, job, held);
		pages.start = stretch.end;
	}
	return err;
}

S2_COLD enum s2_err s2_make_secure(struct s2_engine *e, struct s2_range range, struct s2_job *job,
				   uint64_t *held)
{
	enum s2_err err = s2_track_covers(e->track, range);
	struct s2_request folio = {.move = S2_IMPORT, .grain = S2_GRAIN_FOLIO, .range = range};
	struct s2_pages pages;

	*held = 0;
	if (err == S2_OK) {
		err = s2_convert_resume(e, job);
		err = err == S2_ERR_HELD ? s2_convert_stop(e, job) : err;
	}
	if (err != S2_OK) {
		return err;
	}
	pages = s2_range_pages(range);
	if (is_by_folio(e)) {
		pages.start = s2_grain_at(e, &folio, pages.start).all.start;
		pages.end = s2_grain_at(e, &folio, pages.end - 1).all.end;
	}
	err = import_pages(e, pages, job, held);
	return err == S2_OK && *held != 0 ? S2_ERR_HELD : err;
}
