/* SPDX-License-Identifier: BSD-2-Clause */
/* The walkers against tables written by hand. */
#include "test_tables.h"

#include "../check_main.h"

static uint64_t last_page(const struct hand *h)
{
	return (UINT64_MAX >> (64 - h->m.gpa_bits)) & ~UINT64_C(0xfff);
}

/* A page at each end and in the middle, and nothing beside it. */
START_TEST(test_pages)
{
	struct hand h;
	struct machine_walk w;
	uint64_t tables[S2_LEVEL_MAX];

	hand_init(&h, &machines[_i]);
	uint64_t gpa[] = {0, last_page(&h), 0x12345000 & last_page(&h)};
	uint64_t hpa[] = {0x7ff000, machine_hpa_high(&h.m).last & ~UINT64_C(0xfff), 0};

	for (size_t i = 0; i < 3; i++) {
		hand_map(&h, 0, gpa[i], hpa[i]);
		machine_walk(&h.m, gpa[i] + 0x123, &w);
		ck_assert_msg(w.fault == MACHINE_OK, "%s: %s", h.m.variant->name, w.why);
		ck_assert_uint_eq(w.hpa, hpa[i] + 0x123);
		ck_assert_uint_eq(w.leaf.lg2, 12);
		ck_assert_uint_eq(w.leaf.prot, S2_RWX);
		ck_assert_uint_eq(w.leaf.mem, S2_MEM_NORMAL);
		ck_assert(w.leaf.accessed && w.leaf.dirty && !w.leaf.group);
		ck_assert_uint_eq(w.steps, h.m.top + 1u);
	}
	machine_walk(&h.m, 0x1000, &w);
	ck_assert_int_eq(w.fault, MACHINE_ABSENT);
	ck_assert_uint_eq(w.step[w.steps - 1].level, 0);
	if (h.m.gpa_bits < 64) {
		machine_walk(&h.m, last_page(&h) + 0x1000, &w);
		ck_assert_int_eq(w.fault, MACHINE_OUTSIDE);
	}
	ck_assert(machine_scan(&h.m, NULL, NULL, tables));
	ck_assert_uint_eq(h.m.pool.live, 1 + tables[0] + tables[1] + tables[2] + tables[3]);
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* Every size of single leaves. */
START_TEST(test_sizes)
{
	struct hand h;
	struct machine_walk w;

	hand_init(&h, &machines[_i]);
	for (unsigned level = 1; level < S2_LEVEL_MAX - 1 && level <= h.m.top; level++) {
		uint64_t size = UINT64_C(1) << hand_format(&h)->lg2[level];
		uint64_t gpa = last_page(&h) & ~(size - 1);

		if ((h.m.variant->leaf_sizes & size) == 0) {
			continue;
		}
		hand_map(&h, level, gpa, 0);
		machine_walk(&h.m, last_page(&h), &w);
		ck_assert_msg(w.fault == MACHINE_OK, "%s: %s", h.m.variant->name, w.why);
		ck_assert_uint_eq(w.hpa, last_page(&h) - gpa);
		ck_assert_uint_eq(w.leaf.gpa, gpa);
		ck_assert_uint_eq(w.leaf.hpa, 0);
		ck_assert_uint_eq(UINT64_C(1) << w.leaf.lg2, size);
		ck_assert_uint_eq(w.leaf.prot, S2_RWX);
		ck_assert(machine_scan(&h.m, NULL, NULL, NULL));
		hand_fini(&h);
		hand_init(&h, &machines[_i]);
	}
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

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

#define RWU (S2_RW | S2_EXEC_USER)
#define RWK (S2_RW | S2_EXEC)

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

/* A whole group, then each way to spoil it. */
static void group_of(struct hand *h, unsigned level, unsigned count, uint64_t gpa, uint64_t hpa)
{
	uint64_t size = UINT64_C(1) << hand_format(h)->lg2[level];

	for (unsigned i = 0; i < count; i++) {
		uint64_t v = hand_leaf(h, level, hpa);

		if (h->m.variant->kind == MACHINE_MOCK) {
			v |= level == 0 ? 0x8000 : 4 | i << 11;
		} else if (h->m.variant->kind == MACHINE_ARM64) {
			v = hand_leaf(h, level, hpa + i * size) | UINT64_C(1) << 52;
		} else {
			v |= UINT64_C(1) << 63 | 8 << 10;
		}
		machine_store(&h->m, hand_item(h, level, gpa + i * size), v);
	}
}

START_TEST(test_groups)
{
	static const struct {
		const char *variant;
		unsigned level, count;
	} groups[] = {{"mock-48", 0, 4},	  {"mock-48", 1, 8},	    {"arm64-52-all", 0, 16},
		      {"arm64-52-all", 1, 16},	  {"arm64-34-cont", 1, 16}, {"arm64-52-all", 2, 16},
		      {"riscv-sv39x4-all", 0, 16}};
	const unsigned level = groups[_i].level, count = groups[_i].count;
	struct machine_walk w;
	struct hand h;
	uint64_t size, gpa, item, good;

	hand_init(&h, machine_find(groups[_i].variant));
	size = UINT64_C(1) << hand_format(&h)->lg2[level];
	gpa = (last_page(&h) & ~(count * size - 1)) - count * size;
	group_of(&h, level, count, gpa, count * size);
	for (unsigned i = 0; i < count; i++) {
		machine_walk(&h.m, gpa + i * size + 0x42, &w);
		ck_assert_msg(w.fault == MACHINE_OK, "%s", w.why);
		ck_assert(w.leaf.group);
		ck_assert_uint_eq(w.hpa, (count + i) * size + 0x42);
		ck_assert_uint_eq(w.leaf.gpa, gpa);
		ck_assert_uint_eq(w.leaf.hpa, count * size);
		ck_assert_uint_eq(UINT64_C(1) << w.leaf.lg2, count * size);
	}
	ck_assert(machine_scan(&h.m, NULL, NULL, NULL));
	for (unsigned i = 0; i < count; i++) {
		item = hand_item(&h, level, gpa + i * size);
		good = machine_load(&h.m, item);
		machine_store(&h.m, item, hand_format(&h)->none[level]);
		machine_walk(&h.m, gpa + (i + 1) % count * size, &w);
		ck_assert_int_eq(w.fault, MACHINE_WRONG);
		machine_store(&h.m, item, hand_leaf(&h, level, (count + i) * size));
		machine_walk(&h.m, gpa + (i + 1) % count * size, &w);
		ck_assert_int_eq(w.fault, MACHINE_WRONG);
		ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
		machine_clear_error(&h.m);
		machine_store(&h.m, item, good);
	}
	hand_ok(&h);
	group_of(&h, level, count, gpa, (count + 1) * size);
	machine_walk(&h.m, gpa, &w);
	ck_assert_msg(w.fault == MACHINE_WRONG || h.m.variant->kind == MACHINE_RISCV, "aligned?");
	hand_fini(&h);
}
END_TEST

/* A contiguous group that is larger than the guest's memory, and one too high for its level. */
START_TEST(test_group_size)
{
	struct machine_walk w;
	struct hand h;

	hand_init(&h, machine_find("arm64-52-lpa2-cont"));
	group_of(&h, 3, 16, 0, 0);
	machine_walk(&h.m, 0, &w);
	ck_assert_str_eq(w.why, "arm64: there are no contiguous leaves of this size");
	hand_fini(&h);
}
END_TEST

/* Rights that a pointer to a table takes away, where formats have that. */
START_TEST(test_path_rights)
{
	static const struct {
		const char *variant;
		unsigned level;
		uint64_t clear, set;
		unsigned prot;
	} path[] = {
		{"ept-4", 1, 2, 0, S2_RX},	    {"ept-4", 3, 4, 0, S2_RW},
		{"ept-4-ad-mbe", 2, 0x400, 0, RWK}, {"npt-4", 1, 2, 0, S2_RX},
		{"npt-4", 3, 0, 1ull << 63, S2_RW}, {"npt-4", 2, 4, 0, 0},
		{"s390-64", 1, 0, 0x200, S2_RX},    {"s390-64", 4, 0, 0x200, S2_RX},
	};
	struct machine_walk w;
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find(path[_i].variant));
	hand_map(&h, 0, 0, 0x1000);
	item = hand_item(&h, path[_i].level, 0);
	machine_store(&h.m, item, (machine_load(&h.m, item) & ~path[_i].clear) | path[_i].set);
	machine_walk(&h.m, 0, &w);
	ck_assert_int_eq(w.fault, MACHINE_OK);
	ck_assert_uint_eq(w.leaf.prot, path[_i].prot);
	hand_fini(&h);
}
END_TEST

/* s390: a table of which only the middle is there. */
START_TEST(test_s390_length)
{
	struct machine_walk w;
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find("s390-42"));
	hand_map(&h, 0, UINT64_C(600) << 20, 0x1000);
	item = hand_item(&h, 2, 0);
	machine_store(&h.m, item, (machine_load(&h.m, item) & ~3ull) | 0x40 | 1);
	machine_walk(&h.m, UINT64_C(600) << 20, &w);
	ck_assert_int_eq(w.fault, MACHINE_OK);
	machine_store(&h.m, item, (machine_load(&h.m, item) & ~0xc3ull) | 0x80 | 2);
	machine_walk(&h.m, UINT64_C(600) << 20, &w);
	ck_assert_int_eq(w.fault, MACHINE_ABSENT);
	machine_store(&h.m, item, machine_load(&h.m, item) & ~0xc3ull);
	machine_walk(&h.m, UINT64_C(600) << 20, &w);
	ck_assert_int_eq(w.fault, MACHINE_ABSENT);
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "an item is where the machine never looks");
	hand_fini(&h);
}
END_TEST

/* A page table where a segment table should be. */
START_TEST(test_small_table)
{
	struct machine_walk w;
	struct hand h;

	hand_init(&h, machine_find("s390-42"));
	machine_store(&h.m, hand_item(&h, 2, 0), hand_table(&h, 2, hand_new_table(&h, 0)));
	machine_walk(&h.m, UINT64_C(600) << 20, &w);
	ck_assert_int_eq(w.fault, MACHINE_WRONG);
	ck_assert_str_eq(w.why, "a table is too small");
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "a table is too small");
	hand_fini(&h);
}
END_TEST

/* Whoever sets the marks. */
START_TEST(test_marks)
{
	static const struct {
		const char *variant;
		uint64_t clean; /* neither accessed nor dirty, else with all rights */
		uint64_t read, written;
		enum machine_fault on_read, on_write;
	} marks[] = {
		{"mock-48", 0x10f04, 0x10f04, 0x10f04, MACHINE_NOT_ACCESSED, MACHINE_NOT_ACCESSED},
		{"mock-48", 0xf04, 0xf04, 0xf04, MACHINE_OK, MACHINE_NOT_DIRTY},
		{"mock-48-marks-flush", 0x10f04, 0xf04, 0x20f04, MACHINE_OK, MACHINE_OK},
		{"arm64-48", 0x3ff, 0x3ff, 0x3ff, MACHINE_NOT_ACCESSED, MACHINE_NOT_ACCESSED},
		{"arm64-36-ha-xnx", 0x3ff, 0x7ff, 0x7ff, MACHINE_OK, MACHINE_OK},
		{"arm64-48", 0x800000000077f, 0x800000000077f, 0x800000000077f, MACHINE_OK,
		 MACHINE_DENIED},
		{"arm64-40-cont-fwb-ha-hd", 0x800000000035b, 0x800000000075b, 0x80000000007db,
		 MACHINE_OK, MACHINE_OK},
		{"riscv-sv39x4-plain", 0x1f, 0x1f, 0x1f, MACHINE_NOT_ACCESSED,
		 MACHINE_NOT_ACCESSED},
		{"riscv-sv39x4-plain", 0x5f, 0x5f, 0x5f, MACHINE_OK, MACHINE_NOT_DIRTY},
		{"riscv-sv39x4-svadu", 0x1f, 0x5f, 0xdf, MACHINE_OK, MACHINE_OK},
		{"ept-4", 0x37, 0x37, 0x37, MACHINE_OK, MACHINE_OK},
		{"ept-4-1g-ad", 0x37, 0x137, 0x337, MACHINE_OK, MACHINE_OK},
		{"npt-4", 0x07, 0x27, 0x67, MACHINE_OK, MACHINE_OK},
	};
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find(marks[_i].variant));
	item = hand_item(&h, 0, 0);
	machine_store(&h.m, item, marks[_i].clean);
	machine_touch(&h.m, 0);
	ck_assert_uint_eq(machine_load(&h.m, item), marks[_i].clean);
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_READ), marks[_i].on_read);
	ck_assert_uint_eq(machine_load(&h.m, item), marks[_i].read);
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_WRITE), marks[_i].on_write);
	ck_assert_uint_eq(machine_load(&h.m, item), marks[_i].written);
	ck_assert(machine_audit(&h.m));
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* Pointers to tables are marked too, on x86. */
START_TEST(test_table_marks)
{
	static const char *const name[] = {"ept-4-1g-ad", "npt-4"};
	const uint64_t mark = _i == 0 ? 0x100 : 0x20;
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find(name[_i]));
	hand_map(&h, 0, 0, 0);
	item = hand_item(&h, 2, 0);
	machine_store(&h.m, item, machine_load(&h.m, item) & ~mark);
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_READ), MACHINE_OK);
	ck_assert_uint_ne(machine_load(&h.m, item) & mark, 0);
	hand_fini(&h);
}
END_TEST

/* In a group: hardware may leave it at one mark (arm64), or sets that of the item used. */
START_TEST(test_group_marks)
{
	static const struct {
		const char *variant;
		uint64_t cleared, mark;
		bool one_will_do;
	} groups[] = {
		{"arm64-40-cont-fwb-ha-hd", 0x480, 0x400, true},
		{"riscv-sv39x4-svnapot-svadu", 0xc0, 0x40, false},
	};
	struct machine_walk w;
	struct hand h;

	hand_init(&h, machine_find(groups[_i].variant));
	group_of(&h, 0, 16, 0, 0x10000);
	for (uint64_t i = 0; i < 16; i++) {
		uint64_t item = hand_item(&h, 0, i << 12);
		uint64_t v = machine_load(&h.m, item) & ~groups[_i].cleared;

		machine_store(&h.m, item, _i == 0 ? v | 1ull << 51 : v);
	}
	machine_walk(&h.m, 0, &w);
	ck_assert(w.fault == MACHINE_OK && !w.leaf.accessed && !w.leaf.dirty);
	ck_assert_int_eq(hand_access(&h, 0x3000, MACHINE_WRITE), MACHINE_OK);
	machine_walk(&h.m, 0, &w);
	ck_assert(w.fault == MACHINE_OK && w.leaf.accessed && w.leaf.dirty);
	ck_assert_int_eq(hand_access(&h, 0x5000, MACHINE_READ), MACHINE_OK);
	ck_assert(((machine_load(&h.m, hand_item(&h, 0, 0x5000)) & groups[_i].mark) != 0) !=
		  groups[_i].one_will_do);
	ck_assert(machine_audit(&h.m));
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

struct seen {
	size_t count;
	uint64_t gpa, bytes;
};

static bool see(void *cookie, const struct machine_leaf *leaf)
{
	struct seen *s = cookie;

	ck_assert(s->count == 0 || leaf->gpa > s->gpa);
	s->gpa = leaf->gpa;
	s->count++;
	s->bytes += UINT64_C(1) << leaf->lg2;
	return s->count < 20;
}

/* What a scan shows, and what it finds. */
START_TEST(test_scan)
{
	uint64_t tables[S2_LEVEL_MAX], item, table;
	struct seen s = {0, 0, 0};
	struct hand h;

	hand_init(&h, machine_find("mock-48"));
	group_of(&h, 0, 4, 0x4000, 0x4000);
	hand_map(&h, 0, 0x9000, 0);
	hand_map(&h, 1, 0x80000, 0);
	ck_assert(machine_scan(&h.m, see, &s, tables));
	ck_assert_uint_eq(s.count, 3);
	ck_assert_uint_eq(s.bytes, 0x4000 + 0x1000 + 0x80000);
	ck_assert_uint_eq(tables[0], 1);
	ck_assert_uint_eq(tables[1], 1);
	ck_assert_uint_eq(tables[2], 1);
	s.count = 18;
	s.gpa = 0;
	ck_assert(!machine_scan(&h.m, see, &s, NULL));
	hand_ok(&h);

	item = hand_item(&h, 1, 0);
	machine_store(&h.m, item + 16, machine_load(&h.m, item));
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "a table is linked twice");
	hand_unmap(&h, 1, 0x100000);
	table = hand_item(&h, 0, 0);
	machine_store(&h.m, table + 200 * 8, 4);
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "a table has something behind its items");
	hand_fini(&h);
}
END_TEST

START_TEST(test_scan_outside)
{
	struct hand h;

	hand_init(&h, machine_find("npt-4-1g"));
	machine_store(&h.m, h.root + 2 * 8, 0x1027);
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "an item is where the machine never looks");
	hand_fini(&h);
}
END_TEST

/* The variants themselves. */
START_TEST(test_variants)
{
	const struct machine_variant *v = &machines[_i];
	struct s2_config config;
	struct machine m;

	ck_assert_ptr_eq(machine_find(v->name), v);
	machine_init(&m, v, NULL, &config);
	ck_assert_uint_eq(m.top, v->top);
	ck_assert_uint_eq(m.root_items, v->root_items);
	ck_assert_uint_eq(v->group_sizes & ~v->leaf_sizes, 0);
	ck_assert(machine_can_say(v, S2_RWX, S2_MEM_NORMAL));
	ck_assert(!machine_can_say(v, S2_WRITE, S2_MEM_NORMAL));
	ck_assert_uint_eq(machine_hpa_low(&m).last + 1, m.pool.hpa);
	ck_assert_uint_eq(machine_hpa_high(&m).last, UINT64_MAX >> (64 - v->hpa_bits));
	machine_fini(&m);
}
END_TEST

static Suite *walk_suite(void)
{
	Suite *suite = suite_create("machine_walk");
	TCase *tc = tcase_create("walk");
	int variants = (int)machine_count;

	tcase_add_loop_test(tc, test_variants, 0, variants);
	tcase_add_loop_test(tc, test_pages, 0, variants);
	tcase_add_loop_test(tc, test_sizes, 0, variants);
	tcase_add_loop_test(tc, test_examples, 0, (int)(sizeof(examples) / sizeof(examples[0])));
	tcase_add_loop_test(tc, test_invalid, 0, 6);
	tcase_add_loop_test(tc, test_groups, 0, 7);
	tcase_add_test(tc, test_group_size);
	tcase_add_loop_test(tc, test_path_rights, 0, 8);
	tcase_add_test(tc, test_s390_length);
	tcase_add_test(tc, test_small_table);
	tcase_add_loop_test(tc, test_marks, 0, 13);
	tcase_add_loop_test(tc, test_table_marks, 0, 2);
	tcase_add_loop_test(tc, test_group_marks, 0, 2);
	tcase_add_test(tc, test_scan);
	tcase_add_test(tc, test_scan_outside);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return check_main(walk_suite());
}
