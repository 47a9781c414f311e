/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's code: see guest.h. Problem state, 64-bit addresses; r2, r3, r4 are the arguments. A
 * hypercall is SVC 0 with its number in r2, its arguments in r3 and r4, its result in r2.
 */
#include "../guest.h"

	.section .guest, "ax"
	.balign	4096

	.globl	guest_code
guest_code:

	.globl	guest_read
guest_read:
	lg	%r2, 0(%r2)
	j	done

	.globl	guest_write
guest_write:
	stg	%r3, 0(%r2)
	lghi	%r2, 0
	j	done

	.globl	guest_call
guest_call:
	basr	%r14, %r2
	j	done

	.globl	guest_touch
guest_touch:
	la	%r5, 0(%r2, %r3)
0:	clgr	%r2, %r5
	jnl	1f
	stg	%r2, 0(%r2)
	la	%r2, 0(%r2, %r4)
	j	0b
1:	lgr	%r2, %r3
	j	done

	.globl	guest_poll
guest_poll:
	lg	%r4, 0(%r2)
	clgr	%r4, %r3
	je	guest_poll
	lgr	%r2, %r4
	j	done

	.globl	guest_hypercall
guest_hypercall:
	svc	0
	j	done

/* Not in guest.h: UVC with the control block at a; returns the condition code. */
	.globl	guest_uvc
guest_uvc:
	lghi	%r3, 0
	.insn	rrf, 0xb9a40000, %r3, %r2, 0, 0
	ipm	%r2
	srl	%r2, 28
	llgfr	%r2, %r2

done:
	lgr	%r3, %r2
	lghi	%r2, CALL_DONE
	svc	0
	j	.

	.globl	guest_spin
guest_spin:
	j	guest_spin

	.balign	4096
	.globl	guest_code_end
guest_code_end:

	.section .note.GNU-stack, "", @progbits
