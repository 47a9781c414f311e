/* SPDX-License-Identifier: BSD-2-Clause */
/* The mock format against the definition in <stage2/mock.h>, computed by hand. */
#include <check.h>

#include "check_main.h"
#include "leaves.h"
#include <stage2/mock.h>

static bool can_say(uint64_t features, unsigned prot, unsigned mem)
{
	(void)features;
	(void)mem;
	return !(prot & S2_WRITE) || (prot & S2_READ);
}

START_TEST(config)
{
	struct s2_space s;

	for (unsigned bits = 0; bits < 70; bits++) {
		bool fits = bits >= 32 && bits <= 48;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_mock, bits, 0, 0) == S2_OK, fits);
		if (fits) {
			leaves_geometry(&s);
			ck_assert_uint_eq(s.last, (UINT64_C(1) << bits) - 1);
			ck_assert_uint_eq(s.top, bits <= 38 ? 2 : 3);
			ck_assert_uint_eq((s.last >> s2_fmt_mock.lg2(s.top)) + 1, s.root_size / 8);
		}
	}
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_mock, 40, 49, 0), S2_ERR_FORMAT);
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_mock, 40, 29, 0), S2_ERR_FORMAT);
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_mock, 40, 0, 4), S2_ERR_FORMAT);
}
END_TEST

START_TEST(sweep)
{
	static const uint64_t features[] = {0, S2_MOCK_MACHINE_MARKS, S2_MOCK_FLUSH_ON_MAP};

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		struct s2_space s;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_mock, 38, 0, features[i]), S2_OK);
		leaves_sweep(&s, can_say);
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_mock, 48, 36, features[i]), S2_OK);
		leaves_sweep(&s, can_say);
	}
}
END_TEST

/* The same leaf at each level: read and user execute, write-through, 0x123460000000. */
START_TEST(bits)
{
	const uint64_t hpa = UINT64_C(0x123460000000);
	struct s2_space s;
	uint64_t attr;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_mock, 48, 0, 0), S2_OK);
	ck_assert(s2_fmt_mock.attr(&s, S2_READ | S2_EXEC_USER, S2_MEM_WT, &attr));
	/* V 2, rights 1001 at 8, kind 3 at 12, D 17, frame 0x123460000 at 26 */
	ck_assert_uint_eq(s2_fmt_mock.leaf(&s, attr, hpa, 0),
			  UINT64_C(0x123460000) << 26 | 1u << 17 | 3u << 12 | 0x9u << 8 | 1u << 2);
	/* V 63, kind 3 at 60, not-rights 0110 at 56, frame 0x1fffffff - 0x2468c00 at 14, D 0 */
	ck_assert_uint_eq(s2_fmt_mock.leaf(&s, attr, hpa, 1),
			  UINT64_C(1) << 63 | UINT64_C(3) << 60 | UINT64_C(6) << 56 |
				  UINT64_C(0x1db973ff) << 14 | 1u);
	/* frame 0x91a3 at 45, D 10, rights 1001 at 5, kind 3 at 2, L 1, V 0 */
	ck_assert_uint_eq(s2_fmt_mock.leaf(&s, attr, hpa, 2),
			  UINT64_C(0x91a3) << 45 | 1u << 10 | 9u << 5 | 3u << 2 | 2u | 1u);
	ck_assert_uint_eq(s2_fmt_mock.none(0), 0);
	ck_assert_uint_eq(s2_fmt_mock.none(1), 0x401);
	ck_assert_uint_eq(s2_fmt_mock.none(2), 0x010);
	ck_assert_uint_eq(s2_fmt_mock.none(3), 0);
	ck_assert(s2_fmt_mock.big_endian);
}
END_TEST

START_TEST(groups)
{
	struct s2_space s;
	uint64_t attr, v;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_mock, 48, 0, 0), S2_OK);
	ck_assert(s2_fmt_mock.attr(&s, S2_RW, S2_MEM_NORMAL, &attr));
	v = s2_fmt_mock.leaf(&s, attr, 0x4000, 0);
	ck_assert_uint_eq(s2_fmt_mock.group(v, 0), v | 1u << 15);
	ck_assert_uint_eq(s2_fmt_mock.group_step(0), 0);
	v = s2_fmt_mock.leaf(&s, attr, 0x400000, 1);
	ck_assert_uint_eq(s2_fmt_mock.group(v, 1), v | 1u << 2);
	ck_assert_uint_eq(s2_fmt_mock.group_step(1), 1u << 11);
	/* POS without G, and a group of memory that is not aligned */
	ck_assert(!s2_fmt_mock.valid(&s, v | 1u << 11, 1));
	v = s2_fmt_mock.leaf(&s, attr, 0x480000, 1);
	ck_assert(!s2_fmt_mock.valid(&s, v | 1u << 2, 1));
	v = s2_fmt_mock.leaf(&s, attr, 0x5000, 0);
	ck_assert(!s2_fmt_mock.valid(&s, v | 1u << 15, 0));
}
END_TEST

START_TEST(tables)
{
	/* V and T or L, and the address where the level has it. */
	static const struct {
		unsigned level;
		uint64_t v;
		uint64_t hpa;
		bool valid;
	} cases[] = {
		{1, UINT64_C(1) << 63 | 1u << 7 | UINT64_C(0x812345678) << 16, 0x812345678000,
		 true},
		{2, UINT64_C(1) | UINT64_C(0x412345678) << 29, 0x82468acf0000, true},
		{3, UINT64_C(1) << 62 | UINT64_C(0x412345678) << 12, 0x82468acf0000, true},
		{1, UINT64_C(1) << 63 | 1u << 7 | 1u, 0, false},
		{2, UINT64_C(1) | UINT64_C(1) << 28, 0, false},
		{3, UINT64_C(1) << 62 | 1u << 11, 0, false},
	};
	struct s2_space s;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_mock, 48, 0, 0), S2_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(s2_fmt_mock.valid(&s, cases[i].v, cases[i].level) == cases[i].valid,
			      "case %zu", i);
		if (cases[i].valid) {
			ck_assert_uint_eq(s2_fmt_mock.table_hpa(&s, cases[i].v, cases[i].level),
					  cases[i].hpa);
		}
	}
}
END_TEST

/* From 512 MiB to 512 KiB to 4 KiB, by break-before-make; what the leaf says goes along. */
START_TEST(marks)
{
	const uint64_t l2 = UINT64_C(0x91a3) << 45 | 3;
	const uint64_t l1 = UINT64_C(1) << 63 | UINT64_C(0x1db973ff) << 14;
	const uint64_t l0 = UINT64_C(0x123460000) << 26 | 4;
	struct leaves_space l;

	leaves_map(&l, &s2_fmt_mock, 48, 0, UINT64_C(0x123460000000), 29, S2_RWX);
	ck_assert_uint_eq(leaves_value(&l), l2 | 15u << 5 | 1u << 10);
	ck_assert_uint_eq(leaves_age(&l, 29), l2 | 15u << 5 | 1u << 10 | 1u << 9);
	ck_assert_uint_eq(leaves_protect(&l, 29, S2_RX), l2 | 13u << 5 | 1u << 10 | 1u << 9);
	ck_assert_uint_eq(leaves_split(&l, 29, 19), l1 | UINT64_C(2) << 56 | 3);
	ck_assert_uint_eq(leaves_clean(&l, 29), l1 | UINT64_C(2) << 56 | 2);
	ck_assert_uint_eq(leaves_touch(&l, false), l1 | UINT64_C(2) << 56);
	ck_assert_uint_eq(leaves_protect(&l, 29, S2_RW), l1 | UINT64_C(12) << 56);
	ck_assert_uint_eq(leaves_split(&l, 29, 12), l0 | 3u << 8);
	ck_assert_uint_eq(leaves_age(&l, 29), l0 | 3u << 8 | 1u << 16);
	ck_assert_uint_eq(leaves_touch(&l, true), l0 | 3u << 8 | 1u << 17);
	leaves_unmap(&l);
}
END_TEST

/* What is in the root while its first item is being replaced. */
static uint64_t seen;

static void see(void *cookie, const struct s2_flush *flush, size_t count)
{
	const struct leaves_space *l = cookie;
	unsigned char bytes[8];

	(void)flush;
	(void)count;
	memcpy(bytes, l->s.root, sizeof(bytes));
	seen = 0;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		seen = seen << 8 | bytes[i];
	}
}

START_TEST(broken)
{
	struct leaves_space l;
	uint64_t v;

	leaves_map(&l, &s2_fmt_mock, 38, 0, UINT64_C(0x123460000000), 29, S2_RWX);
	v = leaves_value(&l);
	l.mmu.flush = see;
	leaves_split(&l, 29, 19);
	/* V is bit 0 and B is bit 11. */
	ck_assert_uint_eq(seen, v - 1 + (1u << 11));
	leaves_unmap(&l);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mock");
	TCase *tc = tcase_create("mock");

	tcase_add_test(tc, config);
	tcase_add_test(tc, sweep);
	tcase_add_test(tc, bits);
	tcase_add_test(tc, groups);
	tcase_add_test(tc, tables);
	tcase_add_test(tc, marks);
	tcase_add_test(tc, broken);
	suite_add_tcase(suite, tc);
	return check_main(suite);
}
