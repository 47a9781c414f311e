/* SPDX-License-Identifier: BSD-2-Clause */
/* Operands that point a processor at tables and make it forget them: values only. */
#include <stage2/x86.h>

/* SDM table "Format of Extended-Page-Table Pointer" */
#define EPTP_WB UINT64_C(6)	   /* bits 2:0, memory type of the tables */
#define EPTP_LENGTH_SHIFT 3	   /* bits 5:3, levels less 1 */
#define EPTP_AD (UINT64_C(1) << 6) /* accessed and dirty flags */

uint64_t s2_ept_pointer(s2_hpa_t root, unsigned top, uint64_t features)
{
	return root.val | (uint64_t)top << EPTP_LENGTH_SHIFT | EPTP_WB |
	       (features & S2_EPT_AD ? EPTP_AD : 0);
}

/* The second half of a descriptor is reserved and must be 0. */
struct s2_invept s2_ept_flush(uint64_t pointer)
{
	struct s2_invept invept = {S2_INVEPT_CONTEXT, {pointer, 0}};

	return invept;
}

struct s2_invept s2_ept_flush_global(void)
{
	struct s2_invept invept = {S2_INVEPT_GLOBAL, {0, 0}};

	return invept;
}

/* PWT and PCD, bits 3 and 4, are 0: write-back, by the host's PAT. */
uint64_t s2_npt_ncr3(s2_hpa_t root)
{
	return root.val;
}

enum s2_npt_tlb_control s2_npt_flush(bool flush_by_asid)
{
	return flush_by_asid ? S2_NPT_TLB_FLUSH_GUEST : S2_NPT_TLB_FLUSH_ALL;
}

struct s2_invlpga s2_npt_invlpga(uint64_t linear, uint32_t asid)
{
	struct s2_invlpga invlpga = {linear, asid};

	return invlpga;
}
