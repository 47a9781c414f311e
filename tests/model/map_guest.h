/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest: accesses through the TLB, faults that software answers; and syncs, after which nothing
 * may be stale. */
#ifndef TESTS_MODEL_MAP_GUEST_H
#define TESTS_MODEL_MAP_GUEST_H

#include "map_compare.h"

static inline void model_sync(struct world *w)
{
	s2_gather_sync(&w->g);
	world_trace(w, "sync");
	if (s2_gather_owes(&w->g)) {
		wrong(w, "something is owed after a sync");
	}
	w->o.sync++;
	machine_audit(&w->m);
	check_machine(w);
}

/* The entry's marks are those of all its pages. */
static inline void spread_marks(struct world *w, uint64_t gpa)
{
	const struct window *win = oracle_window(&w->o, gpa);
	struct s2_leaf leaf;

	if (s2_query(&w->s, s2_gpa(gpa), &leaf) != S2_OK || !leaf.mapped || win == NULL) {
		wrong(w, "%#" PRIx64 " is not mapped", gpa);
	}
	check_leaf(w, win, &leaf, true);
}

static inline unsigned access_right(enum machine_access access)
{
	static const uint8_t right[MACHINE_ACCESS_COUNT] = {S2_READ, S2_WRITE, S2_EXEC,
							    S2_EXEC_USER};

	return right[access];
}

/* The guest has used the page, and not by what was before the last sync. */
static inline void note_access(struct world *w, uint64_t gpa, struct map_page *page, bool write)
{
	if (write && page->cleared != w->o.sync) {
		page->marks |= MUST_DIRTY | MAY_DIRTY;
	}
	if (page->cleared != w->o.sync && page->aged != w->o.sync) {
		page->marks |= MUST_YOUNG | MAY_YOUNG;
	}
	if (w->hardware_marks) {
		spread_marks(w, gpa);
	}
}

/* The access should have worked: a mark is missing, or a flush is owed. */
static inline void guest_fault(struct world *w, uint64_t gpa, enum machine_access access,
			       struct map_page *page, const struct machine_result *fault)
{
	bool write = access == MACHINE_WRITE;
	struct machine_result r;
	struct s2_leaf leaf;

	if (s2_query(&w->s, s2_gpa(gpa), &leaf) != S2_OK || !leaf.mapped ||
	    (leaf.accessed && (leaf.dirty || !write) && !s2_gather_owes(&w->g))) {
		wrong(w, "access %u to %#" PRIx64 " fails for no reason: %s", access, gpa,
		      machine_fault_name(fault->fault));
	}
	if (s2_touch(&w->s, s2_gpa(gpa), write, &w->g) != S2_OK) {
		wrong(w, "touch of %#" PRIx64, gpa);
	}
	page->marks |= MUST_YOUNG | MAY_YOUNG;
	page->marks |= write ? MUST_DIRTY | MAY_DIRTY : 0;
	spread_marks(w, gpa);
	if (chance(2) && machine_access(&w->m, gpa, access, &r)) {
		return;
	}
	model_sync(w);
	if (!machine_access(&w->m, gpa, access, &r) || r.hpa != page->hpa + gpa % S2_PAGE_SIZE) {
		wrong(w, "access %u to %#" PRIx64 " fails after touch and sync: %s", access, gpa,
		      machine_fault_name(r.fault));
	}
}

/* What is not allowed must not be made to work. */
static inline void guest_denied(struct world *w, uint64_t gpa, enum machine_access access,
				const struct map_page *page, const struct machine_result *r)
{
	bool mapped = page != NULL && page->prot != 0;
	bool write = access == MACHINE_WRITE;

	if (!mapped && r->fault != MACHINE_ABSENT) {
		wrong(w, "%#" PRIx64 " is not mapped, and the fault is: %s", gpa,
		      machine_fault_name(r->fault));
	}
	if ((!mapped || (write && (page->prot & S2_WRITE) == 0)) &&
	    s2_touch(&w->s, s2_gpa(gpa), write, &w->g) != S2_ERR_ABSENT) {
		wrong(w, "touch of %#" PRIx64 " does not fail", gpa);
	}
}

static inline void guest_access(struct world *w, uint64_t gpa, enum machine_access access)
{
	struct map_page *page = oracle_page(&w->o, gpa);
	bool allowed = page != NULL && (page->prot & access_right(access)) != 0;
	bool steady = page == NULL || page->changed != w->o.sync;
	struct machine_result r;
	bool ok = machine_access(&w->m, gpa, access, &r);
	bool here = ok && page != NULL && r.hpa == page->hpa + gpa % S2_PAGE_SIZE;

	w->guests++;
	world_trace(w, "guest access %u to %#" PRIx64 ": %s%s", access, gpa,
		    machine_fault_name(r.fault), r.cached ? ", cached" : "");
	check_machine(w);
	if (steady && ok && (!allowed || !here)) {
		wrong(w, "access %u to %#" PRIx64 " reaches %#" PRIx64, access, gpa, r.hpa);
	}
	if (ok && allowed && here) {
		note_access(w, gpa, page, access == MACHINE_WRITE);
	} else if (!ok && allowed) {
		guest_fault(w, gpa, access, page, &r);
	} else if (!ok && steady) {
		guest_denied(w, gpa, access, page, &r);
	}
}

/* A few accesses, near to each other or not. */
static inline void guest_runs(struct world *w)
{
	unsigned count = flat_below(4);
	uint64_t gpa = pick_gpa(w);

	for (unsigned i = 0; i < count; i++) {
		guest_access(w, gpa, (enum machine_access)flat_below(MACHINE_ACCESS_COUNT));
		gpa = chance(2) ? pick_gpa(w) : gpa ^ S2_PAGE_SIZE;
		gpa = gpa <= w->s.last ? gpa : w->s.last;
	}
}

#endif
