/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring of reports, read from a guest that writes what it likes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "check_main.h"
#include "ring.h"

#define PAGE S2_PAGE_SIZE
#define RAM UINT64_C(0x80000000)
#define LEN (UINT64_C(4096) * PAGE)
#define SLOTS GUEST_RING_SLOTS

static const struct s2_range ram = {{RAM}, LEN};

/* The layout is what guests are built with. */
START_TEST(layout)
{
	ck_assert_uint_le(sizeof(struct guest_ring), PAGE);
	ck_assert_uint_eq(offsetof(struct guest_ring, tail), 8);
	ck_assert_uint_eq(offsetof(struct guest_ring, report), 64);
	ck_assert_uint_eq(guest_run(RAM, 1, GUEST_SHARED), RAM | 1);
	ck_assert_uint_eq(guest_run(RAM, GUEST_RUN_MAX, GUEST_UNSHARED), RAM | 0xffe);
}
END_TEST

START_TEST(in_order)
{
	uint64_t report[SLOTS] = {guest_run(RAM, 1, GUEST_SHARED),
				  guest_run(RAM + 2 * PAGE, 3, GUEST_UNSHARED),
				  guest_run(RAM, GUEST_RUN_MAX, GUEST_SHARED)};
	struct ring_report out[SLOTS];
	struct ring ring = {0};
	bool overrun;

	ck_assert_uint_eq(ring_take(&ring, 0, report, ram, out, &overrun), 0);
	ck_assert_uint_eq(ring_take(&ring, 2, report, ram, out, &overrun), 2);
	ck_assert(!overrun);
	ck_assert(out[0].move == S2_SHARE && out[0].range.start.val == RAM &&
		  out[0].range.len == PAGE);
	ck_assert(out[1].move == S2_UNSHARE && out[1].range.start.val == RAM + 2 * PAGE &&
		  out[1].range.len == 3 * PAGE);
	ck_assert_uint_eq(ring_take(&ring, 3, report, ram, out, &overrun), 1);
	ck_assert_uint_eq(out[0].range.len, GUEST_RUN_MAX * PAGE);
	ck_assert_uint_eq(ring.odd, 0);
	ck_assert_uint_eq(ring.tail, 3);
}
END_TEST

/* A full ring is taken whole, around its end and around the end of the numbers. */
START_TEST(full)
{
	static const uint64_t tails[] = {0,	1,	    SLOTS - 1,
					 SLOTS, UINT64_MAX, 0 - (uint64_t)SLOTS / 2};

	for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
		struct ring_report out[SLOTS];
		uint64_t report[SLOTS];
		struct ring ring = {.tail = tails[t]};
		bool overrun;

		for (uint64_t i = 0; i < SLOTS; i++) {
			report[(tails[t] + i) % SLOTS] = guest_run(RAM + i * PAGE, 1, GUEST_SHARED);
		}
		ck_assert_uint_eq(ring_take(&ring, tails[t] + SLOTS, report, ram, out, &overrun),
				  SLOTS);
		ck_assert(!overrun);
		for (uint64_t i = 0; i < SLOTS; i++) {
			ck_assert_uint_eq(out[i].range.start.val, RAM + i * PAGE);
		}
		ck_assert_uint_eq(ring.tail, tails[t] + SLOTS);
	}
}
END_TEST

/* One more than it holds, or a head that went back: what was said is lost, and we say so. */
START_TEST(wild_head)
{
	static const uint64_t heads[] = {SLOTS + 8, 6, 0, UINT64_MAX, UINT64_C(1) << 63};
	uint64_t report[SLOTS];

	for (size_t i = 0; i < SLOTS; i++) {
		report[i] = guest_run(RAM, 1, GUEST_SHARED);
	}
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct ring_report out[SLOTS];
		struct ring ring = {.tail = 7};
		bool overrun;

		ck_assert_uint_eq(ring_take(&ring, heads[i], report, ram, out, &overrun), 0);
		ck_assert(overrun);
		ck_assert_uint_eq(ring.overruns, 1);
		/* And the next report is read again. */
		ck_assert_uint_eq(ring_take(&ring, heads[i] + 1, report, ram, out, &overrun), 1);
		ck_assert(!overrun);
	}
}
END_TEST

START_TEST(odd_words)
{
	static const uint64_t words[] = {
		0,
		RAM,
		RAM | 3,
		GUEST_SHARED,
		(RAM - PAGE) | GUEST_SHARED,
		(RAM - PAGE) | 1 << 2 | GUEST_SHARED, /* begins before RAM */
		(RAM + LEN) | GUEST_SHARED,
		(RAM + LEN - PAGE) | 1 << 2 | GUEST_UNSHARED, /* ends behind it */
		UINT64_MAX & ~UINT64_C(2),
		UINT64_MAX,
		(0 - (uint64_t)PAGE) | 0xffd, /* wraps */
	};
	struct ring_report out[SLOTS];
	uint64_t report[SLOTS];
	struct ring ring = {0};
	bool overrun;

	memcpy(report, words, sizeof(words));
	report[sizeof(words) / sizeof(words[0])] = (RAM + LEN - PAGE) | GUEST_UNSHARED;
	ck_assert_uint_eq(ring_take(&ring, 12, report, ram, out, &overrun), 1);
	ck_assert_uint_eq(out[0].range.start.val, RAM + LEN - PAGE);
	ck_assert_uint_eq(ring.odd, 11);
}
END_TEST

/* RAM up to the last byte of all addresses. */
START_TEST(top)
{
	const struct s2_range high = s2_range(s2_gpa(0 - 4 * PAGE), 4 * PAGE);
	struct s2_range run;

	ck_assert(ring_run(guest_run(0 - PAGE, 1, 0), high, &run));
	ck_assert(ring_run(guest_run(0 - 4 * PAGE, 4, 0), high, &run));
	ck_assert(!ring_run(guest_run(0 - PAGE, 2, 0), high, &run));
	ck_assert(!ring_run(guest_run(0 - 5 * PAGE, 1, 0), high, &run));
	ck_assert(!ring_run(guest_run(0, 1, 0), high, &run));
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

/* A word that is nearly right more often than chance would have it. */
static uint64_t draw_word(void)
{
	switch (draw() & 3) {
	case 0:
		return draw();
	case 1:
		return RAM + (draw() % (LEN + 2 * PAGE)) - PAGE;
	default:
		return guest_run(RAM + (draw() % (LEN / PAGE)) * PAGE, 1 + draw() % 16, draw() & 3);
	}
}

static uint64_t draw_head(uint64_t tail)
{
	switch (draw() & 3) {
	case 0:
		return draw();
	case 1:
		return tail - draw() % (2 * SLOTS);
	default:
		return tail + draw() % (SLOTS + 8);
	}
}

static void check_reports(const struct ring_report *out, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct s2_range *range = &out[i].range;

		ck_assert(out[i].move == S2_SHARE || out[i].move == S2_UNSHARE);
		ck_assert(range->len >= PAGE && range->len <= GUEST_RUN_MAX * PAGE);
		ck_assert((range->start.val | range->len) % PAGE == 0);
		ck_assert(range->start.val >= RAM && range->start.val < RAM + LEN);
		ck_assert(range->start.val - RAM + range->len <= LEN);
	}
}

/* A million words and heads at random: every report is RAM, and every word is counted once. */
START_TEST(fuzz)
{
	const char *given = getenv("S2_SEED");
	struct ring ring = {0};
	uint64_t report[SLOTS];
	uint64_t drawn = 0, overruns = 0;

	seed = (given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL)) | 1;
	printf("# S2_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	for (size_t i = 0; i < SLOTS; i++) {
		report[i] = draw_word();
	}
	while (drawn < 1000000) {
		const uint64_t head = draw_head(ring.tail), pending = head - ring.tail;
		const uint64_t odd = ring.odd;
		struct {
			struct ring_report report[SLOTS];
			uint64_t end;
		} out = {.end = seed};
		size_t count;
		bool overrun;

		for (uint64_t i = 0; i < pending && i < SLOTS; i++, drawn++) {
			report[(ring.tail + i) % SLOTS] = draw_word();
		}
		out.end = head;
		count = ring_take(&ring, head, report, ram, out.report, &overrun);
		ck_assert_uint_eq(out.end, head);
		ck_assert_uint_eq(ring.tail, head);
		ck_assert(overrun == (pending > SLOTS));
		overruns += overrun;
		ck_assert_uint_eq(ring.overruns, overruns);
		ck_assert_uint_eq(count + (ring.odd - odd), overrun ? 0 : pending);
		check_reports(out.report, count);
	}
	ck_assert_uint_gt(overruns, 0);
	ck_assert_uint_gt(ring.odd, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *tcase = tcase_create("ring");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, layout);
	tcase_add_test(tcase, in_order);
	tcase_add_test(tcase, full);
	tcase_add_test(tcase, wild_head);
	tcase_add_test(tcase, odd_words);
	tcase_add_test(tcase, top);
	tcase_add_test(tcase, fuzz);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
