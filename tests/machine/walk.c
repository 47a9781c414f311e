/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks, for all formats: which item comes next, and what holds for leaves whatever the format. */
#include "walk.h"

#include <inttypes.h>
#include <string.h>

#define HOST_BIG (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

uint64_t item_to_cpu(const struct machine *m, uint64_t raw)
{
	return m->ops->big_endian == (bool)HOST_BIG ? raw : __builtin_bswap64(raw);
}

uint64_t *item_pointer(const struct machine *m, uint64_t item_hpa)
{
	return (uint64_t *)(void *)(m->pool.memory + (item_hpa - m->pool.hpa));
}

static uint64_t item_read(const struct machine *m, uint64_t item_hpa)
{
	return item_to_cpu(m, __atomic_load_n(item_pointer(m, item_hpa), __ATOMIC_ACQUIRE));
}

uint64_t gpa_last(const struct machine *m)
{
	return UINT64_MAX >> (64 - m->gpa_bits);
}

static uint64_t hpa_last(const struct machine *m)
{
	return UINT64_MAX >> (64 - m->hpa_bits);
}

uint64_t item_span(const struct machine *m, unsigned level)
{
	return UINT64_C(1) << m->ops->lg2[level];
}

void walk_root(const struct machine *m, struct cursor *c)
{
	c->table = m->root;
	c->level = m->top;
	c->first = 0;
	c->last = (uint16_t)(m->root_items - 1);
	c->prot = S2_PROT_ALL;
}

static uint64_t item_index(const struct machine *m, const struct cursor *c, uint64_t gpa)
{
	uint64_t number = gpa >> m->ops->lg2[c->level];

	if (c->level == m->top) {
		return number;
	}
	return number & ((UINT64_C(1) << m->ops->items_lg2[c->level]) - 1);
}

static enum machine_fault wrong(struct machine_walk *w, const char *why)
{
	w->fault = MACHINE_WRONG;
	w->why = why;
	return MACHINE_WRONG;
}

bool group_agrees(const struct machine *m, unsigned level, uint64_t table, uint64_t index)
{
	unsigned count = 1u << m->ops->group_lg2[level];
	uint64_t first = table + (index & ~(uint64_t)(count - 1)) * sizeof(uint64_t);
	uint64_t same = m->ops->group_same(m, level, 0, item_read(m, first));

	for (unsigned n = 1; n < count; n++) {
		uint64_t v = item_read(m, first + n * sizeof(v));

		if (m->ops->group_same(m, level, n, v) != same) {
			return false;
		}
	}
	return true;
}

/* All items of a group are alike; any of their marks counts. */
static const char *walk_group(const struct machine *m, const struct cursor *c, uint64_t index,
			      struct machine_leaf *leaf)
{
	unsigned count = 1u << m->ops->group_lg2[c->level];
	uint64_t first = index & ~(uint64_t)(count - 1);

	if (!group_agrees(m, c->level, c->table, index)) {
		return "the items of a group do not agree";
	}
	for (unsigned n = 0; n < count && !(leaf->accessed && leaf->dirty); n++) {
		uint64_t v = item_read(m, c->table + (first + n) * sizeof(v));
		struct item item = {.kind = ITEM_NONE};

		m->ops->decode(m, c->level, first + n, v, &item);
		leaf->accessed = leaf->accessed || item.accessed;
		leaf->dirty = leaf->dirty || item.dirty;
	}
	return NULL;
}

/* What holds for leaves of all formats. */
static const char *walk_check_leaf(const struct machine *m, const struct cursor *c, uint64_t index,
				   struct machine_leaf *leaf)
{
	uint64_t size = UINT64_C(1) << leaf->lg2;

	if ((leaf->hpa & (size - 1)) != 0) {
		return "the address of a leaf is not aligned to its size";
	}
	if (leaf->hpa > hpa_last(m) || size - 1 > hpa_last(m) - leaf->hpa) {
		return "the address of a leaf is past the end of the host's memory";
	}
	return leaf->group ? walk_group(m, c, index, leaf) : NULL;
}

static enum machine_fault walk_leaf(const struct machine *m, const struct cursor *c, uint64_t index,
				    uint64_t gpa, const struct item *item, struct machine_walk *w)
{
	struct machine_leaf *leaf = &w->leaf;
	const char *why;

	leaf->level = c->level;
	leaf->lg2 = m->ops->lg2[c->level];
	if (item->group) {
		leaf->lg2 = (uint8_t)(leaf->lg2 + m->ops->group_lg2[c->level]);
	}
	leaf->gpa = gpa & ~((UINT64_C(1) << leaf->lg2) - 1);
	leaf->hpa = item->hpa;
	leaf->prot = c->prot & item->prot;
	leaf->mem = item->mem;
	leaf->group = item->group;
	leaf->accessed = item->accessed;
	leaf->dirty = item->dirty;
	leaf->faded = item->faded;
	why = walk_check_leaf(m, c, index, leaf);
	if (why != NULL) {
		return wrong(w, why);
	}
	w->hpa = leaf->hpa + (gpa - leaf->gpa);
	w->fault = MACHINE_OK;
	return MACHINE_OK;
}

/* Is the table memory that can be walked, as far as this item? */
static const char *check_table(const struct machine *m, const struct cursor *c, uint64_t index)
{
	const struct pool_block *b = pool_find(&m->pool, c->table);

	if (b == NULL) {
		return "a pointer to a table leads to memory that is none";
	}
	if ((index + 1) * sizeof(uint64_t) > b->size) {
		return "a table is too small";
	}
	return NULL;
}

void walk_next(const struct machine *m, const struct machine_step *step, struct cursor *c)
{
	uint64_t index = (step->item - step->table) / sizeof(uint64_t);
	struct item item = {.kind = ITEM_NONE};

	m->ops->decode(m, step->level, index, step->value, &item);
	c->table = item.hpa;
	c->first = item.first;
	c->last = item.last;
	c->level = (uint8_t)(step->level - 1);
	c->prot = step->prot & item.prot;
}

/* One item of a walk; false at its end. */
static bool walk_step(struct machine *m, struct cursor *c, uint64_t gpa, struct machine_walk *w)
{
	struct machine_step *step = &w->step[w->steps];
	uint64_t index = item_index(m, c, gpa);
	struct item item = {.kind = ITEM_NONE};
	const char *why = check_table(m, c, index);

	*step = (struct machine_step){c->table, c->table + index * 8, 0, c->level, c->prot};
	w->steps++;
	if (why != NULL) {
		wrong(w, why);
		return false;
	}
	step->value = item_read(m, step->item);
	m->ops->decode(m, c->level, index, step->value, &item);
	if (index < c->first || index > c->last || item.kind == ITEM_NONE) {
		w->fault = MACHINE_ABSENT;
	} else if (item.kind == ITEM_WRONG) {
		wrong(w, item.why);
	} else if (item.kind == ITEM_LEAF) {
		walk_leaf(m, c, index, gpa, &item, w);
	} else {
		walk_next(m, step, c);
		return true;
	}
	return false;
}

enum machine_fault walk_from(struct machine *m, struct cursor c, uint64_t gpa,
			     struct machine_walk *w)
{
	w->steps = 0;
	w->why = NULL;
	m->stats.walks++;
	while (walk_step(m, &c, gpa, w)) {
	}
	return w->fault;
}

void machine_walk(struct machine *m, uint64_t gpa, struct machine_walk *w)
{
	struct cursor c;

	if (gpa > gpa_last(m)) {
		w->fault = MACHINE_OUTSIDE;
		w->why = NULL;
		w->steps = 0;
		return;
	}
	walk_root(m, &c);
	walk_from(m, c, gpa, w);
}

/* Memory that a guest can reach must have been cleaned. */
void check_visible(struct machine *m, const struct machine_leaf *leaf)
{
	uint64_t last = leaf->hpa + ((UINT64_C(1) << leaf->lg2) - 1);

	if (m->need_clean && leaf->mem != S2_MEM_DEVICE &&
	    !set_covers(&m->clean, leaf->hpa, last)) {
		violation(m, "memory is visible that was not cleaned",
			  "gpa %#" PRIx64 " hpa %#" PRIx64, leaf->gpa, leaf->hpa);
	}
	if (m->need_code && (leaf->prot & (S2_EXEC | S2_EXEC_USER)) != 0 &&
	    !set_covers(&m->code, leaf->hpa, last)) {
		violation(m, "memory can be executed that may be cached as older code",
			  "gpa %#" PRIx64 " hpa %#" PRIx64, leaf->gpa, leaf->hpa);
	}
}

uint64_t machine_load(const struct machine *m, uint64_t item_hpa)
{
	return item_read(m, item_hpa);
}

void machine_store(struct machine *m, uint64_t item_hpa, uint64_t value)
{
	__atomic_store_n(item_pointer(m, item_hpa), item_to_cpu(m, value), __ATOMIC_RELEASE);
}
