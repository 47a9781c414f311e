/* SPDX-License-Identifier: BSD-2-Clause */
/* Operands of the instructions that purge: values only. PoP chapter 10 for each. */
#include <stage2/s390.h>

/* PoP chapter 3, "Address-Space-Control Element" */
#define ASCE_PRIVATE UINT64_C(0x100)
#define ASCE_DT_SHIFT 2		/* which table: segment 0, region third 1, second 2, first 3 */
#define ASCE_LENGTH UINT64_C(3) /* all 2048 items */

#define PAGE_TABLE_ITEMS 256u
#define CRST_ITEMS 2048u

#define PTE_INVALID UINT64_C(0x400)
#define CRSTE_INVALID UINT64_C(0x20)

/* IDTE, R2: bit 52 chooses clearing by ASCE; else bits 53 to 63 are the additional entries. */
#define IDTE_CLEAR_BY_ASCE UINT64_C(0x800)
#define IDTE_DT_SHIFT 2 /* R1, bits 60 and 61, as in an ASCE */

/* CRDTE, R2 even, bits 59 to 61: the table type; 0 is a page table, bit 59 is 1 for the others. */
#define CRDTE_DTT_NOT_PAGE UINT64_C(0x10)
#define CRDTE_DTT_SHIFT 2

/* CSPG, R2, bit 63: purge the TLBs. */
#define CSPG_TLB UINT64_C(1)

uint64_t s2_s390_asce(s2_hpa_t root, unsigned top)
{
	return root.val | ASCE_PRIVATE | (uint64_t)(top - 1) << ASCE_DT_SHIFT | ASCE_LENGTH;
}

/* The machine takes the place of the item from the address, and the page from there on. */
size_t s2_s390_ipte(const struct s2_place *place, size_t count, bool range,
		    struct s2_s390_regs *out)
{
	size_t left = PAGE_TABLE_ITEMS - place->index;
	size_t done = !range ? 1 : count < left ? count : left;
	struct s2_s390_regs regs = {
		.r1 = {place->table.val},
		.r2 = {place->gpa.val},
		.r3 = done - 1, /* bits 56 to 63: additional entries */
	};

	*out = regs;
	return done;
}

size_t s2_s390_idte(const struct s2_place *place, size_t count, uint64_t asce,
		    struct s2_s390_regs *out)
{
	size_t left = CRST_ITEMS - place->index;
	size_t done = count < left ? count : left;
	struct s2_s390_regs regs = {
		.r1 = {place->table.val | (uint64_t)(place->level - 1) << IDTE_DT_SHIFT},
		.r2 = {place->gpa.val | (done - 1)},
		.r3 = asce,
	};

	*out = regs;
	return done;
}

void s2_s390_idte_space(uint64_t asce, struct s2_s390_regs *out)
{
	struct s2_s390_regs regs = {.r2 = {IDTE_CLEAR_BY_ASCE}, .r3 = asce};

	*out = regs;
}

enum s2_s390_way s2_s390_way(uint64_t old, unsigned level, uint64_t features)
{
	if (old & (level == 0 ? PTE_INVALID : CRSTE_INVALID)) {
		return S2_S390_WAY_CSG;
	}
	return features & S2_S390_EDAT2 ? S2_S390_WAY_CRDTE : S2_S390_WAY_CSPG;
}

void s2_s390_crdte(const struct s2_place *place, uint64_t old, uint64_t new_value, uint64_t asce,
		   struct s2_s390_regs *out)
{
	struct s2_s390_regs regs = {
		.r1 = {old, new_value},
		.r2 = {place->table.val, place->gpa.val},
		.r3 = asce,
	};

	if (place->level > 0) {
		regs.r2[0] |= CRDTE_DTT_NOT_PAGE | (uint64_t)(place->level - 1) << CRDTE_DTT_SHIFT;
	}
	*out = regs;
}

void s2_s390_cspg(const struct s2_place *place, uint64_t old, uint64_t new_value,
		  struct s2_s390_regs *out)
{
	struct s2_s390_regs regs = {
		.r1 = {old, new_value},
		.r2 = {(place->table.val + place->index * sizeof(uint64_t)) | CSPG_TLB},
	};

	*out = regs;
}

void s2_s390_rdp(const struct s2_place *place, uint64_t asce, struct s2_s390_regs *out)
{
	struct s2_s390_regs regs = {
		.r1 = {place->table.val},
		.r2 = {place->gpa.val},
		.r3 = asce,
	};

	*out = regs;
}
