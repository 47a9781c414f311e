/* SPDX-License-Identifier: BSD-2-Clause */
/* The generated workloads. A flat array of pages, one word each, is the guest that carries them out. */
#include <inttypes.h>
#include <stage2/run.h>
#include <string.h>

#include "check_main.h"
#include "log.h"
#include "test_files.h"
#include "workload.h"

#define PAGE S2_PAGE_SIZE
#define M1 (UINT64_C(1) << 20)
#define RAM UINT64_C(0x80000000)
#define LEN (64 * M1)
#define SEEDS 200
#define KNOWN_HASH UINT64_C(0xa4e7ac0976b69fb0)

static const char *const generated[] = {"ring", "bounce", "sparse"};

static struct workload make(const char *name, uint64_t ram, uint64_t len, uint64_t seed)
{
	const struct workload_input input = {.ram = s2_range(s2_gpa(ram), len), .seed = seed};
	struct workload workload;

	ck_assert_int_eq(workload_make(&workload, name, &input), 0);
	ck_assert_uint_gt(workload.count, 0);
	return workload;
}

/* Do both ask for the same, up to where RAM starts? */
static bool same(const struct workload *a, const struct workload *b, uint64_t distance)
{
	if (a->count != b->count) {
		return false;
	}
	for (size_t i = 0; i < a->count; i++) {
		if (a->step[i].move != b->step[i].move ||
		    a->step[i].range.start.val + distance != b->step[i].range.start.val ||
		    a->step[i].range.len != b->step[i].range.len) {
			return false;
		}
	}
	return true;
}

START_TEST(names)
{
	static const char *const want[] = {"trace", "ring", "bounce", "sparse"};
	size_t count = 0;

	while (workload_names[count]) {
		ck_assert_uint_lt(count, 4);
		ck_assert_str_eq(workload_names[count], want[count]);
		count++;
	}
	ck_assert_uint_eq(count, 4);
}
END_TEST

START_TEST(repeatable)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct workload a = make(generated[_i], RAM, LEN, seed);
		struct workload b = make(generated[_i], RAM, LEN, seed);
		struct workload more = make(generated[_i], RAM, 2 * LEN, seed);
		struct workload moved = make(generated[_i], 4 * RAM, LEN, seed);
		struct workload other = make(generated[_i], RAM, LEN, seed + 1);

		ck_assert(same(&a, &b, 0));
		ck_assert(same(&a, &more, 0)); /* more memory asks for the same */
		ck_assert(same(&a, &moved, 3 * RAM));
		ck_assert(!same(&a, &other, 0));
		workload_free(&a);
		workload_free(&b);
		workload_free(&more);
		workload_free(&moved);
		workload_free(&other);
	}
}
END_TEST

/* The same on every machine: the first requests of seed 1, written down. */
START_TEST(known)
{
	struct workload a = make("ring", RAM, LEN, 1);
	uint64_t hash = 0;

	for (size_t i = 0; i < a.count; i++) {
		hash = hash * 31 + a.step[i].range.start.val / PAGE * 8 +
		       a.step[i].range.len / PAGE * 2 + (a.step[i].move == S2_SHARE);
	}
	ck_assert_uint_eq(a.count, 60);
	ck_assert_msg(hash == KNOWN_HASH, "hash 0x%" PRIx64, hash);
	workload_free(&a);
}
END_TEST

/* The guest: which request shared a page, plus one; 0 is secure. */
static size_t owner[LEN / PAGE];

/* Carries a request out, and checks what must hold for every workload. */
static void apply(const struct workload *workload, size_t index)
{
	const struct step *step = &workload->step[index];
	const uint64_t first = (step->range.start.val - RAM) / PAGE;
	const uint64_t count = step->range.len / PAGE;
	size_t by = 0;

	/* Not with ck_assert, which writes a file each time and would be most of the run time. */
	if (s2_range_check(step->range) || step->range.start.val < RAM + WORKLOAD_RESERVED ||
	    s2_range_last(step->range).val > RAM + LEN - 1 ||
	    (step->move != S2_SHARE && step->move != S2_UNSHARE)) {
		ck_abort_msg("request %zu is no share or unshare in RAM", index);
	}
	for (uint64_t i = first; i < first + count; i++) {
		if (step->move == S2_SHARE ? owner[i] != 0 : !owner[i] || (by && owner[i] != by)) {
			ck_abort_msg("request %zu finds page %" PRIu64 " amiss", index, i);
		}
		by = owner[i];
		owner[i] = step->move == S2_SHARE ? index + 1 : 0;
	}
	/* What is given back is what was shared: all of it, at once. */
	if (by && (workload->step[by - 1].range.start.val != step->range.start.val ||
		   workload->step[by - 1].range.len != step->range.len)) {
		ck_abort_msg("request %zu is not what request %zu shared", index, by - 1);
	}
}

struct tally {
	size_t shares, unshares;
	size_t live, live_peak;
	size_t by_pages[32]; /* shares, by number of pages */
};

static struct tally run(const char *name, uint64_t seed)
{
	struct workload workload = make(name, RAM, LEN, seed);
	struct tally tally = {0};

	memset(owner, 0, sizeof(owner));
	for (size_t i = 0; i < workload.count; i++) {
		const bool share = workload.step[i].move == S2_SHARE;
		const uint64_t pages = workload.step[i].range.len / PAGE;

		apply(&workload, i);
		if (pages >= 32 ||
		    (!strcmp(name, "bounce") && workload.step[i].range.start.val % 0x10000 != 0)) {
			ck_abort_msg("request %zu has %" PRIu64 " pages, or is not aligned", i,
				     pages);
		}
		tally.shares += share;
		tally.unshares += !share;
		tally.by_pages[pages] += share;
		tally.live = tally.shares - tally.unshares;
		tally.live_peak = tally.live > tally.live_peak ? tally.live : tally.live_peak;
	}
	workload_free(&workload);
	ck_assert_ptr_null(workload.step);
	return tally;
}

/* Twelve queues of two or three pages; each is unshared and shared again, in turn. */
START_TEST(ring)
{
	size_t two = 0, three = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		const struct tally tally = run("ring", seed);

		ck_assert_uint_eq(tally.by_pages[2] + tally.by_pages[3], tally.shares);
		ck_assert_uint_eq(tally.live, 12);
		ck_assert_uint_eq(tally.live_peak, 12);
		ck_assert_uint_gt(tally.unshares, 0);
		two += tally.by_pages[2];
		three += tally.by_pages[3];
	}
	/* Both kinds are common: neither less than a third of the other. */
	ck_assert_uint_gt(3 * two, three);
	ck_assert_uint_gt(3 * three, two);
}
END_TEST

/* After the first sharing, every unshare of a queue is followed by its share: at once. */
START_TEST(ring_alternates)
{
	size_t again = 0, elsewhere = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct workload workload = make("ring", RAM, LEN, seed);

		for (size_t i = 0; i < workload.count; i++) {
			const struct step *step = &workload.step[i];
			const bool unshare = i >= 12 && i % 2 == 0;

			if (step->move != (unshare ? S2_UNSHARE : S2_SHARE) ||
			    (i > 12 && !unshare && step->range.len != step[-1].range.len)) {
				ck_abort_msg("request %zu is out of turn", i);
			}
			if (i > 12 && !unshare &&
			    step->range.start.val == step[-1].range.start.val) {
				again++;
			} else if (i > 12 && !unshare) {
				elsewhere++;
			}
		}
		workload_free(&workload);
	}
	/* Four times out of five in the same place, says the comment. */
	ck_assert_uint_gt(again, 3 * elsewhere);
	ck_assert_uint_lt(again, 5 * elsewhere);
}
END_TEST

START_TEST(bounce)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		const struct tally tally = run("bounce", seed);

		ck_assert_uint_eq(tally.by_pages[16], tally.shares);
		ck_assert_uint_eq(tally.shares, 48);
		ck_assert_uint_eq(tally.live_peak, 8);
	}
}
END_TEST

START_TEST(sparse)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		const struct tally tally = run("sparse", seed);

		ck_assert_uint_eq(tally.by_pages[1], tally.shares);
		ck_assert_uint_eq(tally.shares, 96);
		ck_assert_uint_eq(tally.unshares, 48);
		ck_assert_uint_eq(tally.live_peak, 96);
	}
}
END_TEST

START_TEST(little_memory)
{
	static const uint64_t len[] = {PAGE, 2 * M1, 16 * M1, 24 * M1 - PAGE};
	char want[128];

	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		const struct workload_input input = {.ram = s2_range(s2_gpa(RAM), len[i])};
		struct workload workload;

		test_stderr_begin();
		ck_assert_int_eq(workload_make(&workload, generated[_i], &input), EXIT_CODE_USAGE);
		snprintf(want, sizeof(want),
			 "stage2: workload '%s' needs at least 24M of --memory\n", generated[_i]);
		ck_assert_str_eq(test_stderr_end(), want);
		ck_assert_ptr_null(workload.step);
		ck_assert_uint_eq(workload.count, 0);
	}
	/* What the line asks for is enough. */
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct workload workload = make(generated[_i], RAM, 24 * M1, seed);

		for (size_t i = 0; i < workload.count; i++) {
			if (s2_range_last(workload.step[i].range).val > RAM + 24 * M1 - 1) {
				ck_abort_msg("request %zu is not in RAM", i);
			}
		}
		workload_free(&workload);
	}
}
END_TEST

START_TEST(add)
{
	struct workload workload = {0};

	for (uint64_t i = 0; i < 1000; i++) {
		ck_assert_int_eq(workload_add(&workload, i % 2 ? S2_UNSHARE : S2_SHARE,
					      s2_range(s2_gpa(i * PAGE), PAGE * (i + 1))),
				 0);
	}
	ck_assert_uint_eq(workload.count, 1000);
	for (uint64_t i = 0; i < 1000; i++) {
		ck_assert_int_eq(workload.step[i].move, i % 2 ? S2_UNSHARE : S2_SHARE);
		ck_assert_uint_eq(workload.step[i].range.start.val, i * PAGE);
		ck_assert_uint_eq(workload.step[i].range.len, PAGE * (i + 1));
	}
	workload_free(&workload);
	workload_free(&workload); /* twice does no harm */
	ck_assert_uint_eq(workload.count, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("workload");
	TCase *tcase = tcase_create("workload");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, names);
	tcase_add_loop_test(tcase, repeatable, 0, 3);
	tcase_add_test(tcase, known);
	tcase_add_test(tcase, ring);
	tcase_add_test(tcase, ring_alternates);
	tcase_add_test(tcase, bounce);
	tcase_add_test(tcase, sparse);
	tcase_add_loop_test(tcase, little_memory, 0, 3);
	tcase_add_test(tcase, add);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
