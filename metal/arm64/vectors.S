/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions to EL2 (D1.4.1.6): a guest leaves, or we have a bug. And the way into a guest. */

#define GUEST_PC 0xf8 /* struct guest, run.c */
#define FRAME 0x70
#define FRAME_GUEST 0x60

	/* Both begin alike: x0, x1 on the stack, x0 is what has happened. */
	.macro	vector number, to
	.balign	0x80
	stp	x0, x1, [sp, #-16]!
	mov	x0, #\number
	b	\to
	.endm

	/* All but x0 and x1. */
	.macro	each_pair what, base
	\what	x2, x3, [\base, #0x10]
	\what	x4, x5, [\base, #0x20]
	\what	x6, x7, [\base, #0x30]
	\what	x8, x9, [\base, #0x40]
	\what	x10, x11, [\base, #0x50]
	\what	x12, x13, [\base, #0x60]
	\what	x14, x15, [\base, #0x70]
	\what	x16, x17, [\base, #0x80]
	\what	x18, x19, [\base, #0x90]
	\what	x20, x21, [\base, #0xa0]
	\what	x22, x23, [\base, #0xb0]
	\what	x24, x25, [\base, #0xc0]
	\what	x26, x27, [\base, #0xd0]
	\what	x28, x29, [\base, #0xe0]
	.endm

	.macro	each_saved what
	\what	x19, x20, [sp, #0x10]
	\what	x21, x22, [sp, #0x20]
	\what	x23, x24, [sp, #0x30]
	\what	x25, x26, [sp, #0x40]
	\what	x27, x28, [sp, #0x50]
	.endm

	.text
	.balign	0x800
	.global vectors
vectors:
	vector	0, own_exception	/* from EL2 with SP_EL0 */
	vector	1, own_exception
	vector	2, own_exception
	vector	3, own_exception
	vector	0, own_exception	/* from EL2 */
	vector	1, own_exception
	vector	2, own_exception
	vector	3, own_exception
	vector	0, guest_leave		/* from a guest: synchronous */
	vector	1, guest_leave		/* IRQ */
	vector	2, guest_leave		/* FIQ */
	vector	3, guest_leave		/* SError */
	vector	0, own_exception	/* from AArch32 */
	vector	1, own_exception
	vector	2, own_exception
	vector	3, own_exception

	/* unsigned guest_enter(struct guest *): the number of the vector that it left by. */
	.global guest_enter
guest_enter:
	stp	x29, x30, [sp, #-FRAME]!
	each_saved stp
	str	x0, [sp, #FRAME_GUEST]
	ldp	x1, x2, [x0, #GUEST_PC]
	msr	elr_el2, x1
	msr	spsr_el2, x2
	each_pair ldp, x0
	ldr	x30, [x0, #0xf0]
	ldp	x0, x1, [x0]
	eret
	dsb	nsh			/* no speculation past the ERET */
	isb

guest_leave:
	ldr	x1, [sp, #16 + FRAME_GUEST]
	each_pair stp, x1
	str	x30, [x1, #0xf0]
	ldp	x2, x3, [sp], #16
	stp	x2, x3, [x1]
	mrs	x2, elr_el2
	mrs	x3, spsr_el2
	stp	x2, x3, [x1, #GUEST_PC]
	each_saved ldp
	ldp	x29, x30, [sp], #FRAME
	ret

	/* x0 to x30 in memory, for machine_exception(). */
own_exception:
	ldr	x1, [sp, #8]
	sub	sp, sp, #0x100
	each_pair stp, sp
	stp	x30, x1, [sp, #0xf0]
	ldr	x1, [sp, #0x100]
	str	x1, [sp]
	ldr	x1, [sp, #0xf8]
	str	x1, [sp, #8]
	mov	x1, sp
	bl	machine_exception
	b	.
