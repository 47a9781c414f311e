/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions beside a change: wherever a deed calls the back end, a page reads as it was before the deed
 * or as it is after it, each mark and right by itself.
 */
#include "bench.h"
#include "cases.h"
#include "deed.h"

#include <string.h>

#define PAGE S2_PAGE_SIZE
#define ASKED 24u /* pages around home */

/*
 * Answers for one page: which values there were, as bits. Two questions may be answered from two sides
 * of one change.
 */
struct answers {
	uint64_t mapped, prot, mem, accessed, dirty;
	uint64_t hpa; /* if it was ever mapped; no deed changes it */
};

static struct answers beside[ASKED];
static unsigned asked;

static void answer(struct answers *to, bool mapped, uint64_t hpa)
{
	must(!mapped || (to->mapped & 2) == 0 || to->hpa == hpa);
	to->mapped |= UINT64_C(1) << mapped;
	to->hpa = mapped ? hpa : to->hpa;
}

static void ask(struct answers *to, unsigned page)
{
	s2_gpa_t gpa = s2_gpa(b.home - ASKED / 2 * PAGE + page * PAGE);
	s2_hpa_t hpa = s2_hpa(0);
	struct s2_leaf leaf;
	bool found = s2_lookup(&b.s, gpa, &hpa) == S2_OK;

	answer(to, found, hpa.val);
	must_do(s2_query(&b.s, gpa, &leaf));
	answer(to, leaf.mapped, leaf.hpa.val + (gpa.val - leaf.range.start.val));
	if (leaf.mapped) {
		to->prot |= UINT64_C(1) << leaf.prot;
		to->mem |= UINT64_C(1) << leaf.mem;
		to->accessed |= UINT64_C(1) << leaf.accessed;
		to->dirty |= UINT64_C(1) << leaf.dirty;
	}
}

static void ask_all(struct answers *to)
{
	for (unsigned i = 0; i < ASKED; i++) {
		ask(&to[i], i);
	}
}

static void on_flush(void *cookie, struct machine *m, const struct s2_flush *flush, size_t count)
{
	(void)cookie;
	(void)m;
	(void)flush;
	(void)count;
	ask_all(beside);
	asked++;
}

static void on_place(void *cookie, struct machine *m, const struct s2_place *place, size_t count)
{
	(void)cookie;
	(void)m;
	(void)place;
	(void)count;
	ask_all(beside);
	asked++;
}

static void listen(bool on)
{
	b.m.on_flush = on ? on_flush : NULL;
	b.m.on_purge = on ? on_place : NULL;
	b.m.on_invalid = on ? on_place : NULL;
}

static void expect_among(const struct answers *is, const struct answers *ends)
{
	must_eq(is->mapped & ~ends->mapped, 0);
	must_eq(is->prot & ~ends->prot, 0);
	must_eq(is->mem & ~ends->mem, 0);
	must_eq(is->accessed & ~ends->accessed, 0);
	must_eq(is->dirty & ~ends->dirty, 0);
	must((is->mapped & 2) == 0 || is->hpa == ends->hpa);
}

/* Some pages are not accessed, some are not dirty, one is neither. */
static void mix_marks(void)
{
	uint64_t young;

	if (b.s.fmt->keeps_accessed(&b.s)) {
		must_do(s2_age(&b.s, range_at(b.home - 3 * PAGE, 4 * PAGE), &b.g, &young));
	}
	must_do(s2_dirty_clear(&b.s, range_at(b.home, 4 * PAGE), &b.g));
	s2_gather_sync(&b.g);
}

/* What the pages are now is one end of what is done until end_beside(). */
static void begin_beside(struct answers *ends)
{
	memset(beside, 0, sizeof(beside));
	memset(ends, 0, ASKED * sizeof(*ends));
	ask_all(ends);
	listen(true);
}

/* It is done: every answer on the way was that of one of the ends. The space is empty then. */
static void end_beside(struct answers *ends)
{
	s2_gather_sync(&b.g);
	listen(false);
	ask_all(ends);
	for (unsigned i = 0; i < ASKED; i++) {
		expect_among(&beside[i], &ends[i]);
	}
	settle();
	unmap_all();
}

static void look_beside(const struct deed *deed)
{
	struct answers ends[ASKED];

	deed->scene();
	mix_marks();
	begin_beside(ends);
	must_do(deed->run(NULL));
	end_beside(ends);
}

ON_EVERY_MACHINE(what_was_or_what_comes)
{
	asked = 0;
	for (unsigned i = 0; i < deed_count; i++) {
		if (!deeds[i].large || b.large > 1) {
			look_beside(&deeds[i]);
		}
	}
	must(asked > 0);
}

/* Stretches of leaves that are invalid until all of them are stored: of pages, and of larger leaves. */
ON_EVERY_MACHINE(changed_by_stretches)
{
	asked = 0;
	for (unsigned k = 0; k < b.large; k++) {
		struct s2_range range = range_at(b.home - size_at(k), 3 * size_at(k));
		struct answers ends[ASKED];

		map_as(range.start.val, hpa_at(size_at(k), 1), range.len, k);
		mix_marks();
		load(range.start.val, range.len);
		begin_beside(ends);
		must_do(s2_protect(&b.s, range, S2_RX, &b.g, NULL));
		must_do(s2_dirty_clear(&b.s, range, &b.g));
		end_beside(ends);
	}
	must(asked > 0);
}

TCase *case_beside(void)
{
	TCase *tcase = tcase_create("beside");

	ADD(tcase, what_was_or_what_comes);
	ADD(tcase, changed_by_stretches);
	return tcase;
}
