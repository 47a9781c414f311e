/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TLB without a size: what it has seen stays until it is told to forget, and is used although the
 * tables may say otherwise by now.
 *
 * One entry a page for translations, of leaves of any size, and for "not valid"; one an item for
 * pointers to tables. Each remembers the item it came from, where it is and what it was. A page of
 * a group is kept as a piece of it or as the whole, as machines do either.
 */
#include "tlb.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TLB_NOBODY UINT32_MAX

/* How often an entry that was dropped comes back by speculation. */
#define TLB_LIVES 3

static uint64_t key_of(const struct machine *m, const struct tlb_entry *e)
{
	return e->kind == TLB_WALK ? e->gpa >> m->ops->lg2[e->level] : e->page;
}

static unsigned tag_of(const struct tlb_entry *e)
{
	return e->kind == TLB_WALK ? 1u + e->level : 0;
}

static size_t slot_start(const struct tlb *t, unsigned tag, uint64_t key)
{
	uint64_t h = (key + ((uint64_t)tag << 58)) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h >> 32) & (t->slot_count - 1);
}

/* The slot of this entry, or the free one where it belongs. */
static size_t slot_find(const struct machine *m, unsigned tag, uint64_t key)
{
	const struct tlb *t = m->tlb;
	size_t slot = slot_start(t, tag, key);

	while (t->slot[slot] != TLB_NOBODY) {
		const struct tlb_entry *e = &t->entry[t->slot[slot]];

		if (tag_of(e) == tag && key_of(m, e) == key) {
			break;
		}
		slot = (slot + 1) & (t->slot_count - 1);
	}
	return slot;
}

struct tlb_entry *tlb_find(const struct machine *m, unsigned tag, uint64_t key)
{
	uint32_t at = m->tlb->slot[slot_find(m, tag, key)];

	return at == TLB_NOBODY ? NULL : &m->tlb->entry[at];
}

static void *grow(void *old, size_t count, size_t size)
{
	void *p = realloc(old, count * size);

	if (p == NULL) {
		abort();
	}
	return p;
}

static void slots_reset(struct tlb *t, size_t count)
{
	t->slot_count = count;
	t->slot = grow(t->slot, count, sizeof(*t->slot));
	memset(t->slot, 0xff, count * sizeof(*t->slot));
}

struct tlb *tlb_new(void)
{
	struct tlb *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		abort();
	}
	slots_reset(t, 256);
	return t;
}

void tlb_free(struct tlb *t)
{
	free(t->entry);
	free(t->slot);
	free(t->dropped);
	free(t);
}

/* Room for one more; the slots are never more than half full. */
static void tlb_reserve(struct machine *m)
{
	struct tlb *t = m->tlb;

	if (t->count == t->room) {
		t->room = t->room * 2 + 64;
		t->entry = grow(t->entry, t->room, sizeof(*t->entry));
	}
	if ((t->count + 1) * 2 <= t->slot_count) {
		return;
	}
	slots_reset(t, t->slot_count * 2);
	for (size_t i = 0; i < t->count; i++) {
		const struct tlb_entry *e = &t->entry[i];

		t->slot[slot_find(m, tag_of(e), key_of(m, e))] = (uint32_t)i;
	}
}

/* Closes the gap: entries behind it that probing would no longer find move up. */
static void slot_clear(struct machine *m, size_t gap)
{
	struct tlb *t = m->tlb;
	size_t slot = gap;

	for (;;) {
		const struct tlb_entry *e;
		size_t start;

		slot = (slot + 1) & (t->slot_count - 1);
		if (t->slot[slot] == TLB_NOBODY) {
			break;
		}
		e = &t->entry[t->slot[slot]];
		start = slot_start(t, tag_of(e), key_of(m, e));
		if (((slot - start) & (t->slot_count - 1)) >=
		    ((slot - gap) & (t->slot_count - 1))) {
			t->slot[gap] = t->slot[slot];
			gap = slot;
		}
	}
	t->slot[gap] = TLB_NOBODY;
}

static void entry_unpin(const struct machine *m, const struct tlb_entry *e)
{
	struct pool_block *b = pool_find(&m->pool, e->hpa);

	if (e->kind == TLB_WALK && b != NULL && b->generation == e->target_generation) {
		b->pointers--;
	}
}

void tlb_remove(struct machine *m, size_t at)
{
	struct tlb *t = m->tlb;
	struct tlb_entry *e = &t->entry[at];
	const struct tlb_entry *last = &t->entry[t->count - 1];

	entry_unpin(m, e);
	slot_clear(m, slot_find(m, tag_of(e), key_of(m, e)));
	if (e != last) {
		t->slot[slot_find(m, tag_of(last), key_of(m, last))] = (uint32_t)at;
		*e = *last;
	}
	t->count--;
}

void tlb_clear(struct machine *m)
{
	struct tlb *t = m->tlb;

	for (size_t i = 0; i < t->count; i++) {
		entry_unpin(m, &t->entry[i]);
	}
	t->count = 0;
	slots_reset(t, t->slot_count);
}

size_t machine_cached(const struct machine *m)
{
	return m->tlb->count;
}

void machine_power_cycle(struct machine *m)
{
	tlb_clear(m);
}

static void tlb_put(struct machine *m, const struct tlb_entry *e)
{
	struct tlb *t = m->tlb;
	size_t slot;

	tlb_reserve(m);
	slot = slot_find(m, tag_of(e), key_of(m, e));
	if (t->slot[slot] != TLB_NOBODY) {
		struct tlb_entry *old = &t->entry[t->slot[slot]];

		tlb_check_change(m, old);
		entry_unpin(m, old);
		*old = *e;
	} else {
		t->slot[slot] = (uint32_t)t->count;
		t->entry[t->count++] = *e;
	}
	m->stats.fills++;
}

/* What comes from the step, whatever it is. */
static void entry_from(const struct machine *m, const struct machine_step *step, uint64_t gpa,
		       struct tlb_entry *e)
{
	const struct pool_block *b = pool_find(&m->pool, step->table);

	memset(e, 0, sizeof(*e));
	e->page = gpa >> S2_PAGE_LG2;
	e->level = step->level;
	e->lg2 = m->ops->lg2[step->level];
	e->gpa = gpa & ~((UINT64_C(1) << e->lg2) - 1);
	e->item = step->item;
	e->value = step->value;
	e->table = step->table;
	e->table_generation = b == NULL ? 0 : b->generation;
	e->lives = TLB_LIVES;
}

static void keep_pointer(struct machine *m, const struct machine_step *step, uint64_t gpa)
{
	const struct tlb_entry *old;
	struct pool_block *b;
	struct tlb_entry e;
	struct cursor c;

	old = tlb_find(m, 1u + step->level, gpa >> m->ops->lg2[step->level]);
	if (old != NULL && old->item == step->item && old->value == step->value) {
		return;
	}
	walk_next(m, step, &c);
	entry_from(m, step, gpa, &e);
	e.kind = TLB_WALK;
	e.hpa = c.table;
	e.prot = c.prot;
	e.first = c.first;
	e.last = c.last;
	b = pool_find(&m->pool, c.table);
	if (b == NULL) {
		return;
	}
	e.target_generation = b->generation;
	b->pointers++;
	tlb_put(m, &e);
}

static void keep_leaf(struct machine *m, const struct machine_walk *w, uint64_t gpa, unsigned lives)
{
	const struct machine_leaf *leaf = &w->leaf;
	struct tlb_entry e;

	entry_from(m, &w->step[w->steps - 1], gpa, &e);
	e.kind = TLB_LEAF;
	e.lives = (uint8_t)lives;
	e.prot = leaf->prot;
	e.mem = leaf->mem;
	e.group = leaf->group;
	e.accessed = leaf->accessed;
	e.dirty = leaf->dirty;
	e.faded = leaf->faded;
	if (!leaf->group || ((e.page ^ e.page >> 4) & 1) == 0) {
		e.lg2 = leaf->lg2;
		e.gpa = leaf->gpa;
	}
	e.hpa = leaf->hpa + (e.gpa - leaf->gpa);
	check_visible(m, leaf);
	tlb_put(m, &e);
}

static void keep_none(struct machine *m, const struct machine_walk *w, uint64_t gpa, unsigned lives)
{
	struct tlb_entry e;

	if (!m->ops->caches_none(m)) {
		return;
	}
	entry_from(m, &w->step[w->steps - 1], gpa, &e);
	e.kind = TLB_NONE;
	e.lives = (uint8_t)lives;
	tlb_put(m, &e);
}

/* From the deepest table that the TLB knows of, or else from the root. */
static void tlb_walk(struct machine *m, uint64_t gpa, struct machine_walk *w)
{
	struct cursor c;

	walk_root(m, &c);
	for (unsigned level = 1; level <= m->top; level++) {
		const struct tlb_entry *e = tlb_find(m, 1u + level, gpa >> m->ops->lg2[level]);

		if (e != NULL) {
			c = (struct cursor){e->hpa, e->first, e->last, (uint8_t)(level - 1),
					    e->prot};
			break;
		}
	}
	walk_from(m, c, gpa, w);
	if (w->fault == MACHINE_WRONG) {
		const struct machine_step *step = &w->step[w->steps - 1];

		violation(m, w->why, "gpa %#" PRIx64 " level %u item %#" PRIx64, gpa, step->level,
			  step->value);
	}
}

static void keep_pointers(struct machine *m, const struct machine_walk *w, uint64_t gpa)
{
	for (unsigned i = 0; i + 1 < w->steps; i++) {
		keep_pointer(m, &w->step[i], gpa);
	}
}

/* Without marks: what is not marked accessed is not kept. */
static void tlb_speculate(struct machine *m, uint64_t gpa, unsigned lives)
{
	struct machine_walk w;

	if (gpa > gpa_last(m) || tlb_find(m, 0, gpa >> S2_PAGE_LG2) != NULL) {
		return;
	}
	tlb_walk(m, gpa, &w);
	if (w.fault == MACHINE_WRONG) {
		return;
	}
	keep_pointers(m, &w, gpa);
	if (w.fault == MACHINE_ABSENT) {
		keep_none(m, &w, gpa, lives);
	} else if (w.leaf.accessed) {
		keep_leaf(m, &w, gpa, lives);
	}
}

void machine_touch(struct machine *m, uint64_t gpa)
{
	tlb_speculate(m, gpa, TLB_LIVES);
}

/* Remembers what was dropped, for tlb_refill(). */
void tlb_note_dropped(struct machine *m, const struct tlb_entry *e)
{
	struct tlb *t = m->tlb;

	m->stats.flush_dropped++;
	if (!m->speculate || e->kind == TLB_WALK || e->lives == 0) {
		return;
	}
	if (t->dropped_count == t->dropped_room) {
		t->dropped_room = t->dropped_room * 2 + 64;
		t->dropped = grow(t->dropped, t->dropped_room, sizeof(*t->dropped));
	}
	t->dropped[t->dropped_count].gpa = e->page << S2_PAGE_LG2;
	t->dropped[t->dropped_count++].lives = (uint8_t)(e->lives - 1);
}

void tlb_refill(struct machine *m)
{
	struct tlb *t = m->tlb;

	for (size_t i = 0; i < t->dropped_count; i++) {
		tlb_speculate(m, t->dropped[i].gpa, t->dropped[i].lives);
	}
	t->dropped_count = 0;
}

static unsigned need_of(enum machine_access access)
{
	static const uint8_t need[MACHINE_ACCESS_COUNT] = {S2_READ, S2_WRITE, S2_EXEC,
							   S2_EXEC_USER};

	return need[access];
}

static void result_leaf(const struct tlb_entry *e, uint64_t gpa, struct machine_result *r)
{
	r->leaf.gpa = e->gpa;
	r->leaf.hpa = e->hpa;
	r->leaf.lg2 = e->lg2;
	r->leaf.level = e->level;
	r->leaf.prot = e->prot;
	r->leaf.mem = e->mem;
	r->leaf.group = e->group;
	r->leaf.accessed = e->accessed;
	r->leaf.dirty = e->dirty;
	r->leaf.faded = e->faded;
	r->hpa = e->hpa + (gpa - e->gpa);
}

/* False if the TLB does not know, or cannot say without a look at the item. */
static bool access_cached(struct machine *m, uint64_t gpa, enum machine_access access,
			  struct machine_result *r)
{
	const struct tlb_entry *e = tlb_find(m, 0, gpa >> S2_PAGE_LG2);

	if (e == NULL) {
		return false;
	}
	if (e->kind == TLB_LEAF) {
		result_leaf(e, gpa, r);
		if ((e->prot & need_of(access)) == 0) {
			r->fault = MACHINE_DENIED;
		} else if (access == MACHINE_WRITE && !e->dirty) {
			return false;
		}
	} else {
		r->fault = MACHINE_ABSENT;
		r->level = e->level;
	}
	r->cached = true;
	m->stats.hits++;
	return true;
}

static bool item_update(struct machine *m, uint64_t item_hpa, uint64_t old, uint64_t value)
{
	uint64_t expected = item_to_cpu(m, old);

	return __atomic_compare_exchange_n(item_pointer(m, item_hpa), &expected,
					   item_to_cpu(m, value), false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* Sets marks in the item of a step; false if somebody changed it meanwhile. */
static bool mark_step(struct machine *m, struct machine_step *step, unsigned marks)
{
	uint64_t value = m->ops->set_marks(m, step->level, step->value, marks);

	if (!item_update(m, step->item, step->value, value)) {
		return false;
	}
	step->value = value;
	m->stats.marks_accessed += (marks & MARK_ACCESSED) != 0;
	m->stats.marks_dirty += (marks & MARK_DIRTY) != 0;
	return true;
}

/* Marks pointers to tables as accessed, where the format has that. */
static bool mark_tables(struct machine *m, struct machine_walk *w)
{
	for (unsigned i = 0; i + 1 < w->steps; i++) {
		struct machine_step *step = &w->step[i];
		struct item item = {.kind = ITEM_NONE};

		m->ops->decode(m, step->level, (step->item - step->table) / 8, step->value, &item);
		if (!item.accessed && !mark_step(m, step, MARK_ACCESSED)) {
			return false;
		}
	}
	return true;
}

/*
 * Marks that the access needs. Of a group, only the item that was used is marked; if that does
 * not need it because another one of the group is, it depends on the machine.
 */
static bool mark_leaf(struct machine *m, struct machine_walk *w, bool write,
		      enum machine_fault *fault)
{
	struct machine_step *step = &w->step[w->steps - 1];
	unsigned can = m->ops->marks(m), marks = 0;
	struct item item = {.kind = ITEM_NONE};

	m->ops->decode(m, step->level, (step->item - step->table) / 8, step->value, &item);
	if (!item.accessed) {
		marks |= MARK_ACCESSED;
	}
	if (write && !item.dirty) {
		marks |= MARK_DIRTY;
	}
	if (m->ops->any_mark_will_do && w->leaf.group) {
		marks &= ~(w->leaf.accessed ? can & MARK_ACCESSED : 0u);
		marks &= ~(w->leaf.dirty ? can & MARK_DIRTY : 0u);
	}
	if ((marks & ~can) != 0) {
		*fault = (marks & ~can & MARK_ACCESSED) != 0 ? MACHINE_NOT_ACCESSED
							     : MACHINE_NOT_DIRTY;
		return true;
	}
	if (marks != 0 && !mark_step(m, step, marks)) {
		return false;
	}
	w->leaf.accessed = true;
	w->leaf.dirty = w->leaf.dirty || write;
	return true;
}

/* False: somebody changed an item while it was being marked; walk again. */
static bool access_walk(struct machine *m, uint64_t gpa, enum machine_access access,
			struct machine_result *r)
{
	struct machine_walk w;
	const struct machine_step *step;

	tlb_walk(m, gpa, &w);
	step = &w.step[w.steps - 1];
	r->fault = w.fault;
	r->why = w.why;
	r->level = step->level;
	if (w.fault == MACHINE_ABSENT) {
		keep_pointers(m, &w, gpa);
		keep_none(m, &w, gpa, TLB_LIVES);
	}
	if (w.fault != MACHINE_OK) {
		return true;
	}
	if (!mark_tables(m, &w)) {
		return false;
	}
	keep_pointers(m, &w, gpa);
	if ((w.leaf.prot & need_of(access)) == 0) {
		r->fault = MACHINE_DENIED;
	} else if (!mark_leaf(m, &w, access == MACHINE_WRITE, &r->fault)) {
		return false;
	}
	r->leaf = w.leaf;
	r->hpa = w.hpa;
	if (w.leaf.accessed && r->fault != MACHINE_NOT_ACCESSED) {
		keep_leaf(m, &w, gpa, TLB_LIVES);
	}
	return true;
}

/* Would a walk from the root have let the access through? */
static bool is_spurious(struct machine *m, uint64_t gpa, enum machine_access access)
{
	struct machine_walk w;

	machine_walk(m, gpa, &w);
	return w.fault == MACHINE_OK && (w.leaf.prot & need_of(access)) != 0;
}

bool machine_access(struct machine *m, uint64_t gpa, enum machine_access access,
		    struct machine_result *r)
{
	memset(r, 0, sizeof(*r));
	if (gpa > gpa_last(m)) {
		r->fault = MACHINE_OUTSIDE;
		return false;
	}
	if (access_cached(m, gpa, access, r)) {
		r->spurious = r->fault != MACHINE_OK && is_spurious(m, gpa, access);
		return r->fault == MACHINE_OK;
	}
	while (!access_walk(m, gpa, access, r)) {
	}
	return r->fault == MACHINE_OK;
}
