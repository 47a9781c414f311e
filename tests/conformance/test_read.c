/* SPDX-License-Identifier: BSD-2-Clause */
/* Questions: every answer against the walker; and that s2_check() finds what is wrong. */
#include "bench.h"
#include "cases.h"
#include "picture.h"

#include <stdlib.h>
#include <string.h>

#include <stage2/arm64.h>

#define PAGE S2_PAGE_SIZE

/* Holes and pieces of all kinds around home. */
static void scene(void)
{
	uint64_t large = large_size();
	uint64_t hpa = hpa_at(large, large == PAGE ? 100 : 1);

	map(b.home, hpa, large);
	map(b.home - 2 * PAGE, hpa - 2 * PAGE, 2 * PAGE);
	map(b.home - 3 * PAGE, hpa_at(PAGE, 9), PAGE);
	must_do(try_map(b.home - 5 * PAGE, hpa - 5 * PAGE, 2 * PAGE, S2_RX, S2_MEM_NORMAL));
	map(b.home - 8 * PAGE, hpa - 8 * PAGE, 2 * PAGE);
	map(b.home + large + PAGE, hpa_at(PAGE, 3), PAGE);
	map(0, hpa_at(PAGE, 2), PAGE);
	if (b.large > 1) {
		must_do(s2_split(&b.s, range_at(b.home, large), b.size[b.large - 2], &b.g, NULL));
	}
	settle();
}

/* What the longest stretch from gpa on must be, by pieces that the walker has found. */
static struct piece stretch_at(const struct view *v, uint64_t gpa, uint64_t last, bool *mapped)
{
	struct piece hole = {.gpa = gpa, .last = last};

	*mapped = false;
	for (size_t i = 0; i < v->count; i++) {
		struct piece p = v->piece[i];

		if (gpa >= p.gpa && gpa <= p.last) {
			*mapped = true;
			p.hpa += gpa - p.gpa;
			p.gpa = gpa;
			p.last = p.last < last ? p.last : last;
			return p;
		}
		if (p.gpa > gpa && p.gpa - 1 < hole.last) {
			hole.last = p.gpa - 1;
		}
	}
	return hole;
}

static void check_next_run(const struct view *v, uint64_t gpa, struct s2_range limit)
{
	uint64_t last = s2_range_last(limit).val;
	struct s2_leaf leaf;
	struct piece p;
	bool mapped;

	if (gpa < limit.start.val || gpa > last) {
		return;
	}
	p = stretch_at(v, gpa, last, &mapped);
	must_do(s2_next_run(&b.s, s2_gpa(gpa), limit, &leaf));
	must_eq(leaf.mapped, mapped);
	must_eq(leaf.range.start.val, p.gpa);
	must_eq(s2_range_last(leaf.range).val, p.last);
	if (mapped) {
		must_eq(leaf.hpa.val, p.hpa);
		must_eq(leaf.prot, p.prot);
		must_eq(leaf.mem, p.mem);
		must(leaf.accessed && leaf.dirty);
	}
}

static void check_bytes(const struct view *v, struct s2_range range)
{
	uint64_t last = s2_range_last(range).val;
	struct s2_count count;
	uint64_t bytes = 0;

	for (size_t i = 0; i < v->count; i++) {
		uint64_t from =
			v->piece[i].gpa > range.start.val ? v->piece[i].gpa : range.start.val;
		uint64_t to = v->piece[i].last < last ? v->piece[i].last : last;

		bytes += from <= to ? to - from + 1 : 0;
	}
	must_do(s2_count(&b.s, range, &count));
	must_eq(count.bytes, bytes);
}

/* All boundaries of what is mapped, one byte before and behind them, and other bytes. */
static size_t interesting(const struct view *v, uint64_t at[64])
{
	size_t count = 0;

	for (size_t i = 0; i < v->count && count < 50; i++) {
		at[count++] = v->piece[i].gpa;
		at[count++] = v->piece[i].last;
		at[count++] = v->piece[i].last + 1;
		at[count++] = v->piece[i].gpa + PAGE / 2;
	}
	at[count++] = b.home + large_size() / 2;
	at[count++] = b.home / 2;
	at[count++] = 0;
	at[count++] = b.last;
	return count;
}

ON_EVERY_MACHINE(questions_at_every_boundary)
{
	uint64_t large = large_size();
	struct s2_range limits[] = {
		whole_space(),
		range_at(b.home - 5 * PAGE, 5 * PAGE + large),
		range_at(b.home - 4 * PAGE, PAGE),
		range_at(b.home + large - PAGE, 2 * PAGE),
		range_at(b.home - large, large),
		range_at(0, 2 * PAGE),
	};
	uint64_t at[64];
	struct view v;
	size_t count;

	scene();
	view_take(&v);
	count = interesting(&v, at);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		check_bytes(&v, limits[i]);
		for (size_t j = 0; j < count; j++) {
			check_next_run(&v, at[j], limits[i]);
		}
	}
	for (size_t j = 0; j < count; j++) {
		bool mapped;
		struct piece p = stretch_at(&v, at[j], b.last, &mapped);

		if (mapped) {
			expect_at(at[j], p.hpa);
		} else {
			expect_hole(at[j]);
		}
	}
	view_free(&v);
}

/* A hole is told as far as one item shows it, and no byte of it is mapped. */
ON_EVERY_MACHINE(holes)
{
	uint64_t at[64];
	struct view v;
	size_t count;

	scene();
	view_take(&v);
	count = interesting(&v, at);
	for (size_t j = 0; j < count; j++) {
		struct s2_leaf leaf;
		struct machine_walk w;

		machine_walk(&b.m, at[j], &w);
		must_do(s2_query(&b.s, s2_gpa(at[j]), &leaf));
		must_eq(leaf.mapped, w.fault == MACHINE_OK);
		if (!leaf.mapped) {
			must_eq(leaf.level, w.step[w.steps - 1].level);
			must_eq(leaf.range.len, UINT64_C(1) << b.s.fmt->lg2(leaf.level));
			must_eq(leaf.range.start.val, at[j] & ~(leaf.range.len - 1));
			must_eq(leaf.prot, 0);
		}
	}
	view_free(&v);
}

/* Entries are counted where they start. */
ON_EVERY_MACHINE(count_of_a_part)
{
	for (unsigned k = 1; k < b.large; k++) {
		uint64_t size = size_at(k);
		struct s2_count count;

		map_as(b.home, hpa_at(size, 1), 2 * size, k);
		settle();
		must_do(s2_count(&b.s, range_at(b.home, size + PAGE), &count));
		must_eq(count.leaf[b.size[k]], 2);
		must_eq(count.bytes, size + PAGE);
		must_do(s2_count(&b.s, range_at(b.home + PAGE, size), &count));
		must_eq(count.leaf[b.size[k]], 1);
		must_eq(count.bytes, size);
		must_do(s2_count(&b.s, range_at(b.home + PAGE, PAGE), &count));
		must_eq(count.leaf[b.size[k]], 0);
		must_eq(count.bytes, PAGE);
		unmap_all();
	}
}

ON_EVERY_MACHINE(count_of_empty_tables)
{
	struct s2_count count;

	map(b.home, hpa_at(PAGE, 1), PAGE);
	map(b.home - PAGE, hpa_at(PAGE, 1), PAGE);
	settle();
	must_do(s2_count(&b.s, whole_space(), &count));
	must_eq(count.table[0], 2);
	must_eq(count.empty[0], 0);
	unmap(b.home, PAGE);
	settle();
	must_do(s2_count(&b.s, whole_space(), &count));
	must_eq(count.table[0], 2);
	must_eq(count.empty[0], 1);
}

/* What a walk over all items has seen. */
struct visited {
	uint64_t count;
	uint64_t stop; /* after so many; 0: never */
	uint64_t next; /* gpa */
	uint64_t table[S2_LEVEL_MAX];
	uint64_t leaves;
};

static bool visit(void *cookie, const struct s2_item *item)
{
	const struct s2_place *place = &item->place;
	struct visited *seen = cookie;

	must(place->gpa.val >= seen->next || place->gpa.val == 0);
	must_eq(place->lg2, b.s.fmt->lg2(place->level));
	must_eq(machine_load(&b.m, place->table.val + place->index * sizeof(uint64_t)),
		item->value);
	must(!item->broken);
	must(item->kind != S2_ITEM_TABLE || place->level > 0);
	if (place->index == 0 && place->level != b.s.top) {
		must_eq(place->table.val, seen->table[place->level]);
	}
	if (item->kind == S2_ITEM_TABLE) {
		seen->table[place->level - 1] = b.s.fmt->table_hpa(&b.s, item->value, place->level);
	}
	seen->leaves += item->kind == S2_ITEM_LEAF;
	seen->next = place->gpa.val;
	seen->count++;
	return seen->count != seen->stop;
}

ON_EVERY_MACHINE(visits)
{
	struct visited all = {0};
	struct visited some = {.stop = 10};

	scene();
	must(s2_visit(&b.s, visit, &all));
	must(all.leaves >= leaves());
	must(!s2_visit(&b.s, visit, &some));
	must_eq(some.count, 10);
	some.stop = all.count;
	some.count = 0;
	some.next = 0;
	must(!s2_visit(&b.s, visit, &some));
	some.stop = all.count + 1;
	some.count = 0;
	some.next = 0;
	must(s2_visit(&b.s, visit, &some));
}

/* Does this value in the place of the item there make s2_check() fail? */
static bool check_finds(uint64_t item, uint64_t value, uint64_t gpa)
{
	uint64_t was = machine_load(&b.m, item);
	struct s2_item at;
	bool found;

	machine_store(&b.m, item, value);
	found = !s2_check(&b.s, &at);
	if (found) {
		must(at.place.gpa.val <= gpa + large_size());
	}
	machine_store(&b.m, item, was);
	return found;
}

static uint64_t item_of(uint64_t gpa)
{
	struct machine_walk w;

	machine_walk(&b.m, gpa, &w);
	must_eq(w.fault, MACHINE_OK);
	return w.step[w.steps - 1].item;
}

/* Bits that the library does not look at, because the machine may or the library does change them. */
static bool may_say_the_same(void)
{
	return b.v->kind == MACHINE_ARM64 && (b.v->features & (S2_ARM64_BBM1 | S2_ARM64_HD)) != 0;
}

/* What the library takes the item at this address for. */
struct finding {
	uint64_t item;
	enum s2_item_kind kind;
};

static bool find_item(void *cookie, const struct s2_item *item)
{
	struct finding *finding = cookie;

	if (item->place.table.val + item->place.index * sizeof(uint64_t) != finding->item) {
		return true;
	}
	finding->kind = item->kind;
	return false;
}

static bool is_pointer(uint64_t item)
{
	struct finding finding = {.item = item};

	must(!s2_visit(&b.s, find_item, &finding));
	return finding.kind == S2_ITEM_TABLE;
}

/* Each bit of a leaf: if the machine must not see it so, or it says nothing, s2_check() says so. */
static void flip(uint64_t gpa, unsigned bit)
{
	uint64_t item = item_of(gpa);
	uint64_t was = machine_load(&b.m, item);
	struct machine_walk before;
	struct machine_walk after;
	struct s2_leaf leaf_before;
	struct s2_leaf leaf_after;
	bool same;

	machine_walk(&b.m, gpa, &before);
	must_do(s2_query(&b.s, s2_gpa(gpa), &leaf_before));
	machine_store(&b.m, item, was ^ UINT64_C(1) << bit);
	machine_walk(&b.m, gpa, &after);
	if (is_pointer(item)) {
		machine_store(&b.m, item, was); /* do not follow it */
		return;
	}
	must_do(s2_query(&b.s, s2_gpa(gpa), &leaf_after));
	machine_store(&b.m, item, was);
	same = after.fault == MACHINE_OK &&
	       memcmp(&before.leaf, &after.leaf, sizeof(after.leaf)) == 0 &&
	       memcmp(&leaf_before, &leaf_after, sizeof(leaf_after)) == 0;
	if (after.fault == MACHINE_WRONG || (same && !may_say_the_same())) {
		if (!check_finds(item, was ^ UINT64_C(1) << bit, gpa)) {
			ck_abort_msg("%s: bit %u of %#" PRIx64 " level %u is %s", b.v->name, bit,
				     was, leaf_before.level,
				     same ? "without a meaning" : after.why);
		}
	}
}

ON_EVERY_MACHINE(check_finds_wrong_bits)
{
	for (unsigned k = 0; k < b.large; k++) {
		map_as(b.home, hpa_at(size_at(k), 1), size_at(k), k);
		settle();
		/* Of groups the marks of one item may differ from those of the others. */
		for (unsigned bit = 0; bit < 64 && !size_is_group(k); bit++) {
			flip(b.home, bit);
		}
		unmap_all();
	}
}

static uint64_t leaf_value(unsigned prot, uint64_t hpa, unsigned level)
{
	uint64_t attr = 0;

	must(b.s.fmt->attr(&b.s, prot, S2_MEM_NORMAL, &attr));
	return b.s.fmt->leaf(&b.s, attr, hpa, level);
}

/* Items of groups that are not like the others. */
ON_EVERY_MACHINE(check_finds_broken_groups)
{
	const struct s2_fmt *fmt = b.s.fmt;

	for (unsigned k = 1; k < b.large; k++) {
		uint64_t size = size_at(k);
		uint64_t hpa = hpa_at(size, 1);
		struct machine_walk w;
		unsigned level;
		uint64_t one;

		if (!size_is_group(k)) {
			continue;
		}
		map(b.home, hpa, 2 * size);
		map(b.home - PAGE, 0, PAGE);
		settle();
		machine_walk(&b.m, b.home, &w);
		level = w.leaf.level;
		one = UINT64_C(1) << fmt->lg2(level);
		for (uint64_t i = 0; i < size / one; i += i == 0 ? 1 : 3) {
			uint64_t gpa = b.home + i * one;
			uint64_t rx = fmt->group(leaf_value(S2_RX, hpa, level), level);

			must(check_finds(item_of(gpa), fmt->none(level), gpa));
			must(check_finds(item_of(gpa), leaf_value(S2_RWX, hpa + i * one, level),
					 gpa));
			must(check_finds(item_of(gpa), rx + i * fmt->group_step(level), gpa));
			must(check_finds(item_of(gpa), machine_load(&b.m, item_of(gpa + size)),
					 gpa));
		}
		unmap_all();
	}
}

/* Leaves of a size that the space was told not to have. */
static void only_pages(struct s2_config *config)
{
	config->leaf_sizes = PAGE;
}

ON_EVERY_CHOICE(check_finds_leaves_that_are_not_wanted)
{
	struct machine_walk w;
	unsigned level;

	bench_start(choice, only_pages);
	map(b.home, 0, PAGE);
	settle();
	machine_walk(&b.m, b.home, &w);
	level = w.step[w.steps - 2].level;
	must(check_finds(w.step[w.steps - 2].item, leaf_value(S2_RWX, 0, level), b.home));
	bench_finish();
}

/* The same text on all machines, once leaves have the same sizes. */
ON_EVERY_CHOICE(dump_of_pages)
{
	static const char *const wanted =
		"0000000000000000-0000000000000fff -> 0000000000123000 4K*1 rwxu normal AD\n"
		"0000000000005000-0000000000007fff -> 0000000000005000 4K*3 rwxu normal AD\n"
		"0000000000008000-0000000000008fff -> 0000000000008000 4K*1 r-xu normal AD\n"
		"0000000000009000-0000000000009fff -> 0000000000009000 4K*1 rwxu normal AD\n"
		"0000000000200000-00000000005fffff -> 0000000000400000 4K*1024 rwxu normal AD\n";
	char *text;

	bench_start(choice, only_pages);
	map(0x200000, 0x400000, 0x400000);
	map(0x5000, 0x5000, 0x5000);
	map(0, 0x123000, PAGE);
	must_do(s2_protect(&b.s, range_at(0x8000, PAGE), S2_RX, &b.g, NULL));
	settle();
	text = dump_text();
	if (strcmp(text, wanted) != 0) {
		ck_abort_msg("%s:\n%s", b.v->name, text);
	}
	free(text);
	bench_finish();
}

/* A small space of arm64, to the letter. */
ON_EVERY_CHOICE(dump_of_arm64)
{
	static const char *const wanted =
		"0000000000000000-0000000000003fff -> 0000000000010000 4K*4 rwx- device AD\n"
		"0000000040000000-000000007fffffff -> 0000000080000000 1G*1 rwxu normal AD\n"
		"0000000080000000-000000008000ffff -> 00000000c0000000 64K*1 rwxu normal AD\n"
		"0000000080010000-0000000080011fff -> 00000000c0010000 4K*2 rwxu normal --\n"
		"0000000080012000-0000000080012fff -> 00000000c0012000 4K*1 rwxu normal AD\n"
		"00000000a0000000-00000000a3ffffff -> 0000000020000000 32M*2 r--- nc AD\n"
		"00000000a4000000-00000000a41fffff -> 0000000024000000 2M*1 r--- nc AD\n"
		"0000ffffffe00000-0000ffffffffffff -> 0000000000200000 2M*1 rwxu normal A-\n";
	uint64_t young;
	char *text;

	bench_start(choice, NULL);
	if (strcmp(b.v->name, "arm64-48-cont-bbm2-ha-hd-xnx-fwb") == 0) {
		must_do(try_map(0, 0x10000, 4 * PAGE, S2_RW | S2_EXEC, S2_MEM_DEVICE));
		map(0x40000000, 0x80000000, 0x40000000);
		map(0x80000000, 0xc0000000, 0x13000);
		must_do(try_map(0xa0000000, 0x20000000, 0x4200000, S2_READ, S2_MEM_NC));
		map(0xffffffe00000, 0x200000, 0x200000);
		must_do(s2_age(&b.s, range_at(0x80010000, 0x2000), &b.g, &young));
		must_do(s2_dirty_clear(&b.s, range_at(0x80010000, 0x2000), &b.g));
		must_do(s2_dirty_clear(&b.s, range_at(0xffffffe00000, 0x200000), &b.g));
		settle();
		text = dump_text();
		if (strcmp(text, wanted) != 0) {
			ck_abort_msg("%s:\n%s", b.v->name, text);
		}
		free(text);
	}
	bench_finish();
}

TCase *case_read(void)
{
	TCase *tcase = tcase_create("read");

	ADD(tcase, questions_at_every_boundary);
	ADD(tcase, holes);
	ADD(tcase, count_of_a_part);
	ADD(tcase, count_of_empty_tables);
	ADD(tcase, visits);
	ADD(tcase, check_finds_wrong_bits);
	ADD(tcase, check_finds_broken_groups);
	ADD(tcase, check_finds_leaves_that_are_not_wanted);
	ADD(tcase, dump_of_pages);
	ADD(tcase, dump_of_arm64);
	return tcase;
}
