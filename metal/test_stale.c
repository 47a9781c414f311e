/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes take effect for a TLB that has the old entry: the guest touches, the tables change, the
 * guest touches again. Each on every size of leaf that 4 MiB can be made of.
 */
#include "metal.h"

#define SIZE UINT64_C(0x400000)
#define PAGES (SIZE / PAGE)

/* Two patterns of memory, the first of which is mapped at TEST_GPA and was read. */
struct scene {
	struct world w;
	uint64_t leaf;
	void *one;
	void *two;
};

#define ONE 1
#define TWO 2

static void scene_open(struct scene *s, const struct machine_space *kind, uint64_t leaf)
{
	s->leaf = leaf;
	s->one = pattern_alloc(SIZE, ONE);
	s->two = pattern_alloc(SIZE, TWO);
	world_open(&s->w, kind, 2 * leaf - 1);
	world_map(&s->w, TEST_GPA, s->one, SIZE, S2_RWX);
	world_sync(&s->w);
	CHECK(pattern_reads(&s->w, TEST_GPA, ONE, 0, PAGES));
}

static void scene_close(struct scene *s)
{
	world_close(&s->w);
	memory_free(s->two, SIZE);
	memory_free(s->one, SIZE);
}

/* One after the other, for each size of leaf. */
static void each_leaf(const struct machine_space *kind, void (*play)(struct scene *s))
{
	uint64_t sizes = kind_leaf_sizes(kind);

	for (uint64_t leaf = PAGE; leaf <= SIZE; leaf <<= 1) {
		if ((sizes & leaf) != 0) {
			struct scene s;

			scene_open(&s, kind, leaf);
			play(&s);
			if (test_has_failed() && args.mutant == 0) {
				print("# with leaves of %u KiB\n", (unsigned)(leaf >> 10));
			}
			scene_close(&s);
		}
	}
}

static bool gone(struct scene *s, uint64_t page)
{
	return guest_faults(&s->w, guest_read, TEST_GPA + page * PAGE + PATTERN_AT, S2_READ, false);
}

static void play_unmap(struct scene *s)
{
	world_unmap(&s->w, TEST_GPA, SIZE);
	world_sync(&s->w);
	for (uint64_t page = 0; page < PAGES; page += 37) {
		CHECK(gone(s, page));
	}
	CHECK(gone(s, PAGES - 1));
}

/* One page out of a leaf, at its start, inside, at its end: the rest stays. */
static void play_cut(struct scene *s)
{
	uint64_t pages = s->leaf / PAGE;
	const uint64_t cut[] = {0, pages / 2, 2 * pages - 1};

	for (size_t i = 0; i < 3; i++) {
		uint64_t page = cut[i] % PAGES;

		world_unmap(&s->w, TEST_GPA + page * PAGE, PAGE);
		world_sync(&s->w);
		CHECK(gone(s, page));
	}
	for (uint64_t page = 0; page < PAGES; page++) {
		if (page != cut[0] && page != cut[1] % PAGES && page != cut[2] % PAGES) {
			CHECK(pattern_reads(&s->w, TEST_GPA, ONE, page, 1));
		}
	}
}

/* More ranges than one gather keeps apart, paid by one sync. */
static void play_scattered(struct scene *s)
{
	for (uint64_t page = 3; page < PAGES; page += 61) {
		world_unmap(&s->w, TEST_GPA + page * PAGE, PAGE);
	}
	world_sync(&s->w);
	for (uint64_t page = 3; page < PAGES; page += 61) {
		CHECK(gone(s, page));
		CHECK(pattern_reads(&s->w, TEST_GPA, ONE, page - 1, 1));
		CHECK(pattern_reads(&s->w, TEST_GPA, ONE, page + 1, 1));
	}
}

static void play_protect(struct scene *s)
{
	uint64_t gpa = TEST_GPA + SIZE - s->leaf;

	CHECK(guest_returns(&s->w, guest_write, gpa, 7, 0));
	world_protect(&s->w, TEST_GPA, SIZE, S2_RX);
	world_sync(&s->w);
	CHECK(guest_faults(&s->w, guest_write, gpa, S2_WRITE, true));
	CHECK(pattern_reads(&s->w, TEST_GPA, ONE, 0, PAGES));
	world_protect(&s->w, TEST_GPA, SIZE, S2_RWX);
	world_sync(&s->w);
	CHECK(guest_returns(&s->w, guest_write, gpa, 8, 0));
}

/* One page of a leaf loses the right to write; its neighbours keep it. */
static void play_protect_page(struct scene *s)
{
	uint64_t page = s->leaf / PAGE - 1;
	uint64_t gpa = TEST_GPA + page * PAGE;

	CHECK(guest_returns(&s->w, guest_write, gpa, 7, 0));
	world_protect(&s->w, gpa, PAGE, S2_RX);
	world_sync(&s->w);
	CHECK(guest_faults(&s->w, guest_write, gpa, S2_WRITE, true));
	CHECK(pattern_reads(&s->w, TEST_GPA, ONE, 0, PAGES));
	for (uint64_t at = TEST_GPA; at < TEST_GPA + SIZE; at += PAGE) {
		if (at != gpa) {
			CHECK(guest_returns(&s->w, guest_write, at, 9, 0));
		}
	}
}

/* Other memory at the same place: unmap, sync, map. */
static void play_remap(struct scene *s)
{
	world_unmap(&s->w, TEST_GPA, SIZE);
	world_sync(&s->w);
	world_map(&s->w, TEST_GPA, s->two, SIZE, S2_RWX);
	world_sync(&s->w);
	CHECK(pattern_reads(&s->w, TEST_GPA, TWO, 0, PAGES));
}

/* The same without a sync in between: the library pays before it maps where the machine wants that. */
static void play_remap_at_once(struct scene *s)
{
	uint64_t half = s->leaf == SIZE ? SIZE : SIZE / 2;

	world_unmap(&s->w, TEST_GPA, half);
	world_map(&s->w, TEST_GPA, s->two, half, S2_RWX);
	world_sync(&s->w);
	CHECK(pattern_reads(&s->w, TEST_GPA, TWO, 0, half / PAGE));
	if (half < SIZE) {
		CHECK(pattern_reads(&s->w, TEST_GPA, ONE, half / PAGE, half / PAGE));
	}
}

/* Split: nothing changes for the guest; then single pages can go. */
static void play_split(struct scene *s)
{
	struct s2_range range = s2_range(s2_gpa(TEST_GPA), SIZE);

	CHECK(s2_split(&s->w.space, range, S2_PAGE_LG2, &s->w.gather, NULL) == S2_OK);
	world_sync(&s->w);
	CHECK(pattern_reads(&s->w, TEST_GPA, ONE, 0, PAGES));
	world_unmap(&s->w, TEST_GPA + PAGE, PAGE);
	world_sync(&s->w);
	world_map(&s->w, TEST_GPA + PAGE, (char *)s->two + PAGE, PAGE, S2_RWX);
	world_sync(&s->w);
	CHECK(pattern_reads(&s->w, TEST_GPA, ONE, 0, 1));
	CHECK(pattern_reads(&s->w, TEST_GPA, TWO, 1, 1));
	CHECK(pattern_reads(&s->w, TEST_GPA, ONE, 2, PAGES - 2));
}

/* Pages become a leaf again, while the guest has the pages; then the leaf goes. */
static void play_collapse(struct scene *s)
{
	struct s2_range range = s2_range(s2_gpa(TEST_GPA), SIZE);
	uint8_t lg2 = (uint8_t)__builtin_ctzll(s->leaf);

	CHECK(s2_split(&s->w.space, range, S2_PAGE_LG2, &s->w.gather, NULL) == S2_OK);
	world_sync(&s->w);
	CHECK(pattern_reads(&s->w, TEST_GPA, ONE, 0, PAGES));
	CHECK(s2_collapse_all(&s->w.space, range, lg2, &s->w.gather, NULL) == S2_OK);
	world_sync(&s->w);
	CHECK(pattern_reads(&s->w, TEST_GPA, ONE, 0, PAGES));
	play_remap(s);
}

/*
 * A table that was unlinked is not walked after its sync: it is freed and full of rubbish, and the
 * guest reads, besides what it has read before, a page for which nothing was cached but the way to it.
 */
static void play_unlink(struct scene *s)
{
	world_unmap(&s->w, TEST_GPA, SIZE);
	world_sync(&s->w);
	for (uint64_t page = 0; page < PAGES; page++) {
		world_map(&s->w, TEST_GPA + page * PAGE, (char *)s->two + page * PAGE, PAGE,
			  S2_RWX);
	}
	world_sync(&s->w);
	CHECK(pattern_reads(&s->w, TEST_GPA, TWO, 0, 2));
	world_unmap(&s->w, TEST_GPA, SIZE);
	world_sync(&s->w);
	CHECK(gone(s, 0));
	CHECK(gone(s, 2));
	world_map(&s->w, TEST_GPA + PAGE, s->one, PAGE, S2_RWX);
	world_sync(&s->w);
	CHECK(pattern_reads(&s->w, TEST_GPA + PAGE, ONE, 0, 1));
	CHECK(gone(s, 0));
}

#define STALE_TEST(name)                                   \
	static void name(const struct machine_space *kind) \
	{                                                  \
		each_leaf(kind, play_##name);              \
	}

STALE_TEST(unmap)
STALE_TEST(cut)
STALE_TEST(scattered)
STALE_TEST(protect)
STALE_TEST(protect_page)
STALE_TEST(remap)
STALE_TEST(remap_at_once)
STALE_TEST(split)
STALE_TEST(collapse)
STALE_TEST(unlink)

const struct test stale_tests[] = {
	{"unmap", unmap, false},
	{"cut", cut, false},
	{"scattered", scattered, false},
	{"protect", protect, false},
	{"protect-page", protect_page, false},
	{"remap", remap, false},
	{"remap-at-once", remap_at_once, false},
	{"split", split, false},
	{"collapse", collapse, false},
	{"unlink", unlink, false},
	{NULL, NULL, false},
};
