/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest whose hypercalls nobody sees: what it says against what the MMU lets us read. mprotect()
 * stands in for the hypervisor, and the page of the ring is written as a guest would write it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "check_main.h"
#include "memory.h"
#include "protect.h"
#include "test_files.h"

#define PAGE S2_PAGE_SIZE
#define RAM UINT64_C(0x80000000)
#define PAGES 64
#define RING 0 /* the page that holds it */

static struct memory memory;
static struct guest_ring *ring;
static bool readable[PAGES];

static void set_readable(uint64_t index, bool yes)
{
	if (readable[index] != yes) {
		ck_assert_int_eq(mprotect(ram_hva(&memory.ram, s2_gpa(RAM + index * PAGE)), PAGE,
					  yes ? PROT_READ | PROT_WRITE : PROT_NONE),
				 0);
		readable[index] = yes;
	}
}

static void setup(void)
{
	struct ram ram;

	ck_assert_int_eq(guard_init(), 0);
	ck_assert_int_eq(ram_init(&ram, s2_gpa(RAM), PAGES * PAGE, RAM_ANON, PAGE, -1), 0);
	ck_assert_int_eq(memory_init(&memory, &protect_pkvm, &ram, true), S2_OK);
	ck_assert_int_eq(memory_start(&memory), S2_OK);
	for (uint64_t i = 0; i < PAGES; i++) {
		readable[i] = true;
		set_readable(i, i == RING);
	}
	ring = ram_hva(&memory.ram, s2_gpa(RAM + RING * PAGE));
	ck_assert(memory_open_ring(&memory, s2_gpa(RAM + RING * PAGE)));
	test_stderr_begin();
}

static void teardown(void)
{
	test_stderr_end();
	memory_fini(&memory);
}

static void report(uint64_t index, uint64_t pages, uint64_t op)
{
	ring->report[ring->head % GUEST_RING_SLOTS] = guest_run(RAM + index * PAGE, pages, op);
	ring->head++;
}

static void expect_state(uint64_t index, enum s2_state state)
{
	ck_assert_int_eq(memory_page(&memory, s2_gpa(RAM + index * PAGE)).state, state);
}

static const struct claims_count *counts(void)
{
	return &memory.claims.count;
}

static const struct claims_count *settled(void)
{
	memory_lock(&memory);
	claims_settle(&memory);
	memory_unlock(&memory);
	return counts();
}

START_TEST(honest)
{
	const uint64_t shared = counts()->shared; /* the ring's own page */
	uint64_t value;

	for (uint64_t i = 8; i < 12; i++) {
		set_readable(i, true);
	}
	report(8, 4, GUEST_SHARED);
	/* Nobody has looked yet; a host access does. */
	ck_assert_int_eq(memory_read(&memory, s2_gpa(RAM + 11 * PAGE), &value, 8), MEMORY_OK);
	ck_assert_uint_eq(ring->tail, 1);
	report(9, 2, GUEST_UNSHARED);
	set_readable(9, false);
	ck_assert_int_eq(memory_read(&memory, s2_gpa(RAM + 9 * PAGE), &value, 8), MEMORY_SECURE);
	/* The MMU still allows page 10: the guest's word is enough to take it back. */
	ck_assert_int_eq(memory_read(&memory, s2_gpa(RAM + 10 * PAGE), &value, 8), MEMORY_SECURE);
	expect_state(8, S2_SHARED);
	expect_state(11, S2_SHARED);
	ck_assert_uint_eq(settled()->shared, shared + 4);
	ck_assert_uint_eq(counts()->unshared, 2);
	ck_assert_uint_eq(counts()->lies + counts()->early + counts()->untold + counts()->idle, 0);
}
END_TEST

START_TEST(liar)
{
	set_readable(21, true);
	report(20, 3, GUEST_SHARED);
	memory_drain(&memory);
	expect_state(20, S2_SECURE);
	expect_state(21, S2_SHARED);
	expect_state(22, S2_SECURE);
	ck_assert_uint_eq(settled()->lies, 2);
	ck_assert_uint_eq(counts()->early, 0);
	/* More of them than are remembered: none gets away. */
	for (unsigned int i = 0; i < 3; i++) {
		report(30, 32, GUEST_SHARED);
	}
	memory_drain(&memory);
	ck_assert_uint_eq(settled()->lies, 2 + 3 * 32);
	for (uint64_t i = 30; i < 62; i++) {
		expect_state(i, S2_SECURE);
	}
}
END_TEST

/* Shared, reported, taken back with a report before we came to look: no lie. */
START_TEST(overtaken)
{
	report(20, 1, GUEST_SHARED);
	report(20, 1, GUEST_UNSHARED);
	report(21, 1, GUEST_SHARED);
	memory_drain(&memory);
	report(21, 1, GUEST_UNSHARED); /* comes in after we looked, and explains it */
	report(22, 1, GUEST_SHARED);
	memory_drain(&memory);
	set_readable(22, true);
	report(22, 1, GUEST_SHARED); /* the first time was too early */
	ck_assert_uint_eq(settled()->early, 3);
	ck_assert_uint_eq(counts()->lies, 0);
	expect_state(20, S2_SECURE);
	expect_state(21, S2_SECURE);
	expect_state(22, S2_SHARED);
}
END_TEST

/* Taken back without a word: found out when the host comes to read. */
START_TEST(untold)
{
	uint64_t value;

	set_readable(20, true);
	report(20, 1, GUEST_SHARED);
	memory_drain(&memory);
	expect_state(20, S2_SHARED);
	set_readable(20, false);
	ck_assert_int_eq(memory_read(&memory, s2_gpa(RAM + 20 * PAGE), &value, 8), MEMORY_SECURE);
	expect_state(20, S2_SECURE);
	ck_assert_uint_eq(settled()->untold, 1);
}
END_TEST

START_TEST(no_change)
{
	set_readable(20, true);
	report(20, 1, GUEST_SHARED);
	report(20, 1, GUEST_SHARED);
	report(30, 4, GUEST_UNSHARED);
	ck_assert_uint_eq(settled()->idle, 5);
	ck_assert_uint_eq(counts()->lies, 0);
}
END_TEST

/* The guest lost count: what it may have said is looked up in the MMU. */
START_TEST(overrun)
{
	for (uint64_t i = 20; i < 24; i++) {
		set_readable(i, true);
	}
	report(20, 4, GUEST_SHARED);
	memory_drain(&memory);
	set_readable(21, false);
	ring->head += GUEST_RING_SLOTS + 1;
	memory_drain(&memory);
	expect_state(20, S2_SHARED);
	expect_state(21, S2_SECURE);
	ck_assert_uint_eq(memory.claims.ring.overruns, 1);
	ck_assert_uint_eq(counts()->untold, 1);
	report(22, 1, GUEST_UNSHARED); /* and it goes on */
	memory_drain(&memory);
	expect_state(22, S2_SECURE);
}
END_TEST

START_TEST(ring_gone)
{
	uint64_t value;

	set_readable(RING, false);
	memory_drain(&memory);
	ck_assert(!memory.claims.has_ring);
	ck_assert_int_eq(memory_read(&memory, s2_gpa(RAM), &value, 8), MEMORY_SECURE);
	ck_assert(!memory_open_ring(&memory, s2_gpa(RAM)));
	set_readable(RING, true);
	ring->head = 0;
	ck_assert(memory_open_ring(&memory, s2_gpa(RAM)));
	/* Its own page, reported as taken back: the last that is read there. */
	set_readable(20, true);
	report(RING, 1, GUEST_UNSHARED);
	report(20, 1, GUEST_SHARED);
	memory_drain(&memory);
	expect_state(20, S2_SHARED);
	report(20, 1, GUEST_UNSHARED);
	memory_drain(&memory);
	ck_assert(!memory.claims.has_ring);
	expect_state(20, S2_SHARED);
}
END_TEST

START_TEST(no_ring)
{
	static const uint64_t bad[] = {RAM + 8, RAM + PAGE, RAM - PAGE, RAM + PAGES * PAGE,
				       0,	UINT64_MAX, 0 - PAGE};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!memory_open_ring(&memory, s2_gpa(bad[i])), "case %zu", i);
		ck_assert(memory.claims.has_ring); /* the one that works stays */
	}
	memory.protect_ops = &protect_none;
	ck_assert(!memory_open_ring(&memory, s2_gpa(RAM)));
	memory.protect_ops = &protect_pkvm;
}
END_TEST

START_TEST(claim_errors)
{
	const struct s2_range page = s2_range(s2_gpa(RAM + 20 * PAGE), PAGE);

	ck_assert_int_eq(memory_claim(&memory, S2_SHARE, page), MEMORY_SECURE);
	ck_assert_int_eq(memory_claim(&memory, S2_UNSHARE, page), MEMORY_STATE);
	set_readable(20, true);
	ck_assert_int_eq(memory_claim(&memory, S2_SHARE, page), MEMORY_OK);
	ck_assert_int_eq(memory_claim(&memory, S2_SHARE, page), MEMORY_STATE);
	ck_assert_int_eq(memory_claim(&memory, S2_UNSHARE, page), MEMORY_OK);
	ck_assert_int_eq(memory_claim(&memory, S2_SHARE, s2_range(s2_gpa(RAM - PAGE), PAGE)),
			 MEMORY_OUTSIDE);
	ck_assert_int_eq(memory_claim(&memory, S2_SHARE, s2_range(s2_gpa(RAM + 1), PAGE)),
			 MEMORY_OUTSIDE);
	ck_assert_int_eq(memory_claim(&memory, S2_SHARE, s2_range(s2_gpa(RAM), 0)), MEMORY_OUTSIDE);
}
END_TEST

START_TEST(audit)
{
	struct claims_audit found;

	set_readable(20, true);
	set_readable(21, true);
	set_readable(22, true);
	report(20, 2, GUEST_SHARED);
	memory_drain(&memory);
	set_readable(21, false);
	memory_audit(&memory, s2_range(s2_gpa(RAM + 16 * PAGE), 16 * PAGE), &found);
	ck_assert_uint_eq(found.shared, 1);
	ck_assert_uint_eq(found.unread, 1);
	ck_assert_uint_eq(found.unclaimed, 1);
	ck_assert_uint_eq(found.secure, 13);
}
END_TEST

static uint64_t seed;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* What the host has to believe, by another road: page by page, from the words themselves. */
static bool believed[PAGES];
static uint64_t claimed; /* pages, in reports that are none but of RAM */

static void model_word(uint64_t word)
{
	const uint64_t first = (word >> 12) - (RAM >> 12), count = (word >> 2 & 1023) + 1;
	const uint64_t op = word & 3;

	if (first >= PAGES || count > PAGES - first || (op != 1 && op != 2)) {
		return;
	}
	claimed += count;
	for (uint64_t i = first; i < first + count; i++) {
		believed[i] = op == 1 && (believed[i] || readable[i]);
	}
}

static void model_drain(uint64_t tail)
{
	if (ring->head - tail > GUEST_RING_SLOTS) {
		for (uint64_t i = 0; i < PAGES; i++) {
			believed[i] = believed[i] && readable[i];
		}
		return;
	}
	for (uint64_t at = tail; at != ring->head; at++) {
		model_word(ring->report[at % GUEST_RING_SLOTS]);
	}
}

static uint64_t draw_word(void)
{
	const uint64_t gpa = RAM + (draw() % (PAGES + 2)) * PAGE - PAGE;

	switch (draw() % 8) {
	case 0:
		return draw();
	case 1:
		return gpa | (draw() & 0xfff);
	default:
		return guest_run(gpa, 1 + draw() % 4, 1 + draw() % 2);
	}
}

static void compare(void)
{
	const struct claims_count *count = counts();

	for (uint64_t i = 0; i < PAGES; i++) {
		struct s2_page page;

		ck_assert_int_eq(s2_track_get(&memory.track, s2_gpa(RAM + i * PAGE), &page), 0);
		ck_assert_int_eq(page.state, believed[i] ? S2_SHARED : S2_SECURE);
		ck_assert(!page.moving && !page.widened);
	}
	ck_assert_uint_le(memory.claims.open_count, CLAIMS_OPEN_MAX);
	ck_assert_uint_eq(count->shared + count->unshared + count->idle + count->early +
				  count->lies + memory.claims.open_count,
			  claimed);
}

/* A step: the guest shares or takes back some pages, and writes what it likes into the ring. */
static uint64_t step(void)
{
	const uint64_t tail = memory.claims.ring.tail, new = draw() % (GUEST_RING_SLOTS + 4);
	const uint64_t wild = draw() % 64;

	for (uint64_t i = draw() % 4; i > 0; i--) {
		set_readable(1 + draw() % (PAGES - 1), draw() & 1);
	}
	ring->tail = draw();
	ring->head = wild == 0 ? draw() : wild == 1 ? tail - 1 - new : tail + new;
	for (uint64_t i = 0; i < new; i++) {
		ring->report[(tail + i) % GUEST_RING_SLOTS] = draw_word();
	}
	model_drain(tail);
	return new;
}

/* Very many words: tracker and model agree after each drain, and every claimed page is counted. */
START_TEST(fuzz)
{
	const char *given = getenv("S2_SEED");
	uint64_t reopened = 0;

	seed = (given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL)) | 1;
	printf("# S2_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	believed[RING] = true;
	claimed = 1;
	for (uint64_t drawn = 0; drawn < 200000;) {
		const uint64_t tail = memory.claims.ring.tail;

		drawn += step();
		memory_drain(&memory);
		if (ring->head != tail) {
			ck_assert_uint_eq(ring->tail, ring->head);
		}
		compare();
		if (!believed[RING]) {
			/* It took its ring away. Nothing is read there until it announces it again. */
			const uint64_t head = ring->head++;

			memory_drain(&memory);
			ck_assert(!memory.claims.has_ring);
			ring->head = head;
			compare();
			ring->head = 0;
			claimed++;
			believed[RING] = true;
			ck_assert(memory_open_ring(&memory, s2_gpa(RAM)));
			reopened++;
		}
	}
	settled();
	compare();
	ck_assert(s2_track_check(&memory.track));
	ck_assert_uint_gt(reopened, 0);
	ck_assert_uint_gt(counts()->lies, 0);
	ck_assert_uint_gt(counts()->early, 0);
	ck_assert_uint_gt(counts()->untold, 0);
	ck_assert_uint_gt(memory.claims.ring.overruns, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("claims");
	TCase *tcase = tcase_create("claims");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 100);
	tcase_add_test(tcase, honest);
	tcase_add_test(tcase, liar);
	tcase_add_test(tcase, overtaken);
	tcase_add_test(tcase, untold);
	tcase_add_test(tcase, no_change);
	tcase_add_test(tcase, overrun);
	tcase_add_test(tcase, ring_gone);
	tcase_add_test(tcase, no_ring);
	tcase_add_test(tcase, claim_errors);
	tcase_add_test(tcase, audit);
	tcase_add_test(tcase, fuzz);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
