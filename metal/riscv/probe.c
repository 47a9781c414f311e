/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which spaces this hart can walk. No register says what G-stage understands, the device tree says
 * what the hart was built with and not what the firmware has switched on; so each is tried, with
 * tables of the library and with HLV and HSV, which access memory as the guest would.
 */
#include "cpu.h"

#define PAGES 16 /* a group */
#define GPA UINT64_C(0x40000000)
#define TABLES 4 /* and the root */
#define ROOT_SIZE 16384
#define HPA_BITS 56
#define HGATP_VMID (UINT64_C(0x3fff) << 44)
#define HSTATUS_SPVP (UINT64_C(1) << 8)

struct probe {
	struct s2_space space;
	struct s2_gather gather;
	size_t used; /* of arena */
};

static uint64_t memory[PAGES][S2_PAGE_SIZE / 8] __attribute__((aligned(PAGES * S2_PAGE_SIZE)));
static uint8_t arena[ROOT_SIZE + TABLES * S2_PAGE_SIZE] __attribute__((aligned(ROOT_SIZE)));

/* The root comes first. */
static void *table_alloc(void *cookie, size_t size)
{
	struct probe *p = cookie;
	void *table = arena + p->used;

	if (size > sizeof(arena) - p->used) {
		return NULL;
	}
	p->used += size;
	return table;
}

static void table_free(void *cookie, void *table, size_t size)
{
	(void)cookie;
	(void)table;
	(void)size;
}

static void flush(void *cookie, const struct s2_flush *list, size_t count)
{
	(void)cookie;
	(void)list;
	(void)count;
	fence_all();
}

static bool probe_open(struct probe *p, uint8_t gpa_bits, uint64_t features, enum s2_mem mem)
{
	static const struct s2_mmu mmu = {.flush = flush};
	struct s2_config config = {
		.fmt = &s2_fmt_riscv,
		.features = features,
		.gpa_bits = gpa_bits,
		.hpa_bits = HPA_BITS,
		.tables = {.alloc = table_alloc, .free = table_free, .cookie = p},
		.mmu = &mmu,
	};
	struct s2_run run = {
		.gpa = s2_gpa(GPA),
		.hpa = s2_hpa((uintptr_t)memory),
		.len = sizeof(memory),
		.folio_order = 4,
	};

	p->used = 0;
	if (s2_space_init(&p->space, &config) != S2_OK) {
		return false;
	}
	s2_gather_init(&p->gather, &p->space);
	return s2_map(&p->space, &run, 1, S2_RW, mem, &p->gather, NULL) == S2_OK;
}

/* Can the guest read all pages and write one, with and without marks set? */
static bool probe_access(struct probe *p)
{
	uint64_t value;

	s2_gather_sync(&p->gather);
	CSR_WRITE(hgatp, s2_riscv_hgatp(&p->space, 0));
	if (CSR_READ(hgatp) != s2_riscv_hgatp(&p->space, 0)) {
		return false; /* "hgatp": a mode that there is not leaves the register as it was */
	}
	fence_all();
	for (unsigned i = 0; i < PAGES; i++) {
		memory[i][1] = i + 1;
		if (probe_load(GPA + i * S2_PAGE_SIZE + 8, &value) != 0 || value != i + 1) {
			return false;
		}
	}
	return probe_store(GPA + 8, PAGES) == 0 && memory[0][1] == PAGES;
}

static bool has(uint8_t gpa_bits, uint64_t features, enum s2_mem mem)
{
	struct probe p;

	return probe_open(&p, gpa_bits, features, mem) && probe_access(&p);
}

/* "Svadu": does the hart itself set what is not set? */
static bool has_marks(uint8_t gpa_bits)
{
	struct s2_range range = s2_range(s2_gpa(GPA), S2_PAGE_SIZE);
	struct s2_leaf leaf;
	struct probe p;
	uint64_t young;

	return probe_open(&p, gpa_bits, S2_RISCV_SVADU, S2_MEM_NORMAL) &&
	       s2_age(&p.space, range, &p.gather, &young) == S2_OK &&
	       s2_dirty_clear(&p.space, range, &p.gather) == S2_OK && probe_access(&p) &&
	       s2_query(&p.space, range.start, &leaf) == S2_OK && leaf.accessed && leaf.dirty;
}

static void space_add(const char *name, uint8_t gpa_bits, uint64_t features)
{
	static struct machine_space space[5];

	space[machine.space_count++] = (struct machine_space){
		.name = name,
		.fmt = &s2_fmt_riscv,
		.features = features,
		.gpa_bits = gpa_bits,
		.hpa_bits = HPA_BITS,
	};
	machine.space = space;
}

void probe_spaces(void)
{
	uint64_t features = 0;
	bool napot;
	bool inval = probe_svinval() == 0;

	CSR_SET(hstatus, HSTATUS_SPVP);
	CSR_WRITE(hgatp, HGATP_VMID);
	has_vmids = CSR_READ(hgatp) & HGATP_VMID;
	napot = has(41, S2_RISCV_SVNAPOT, S2_MEM_NORMAL);
	features |= has(41, S2_RISCV_SVPBMT, S2_MEM_NC) ? S2_RISCV_SVPBMT : 0;
	features |= has_marks(41) ? S2_RISCV_SVADU : 0;

	space_add("sv39x4", 41, features);
	if (has(50, features, S2_MEM_NORMAL)) {
		space_add("sv48x4", 50, features);
	}
	if (has(59, features, S2_MEM_NORMAL)) {
		space_add("sv57x4", 59, features);
	}
	if (napot) {
		space_add("sv39x4-svnapot", 41, features | S2_RISCV_SVNAPOT);
	}
	if (napot && inval) {
		space_add("sv48x4-svnapot-svinval", 50,
			  features | S2_RISCV_SVNAPOT | S2_RISCV_SVINVAL);
	}
	CSR_WRITE(hgatp, 0);
	fence_all();
}
