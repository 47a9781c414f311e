/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest, at EL1 with its MMU off: one page, position-independent. guest.h tells what each
 * function does. Data may be Device memory for it, so that all accesses are aligned.
 */
#include "../guest.h"

	.section .guest, "ax"
	.balign	4096
	.global guest_code
guest_code:

	.global guest_read
guest_read:
	ldr	x1, [x0]
	b	done

	.global guest_write
guest_write:
	str	x1, [x0]
	mov	x1, #0
	b	done

	.global guest_call
guest_call:
	blr	x0
	mov	x1, x0
	b	done

	.global guest_touch
guest_touch:
	add	x4, x0, x1
1:	cmp	x0, x4
	b.hs	done
	str	x0, [x0]
	add	x0, x0, x2
	b	1b

	.global guest_poll
guest_poll:
	yield
	ldr	x3, [x0]
	cmp	x3, x1
	b.eq	guest_poll
	mov	x1, x3
	b	done

	.global guest_hypercall
guest_hypercall:
	hvc	#0
	mov	x1, x0

done:
	mov	x0, #CALL_DONE
	hvc	#0
	b	done

	.global guest_spin
guest_spin:
	b	guest_spin

	/* Whatever it is: none of the functions above has exceptions of its own. */
	.balign	0x800
	.global guest_vectors
guest_vectors:
	.rept	16
	.balign	0x80
	hvc	#1
	b	.
	.endr
	.balign	4096
	.global guest_code_end
guest_code_end:
