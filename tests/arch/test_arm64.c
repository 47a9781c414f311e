/* SPDX-License-Identifier: BSD-2-Clause */
/* Stage 2 of arm64 against the Arm ARM: shapes, registers and descriptors, computed by hand. */
#include <check.h>

#include "check_main.h"
#include "leaves.h"
#include <stage2/arm64.h>

#define BIT(n) (UINT64_C(1) << (n))
#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static bool can_say(uint64_t features, unsigned prot, unsigned mem)
{
	bool kernel = prot & S2_EXEC;
	bool user = prot & S2_EXEC_USER;

	return ((prot & S2_READ) || !(prot & S2_WRITE)) && mem <= S2_MEM_DEVICE &&
	       (kernel == user || (features & S2_ARM64_XNX));
}

/* D8.2.8.2, tables D8-21 to D8-23: the initial level and how many tables are concatenated there. */
START_TEST(shapes)
{
	static const struct {
		unsigned bits, top;
		size_t root_size;
	} cases[] = {
		{32, 1, 4 * 4096},  {33, 1, 8 * 4096}, {34, 1, 16 * 4096}, {35, 2, 4096},
		{36, 2, 4096},	    {39, 2, 4096},     {40, 2, 2 * 4096},  {42, 2, 8 * 4096},
		{43, 2, 16 * 4096}, {44, 3, 4096},     {48, 3, 4096},	   {49, 3, 2 * 4096},
		{50, 3, 4 * 4096},  {51, 3, 8 * 4096}, {52, 3, 16 * 4096},
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct s2_space s;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, cases[i].bits, 0, S2_ARM64_LPA2),
				 S2_OK);
		ck_assert_uint_eq(s.top, cases[i].top);
		ck_assert_uint_eq(s.root_size, cases[i].root_size);
		ck_assert_uint_eq(s.last, BIT(cases[i].bits) - 1);
		leaves_geometry(&s);
	}
}
END_TEST

START_TEST(configs)
{
	struct s2_space s;

	for (unsigned bits = 0; bits < 70; bits++) {
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, bits, 0, 0) == S2_OK,
				 bits >= 32 && bits <= 48);
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, bits, 0, S2_ARM64_LPA2) == S2_OK,
				 bits >= 32 && bits <= 52);
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 40, bits, 0) == S2_OK,
				 bits == 0 || (bits > 12 && bits <= 48));
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 40, bits, S2_ARM64_LPA2) == S2_OK,
				 bits == 0 || (bits > 12 && bits <= 52));
	}
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 40, 0, S2_ARM64_HD), S2_ERR_FORMAT);
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 40, 0, S2_ARM64_FEATURES_ALL), S2_OK);
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 40, 0, S2_ARM64_FEATURES_ALL + 1u),
			 S2_ERR_FORMAT);
}
END_TEST

/* D8.2.8, table D8-17; D8.7.1, table D8-104. */
START_TEST(leaf_sizes)
{
	const unsigned both = S2_KIND_SINGLE | S2_KIND_GROUP;
	struct s2_space s;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 48, 0, 0), S2_OK);
	for (unsigned level = 0; level < 4; level++) {
		ck_assert_uint_eq(s.leaf_kinds[level], level < 3 ? S2_KIND_SINGLE : 0);
	}
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 48, 0, S2_ARM64_CONT | S2_ARM64_LPA2),
			 S2_OK);
	for (unsigned level = 0; level < 4; level++) {
		ck_assert_uint_eq(s.leaf_kinds[level], level < 3 ? both : S2_KIND_SINGLE);
		ck_assert_uint_eq(s2_fmt_arm64.lg2(level), 12 + 9 * level);
		ck_assert_uint_eq(s2_fmt_arm64.group_lg2(level), level < 3 ? 4 : 0);
	}
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 34, 0, S2_ARM64_CONT), S2_OK);
	ck_assert_uint_eq(s.leaf_kinds[1], both);
	ck_assert_uint_eq(s.leaf_kinds[2], 0);
}
END_TEST

/* D24.2.224: T0SZ 5:0, SL0 7:6, IRGN0, ORGN0, SH0, PS 18:16, VS, HA, HD, RES1 31, DS 32. */
START_TEST(vtcr)
{
	static const struct {
		unsigned gpa_bits, hpa_bits, features;
		uint64_t vtcr;
	} cases[] = {
		{40, 40, 0, UINT64_C(0x80023558)},
		{48, 48, 0, UINT64_C(0x80053590)},
		{48, 0, 0, UINT64_C(0x80053590)},
		{39, 44, 0, UINT64_C(0x80043559)},
		{44, 42, 0, UINT64_C(0x80033594)},
		{32, 36, S2_ARM64_HA | S2_ARM64_HD | S2_ARM64_VMID16, UINT64_C(0x80693520)},
		{34, 32, S2_ARM64_HA, UINT64_C(0x8020351e)},
		{34, 33, S2_ARM64_HA, UINT64_C(0x8021351e)},
		{52, 0, S2_ARM64_LPA2, UINT64_C(0x18006358c)},
		{43, 48, S2_ARM64_LPA2, UINT64_C(0x180053555)},
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct s2_space s;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, cases[i].gpa_bits,
					     cases[i].hpa_bits, cases[i].features),
				 S2_OK);
		ck_assert_uint_eq(s2_arm64_vtcr(&s), cases[i].vtcr);
	}
}
END_TEST

/* D24.2.225; s2_space_root() is the root's address plus the offset. */
START_TEST(vttbr)
{
	static uint64_t root[512];
	struct s2_space s;
	uint64_t base = (uint64_t)(uintptr_t)root;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 48, 0, S2_ARM64_VMID16), S2_OK);
	s.root = root;
	s.config.tables.hpa_offset = UINT64_C(0x0000123456789000) - base;
	ck_assert_uint_eq(s2_arm64_vttbr(&s, 0xabcd), UINT64_C(0xabcd123456789000));
	s.config.features = S2_ARM64_CNP;
	ck_assert_uint_eq(s2_arm64_vttbr(&s, 0xabcd), UINT64_C(0x00cd123456789001));
	s.config.features = S2_ARM64_LPA2;
	s.config.tables.hpa_offset = UINT64_C(0x000d123456780000) - base;
	ck_assert_uint_eq(s2_arm64_vttbr(&s, 1), UINT64_C(0x0001123456780034));
}
END_TEST

START_TEST(sweep)
{
	const unsigned last = S2_ARM64_LPA2 | S2_ARM64_FWB | S2_ARM64_XNX | S2_ARM64_CONT |
			      S2_ARM64_HA | S2_ARM64_HD;

	for (unsigned features = 0; features <= last; features++) {
		struct s2_space s;
		bool ha = features & S2_ARM64_HA;
		bool hd = features & S2_ARM64_HD;

		if (ha != hd) {
			continue;
		}
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 48, 0, features), S2_OK);
		leaves_sweep(&s, can_say);
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 34, 36, features), S2_OK);
		leaves_sweep(&s, can_say);
	}
}
END_TEST

/* One bit in each of D8.3.1.2's fields: table D8-53. */
START_TEST(bits)
{
	static const struct {
		unsigned features, prot, mem, level;
		uint64_t hpa, v;
	} cases[] = {
		/* valid, page, MemAttr 1111, S2AP 11, SH 11, AF, DBM 51, XN 00 */
		{0, S2_RWX, S2_MEM_NORMAL, 0, 0x12345000, 0x12345000 | 0x7ff | BIT(51)},
		/* block; read-only: dirty is in bit 56; XN 10 */
		{0, S2_READ, S2_MEM_NORMAL, 1, BIT(47), BIT(47) | 0x77d | BIT(56) | BIT(54)},
		/* MemAttr 0110 */
		{S2_ARM64_FWB, S2_RX, S2_MEM_NORMAL, 2, BIT(30), BIT(30) | 0x759 | BIT(56)},
		/* MemAttr 0101, SH 10; 0001 */
		{0, S2_RW, S2_MEM_NC, 1, BIT(21), BIT(21) | 0x6d5 | BIT(51) | BIT(54)},
		{S2_ARM64_FWB, S2_RW, S2_MEM_NC, 1, BIT(21), BIT(21) | 0x6d5 | BIT(51) | BIT(54)},
		{0, S2_RW, S2_MEM_DEVICE, 0, 0x9000000, 0x9000000 | 0x6c7 | BIT(51) | BIT(54)},
		{S2_ARM64_FWB, S2_RW, S2_MEM_DEVICE, 0, 0, 0x6c7 | BIT(51) | BIT(54)},
		/* XN 11: the kernel may; 01: the user may; execute alone */
		{S2_ARM64_XNX, S2_READ | S2_EXEC, S2_MEM_NORMAL, 0, 0,
		 0x77f | BIT(56) | BIT(54) | BIT(53)},
		{S2_ARM64_XNX, S2_READ | S2_EXEC_USER, S2_MEM_NORMAL, 0, 0,
		 0x77f | BIT(56) | BIT(53)},
		{0, S2_EXEC | S2_EXEC_USER, S2_MEM_NORMAL, 0, 0, 0x73f | BIT(56)},
		/* address bits 49:48 in place, 51:50 in 9:8 where SH was; 512 GiB */
		{S2_ARM64_LPA2, S2_RX, S2_MEM_NORMAL, 0, UINT64_C(0xf123456789000),
		 UINT64_C(0x3123456789000) | 0x77f | BIT(56)},
		{S2_ARM64_LPA2, S2_RX, S2_MEM_NORMAL, 3, BIT(51) | BIT(39),
		 BIT(39) | 0x67d | BIT(56)},
		{S2_ARM64_LPA2, S2_RW, S2_MEM_DEVICE, 1, BIT(50),
		 0x100 | 0x4c5 | BIT(51) | BIT(54)},
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct s2_space s;
		uint64_t attr;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 48, 0, cases[i].features), S2_OK);
		ck_assert(s2_fmt_arm64.attr(&s, cases[i].prot, cases[i].mem, &attr));
		ck_assert_msg(s2_fmt_arm64.leaf(&s, attr, cases[i].hpa, cases[i].level) ==
				      cases[i].v,
			      "case %zu: %016llx", i,
			      (unsigned long long)s2_fmt_arm64.leaf(&s, attr, cases[i].hpa,
								    cases[i].level));
	}
	ck_assert_uint_eq(s2_fmt_arm64.group(0x7ff, 0), BIT(52) | 0x7ff);
	ck_assert_uint_eq(s2_fmt_arm64.group_step(2), BIT(30));
}
END_TEST

/* What table D8-53 reserves, and table D8-48: pages at level 0 only, blocks above. */
START_TEST(reserved)
{
	struct s2_space s;
	uint64_t page = 0x7ff | BIT(51);
	uint64_t block = 0x7fd | BIT(51);

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 48, 40, S2_ARM64_CONT), S2_OK);
	ck_assert(s2_fmt_arm64.valid(&s, page, 0));
	ck_assert(s2_fmt_arm64.valid(&s, page | BIT(52), 0));
	ck_assert(s2_fmt_arm64.valid(&s, block, 1));
	ck_assert(!s2_fmt_arm64.valid(&s, block, 0));
	ck_assert(!s2_fmt_arm64.valid(&s, block, 3));
	ck_assert(!s2_fmt_arm64.valid(&s, page | BIT(40), 0));
	ck_assert(!s2_fmt_arm64.valid(&s, block | BIT(12), 1));
	ck_assert(!s2_fmt_arm64.valid(&s, block | BIT(16), 1)); /* nT does not stay */
	ck_assert(!s2_fmt_arm64.valid(&s, page & ~BIT(6), 0));	/* write without read */
	ck_assert(!s2_fmt_arm64.valid(&s, page & ~BIT(51), 0)); /* S2AP[1] without DBM */
	ck_assert(s2_fmt_arm64.valid(&s, page & ~BIT(7), 0));	/* writable and clean */
	ck_assert(s2_fmt_arm64.valid(&s, page & ~BIT(10), 0));	/* not accessed */
	/* a table at bit 12, and one past the end */
	ck_assert(s2_fmt_arm64.valid(&s, 0x1003, 1));
	ck_assert(!s2_fmt_arm64.valid(&s, BIT(40) | 3, 1));
	ck_assert(!s2_fmt_arm64.valid(&s, 0x1007, 1));
	ck_assert_uint_eq(s2_fmt_arm64.table_hpa(&s, 0x1003, 1), 0x1000);
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_arm64, 48, 0, S2_ARM64_LPA2), S2_OK);
	ck_assert_uint_eq(s2_fmt_arm64.table_hpa(&s, BIT(48) | 0x303, 3),
			  BIT(51) | BIT(50) | BIT(48));
	ck_assert(!s2_fmt_arm64.valid(&s, page | BIT(52), 0)); /* no groups asked for */
	ck_assert(!s2_fmt_arm64.valid(&s, (BIT(39) | 0x4fd | BIT(51) | BIT(52)), 3));
}
END_TEST

/* The marks: AF is bit 10, S2AP[1] bit 7, DBM bit 51, dirty in what is not writable bit 56. */
START_TEST(marks)
{
	static const unsigned features[] = {0, S2_ARM64_HA, S2_ARM64_HA | S2_ARM64_HD};

	for (size_t i = 0; i < ELEMENTS(features); i++) {
		struct leaves_space l;
		uint64_t fresh = BIT(32) | 0x7ff | BIT(51);

		leaves_map(&l, &s2_fmt_arm64, 40, features[i], BIT(32), 12, S2_RWX);
		ck_assert_uint_eq(leaves_value(&l), fresh);
		ck_assert_uint_eq(leaves_protect(&l, 12, S2_RX),
				  (fresh & ~(BIT(51) | BIT(7))) | BIT(56));
		ck_assert_uint_eq(leaves_protect(&l, 12, S2_RW), fresh | BIT(54));
		ck_assert_uint_eq(leaves_protect(&l, 12, S2_RWX), fresh);
		ck_assert_uint_eq(leaves_age(&l, 12), fresh & ~BIT(10));
		ck_assert_uint_eq(leaves_touch(&l, false), fresh);
		ck_assert_uint_eq(leaves_clean(&l, 12), fresh & ~BIT(7));
		ck_assert_uint_eq(leaves_protect(&l, 12, S2_RX), fresh & ~(BIT(51) | BIT(7)));
		ck_assert_uint_eq(leaves_protect(&l, 12, S2_RWX), fresh & ~BIT(7));
		ck_assert_uint_eq(leaves_touch(&l, true), fresh);
		leaves_unmap(&l);
	}
}
END_TEST

/* How a block of 2 MiB at gpa 0 becomes a table: what it is at the flush in between, if any. */
struct watch {
	struct leaves_space l;
	unsigned flushes;
	uint64_t seen;
	bool broken;
};

static bool watch_item(void *cookie, const struct s2_item *item)
{
	struct watch *w = cookie;

	if (item->place.level != 1 || item->place.index != 0) {
		return true;
	}
	w->seen = item->value;
	w->broken = item->broken;
	return false;
}

static void watch_flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	struct watch *w = cookie;

	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(flush->range.start.val, 0);
	w->flushes++;
	ck_assert(!s2_visit(&w->l.s, watch_item, w));
}

static void watch_split(struct watch *w, unsigned features)
{
	memset(w, 0, sizeof(*w));
	leaves_map(&w->l, &s2_fmt_arm64, 39, features, BIT(32), 21, S2_RWX);
	w->l.mmu.flush = watch_flush;
	leaves_split(&w->l, 21, 12);
}

/* D8.17.1 and D8.17.2. */
START_TEST(replace)
{
	const uint64_t block = BIT(32) | 0x7fd | BIT(51);
	struct watch w;

	watch_split(&w, 0);
	ck_assert_uint_eq(w.flushes, 1);
	ck_assert(w.broken);
	leaves_unmap(&w.l);

	watch_split(&w, S2_ARM64_BBM1);
	ck_assert_uint_eq(w.flushes, 1);
	ck_assert(!w.broken);
	ck_assert_uint_eq(w.seen, block | BIT(16));
	ck_assert_uint_eq(leaves_value(&w.l), BIT(32) | 0x7ff | BIT(51));
	leaves_unmap(&w.l);

	watch_split(&w, S2_ARM64_BBM2);
	ck_assert_uint_eq(w.flushes, 0);
	leaves_unmap(&w.l);

	/* R_RTBRL: not where a dirty mark could be lost */
	watch_split(&w, S2_ARM64_BBM1 | S2_ARM64_BBM2 | S2_ARM64_HA | S2_ARM64_HD);
	ck_assert_uint_eq(w.flushes, 1);
	ck_assert(w.broken);
	leaves_unmap(&w.l);
}
END_TEST

/* With tables in low memory, and each bit that an output address can have. */
START_TEST(lookup_lpa2)
{
	static const uint8_t sizes[] = {12, 21, 30};
	struct leaves_space l;

	for (unsigned i = 0; i < 3 * (52 - 30); i++) {
		uint64_t hpa = BIT(30 + i / 3);
		s2_hpa_t out = {0};

		leaves_map(&l, &s2_fmt_arm64, 40, S2_ARM64_LPA2, hpa, sizes[i % 3], S2_RWX);
		ck_assert_int_eq(s2_lookup(&l.s, s2_gpa(0x123), &out), S2_OK);
		ck_assert_uint_eq(out.val, hpa + 0x123);
		leaves_unmap(&l);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("arm64");
	TCase *format = tcase_create("format");
	TCase *registers = tcase_create("registers");

	tcase_set_timeout(format, 60);
	tcase_add_test(format, shapes);
	tcase_add_test(format, configs);
	tcase_add_test(format, leaf_sizes);
	tcase_add_test(format, sweep);
	tcase_add_test(format, bits);
	tcase_add_test(format, reserved);
	tcase_add_test(format, marks);
	tcase_add_test(format, replace);
	tcase_add_test(format, lookup_lpa2);
	tcase_add_test(registers, vtcr);
	tcase_add_test(registers, vttbr);
	suite_add_tcase(suite, format);
	suite_add_tcase(suite, registers);
	return check_main(suite);
}
