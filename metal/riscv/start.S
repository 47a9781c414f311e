/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware enters here in HS-mode with satp 0 (SBI, "Hart State Management Extension"): the hart
 * in a0, and in a1 the device tree for the first hart, its struct cpu for the second. Addresses are
 * physical ones throughout, so that there is nothing of our own to be set up before C runs.
 */
#include "cpu.h"

#define SBI_HSM 0x48534d
#define SBI_HSM_START 0
#define SBI_HSM_STOP 1

	.section .text.start, "ax"
	.globl _start
_start:
	csrw	sie, zero

/*
 * Any hart may be the one that is started. Hart 0 lets hart 1 be the first processor, if there is one:
 * under QEMU's counting clock the harts take turns, and hart 0 has one at each timer that expires,
 * hart 1 only when hart 0 has nothing to do. So hart 1 may wait in the firmware for hart 0 to
 * take part in a fence, but not the other way round.
 */
	mv	s0, a0
	bnez	a0, 1f
	mv	a2, a1
	li	a0, 1
	la	a1, _start
	li	a6, SBI_HSM_START
	li	a7, SBI_HSM
	ecall
	mv	a1, a2
	bnez	a0, 1f
	li	a6, SBI_HSM_STOP
	ecall
	j	stuck
1:	la	t0, __bss_start
	la	t1, __bss_end
2:	bgeu	t0, t1, 3f
	sd	zero, (t0)
	addi	t0, t0, 8
	j	2b
3:	la	t0, device_tree
	sd	a1, (t0)
	mv	a0, s0
	la	a1, cpus
	la	t0, stack_first
	sd	t0, CPU_STACK(a1)
	la	ra, metal_main
	j	start_cpu

	.globl start_other
start_other:
	la	ra, other_main
start_cpu:
	csrw	sie, zero
	mv	tp, a1
	sd	a0, CPU_HART(tp)
	ld	sp, CPU_STACK(tp)
	la	t0, host_vector
	csrw	stvec, t0
	ret

	.bss
	.balign	16
	.space	STACK_SIZE
stack_first:
