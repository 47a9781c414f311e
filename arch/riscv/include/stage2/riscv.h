/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RISC-V: G-stage address translation of the hypervisor extension (RV64), the register that points
 * a hart at a space, and the operands that make harts forget one.
 *
 * References are to "The RISC-V Instruction Set Manual, Volume II: Privileged Architecture", by the
 * titles of its sections: "Two-Stage Address Translation" and others of the chapter on the H
 * extension, "Sv39", "Sv48", "Sv57", and the chapters "Svnapot", "Svpbmt", "Svadu", "Svvptc" and
 * "Svinval". Where they say guest physical page number, superpage or leaf PTE, this library says
 * gpa and leaf.
 */
#ifndef STAGE2_RISCV_H
#define STAGE2_RISCV_H

#include <stage2/fmt.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * gpa_bits: 41 (Sv39x4), 50 (Sv48x4) or 59 (Sv57x4), nothing else. hpa_bits: 13 to 56. The root is
 * 16 KiB. mstatus.SBE is 0: tables are little-endian.
 *
 *  - Leaves: 4 KiB, 2 MiB, 1 GiB, and with more levels 512 GiB and 256 TiB, if hpa_bits allow for
 *    one; with S2_RISCV_SVNAPOT also groups of 16 pages: 64 KiB.
 *  - Rights: read; write with read; execute with or without read. The guest's kernel and its user
 *    programs execute the same pages.
 *  - Kinds: normal (what the hardware says of the memory); with S2_RISCV_SVPBMT also NC and device.
 *  - Marks: A and D. Without S2_RISCV_SVADU the guest faults where one that it needs is clear:
 *    s2_touch().
 *
 * One live item may be swapped for another, leaf or table: until the fence a hart uses the one or
 * the other ("Virtual Address Translation Process"). Groups are broken first ("Svnapot").
 */
extern const struct s2_fmt s2_fmt_riscv;

#define S2_RISCV_SVNAPOT (1u << 0) /* use groups */
#define S2_RISCV_SVPBMT (1u << 1)  /* menvcfg.PBMTE is 1 */
#define S2_RISCV_SVADU \
	(1u << 2) /* harts may set A and D: all that lack Svade, or have menvcfg.ADUE 1 */
#define S2_RISCV_SVVPTC (1u << 3)  /* what becomes valid is seen without a fence */
#define S2_RISCV_SVINVAL (1u << 4) /* fences in batches */
#define S2_RISCV_FEATURES_ALL ((1u << 5) - 1)

/* hgatp for a space of this format. VMIDs have up to 14 bits; those above are dropped. */
uint64_t s2_riscv_hgatp(const struct s2_space *s, uint16_t vmid);

/*
 * Flushing by the harts that have run the guest, each for itself ("Hypervisor Memory-Management
 * Fence Instructions"). What combines both stages goes with it. A fence for one address orders
 * leaves only: when a table has been unlinked, all of the VMID is flushed.
 *
 * rs1 and rs2 are values. An operand that is left out is the register x0; a register with the value
 * 0 is not the same.
 */
enum s2_riscv_op {
	S2_RISCV_HFENCE_GVMA = 0,     /* HFENCE.GVMA rs1, rs2 */
	S2_RISCV_HFENCE_GVMA_ALL = 1, /* HFENCE.GVMA x0, rs2 */
	S2_RISCV_SFENCE_W_INVAL = 2,
	S2_RISCV_HINVAL_GVMA = 3, /* HINVAL.GVMA rs1, rs2 */
	S2_RISCV_SFENCE_INVAL_IR = 4
};

/* More fences than this for one batch are not worth their time: one for all of the VMID. */
#define S2_RISCV_HFENCE_MAX 512u

/*
 * Calls op for each operation of a batch: up to S2_RISCV_HFENCE_MAX of HFENCE.GVMA, or of
 * HINVAL.GVMA between the two that Svinval wants around them, or a single S2_RISCV_HFENCE_GVMA_ALL.
 * The new contents of the tables must be visible to the hart before the first of them. features are
 * those of the space. Cannot fail; no state, no locks.
 */
void s2_riscv_hfence(uint64_t features, const struct s2_flush *flush, size_t count, uint16_t vmid,
		     void (*op)(void *cookie, enum s2_riscv_op op, uint64_t rs1, uint64_t rs2),
		     void *cookie);

/* What to put into flush_max of struct s2_mmu: as many fences as one batch has at most. */
#define S2_RISCV_FLUSH_MAX S2_RISCV_HFENCE_MAX

/* rs1 and rs2 of HFENCE.GVMA and HINVAL.GVMA. */
uint64_t s2_riscv_rs1(s2_gpa_t gpa);
uint64_t s2_riscv_rs2(uint16_t vmid);

/*
 * The same by the firmware, on other harts (SBI specification, "RFENCE Extension"): extension
 * S2_RISCV_SBI_RFENCE, function fid. Arguments are the hart mask and its base, which the embedder
 * knows, then start, size and vmid. Where harts have no VMIDs, S2_RISCV_SBI_HFENCE_GVMA takes the
 * place of fid, without vmid.
 */
#define S2_RISCV_SBI_RFENCE 0x52464e43
#define S2_RISCV_SBI_HFENCE_GVMA_VMID 3
#define S2_RISCV_SBI_HFENCE_GVMA 4

struct s2_riscv_sbi {
	uint64_t fid;
	uint64_t start; /* bytes, not shifted */
	uint64_t size;
	uint64_t vmid;
};

struct s2_riscv_sbi s2_riscv_sbi(const struct s2_flush *flush, uint16_t vmid);

/*
 * The numbers of struct s2_walk, for s2_lookup_as() and its like. top_lg2: 30 for Sv39x4, 39 for
 * Sv48x4, 48 for Sv57x4. A table has V and nothing else beside its address, a leaf R and no N.
 */
#define S2_RISCV_WALK(top)                                                              \
	{                                                                               \
		.shape = S2_WALK_SHAPE('r', 'v', 'g', top), .usable = true,             \
		.swap = __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__, .tables_bare = true, \
		.top_lg2 = (top), .page_bits = 9, .upper_bits = 9, .hpa_shift = 2,      \
		.hpa_bits = UINT64_C(0x3ffffffffffc00), /* bits 53:10 */                \
			.table_mask = ~UINT64_C(0x3ffffffffffc00), .table_value = 1,    \
		.page_mask = UINT64_C(1) << 63 | 3, .page_value = 3,                    \
		.block_mask = UINT64_C(1) << 63 | 3, .block_value = 3,                  \
	}

#ifdef __cplusplus
}
#endif
#endif
