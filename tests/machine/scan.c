/* SPDX-License-Identifier: BSD-2-Clause */
/* Every item of every table. */
#include "walk.h"

#include <inttypes.h>
#include <string.h>

struct scan {
	struct machine *m;
	bool (*leaf)(void *cookie, const struct machine_leaf *leaf);
	void *cookie;
	uint64_t *tables;
	uint64_t pass;
	bool ok;
};

static bool scan_wrong(struct scan *s, const char *why, unsigned level, uint64_t gpa,
		       uint64_t value)
{
	violation(s->m, why, "level %u gpa %#" PRIx64 " item %#" PRIx64, level, gpa, value);
	s->ok = false;
	return false;
}

/* The part of a table behind its items. */
static bool scan_tail(struct scan *s, const struct cursor *c, uint64_t gpa,
		      const struct pool_block *b)
{
	uint64_t used = UINT64_C(8) << s->m->ops->items_lg2[c->level];

	for (uint64_t at = used; at < b->size && c->level != s->m->top; at += 8) {
		if (machine_load(s->m, c->table + at) != 0) {
			return scan_wrong(s, "a table has something behind its items", c->level,
					  gpa, 0);
		}
	}
	return true;
}

/* Has the table a place in the tree, and no other? */
static bool scan_enter(struct scan *s, const struct cursor *c, uint64_t gpa, uint64_t count)
{
	struct pool_block *b = pool_find(&s->m->pool, c->table);

	if (b == NULL) {
		return scan_wrong(s, "a pointer to a table leads to memory that is none", c->level,
				  gpa, c->table);
	}
	if (b->pass == s->pass) {
		return scan_wrong(s, "a table is linked twice", c->level, gpa, c->table);
	}
	b->pass = s->pass;
	if (count * sizeof(uint64_t) > b->size) {
		return scan_wrong(s, "a table is too small", c->level, gpa, c->table);
	}
	if (c->level != s->m->top && s->tables != NULL) {
		s->tables[c->level]++;
	}
	return scan_tail(s, c, gpa, b);
}

/* Is this the first of its group, or at least the first that says it is of one? */
static bool is_first(struct scan *s, const struct cursor *c, uint64_t index)
{
	uint64_t place = index & ((UINT64_C(1) << s->m->ops->group_lg2[c->level]) - 1);
	struct item item = {.kind = ITEM_NONE};
	uint64_t first = index - place;

	if (place != 0) {
		s->m->ops->decode(s->m, c->level, first, machine_load(s->m, c->table + first * 8),
				  &item);
	}
	return !item.group;
}

/* The walk to the leaf does the checks; groups are shown by their first item. */
static bool scan_leaf(struct scan *s, unsigned level, uint64_t gpa)
{
	struct machine_walk w;

	machine_walk(s->m, gpa, &w);
	if (w.fault != MACHINE_OK) {
		return scan_wrong(s, w.why, level, gpa, w.step[w.steps - 1].value);
	}
	if (w.leaf.gpa != gpa) {
		return true;
	}
	check_visible(s->m, &w.leaf);
	if (s->leaf != NULL && !s->leaf(s->cookie, &w.leaf)) {
		s->ok = false;
		return false;
	}
	return true;
}

static bool scan_table(struct scan *s, const struct cursor *c, uint64_t gpa);

static bool scan_item(struct scan *s, const struct cursor *c, uint64_t index, uint64_t gpa)
{
	struct machine *m = s->m;
	struct machine_step step = {c->table, c->table + index * 8, 0, c->level, c->prot};
	struct item item = {.kind = ITEM_NONE};
	struct cursor next;

	step.value = machine_load(m, step.item);
	m->ops->decode(m, c->level, index, step.value, &item);
	if (item.kind == ITEM_NONE) {
		return true;
	}
	if (item.kind == ITEM_WRONG) {
		return scan_wrong(s, item.why, c->level, gpa, step.value);
	}
	if (gpa > gpa_last(m) || index < c->first || index > c->last) {
		return scan_wrong(s, "an item is where the machine never looks", c->level, gpa,
				  step.value);
	}
	if (item.kind == ITEM_LEAF) {
		return (item.group && !is_first(s, c, index)) || scan_leaf(s, c->level, gpa);
	}
	walk_next(m, &step, &next);
	return scan_table(s, &next, gpa);
}

/* Recursion is as deep as the tables are. */
static bool scan_table(struct scan *s, const struct cursor *c, uint64_t gpa)
{
	uint64_t count = UINT64_C(1) << s->m->ops->items_lg2[c->level];

	if (c->level == s->m->top) {
		count = s->m->root_items;
	}
	if (!scan_enter(s, c, gpa, count)) {
		return false;
	}
	for (uint64_t i = 0; i < count; i++) {
		if (!scan_item(s, c, i, gpa + (i << s->m->ops->lg2[c->level]))) {
			return false;
		}
	}
	return true;
}

bool machine_scan(struct machine *m, bool (*leaf)(void *cookie, const struct machine_leaf *leaf),
		  void *cookie, uint64_t tables[S2_LEVEL_MAX])
{
	struct scan s = {m, leaf, cookie, tables, ++m->pass, true};
	struct cursor c;

	if (tables != NULL) {
		memset(tables, 0, S2_LEVEL_MAX * sizeof(*tables));
	}
	walk_root(m, &c);
	return scan_table(&s, &c, 0) && s.ok;
}
