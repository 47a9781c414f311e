/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EPT, after the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3, "The
 * Extended Page Table Mechanism (EPT)": the formats of entries, and what is an EPT
 * misconfiguration.
 */
#include "walk.h"

#include <stage2/x86.h>

#define EPT_R 1u
#define EPT_W 2u
#define EPT_X 4u
#define EPT_IPAT 0x40u
#define EPT_LARGE 0x80u
#define EPT_A 0x100u
#define EPT_D 0x200u
#define EPT_XU 0x400u

static bool ept_start(const struct machine *m, uint8_t *top, uint64_t *root_items)
{
	*top = m->gpa_bits > 48 || has(m, S2_EPT_5LEVEL) ? 4 : 3;
	*root_items = 512;
	return m->gpa_bits >= 30 && m->gpa_bits <= 57;
}

/* Rights, which the entries of all levels must give. */
static void ept_rights(const struct machine *m, uint64_t v, struct item *out)
{
	uint64_t exec = has(m, S2_EPT_MBE) ? EPT_X | EPT_XU : EPT_X;

	out->prot |= (v & EPT_R) != 0 ? S2_READ : 0;
	out->prot |= (v & EPT_W) != 0 ? S2_WRITE : 0;
	out->prot |= (v & EPT_X) != 0 ? S2_EXEC : 0;
	out->prot |= (v & (has(m, S2_EPT_MBE) ? EPT_XU : EPT_X)) != 0 ? S2_EXEC_USER : 0;
	if ((v & (EPT_R | EPT_W)) == EPT_W) {
		item_wrong(out, "ept: misconfiguration, write without read");
	}
	if ((v & EPT_R) == 0 && (v & exec) != 0 && !has(m, S2_EPT_EXEC_ONLY)) {
		item_wrong(out, "ept: misconfiguration, execute without read");
	}
}

static void ept_address(const struct machine *m, uint64_t v, struct item *out)
{
	out->hpa = v & mask(51, 12);
	if (out->hpa >> m->hpa_bits != 0) {
		item_wrong(out, "ept: misconfiguration, address beyond MAXPHYADDR");
	}
}

static void ept_table(const struct machine *m, uint64_t v, struct item *out)
{
	out->kind = ITEM_TABLE;
	out->last = 511;
	out->accessed = !has(m, S2_EPT_AD) || (v & EPT_A) != 0;
	ept_rights(m, v, out);
	ept_address(m, v, out);
	if (bits(v, 7, 3) != 0) {
		item_wrong(out, "ept: misconfiguration, bits 7:3 of a pointer to a table");
	}
}

/* What combines with the guest's PAT is the kind of RAM; the others stand alone. */
static void ept_mem(uint64_t v, struct item *out)
{
	static const uint8_t mem[] = {S2_MEM_DEVICE, S2_MEM_NC, 0xff,	       0xff,
				      S2_MEM_WT,     S2_MEM_WP, S2_MEM_NORMAL, 0xff};

	out->mem = mem[bits(v, 5, 3)];
	if (out->mem == 0xff) {
		item_wrong(out, "ept: misconfiguration, memory type");
	}
	if ((out->mem == S2_MEM_NORMAL) == ((v & EPT_IPAT) != 0)) {
		item_wrong(out, "ept: the guest's PAT must count for RAM, and for nothing else");
	}
}

static void ept_leaf(const struct machine *m, unsigned level, uint64_t v, struct item *out)
{
	out->kind = ITEM_LEAF;
	out->accessed = !has(m, S2_EPT_AD) || (v & EPT_A) != 0;
	out->dirty = !has(m, S2_EPT_AD) || (v & EPT_D) != 0;
	ept_rights(m, v, out);
	ept_address(m, v, out);
	ept_mem(v, out);
	if (level == 2 && !has(m, S2_EPT_1G)) {
		item_wrong(out, "ept: misconfiguration, a leaf of 1 GiB");
	}
	if ((out->hpa & ((UINT64_C(1) << m->ops->lg2[level]) - 1)) != 0) {
		item_wrong(out, "ept: misconfiguration, address bits below the size of a leaf");
	}
}

static void ept_decode(const struct machine *m, unsigned level, uint64_t index, uint64_t value,
		       struct item *out)
{
	uint64_t present = EPT_R | EPT_W | EPT_X | (has(m, S2_EPT_MBE) ? EPT_XU : 0u);

	(void)index;
	if ((value & present) == 0) {
		return;
	}
	if (level == 0 || (level <= 2 && (value & EPT_LARGE) != 0)) {
		ept_leaf(m, level, value, out);
	} else {
		ept_table(m, value, out);
	}
}

static unsigned ept_marks(const struct machine *m)
{
	return has(m, S2_EPT_AD) ? MARK_ACCESSED | MARK_DIRTY : 0;
}

static uint64_t ept_set_marks(const struct machine *m, unsigned level, uint64_t value,
			      unsigned marks)
{
	(void)m;
	(void)level;
	value |= (marks & MARK_ACCESSED) != 0 ? EPT_A : 0u;
	value |= (marks & MARK_DIRTY) != 0 ? EPT_D : 0u;
	return value;
}

/* "Caching Translation Information": what is not present is not cached. */
static bool ept_caches_none(const struct machine *m)
{
	(void)m;
	return false;
}

const struct machine_ops ops_ept = {
	.name = "ept",
	.big_endian = false,
	.rubbish = UINT64_C(0x00000012345670b7),
	.levels = 5,
	.lg2 = {12, 21, 30, 39, 48},
	.items_lg2 = {9, 9, 9, 9, 9},
	.start = ept_start,
	.decode = ept_decode,
	.marks = ept_marks,
	.set_marks = ept_set_marks,
	.caches_none = ept_caches_none,
};
