/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stage 2 of the VMSAv8-64 translation system, granule of 4 KiB, little-endian. Sections are those
 * of the Arm Architecture Reference Manual, DDI 0487. Levels count from the pages, as everywhere
 * here: Arm's 3 is 0.
 */
#include "walk.h"

#include <stage2/arm64.h>

#define ARM_TABLE_ITEMS 512u
#define ARM_AF (UINT64_C(1) << 10)
#define ARM_NT (UINT64_C(1) << 16)
#define ARM_DBM (UINT64_C(1) << 51)
#define ARM_CONTIGUOUS (UINT64_C(1) << 52)
#define ARM_S2AP_READ (UINT64_C(1) << 6)
#define ARM_S2AP_WRITE (UINT64_C(1) << 7)

/*
 * D8.2.2: up to 16 tables are concatenated before there is another level: with n bits resolved by
 * the initial lookup, n is at most 13.
 */
static bool arm_start(const struct machine *m, uint8_t *top, uint64_t *root_items)
{
	unsigned lg2 = 12, level = 0;

	while (m->gpa_bits > lg2 + 9 + 4) {
		lg2 += 9;
		level++;
	}
	*top = (uint8_t)level;
	*root_items = UINT64_C(1) << (m->gpa_bits - lg2);
	return level >= 1 && level <= 3 && m->gpa_bits <= (has(m, S2_ARM64_LPA2) ? 52 : 48);
}

/* Bits 47:12, and with VTCR_EL2.DS 49:48, and 9:8 as 51:50. Without it 49:48 are RES0. */
static uint64_t arm_address(const struct machine *m, uint64_t v, struct item *out)
{
	uint64_t hpa = v & mask(47, 12);

	if (bits(v, 50, 50) != 0) {
		item_wrong(out, "arm64: bit 50 is RES0");
	}
	if (has(m, S2_ARM64_LPA2)) {
		return hpa | (v & mask(49, 48)) | bits(v, 9, 8) << 50;
	}
	if (bits(v, 49, 48) != 0) {
		item_wrong(out, "arm64: bits 49:48 are RES0 without DS");
	}
	return hpa;
}

/* D8.3.1.1, table "Stage 2 VMSAv8-64 Table descriptor fields". */
static void arm_table(const struct machine *m, uint64_t v, struct item *out)
{
	out->kind = ITEM_TABLE;
	out->last = ARM_TABLE_ITEMS - 1;
	out->prot = S2_PROT_ALL;
	out->accessed = true;
	if (bits(v, 63, 59) != 0) {
		item_wrong(out, "arm64: bits 63:59 of a table are RES0");
	}
	out->hpa = arm_address(m, v, out);
}

/* D8.6.5: MemAttr without FWB. */
static void arm_mem(uint64_t attr, struct item *out)
{
	switch (attr) {
	case 0xf:
		out->mem = S2_MEM_NORMAL;
		break;
	case 0xa:
		out->mem = S2_MEM_WT;
		break;
	case 0x5:
		out->mem = S2_MEM_NC;
		break;
	case 0x0:
	case 0x1:
		out->mem = S2_MEM_DEVICE;
		break;
	default:
		item_wrong(out, "arm64: MemAttr is reserved, or of no kind that there is");
		break;
	}
}

/* D8.6.6: and with it; MemAttr[3] is RES0. */
static void arm_mem_fwb(uint64_t attr, struct item *out)
{
	switch (attr) {
	case 0x6:
		out->mem = S2_MEM_NORMAL;
		break;
	case 0x5:
		out->mem = S2_MEM_NC;
		break;
	case 0x0:
	case 0x1:
		out->mem = S2_MEM_DEVICE;
		break;
	default:
		item_wrong(out, "arm64: MemAttr is reserved, or of no kind that there is");
		break;
	}
}

/* D8.4.2.1: S2AP for data, XN for instructions, which do not depend on each other. */
static void arm_rights(const struct machine *m, uint64_t v, struct item *out)
{
	static const uint8_t exec[] = {S2_EXEC | S2_EXEC_USER, S2_EXEC_USER, 0, S2_EXEC};
	bool hd = has(m, S2_ARM64_HD);

	out->prot = exec[bits(v, 54, 53)];
	out->prot |= (v & ARM_S2AP_READ) != 0 ? S2_READ : 0;
	if ((v & ARM_S2AP_WRITE) != 0 || (hd && (v & ARM_DBM) != 0)) {
		out->prot |= S2_WRITE;
	}
	out->accessed = (v & ARM_AF) != 0;
	out->dirty = !hd || (v & ARM_S2AP_WRITE) != 0;
	if ((out->prot & S2_RW) == S2_WRITE) {
		item_wrong(out, "arm64: write without read");
	}
	if (!has(m, S2_ARM64_XNX) && bits(v, 53, 53) != 0) {
		item_wrong(out, "arm64: bit 53 is RES0 without FEAT_XNX");
	}
}

/* D8.7.1: the member at index of a set of 16 has the address that goes with it. */
static void arm_contiguous(const struct machine *m, unsigned level, uint64_t index,
			   struct item *out)
{
	uint64_t member = index & 15;

	out->group = true;
	if (!has(m, S2_ARM64_CONT)) {
		item_wrong(out, "arm64: Contiguous, which was not asked for");
	}
	if (level > 2) {
		item_wrong(out, "arm64: there are no contiguous leaves of this size");
	}
	if (out->hpa < member << m->ops->lg2[level]) {
		item_wrong(out, "arm64: a contiguous leaf has an address too low for its place");
	}
	out->hpa -= member << m->ops->lg2[level];
}

/* D8.3.1.2, table "Stage 2 VMSAv8-64 Block and Page descriptor fields". */
static void arm_leaf(const struct machine *m, unsigned level, uint64_t index, uint64_t v,
		     struct item *out)
{
	bool block = level > 0;
	uint64_t low = (UINT64_C(1) << m->ops->lg2[level]) - 1;
	uint64_t hpa;

	out->kind = ITEM_LEAF;
	hpa = arm_address(m, v, out);
	if (block) {
		out->faded = (hpa & ARM_NT) != 0;
		hpa &= ~ARM_NT;
		if (out->faded && !has(m, S2_ARM64_BBM1) && !has(m, S2_ARM64_BBM2)) {
			item_wrong(out, "arm64: nT without FEAT_BBML1");
		}
	}
	if ((hpa & low) != 0) {
		item_wrong(out, "arm64: address bits of a block below its size are RES0");
	}
	out->hpa = hpa;
	if (level == 3 && !has(m, S2_ARM64_LPA2)) {
		item_wrong(out, "arm64: a block at level 0 without DS");
	}
	if (bits(v, 63, 59) != 0) {
		item_wrong(out, "arm64: bits 63:59 of a leaf are for others");
	}
	if (bits(v, 11, 11) != 0) {
		item_wrong(out, "arm64: FnXS");
	}
	arm_rights(m, v, out);
	(has(m, S2_ARM64_FWB) ? arm_mem_fwb : arm_mem)(bits(v, 5, 2), out);
	if (!has(m, S2_ARM64_LPA2) && out->mem != S2_MEM_DEVICE && bits(v, 9, 8) < 2) {
		item_wrong(out, "arm64: memory that can be cached is not shareable");
	}
	if ((v & ARM_CONTIGUOUS) != 0) {
		arm_contiguous(m, level, index, out);
	}
}

static void arm_decode(const struct machine *m, unsigned level, uint64_t index, uint64_t value,
		       struct item *out)
{
	if (bits(value, 0, 0) == 0) {
		return;
	}
	if (level == 0 && bits(value, 1, 1) == 0) {
		item_wrong(out, "arm64: a block at the level of pages");
	} else if (level != 0 && bits(value, 1, 1) != 0) {
		arm_table(m, value, out);
	} else {
		arm_leaf(m, level, index, value, out);
	}
}

/* D8.5.5: what hardware sets may differ; and so may what software keeps in bits of its own. */
static uint64_t arm_group_same(const struct machine *m, unsigned level, unsigned n, uint64_t value)
{
	value &= ~mask(58, 55);
	if (has(m, S2_ARM64_HA)) {
		value &= ~ARM_AF;
	}
	if (has(m, S2_ARM64_HD) && (value & ARM_DBM) != 0) {
		value &= ~ARM_S2AP_WRITE;
	}
	return value - ((uint64_t)n << m->ops->lg2[level]);
}

static unsigned arm_marks(const struct machine *m)
{
	return (has(m, S2_ARM64_HA) ? MARK_ACCESSED : 0u) | (has(m, S2_ARM64_HD) ? MARK_DIRTY : 0u);
}

static uint64_t arm_set_marks(const struct machine *m, unsigned level, uint64_t value,
			      unsigned marks)
{
	(void)m;
	(void)level;
	value |= (marks & MARK_ACCESSED) != 0 ? ARM_AF : 0;
	value |= (marks & MARK_DIRTY) != 0 ? ARM_S2AP_WRITE : 0;
	return value;
}

/* I_WZCBG: what faults is never cached. */
static bool arm_caches_none(const struct machine *m)
{
	(void)m;
	return false;
}

/* D8.17.2. R_RTBRL: dirty marks by hardware need the break in any case. */
static bool size_may_change(const struct machine *m, const struct item *a, const struct item *b)
{
	if (has(m, S2_ARM64_HD)) {
		return false;
	}
	if (has(m, S2_ARM64_BBM2)) {
		return true;
	}
	return has(m, S2_ARM64_BBM1) && (a->faded || b->faded || a->kind == b->kind);
}

/* D8.17.1. */
static const char *arm_must_break(const struct machine *m, unsigned level, uint64_t old,
				  uint64_t new_value)
{
	struct item was = {.kind = ITEM_NONE}, is = {.kind = ITEM_NONE};
	uint64_t cleared = ARM_CONTIGUOUS;

	arm_decode(m, level, 0, old & ~cleared, &was);
	arm_decode(m, level, 0, new_value & ~cleared, &is);
	if (was.kind != is.kind) {
		return size_may_change(m, &was, &is) ? NULL
						     : "live to live: leaf and table, no break";
	}
	if (was.kind == ITEM_TABLE) {
		/* Or a leaf, made of the old and then split into the new table. */
		return was.hpa == is.hpa || (has(m, S2_ARM64_BBM2) && !has(m, S2_ARM64_HD))
			       ? NULL
			       : "live to live: another table, no break";
	}
	if (was.hpa != is.hpa) {
		return "live to live: another address, no break";
	}
	if (was.mem != is.mem || (!has(m, S2_ARM64_LPA2) && bits(old ^ new_value, 9, 8) != 0)) {
		return "live to live: another kind of memory, no break";
	}
	if (((old ^ new_value) & ARM_CONTIGUOUS) != 0 && !size_may_change(m, &was, &is)) {
		return "live to live: Contiguous, no break";
	}
	return NULL;
}

const struct machine_ops ops_arm64 = {
	.name = "arm64",
	.big_endian = false,
	.rubbish = UINT64_C(0x00000012345677ff),
	.levels = 4,
	.one_size = true,
	.any_mark_will_do = true,
	.lg2 = {12, 21, 30, 39},
	.items_lg2 = {9, 9, 9, 9},
	.group_lg2 = {4, 4, 4, 4},
	.start = arm_start,
	.decode = arm_decode,
	.group_same = arm_group_same,
	.marks = arm_marks,
	.set_marks = arm_set_marks,
	.caches_none = arm_caches_none,
	.must_break = arm_must_break,
};
