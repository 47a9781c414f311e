/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end: TLB and cache maintenance, and the registers that point at a space. */
#include <stage2/arm64.h>

#include "machine_arm64.h"

/* HCR_EL2 (D24.2.62). All interrupts end a guest's run; E2H and TGE are 0. */
#define HCR_VM (UINT64_C(1) << 0)
#define HCR_FMO (UINT64_C(1) << 3)
#define HCR_IMO (UINT64_C(1) << 4)
#define HCR_AMO (UINT64_C(1) << 5)
#define HCR_RW (UINT64_C(1) << 31)
#define HCR_FWB (UINT64_C(1) << 46)
#define HCR_GUEST (HCR_VM | HCR_FMO | HCR_IMO | HCR_AMO | HCR_RW)

/* A space of 39 bits, whose walks start at one table of level 1: bit 31 is RES1. */
#define VTCR_NOWHERE (UINT64_C(1) << 31 | 3u << 12 | 1u << 10 | 1u << 8 | 1u << 6 | 25u)

/* CTR_EL0 (D24.2.42). */
#define CTR_DIC(ctr) field(ctr, 29, 29)
#define CTR_IDC(ctr) field(ctr, 28, 28)
#define CTR_DMINLINE(ctr) field(ctr, 19, 16)
#define CTR_L1IP(ctr) field(ctr, 15, 14)
#define CTR_L1IP_PIPT 3
#define CTR_IMINLINE(ctr) field(ctr, 3, 0)

/* More code than this and the whole instruction cache goes. */
#define CODE_BY_LINE_MAX UINT64_C(0x10000)

REGISTER(hcr_el2);
REGISTER(vtcr_el2);
REGISTER(vttbr_el2);
REGISTER(ctr_el0);

/* What a processor with no space walks: nothing. */
static const uint64_t nowhere[512] __attribute__((aligned(4096)));

static uint64_t flushes;

uint64_t machine_flushes(void)
{
	return __atomic_load_n(&flushes, __ATOMIC_RELAXED);
}

static void count_flush(void)
{
	__atomic_fetch_add(&flushes, 1, __ATOMIC_RELAXED);
}

/* All that says which space it is, and how it is read. */
struct regime {
	uint64_t hcr;
	uint64_t vtcr;
	uint64_t vttbr;
};

static struct regime regime_of(const struct s2_space *s, unsigned id)
{
	bool fwb = (s->config.features & S2_ARM64_FWB) != 0;
	struct regime regime = {
		.hcr = HCR_GUEST | (fwb ? HCR_FWB : 0),
		.vtcr = s2_arm64_vtcr(s),
		.vttbr = s2_arm64_vttbr(s, (uint16_t)id),
	};

	return regime;
}

/* Returns what was loaded before. */
static struct regime regime_load(struct regime regime)
{
	struct regime before = {
		.hcr = read_hcr_el2(),
		.vtcr = read_vtcr_el2(),
		.vttbr = read_vttbr_el2(),
	};

	if (before.hcr == regime.hcr && before.vtcr == regime.vtcr &&
	    before.vttbr == regime.vttbr) {
		return before;
	}
	write_hcr_el2(regime.hcr);
	write_vtcr_el2(regime.vtcr);
	write_vttbr_el2(regime.vttbr);
	DO("isb");
	return before;
}

void machine_load(const struct s2_space *s, unsigned id)
{
	struct regime none = {
		.hcr = HCR_GUEST,
		.vtcr = VTCR_NOWHERE,
		.vttbr = (uint64_t)(uintptr_t)nowhere,
	};

	regime_load(s != NULL ? regime_of(s, id) : none);
}

void mmu_init_cpu(void)
{
	machine_load(NULL, 0);
	machine_forget();
}

/* On all processors: with S2_ARM64_CNP they may share what they cache. */
void machine_forget(void)
{
	DO("dsb ishst");
	DO("tlbi alle1is");
	DO("dsb ish");
	DO("isb");
	count_flush();
}

void mmu_flush_conflict(void)
{
	DO("dsb ishst");
	DO("tlbi vmalls12e1is");
	DO("dsb ish");
	DO("isb");
	count_flush();
}

/* The barriers between the operations are those of arm64.h. */
static void issue(void *cookie, enum s2_arm64_op op, uint64_t xt)
{
	(void)cookie;
	switch (op) {
	case S2_ARM64_IPAS2E1IS:
		__asm__ volatile("tlbi ipas2e1is, %0" : : "r"(xt) : "memory");
		break;
	case S2_ARM64_RIPAS2E1IS: /* by its encoding (C5.5.22), for the sake of older assemblers */
		__asm__ volatile("sys #4, c8, c0, #2, %0" : : "r"(xt) : "memory");
		break;
	case S2_ARM64_VMALLE1IS:
		DO("dsb ish");
		DO("tlbi vmalle1is");
		break;
	case S2_ARM64_VMALLS12E1IS:
		DO("tlbi vmalls12e1is");
		break;
	}
	count_flush();
}

#ifdef METAL_MUTANTS
bool machine_flush_local, machine_flush_half;

/* The same instructions without their IS. */
static void issue_local(enum s2_arm64_op op, uint64_t xt)
{
	switch (op) {
	case S2_ARM64_IPAS2E1IS:
		__asm__ volatile("tlbi ipas2e1, %0" : : "r"(xt) : "memory");
		break;
	case S2_ARM64_RIPAS2E1IS:
		__asm__ volatile("sys #4, c8, c4, #2, %0" : : "r"(xt) : "memory");
		break;
	case S2_ARM64_VMALLE1IS:
		DO("dsb ish");
		DO("tlbi vmalle1");
		break;
	case S2_ARM64_VMALLS12E1IS:
		DO("tlbi vmalls12e1");
		break;
	}
}

static void issue_mutant(void *cookie, enum s2_arm64_op op, uint64_t xt)
{
	if (machine_flush_half && op == S2_ARM64_VMALLE1IS) {
		return;
	}
	if (machine_flush_local) {
		issue_local(op, xt);
	} else {
		issue(cookie, op, xt);
	}
}

#define ISSUE issue_mutant
#else
#define ISSUE issue
#endif

/*
 * The instructions act on the VMID in VTTBR_EL2, and VTCR_EL2.DS says how addresses are written:
 * the guest must be loaded. HCR_EL2 goes with it, so that what is walked meanwhile is read right.
 */
static void flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	const struct world *w = cookie;
	struct regime before = regime_load(regime_of(&w->space, w->id));

	DO("dsb ishst");
	s2_arm64_tlbi(w->space.config.features, flush, count, ISSUE, NULL);
	DO("dsb ish");
	DO("isb");
	regime_load(before);
}

/* All host memory, and no more, is mapped at its own address for us. */
static inline void each_line(uint64_t start, uint64_t len, uint64_t line, void (*op)(uint64_t at))
{
	uint64_t end = start + len;

	start = start < machine.ram ? machine.ram : start & ~(line - 1);
	end = end > machine.ram + machine.ram_size ? machine.ram + machine.ram_size : end;
	for (uint64_t at = start; at < end; at += line) {
		op(at);
	}
}

static void clean_to_memory(uint64_t at)
{
	__asm__ volatile("dc civac, %0" : : "r"(at) : "memory");
}

static void clean_to_fetch(uint64_t at)
{
	__asm__ volatile("dc cvau, %0" : : "r"(at) : "memory");
}

static void forget_fetched(uint64_t at)
{
	__asm__ volatile("ic ivau, %0" : : "r"(at) : "memory");
}

/* To the point of coherency: that is where a guest with its MMU off looks (D8.2.12.1). */
static void clean_data(uint64_t start, uint64_t len)
{
	each_line(start, len, UINT64_C(4) << CTR_DMINLINE(read_ctr_el0()), clean_to_memory);
	DO("dsb sy");
}

/* With FWB guests cannot look past the caches. */
static void clean(void *cookie, s2_hpa_t hpa, uint64_t len)
{
	const struct world *w = cookie;

	if (!(w->space.config.features & S2_ARM64_FWB)) {
		clean_data(hpa.val, len);
	}
}

/* The guest's addresses are not ours: only caches that look at physical ones go by line. */
static void invalidate_code(void *cookie, s2_hpa_t hpa, uint64_t len)
{
	uint64_t ctr = read_ctr_el0();

	(void)cookie;
	if (!CTR_IDC(ctr)) {
		each_line(hpa.val, len, UINT64_C(4) << CTR_DMINLINE(ctr), clean_to_fetch);
		DO("dsb ish");
	}
	if (!CTR_DIC(ctr)) {
		if (CTR_L1IP(ctr) == CTR_L1IP_PIPT && len <= CODE_BY_LINE_MAX) {
			each_line(hpa.val, len, UINT64_C(4) << CTR_IMINLINE(ctr), forget_fetched);
		} else {
			DO("ic ialluis");
		}
		DO("dsb ish");
	}
	DO("isb");
}

void mmu_code_written(const void *code, uint64_t len)
{
	clean_data((uintptr_t)code, len);
	invalidate_code(NULL, s2_hpa((uintptr_t)code), len);
}

static void relax(void *cookie)
{
	(void)cookie;
	machine_relax();
}

const struct s2_mmu arm64_mmu = {
	.flush = flush,
	.clean = clean,
	.invalidate_code = invalidate_code,
	.relax = relax,
	.flush_max = S2_ARM64_FLUSH_MAX,
};
