/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where processors start, and where interruptions enter. DAT is off in all of this: addresses are
 * real, and what is below 4 KiB needs no base register.
 */
#include "lowcore.h"

#define SIGP_SET_ARCHITECTURE 0x12

	.section .text.start, "ax"

	.globl	start
start:
	/* IPL leaves machines without facility 138 in ESA/390; where that is not so it is an error. */
	lhi	%r1, 1
	sigp	%r1, %r0, SIGP_SET_ARCHITECTURE
	sam64
	larl	%r2, bss_start
	larl	%r3, bss_end
	slgr	%r3, %r2
	lghi	%r5, 0
0:	mvcle	%r2, %r4, 0		/* pads with zeros: the second operand's length is 0 */
	jo	0b
	larl	%r15, boot_stack + STACK_SIZE - STACK_FRAME
	brasl	%r14, metal_main
	j	.

/* Processor 1, by the restart interruption. */
	.globl	start_other
start_other:
	lg	%r15, LC_STACK
	brasl	%r14, cpu_entered
	j	.

/*
 * unsigned guest_enter(void): gives the processor to the guest whose registers and PSW are in the
 * lowcore; returns what interruption ended that, one of TRAP_....
 */
	.globl	guest_enter
guest_enter:
	stmg	%r6, %r15, 48(%r15)
	stg	%r15, LC_RUN_STACK
	lmg	%r0, %r15, LC_GUEST_REGS
	lpswe	LC_GUEST_PSW

/* Only guests have DAT on. */
	.macro	interruption name, old, kind
	.globl	\name
\name:
	tm	\old, PSW_BYTE0_DAT
	jz	\name\()_own
	stmg	%r0, %r15, LC_GUEST_REGS
	mvc	LC_GUEST_PSW(16), \old
	lghi	%r2, \kind
	lg	%r15, LC_RUN_STACK
	lmg	%r6, %r15, 48(%r15)
	br	%r14
\name\()_own:
	.endm

/* The hypervisor's own: trap() either ends the machine, or has seen to a program interruption. */
	.macro	trap kind
	stmg	%r0, %r15, LC_TRAP_REGS
	lghi	%r2, \kind
	j	trap_common
	.endm

	interruption svc_interruption, LC_SVC_OLD, TRAP_SVC
	trap	TRAP_SVC
	interruption program_interruption, LC_PROGRAM_OLD, TRAP_PROGRAM
	trap	TRAP_PROGRAM
	interruption machine_check_interruption, LC_MACHINE_CHECK_OLD, TRAP_MACHINE_CHECK
	trap	TRAP_MACHINE_CHECK
	interruption io_interruption, LC_IO_OLD, TRAP_IO
	trap	TRAP_IO

trap_common:
	lg	%r15, LC_TRAP_STACK
	brasl	%r14, trap
	lmg	%r0, %r15, LC_TRAP_REGS
	lpswe	LC_PROGRAM_OLD

	interruption external_interruption, LC_EXTERNAL_OLD, TRAP_EXTERNAL
	lpswe	LC_RESUME_PSW

/*
 * void external_wait(uint64_t until): waits for an external interruption, but no longer than until
 * then by the TOD clock. It may come at any time from STOSM on: it always goes on at the end.
 */
	.globl	external_wait
external_wait:
	larl	%r1, 0f
	stg	%r1, LC_RESUME_PSW + 8
	stg	%r2, LC_UNTIL
	stosm	LC_MASK, PSW_BYTE0_EXTERNAL
	sckc	LC_UNTIL
	lpswe	LC_WAIT_PSW
0:	br	%r14

	.section .note.GNU-stack, "", @progbits
