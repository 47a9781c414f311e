/* SPDX-License-Identifier: BSD-2-Clause */
/* Counting and verifying the tables of a space. */
#include <stage2/fmt.h>
#include <stage2/map.h>

#include "internal.h"

struct counting {
	const struct s2_space *s;
	struct s2_range range;
	struct s2_count *out;
	uint64_t *empty[S2_LEVEL_MAX]; /* counter of the table that is being walked */
	bool seen[S2_LEVEL_MAX];       /* it has an entry */
	bool open[S2_LEVEL_MAX];
};

S2_COLD static void close_table(struct counting *c, unsigned level)
{
	if (c->open[level] && !c->seen[level]) {
		c->out->empty[level]++;
	}
	c->open[level] = false;
}

S2_COLD static void count_leaf(struct counting *c, const struct s2_item *item)
{
	struct s2_leaf leaf;
	uint64_t first = item->place.gpa.val;
	uint64_t end = first + ((UINT64_C(1) << item->place.lg2) - 1);
	uint64_t start = c->range.start.val;
	uint64_t last = s2_range_last(c->range).val;
	unsigned lg2 = item->place.lg2;

	if (first > last || end < start) {
		return;
	}
	c->out->bytes += (end < last ? end : last) - (first > start ? first : start) + 1;
	c->s->fmt->decode(c->s, item->value, item->place.level, &leaf);
	if (leaf.group) {
		lg2 += c->s->fmt->group_lg2(item->place.level);
		if ((first & ((UINT64_C(1) << lg2) - 1)) != 0) {
			return;
		}
	}
	if (first >= start) {
		c->out->leaf[lg2]++;
	}
}

S2_COLD static bool count_item(void *cookie, const struct s2_item *item)
{
	struct counting *c = cookie;
	unsigned level = item->place.level;

	/* A table ends where an item of a higher level comes, or its own next table does. */
	for (unsigned below = 0; below < level; below++) {
		close_table(c, below);
	}
	if (level != c->s->top && item->place.index == 0) {
		close_table(c, level);
		c->open[level] = true;
		c->seen[level] = false;
		c->out->table[level]++;
	}
	if (item->kind != S2_ITEM_NONE) {
		c->seen[level] = true;
	}
	if (item->kind == S2_ITEM_LEAF) {
		count_leaf(c, item);
	}
	return true;
}

S2_COLD enum s2_err s2_count(const struct s2_space *s, struct s2_range range, struct s2_count *out)
{
	struct counting c = {.s = s, .range = range, .out = out};
	enum s2_err err = s2_space_covers(s, range);

	if (err != S2_OK) {
		return err;
	}
	memset(out, 0, sizeof(*out));
	s2_visit(s, count_item, &c);
	for (unsigned level = 0; level < s->top; level++) {
		close_table(&c, level);
	}
	return S2_OK;
}

/* What the items of a group that is being walked must go on with. */
struct checking {
	const struct s2_space *s;
	struct s2_item *at;
	size_t cached; /* tables that the walk cache has */
	unsigned left; /* items of the group that are still to come */
	uint64_t next; /* what they go on with */
	uint8_t prot;
	uint8_t mem;
};

S2_COLD static bool leaf_is_right(const struct checking *c, const struct s2_item *item, bool group)
{
	const struct s2_space *s = c->s;
	uint64_t size = UINT64_C(1) << item->place.lg2;
	uint64_t hpa = s->fmt->hpa(s, item->value, item->place.level, item->place.gpa.val);
	unsigned kind = group ? S2_KIND_GROUP : S2_KIND_SINGLE;

	return (s->leaf_kinds[item->place.level] & kind) != 0 && (hpa & (size - 1)) == 0 &&
	       hpa <= s->hpa_last && hpa + (size - 1) <= s->hpa_last;
}

/*
 * Groups are whole: the first item is where a group begins, its address is aligned to the group, and
 * the others follow, equal but for their step and the marks.
 */
S2_COLD static bool group_goes_on(struct checking *c, const struct s2_item *item,
				  const struct s2_leaf *leaf)
{
	const struct s2_fmt *fmt = c->s->fmt;
	unsigned level = item->place.level;
	unsigned members = 1u << fmt->group_lg2(level);
	uint64_t hpa = fmt->hpa(c->s, item->value, level, item->place.gpa.val);

	if (!leaf->group) {
		return c->left == 0;
	}
	if (c->left == 0) {
		if (item->place.index % members != 0 ||
		    (hpa & (((uint64_t)members << item->place.lg2) - 1)) != 0) {
			return false;
		}
		c->left = members;
		c->prot = leaf->prot;
		c->mem = leaf->mem;
	} else if (hpa != c->next || leaf->prot != c->prot || leaf->mem != c->mem) {
		return false;
	}
	c->left--;
	c->next = hpa + (UINT64_C(1) << item->place.lg2);
	return true;
}

/* The walk cache has this table of level 0, or nothing in its place. */
S2_COLD static bool cache_is_right(struct checking *c, const struct s2_item *item)
{
	const struct s2_space *s = c->s;
	uint64_t hpa = s->fmt->table_hpa(s, item->value, item->place.level);
	const uint64_t *table = s2_walk_cache_get(s, item->place.gpa.val);

	c->cached += table != NULL;
	return table == NULL || (uint64_t)(uintptr_t)table + s->config.tables.hpa_offset == hpa;
}

S2_COLD static bool check_item(void *cookie, const struct s2_item *item)
{
	struct checking *c = cookie;
	const struct s2_space *s = c->s;
	struct s2_leaf leaf = {.group = false};
	bool right = !item->broken && s->fmt->valid(s, item->value, item->place.level);

	if (right && item->kind == S2_ITEM_TABLE) {
		right = item->place.level > 0 && c->left == 0 &&
			(item->place.level > 1 || cache_is_right(c, item));
	} else if (right && item->kind == S2_ITEM_LEAF) {
		s->fmt->decode(s, item->value, item->place.level, &leaf);
		right = leaf_is_right(c, item, leaf.group) && group_goes_on(c, item, &leaf);
	} else if (right) {
		right = c->left == 0;
	}
	if (!right && c->at != NULL) {
		*c->at = *item;
	}
	return right;
}

S2_COLD bool s2_check(const struct s2_space *s, struct s2_item *at)
{
	struct checking c = {.s = s, .at = at};

	if (at != NULL) {
		memset(at, 0, sizeof(*at));
	}
	return s2_visit(s, check_item, &c) && c.cached == s2_walk_cache_count(s);
}
