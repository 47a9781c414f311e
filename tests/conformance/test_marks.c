/* SPDX-License-Identifier: BSD-2-Clause */
/* Accessed and dirty, whoever keeps them: the machine, or software when the guest faults. */
#include "bench.h"
#include "cases.h"
#include "picture.h"

#include <stdlib.h>
#include <string.h>

#define PAGE S2_PAGE_SIZE
#define TOLD_MAX 64u

/*
 * An access by the guest, with an embedder that answers faults which marks are the reason of. Returns
 * whether it came through; *touched is how often a fault had to be answered.
 */
static bool guest(uint64_t gpa, enum machine_access access, unsigned *touched)
{
	struct machine_result r;

	*touched = 0;
	while (!machine_access(&b.m, gpa, access, &r)) {
		enum s2_err err = s2_touch(&b.s, s2_gpa(gpa), access == MACHINE_WRITE, &b.g);

		if (err != S2_OK || *touched == 2) {
			must_err(err, S2_ERR_ABSENT);
			return false;
		}
		s2_gather_sync(&b.g);
		++*touched;
	}
	check_machine();
	return true;
}

static void guest_must(uint64_t gpa, enum machine_access access)
{
	unsigned touched;

	must(guest(gpa, access, &touched));
}

static bool keeps_accessed(void)
{
	return b.s.fmt->keeps_accessed(&b.s);
}

static void expect_marks(uint64_t gpa, bool accessed, bool dirty)
{
	struct s2_leaf leaf;

	must_do(s2_query(&b.s, s2_gpa(gpa), &leaf));
	must(leaf.mapped);
	must_eq(leaf.accessed, accessed || !keeps_accessed());
	must_eq(leaf.dirty, dirty);
}

static void expect_young(uint64_t gpa, uint64_t len, uint64_t wanted)
{
	uint64_t young = UINT64_MAX;

	load(gpa, len);
	must_do(s2_age(&b.s, range_at(gpa, len), &b.g, &young));
	must_eq(young, wanted);
	settle();
}

ON_EVERY_MACHINE(fresh_leaves_are_accessed_and_dirty)
{
	unsigned touched;

	for (unsigned k = 0; k < b.large; k++) {
		map(b.home, hpa_at(size_at(k), 1), size_at(k));
		settle();
		expect_marks(b.home, true, true);
		must(guest(b.home, MACHINE_READ, &touched));
		must_eq(touched, 0);
		must(guest(b.home + PAGE - 1, MACHINE_WRITE, &touched));
		must_eq(touched, 0);
		unmap_all();
	}
}

ON_EVERY_MACHINE(age_and_access)
{
	if (!keeps_accessed()) {
		return;
	}
	for (unsigned k = 0; k < b.large; k++) {
		uint64_t size = size_at(k);
		unsigned touched;

		map_as(b.home, hpa_at(size, 1), size, k);
		map(b.home - PAGE, hpa_at(PAGE, 1), PAGE);
		settle();
		expect_young(b.home, size, size);
		expect_marks(b.home, false, true);
		expect_marks(b.home - PAGE, true, true);
		expect_young(b.home, size, 0);
		must(guest(b.home + size - 1, MACHINE_READ, &touched));
		must_eq(touched, machine_marks_accessed(b.v) ? 0 : 1);
		expect_marks(b.home, true, true);
		expect_young(b.home, size, size);
		guest_must(b.home + size / 2, MACHINE_EXEC);
		expect_young(b.home - PAGE, size + PAGE, size + PAGE);
		unmap_all();
	}
}

/* A leaf that sticks out is aged as a whole, and counted as far as it is in the range. */
ON_EVERY_MACHINE(age_of_a_part)
{
	uint64_t large = large_size();

	if (!keeps_accessed()) {
		return;
	}
	map(b.home, hpa_at(large, 1), large);
	map(b.home + large + PAGE, hpa_at(PAGE, 1), PAGE);
	settle();
	expect_young(b.home + large - PAGE, 4 * PAGE, 2 * PAGE);
	expect_marks(b.home, false, true);
	guest_must(b.home, MACHINE_READ);
	expect_young(b.home, PAGE, PAGE);
	expect_young(b.home, large + 8 * PAGE, 0);
}

/* What is done to leaves does not lose that they are not accessed, nor that they are not dirty. */
ON_EVERY_MACHINE(marks_outlive_changes)
{
	uint64_t large = large_size();

	map(b.home, hpa_at(large, 1), large);
	settle();
	must_do(s2_dirty_start(&b.s, range_at(b.home, large), S2_DIRTY_KEEP, &b.g, NULL));
	if (keeps_accessed()) {
		expect_young(b.home, large, large);
	}
	settle();
	expect_marks(b.home, false, false);
	load(b.home, large);
	must_do(s2_protect(&b.s, range_at(b.home, large), S2_RX, &b.g, NULL));
	settle();
	expect_marks(b.home, false, false);
	must_do(s2_protect(&b.s, range_at(b.home, large), S2_RWX, &b.g, NULL));
	settle();
	expect_marks(b.home, false, false);
	if (b.large > 1) {
		uint8_t lg2 = b.size[b.large - 2];

		load(b.home, large);
		must_do(s2_split(&b.s, range_at(b.home, large), lg2, &b.g, NULL));
		settle();
		expect_marks(b.home, false, false);
		expect_marks(b.home + large - 1, false, false);
		load(b.home, large);
		unmap(b.home + large - PAGE, PAGE);
		settle();
		expect_marks(b.home, false, false);
		expect_marks(b.home + large - 2 * PAGE, false, false);
		map(b.home + large - PAGE, hpa_at(large, 1) + large - PAGE, PAGE);
		settle();
		must_do(s2_collapse(&b.s, range_at(b.home, large), &b.g));
		settle();
		expect_marks(b.home, true, true);
	}
}

/* A leaf that is made of several is what any of them was. */
ON_EVERY_MACHINE(collapse_joins_marks)
{
	for (unsigned k = 1; k < b.large; k++) {
		uint64_t size = size_at(k);
		struct s2_range range = range_at(b.home, size);

		map_as(b.home, hpa_at(size, 1), size, k - 1);
		must_do(s2_dirty_start(&b.s, range, S2_DIRTY_KEEP, &b.g, NULL));
		settle();
		if (keeps_accessed()) {
			expect_young(b.home, size, size);
		}
		guest_must(b.home + size - 1, MACHINE_WRITE);
		load(b.home, size);
		must_do(s2_collapse(&b.s, range, &b.g));
		settle();
		expect_size(b.home, size);
		expect_marks(b.home, true, true);
		unmap_all();
	}
}

static struct s2_range told[TOLD_MAX];
static unsigned told_count;

static void tell(void *cookie, struct s2_range range)
{
	must(cookie == &told_count);
	must(told_count < TOLD_MAX);
	must(range.len != 0);
	/* In order, and as long as can be. */
	must(told_count == 0 || range.start.val > s2_range_last(told[told_count - 1]).val + 1);
	told[told_count++] = range;
}

static void collect(uint64_t gpa, uint64_t len, bool clear)
{
	load(gpa, len);
	told_count = 0;
	must_do(s2_dirty_collect(&b.s, range_at(gpa, len), clear, tell, &told_count, &b.g));
	settle();
}

static void expect_told(unsigned at, uint64_t gpa, uint64_t len)
{
	must(at < told_count);
	must_eq(told[at].start.val, gpa);
	must_eq(told[at].len, len);
}

static void start(uint64_t gpa, uint64_t len, enum s2_dirty_policy policy)
{
	load(gpa, len);
	must_do(s2_dirty_start(&b.s, range_at(gpa, len), policy, &b.g, NULL));
	settle();
}

ON_EVERY_MACHINE(dirty_by_leaf)
{
	for (unsigned k = 0; k < b.large; k++) {
		uint64_t size = size_at(k);
		unsigned touched;

		map_as(b.home, hpa_at(size, 1), size, k);
		map(b.home - PAGE, hpa_at(PAGE, 1), PAGE);
		settle();
		start(b.home, size, S2_DIRTY_KEEP);
		expect_size(b.home, size);
		expect_marks(b.home - PAGE, true, true);
		collect(b.home, size, true);
		must_eq(told_count, 0);
		guest_must(b.home, MACHINE_READ);
		collect(b.home, size, true);
		must_eq(told_count, 0);
		must(guest(b.home + size - PAGE, MACHINE_WRITE, &touched));
		must_eq(touched, machine_marks_dirty(b.v) ? 0 : 1);
		collect(b.home, size, false);
		must_eq(told_count, 1);
		expect_told(0, b.home, size);
		collect(b.home, size, true);
		must_eq(told_count, 1);
		collect(b.home, size, true);
		must_eq(told_count, 0);
		/* It is told again after it was cleared, though it was written to before. */
		guest_must(b.home + size - PAGE, MACHINE_WRITE);
		collect(b.home - PAGE, size + PAGE, true);
		must_eq(told_count, 1);
		expect_told(0, b.home - PAGE, size + PAGE);
		unmap_all();
	}
}

/* A size that can be split to pages in reasonable time. */
static uint64_t middle_size(void)
{
	unsigned k = 0;

	while (k + 1 < b.large && size_at(k + 1) / PAGE <= 8192) {
		k++;
	}
	return size_at(k);
}

ON_EVERY_MACHINE(dirty_by_page)
{
	uint64_t size = middle_size();
	uint64_t len = size + 8 * PAGE;
	char *before;
	char *after;

	map(b.home, hpa_at(size, 1), len);
	settle();
	before = dump_text();
	start(b.home, len, S2_DIRTY_SPLIT);
	expect_size(b.home, PAGE);
	must_eq(leaves(), len / PAGE);
	collect(b.home, len, true);
	must_eq(told_count, 0);
	guest_must(b.home + 5, MACHINE_WRITE);
	guest_must(b.home + size, MACHINE_WRITE);
	guest_must(b.home + size + PAGE, MACHINE_WRITE);
	guest_must(b.home + size + 2 * PAGE, MACHINE_READ);
	guest_must(b.home + len - 1, MACHINE_WRITE);
	collect(b.home, len, true);
	must_eq(told_count, size == PAGE ? 2 : 3);
	if (size > PAGE) {
		expect_told(0, b.home, PAGE);
	}
	expect_told(told_count - 2, b.home + size - (size == PAGE ? PAGE : 0),
		    (size == PAGE ? 3 : 2) * PAGE);
	expect_told(told_count - 1, b.home + len - PAGE, PAGE);
	load(b.home, len);
	must_do(s2_dirty_stop(&b.s, range_at(b.home, len), b.size[b.large - 1], &b.g, NULL));
	settle();
	after = dump_text();
	must(strcmp(before, after) == 0);
	free(before);
	free(after);
}

/* After the end of it, writes need nobody. */
ON_EVERY_MACHINE(dirty_stop_makes_writes_fast)
{
	uint64_t large = large_size();
	unsigned touched;

	map(b.home, hpa_at(large, 1), large);
	must_do(try_map(b.home + large, hpa_at(PAGE, 1), PAGE, S2_RX, S2_MEM_NORMAL));
	settle();
	start(b.home, large + PAGE, S2_DIRTY_KEEP);
	load(b.home, large + PAGE);
	must_do(s2_dirty_stop(&b.s, range_at(b.home, large + PAGE), 0, &b.g, NULL));
	settle();
	b.m.stats.marks_dirty = 0;
	must(guest(b.home, MACHINE_WRITE, &touched));
	must_eq(touched, 0);
	must_eq(b.m.stats.marks_dirty, 0);
	expect_marks(b.home, true, true);
	/* Of those that are not writable nothing is said. */
	expect_marks(b.home + large, true, false);
}

ON_EVERY_MACHINE(dirty_at_the_ends)
{
	for (unsigned k = 1; k < b.large; k++) {
		uint64_t size = size_at(k);

		map_as(b.home, hpa_at(size, 1), 2 * size, k);
		settle();
		/* Parts of leaves: told as far as they are in the range, and not cleared. */
		collect(b.home + PAGE, 2 * size - 2 * PAGE, true);
		must_eq(told_count, 1);
		expect_told(0, b.home + PAGE, 2 * size - 2 * PAGE);
		expect_marks(b.home, true, true);
		expect_marks(b.home + size, true, true);
		collect(b.home, 2 * size - PAGE, true);
		expect_told(0, b.home, 2 * size - PAGE);
		expect_marks(b.home, true, false);
		expect_marks(b.home + size, true, true);
		must_do(s2_dirty_clear(&b.s, range_at(b.home + PAGE, 2 * size - PAGE), &b.g));
		settle();
		expect_marks(b.home + size, true, false);
		guest_must(b.home + size / 2, MACHINE_WRITE);
		must_do(s2_dirty_clear(&b.s, range_at(b.home, size - PAGE), &b.g));
		settle();
		expect_marks(b.home, true, true);
		must_do(s2_dirty_clear(&b.s, range_at(b.home, size), &b.g));
		settle();
		expect_marks(b.home, true, false);
		unmap_all();
	}
}

/* What was written stays told when the right to write is taken away. */
ON_EVERY_MACHINE(dirty_outlives_the_right)
{
	uint64_t large = large_size();
	struct s2_range range = range_at(b.home, large);
	unsigned touched;

	map(b.home, hpa_at(large, 1), large);
	settle();
	start(b.home, large, S2_DIRTY_KEEP);
	guest_must(b.home, MACHINE_WRITE);
	load(b.home, large);
	must_do(s2_protect(&b.s, range, S2_RX, &b.g, NULL));
	settle();
	must(!guest(b.home, MACHINE_WRITE, &touched));
	expect_marks(b.home, true, true);
	collect(b.home, large, true);
	must_eq(told_count, 1);
	must_do(s2_protect(&b.s, range, S2_RWX, &b.g, NULL));
	settle();
	collect(b.home, large, true);
	must_eq(told_count, 0);
	guest_must(b.home, MACHINE_WRITE);
	collect(b.home, large, true);
	must_eq(told_count, 1);
}

ON_EVERY_MACHINE(real_faults_stay_faults)
{
	unsigned touched;

	must(!guest(b.home, MACHINE_READ, &touched));
	must(!guest(b.home, MACHINE_WRITE, &touched));
	must_do(try_map(b.home, hpa_at(PAGE, 1), PAGE, S2_RX, S2_MEM_NORMAL));
	settle();
	must(!guest(b.home, MACHINE_WRITE, &touched));
	must_err(s2_touch(&b.s, s2_gpa(b.home), true, &b.g), S2_ERR_ABSENT);
	must_do(s2_touch(&b.s, s2_gpa(b.home), false, &b.g));
}

/* A write marks the whole entry, any of its items; a read that is answered does not make it dirty. */
ON_EVERY_MACHINE(touch)
{
	for (unsigned k = 0; k < b.large; k++) {
		uint64_t size = size_at(k);

		map_as(b.home, hpa_at(size, 1), size, k);
		start(b.home, size, S2_DIRTY_KEEP);
		if (keeps_accessed()) {
			expect_young(b.home, size, size);
		}
		load(b.home, size);
		must_do(s2_touch(&b.s, s2_gpa(b.home + size - 1), false, &b.g));
		settle();
		expect_marks(b.home, true, false);
		must_do(s2_touch(&b.s, s2_gpa(b.home + size - 1), true, &b.g));
		settle();
		expect_marks(b.home, true, true);
		expect_marks(b.home + size - 1, true, true);
		unmap_all();
	}
}

/* Many writes to leaves of all sizes, against what the leaves are. */
#define STRETCH_MAX 32u

ON_EVERY_MACHINE(rounds)
{
	uint64_t size = middle_size();
	uint64_t len = 4 * size;
	uint64_t x = 1;

	map(b.home, hpa_at(size, 1), len);
	if (b.large > 1) {
		must_do(s2_split(&b.s, range_at(b.home + size, size), b.size[0], &b.g, NULL));
		must_do(s2_split(&b.s, range_at(b.home + 3 * size, size), b.size[1], &b.g, NULL));
	}
	settle();
	start(b.home, len, S2_DIRTY_KEEP);
	for (unsigned round = 0; round < 4; round++) {
		uint64_t written[STRETCH_MAX];
		unsigned count = 0;

		while (count < 12) {
			x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
			written[count] = b.home + (x >> 20) % len;
			guest_must(written[count++], MACHINE_WRITE);
		}
		collect(b.home, len, true);
		/* All that was written to is told, and all that is told was: some leaf in it. */
		for (unsigned i = 0; i < count; i++) {
			bool found = false;

			for (unsigned j = 0; j < told_count; j++) {
				found = found || written[i] - told[j].start.val < told[j].len;
			}
			must(found);
		}
		for (unsigned j = 0; j < told_count; j++) {
			uint64_t gpa = told[j].start.val;

			while (gpa - told[j].start.val < told[j].len) {
				bool found = false;
				struct s2_leaf leaf;

				must_do(s2_query(&b.s, s2_gpa(gpa), &leaf));
				must_eq(leaf.range.start.val, gpa);
				must(!leaf.dirty);
				for (unsigned i = 0; i < count; i++) {
					found = found || written[i] - gpa < leaf.range.len;
				}
				must(found);
				gpa += leaf.range.len;
			}
			must_eq(gpa, told[j].start.val + told[j].len);
		}
	}
}

TCase *case_marks(void)
{
	TCase *tcase = tcase_create("marks");

	ADD(tcase, fresh_leaves_are_accessed_and_dirty);
	ADD(tcase, age_and_access);
	ADD(tcase, age_of_a_part);
	ADD(tcase, marks_outlive_changes);
	ADD(tcase, collapse_joins_marks);
	ADD(tcase, dirty_by_leaf);
	ADD(tcase, dirty_by_page);
	ADD(tcase, dirty_stop_makes_writes_fast);
	ADD(tcase, dirty_at_the_ends);
	ADD(tcase, dirty_outlives_the_right);
	ADD(tcase, real_faults_stay_faults);
	ADD(tcase, touch);
	ADD(tcase, rounds);
	return tcase;
}
