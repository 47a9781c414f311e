/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting, mapping, and what is checked after each step. */
#include "bench.h"
#include "machine/numbers.h"
#include "picture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <stage2/arm64.h>
#include <stage2/mock.h>
#include <stage2/riscv.h>
#include <stage2/s390.h>
#include <stage2/x86.h>

#define CHOICE_MAX 256
#define RUN_COUNT_MAX 20000u

struct bench b;

/* What a scan by the walker has found. */
struct seen {
	uint64_t bytes;
	uint64_t leaves;
	uint64_t tables;
	uint64_t count[64];
	uint64_t hidden; /* bytes that are mapped and that it cannot see */
};

static struct seen seen_last; /* by the last settle() */

static size_t chosen[CHOICE_MAX];
static int choice_count;
static enum machine_kind formats[MACHINE_KIND_COUNT];
static int format_count;

static bool is_last(size_t i)
{
	return i + 1 == machine_count || machines[i + 1].kind != machines[i].kind;
}

static bool is_first(size_t i)
{
	return i == 0 || machines[i - 1].kind != machines[i].kind;
}

static bool is_chosen(size_t i)
{
	const char *which = getenv("S2_VARIANTS");

	return which == NULL || strstr(machines[i].name, which) != NULL ||
	       (strcmp(which, "last") == 0 && is_last(i)) ||
	       (strcmp(which, "few") == 0 && (is_first(i) || is_last(i)));
}

/* The table has the machines of a format one after the other. */
static void choose(void)
{
	for (size_t i = 0; i < machine_count && choice_count < CHOICE_MAX; i++) {
		if (!is_chosen(i)) {
			continue;
		}
		chosen[choice_count++] = i;
		if (format_count == 0 || formats[format_count - 1] != machines[i].kind) {
			formats[format_count++] = machines[i].kind;
		}
	}
}

int bench_formats(void)
{
	if (choice_count == 0) {
		choose();
	}
	return format_count;
}

void bench_each(int format, void (*test)(int choice))
{
	for (int choice = 0; choice < choice_count; choice++) {
		if (machines[chosen[choice]].kind == formats[format % format_count]) {
			test(format < format_count ? choice : choice + choice_count);
		}
	}
}

static const struct s2_fmt *fmt_of(enum machine_kind kind)
{
	static const struct s2_fmt *const fmt[MACHINE_KIND_COUNT] = {
		[MACHINE_MOCK] = &s2_fmt_mock,	 [MACHINE_ARM64] = &s2_fmt_arm64,
		[MACHINE_RISCV] = &s2_fmt_riscv, [MACHINE_EPT] = &s2_fmt_ept,
		[MACHINE_NPT] = &s2_fmt_npt,	 [MACHINE_S390] = &s2_fmt_s390,
	};

	return fmt[kind];
}

static void find_sizes(void)
{
	uint64_t sizes = s2_space_leaf_sizes(&b.s);
	uint64_t room = machine_hpa_low(&b.m).last + 1;

	b.size_count = 0;
	b.large = 0;
	for (uint8_t lg2 = 0; lg2 < 64; lg2++) {
		uint64_t size = UINT64_C(1) << lg2;

		if (((sizes >> lg2) & 1) == 0) {
			continue;
		}
		b.size[b.size_count++] = lg2;
		if (size <= RUN_MAX && size <= b.last / 4 + 1 && size <= room / 4) {
			b.large = b.size_count;
		}
	}
	must(b.large > 0);
}

/* For some tables around what will be home, so that lookups go both ways. */
static void config_walk_cache(void)
{
	uint64_t half = UINT64_C(1) << (b.v->gpa_bits - 1);
	uint64_t span = UINT64_C(1) << b.config.fmt->lg2(1);
	uint64_t len =
		half / 2 < WALK_CACHE_WORDS / 2 * span ? half / 2 : WALK_CACHE_WORDS / 2 * span;

	b.config.walk_cache = b.walk_cache;
	b.config.walk_cache_range =
		s2_range(s2_gpa(half - len + S2_PAGE_SIZE), 2 * (len - S2_PAGE_SIZE));
	must(s2_walk_cache_words(b.config.fmt, b.config.walk_cache_range) <= WALK_CACHE_WORDS);
}

void bench_start(int choice, void (*change)(struct s2_config *config))
{
	memset(&b, 0, sizeof(b));
	b.v = &machines[chosen[choice % choice_count]];
	machine_init(&b.m, b.v, fmt_of(b.v->kind), &b.config);
	b.m.strict_absent = true;
	b.m.need_clean = choice < choice_count;
	b.m.need_code = choice < choice_count;
	if (choice >= choice_count) {
		b.m.mmu.clean = NULL;
		b.m.mmu.invalidate_code = NULL;
		b.m.mmu.mapped = NULL;
		b.m.mmu.relax = NULL;
	}
	config_walk_cache();
	if (change != NULL) {
		change(&b.config);
	}
	must_do(s2_space_init(&b.s, &b.config));
	machine_set_root(&b.m, s2_space_root(&b.s));
	s2_gather_init(&b.g, &b.s);
	b.marks_dirty = machine_marks_dirty(b.v);
	b.last = b.s.last;
	b.home = b.last / 2 + 1;
	find_sizes();
}

void bench_finish(void)
{
	settle();
	s2_gather_fini(&b.g);
	machine_power_cycle(&b.m);
	s2_space_fini(&b.s);
	for (size_t i = 0; i < WALK_CACHE_WORDS; i++) {
		must(b.walk_cache[i] == NULL);
	}
	must_eq(b.m.pool.live, 0);
	check_machine();
	machine_fini(&b.m);
}

bool size_is_group(unsigned k)
{
	return ((b.v->group_sizes >> b.size[k]) & 1) != 0;
}

uint64_t hpa_at(uint64_t size, unsigned n)
{
	uint64_t count = (machine_hpa_low(&b.m).last + 1) / size;

	return n % count * size;
}

enum s2_err try_map(uint64_t gpa, uint64_t hpa, uint64_t len, unsigned prot, enum s2_mem mem)
{
	static struct s2_run runs[RUN_COUNT_MAX];
	size_t count = 0;

	while (len != 0) {
		uint64_t part = RUN_MAX - (hpa & (RUN_MAX - 1));

		part = part < len ? part : len;
		must(count < RUN_COUNT_MAX);
		runs[count++] = (struct s2_run){s2_gpa(gpa), s2_hpa(hpa), part, S2_FOLIO_ORDER_MAX};
		gpa += part;
		hpa += part;
		len -= part;
	}
	/* One run has an inline way of its own, one page another. */
	return count == 1 ? s2_map_run(&b.s, runs, prot, mem, &b.g)
			  : s2_map(&b.s, runs, count, prot, mem, &b.g, NULL);
}

void map(uint64_t gpa, uint64_t hpa, uint64_t len)
{
	must_do(try_map(gpa, hpa, len, S2_RWX, S2_MEM_NORMAL));
}

void map_as(uint64_t gpa, uint64_t hpa, uint64_t len, unsigned k)
{
	map(gpa, hpa, len);
	must_do(s2_split(&b.s, range_at(gpa, len), b.size[k], &b.g, NULL));
	s2_gather_sync(&b.g);
}

void unmap(uint64_t gpa, uint64_t len)
{
	must_do(s2_unmap(&b.s, range_at(gpa, len), &b.g, NULL));
	s2_gather_sync(&b.g);
}

void unmap_all(void)
{
	must_do(s2_unmap(&b.s, whole_space(), &b.g, NULL));
	if (b.last == UINT64_MAX) {
		must_do(s2_unmap(&b.s, range_at(b.home, b.home), &b.g, NULL));
	}
	s2_gather_sync(&b.g);
	machine_audit(&b.m);
	check_machine();
	must_eq(b.m.pool.live, 1 + b.g.spare[0].count + b.g.spare[1].count);
	seen_last = (struct seen){.bytes = 0};
	view_begin();
}

void space_freeze(void)
{
	must(mprotect(&b.s, offsetof(struct bench, g) - offsetof(struct bench, s), PROT_READ) == 0);
}

void space_thaw(void)
{
	must(mprotect(&b.s, offsetof(struct bench, g) - offsetof(struct bench, s),
		      PROT_READ | PROT_WRITE) == 0);
}

void load(uint64_t gpa, uint64_t len)
{
	machine_touch_range(&b.m, range_at(gpa, len));
}

void check_machine(void)
{
	if (!machine_ok(&b.m)) {
		ck_abort_msg("%s", machine_error_detail(&b.m));
	}
}

/* Does the walker know whether a leaf is dirty? Else it is one that cannot be written to. */
static bool knows_dirty(void)
{
	return b.marks_dirty || b.v->kind == MACHINE_MOCK || b.v->kind == MACHINE_RISCV;
}

static void see_marks(const struct s2_leaf *is, const struct machine_leaf *leaf)
{
	unsigned prot = is->prot;

	if (!is->dirty && !knows_dirty()) {
		prot &= ~S2_WRITE;
	}
	must_eq(leaf->prot, prot);
	must_eq(leaf->accessed, is->accessed || !b.s.fmt->keeps_accessed(&b.s));
	if (knows_dirty() && (prot & S2_WRITE) != 0) {
		must_eq(leaf->dirty, is->dirty);
	}
}

/* A leaf of the walker must be one of the library's, and the same. */
static bool see_leaf(void *cookie, const struct machine_leaf *leaf)
{
	struct seen *seen = cookie;
	uint64_t size = UINT64_C(1) << leaf->lg2;
	s2_hpa_t hpa = s2_hpa(0);
	struct s2_leaf is;

	for (unsigned end = 0; end < 2; end++) {
		uint64_t offset = end == 0 ? 0 : size - 1;

		must_do(s2_query(&b.s, s2_gpa(leaf->gpa + offset), &is));
		must(is.mapped);
		must_eq(is.range.start.val, leaf->gpa);
		must_eq(is.range.len, size);
		must_eq(is.hpa.val, leaf->hpa);
		must_eq(is.mem, leaf->mem);
		must_eq(is.level, leaf->level);
		must_eq(is.group, leaf->group);
		see_marks(&is, leaf);
		must_do(s2_lookup(&b.s, s2_gpa(leaf->gpa + offset), &hpa));
		must_eq(hpa.val, leaf->hpa + offset);
		must(numbers_agree(&b.s, s2_gpa(leaf->gpa + offset)));
	}
	must(!leaf->faded);
	view_see(leaf);
	seen->bytes += size;
	seen->leaves++;
	seen->count[leaf->lg2]++;
	return true;
}

/* Where a leaf that is not accessed is invalid for the machine, the walker does not see it. */
static bool add_hidden(void *cookie, const struct s2_item *item)
{
	uint64_t *bytes = cookie;
	struct s2_leaf leaf;

	if (item->kind == S2_ITEM_LEAF) {
		b.s.fmt->decode(&b.s, item->value, item->place.level, &leaf);
		*bytes += leaf.accessed ? 0 : UINT64_C(1) << item->place.lg2;
	}
	return true;
}

static uint64_t hidden_bytes(void)
{
	uint64_t bytes = 0;

	if (b.v->kind == MACHINE_S390) {
		must(s2_visit(&b.s, add_hidden, &bytes));
	}
	return bytes;
}

static void check_counts(const struct seen *seen, const uint64_t table[S2_LEVEL_MAX])
{
	uint64_t sum = seen->tables;
	struct s2_count count;

	must_do(s2_count(&b.s, whole_space(), &count));
	for (unsigned level = 0; level < S2_LEVEL_MAX; level++) {
		must_eq(count.table[level], table[level]);
		must(count.empty[level] <= count.table[level]);
	}
	must_eq(b.s.events.linked - b.s.events.unlinked, sum);
	must_eq(b.m.pool.live, 1 + sum + b.g.spare[0].count + b.g.spare[1].count);
	if (b.last != UINT64_MAX) {
		must_eq(count.bytes, seen->bytes + seen->hidden);
	}
	for (unsigned lg2 = 0; b.last != UINT64_MAX && seen->hidden == 0 && lg2 < 64; lg2++) {
		must_eq(count.leaf[lg2], seen->count[lg2]);
	}
}

/* Runs must be what they say, cover all, and be as long as can be. */
static void check_runs(const struct seen *seen)
{
	struct s2_leaf before = {.mapped = false};
	struct s2_leaf run;
	uint64_t mapped = 0;
	uint64_t gpa = 0;

	do {
		must_do(s2_next_run(&b.s, s2_gpa(gpa), whole_space(), &run));
		must_eq(run.range.start.val, gpa);
		if (gpa != 0) {
			must(run.mapped != before.mapped || run.prot != before.prot ||
			     run.mem != before.mem ||
			     run.hpa.val != before.hpa.val + before.range.len);
		}
		mapped += run.mapped ? run.range.len : 0;
		before = run;
		gpa += run.range.len;
	} while (s2_range_last(run.range).val < s2_range_last(whole_space()).val);
	if (b.last != UINT64_MAX) {
		must_eq(mapped, seen->bytes + seen->hidden);
	}
}

/* What goes over all holes again is for the first steps of a test, and for some of those in its loops. */
static bool is_thorough(void)
{
	return b.settled < 4 || b.settled % (b.v->root_items > 1024 ? 8 : 4) == 0;
}

void settle(void)
{
	struct seen seen = {.hidden = hidden_bytes()};
	uint64_t table[S2_LEVEL_MAX];

	s2_gather_sync(&b.g);
	must(!s2_gather_owes(&b.g));
	must_eq(b.m.stats.flush_calls, b.s.events.synced + b.s.events.replaced);
	machine_audit(&b.m);
	view_begin();
	machine_scan(&b.m, see_leaf, &seen, table);
	check_machine();
	for (unsigned level = 0; level < S2_LEVEL_MAX; level++) {
		seen.tables += table[level];
	}
	if (is_thorough()) {
		must(s2_check(&b.s, NULL));
		check_counts(&seen, table);
		check_runs(&seen);
	}
	must_eq(b.s.events.linked - b.s.events.unlinked, seen.tables);
	b.settled++;
	seen_last = seen;
}

void expect_at(uint64_t gpa, uint64_t hpa)
{
	struct machine_walk w;

	machine_walk(&b.m, gpa, &w);
	must_eq(w.fault, MACHINE_OK);
	must_eq(w.hpa, hpa);
}

void expect_hole(uint64_t gpa)
{
	s2_hpa_t hpa = s2_hpa(1);
	struct machine_walk w;

	machine_walk(&b.m, gpa, &w);
	must_eq(w.fault, MACHINE_ABSENT);
	must_err(s2_lookup(&b.s, s2_gpa(gpa), &hpa), S2_ERR_ABSENT);
	must_eq(hpa.val, 1);
	must(numbers_agree(&b.s, s2_gpa(gpa)));
}

void expect_size(uint64_t gpa, uint64_t size)
{
	struct machine_walk w;

	machine_walk(&b.m, gpa, &w);
	must_eq(w.fault, MACHINE_OK);
	must_eq(UINT64_C(1) << w.leaf.lg2, size);
	must_eq(w.leaf.group, (b.v->group_sizes & size) != 0);
}

uint64_t leaves_of(uint64_t size)
{
	return seen_last.count[__builtin_ctzll(size)];
}

uint64_t leaves(void)
{
	return seen_last.leaves;
}

uint64_t tables(void)
{
	return seen_last.tables;
}
