/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLB maintenance of arm64. The operations are decoded here once more, from C5.5.14 and C5.5.22 of
 * the Arm ARM, and what they cover is compared with what was to be flushed: never less, and more
 * only up to the ends of entries that the range cuts.
 */
#include <check.h>

#include "check_main.h"
#include <stage2/arm64.h>

#define PAGE S2_PAGE_SIZE
#define BITS(v, hi, lo) (((v) >> (lo)) & (UINT64_MAX >> (63 - ((hi) - (lo)))))
#define BIT(n) (UINT64_C(1) << (n))
#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

#define RANGE S2_ARM64_TLBIRANGE
#define LPA2 S2_ARM64_LPA2
#define TTL S2_ARM64_TTL

/* A TLB's view of a batch of one flush: every operation starts where the one before has ended. */
struct tlb {
	unsigned features;
	struct s2_flush flush;
	uint64_t next; /* first byte that is not covered yet */
	unsigned singles, ranges, combined, all;
};

static struct s2_flush flush_of(enum s2_flush_kind kind, uint64_t start, uint64_t len,
				unsigned stride_lg2, unsigned level)
{
	struct s2_flush flush = {
		.kind = kind,
		.range = s2_range(s2_gpa(start), len),
		.stride_lg2 = (uint8_t)stride_lg2,
		.level = (uint8_t)level,
	};

	return flush;
}

/* ck_assert() for each of some 10^7 operations takes minutes. */
static void expect(const struct tlb *tlb, bool right, const char *what)
{
	if (!right) {
		ck_abort_msg("%s: features %x start %llx len %llx at %llx", what, tlb->features,
			     (unsigned long long)tlb->flush.range.start.val,
			     (unsigned long long)tlb->flush.range.len,
			     (unsigned long long)tlb->next);
	}
}

/* A hint must name the level that the leaves are at, and there must be no table to forget. */
static void expect_hint(const struct tlb *tlb, unsigned arm_level)
{
	expect(tlb, tlb->flush.kind == S2_FLUSH_LEAF, "hint for tables");
	expect(tlb, tlb->flush.level <= 3 && arm_level == 3u - tlb->flush.level, "wrong hint");
}

static void decode_single(struct tlb *tlb, uint64_t xt)
{
	uint64_t gpa = BITS(xt, 39, 0) << 12;
	uint64_t entry = BIT(tlb->flush.stride_lg2);
	uint64_t ttl = BITS(xt, 47, 44);

	expect(tlb, BITS(xt, 63, 48) == 0 && BITS(xt, 43, 40) == 0, "reserved bits");
	expect(tlb, gpa == tlb->next, "single out of place");
	if (BITS(ttl, 3, 2) != 0) {
		expect(tlb, BITS(ttl, 3, 2) == 1 && (tlb->features & TTL), "granule");
		expect_hint(tlb, (unsigned)BITS(ttl, 1, 0));
	} else {
		expect(tlb, ttl == 0, "TTL[1:0]");
	}
	tlb->next = (gpa & ~(entry - 1)) + entry;
	tlb->singles++;
}

static void decode_range(struct tlb *tlb, uint64_t xt)
{
	uint64_t gpa = BITS(xt, 36, 0) << (tlb->features & LPA2 ? 16 : 12);
	uint64_t pages = (BITS(xt, 43, 39) + 1) << (5 * BITS(xt, 45, 44) + 1);
	unsigned ttl = (unsigned)BITS(xt, 38, 37);

	expect(tlb, tlb->features & RANGE, "range");
	expect(tlb, BITS(xt, 63, 48) == 0 && BITS(xt, 47, 46) == 1, "reserved bits");
	expect(tlb, gpa == tlb->next, "range out of place");
	if (ttl != 0) {
		expect_hint(tlb, ttl);
		/* "The range of addresses invalidated is UNPREDICTABLE when ..." */
		expect(tlb, (gpa & (BIT(12 + 9 * (3 - ttl)) - 1)) == 0, "unaligned hint");
	}
	tlb->next = gpa + pages * PAGE;
	tlb->ranges++;
}

static void take(void *cookie, enum s2_arm64_op op, uint64_t xt)
{
	struct tlb *tlb = cookie;

	expect(tlb, tlb->combined == 0 && tlb->all == 0, "after the last");
	switch (op) {
	case S2_ARM64_IPAS2E1IS:
		decode_single(tlb, xt);
		break;
	case S2_ARM64_RIPAS2E1IS:
		decode_range(tlb, xt);
		break;
	case S2_ARM64_VMALLE1IS:
		expect(tlb, xt == 0, "operand");
		tlb->combined++;
		break;
	case S2_ARM64_VMALLS12E1IS:
		expect(tlb, xt == 0 && tlb->singles + tlb->ranges == 0, "not alone");
		tlb->all++;
		break;
	}
}

/* Where the last operation has to end. */
static uint64_t end_of(const struct s2_flush *flush)
{
	uint64_t entry = BIT(flush->stride_lg2);

	return (s2_range_last(flush->range).val & ~(entry - 1)) + entry;
}

static struct tlb run(unsigned features, struct s2_flush flush)
{
	struct tlb tlb = {
		.features = features,
		.flush = flush,
		.next = flush.range.start.val,
	};

	s2_arm64_tlbi(features, &flush, 1, take, &tlb);
	expect(&tlb, tlb.combined + tlb.all == 1, "combined entries");
	if (tlb.combined) {
		expect(&tlb, tlb.next == end_of(&flush), "end");
		expect(&tlb, tlb.singles + tlb.ranges <= S2_ARM64_TLBI_MAX, "too many");
	}
	return tlb;
}

/* Leaf pages, as many as one range can have and fewer, from page 0. */
static void expect_range(unsigned features, uint64_t start, uint64_t pages, unsigned max)
{
	struct tlb tlb = run(features, flush_of(S2_FLUSH_LEAF, start, pages * PAGE, 12, 0));

	expect(&tlb, tlb.combined == 1, "all");
	expect(&tlb, tlb.singles + tlb.ranges <= max, "too many");
}

START_TEST(every_length)
{
	for (uint64_t pages = 1; pages <= BIT(21); pages++) {
		expect_range(RANGE, 0, pages, 5);
	}
}
END_TEST

START_TEST(every_length_lpa2)
{
	for (uint64_t pages = 1; pages <= BIT(21); pages += pages < 4096 ? 1 : 7) {
		expect_range(RANGE | LPA2 | TTL, 0, pages, 5);
		expect_range(RANGE | LPA2 | TTL, BIT(51) + PAGE, pages, S2_ARM64_TLBI_RANGE_MAX);
	}
}
END_TEST

START_TEST(every_start)
{
	static const unsigned features[] = {RANGE, RANGE | TTL, RANGE | LPA2, RANGE | LPA2 | TTL};

	for (size_t i = 0; i < ELEMENTS(features); i++) {
		unsigned max = features[i] & LPA2 ? S2_ARM64_TLBI_RANGE_MAX : 5;

		for (uint64_t start = 0; start < 40; start++) {
			for (uint64_t pages = 1; pages < 4200; pages++) {
				expect_range(features[i], BIT(40) + start * PAGE, pages, max);
			}
		}
	}
}
END_TEST

/* Leaves of all levels, with entries that the ends of the range cut. */
START_TEST(every_level)
{
	static const unsigned features[] = {0, TTL, RANGE, RANGE | LPA2 | TTL};

	for (size_t i = 0; i < ELEMENTS(features); i++) {
		for (unsigned level = 0; level < 4; level++) {
			unsigned lg2 = 12 + 9 * level;

			for (uint64_t entries = 1; entries <= 300; entries++) {
				run(features[i], flush_of(S2_FLUSH_LEAF, 3 * BIT(lg2),
							  entries << lg2, lg2, level));
				run(features[i], flush_of(S2_FLUSH_WALK, 3 * BIT(lg2),
							  entries << lg2, lg2, level));
				run(features[i], flush_of(S2_FLUSH_LEAF, 3 * BIT(lg2),
							  entries << lg2, 12, S2_LEVEL_ANY));
			}
		}
	}
	/* without ranges, an entry that is cut is flushed as a whole */
	ck_assert_uint_eq(run(0, flush_of(S2_FLUSH_LEAF, BIT(21) - PAGE, 2 * PAGE, 21, 1)).singles,
			  2);
	ck_assert_uint_eq(run(0, flush_of(S2_FLUSH_LEAF, BIT(21), PAGE, 21, 1)).singles, 1);
}
END_TEST

/* I_JQPNP: each item of a group, even if the stride is said to be the group's. */
START_TEST(groups)
{
	struct tlb tlb = {.features = TTL, .next = BIT(16)};
	struct s2_flush flush = flush_of(S2_FLUSH_LEAF, BIT(16), BIT(16), 16, 0);

	tlb.flush = flush;
	tlb.flush.stride_lg2 = 12;
	s2_arm64_tlbi(TTL, &flush, 1, take, &tlb);
	ck_assert_uint_eq(tlb.singles, 16);
	ck_assert_uint_eq(tlb.next, 2 * BIT(16));
	flush = flush_of(S2_FLUSH_LEAF, BIT(34), BIT(34), 34, 2);
	tlb = run(RANGE, flush_of(S2_FLUSH_LEAF, BIT(34), BIT(34), 30, 2));
	ck_assert_uint_eq(tlb.ranges, 2);
	ck_assert_uint_eq(s2_arm64_tlbi_at(0, &flush, s2_gpa(BIT(34))).len, BIT(30));
}
END_TEST

/* NUM in 43:39, SCALE in 45:44, TG 01 in 47:46, page number or 64 KiB number from bit 0. */
START_TEST(operands)
{
	static const struct {
		uint64_t pages;
		unsigned scale, num;
	} cases[] = {
		{2, 0, 0},   {4, 0, 1},	     {16, 0, 7},       {64, 1, 0},
		{512, 1, 7}, {262144, 3, 3}, {2097152, 3, 31},
	};
	struct s2_flush flush;
	struct s2_arm64_tlbi op;

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		flush = flush_of(S2_FLUSH_WALK, BIT(40), cases[i].pages * PAGE, 12, S2_LEVEL_ANY);
		op = s2_arm64_tlbi_at(RANGE, &flush, s2_gpa(BIT(40)));
		ck_assert_int_eq(op.op, S2_ARM64_RIPAS2E1IS);
		ck_assert_uint_eq(op.xt, BIT(28) | BIT(46) | (uint64_t)cases[i].scale << 44 |
						 (uint64_t)cases[i].num << 39);
		ck_assert_uint_eq(op.len, flush.range.len);
		op = s2_arm64_tlbi_at(RANGE | LPA2, &flush, s2_gpa(BIT(40)));
		ck_assert_uint_eq(op.xt, BIT(24) | BIT(46) | (uint64_t)cases[i].scale << 44 |
						 (uint64_t)cases[i].num << 39);
	}
	ck_assert_uint_eq(run(RANGE, flush_of(S2_FLUSH_WALK, 0, 513 * PAGE, 12, 0)).ranges, 1);
	ck_assert_uint_eq(run(RANGE, flush_of(S2_FLUSH_WALK, 0, 513 * PAGE, 12, 0)).singles, 1);
	ck_assert_uint_eq(run(RANGE, flush_of(S2_FLUSH_WALK, 0, 2097151 * PAGE, 12, 0)).ranges, 4);
	ck_assert_uint_eq(run(RANGE, flush_of(S2_FLUSH_WALK, 0, 2097151 * PAGE, 12, 0)).singles, 1);

	ck_assert_uint_eq(s2_arm64_ipas2e1is(s2_gpa(UINT64_C(0xfedcb12345678)), S2_LEVEL_ANY),
			  UINT64_C(0xfedcb12345));
	ck_assert_uint_eq(s2_arm64_ipas2e1is(s2_gpa(0), 0), UINT64_C(7) << 44);
	ck_assert_uint_eq(s2_arm64_ipas2e1is(s2_gpa(0), 3), UINT64_C(4) << 44);
	ck_assert_uint_eq(s2_arm64_ripas2e1is(s2_gpa(BIT(30)), 2, 0, 0, false),
			  BIT(46) | BIT(37) | BIT(18));
	ck_assert_uint_eq(s2_arm64_ripas2e1is(s2_gpa(BIT(21)), 2, 0, 0, false), BIT(46) | BIT(9));
	ck_assert_uint_eq(s2_arm64_ripas2e1is(s2_gpa(0), 3, 0, 0, false), BIT(46));
}
END_TEST

static void count_op(void *cookie, enum s2_arm64_op op, uint64_t xt)
{
	unsigned *counts = cookie;

	(void)xt;
	counts[op]++;
}

/* One VMALLE1IS for all, or one VMALLS12E1IS alone where that is less. */
START_TEST(batches)
{
	struct s2_flush flush[] = {
		flush_of(S2_FLUSH_LEAF, 0, 512 * PAGE, 12, 0),
		flush_of(S2_FLUSH_LEAF, BIT(30), PAGE, 12, 0),
		flush_of(S2_FLUSH_ALL, 0, BIT(40), 12, S2_LEVEL_ANY),
	};
	unsigned counts[4] = {0};

	s2_arm64_tlbi(0, flush, 0, count_op, counts);
	s2_arm64_tlbi(0, flush, 1, count_op, counts);
	ck_assert_uint_eq(counts[S2_ARM64_IPAS2E1IS], S2_ARM64_TLBI_MAX);
	ck_assert_uint_eq(counts[S2_ARM64_VMALLE1IS], 1);
	ck_assert_uint_eq(counts[S2_ARM64_VMALLS12E1IS], 0);
	s2_arm64_tlbi(0, flush, 2, count_op, counts);
	ck_assert_uint_eq(counts[S2_ARM64_VMALLS12E1IS], 1);
	s2_arm64_tlbi(RANGE, flush, 2, count_op, counts);
	ck_assert_uint_eq(counts[S2_ARM64_RIPAS2E1IS], 1);
	ck_assert_uint_eq(counts[S2_ARM64_IPAS2E1IS], S2_ARM64_TLBI_MAX + 1);
	ck_assert_uint_eq(counts[S2_ARM64_VMALLE1IS], 2);
	s2_arm64_tlbi(RANGE, flush, 3, count_op, counts);
	ck_assert_uint_eq(counts[S2_ARM64_VMALLS12E1IS], 2);
	ck_assert_uint_eq(counts[S2_ARM64_VMALLE1IS], 2);

	/* longer than one operation can say; and so long that it is not worth it */
	ck_assert_uint_eq(run(RANGE, flush_of(S2_FLUSH_LEAF, 0, BIT(40), 12, 0)).ranges, 128);
	ck_assert_uint_eq(run(RANGE, flush_of(S2_FLUSH_LEAF, 0, BIT(43), 12, 0)).all, 1);
	ck_assert_uint_eq(run(RANGE | LPA2, flush_of(S2_FLUSH_LEAF, 0, BIT(52), 39, 3)).all, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("arm64_tlbi");
	TCase *tcase = tcase_create("tlbi");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, every_length);
	tcase_add_test(tcase, every_length_lpa2);
	tcase_add_test(tcase, every_start);
	tcase_add_test(tcase, every_level);
	tcase_add_test(tcase, groups);
	tcase_add_test(tcase, operands);
	tcase_add_test(tcase, batches);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
