/* SPDX-License-Identifier: BSD-2-Clause */
/* G-stage of RISC-V against the Privileged Architecture: hgatp, entries and fences, by hand. */
#include <check.h>

#include "check_main.h"
#include "leaves.h"
#include <stage2/riscv.h>

#define BIT(n) (UINT64_C(1) << (n))
#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static bool can_say(uint64_t features, unsigned prot, unsigned mem)
{
	bool kernel = prot & S2_EXEC;
	bool user = prot & S2_EXEC_USER;

	return ((prot & S2_READ) || !(prot & S2_WRITE)) && kernel == user &&
	       (mem == S2_MEM_NORMAL || (mem <= S2_MEM_DEVICE && (features & S2_RISCV_SVPBMT)));
}

START_TEST(configs)
{
	struct s2_space s;

	for (unsigned bits = 0; bits < 70; bits++) {
		bool fits = bits == 41 || bits == 50 || bits == 59;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, bits, 0, 0) == S2_OK, fits);
		if (fits) {
			leaves_geometry(&s);
			ck_assert_uint_eq(s.top, (bits - 12 - 2) / 9 - 1);
			ck_assert_uint_eq(s.root_size, 16384);
			ck_assert_uint_eq((s.last >> s2_fmt_riscv.lg2(s.top)) + 1, 2048);
		}
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 41, bits, 0) == S2_OK,
				 bits == 0 || (bits > 12 && bits <= 56));
	}
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 41, 0, S2_RISCV_FEATURES_ALL), S2_OK);
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 41, 0, S2_RISCV_FEATURES_ALL + 1u),
			 S2_ERR_FORMAT);
}
END_TEST

/* Any level may have leaves, if the host has addresses for them. Groups of 64 KiB only. */
START_TEST(leaf_sizes)
{
	struct s2_space s;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 59, 0, S2_RISCV_SVNAPOT), S2_OK);
	for (unsigned level = 0; level < 5; level++) {
		ck_assert_uint_eq(s2_fmt_riscv.lg2(level), 12 + 9 * level);
		ck_assert_uint_eq(s2_fmt_riscv.group_lg2(level), level == 0 ? 4 : 0);
		ck_assert_uint_eq(s.leaf_kinds[level],
				  level == 0 ? S2_KIND_SINGLE | S2_KIND_GROUP : S2_KIND_SINGLE);
	}
	ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 59, 40, 0), S2_OK);
	ck_assert_uint_eq(s.leaf_kinds[0], S2_KIND_SINGLE);
	ck_assert_uint_eq(s.leaf_kinds[3], S2_KIND_SINGLE);
	ck_assert_uint_eq(s.leaf_kinds[4], 0);
}
END_TEST

START_TEST(sweep)
{
	for (unsigned features = 0; features <= (S2_RISCV_SVNAPOT | S2_RISCV_SVPBMT); features++) {
		struct s2_space s;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 59, 0, features), S2_OK);
		leaves_sweep(&s, can_say);
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 41, 36, features), S2_OK);
		leaves_sweep(&s, can_say);
	}
}
END_TEST

/* "Sv39 page table entry": V R W X U G A D, PPN from bit 10, PBMT 62:61, N 63. */
START_TEST(bits)
{
	static const struct {
		unsigned prot, mem, level;
		uint64_t hpa, v;
	} cases[] = {
		{S2_RWX, S2_MEM_NORMAL, 0, 0x80001000, 0x80001 << 10 | 0xdf},
		{S2_RW, S2_MEM_NORMAL, 2, BIT(30), BIT(28) | 0xd7},
		{S2_EXEC | S2_EXEC_USER, S2_MEM_NORMAL, 1, BIT(55), BIT(53) | 0xd9},
		{S2_READ, S2_MEM_NC, 0, 0, BIT(61) | 0xd3},
		{S2_READ, S2_MEM_DEVICE, 4, BIT(48), BIT(62) | BIT(46) | 0xd3},
	};
	struct s2_space s;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 59, 0, S2_RISCV_SVPBMT), S2_OK);
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		uint64_t attr;

		ck_assert(s2_fmt_riscv.attr(&s, cases[i].prot, cases[i].mem, &attr));
		ck_assert_uint_eq(s2_fmt_riscv.leaf(&s, attr, cases[i].hpa, cases[i].level),
				  cases[i].v);
	}
	/* "64 KiB contiguous region": PPN[3:0] is 1000, in all sixteen */
	ck_assert_uint_eq(s2_fmt_riscv.group(0x80010 << 10 | 0xdf, 0),
			  BIT(63) | 0x80018 << 10 | 0xdf);
	ck_assert_uint_eq(s2_fmt_riscv.group_step(0), 0);
	ck_assert_uint_eq(s2_fmt_riscv.hpa(&s, BIT(63) | 0x80018 << 10 | 0xdf, 0, 0x1234d000),
			  0x8001d000);
}
END_TEST

START_TEST(reserved)
{
	struct s2_space s;
	uint64_t leaf = 0xdf;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 50, 40, S2_RISCV_FEATURES_ALL), S2_OK);
	ck_assert(s2_fmt_riscv.valid(&s, leaf, 0));
	for (unsigned bit = 54; bit <= 60; bit++) {
		ck_assert(!s2_fmt_riscv.valid(&s, leaf | BIT(bit), 0));
	}
	ck_assert(!s2_fmt_riscv.valid(&s, leaf | BIT(61) | BIT(62), 0)); /* PBMT 3 */
	ck_assert(!s2_fmt_riscv.valid(&s, leaf | BIT(38), 0));		 /* hpa of 41 bits */
	ck_assert(!s2_fmt_riscv.valid(&s, leaf | BIT(10), 1));		 /* not aligned */
	ck_assert(!s2_fmt_riscv.valid(&s, leaf & ~BIT(1), 0));		 /* W without R */
	ck_assert(!s2_fmt_riscv.valid(&s, leaf & ~BIT(4), 0));		 /* U */
	ck_assert(!s2_fmt_riscv.valid(&s, leaf | BIT(5), 0));		 /* G */
	ck_assert(s2_fmt_riscv.valid(&s, leaf & ~(BIT(6) | BIT(7)), 0)); /* A, D */
	for (uint64_t low = 0; low < 16; low++) {
		ck_assert_int_eq(s2_fmt_riscv.valid(&s, leaf | BIT(63) | low << 10, 0), low == 8);
		ck_assert(!s2_fmt_riscv.valid(&s, leaf | BIT(63) | low << 10, 1));
	}
	/* pointers: D, A, U, PBMT and N are reserved */
	ck_assert(s2_fmt_riscv.valid(&s, BIT(10) | 1, 1));
	ck_assert_uint_eq(s2_fmt_riscv.table_hpa(&s, BIT(10) | 1, 1), 0x1000);
	ck_assert(!s2_fmt_riscv.valid(&s, BIT(10) | 1, 0));
	for (unsigned bit = 4; bit < 64; bit += bit == 9 ? 29 : 1) {
		ck_assert(!s2_fmt_riscv.valid(&s, BIT(10) | 1 | BIT(bit), 1));
	}
}
END_TEST

/* A is bit 6, D bit 7; D stays where the right to write is taken away. */
START_TEST(marks)
{
	struct leaves_space l;
	uint64_t fresh = BIT(30) | 0xdf;

	leaves_map(&l, &s2_fmt_riscv, 41, 0, BIT(32), 12, S2_RWX);
	ck_assert_uint_eq(leaves_value(&l), fresh);
	ck_assert_uint_eq(leaves_protect(&l, 12, S2_RX), fresh & ~BIT(2));
	ck_assert_uint_eq(leaves_protect(&l, 12, S2_RWX), fresh);
	ck_assert_uint_eq(leaves_age(&l, 12), fresh & ~BIT(6));
	ck_assert_uint_eq(leaves_clean(&l, 12), fresh & ~(BIT(6) | BIT(7)));
	ck_assert_uint_eq(leaves_touch(&l, false), fresh & ~BIT(7));
	ck_assert_uint_eq(leaves_touch(&l, true), fresh);
	leaves_unmap(&l);
	leaves_map(&l, &s2_fmt_riscv, 41, S2_RISCV_SVNAPOT, BIT(32), 16, S2_RX);
	ck_assert_uint_eq(leaves_value(&l), BIT(63) | BIT(30) | BIT(13) | 0xdb);
	ck_assert_uint_eq(leaves_split(&l, 16, 12), BIT(30) | 0xdb);
	leaves_unmap(&l);
	leaves_map(&l, &s2_fmt_riscv, 41, 0, BIT(32), 21, S2_RX);
	ck_assert_uint_eq(leaves_value(&l), BIT(30) | 0xdb);
	leaves_unmap(&l);
}
END_TEST

/* MODE 63:60, VMID 57:44, PPN 43:0. */
START_TEST(hgatp)
{
	static uint64_t root[512];
	struct s2_space s;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_riscv, 41, 0, 0), S2_OK);
	s.root = root;
	s.config.tables.hpa_offset = 0x80004000 - (uint64_t)(uintptr_t)root;
	ck_assert_uint_eq(s2_riscv_hgatp(&s, 0x1abc), UINT64_C(0x81abc00000080004));
	s.top = 3;
	ck_assert_uint_eq(s2_riscv_hgatp(&s, 0), UINT64_C(0x9000000000080004));
	s.top = 4;
	ck_assert_uint_eq(s2_riscv_hgatp(&s, 0xffff), UINT64_C(0xa3fff00000080004));
}
END_TEST

#define VMID 0x2345

/* A hart's view of a batch of one flush. */
struct hart {
	bool svinval;
	struct s2_flush flush;
	uint64_t entries; /* in order, from the first one on */
	unsigned opened, closed, all;
};

/* ck_assert() for each of some 10^6 operations takes seconds. */
static void expect(bool right, const struct hart *hart)
{
	if (!right) {
		ck_abort_msg("stride %u entry %llu", hart->flush.stride_lg2,
			     (unsigned long long)hart->entries);
	}
}

static void take(void *cookie, enum s2_riscv_op op, uint64_t rs1, uint64_t rs2)
{
	struct hart *hart = cookie;
	unsigned lg2 = hart->flush.stride_lg2;
	uint64_t first = hart->flush.range.start.val >> lg2;

	expect(hart->closed + hart->all == 0, hart);
	switch (op) {
	case S2_RISCV_HFENCE_GVMA:
	case S2_RISCV_HINVAL_GVMA:
		expect((op == S2_RISCV_HINVAL_GVMA) == hart->svinval, hart);
		expect(hart->opened == hart->svinval && rs2 == VMID, hart);
		expect(rs1 << 2 >> lg2 == first + hart->entries, hart);
		hart->entries++;
		break;
	case S2_RISCV_HFENCE_GVMA_ALL:
		expect(hart->entries + hart->opened == 0 && rs2 == VMID, hart);
		hart->all++;
		break;
	case S2_RISCV_SFENCE_W_INVAL:
		expect(hart->svinval, hart);
		hart->opened++;
		break;
	case S2_RISCV_SFENCE_INVAL_IR:
		expect(hart->svinval, hart);
		hart->closed++;
		break;
	}
}

static struct hart run(bool svinval, enum s2_flush_kind kind, uint64_t start, uint64_t len,
		       unsigned stride_lg2)
{
	struct hart hart = {
		.svinval = svinval,
		.flush = {kind, s2_range(s2_gpa(start), len), (uint8_t)stride_lg2, S2_LEVEL_ANY},
	};

	s2_riscv_hfence(svinval ? S2_RISCV_SVINVAL : 0, &hart.flush, 1, VMID, take, &hart);
	ck_assert_uint_eq(hart.opened, hart.closed);
	return hart;
}

START_TEST(hfence)
{
	for (unsigned level = 0; level < 5; level++) {
		unsigned lg2 = 12 + 9 * level;

		for (uint64_t entries = 1; entries < 520; entries++) {
			bool few = entries <= S2_RISCV_HFENCE_MAX;

			for (unsigned svinval = 0; svinval < 2; svinval++) {
				struct hart hart = run(svinval, S2_FLUSH_LEAF, 5 * BIT(lg2),
						       entries << lg2, lg2);

				ck_assert_uint_eq(hart.entries, few ? entries : 0);
				ck_assert_uint_eq(hart.all, !few);
			}
		}
		/* entries that the range cuts, at both ends and at one */
		ck_assert_uint_eq(run(false, S2_FLUSH_LEAF, BIT(lg2 + 1) - 4096, 8192, lg2).entries,
				  2);
		ck_assert_uint_eq(run(false, S2_FLUSH_LEAF, 0, 4096, lg2).entries, 1);
	}
	/* fences for an address do not order pointers */
	ck_assert_uint_eq(run(true, S2_FLUSH_WALK, 0, 4096, 12).all, 1);
	ck_assert_uint_eq(run(false, S2_FLUSH_ALL, 0, BIT(41), 12).all, 1);
}
END_TEST

static void count_op(void *cookie, enum s2_riscv_op op, uint64_t rs1, uint64_t rs2)
{
	unsigned *counts = cookie;

	(void)rs1;
	(void)rs2;
	counts[op]++;
}

START_TEST(batches)
{
	struct s2_flush flush[] = {
		{S2_FLUSH_LEAF, s2_range(s2_gpa(0), 500 * 4096), 12, 0},
		{S2_FLUSH_LEAF, s2_range(s2_gpa(BIT(30)), 12 * 4096), 12, 0},
		/* of a group: item by item ("Svnapot") */
		{S2_FLUSH_LEAF, s2_range(s2_gpa(BIT(31)), BIT(16)), 16, 0},
	};
	unsigned counts[5] = {0};

	s2_riscv_hfence(0, flush, 0, VMID, count_op, counts);
	s2_riscv_hfence(0, flush, 2, VMID, count_op, counts);
	ck_assert_uint_eq(counts[S2_RISCV_HFENCE_GVMA], 512);
	ck_assert_uint_eq(counts[S2_RISCV_HFENCE_GVMA_ALL], 0);
	s2_riscv_hfence(S2_RISCV_SVINVAL, flush, 3, VMID, count_op, counts);
	ck_assert_uint_eq(counts[S2_RISCV_HFENCE_GVMA_ALL], 1);
	ck_assert_uint_eq(counts[S2_RISCV_SFENCE_W_INVAL], 0);
	s2_riscv_hfence(S2_RISCV_SVINVAL, flush + 1, 2, VMID, count_op, counts);
	ck_assert_uint_eq(counts[S2_RISCV_HINVAL_GVMA], 12 + 16);
	ck_assert_uint_eq(counts[S2_RISCV_SFENCE_W_INVAL], 1);
	ck_assert_uint_eq(counts[S2_RISCV_SFENCE_INVAL_IR], 1);
	ck_assert_uint_eq(s2_riscv_rs1(s2_gpa(0x12345000)), 0x48d1400);
	ck_assert_uint_eq(s2_riscv_rs2(0xffff), 0x3fff);
}
END_TEST

/* "RFENCE Extension": size 2^64 - 1 is the whole address space. */
START_TEST(firmware)
{
	struct s2_flush flush = {S2_FLUSH_LEAF, s2_range(s2_gpa(BIT(21)), 8192), 12, 0};
	struct s2_riscv_sbi sbi = s2_riscv_sbi(&flush, VMID);

	ck_assert_uint_eq(S2_RISCV_SBI_RFENCE, 0x52464e43);
	ck_assert_uint_eq(sbi.fid, 3);
	ck_assert_uint_eq(sbi.start, BIT(21));
	ck_assert_uint_eq(sbi.size, 8192);
	ck_assert_uint_eq(sbi.vmid, VMID);
	flush.kind = S2_FLUSH_WALK;
	sbi = s2_riscv_sbi(&flush, VMID);
	ck_assert_uint_eq(sbi.start, 0);
	ck_assert_uint_eq(sbi.size, UINT64_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("riscv");
	TCase *format = tcase_create("format");
	TCase *operands = tcase_create("operands");

	tcase_set_timeout(format, 60);
	tcase_add_test(format, configs);
	tcase_add_test(format, leaf_sizes);
	tcase_add_test(format, sweep);
	tcase_add_test(format, bits);
	tcase_add_test(format, reserved);
	tcase_add_test(format, marks);
	tcase_add_test(operands, hgatp);
	tcase_add_test(operands, hfence);
	tcase_add_test(operands, batches);
	tcase_add_test(operands, firmware);
	suite_add_tcase(suite, format);
	suite_add_tcase(suite, operands);
	return check_main(suite);
}
