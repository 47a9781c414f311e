/* SPDX-License-Identifier: BSD-2-Clause */
/* The TLB against the tables: what is stale, and what has changed under it. And how it forgets. */
#include "tlb.h"

#include <inttypes.h>

static uint64_t entry_last(const struct tlb_entry *e)
{
	return e->gpa + ((UINT64_C(1) << e->lg2) - 1);
}

static bool entry_meets(const struct tlb_entry *e, struct s2_range range)
{
	return e->gpa <= s2_range_last(range).val && entry_last(e) >= range.start.val;
}

/* The table that the item is in, if it is still the same one. */
static struct pool_block *entry_block(const struct machine *m, const struct tlb_entry *e)
{
	struct pool_block *b = pool_find(&m->pool, e->table);

	return b != NULL && b->generation == e->table_generation ? b : NULL;
}

static bool entry_wrong(struct machine *m, const struct tlb_entry *e, const char *why)
{
	violation(m, why, "cached gpa %#" PRIx64 " hpa %#" PRIx64 " 2^%u level %u item %#" PRIx64,
		  e->page << S2_PAGE_LG2, e->hpa, e->lg2, e->level, e->value);
	return false;
}

static void entry_decode(const struct machine *m, const struct tlb_entry *e, uint64_t value,
			 struct item *item)
{
	m->ops->decode(m, e->level, (e->item - e->table) / sizeof(uint64_t), value, item);
}

/* Has the item become another one in a way that the TLB had to be told of before? */
bool tlb_check_change(struct machine *m, const struct tlb_entry *e)
{
	struct item now = {.kind = ITEM_NONE};
	const char *why = NULL;
	uint64_t value;

	if (e->kind == TLB_NONE || entry_block(m, e) == NULL) {
		return true;
	}
	value = machine_load(m, e->item);
	if (value == e->value) {
		return true;
	}
	if (m->ops->purges) {
		if (m->ops->seen(m, e->level, value) != m->ops->seen(m, e->level, e->value)) {
			why = "a live item was changed by a plain store";
		}
	} else if (m->ops->must_break != NULL) {
		entry_decode(m, e, value, &now);
		if (now.kind == ITEM_LEAF || now.kind == ITEM_TABLE) {
			why = m->ops->must_break(m, e->level, e->value, value);
		}
	}
	return why == NULL || entry_wrong(m, e, why);
}

/* Or is there a live leaf by another way, in a table that was linked meanwhile? */
static void check_path(struct machine *m, const struct tlb_entry *e)
{
	uint64_t gpa = e->page << S2_PAGE_LG2;
	struct machine_walk w;

	if (e->kind != TLB_LEAF || m->ops->must_break == NULL || !m->ops->one_size) {
		return;
	}
	machine_walk(m, gpa, &w);
	if (w.fault == MACHINE_OK && w.step[w.steps - 1].item != e->item &&
	    (w.hpa != e->hpa + (gpa - e->gpa) || w.leaf.mem != e->mem)) {
		entry_wrong(m, e, "live to live: in another table, no break");
	}
}

static void drop(struct machine *m, size_t at)
{
	tlb_check_change(m, &m->tlb->entry[at]);
	check_path(m, &m->tlb->entry[at]);
	tlb_note_dropped(m, &m->tlb->entry[at]);
	tlb_remove(m, at);
}

static void purge(struct machine *m, size_t at)
{
	tlb_note_dropped(m, &m->tlb->entry[at]);
	tlb_remove(m, at);
}

/* For pages there is at most one entry each. */
static void purge_pages(struct machine *m, struct s2_range range, bool check)
{
	uint64_t last = s2_range_last(range).val >> S2_PAGE_LG2;

	for (uint64_t page = range.start.val >> S2_PAGE_LG2; page <= last; page++) {
		struct tlb_entry *e = tlb_find(m, 0, page);

		if (e == NULL || e->level != 0) {
			continue;
		}
		if (check) {
			tlb_check_change(m, e);
		} else {
			purge(m, (size_t)(e - m->tlb->entry));
		}
	}
}

void tlb_check_changes(struct machine *m, unsigned level, struct s2_range range)
{
	if (level == 0) {
		purge_pages(m, range, true);
		return;
	}
	for (size_t i = 0; i < m->tlb->count; i++) {
		const struct tlb_entry *e = &m->tlb->entry[i];

		if (e->level <= level && entry_meets(e, range)) {
			tlb_check_change(m, e);
		}
	}
}

void tlb_purge(struct machine *m, unsigned level, struct s2_range range)
{
	if (level == 0) {
		purge_pages(m, range, false);
		return;
	}
	for (size_t i = m->tlb->count; i-- > 0;) {
		const struct tlb_entry *e = &m->tlb->entry[i];

		if (e->level <= level && entry_meets(e, range)) {
			purge(m, i);
		}
	}
}

/* Is there an address of the range, counted in strides from its start, that the entry serves? */
static bool stride_hits(const struct tlb_entry *e, const struct s2_flush *f)
{
	uint64_t stride = UINT64_C(1) << f->stride_lg2;
	uint64_t start = f->range.start.val, skip;

	if (e->gpa <= start) {
		return true;
	}
	skip = (e->gpa - start + (stride - 1)) >> f->stride_lg2 << f->stride_lg2;
	return skip <= f->range.len - 1 && start + skip <= entry_last(e);
}

static bool flush_drops(const struct machine *m, const struct s2_flush *f,
			const struct tlb_entry *e)
{
	struct item now = {.kind = ITEM_NONE};

	if (f->kind == S2_FLUSH_ALL) {
		return true;
	}
	if (!entry_meets(e, f->range)) {
		return false;
	}
	if (e->kind == TLB_WALK) {
		return f->kind == S2_FLUSH_WALK;
	}
	if (e->kind == TLB_LEAF) {
		if (f->kind == S2_FLUSH_LEAF && f->level != S2_LEVEL_ANY && f->level != e->level) {
			return false;
		}
		return stride_hits(e, f);
	}
	if (f->kind == S2_FLUSH_WALK) {
		return true;
	}
	if (m->strict_absent && e->level > 0 && entry_block(m, e) != NULL) {
		entry_decode(m, e, machine_load(m, e->item), &now);
	}
	return now.kind != ITEM_TABLE && stride_hits(e, f);
}

void tlb_flush(struct machine *m, const struct s2_flush *f)
{
	uint64_t dropped = m->stats.flush_dropped;

	for (size_t i = m->tlb->count; i-- > 0;) {
		if (flush_drops(m, f, &m->tlb->entry[i])) {
			drop(m, i);
		}
	}
	if (f->kind != S2_FLUSH_ALL && m->stats.flush_dropped == dropped) {
		m->stats.flush_useless++;
	}
}

/* The tables of a walk are as the root has them, in this pass. */
static void remember_path(struct machine *m, const struct machine_walk *w, uint64_t gpa)
{
	for (unsigned i = 0; i < w->steps; i++) {
		const struct machine_step *step = &w->step[i];
		struct pool_block *b = pool_find(&m->pool, step->table);
		unsigned lg2 = m->ops->lg2[step->level] + m->ops->items_lg2[step->level];

		if (b == NULL) {
			break;
		}
		b->pass = m->pass;
		b->prot = step->prot;
		b->gpa = step->level == m->top ? 0 : gpa >> lg2 << lg2;
	}
}

/* What the TLB says of an address against what the tables say. */
static bool audit_leaf_at(struct machine *m, const struct tlb_entry *e, uint64_t gpa,
			  const struct machine_walk *w)
{
	const struct machine_leaf *leaf = &w->leaf;

	if (w->fault == MACHINE_WRONG) {
		return entry_wrong(m, e, w->why);
	}
	if (w->fault != MACHINE_OK) {
		return entry_wrong(m, e, "stale: translates what is not mapped");
	}
	if (w->hpa != e->hpa + (gpa - e->gpa)) {
		return entry_wrong(m, e, "stale: another address");
	}
	if (leaf->mem != e->mem) {
		return entry_wrong(m, e, "stale: another kind of memory");
	}
	if ((e->prot & ~leaf->prot) != 0) {
		return entry_wrong(m, e, "stale: more rights than the tables give");
	}
	if (e->dirty && (e->prot & S2_WRITE) != 0 && !leaf->dirty) {
		return entry_wrong(m, e, "stale: marked dirty");
	}
	if (m->strict_marks && e->accessed && !leaf->accessed) {
		return entry_wrong(m, e, "stale: marked accessed");
	}
	if ((leaf->prot & ~e->prot) != 0) {
		m->stats.spurious++;
	}
	return true;
}

static bool audit_leaf(struct machine *m, const struct tlb_entry *e)
{
	struct machine_walk w;
	uint64_t gpa = e->page << S2_PAGE_LG2;

	machine_walk(m, gpa, &w);
	remember_path(m, &w, gpa);
	if (!audit_leaf_at(m, e, gpa, &w)) {
		return false;
	}
	if (w.step[w.steps - 1].item == e->item && w.leaf.group == e->group) {
		return true;
	}
	if (m->ops->one_size) {
		return entry_wrong(m, e, "stale: another size");
	}
	for (gpa = e->gpa;; gpa = w.leaf.gpa + (UINT64_C(1) << w.leaf.lg2)) {
		machine_walk(m, gpa, &w);
		if (!audit_leaf_at(m, e, gpa, &w)) {
			return false;
		}
		if (w.leaf.gpa + ((UINT64_C(1) << w.leaf.lg2) - 1) >= entry_last(e)) {
			return true;
		}
	}
}

static bool audit_none(struct machine *m, const struct tlb_entry *e)
{
	struct machine_walk w;
	uint64_t gpa = e->page << S2_PAGE_LG2;

	machine_walk(m, gpa, &w);
	remember_path(m, &w, gpa);
	if (w.fault == MACHINE_WRONG) {
		return entry_wrong(m, e, w.why);
	}
	return w.fault != MACHINE_OK || entry_wrong(m, e, "stale: not valid, of what is mapped");
}

static bool audit_pointer(struct machine *m, const struct tlb_entry *e)
{
	const struct pool_block *b = pool_find(&m->pool, e->hpa);
	struct machine_walk w;
	struct cursor c;

	if (b == NULL || b->generation != e->target_generation) {
		return entry_wrong(m, e, "stale: a pointer to a freed table");
	}
	machine_walk(m, e->page << S2_PAGE_LG2, &w);
	remember_path(m, &w, e->page << S2_PAGE_LG2);
	for (unsigned i = 0; i + 1 < w.steps; i++) {
		if (w.step[i].level != e->level || w.step[i].item != e->item) {
			continue;
		}
		walk_next(m, &w.step[i], &c);
		if (c.table == e->hpa && (e->prot & ~c.prot) == 0) {
			return true;
		}
	}
	return entry_wrong(m, e, "stale: a pointer to a table");
}

/* Is the item in a table that this pass has reached, and what it was? Then nothing is stale. */
static bool audit_quick(struct machine *m, const struct tlb_entry *e)
{
	struct pool_block *b = entry_block(m, e), *target;
	struct item item = {.kind = ITEM_NONE};
	unsigned lg2 = m->ops->lg2[e->level] + m->ops->items_lg2[e->level];

	if (b == NULL || b->pass != m->pass || machine_load(m, e->item) != e->value) {
		return false;
	}
	if (e->level != m->top && b->gpa != e->page << S2_PAGE_LG2 >> lg2 << lg2) {
		return false;
	}
	entry_decode(m, e, e->value, &item);
	if ((e->prot & ~(b->prot & item.prot)) != 0) {
		return false;
	}
	/* Marks of groups may come from another item. */
	if (e->group && ((e->accessed && !item.accessed) || (e->dirty && !item.dirty) ||
			 !group_agrees(m, e->level, e->table, (e->item - e->table) / 8))) {
		return false;
	}
	if (e->kind == TLB_WALK) {
		target = pool_find(&m->pool, e->hpa);
		if (target == NULL || target->generation != e->target_generation) {
			return false;
		}
		target->pass = m->pass;
		target->prot = b->prot & item.prot;
		target->gpa = e->gpa;
	}
	return true;
}

static bool audit_entry(struct machine *m, const struct tlb_entry *e)
{
	if (!tlb_check_change(m, e)) {
		return false;
	}
	if (audit_quick(m, e)) {
		return true;
	}
	switch ((enum tlb_kind)e->kind) {
	case TLB_LEAF:
		return audit_leaf(m, e);
	case TLB_NONE:
		return audit_none(m, e);
	case TLB_WALK:
		break;
	}
	return audit_pointer(m, e);
}

bool machine_audit_range(struct machine *m, struct s2_range range)
{
	bool ok = true;

	m->pass++;
	for (size_t i = 0; i < m->tlb->count; i++) {
		const struct tlb_entry *e = &m->tlb->entry[i];

		if (entry_meets(e, range)) {
			ok = audit_entry(m, e) && ok;
		}
	}
	return ok && machine_ok(m);
}

bool machine_audit(struct machine *m)
{
	bool ok = true;

	m->pass++;
	for (size_t i = 0; i < m->tlb->count; i++) {
		ok = audit_entry(m, &m->tlb->entry[i]) && ok;
	}
	return ok && machine_ok(m);
}
