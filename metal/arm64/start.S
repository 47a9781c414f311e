/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entry, at EL2 with the MMU off. The tables of our own address space are ready in the image,
 * so that nothing is written before the caches are on.
 */

#define HCR_RW (1 << 31) /* E2H and TGE are 0, whatever they were */

/* D8.6.1: attribute 0 is Normal write-back, 1 is Device-nGnRE. */
#define MAIR 0x04ff

/*
 * TCR_EL2 (E2H 0): 39 bits, so that walks start with 1 GiB blocks; walks through write-back inner
 * shareable memory, 4 KiB granule, output of 40 bits; bits 31 and 23 are RES1.
 */
#define TCR ((1 << 31) | (1 << 23) | (2 << 16) | (3 << 12) | (1 << 10) | (1 << 8) | 25)

/* SCTLR_EL2: M, C, SA, I; the rest is RES1. */
#define SCTLR (0x30c50830 | (1 << 12) | (1 << 3) | (1 << 2) | 1)

/* Blocks (table D8-52): XN, AF, inner shareable, AP[1] is RES1, attribute, block. */
#define BLOCK_DEVICE ((1 << 54) | (1 << 10) | (1 << 6) | (1 << 2) | 1)
#define BLOCK_NORMAL (0x40000000 | (1 << 10) | (3 << 8) | (1 << 6) | 1)

	.section .text.start, "ax"
	.global _start
_start:
	bl	enable
	ldr	x1, =bss_start
	ldr	x2, =bss_end
1:	cmp	x1, x2
	b.hs	2f
	stp	xzr, xzr, [x1], #16
	b	1b
2:	ldr	x1, =stack_end
	mov	sp, x1
	bl	metal_main
	b	.

	/* x0: the function to call. */
	.global start_other
start_other:
	bl	enable
	ldr	x1, =stack_other_end
	mov	sp, x1
	bl	machine_other
3:	wfe
	b	3b

	/* The MMU and the caches. Clobbers x1. */
enable:
	mov	x1, #HCR_RW
	msr	hcr_el2, x1
	isb
	msr	spsel, #1
	msr	daifset, #0xf
	ldr	x1, =vectors
	msr	vbar_el2, x1
	mov	x1, #MAIR
	msr	mair_el2, x1
	ldr	x1, =TCR
	msr	tcr_el2, x1
	ldr	x1, =own_table
	msr	ttbr0_el2, x1
	isb
	tlbi	alle2
	ic	iallu
	dsb	nsh
	isb
	ldr	x1, =SCTLR
	msr	sctlr_el2, x1
	isb
	ret

	.section .rodata.own_table, "a"
	.balign 4096
own_table:
	.quad	BLOCK_DEVICE
	.quad	BLOCK_NORMAL
	.zero	4096 - 2 * 8

	.section .bss.stack, "aw", %nobits
	.balign 16
	.zero	0x8000
stack_end:
	.zero	0x8000
stack_other_end:
