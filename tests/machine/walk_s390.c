/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dynamic address translation of z/Architecture, after the Principles of Operation, SA22-7832,
 * chapter 3. Big-endian. Bits are written as masks; bit 0 of the manual is the highest one.
 */
#include "walk.h"

#include <stage2/s390.h>

/* Region- and segment-table entries. */
#define CRSTE_FC 0x400u
#define CRSTE_P 0x200u
#define CRSTE_IEP 0x100u
#define CRSTE_TF 0xc0u
#define CRSTE_I 0x20u
#define CRSTE_COMMON 0x10u
#define CRSTE_TT 0x0cu
#define CRSTE_TL 0x03u
#define CRSTE_AV 0x10000u

/*
 * What a leaf has for software: the access-control bits and F where AV is 0, and unassigned bits.
 */
#define CRSTE_SOFTWARE 0xf8c3u
#define SEGMENT_SOFTWARE 0x03u

#define PTE_ZERO 0x800u
#define PTE_I 0x400u
#define PTE_P 0x200u
#define PTE_IEP 0x100u
#define PTE_SOFTWARE 0xffu

static bool s390_start(const struct machine *m, uint8_t *top, uint64_t *root_items)
{
	static const uint8_t root_bits[] = {0, 31, 42, 53, 64};

	*root_items = 2048;
	for (*top = 1; *top < 5; (*top)++) {
		if (root_bits[*top] == m->gpa_bits) {
			return true;
		}
	}
	return false;
}

static void s390_rights(const struct machine *m, bool protect, bool iep, struct item *out)
{
	out->prot = S2_PROT_ALL;
	out->accessed = true;
	out->dirty = true;
	out->mem = S2_MEM_NORMAL;
	if (protect) {
		out->prot &= (uint8_t)~S2_WRITE;
	}
	if (iep) {
		out->prot &= (uint8_t) ~(S2_EXEC | S2_EXEC_USER);
		if (!has(m, S2_S390_IEP)) {
			item_wrong(out, "s390: bit 55 without instruction-execution protection");
		}
	}
}

static void s390_pte(const struct machine *m, uint64_t v, struct item *out)
{
	if ((v & PTE_I) != 0) {
		return;
	}
	out->kind = ITEM_LEAF;
	out->hpa = v & mask(63, 12);
	s390_rights(m, (v & PTE_P) != 0, (v & PTE_IEP) != 0, out);
	if ((v & PTE_ZERO) != 0) {
		item_wrong(out, "s390: translation specification, bit 52 of a page-table entry");
	}
}

/* Format control 1: a segment of 1 MiB, or a region of 2 GiB. */
static void s390_frame(const struct machine *m, unsigned level, uint64_t v, struct item *out)
{
	uint64_t low = (UINT64_C(1) << m->ops->lg2[level]) - 1;

	out->kind = ITEM_LEAF;
	out->hpa = v & ~low;
	s390_rights(m, (v & CRSTE_P) != 0, (v & CRSTE_IEP) != 0, out);
	if ((v & CRSTE_AV) != 0) {
		item_wrong(out, "s390: access-control bits are valid in a leaf");
	}
	if ((v & low & ~mask(16, 0)) != 0) {
		item_wrong(out, "s390: reserved bits of a leaf");
	}
	if (level > 2 || !has(m, level == 1 ? S2_S390_EDAT1 : S2_S390_EDAT2)) {
		item_wrong(out, "s390: format control without the facility");
	}
}

static void s390_segment(uint64_t v, struct item *out)
{
	out->kind = ITEM_TABLE;
	out->hpa = v & mask(63, 11);
	out->last = 255;
	if ((v & (CRSTE_IEP | CRSTE_TF)) != 0) {
		item_wrong(out, "s390: reserved bits of a segment-table entry");
	}
}

/* Table offset and length are in units of 512 items. */
static void s390_region(uint64_t v, struct item *out)
{
	uint64_t offset = bits(v, 7, 6), length = v & CRSTE_TL;

	out->kind = ITEM_TABLE;
	out->hpa = v & mask(63, 12);
	out->first = (uint16_t)(offset * 512);
	out->last = (uint16_t)(length * 512 + 511);
	if ((v & (mask(11, 11) | CRSTE_IEP)) != 0) {
		item_wrong(out, "s390: reserved bits of a region-table entry");
	}
}

static void s390_crste(const struct machine *m, unsigned level, uint64_t v, struct item *out)
{
	if ((v & CRSTE_I) != 0) {
		return;
	}
	if ((v & CRSTE_FC) != 0) {
		s390_frame(m, level, v, out);
	} else {
		if (level == 1) {
			s390_segment(v, out);
		} else {
			s390_region(v, out);
		}
		out->prot = S2_PROT_ALL & (uint8_t) ~((v & CRSTE_P) != 0 ? S2_WRITE : 0u);
		out->accessed = true;
	}
	if ((v & CRSTE_TT) >> 2 != level - 1) {
		item_wrong(out, "s390: translation specification, table type");
	}
	if ((v & CRSTE_COMMON) != 0) {
		item_wrong(out, "s390: a common segment or region");
	}
}

static void s390_decode(const struct machine *m, unsigned level, uint64_t index, uint64_t value,
			struct item *out)
{
	(void)index;
	if (level == 0) {
		s390_pte(m, value, out);
	} else {
		s390_crste(m, level, value, out);
	}
}

/* Marks are software's alone. */
static unsigned s390_marks(const struct machine *m)
{
	(void)m;
	return 0;
}

static bool s390_caches_none(const struct machine *m)
{
	(void)m;
	return false;
}

static uint64_t s390_seen(const struct machine *m, unsigned level, uint64_t value)
{
	uint64_t software = PTE_SOFTWARE;

	(void)m;
	if (level == 1) {
		software = (value & CRSTE_FC) != 0 ? CRSTE_SOFTWARE : SEGMENT_SOFTWARE;
	} else if (level > 1) {
		software = (value & CRSTE_FC) != 0 ? CRSTE_SOFTWARE : 0;
	}
	return value & ~software;
}

static uint64_t s390_invalid(unsigned level, uint64_t value)
{
	return value | (level == 0 ? PTE_I : CRSTE_I);
}

const struct machine_ops ops_s390 = {
	.name = "s390",
	.big_endian = true,
	.purges = true,
	.rubbish = UINT64_C(0x0000123456789000),
	.levels = 5,
	.lg2 = {12, 20, 31, 42, 53},
	.items_lg2 = {8, 11, 11, 11, 11},
	.start = s390_start,
	.decode = s390_decode,
	.marks = s390_marks,
	.caches_none = s390_caches_none,
	.seen = s390_seen,
	.invalid = s390_invalid,
};
