/* SPDX-License-Identifier: BSD-2-Clause */
/* The shape of memory, with runs and states made by hand, and at random against a naive count. */
#include <inttypes.h>
#include <string.h>

#include "check_main.h"
#include "flat.h"
#include "memory.h"
#include "shape.h"
#include "workload.h"

#define PAGE S2_PAGE_SIZE
#define K64 (UINT64_C(64) << 10)
#define M2 (UINT64_C(2) << 20)
#define RAM UINT64_C(0x80000000)
#define LEN (16 * M2)
#define PAGES (LEN / PAGE)
#define ALL (PAGE | K64 | M2)

static struct s2_track track;

static void setup(void)
{
	const struct s2_range all = s2_range(s2_gpa(RAM), LEN);

	ck_assert_int_eq(s2_track_init(&track, &memory_env, all), S2_OK);
	ck_assert_int_eq(s2_track_move(&track, all, S2_DONATE, false), S2_OK);
}

static void teardown(void)
{
	s2_track_fini(&track);
}

static void share(uint64_t offset, uint64_t len, bool widened)
{
	ck_assert_int_eq(
		s2_track_move(&track, s2_range(s2_gpa(RAM + offset), len), S2_SHARE, widened),
		S2_OK);
}

/* What shape_measure() fills, starting from zero. */
struct shape {
	struct report_counted counted;
	struct report_modelled modelled;
};

static struct shape measure(struct s2_run *runs, size_t count, uint64_t sizes)
{
	const struct ram ram = {.gpa = s2_gpa(RAM), .len = LEN, .run = runs, .run_count = count};
	struct shape shape;

	memset(&shape, 0, sizeof(shape));
	shape_measure(&ram, &track, sizes, &shape.counted, &shape.modelled);
	return shape;
}

static void expect(const struct shape *shape, uint64_t whole, uint64_t mixed, uint64_t holes,
		   uint64_t hole_pages)
{
	ck_assert_uint_eq(shape->counted.folios_whole, whole);
	ck_assert_uint_eq(shape->counted.folios_mixed, mixed);
	ck_assert_uint_eq(shape->counted.holes, holes);
	ck_assert_uint_eq(shape->counted.hole_pages, hole_pages);
}

static void expect_leaves(const struct report_leaves *leaves, uint64_t p4k, uint64_t p64k,
			  uint64_t p2m)
{
	ck_assert_uint_eq(leaves->count[12], p4k);
	ck_assert_uint_eq(leaves->count[16], p64k);
	ck_assert_uint_eq(leaves->count[21], p2m);
}

/* A folio of 2 MiB at an offset, as the host would give it. */
static struct s2_run huge(uint64_t offset)
{
	return (struct s2_run){s2_gpa(RAM + offset), s2_hpa(64 * M2 + offset), M2, 9};
}

START_TEST(untouched)
{
	struct s2_run runs[] = {huge(M2), huge(2 * M2)};
	struct shape shape = measure(runs, 2, ALL);

	expect(&shape, 2, 0, 0, 0);
	expect_leaves(&shape.modelled.before, 0, 0, 2);
	expect_leaves(&shape.modelled.after, 0, 0, 2);
	shape = measure(runs, 2, PAGE);
	expect_leaves(&shape.modelled.after, 1024, 0, 0);
	shape = measure(NULL, 0, ALL);
	expect(&shape, 0, 0, 0, 0);
	expect_leaves(&shape.modelled.before, 0, 0, 0);
}
END_TEST

START_TEST(one_page)
{
	struct s2_run runs[] = {huge(M2), huge(2 * M2)};
	struct shape shape;

	share(M2 + 100 * PAGE, PAGE, false);
	shape = measure(runs, 2, ALL);
	expect(&shape, 1, 1, 1, 1);
	expect_leaves(&shape.modelled.before, 0, 0, 2);
	/* 31 of the 32 stretches of 64 KiB are left; the last is in pages. */
	expect_leaves(&shape.modelled.after, 16, 31, 1);
}
END_TEST

START_TEST(all_shared)
{
	struct s2_run runs[] = {huge(M2), huge(2 * M2)};
	struct shape shape;

	share(M2, M2, false); /* shared as a whole is whole: no holes */
	shape = measure(runs, 2, ALL);
	expect(&shape, 2, 0, 0, 0);
	expect_leaves(&shape.modelled.after, 0, 0, 2);
}
END_TEST

START_TEST(across_folios)
{
	struct s2_run runs[] = {huge(M2), huge(2 * M2), huge(3 * M2)};
	struct shape shape;

	share(2 * M2 - K64, M2 + 2 * K64, false); /* the end, a whole folio, the start */
	shape = measure(runs, 3, ALL);
	expect(&shape, 1, 2, 2, 32);
	expect_leaves(&shape.modelled.after, 0, 64, 1);
}
END_TEST

/* Asked for or widened, a hole is one hole: the host's view is the same. */
START_TEST(widened_neighbours)
{
	struct s2_run runs[] = {huge(M2)};
	struct shape shape;

	share(M2, PAGE, true);
	share(M2 + PAGE, 2 * PAGE, false);
	share(M2 + 3 * PAGE, 13 * PAGE, true);
	share(2 * M2 - PAGE, PAGE, true);
	shape = measure(runs, 1, ALL);
	expect(&shape, 0, 1, 2, 17);
	expect_leaves(&shape.modelled.after, 16, 31, 0);
}
END_TEST

/* What begins in the payload's own part is left out, whatever its state, with all of its folio. */
START_TEST(reserved)
{
	struct s2_run runs[] = {
		{s2_gpa(RAM), s2_hpa(64 * M2), PAGE, 0},
		{s2_gpa(RAM + M2 - PAGE), s2_hpa(128 * M2), PAGE, 0},
		{s2_gpa(RAM + M2), s2_hpa(256 * M2), PAGE, 0},
	};
	struct s2_run large = {s2_gpa(RAM), s2_hpa(64 * M2), 2 * M2, 10};
	struct shape shape;

	share(0, PAGE, false);
	share(M2 - PAGE, 2 * PAGE, false);
	shape = measure(runs, 3, ALL);
	expect(&shape, 1, 0, 0, 0);
	expect_leaves(&shape.modelled.before, 1, 0, 0);
	expect_leaves(&shape.modelled.after, 1, 0, 0);
	shape = measure(&large, 1, ALL);
	expect(&shape, 0, 0, 0, 0);
	expect_leaves(&shape.modelled.before, 0, 0, 0);
}
END_TEST

/* Results are added to what is there. */
START_TEST(adds)
{
	struct s2_run runs[] = {huge(M2)};
	const struct ram ram = {.gpa = s2_gpa(RAM), .len = LEN, .run = runs, .run_count = 1};
	struct report_modelled modelled;
	struct report_counted counted;

	memset(&modelled, 0, sizeof(modelled));
	memset(&counted, 0, sizeof(counted));
	counted.steps = 5;
	shape_measure(&ram, &track, ALL, &counted, &modelled);
	ck_assert_uint_eq(counted.steps, 5); /* the others are not touched */
	ck_assert_uint_eq(counted.pages_converted, 0);
	ck_assert_uint_eq(counted.folios_whole, 1);
}
END_TEST

static bool is_shared(uint64_t gpa)
{
	struct s2_page page;

	if (s2_track_get(&track, s2_gpa(gpa), &page)) {
		ck_abort_msg("0x%" PRIx64 " is not in the tracker", gpa);
	}
	return page.state == S2_SHARED;
}

/* Leaves of one run, one after the other; a leaf's pages are all of one kind if by_state. */
static void naive_leaves(const struct s2_run *run, uint64_t sizes, bool by_state,
			 struct report_leaves *out)
{
	uint64_t at = 0;

	while (at < run->len) {
		unsigned int best = 12;

		for (unsigned int lg2 = 13; lg2 < 30; lg2++) {
			const uint64_t size = UINT64_C(1) << lg2;
			bool fits = (sizes & size) && size <= run->len - at &&
				    (run->gpa.val + at) % size == 0 &&
				    (run->hpa.val + at) % size == 0;

			for (uint64_t i = PAGE; fits && by_state && i < size; i += PAGE) {
				fits = is_shared(run->gpa.val + at) ==
				       is_shared(run->gpa.val + at + i);
			}
			best = fits ? lg2 : best;
		}
		out->count[best]++;
		at += UINT64_C(1) << best;
	}
}

static void naive_run(const struct s2_run *run, struct report_counted *counted)
{
	uint64_t shared = 0, holes = 0;
	bool before = false;

	for (uint64_t at = 0; at < run->len; at += PAGE) {
		const bool now = is_shared(run->gpa.val + at);

		holes += now && !before;
		shared += now;
		before = now;
	}
	if (shared == 0 || shared == run->len / PAGE) {
		counted->folios_whole++;
		return;
	}
	counted->folios_mixed++;
	counted->holes += holes;
	counted->hole_pages += shared;
}

/* Cuts RAM into runs of random folios, some of them skewed, some missing. */
static size_t random_runs(struct s2_run *runs)
{
	uint64_t at = 0, frame = 1 << 20;
	size_t count = 0;

	while (at < PAGES) {
		const uint8_t order = (uint8_t)(flat_below(4) ? flat_below(12) : 9);
		const uint64_t folio = UINT64_C(1) << order;
		uint64_t skip = flat_below(4) ? at % folio : flat_below((unsigned)folio);
		uint64_t len =
			flat_below(4) ? folio - skip : 1 + flat_below((unsigned)(folio - skip));

		len = len < PAGES - at ? len : PAGES - at;
		frame = (frame + 2 * folio) & ~(folio - 1);
		if (flat_below(8)) {
			runs[count] =
				(struct s2_run){s2_gpa(RAM + at * PAGE),
						s2_hpa((frame + skip) * PAGE), len * PAGE, order};
			ck_assert_int_eq(s2_run_check(&runs[count]), S2_OK);
			count++;
		}
		at += len;
	}
	return count;
}

static void random_states(void)
{
	static const unsigned int most[] = {1, 4, 16, 600, 1500};
	const unsigned int rounds = 1 + flat_below(60);

	for (unsigned int i = 0; i < rounds; i++) {
		const unsigned int len = 1 + flat_below(most[flat_below(5)]);
		const unsigned int at = flat_below((unsigned)PAGES - len);
		const struct s2_range range = s2_range(s2_gpa(RAM + at * PAGE), len * PAGE);

		if (flat_below(4)) {
			(void)!s2_track_move(&track, range, S2_SHARE, flat_below(2));
		} else {
			(void)!s2_track_move(&track, range, S2_UNSHARE, false);
		}
	}
	if (flat_below(8) == 0) {
		(void)!s2_track_begin(&track, s2_range(s2_gpa(RAM + 4 * M2), K64), S2_UNSHARE,
				      false);
	}
}

static uint64_t seed;

START_TEST(model)
{
	static const uint64_t masks[] = {PAGE, PAGE | M2, ALL, PAGE | 4 * PAGE | K64 | M2};
	static struct s2_run runs[PAGES];

	flat_random_state = seed + (uint64_t)_i * 977;
	for (int round = 0; round < 8; round++) {
		const uint64_t sizes = masks[flat_below(4)];
		struct shape got, want;
		size_t count;

		teardown();
		setup();
		random_states();
		count = random_runs(runs);
		memset(&want, 0, sizeof(want));
		for (size_t i = 0; i < count; i++) {
			if (runs[i].gpa.val < RAM + WORKLOAD_RESERVED) {
				continue;
			}
			naive_run(&runs[i], &want.counted);
			naive_leaves(&runs[i], sizes, false, &want.modelled.before);
			naive_leaves(&runs[i], sizes, true, &want.modelled.after);
		}
		got = measure(runs, count, sizes);
		ck_assert_mem_eq(&got.counted, &want.counted, sizeof(got.counted));
		ck_assert_mem_eq(&got.modelled, &want.modelled, sizeof(got.modelled));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shape");
	TCase *tcase = tcase_create("shape");

	seed = flat_seed();
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, untouched);
	tcase_add_test(tcase, one_page);
	tcase_add_test(tcase, all_shared);
	tcase_add_test(tcase, across_folios);
	tcase_add_test(tcase, widened_neighbours);
	tcase_add_test(tcase, reserved);
	tcase_add_test(tcase, adds);
	tcase_add_loop_test(tcase, model, 0, 8);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
