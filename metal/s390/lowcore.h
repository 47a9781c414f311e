/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first 8 KiB of each processor's storage, at its real address 0: the prefix area. PoP
 * chapter 3, "Assigned Storage Locations". For C and for assembler. Bytes 0x200 to 0xfff are ours.
 */
#ifndef METAL_S390_LOWCORE_H
#define METAL_S390_LOWCORE_H

#define LC_EXTERNAL_OLD 0x130
#define LC_SVC_OLD 0x140
#define LC_PROGRAM_OLD 0x150
#define LC_MACHINE_CHECK_OLD 0x160
#define LC_IO_OLD 0x170

#define LC_GUEST_REGS 0x200
#define LC_GUEST_PSW 0x280
#define LC_RUN_STACK 0x290
#define LC_TRAP_REGS 0x298
#define LC_TRAP_STACK 0x318
#define LC_STACK 0x320
#define LC_RESUME_PSW 0x328
#define LC_WAIT_PSW 0x338
#define LC_UNTIL 0x348
#define LC_MASK 0x350

/* Which of the interruptions it was. */
#define TRAP_SVC 0
#define TRAP_PROGRAM 1
#define TRAP_EXTERNAL 2
#define TRAP_MACHINE_CHECK 3
#define TRAP_IO 4

/* PSW bits, PoP chapter 4, "Program-Status-Word Format"; of its first byte, for TM and STOSM. */
#define PSW_BYTE0_DAT 0x04
#define PSW_BYTE0_EXTERNAL 0x01

/* Stacks, and what a caller has to leave free at their end: s390x ELF ABI, "Register Save Area". */
#define STACK_SIZE 16384
#define STACK_FRAME 160

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

#define PSW_DAT UINT64_C(0x0400000000000000)
#define PSW_EXTERNAL UINT64_C(0x0100000000000000)
#define PSW_WAIT UINT64_C(0x0002000000000000)
#define PSW_PROBLEM UINT64_C(0x0001000000000000)
#define PSW_64 UINT64_C(0x0000000180000000)
#define PSW_CC_SHIFT 44

struct psw {
	uint64_t mask;
	uint64_t addr;
};

struct lowcore {
	uint8_t ipl[0x80];
	uint32_t external_parameter;
	uint16_t external_cpu;
	uint16_t external_code;
	uint16_t svc_length;
	uint16_t svc_code;
	uint16_t program_length; /* of the instruction, in bytes */
	uint16_t program_code;
	uint8_t at_90[0xa8 - 0x90];
	uint64_t teid; /* translation-exception identification */
	uint8_t at_b0[0x120 - 0xb0];
	struct psw restart_old;
	struct psw external_old;
	struct psw svc_old;
	struct psw program_old;
	struct psw machine_check_old;
	struct psw io_old;
	uint8_t at_180[0x1a0 - 0x180];
	struct psw restart_new;
	struct psw external_new;
	struct psw svc_new;
	struct psw program_new;
	struct psw machine_check_new;
	struct psw io_new;

	uint64_t guest_regs[16];
	struct psw guest_psw;
	uint64_t run_stack; /* of guest_enter() */
	uint64_t trap_regs[16];
	uint64_t trap_stack;
	uint64_t stack;	       /* where the processor starts */
	struct psw resume_psw; /* of external_wait() */
	struct psw wait_psw;
	uint64_t until;
	uint64_t system_mask;
	void (*entry)(void);
	uint16_t cpu;
	uint16_t uvc_program; /* uvc.c: the interruption that is left of a UVC; 0: none */
	uint32_t kicks;	      /* that came when no guest ran */
	uint32_t relaxed;
	uint8_t at_36c[0x2000 - 0x36c];
};

_Static_assert(offsetof(struct lowcore, teid) == 0xa8, "PoP");
_Static_assert(offsetof(struct lowcore, external_old) == LC_EXTERNAL_OLD, "PoP");
_Static_assert(offsetof(struct lowcore, svc_old) == LC_SVC_OLD, "PoP");
_Static_assert(offsetof(struct lowcore, program_old) == LC_PROGRAM_OLD, "PoP");
_Static_assert(offsetof(struct lowcore, machine_check_old) == LC_MACHINE_CHECK_OLD, "PoP");
_Static_assert(offsetof(struct lowcore, io_old) == LC_IO_OLD, "PoP");
_Static_assert(offsetof(struct lowcore, restart_new) == 0x1a0, "PoP");
_Static_assert(offsetof(struct lowcore, guest_regs) == LC_GUEST_REGS, "");
_Static_assert(offsetof(struct lowcore, guest_psw) == LC_GUEST_PSW, "");
_Static_assert(offsetof(struct lowcore, run_stack) == LC_RUN_STACK, "");
_Static_assert(offsetof(struct lowcore, trap_regs) == LC_TRAP_REGS, "");
_Static_assert(offsetof(struct lowcore, trap_stack) == LC_TRAP_STACK, "");
_Static_assert(offsetof(struct lowcore, stack) == LC_STACK, "");
_Static_assert(offsetof(struct lowcore, resume_psw) == LC_RESUME_PSW, "");
_Static_assert(offsetof(struct lowcore, wait_psw) == LC_WAIT_PSW, "");
_Static_assert(offsetof(struct lowcore, until) == LC_UNTIL, "");
_Static_assert(offsetof(struct lowcore, system_mask) == LC_MASK, "");
_Static_assert(sizeof(struct lowcore) == 0x2000, "PoP: two pages");

/* Of the processor that looks: metal.ld says 0. Interruptions write it. */
extern volatile struct lowcore lowcore;

extern char boot_stack[STACK_SIZE];

#endif
#endif
