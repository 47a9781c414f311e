/* SPDX-License-Identifier: BSD-2-Clause */
/* EPT and NPT: items and operands against values computed by hand from the manuals. */
#include <check.h>

#include "check_main.h"
#include "leaves.h"
#include <stage2/x86.h>

#define HPA UINT64_C(0x000a987654321000)
#define SOFT_W (UINT64_C(1) << 52)
#define SOFT_D (UINT64_C(1) << 53)
#define NX (UINT64_C(1) << 63)

static bool ept_can_say(uint64_t features, unsigned prot, unsigned mem)
{
	static const bool exec_alike[] = {true, false, false, true};
	bool read = prot & S2_READ;

	(void)mem;
	if (!exec_alike[prot >> 2] && !(features & S2_EPT_MBE)) {
		return false;
	}
	return read || (!(prot & S2_WRITE) && (features & S2_EPT_EXEC_ONLY));
}

static bool npt_can_say(uint64_t features, unsigned prot, unsigned mem)
{
	(void)features;
	/* r, rw, rx, rwx */
	return (prot == 1 || prot == 3 || prot == 13 || prot == 15) &&
	       (mem == S2_MEM_NORMAL || mem == S2_MEM_WT || mem == S2_MEM_DEVICE);
}

START_TEST(config)
{
	static const struct s2_fmt *fmts[] = {&s2_fmt_ept, &s2_fmt_npt};
	static const uint64_t five[] = {S2_EPT_5LEVEL, S2_NPT_5LEVEL};
	static const uint64_t large[] = {S2_EPT_1G, S2_NPT_1G};
	struct s2_space s;

	for (size_t f = 0; f < 2; f++) {
		ck_assert(!fmts[f]->big_endian);
		for (unsigned bits = 0; bits < 70; bits++) {
			bool fits = bits >= 30 && bits <= 57;

			ck_assert_int_eq(leaves_init(&s, fmts[f], bits, 0, 0) == S2_OK, fits);
			if (fits) {
				leaves_geometry(&s);
				ck_assert_uint_eq(s.top, bits > 48 ? 4 : 3);
				ck_assert_uint_eq(s.root_size, 4096);
				ck_assert_uint_eq(s.last, (UINT64_C(1) << bits) - 1);
				ck_assert_uint_eq(s.hpa_last, (UINT64_C(1) << 52) - 1);
			}
		}
		ck_assert_int_eq(leaves_init(&s, fmts[f], 48, 0, five[f]), S2_OK);
		ck_assert_uint_eq(s.top, 4);
		ck_assert_uint_eq(s.leaf_kinds[2], 0);
		ck_assert_int_eq(leaves_init(&s, fmts[f], 48, 39, large[f]), S2_OK);
		ck_assert_uint_eq(s.leaf_kinds[2], S2_KIND_SINGLE);
		ck_assert_uint_eq(s.hpa_last, (UINT64_C(1) << 39) - 1);
		ck_assert_int_eq(leaves_init(&s, fmts[f], 48, 53, 0), S2_ERR_FORMAT);
		ck_assert_int_eq(leaves_init(&s, fmts[f], 48, 31, 0), S2_ERR_FORMAT);
		ck_assert_int_eq(leaves_init(&s, fmts[f], 48, 0, 64), S2_ERR_FORMAT);
	}
}
END_TEST

START_TEST(sweep)
{
	struct s2_space s;

	for (uint64_t features = 0; features <= S2_EPT_FEATURES_ALL; features++) {
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_ept, 48, 46, features), S2_OK);
		leaves_sweep(&s, ept_can_say);
	}
	for (uint64_t features = 0; features <= S2_NPT_FEATURES_ALL; features++) {
		ck_assert_int_eq(leaves_init(&s, &s2_fmt_npt, 57, 0, features), S2_OK);
		leaves_sweep(&s, npt_can_say);
	}
}
END_TEST

/* The format of a leaf, one field after the other. */
START_TEST(ept_bits)
{
	static const struct {
		uint64_t features;
		unsigned prot;
		unsigned mem;
		unsigned level;
		uint64_t hpa;
		uint64_t want;
	} cases[] = {
		{S2_EPT_AD, S2_READ, S2_MEM_NORMAL, 0, HPA, HPA | 0x331},
		{S2_EPT_AD, S2_RW, S2_MEM_NORMAL, 0, HPA, HPA | 0x333},
		{S2_EPT_AD, S2_RX, S2_MEM_NORMAL, 0, HPA, HPA | 0x335},
		{S2_EPT_AD, S2_RW, S2_MEM_DEVICE, 0, HPA, HPA | 0x343},
		{S2_EPT_AD, S2_RW, S2_MEM_NC, 0, HPA, HPA | 0x34b},
		{S2_EPT_AD, S2_RW, S2_MEM_WT, 0, HPA, HPA | 0x363},
		{S2_EPT_AD, S2_RW, S2_MEM_WP, 0, HPA, HPA | 0x36b},
		{S2_EPT_AD, S2_RWX, S2_MEM_NORMAL, 1, 0x40000000, 0x400003b7},
		{S2_EPT_AD | S2_EPT_1G, S2_RWX, S2_MEM_NORMAL, 2, 0x40000000, 0x400003b7},
		{S2_EPT_AD | S2_EPT_MBE, S2_RWX, S2_MEM_NORMAL, 0, HPA, HPA | 0x737},
		{S2_EPT_AD | S2_EPT_MBE, S2_READ | S2_EXEC, S2_MEM_NORMAL, 0, HPA, HPA | 0x335},
		{S2_EPT_AD | S2_EPT_MBE, S2_READ | S2_EXEC_USER, S2_MEM_NORMAL, 0, HPA,
		 HPA | 0x731},
		{S2_EPT_AD | S2_EPT_EXEC_ONLY, S2_EXEC | S2_EXEC_USER, S2_MEM_NORMAL, 0, HPA,
		 HPA | 0x334},
		{0, S2_RWX, S2_MEM_NORMAL, 0, HPA, HPA | 0x37 | SOFT_W | SOFT_D},
		{0, S2_RX, S2_MEM_NORMAL, 0, HPA, HPA | 0x35 | SOFT_D},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct s2_space s;
		uint64_t attr;

		ck_assert_int_eq(leaves_init(&s, &s2_fmt_ept, 48, 0, cases[i].features), S2_OK);
		ck_assert(s2_fmt_ept.attr(&s, cases[i].prot, cases[i].mem, &attr));
		ck_assert_msg(s2_fmt_ept.leaf(&s, attr, cases[i].hpa, cases[i].level) ==
				      cases[i].want,
			      "case %zu", i);
	}
}
END_TEST

START_TEST(npt_bits)
{
	static const struct {
		unsigned prot;
		unsigned mem;
		unsigned level;
		uint64_t hpa;
		uint64_t want;
	} cases[] = {
		{S2_READ, S2_MEM_NORMAL, 0, HPA, HPA | 0x65 | NX},
		{S2_RW, S2_MEM_NORMAL, 0, HPA, HPA | 0x67 | NX},
		{S2_RX, S2_MEM_NORMAL, 0, HPA, HPA | 0x65},
		{S2_RWX, S2_MEM_WT, 0, HPA, HPA | 0x6f},
		{S2_RWX, S2_MEM_DEVICE, 0, HPA, HPA | 0x7f},
		{S2_RWX, S2_MEM_NORMAL, 1, 0x40000000, 0x400000e7},
		{S2_RW, S2_MEM_DEVICE, 2, 0x40000000, 0x400000ff | NX},
	};
	struct s2_space s;

	ck_assert_int_eq(leaves_init(&s, &s2_fmt_npt, 48, 0, S2_NPT_1G), S2_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t attr;

		ck_assert(s2_fmt_npt.attr(&s, cases[i].prot, cases[i].mem, &attr));
		ck_assert_msg(s2_fmt_npt.leaf(&s, attr, cases[i].hpa, cases[i].level) ==
				      cases[i].want,
			      "case %zu", i);
	}
}
END_TEST

/* Items that only a bug can have made. */
START_TEST(not_valid)
{
	static const struct {
		const struct s2_fmt *fmt;
		uint64_t features;
		unsigned level;
		uint64_t v;
		bool valid;
	} cases[] = {
		{&s2_fmt_ept, 0, 1, 0x5007, true},	     /* a table */
		{&s2_fmt_ept, 0, 1, 0x5107, false},	     /* accessed, where nobody keeps that */
		{&s2_fmt_ept, S2_EPT_AD, 1, 0x5107, true},   /* accessed from the start */
		{&s2_fmt_ept, S2_EPT_AD, 1, 0x5007, false},  /* the processor would write */
		{&s2_fmt_ept, S2_EPT_MBE, 1, 0x5407, true},  /* user execute in tables, too */
		{&s2_fmt_ept, S2_EPT_MBE, 1, 0x5007, false}, /* or nothing below has it */
		{&s2_fmt_ept, 0, 1, 0x500f, false},	     /* reserved bits */
		{&s2_fmt_ept, 0, 3, 0x400000b7, false},	     /* large bit where it is reserved */
		{&s2_fmt_ept, 0, 2, 0x400000b7 | SOFT_W | SOFT_D,
		 false}, /* 1 GiB without feature */
		{&s2_fmt_ept, S2_EPT_1G, 2, 0x400000b7 | SOFT_W | SOFT_D, true},
		{&s2_fmt_ept, S2_EPT_1G, 2, 0x600000b7 | SOFT_W | SOFT_D, false}, /* not aligned */
		{&s2_fmt_ept, 0, 0, 0x5037 | SOFT_W | SOFT_D, true},
		{&s2_fmt_ept, 0, 0, 0x5037 | SOFT_W, false}, /* clean, and yet writable */
		{&s2_fmt_ept, 0, 0, 0x5035 | SOFT_W, true},  /* clean */
		{&s2_fmt_ept, 0, 0, 0x5037 | SOFT_D, false}, /* writable without saying so */
		{&s2_fmt_ept, S2_EPT_AD, 0, 0x5032, false},  /* write without read */
		{&s2_fmt_ept, S2_EPT_AD, 0, 0x5034, false},  /* execute without read */
		{&s2_fmt_ept, S2_EPT_AD, 0, 0x5030, false},  /* no rights */
		{&s2_fmt_ept, S2_EPT_AD, 0, 0x5011, false},  /* memory type 2 */
		{&s2_fmt_ept, S2_EPT_AD, 0, 0x5071, false},  /* write-back and IPAT */
		{&s2_fmt_ept, S2_EPT_AD, 0, 0x5431, false},  /* user execute without the feature */
		{&s2_fmt_ept, S2_EPT_AD, 0, NX | 0x5031, false}, /* suppress #VE */
		{&s2_fmt_npt, 0, 1, 0x5027, true},
		{&s2_fmt_npt, 0, 1, 0x5007, false},	 /* the processor would write */
		{&s2_fmt_npt, 0, 1, 0x5023, false},	 /* not for users: nested walks are */
		{&s2_fmt_npt, 0, 1, 0x5027 | NX, false}, /* nothing below could be executed */
		{&s2_fmt_npt, 0, 0, 0x5063, false},	 /* not for users */
		{&s2_fmt_npt, 0, 0, 0x50e7, false},	 /* the PAT bit of pages */
		{&s2_fmt_npt, 0, 1, 0x2010e7, false},	 /* the PAT bit of large leaves */
		{&s2_fmt_npt, 0, 1, 0x2000e7, true},
		{&s2_fmt_npt, 0, 0, 0x5077, false}, /* UC-: device is UC */
		{&s2_fmt_npt, 0, 0, 0x5167, false}, /* global */
		{&s2_fmt_npt, 0, 3, 0xe7, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct s2_space s;

		ck_assert_int_eq(leaves_init(&s, cases[i].fmt, 48, 40, cases[i].features), S2_OK);
		ck_assert_msg(cases[i].fmt->valid(&s, cases[i].v, cases[i].level) == cases[i].valid,
			      "case %zu", i);
	}
}
END_TEST

/* The processor does not keep dirty: it must fault on the write, and software bits remember. */
START_TEST(ept_marks_by_software)
{
	struct leaves_space l;
	uint64_t young;

	leaves_map(&l, &s2_fmt_ept, 48, 0, HPA, 12, S2_RWX);
	ck_assert_uint_eq(leaves_value(&l), HPA | 0x37 | SOFT_W | SOFT_D);
	ck_assert_uint_eq(leaves_clean(&l, 12), HPA | 0x35 | SOFT_W);
	ck_assert_uint_eq(leaves_protect(&l, 12, S2_RX), HPA | 0x35);
	ck_assert_uint_eq(leaves_protect(&l, 12, S2_RW), HPA | 0x31 | SOFT_W);
	ck_assert_uint_eq(leaves_touch(&l, false), HPA | 0x31 | SOFT_W);
	ck_assert_uint_eq(leaves_touch(&l, true), HPA | 0x33 | SOFT_W | SOFT_D);
	ck_assert_uint_eq(leaves_protect(&l, 12, S2_READ), HPA | 0x31 | SOFT_D);
	ck_assert_uint_eq(leaves_protect(&l, 12, S2_RWX), HPA | 0x37 | SOFT_W | SOFT_D);
	ck_assert_int_eq(s2_age(&l.s, s2_range(s2_gpa(0), S2_PAGE_SIZE), &l.g, &young),
			 S2_ERR_FORMAT);
	leaves_unmap(&l);
}
END_TEST

START_TEST(ept_marks_by_machine)
{
	struct leaves_space l;

	leaves_map(&l, &s2_fmt_ept, 48, S2_EPT_AD | S2_EPT_1G, 0x40000000, 30, S2_RWX);
	ck_assert_uint_eq(leaves_value(&l), 0x400003b7);
	ck_assert_uint_eq(leaves_age(&l, 30), 0x400002b7);
	ck_assert_uint_eq(leaves_clean(&l, 30), 0x400000b7);
	ck_assert_uint_eq(leaves_protect(&l, 30, S2_RX), 0x400000b5);
	ck_assert_uint_eq(leaves_split(&l, 30, 21), 0x400000b5);
	ck_assert_uint_eq(leaves_split(&l, 30, 12), 0x40000035);
	ck_assert_uint_eq(leaves_touch(&l, false), 0x40000135);
	leaves_unmap(&l);
}
END_TEST

START_TEST(npt_marks)
{
	struct leaves_space l;

	leaves_map(&l, &s2_fmt_npt, 48, 0, 0x40000000, 21, S2_RWX);
	ck_assert_uint_eq(leaves_value(&l), 0x400000e7);
	ck_assert_uint_eq(leaves_age(&l, 21), 0x400000c7);
	ck_assert_uint_eq(leaves_clean(&l, 21), 0x40000087);
	ck_assert_uint_eq(leaves_protect(&l, 21, S2_READ), 0x40000085 | NX);
	ck_assert_uint_eq(leaves_split(&l, 21, 12), 0x40000005 | NX);
	ck_assert_uint_eq(leaves_protect(&l, 21, S2_RW), 0x40000007 | NX);
	ck_assert_uint_eq(leaves_touch(&l, true), 0x40000067 | NX);
	leaves_unmap(&l);
}
END_TEST

START_TEST(operands)
{
	uint64_t pointer = s2_ept_pointer(s2_hpa(0x12345000), 3, S2_EPT_AD | S2_EPT_1G);

	ck_assert_uint_eq(pointer, 0x1234505e);
	ck_assert_uint_eq(s2_ept_pointer(s2_hpa(0x12345000), 3, S2_EPT_MBE), 0x1234501e);
	ck_assert_uint_eq(s2_ept_pointer(s2_hpa(HPA), 4, 0), HPA | 0x26);
	ck_assert_uint_eq(s2_ept_flush(pointer).type, 1);
	ck_assert_uint_eq(s2_ept_flush(pointer).descriptor[0], pointer);
	ck_assert_uint_eq(s2_ept_flush(pointer).descriptor[1], 0);
	ck_assert_uint_eq(s2_ept_flush_global().type, 2);
	ck_assert_uint_eq(s2_ept_flush_global().descriptor[0], 0);
	ck_assert_uint_eq(s2_ept_flush_global().descriptor[1], 0);

	ck_assert_uint_eq(s2_npt_ncr3(s2_hpa(HPA)), HPA);
	ck_assert_uint_eq(s2_npt_flush(true), 3);
	ck_assert_uint_eq(s2_npt_flush(false), 1);
	ck_assert_uint_eq(s2_npt_invlpga(UINT64_C(0xffff800000001000), 7).rax,
			  UINT64_C(0xffff800000001000));
	ck_assert_uint_eq(s2_npt_invlpga(0, 7).ecx, 7);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("x86");
	TCase *tc = tcase_create("x86");

	tcase_add_test(tc, config);
	tcase_add_test(tc, sweep);
	tcase_add_test(tc, ept_bits);
	tcase_add_test(tc, npt_bits);
	tcase_add_test(tc, not_valid);
	tcase_add_test(tc, ept_marks_by_software);
	tcase_add_test(tc, ept_marks_by_machine);
	tcase_add_test(tc, npt_marks);
	tcase_add_test(tc, operands);
	suite_add_tcase(suite, tc);
	return check_main(suite);
}
