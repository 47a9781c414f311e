/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual machine control block, APM appendix B "VMCB Layout": what metal/ uses of it. */
#ifndef METAL_X86_VMCB_H
#define METAL_X86_VMCB_H

#include <stddef.h>
#include <stdint.h>

/* Attributes are bits 47:40 and 55:52 of a descriptor, put together. */
struct vmcb_segment {
	uint16_t selector;
	uint16_t attributes;
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	uint32_t intercept_cr; /* reads, then writes */
	uint32_t intercept_dr;
	uint32_t intercept_exceptions;
	uint32_t intercept_1;
	uint32_t intercept_2;
	uint8_t reserved_014[0x040 - 0x014];
	uint64_t iopm;
	uint64_t msrpm;
	uint64_t tsc_offset;
	uint32_t asid;
	uint32_t tlb_control; /* bits 31:8 are reserved and 0 */
	uint64_t interrupt_control;
	uint64_t interrupt_shadow;
	uint64_t exit_code;
	uint64_t exit_info_1;
	uint64_t exit_info_2;
	uint64_t exit_interrupt_info;
	uint64_t nested_control;
	uint8_t reserved_098[0x0b0 - 0x098];
	uint64_t nested_cr3;
	uint64_t lbr_control;
	uint64_t clean; /* 0: the processor trusts nothing that it remembers of this block */
	uint8_t reserved_0c8[0x400 - 0x0c8];

	struct vmcb_segment es;
	struct vmcb_segment cs;
	struct vmcb_segment ss;
	struct vmcb_segment ds;
	struct vmcb_segment fs;
	struct vmcb_segment gs;
	struct vmcb_segment gdtr;
	struct vmcb_segment ldtr;
	struct vmcb_segment idtr;
	struct vmcb_segment tr;
	uint8_t reserved_4a0[0x4d0 - 0x4a0];
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4;
	uint64_t cr3;
	uint64_t cr0;
	uint64_t dr7;
	uint64_t dr6;
	uint64_t rflags;
	uint64_t rip;
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp;
	uint8_t reserved_5e0[0x5f8 - 0x5e0];
	uint64_t rax;
	uint8_t reserved_600[0x668 - 0x600];
	uint64_t pat;
	uint8_t reserved_670[0x1000 - 0x670];
};

_Static_assert(offsetof(struct vmcb, asid) == 0x058, "VMCB");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x070, "VMCB");
_Static_assert(offsetof(struct vmcb, nested_control) == 0x090, "VMCB");
_Static_assert(offsetof(struct vmcb, clean) == 0x0c0, "VMCB");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "VMCB");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "VMCB");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "VMCB");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "VMCB");
_Static_assert(sizeof(struct vmcb) == 0x1000, "VMCB");

#define VMCB_1_PAUSE (UINT32_C(1) << 23)      /* of intercept_1 */
#define VMCB_2_ALL UINT32_C(0x3fff)	      /* of intercept_2, up to XSETBV */
#define VMCB_INTR_MASKING (UINT64_C(1) << 24) /* V_INTR_MASKING, of interrupt_control */
#define VMCB_NESTED UINT64_C(1)		      /* NP_ENABLE, of nested_control */

/* APM appendix C "SVM Intercept Exit Codes" */
#define VMEXIT_INTR UINT64_C(0x060)
#define VMEXIT_INVLPG UINT64_C(0x079)
#define VMEXIT_VMMCALL UINT64_C(0x081)
#define VMEXIT_NPF UINT64_C(0x400)

/* EXITINFO1 of VMEXIT_NPF, APM 15.25.6 "Nested versus Guest Page Faults, Fault Ordering" */
#define NPF_PRESENT UINT64_C(0x01)
#define NPF_WRITE UINT64_C(0x02)
#define NPF_RESERVED UINT64_C(0x08)
#define NPF_FETCH UINT64_C(0x10)

#endif
