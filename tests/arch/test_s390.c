/* SPDX-License-Identifier: BSD-2-Clause */
/* s390 DAT tables and operands: against values computed by hand, and with a decoder of its own. */
#include <check.h>

#include "check_main.h"
#include "leaves.h"
#include <stage2/s390.h>

#define HPA UINT64_C(0xabcdef9876543000)
#define ALL S2_S390_FEATURES_ALL

static bool can_say(uint64_t features, unsigned prot, unsigned mem)
{
	/* r and rw need IEP; rx and rwx do not */
	return mem == S2_MEM_NORMAL &&
	       (prot == 13 || prot == 15 || ((features & S2_S390_IEP) && (prot == 1 || prot == 3)));
}

START_TEST(config)
{
	struct s2_space s;

	for (unsigned bits = 0; bits < 80; bits++) {
		bool fits = bits == 31 || bits == 42 || bits == 53 || bits == 64;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_s390, bits, 0, ALL) == S2_OK, fits);
		if (fits) {
			leaves_geometry(&s);
			ck_assert_uint_eq(s.root_size, 16384);
			ck_assert_uint_eq(s.hpa_last, UINT64_MAX);
			ck_assert_uint_eq(s.last >> s2_fmt_s390.lg2(s.top), 2047);
			ck_assert_uint_eq(s.leaf_kinds[2], s.top >= 2 ? S2_KIND_SINGLE : 0);
		}
	}
	ck_assert(s2_fmt_s390.big_endian);
	ck_assert_uint_eq(s2_fmt_s390.table_bytes(0), 4096);
	ck_assert_uint_eq(s2_fmt_s390.table_bytes(1), 16384);
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_s390, 64, 0, 0), S2_OK);
	ck_assert_uint_eq(s.last, UINT64_MAX);
	ck_assert_uint_eq(s.top, 4);
	ck_assert_uint_eq(s.leaf_kinds[1], 0);
	ck_assert_uint_eq(s.leaf_kinds[2], 0);
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_s390, 64, 65, 0), S2_ERR_FORMAT);
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_s390, 64, 0, 8), S2_ERR_FORMAT);
}
END_TEST

START_TEST(sweep)
{
	for (uint64_t features = 0; features <= ALL; features++) {
		struct s2_space s;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_s390, 42, 44, features), S2_OK);
		leaves_sweep(&s, can_say);
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_s390, 64, 0, features), S2_OK);
		leaves_sweep(&s, can_say);
	}
}
END_TEST

START_TEST(bits)
{
	static const struct {
		unsigned prot;
		unsigned level;
		uint64_t hpa;
		uint64_t want;
	} cases[] = {
		/* present 1, young 4, dirty 8, read 0x10, write 0x20; P 0x200; IEP 0x100 */
		{S2_RWX, 0, HPA, HPA | 0x03d},
		{S2_RX, 0, HPA, HPA | 0x21d},
		{S2_RW, 0, HPA, HPA | 0x13d},
		{S2_READ, 0, HPA, HPA | 0x31d},
		/* present 1, young 0x800, dirty 0x1000, read 0x2000, write 0x4000; FC 0x400 */
		{S2_RWX, 1, 0x12300000, 0x12300000 | 0x7c01},
		{S2_READ, 1, 0x12300000, 0x12300000 | 0x3f01},
		/* and TT 4 */
		{S2_RWX, 2, 0x180000000, 0x180000000 | 0x7c05},
		{S2_RX, 2, 0x180000000, 0x180000000 | 0x3e05},
	};
	struct s2_space s;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_s390, 53, 0, ALL), S2_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t attr;

		ck_assert(s2_fmt_s390.attr(&s, cases[i].prot, S2_MEM_NORMAL, &attr));
		ck_assert_msg(s2_fmt_s390.leaf(&s, attr, cases[i].hpa, cases[i].level) ==
				      cases[i].want,
			      "case %zu", i);
	}
	ck_assert_uint_eq(s2_fmt_s390.none(0), 0x400);
	ck_assert_uint_eq(s2_fmt_s390.none(1), 0x20);
	ck_assert_uint_eq(s2_fmt_s390.none(2), 0x24);
	ck_assert_uint_eq(s2_fmt_s390.none(3), 0x28);
	ck_assert_uint_eq(s2_fmt_s390.none(4), 0x2c);
}
END_TEST

START_TEST(not_valid)
{
	static const struct {
		unsigned level;
		uint64_t v;
		bool valid;
	} cases[] = {
		{0, 0, false},				    /* zero is a page, at 0, not none */
		{1, 0, true},				    /* zero is a page table, at 0 */
		{1, 0x5000, true},	{1, 0x5800, false}, /* half a page */
		{1, 0x5020, false},			    /* an invalid pointer */
		{2, 0x8007, true},	{3, 0x800b, true},
		{4, 0x800f, true},	{2, 0x8003, false}, /* table type of a segment table */
		{2, 0x8004, false},			    /* only the first 512 items */
		{2, 0x8047, false},			    /* not from the first item */
		{2, 0x9007, false},			    /* not aligned to 16 KiB */
		{2, 0x20, false},			    /* none, of a segment table */
		{3, 0x2c, false},			    /* none, of a region-first table */
		{0, 0x503d, true},	{0, 0x523d, false}, /* writable, dirty, and yet protected */
		{0, 0x5235, true},			    /* clean */
		{0, 0x5035, false},			    /* clean, and yet not protected */
		{0, 0x5439, true},			    /* not young */
		{0, 0x5039, false},			    /* not young, and yet valid */
		{0, 0x543d, false},			    /* young, and yet invalid */
		{0, 0x583d, false},			    /* bit 11 */
		{0, 0x503c, false},			    /* not present */
		{0, 0x502d, false},			    /* not readable */
		{0, 0x507d, false},			    /* special */
		{1, 0x107c01, true},	{1, 0x117c01, false},	/* AV */
		{1, 0x107c05, false},				/* table type */
		{1, 0x107c11, false},				/* common segment */
		{2, 0x80007c05, true},	{2, 0x40007c05, false}, /* not aligned to 2 GiB */
		{3, 0x80007c09, false},				/* no leaves here */
	};
	struct s2_space s;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_s390, 64, 0, ALL), S2_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(s2_fmt_s390.valid(&s, cases[i].v, cases[i].level) == cases[i].valid,
			      "case %zu", i);
	}
}
END_TEST

/* Not young is invalid; not dirty is protected. */
START_TEST(marks_of_pages)
{
	struct leaves_space l;

	leaves_map(&l, &s2_fmt_s390, 31, S2_S390_IEP, HPA, 12, S2_RWX);
	ck_assert_uint_eq(leaves_value(&l), HPA | 0x03d);
	ck_assert_uint_eq(leaves_age(&l, 12), HPA | 0x439);
	ck_assert_uint_eq(leaves_clean(&l, 12), HPA | 0x631);
	ck_assert_uint_eq(leaves_protect(&l, 12, S2_RW), HPA | 0x731);
	ck_assert_uint_eq(leaves_touch(&l, false), HPA | 0x335);
	ck_assert_uint_eq(leaves_touch(&l, true), HPA | 0x13d);
	ck_assert_uint_eq(leaves_protect(&l, 12, S2_RX), HPA | 0x21d);
	ck_assert_uint_eq(leaves_protect(&l, 12, S2_RWX), HPA | 0x03d);
	leaves_unmap(&l);
}
END_TEST

START_TEST(marks_of_large_leaves)
{
	struct leaves_space l;

	leaves_map(&l, &s2_fmt_s390, 53, ALL, 0x80000000, 31, S2_RW);
	ck_assert_uint_eq(leaves_value(&l), 0x80007d05);
	ck_assert_uint_eq(leaves_age(&l, 31), 0x80007525);
	ck_assert_uint_eq(leaves_clean(&l, 31), 0x80006725);
	ck_assert_uint_eq(leaves_protect(&l, 31, S2_READ), 0x80002725);
	ck_assert_uint_eq(leaves_protect(&l, 31, S2_RWX), 0x80006625);
	ck_assert_uint_eq(leaves_split(&l, 31, 20), 0x80006621);
	ck_assert_uint_eq(leaves_split(&l, 31, 12), 0x80000631);
	ck_assert_uint_eq(leaves_touch(&l, true), 0x8000003d);
	leaves_unmap(&l);
}
END_TEST

START_TEST(asce)
{
	/* private 0x100; DT and TL */
	ck_assert_uint_eq(s2_s390_asce(s2_hpa(0x4000), 1), 0x4103);
	ck_assert_uint_eq(s2_s390_asce(s2_hpa(0x4000), 2), 0x4107);
	ck_assert_uint_eq(s2_s390_asce(s2_hpa(0x4000), 3), 0x410b);
	ck_assert_uint_eq(s2_s390_asce(s2_hpa(0x4000), 4), 0x410f);
}
END_TEST

static struct s2_place place_at(uint64_t table, unsigned level, unsigned index, uint64_t base)
{
	unsigned lg2 = s2_fmt_s390.lg2(level);
	struct s2_place place = {
		.gpa = s2_gpa(base + ((uint64_t)index << lg2)),
		.table = s2_hpa(table),
		.index = index,
		.level = (uint8_t)level,
		.lg2 = (uint8_t)lg2,
	};

	return place;
}

/* IPTE as the machine takes it: the items that one execution makes invalid. False: it refuses. */
static bool execute_ipte(const struct s2_s390_regs *regs, uint64_t pto, bool *invalid)
{
	unsigned px = (unsigned)(regs->r2[0] >> 12) & 0xff;
	unsigned more = (unsigned)regs->r3 & 0xff;

	if ((regs->r1[0] & ~UINT64_C(0x7ff)) != pto || px + more > 255) {
		return false;
	}
	for (unsigned i = 0; i <= more; i++) {
		invalid[px + i] = !invalid[px + i];
	}
	return true;
}

static void ipte_covers(unsigned start, unsigned count, bool range)
{
	bool invalid[256] = {false};
	unsigned at = start;

	while (at < start + count) {
		struct s2_place place = place_at(0x7000, 0, at, UINT64_C(0x40000000));
		struct s2_s390_regs regs;
		size_t done = s2_s390_ipte(&place, start + count - at, range, &regs);

		if (!execute_ipte(&regs, 0x7000, invalid) || done != (range ? count : 1) ||
		    (regs.r1[1] | regs.r2[1]) != 0) {
			ck_abort_msg("%u items from %u", count, start);
		}
		at += (unsigned)done;
	}
	for (unsigned i = 0; i < 256; i++) {
		if (invalid[i] != (i >= start && i < start + count)) {
			ck_abort_msg("%u items from %u: item %u", count, start, i);
		}
	}
}

START_TEST(ipte)
{
	struct s2_place place = place_at(0x7000, 0, 250, 0);
	struct s2_s390_regs regs;

	for (unsigned start = 0; start < 256; start++) {
		for (unsigned count = 1; start + count <= 256; count++) {
			ipte_covers(start, count, true);
		}
		ipte_covers(start, 256 - start, false);
	}
	/* More than the table has is cut at its end. */
	ck_assert_uint_eq(s2_s390_ipte(&place, 100, true, &regs), 6);
	ck_assert_uint_eq(regs.r3, 5);
	ck_assert_uint_eq(regs.r2[0], 250 << 12);
}
END_TEST

/* IDTE, invalidation and clearing: index by table type, additional entries; bits that must be 0. */
static void idte_covers(unsigned level, unsigned start, unsigned count)
{
	static const uint64_t types[] = {0, 0x0, 0x4, 0x8, 0xc};
	static const unsigned shifts[] = {0, 20, 31, 42, 53};
	/* As high above the table as there are bits, so that the index is to be cut out. */
	uint64_t base = level == 4 ? 0 : UINT64_C(5) << (shifts[level] + 11);
	struct s2_place place = place_at(0x1234567890004000, level, start, base);
	struct s2_s390_regs regs;
	size_t done = s2_s390_idte(&place, count, UINT64_C(0x8107), &regs);

	ck_assert_uint_eq(done, count);
	ck_assert_uint_eq(regs.r1[0] & ~UINT64_C(0xfff), UINT64_C(0x1234567890004000));
	ck_assert_uint_eq(regs.r1[0] & 0xfff, types[level]);
	ck_assert_uint_eq((regs.r2[0] >> shifts[level]) & 0x7ff, start);
	ck_assert_uint_eq(regs.r2[0] & 0xff800, 0);
	ck_assert_uint_eq((regs.r2[0] & 0x7ff) + 1, count);
	ck_assert_uint_eq(regs.r3, 0x8107);
}

START_TEST(idte)
{
	struct s2_place place = place_at(0x4000, 1, 2000, 0);
	struct s2_s390_regs regs;

	for (unsigned level = 1; level <= 4; level++) {
		for (unsigned start = 0; start < 2048; start += 1 + start / 7) {
			for (unsigned count = 1; start + count <= 2048; count += 1 + count / 5) {
				idte_covers(level, start, count);
			}
			idte_covers(level, start, 2048 - start);
		}
	}
	ck_assert_uint_eq(s2_s390_idte(&place, 100, 0, &regs), 48);
	s2_s390_idte_space(0x4107, &regs);
	ck_assert_uint_eq(regs.r1[0], 0);
	ck_assert_uint_eq(regs.r2[0], 0x800);
	ck_assert_uint_eq(regs.r3, 0x4107);
}
END_TEST

START_TEST(replacing)
{
	static const uint64_t types[] = {0x00, 0x10, 0x14, 0x18, 0x1c};
	struct s2_s390_regs regs;

	for (unsigned level = 0; level <= 4; level++) {
		struct s2_place place = place_at(0x4000, level, 77, 0);

		s2_s390_crdte(&place, 0x1111, 0x2222, 0x8107, &regs);
		ck_assert_uint_eq(regs.r1[0], 0x1111);
		ck_assert_uint_eq(regs.r1[1], 0x2222);
		ck_assert_uint_eq(regs.r2[0], 0x4000 | types[level]);
		ck_assert_uint_eq(regs.r2[1], UINT64_C(77) << s2_fmt_s390.lg2(level));
		ck_assert_uint_eq(regs.r3, 0x8107);

		s2_s390_cspg(&place, 0x1111, 0x2222, &regs);
		ck_assert_uint_eq(regs.r1[0], 0x1111);
		ck_assert_uint_eq(regs.r1[1], 0x2222);
		ck_assert_uint_eq(regs.r2[0], 0x4000 + 77 * 8 + 1);
		if (level == 0) {
			s2_s390_rdp(&place, 0x8107, &regs);
			ck_assert_uint_eq(regs.r1[0], 0x4000);
			ck_assert_uint_eq(regs.r2[0], 77 << 12);
			ck_assert_uint_eq(regs.r3, 0x8107);
		}
	}
	ck_assert_int_eq(s2_s390_way(0x503d, 0, 0), S2_S390_WAY_CSPG);
	ck_assert_int_eq(s2_s390_way(0x503d, 0, S2_S390_EDAT2), S2_S390_WAY_CRDTE);
	ck_assert_int_eq(s2_s390_way(0x5439, 0, S2_S390_EDAT2), S2_S390_WAY_CSG);
	/* FC of a segment is where pages have I. */
	ck_assert_int_eq(s2_s390_way(0x107c01, 1, S2_S390_EDAT2), S2_S390_WAY_CRDTE);
	ck_assert_int_eq(s2_s390_way(0x107421, 1, S2_S390_EDAT2), S2_S390_WAY_CSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("s390");
	TCase *tc = tcase_create("s390");

	tcase_add_test(tc, config);
	tcase_add_test(tc, sweep);
	tcase_add_test(tc, bits);
	tcase_add_test(tc, not_valid);
	tcase_add_test(tc, marks_of_pages);
	tcase_add_test(tc, marks_of_large_leaves);
	tcase_add_test(tc, asce);
	tcase_add_test(tc, ipte);
	tcase_add_test(tc, idte);
	tcase_add_test(tc, replacing);
	suite_add_tcase(suite, tc);
	return check_main(suite);
}
