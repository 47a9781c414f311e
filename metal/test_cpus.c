/* SPDX-License-Identifier: BSD-2-Clause */
/* A change that processor 0 makes is seen by a guest that is running on processor 1. */
#include "metal.h"

#define SIZE UINT64_C(0x400000)

/* Long enough for the other guest to have read the word many times. */
static void let_it_poll(void)
{
	for (unsigned i = 0; i < 20000; i++) {
		machine_relax();
	}
}

/* Processor 1 polls the word of page 3; whoever calls changes something. */
static bool open_polling(struct world *w, const struct machine_space *kind, uint64_t leaf_sizes,
			 void *host)
{
	if (!other_start()) {
		test_skip("there is no second processor");
		return false;
	}
	world_open(w, kind, leaf_sizes);
	world_map(w, TEST_GPA, host, SIZE, S2_RWX);
	world_sync(w);
	other_load(w);
	other_run(guest_poll, TEST_GPA + 3 * PAGE + PATTERN_AT, pattern(1, 3));
	let_it_poll();
	return true;
}

static void close_polling(struct world *w)
{
	other_load(NULL);
	world_close(w);
}

static void check_unmap(const struct machine_space *kind, uint64_t leaf_sizes)
{
	void *host = pattern_alloc(SIZE, 1);
	struct guest_exit e;
	struct world w;

	if (open_polling(&w, kind, leaf_sizes, host)) {
		world_unmap(&w, TEST_GPA, SIZE);
		world_sync(&w);
		/* Had it still read this, it would not fault. */
		*(uint64_t *)(void *)((char *)host + 3 * PAGE + PATTERN_AT) = 0;
		other_wait(&e);
		CHECK(e.kind == EXIT_FAULT && e.gpa / PAGE == TEST_GPA / PAGE + 3);
		close_polling(&w);
	}
	memory_free(host, SIZE);
}

static void cpu_unmap(const struct machine_space *kind)
{
	check_unmap(kind, 0);
}

/* Of pages: their tables go, too. */
static void cpu_unlink(const struct machine_space *kind)
{
	check_unmap(kind, PAGE);
}

/* The page is exchanged under the guest; it may notice that nothing was there for a moment. */
static void cpu_remap(const struct machine_space *kind)
{
	char *host = pattern_alloc(SIZE, 1);
	char *other = pattern_alloc(PAGE, 2);
	struct guest_exit e;
	struct world w;

	if (open_polling(&w, kind, 0, host)) {
		world_unmap(&w, TEST_GPA + 3 * PAGE, PAGE);
		world_sync(&w);
		world_map(&w, TEST_GPA + 3 * PAGE, other, PAGE, S2_RWX);
		world_sync(&w);
		other_wait(&e);
		if (e.kind == EXIT_FAULT) {
			other_run(guest_poll, TEST_GPA + 3 * PAGE + PATTERN_AT, pattern(1, 3));
			other_wait(&e);
		}
		CHECK(e.kind == EXIT_CALL && e.call[1] == pattern(2, 0));
		close_polling(&w);
	}
	memory_free(other, PAGE);
	memory_free(host, SIZE);
}

/* It has written to the page; then it must not. */
static void cpu_protect(const struct machine_space *kind)
{
	void *host = pattern_alloc(SIZE, 1);
	struct guest_exit e;
	struct world w;

	if (open_polling(&w, kind, 0, host)) {
		*(volatile uint64_t *)(void *)((char *)host + 3 * PAGE + PATTERN_AT) = 1;
		other_wait(&e);
		CHECK(e.kind == EXIT_CALL && e.call[1] == 1);
		other_run(guest_write, TEST_GPA + 3 * PAGE, 5);
		other_wait(&e);
		CHECK(e.kind == EXIT_CALL);
		world_protect(&w, TEST_GPA + 3 * PAGE, PAGE, S2_RX);
		world_sync(&w);
		other_run(guest_write, TEST_GPA + 3 * PAGE, 6);
		other_wait(&e);
		CHECK(e.kind == EXIT_FAULT && e.gpa / PAGE == TEST_GPA / PAGE + 3);
		CHECK(*(uint64_t *)(void *)((char *)host + 3 * PAGE) == 5);
		close_polling(&w);
	}
	memory_free(host, SIZE);
}

static void check_write(uint64_t page, bool good)
{
	struct guest_exit e;

	other_run(guest_write, TEST_GPA + page * PAGE, 5);
	other_wait(&e);
	CHECK(e.kind == (good ? EXIT_CALL : EXIT_FAULT));
	CHECK(good || (e.gpa / PAGE == TEST_GPA / PAGE + page && e.access == S2_WRITE));
}

/*
 * All pages again and again, under a guest that goes on reading. Where machines purge, it may find that
 * its page is invalid for a moment, and tries again.
 */
static void cpu_protect_all(const struct machine_space *kind)
{
	void *host = pattern_alloc(SIZE, 1);
	struct guest_exit e;
	struct world w;

	if (open_polling(&w, kind, PAGE, host)) {
		for (unsigned i = 0; i < 20; i++) {
			world_protect(&w, TEST_GPA, SIZE, i % 2 == 0 ? S2_RX : S2_RWX);
			world_sync(&w);
		}
		*(volatile uint64_t *)(void *)((char *)host + 3 * PAGE + PATTERN_AT) = 1;
		other_wait(&e);
		if (e.kind == EXIT_FAULT && machine.mmu->invalidate != NULL) {
			other_run(guest_poll, TEST_GPA + 3 * PAGE + PATTERN_AT, pattern(1, 3));
			other_wait(&e);
		}
		CHECK(e.kind == EXIT_CALL && e.call[1] == 1);
		for (uint64_t page = 0; page < SIZE / PAGE; page += 51) {
			check_write(page, true);
		}
		world_protect(&w, TEST_GPA, SIZE, S2_RX);
		world_sync(&w);
		for (uint64_t page = 0; page < SIZE / PAGE; page += 51) {
			check_write(page, false);
		}
		close_polling(&w);
	}
	memory_free(host, SIZE);
}

/* Leaves are split and made whole again under a guest that goes on reading. */
static void cpu_split(const struct machine_space *kind)
{
	const struct s2_range all = s2_range(s2_gpa(TEST_GPA), SIZE);
	void *host = pattern_alloc(SIZE, 1);
	struct guest_exit e;
	struct world w;

	if (open_polling(&w, kind, 0, host)) {
		for (unsigned i = 0; i < 20; i++) {
			CHECK(s2_split(&w.space, all, S2_PAGE_LG2, &w.gather, NULL) == S2_OK);
			world_sync(&w);
			CHECK(s2_collapse_all(&w.space, all, largest_leaf(&w, SIZE), &w.gather,
					      NULL) == S2_OK);
			world_sync(&w);
		}
		*(volatile uint64_t *)(void *)((char *)host + 3 * PAGE + PATTERN_AT) = 77;
		other_wait(&e);
		CHECK(e.kind == EXIT_CALL && e.call[1] == 77);
		close_polling(&w);
	}
	memory_free(host, SIZE);
}

const struct test cpu_tests[] = {
	{"cpu-unmap", cpu_unmap, false},
	{"cpu-unlink", cpu_unlink, false},
	{"cpu-remap", cpu_remap, false},
	{"cpu-protect", cpu_protect, false},
	{"cpu-protect-all", cpu_protect_all, false},
	{"cpu-split", cpu_split, false},
	{NULL, NULL, false},
};
