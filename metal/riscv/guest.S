/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest runs, in VS-mode with vsatp 0: see guest.h. A hypercall is an ECALL: a0, a1, a2.
 * WFI gives way to the other hart, and goes on: an interrupt is always pending (machine.c).
 */
#include "guest.h"

#define ROUNDS 1000

	.macro	function name
	.globl \name
	.balign	4
\name:
	.endm

	.section .guest, "ax"
	.balign	4096
	function guest_code

	function guest_read
	ld	a1, (a0)
	j	done

	function guest_write
	sd	a1, (a0)
	li	a1, 0
	j	done

	function guest_call
	jalr	a0
	mv	a1, a0
	j	done

	function guest_touch
	add	t0, a0, a1
1:	bgeu	a0, t0, done
	sd	a0, (a0)
	add	a0, a0, a2
	j	1b

	function guest_poll
	li	t1, ROUNDS
1:	ld	t0, (a0)
	bne	t0, a1, 2f
	addi	t1, t1, -1
	bnez	t1, 1b
	wfi
	j	guest_poll
2:	mv	a1, t0
	j	done

	function guest_hypercall
	ecall
	mv	a1, a0
done:	li	a0, CALL_DONE
	ecall

	function guest_spin
	li	t0, ROUNDS
1:	addi	t0, t0, -1
	bnez	t0, 1b
	wfi
	j	guest_spin

	.balign	4096
	.globl guest_code_end
guest_code_end:
