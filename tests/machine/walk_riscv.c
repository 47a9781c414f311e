/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * G-stage translation of RV64: Sv39x4, Sv48x4, Sv57x4, little-endian. After The RISC-V Instruction
 * Set Manual, Volume II: chapters "Supervisor-Level ISA" (virtual address translation process),
 * "Svnapot", "Svpbmt", "Svadu", "Svvptc", and "Two-Stage Address Translation" of "H" Extension.
 */
#include "walk.h"

#include <stage2/riscv.h>

#define PTE_V 0x01u
#define PTE_R 0x02u
#define PTE_W 0x04u
#define PTE_X 0x08u
#define PTE_U 0x10u
#define PTE_G 0x20u
#define PTE_A 0x40u
#define PTE_D 0x80u
#define PTE_RSW 0x300u
#define PTE_N (UINT64_C(1) << 63)

/* The root has two bits more than other tables. */
static bool riscv_start(const struct machine *m, uint8_t *top, uint64_t *root_items)
{
	*top = m->gpa_bits == 41 ? 2 : m->gpa_bits == 50 ? 3 : 4;
	*root_items = 2048;
	return m->gpa_bits == 41 || m->gpa_bits == 50 || m->gpa_bits == 59;
}

static void riscv_table(uint64_t v, struct item *out)
{
	out->kind = ITEM_TABLE;
	out->hpa = bits(v, 53, 10) << 12;
	out->last = 511;
	out->prot = S2_PROT_ALL;
	out->accessed = true;
	if (bits(v, 63, 54) != 0) {
		item_wrong(out, "riscv: bits 63:54 of a pointer to a table are reserved");
	}
	if ((v & (PTE_D | PTE_A | PTE_U)) != 0) {
		item_wrong(out, "riscv: D, A and U of a pointer to a table are reserved");
	}
}

/* Accesses count as those of U-mode: without U nothing is allowed. */
static void riscv_rights(uint64_t v, struct item *out)
{
	if ((v & (PTE_R | PTE_W)) == PTE_W) {
		item_wrong(out, "riscv: W without R is reserved");
	}
	if ((v & PTE_U) != 0) {
		out->prot |= (v & PTE_R) != 0 ? S2_READ : 0;
		out->prot |= (v & PTE_W) != 0 ? S2_WRITE : 0;
		out->prot |= (v & PTE_X) != 0 ? S2_EXEC | S2_EXEC_USER : 0;
	}
	out->accessed = (v & PTE_A) != 0;
	out->dirty = (v & PTE_D) != 0;
}

static void riscv_mem(const struct machine *m, uint64_t v, struct item *out)
{
	static const uint8_t mem[] = {S2_MEM_NORMAL, S2_MEM_NC, S2_MEM_DEVICE, S2_MEM_NORMAL};
	uint64_t pbmt = bits(v, 62, 61);

	out->mem = mem[pbmt];
	if (pbmt == 3 || (pbmt != 0 && !has(m, S2_RISCV_SVPBMT))) {
		item_wrong(out, "riscv: reserved PBMT");
	}
}

static void riscv_leaf(const struct machine *m, unsigned level, uint64_t v, struct item *out)
{
	out->kind = ITEM_LEAF;
	out->hpa = bits(v, 53, 10) << 12;
	riscv_rights(v, out);
	riscv_mem(m, v, out);
	if (bits(v, 60, 54) != 0) {
		item_wrong(out, "riscv: bits 60:54 are reserved");
	}
	if ((v & PTE_N) != 0) {
		if (!has(m, S2_RISCV_SVNAPOT) || level != 0 || bits(v, 13, 10) != 8) {
			item_wrong(out, "riscv: reserved encoding of N");
		}
		out->group = true;
		out->hpa &= ~mask(15, 0);
	}
	if ((out->hpa & ((UINT64_C(1) << m->ops->lg2[level]) - 1)) != 0) {
		item_wrong(out, "riscv: misaligned superpage");
	}
}

static void riscv_decode(const struct machine *m, unsigned level, uint64_t index, uint64_t value,
			 struct item *out)
{
	(void)index;
	if ((value & PTE_V) == 0) {
		return;
	}
	if ((value & (PTE_R | PTE_W | PTE_X)) != 0) {
		riscv_leaf(m, level, value, out);
	} else if (level != 0) {
		riscv_table(value, out);
	} else {
		item_wrong(out, "riscv: a pointer to a table at the level of pages");
	}
	if ((value & PTE_G) != 0) {
		item_wrong(out, "riscv: G is to be zero in G-stage");
	}
}

/* Svnapot: A and D may differ where harts set them, and RSW is software's. */
static uint64_t riscv_group_same(const struct machine *m, unsigned level, unsigned n,
				 uint64_t value)
{
	uint64_t differ = PTE_RSW;

	(void)level;
	(void)n;
	if (has(m, S2_RISCV_SVADU)) {
		differ |= PTE_A | PTE_D;
	}
	return value & ~differ;
}

static unsigned riscv_marks(const struct machine *m)
{
	return has(m, S2_RISCV_SVADU) ? MARK_ACCESSED | MARK_DIRTY : 0;
}

static uint64_t riscv_set_marks(const struct machine *m, unsigned level, uint64_t value,
				unsigned marks)
{
	(void)m;
	(void)level;
	value |= (marks & MARK_ACCESSED) != 0 ? PTE_A : 0u;
	value |= (marks & MARK_DIRTY) != 0 ? PTE_D : 0u;
	return value;
}

static bool riscv_caches_none(const struct machine *m)
{
	return !has(m, S2_RISCV_SVVPTC);
}

/* Svnapot: "mark all of the PTEs invalid, then issue SFENCE.VMA, then update the PTE(s)". */
static const char *riscv_must_break(const struct machine *m, unsigned level, uint64_t old,
				    uint64_t new_value)
{
	(void)m;
	(void)level;
	if (((old ^ new_value) & PTE_N) != 0) {
		return "live to live: N, no break";
	}
	if ((old & PTE_N) != 0 && bits(old ^ new_value, 53, 10) != 0) {
		return "live to live: another address of a group, no break";
	}
	return NULL;
}

const struct machine_ops ops_riscv = {
	.name = "riscv",
	.big_endian = false,
	.rubbish = UINT64_C(0x000012345678d0df),
	.levels = 5,
	.lg2 = {12, 21, 30, 39, 48},
	.items_lg2 = {9, 9, 9, 9, 9},
	.group_lg2 = {4, 0, 0, 0, 0},
	.start = riscv_start,
	.decode = riscv_decode,
	.group_same = riscv_group_same,
	.marks = riscv_marks,
	.set_marks = riscv_set_marks,
	.caches_none = riscv_caches_none,
	.must_break = riscv_must_break,
};
