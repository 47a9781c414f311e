/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nested page tables of AMD, after the AMD64 Architecture Programmer's Manual, volume 2: "Long-Mode
 * Page Translation", and "Nested Paging", which walks them as accesses by users.
 */
#include "walk.h"

#include <stage2/x86.h>

#define NPT_P 0x01u
#define NPT_W 0x02u
#define NPT_U 0x04u
#define NPT_PWT 0x08u
#define NPT_PCD 0x10u
#define NPT_A 0x20u
#define NPT_D 0x40u
#define NPT_LARGE 0x80u
#define NPT_PAT 0x80u
#define NPT_LARGE_PAT 0x1000u
#define NPT_NX (UINT64_C(1) << 63)

static bool npt_start(const struct machine *m, uint8_t *top, uint64_t *root_items)
{
	*top = m->gpa_bits > 48 || (m->features & S2_NPT_5LEVEL) != 0 ? 4 : 3;
	*root_items = 512;
	return m->gpa_bits >= 30 && m->gpa_bits <= 57;
}

/* Without U there is no access for users, which all accesses are. */
static void npt_rights(uint64_t v, struct item *out)
{
	if ((v & NPT_U) != 0) {
		out->prot = S2_READ;
		out->prot |= (v & NPT_W) != 0 ? S2_WRITE : 0;
		out->prot |= (v & NPT_NX) == 0 ? S2_EXEC | S2_EXEC_USER : 0;
	}
	out->accessed = (v & NPT_A) != 0;
}

static void npt_address(const struct machine *m, uint64_t v, struct item *out)
{
	out->hpa = v & mask(51, 12);
	if (out->hpa >> m->hpa_bits != 0) {
		item_wrong(out, "npt: address beyond the machine's; reserved bits");
	}
}

static void npt_table(const struct machine *m, unsigned level, uint64_t v, struct item *out)
{
	out->kind = ITEM_TABLE;
	out->last = 511;
	npt_rights(v, out);
	npt_address(m, v, out);
	if (level >= 3 && bits(v, 8, 7) != 0) {
		item_wrong(out, "npt: bits 8:7 of a PML4E or PML5E must be zero");
	}
	if ((v & (NPT_PWT | NPT_PCD)) != 0) {
		item_wrong(out, "npt: a table is not read through the cache");
	}
}

/* The PAT as it is after reset: WB, WT, UC-, UC, and the same again. */
static void npt_mem(uint64_t v, struct item *out)
{
	static const uint8_t mem[] = {S2_MEM_NORMAL, S2_MEM_WT, 0xff, S2_MEM_DEVICE};

	out->mem = mem[bits(v, 4, 3)];
	if (out->mem == 0xff) {
		item_wrong(out, "npt: UC-, which is of no kind that there is");
	}
}

static void npt_leaf(const struct machine *m, unsigned level, uint64_t v, struct item *out)
{
	out->kind = ITEM_LEAF;
	npt_rights(v, out);
	npt_mem(v, out);
	out->dirty = (v & NPT_D) != 0;
	npt_address(m, level == 0 ? v : v & ~(uint64_t)NPT_LARGE_PAT, out);
	if (level == 2 && (m->features & S2_NPT_1G) == 0) {
		item_wrong(out, "npt: a leaf of 1 GiB");
	}
	if ((out->hpa & ((UINT64_C(1) << m->ops->lg2[level]) - 1)) != 0) {
		item_wrong(out, "npt: address bits below the size of a leaf must be zero");
	}
}

static void npt_decode(const struct machine *m, unsigned level, uint64_t index, uint64_t value,
		       struct item *out)
{
	(void)index;
	if ((value & NPT_P) == 0) {
		return;
	}
	if (level == 0 || (level <= 2 && (value & NPT_LARGE) != 0)) {
		npt_leaf(m, level, value, out);
	} else {
		npt_table(m, level, value, out);
	}
}

static unsigned npt_marks(const struct machine *m)
{
	(void)m;
	return MARK_ACCESSED | MARK_DIRTY;
}

static uint64_t npt_set_marks(const struct machine *m, unsigned level, uint64_t value,
			      unsigned marks)
{
	(void)m;
	(void)level;
	value |= (marks & MARK_ACCESSED) != 0 ? NPT_A : 0u;
	value |= (marks & MARK_DIRTY) != 0 ? NPT_D : 0u;
	return value;
}

static bool npt_caches_none(const struct machine *m)
{
	(void)m;
	return false;
}

const struct machine_ops ops_npt = {
	.name = "npt",
	.big_endian = false,
	.rubbish = UINT64_C(0x00000012345670e7),
	.levels = 5,
	.lg2 = {12, 21, 30, 39, 48},
	.items_lg2 = {9, 9, 9, 9, 9},
	.start = npt_start,
	.decode = npt_decode,
	.marks = npt_marks,
	.set_marks = npt_set_marks,
	.caches_none = npt_caches_none,
};
