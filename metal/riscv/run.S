/* SPDX-License-Identifier: BSD-2-Clause */
/* In and out of guests; traps of the hypervisor itself; instructions that may trap. */
#include "cpu.h"

	.macro	each_register operation, base, registers:vararg
	.irp	n, \registers
	\operation x\n, CPU_GUEST + 8 * \n(\base)
	.endr
	.endm

	.macro	host_registers operation
	\operation ra, CPU_HOST(a0)
	\operation sp, CPU_HOST + 8(a0)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	\operation s\n, CPU_HOST + 16 + 8 * \n(a0)
	.endr
	.endm

	.text
	.globl guest_enter
guest_enter:
	host_registers sd
	csrw	sscratch, a0
	la	t0, guest_leave
	csrw	stvec, t0
	ld	t0, CPU_GUEST(a0)
	csrw	sepc, t0
	each_register ld, a0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	each_register ld, a0, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21
	each_register ld, a0, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	ld	a0, CPU_GUEST + 80(a0)
	sret

	.balign	4
guest_leave:
	csrrw	a0, sscratch, a0
	each_register sd, a0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	each_register sd, a0, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21
	each_register sd, a0, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	csrr	t0, sscratch
	sd	t0, CPU_GUEST + 80(a0)
	csrr	t0, sepc
	sd	t0, CPU_GUEST(a0)
	la	t0, host_vector
	csrw	stvec, t0
	mv	tp, a0
	host_registers ld
	ret

/* A trap of the hypervisor is the end: its registers, as in struct cpu, for host_trap(). */
	.globl host_vector
	.balign	4
host_vector:
	csrw	sscratch, sp
	la	sp, host_registers_end - CPU_GUEST - 256
	each_register sd, sp, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
	each_register sd, sp, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	csrr	t0, sscratch
	sd	t0, CPU_GUEST + 16(sp)
	csrr	t0, sepc
	sd	t0, CPU_GUEST(sp)
	la	t0, stuck
	csrw	stvec, t0
	addi	a0, sp, CPU_GUEST
	la	sp, stack_trap
	j	host_trap

	.globl stuck
	.balign	4
stuck:
	wfi
	j	stuck

/* uint64_t name(a0, a1), 0 or scause: instructions that use no register but a0 to a7. */
	.macro	probe name, first, second
	.globl \name
\name:
	csrr	t0, stvec
	la	t1, 1f
	csrw	stvec, t1
	.option push
	.option arch, +h, +svinval
	\first
	\second
	.option pop
	csrw	stvec, t0
	li	a0, 0
	ret
	.balign	4
1:	csrw	stvec, t0
	csrr	a0, scause
	ret
	.endm

	probe	probe_load, "hlv.d a2, (a0)", "sd a2, (a1)"
	probe	probe_store, "hsv.d a1, (a0)"
	probe	probe_svinval, sfence.w.inval, sfence.inval.ir

	.bss
	.balign	16
	.space	STACK_SIZE
stack_trap:
	.space	256
host_registers_end:
