/* SPDX-License-Identifier: BSD-2-Clause */
/* The walkers: what each format's items say. */
#include "test_walk.h"

struct example {
	const char *variant;
	unsigned level;
	uint64_t value;
	const char *why; /* or what is expected of it: */
	uint64_t hpa;
	unsigned prot;
	enum s2_mem mem;
	int accessed, dirty;
};

/* At the first item of its level. */
static const struct example examples[] = {
	/* mock: 5:5 is no name; kind 5; no rights; write without read */
	{"mock-48", 0, 0x20f24, "mock: bits without a name are set", 0, 0, 0, 0, 0},
	{"mock-48", 0, 0x25f04, "mock: no such kind of memory", 0, 0, 0, 0, 0},
	{"mock-48", 0, 0x20004, "mock: a leaf without rights", 0, 0, 0, 0, 0},
	{"mock-48", 0, 0x20604, "mock: write without read", 0, 0, 0, 0, 0},
	{"mock-48", 0, 0x4014904 | 3u << 16, NULL, 0x1000, S2_READ | S2_EXEC_USER, S2_MEM_WP, 0, 1},
	{"mock-48", 1, 0xc700000000000803 | UINT64_C(0x1fffffff) << 14,
	 "mock: another place in the group", 0, 0, 0, 0, 0},
	{"mock-48", 1, 0xb300000000000003 | UINT64_C(0x1ffffffd) << 14, NULL, 0x100000,
	 S2_EXEC | S2_EXEC_USER, S2_MEM_WT, 0, 1},
	{"mock-39-flush", 1, 0x8000000000000000,
	 "the address of a leaf is past the end of the host's memory", 0, 0, 0, 0, 0},
	{"mock-48", 2, 0x600000000027 | 0x600, NULL, UINT64_C(3) << 29, S2_READ, S2_MEM_NC, 0, 1},
	{"mock-48", 2, 0x80e3, "mock: bits without a name are set", 0, 0, 0, 0, 0},
	{"mock-48", 3, 0xc000000000000000, "mock: bits without a name are set", 0, 0, 0, 0, 0},
	{"mock-48", 2, 1, "a pointer to a table leads to memory that is none", 0, 0, 0, 0, 0},

	/* arm64 */
	{"arm64-48", 0, 0x1000 | 0x7ff, NULL, 0x1000, S2_RWX, S2_MEM_NORMAL, 1, 1},
	{"arm64-48", 0, 0x1000 | 0x7fd, "arm64: a block at the level of pages", 0, 0, 0, 0, 0},
	{"arm64-48", 0, 0x1000 | 0x7d7, NULL, 0x1000, S2_RWX, S2_MEM_NC, 1, 1},
	{"arm64-48", 0, 0x1000 | 0x4c7, NULL, 0x1000, S2_RWX, S2_MEM_DEVICE, 1, 1},
	{"arm64-48", 0, 0x1000 | 0x7eb, NULL, 0x1000, S2_RWX, S2_MEM_WT, 1, 1},
	{"arm64-48", 0, 0x1000 | 0x7f3, "arm64: MemAttr is reserved, or of no kind that there is",
	 0, 0, 0, 0, 0},
	{"arm64-48", 0, 0x1000 | 0x4ff, "arm64: memory that can be cached is not shareable", 0, 0,
	 0, 0, 0},
	{"arm64-48", 0, 0x1000 | 0x7bf, "arm64: write without read", 0, 0, 0, 0, 0},
	{"arm64-48", 0, 0x1000 | 0xfff, "arm64: FnXS", 0, 0, 0, 0, 0},
	{"arm64-48", 0, 0x1000 | 0x3ff, NULL, 0x1000, S2_RWX, S2_MEM_NORMAL, 0, 1},
	{"arm64-48", 0, 0x0040000000001000 | 0x77f, NULL, 0x1000, S2_READ, S2_MEM_NORMAL, 1, 1},
	{"arm64-48", 0, 0x0048000000001000 | 0x77f, NULL, 0x1000, S2_READ, S2_MEM_NORMAL, 1, 1},
	{"arm64-48", 0, 0x0020000000001000 | 0x7ff, "arm64: bit 53 is RES0 without FEAT_XNX", 0, 0,
	 0, 0, 0},
	{"arm64-48", 0, 0x0010000000000000 | 0x7ff, "arm64: Contiguous, which was not asked for", 0,
	 0, 0, 0, 0},
	{"arm64-48", 0, 0x0004000000001000 | 0x7ff, "arm64: bit 50 is RES0", 0, 0, 0, 0, 0},
	{"arm64-48", 0, 0x0001000000001000 | 0x7ff, "arm64: bits 49:48 are RES0 without DS", 0, 0,
	 0, 0, 0},
	{"arm64-48", 0, 0x0800000000001000 | 0x7ff, "arm64: bits 63:59 of a leaf are for others", 0,
	 0, 0, 0, 0},
	{"arm64-48", 1, 0x201000 | 0x7fd, "arm64: address bits of a block below its size are RES0",
	 0, 0, 0, 0, 0},
	{"arm64-48", 1, 0x210000 | 0x7fd, "arm64: nT without FEAT_BBML1", 0, 0, 0, 0, 0},
	{"arm64-48", 3, 0x7fd, "arm64: a block at level 0 without DS", 0, 0, 0, 0, 0},
	{"arm64-48", 1, 0x8000000000000003, "arm64: bits 63:59 of a table are RES0", 0, 0, 0, 0, 0},
	{"arm64-40-fwb", 0, 0x1000 | 0x7db, NULL, 0x1000, S2_RWX, S2_MEM_NORMAL, 1, 1},
	{"arm64-40-fwb", 0, 0x1000 | 0x7d7, NULL, 0x1000, S2_RWX, S2_MEM_NC, 1, 1},
	{"arm64-40-fwb", 0, 0x1000 | 0x7ff,
	 "arm64: MemAttr is reserved, or of no kind that there is", 0, 0, 0, 0, 0},
	{"arm64-40-fwb", 0, 0x0000010000001000 | 0x7db,
	 "the address of a leaf is past the end of the host's memory", 0, 0, 0, 0, 0},
	{"arm64-36-ha-xnx", 0, 0x0020000000001000 | 0x7ff, NULL, 0x1000, RWU, S2_MEM_NORMAL, 1, 1},
	{"arm64-36-ha-xnx", 0, 0x0060000000001000 | 0x7ff, NULL, 0x1000, RWK, S2_MEM_NORMAL, 1, 1},
	{"arm64-40-cont-fwb-ha-hd", 0, 0x0008000000001000 | 0x75b, NULL, 0x1000, S2_RWX,
	 S2_MEM_NORMAL, 1, 0},
	{"arm64-40-cont-fwb-ha-hd", 0, 0x0000000000001000 | 0x75b, NULL, 0x1000, S2_RX,
	 S2_MEM_NORMAL, 1, 0},
	{"arm64-48-lpa2", 0, 0x0003000000001000 | 0x7ff, NULL, 0xf000000001000, S2_RWX,
	 S2_MEM_NORMAL, 1, 1},
	{"arm64-48-lpa2", 3, 0x0001008000000000 | 0x4fd, NULL, 0x1008000000000, S2_RWX,
	 S2_MEM_NORMAL, 1, 1},
	{"arm64-42-bbm1", 2, 0x40010000 | 0x7fd, NULL, 0x40000000, S2_RWX, S2_MEM_NORMAL, 1, 1},

	/* riscv */
	{"riscv-sv39x4-plain", 0, 0x4df, NULL, 0x1000, S2_RWX, S2_MEM_NORMAL, 1, 1},
	{"riscv-sv39x4-plain", 0, 0x413, NULL, 0x1000, S2_READ, S2_MEM_NORMAL, 0, 0},
	{"riscv-sv39x4-plain", 0, 0x4cf, NULL, 0x1000, 0, S2_MEM_NORMAL, 1, 1},
	{"riscv-sv39x4-plain", 0, 0x459, NULL, 0x1000, S2_EXEC | S2_EXEC_USER, S2_MEM_NORMAL, 1, 0},
	{"riscv-sv39x4-plain", 0, 0x4dd, "riscv: W without R is reserved", 0, 0, 0, 0, 0},
	{"riscv-sv39x4-plain", 0, 0x4ff, "riscv: G is to be zero in G-stage", 0, 0, 0, 0, 0},
	{"riscv-sv39x4-plain", 0, 0x401, "riscv: a pointer to a table at the level of pages", 0, 0,
	 0, 0, 0},
	{"riscv-sv39x4-plain", 1, 0x441, "riscv: D, A and U of a pointer to a table are reserved",
	 0, 0, 0, 0, 0},
	{"riscv-sv39x4-plain", 1, 0x4df, "riscv: misaligned superpage", 0, 0, 0, 0, 0},
	{"riscv-sv39x4-plain", 0, 0x20000000000004df, "riscv: reserved PBMT", 0, 0, 0, 0, 0},
	{"riscv-sv39x4-plain", 0, 0x80000000000020df, "riscv: reserved encoding of N", 0, 0, 0, 0,
	 0},
	{"riscv-sv39x4-plain", 0, 0x00400000000004df, "riscv: bits 60:54 are reserved", 0, 0, 0, 0,
	 0},
	{"riscv-sv39x4-all", 0, 0x20000000000004df, NULL, 0x1000, S2_RWX, S2_MEM_NC, 1, 1},
	{"riscv-sv39x4-all", 0, 0x40000000000004df, NULL, 0x1000, S2_RWX, S2_MEM_DEVICE, 1, 1},
	{"riscv-sv39x4-all", 0, 0x60000000000004df, "riscv: reserved PBMT", 0, 0, 0, 0, 0},
	{"riscv-sv39x4-all", 0, 0x80000000000010df, "riscv: reserved encoding of N", 0, 0, 0, 0, 0},
	{"riscv-sv39x4-all", 0, 0x80000000000020df, "the items of a group do not agree", 0, 0, 0, 0,
	 0},
	{"riscv-sv57x4-plain", 4, 0xdf | UINT64_C(1) << 46, NULL, UINT64_C(1) << 48, S2_RWX,
	 S2_MEM_NORMAL, 1, 1},

	/* ept */
	{"ept-4", 0, 0x1037, NULL, 0x1000, S2_RWX, S2_MEM_NORMAL, 1, 1},
	{"ept-4", 0, 0x1031, NULL, 0x1000, S2_READ, S2_MEM_NORMAL, 1, 1},
	{"ept-4", 0, 0x1047, NULL, 0x1000, S2_RWX, S2_MEM_DEVICE, 1, 1},
	{"ept-4", 0, 0x104f, NULL, 0x1000, S2_RWX, S2_MEM_NC, 1, 1},
	{"ept-4", 0, 0x1067, NULL, 0x1000, S2_RWX, S2_MEM_WT, 1, 1},
	{"ept-4", 0, 0x106f, NULL, 0x1000, S2_RWX, S2_MEM_WP, 1, 1},
	{"ept-4", 0, 0x101f, "ept: misconfiguration, memory type", 0, 0, 0, 0, 0},
	{"ept-4", 0, 0x1077, "ept: the guest's PAT must count for RAM, and for nothing else", 0, 0,
	 0, 0, 0},
	{"ept-4", 0, 0x1032, "ept: misconfiguration, write without read", 0, 0, 0, 0, 0},
	{"ept-4", 0, 0x1034, "ept: misconfiguration, execute without read", 0, 0, 0, 0, 0},
	{"ept-4", 0, 0x0000400000001037, "ept: misconfiguration, address beyond MAXPHYADDR", 0, 0,
	 0, 0, 0},
	{"ept-4", 1, 0x2010b7, "ept: misconfiguration, address bits below the size of a leaf", 0, 0,
	 0, 0, 0},
	{"ept-4", 1, 0x100f, "ept: misconfiguration, bits 7:3 of a pointer to a table", 0, 0, 0, 0,
	 0},
	{"ept-4", 2, 0x400000b7, "ept: misconfiguration, a leaf of 1 GiB", 0, 0, 0, 0, 0},
	{"ept-4", 3, 0x1087, "ept: misconfiguration, bits 7:3 of a pointer to a table", 0, 0, 0, 0,
	 0},
	{"ept-4-1g-ad", 2, 0x400000b7, NULL, 0x40000000, S2_RWX, S2_MEM_NORMAL, 0, 0},
	{"ept-4-1g-ad", 0, 0x1137, NULL, 0x1000, S2_RWX, S2_MEM_NORMAL, 1, 0},
	{"ept-4-1g-mbe-xo", 0, 0x1034, NULL, 0x1000, S2_EXEC, S2_MEM_NORMAL, 1, 1},
	{"ept-4-1g-mbe-xo", 0, 0x1433, NULL, 0x1000, RWU, S2_MEM_NORMAL, 1, 1},
	{"ept-4-1g-mbe-xo", 0, 0x1430, NULL, 0x1000, S2_EXEC_USER, S2_MEM_NORMAL, 1, 1},

	/* npt */
	{"npt-4", 0, 0x1067, NULL, 0x1000, S2_RWX, S2_MEM_NORMAL, 1, 1},
	{"npt-4", 0, 0x1005, NULL, 0x1000, S2_RX, S2_MEM_NORMAL, 0, 0},
	{"npt-4", 0, 0x8000000000001027, NULL, 0x1000, S2_RW, S2_MEM_NORMAL, 1, 0},
	{"npt-4", 0, 0x1063, NULL, 0x1000, 0, S2_MEM_NORMAL, 1, 1},
	{"npt-4", 0, 0x106f, NULL, 0x1000, S2_RWX, S2_MEM_WT, 1, 1},
	{"npt-4", 0, 0x107f, NULL, 0x1000, S2_RWX, S2_MEM_DEVICE, 1, 1},
	{"npt-4", 0, 0x1077, "npt: UC-, which is of no kind that there is", 0, 0, 0, 0, 0},
	{"npt-4", 0, 0x0001000000001067, "npt: address beyond the machine's; reserved bits", 0, 0,
	 0, 0, 0},
	{"npt-4", 1, 0x2020e7, "npt: address bits below the size of a leaf must be zero", 0, 0, 0,
	 0, 0},
	{"npt-4", 2, 0x400000e7, "npt: a leaf of 1 GiB", 0, 0, 0, 0, 0},
	{"npt-4", 3, 0x10a7, "npt: bits 8:7 of a PML4E or PML5E must be zero", 0, 0, 0, 0, 0},
	{"npt-4", 1, 0x1037, "npt: a table is not read through the cache", 0, 0, 0, 0, 0},
	{"npt-4-1g", 2, 0x400000e7, NULL, 0x40000000, S2_RWX, S2_MEM_NORMAL, 1, 1},

	/* s390 */
	{"s390-64", 0, 0x1000, NULL, 0x1000, S2_RWX, S2_MEM_NORMAL, 1, 1},
	{"s390-64", 0, 0x12ff, NULL, 0x1000, S2_RX, S2_MEM_NORMAL, 1, 1},
	{"s390-64", 0, 0x1800, "s390: translation specification, bit 52 of a page-table entry", 0,
	 0, 0, 0, 0},
	{"s390-64", 0, 0x1100, "s390: bit 55 without instruction-execution protection", 0, 0, 0, 0,
	 0},
	{"s390-64", 1, 0x100400, "s390: format control without the facility", 0, 0, 0, 0, 0},
	{"s390-64", 1, 0x100004, "s390: translation specification, table type", 0, 0, 0, 0, 0},
	{"s390-64", 1, 0x100010, "s390: a common segment or region", 0, 0, 0, 0, 0},
	{"s390-64", 2, 0x100007, "a pointer to a table leads to memory that is none", 0, 0, 0, 0,
	 0},
	{"s390-64", 3, 0x100007, "s390: translation specification, table type", 0, 0, 0, 0, 0},
	{"s390-64", 4, 0x10080f, "s390: reserved bits of a region-table entry", 0, 0, 0, 0, 0},
	{"s390-64-edat2-iep", 0, 0x1100, NULL, 0x1000, S2_RW, S2_MEM_NORMAL, 1, 1},
	{"s390-64-edat2-iep", 1, 0x10f7c3, NULL, 0x100000, S2_READ, S2_MEM_NORMAL, 1, 1},
	{"s390-64-edat2-iep", 1, 0x120400, "s390: reserved bits of a leaf", 0, 0, 0, 0, 0},
	{"s390-64-edat2-iep", 1, 0x110400, "s390: access-control bits are valid in a leaf", 0, 0, 0,
	 0, 0},
	{"s390-64-edat2-iep", 2, 0x8000000000000404, NULL, UINT64_C(1) << 63, S2_RWX, S2_MEM_NORMAL,
	 1, 1},
	{"s390-64-edat2-iep", 3, 0x408, "s390: format control without the facility", 0, 0, 0, 0, 0},
};

START_TEST(test_examples)
{
	const struct example *e = &examples[_i];
	const struct machine_variant *v = machine_find(e->variant);
	struct machine_walk w;
	struct hand h;

	ck_assert_ptr_nonnull(v);
	hand_init(&h, v);
	machine_store(&h.m, hand_item(&h, e->level, 0), e->value);
	machine_walk(&h.m, 0, &w);
	ck_assert_msg((w.fault == MACHINE_WRONG) == (e->why != NULL), "%s %#lx: %s", e->variant,
		      (unsigned long)e->value, w.why == NULL ? "not wrong" : w.why);
	if (e->why != NULL) {
		ck_assert_str_eq(w.why, e->why);
		ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
		hand_violation(&h, e->why);
		ck_assert_int_eq(hand_access(&h, 0, MACHINE_READ), MACHINE_WRONG);
		hand_violation(&h, e->why);
	} else {
		ck_assert_uint_eq(w.hpa, e->hpa);
		ck_assert_msg(w.leaf.prot == e->prot, "%s %#lx: rights %u", e->variant,
			      (unsigned long)e->value, w.leaf.prot);
		ck_assert_uint_eq(w.leaf.mem, e->mem);
		ck_assert_int_eq(w.leaf.accessed, e->accessed);
		ck_assert_int_eq(w.leaf.dirty, e->dirty);
		ck_assert(machine_scan(&h.m, NULL, NULL, NULL));
	}
	hand_fini(&h);
}
END_TEST

/* What is not valid is nothing, whatever else it holds. */
START_TEST(test_invalid)
{
	static const struct {
		const char *variant;
		uint64_t value[4];
	} invalid[] = {
		{"mock-48",
		 {0xfffffffffffffffb, 0x7fffffffffffffff, 0xfffffffffffffffe, 0xbfffffffffffffff}},
		{"arm64-52-all", {~1ull, ~1ull, ~1ull, ~1ull}},
		{"riscv-sv48x4-all", {~1ull, ~1ull, ~1ull, ~1ull}},
		{"ept-4-ad-mbe", {~0x407ull, ~0x407ull, ~0x407ull, ~0x407ull}},
		{"npt-4-1g", {~1ull, ~1ull, ~1ull, ~1ull}},
		{"s390-53-edat2", {0x400, 0x20, ~0ull, ~0ull}},
	};
	struct machine_walk w;
	struct hand h;

	hand_init(&h, machine_find(invalid[_i].variant));
	for (unsigned level = 4; level-- > 0;) {
		uint64_t item = hand_item(&h, level, 0);
		uint64_t old = machine_load(&h.m, item);

		machine_store(&h.m, item, invalid[_i].value[level]);
		machine_walk(&h.m, 0, &w);
		ck_assert_int_eq(w.fault, MACHINE_ABSENT);
		ck_assert_uint_eq(w.step[w.steps - 1].level, level);
		machine_store(&h.m, item, old);
	}
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

void add_items(TCase *tcase)
{
	tcase_add_loop_test(tcase, test_examples, 0, (int)(sizeof(examples) / sizeof(examples[0])));
	tcase_add_loop_test(tcase, test_invalid, 0, 6);
}
