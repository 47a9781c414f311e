/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry of the payload: an arm64 Image (Linux, Documentation/arch/arm64/booting.rst), entered at EL1
 * with the MMU off, x0 = device tree. Turns the MMU on with an identity map, so that memory is
 * cacheable as the host's view of it is, and calls payload_main(device tree).
 */
	.section .head, "ax"
	.globl	_start
_start:
	b	1f
	.word	0
	.quad	0			/* text_offset */
	.quad	__image_size
	.quad	0xa			/* little-endian, 4K pages, anywhere in memory */
	.quad	__file_size, 0, 0	/* reserved; ours to say where the file ends */
	.ascii	"ARM\x64"
	.word	0

1:	mov	x19, x0
	ldr	x0, =0x04ff		/* MAIR: attribute 0 normal write-back, 1 device nGnRE */
	msr	mair_el1, x0
	/* TCR: 39 bits through TTBR0, 4K, inner shareable write-back, none through TTBR1, PA 40 bits */
	ldr	x0, =(25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32)
	msr	tcr_el1, x0
	adr	x0, root
	msr	ttbr0_el1, x0
	isb
	mrs	x0, sctlr_el1
	ldr	x1, =(1 << 0 | 1 << 2 | 1 << 12)	/* M, C, I */
	orr	x0, x0, x1
	msr	sctlr_el1, x0
	isb
	mov	x0, #(3 << 20)		/* CPACR: the compiler may use vector registers */
	msr	cpacr_el1, x0
	isb
	adr	x0, vectors
	msr	vbar_el1, x0
	adr	x0, stack_top
	mov	sp, x0
	adr	x0, __bss_start
	adr	x1, __bss_end
2:	cmp	x0, x1
	b.hs	3f
	str	xzr, [x0], #8
	b	2b
3:	mov	x0, x19
	bl	payload_main
4:	wfi
	b	4b

	/*
	 * A synchronous exception of our own level, the fifth entry, may be an external abort that is
	 * waited for: payload_exception() returns, and the program goes on behind the instruction. All
	 * others are our own bug, and it does not return.
	 */
	.balign	2048
vectors:
	.rept	16
	.balign	128
	sub	sp, sp, #176
	stp	x0, x1, [sp]
	b	exception
	.endr

exception:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x30, [sp, #144]
	mrs	x0, esr_el1
	mrs	x1, far_el1
	mrs	x2, elr_el1
	bl	payload_exception
	mrs	x0, elr_el1
	add	x0, x0, #4
	msr	elr_el1, x0
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x30, [sp, #144]
	ldp	x0, x1, [sp]
	add	sp, sp, #176
	eret

	/* 1 GiB blocks: the first two device, the rest normal memory; AF, inner shareable. */
	.balign	4096
root:
	.quad	0x00000000 | 1 << 10 | 1 << 2 | 1 << 54 | 1
	.quad	0x40000000 | 1 << 10 | 1 << 2 | 1 << 54 | 1
	.set	gib, 2
	.rept	30
	.quad	(gib << 30) | 1 << 10 | 3 << 8 | 0 << 2 | 1
	.set	gib, gib + 1
	.endr
	.fill	480, 8, 0

	.section .bss
	.balign	16
	.space	8192
stack_top:
