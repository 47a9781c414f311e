/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86: the page-table formats of Intel (EPT) and of AMD (nested page tables, NPT), and the operands
 * that point a processor at a space and make it forget one.
 *
 *   SDM   Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3, with the section
 *         numbers of the edition of March 2023
 *   APM   AMD64 Architecture Programmer's Manual, volume 2, publication 24593
 *
 * Both have tables of 512 items and leaves of 4 KiB, 2 MiB, and 1 GiB where the processor has them.
 * A live leaf may be swapped for a table with the same translations and back, without a time at
 * which neither is there; none to leaf owes no flush.
 */
#ifndef STAGE2_X86_H
#define STAGE2_X86_H

#include <stage2/fmt.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * EPT, SDM 29.3 "The Extended Page Table Mechanism (EPT)". gpa_bits: 30 to 48 for four levels, 49
 * to 57 for five. hpa_bits: 32 to 52, MAXPHYADDR. Features are those that the processor reports in
 * IA32_VMX_EPT_VPID_CAP (SDM A.10) and that the embedder has switched on.
 *
 *  - Rights: read; write only with read; execute without read only with S2_EPT_EXEC_ONLY. Without
 *    S2_EPT_MBE the guest's kernel and its user programs execute the same pages.
 *  - Kinds: all. S2_MEM_NORMAL leaves the guest's own PAT in force, as on a machine without a
 *    hypervisor: the guest may make RAM less cacheable than it is. The other kinds ignore the PAT,
 *    because they are made for the sake of being what they are.
 *  - Marks: with S2_EPT_AD the processor keeps accessed and dirty, and takes its reads of the
 *    guest's page tables for writes (SDM 29.3.3.2). Without it there is no accessed, and a leaf
 *    that is writable but not dirty is read-only for the processor; bits that it ignores hold the
 *    truth.
 *  - Sizes: where IA32_ARCH_CAPABILITIES bit 6 (IF_PSCHANGE_MC_NO) is 0, a processor may stop with
 *    a machine check if the size of a leaf changes that the guest executes from. There, executable
 *    memory takes leaves of 4 KiB only (leaf_sizes, s2_split()).
 */
extern const struct s2_fmt s2_fmt_ept;

#define S2_EPT_AD 1u	    /* EPTP bit 6: accessed and dirty flags; CAP bit 21 */
#define S2_EPT_MBE 2u	    /* "mode-based execute control for EPT" is 1 */
#define S2_EPT_EXEC_ONLY 4u /* execute without read; CAP bit 0 */
#define S2_EPT_1G 8u	    /* leaves of 1 GiB; CAP bit 17 */
#define S2_EPT_5LEVEL 16u   /* five levels, even if gpa_bits could do with four; CAP bit 7 */
#define S2_EPT_FEATURES_ALL (S2_EPT_AD | S2_EPT_MBE | S2_EPT_EXEC_ONLY | S2_EPT_1G | S2_EPT_5LEVEL)

/*
 * The numbers of struct s2_walk, for s2_lookup_as() and its like, EPT and NPT. top_lg2: 39 with four
 * levels, 48 with five. Present, in all tables and nearly all leaves, is bit 0; bit 7 is a block.
 */
#define S2_EPT_WALK(top) S2_X86_WALK('e', top)
#define S2_NPT_WALK(top) S2_X86_WALK('n', top)
#define S2_X86_WALK(letter, top)                                                               \
	{                                                                                      \
		.shape = S2_WALK_SHAPE(letter, 'p', 't', top), .usable = true,                 \
		.swap = __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__, .top_lg2 = (top),           \
		.page_bits = 9, .upper_bits = 9,                                               \
		.hpa_bits = UINT64_C(0xffffffffff000), /* bits 51:12 */                        \
			.table_mask = 0x81, .table_value = 1, .page_mask = 1, .page_value = 1, \
		.block_mask = 0x81, .block_value = 0x81,                                       \
	}

/*
 * The EPT pointer for a root, SDM 25.6.11 "Extended-Page-Table Pointer (EPTP)". The tables are
 * write-back memory. top: the root's level (struct s2_space).
 */
uint64_t s2_ept_pointer(s2_hpa_t root, unsigned top, uint64_t features);

/*
 * INVEPT, SDM volume 2: the type, which is its register operand, and the descriptor in memory. Both
 * forget what was made from EPT items alone or together with the guest's own page tables, whatever
 * the VPID, on the processor that executes it only. There is no form for a range of gpa.
 */
struct s2_invept {
	uint64_t type;
	uint64_t descriptor[2]; /* as in memory, lower address first */
};

#define S2_INVEPT_CONTEXT 1u
#define S2_INVEPT_GLOBAL 2u

struct s2_invept s2_ept_flush(uint64_t pointer);
struct s2_invept s2_ept_flush_global(void);

/*
 * NPT, APM 15.25 "Nested Paging": the page tables of long mode, APM 5.3, walked as user accesses.
 * gpa_bits: 30 to 48 for four levels, 49 to 57 for five (the host must run with CR4.LA57
 * then). hpa_bits: 32 to 52. The host must run with EFER.NXE.
 *
 *  - Rights: read always; write; execute, for the guest's kernel and user programs together.
 *  - Kinds: normal, write-through and device, by the host's PAT as it is after reset (0 WB, 1 WT,
 *    2 UC-, 3 UC), items 0, 1 and 3. NC and WP cannot be said.
 *  - Marks: the processor keeps accessed and dirty, and takes its reads of the guest's page tables
 *    for writes (APM 15.25.5).
 */
extern const struct s2_fmt s2_fmt_npt;

#define S2_NPT_1G 1u	 /* leaves of 1 GiB; CPUID Fn8000_0001_EDX[26] */
#define S2_NPT_5LEVEL 2u /* five levels, even if gpa_bits could do with four */
#define S2_NPT_FEATURES_ALL (S2_NPT_1G | S2_NPT_5LEVEL)

/* nCR3, VMCB offset 0b0h, APM 15.25.3: the root; the tables are write-back memory. */
uint64_t s2_npt_ncr3(s2_hpa_t root);

/* TLB_CONTROL, VMCB offset 05ch, APM 15.16.1 "TLB Flush": done by the next VMRUN, where it runs. */
enum s2_npt_tlb_control {
	S2_NPT_TLB_KEEP = 0,
	S2_NPT_TLB_FLUSH_ALL = 1,	  /* every ASID, the host's too */
	S2_NPT_TLB_FLUSH_GUEST = 3,	  /* this guest's ASID */
	S2_NPT_TLB_FLUSH_GUEST_LOCAL = 7, /* but for its global pages */
};

/*
 * The right TLB_CONTROL after nested tables have changed. TLBs hold translations from the guest's
 * linear to host-physical addresses and cannot be asked by gpa, so everything of the ASID goes, the
 * guest's global pages included: 3, and 1 where there is no 3. flush_by_asid: CPUID
 * Fn8000_000A_EDX[6]. An ASID that was not used since the last flush of all does as well.
 */
enum s2_npt_tlb_control s2_npt_flush(bool flush_by_asid);

/*
 * INVLPGA, APM 15.16.2: forgets one page of an ASID, on the processor that executes it. It is no
 * nested flush: its address is a linear one of the guest's, not a gpa; any number of those can lead
 * to one gpa, and the host does not know them. For hosts that emulate INVLPG for a guest.
 */
struct s2_invlpga {
	uint64_t rax;
	uint32_t ecx;
};

struct s2_invlpga s2_npt_invlpga(uint64_t linear, uint32_t asid);

#ifdef __cplusplus
}
#endif
#endif
