/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the loader to C. The image is entered at start32 in 32-bit protected mode without paging, with
 * EBX at a struct hvm_start_info: the PVH entry of xen/include/public/arch-x86/hvm/start_info.h.
 */

#include "layout.h"

#define CR0_LONG 0x80010033	/* PG, WP, NE, ET, MP, PE */
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define CR4_LA57 0x1000
#define MSR_EFER 0xc0000080
#define EFER_HOST 0x1900	/* SVME, NXE, LME */

#define STACK_SIZE 0x4000

	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 8, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.quad	start32

	.text
	.code32
	.globl	start32
start32:
	cld
	mov	%ebx, %ebp
	xor	%eax, %eax
	mov	$__bss_start, %edi
	mov	$__bss_end, %ecx
	sub	%edi, %ecx
	shr	$2, %ecx
	rep stosl
	mov	%ebp, boot_info
	mov	$stacks + STACK_SIZE, %esp
	mov	$start64, %edi

/* To long mode, at EDI, with the stack ESP. */
long_mode:
	mov	%cr4, %eax
	or	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_HOST, %eax
	wrmsr
	mov	$CR0_LONG, %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$CODE64, $1f
	.code64
1:	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%edi, %edi
	jmp	*%rdi

start64:
	xor	%ebp, %ebp
	call	metal_main

/* Where processor 1 starts, in real mode: copied to TRAMPOLINE. */
	.code16
	.globl	trampoline, trampoline_end
trampoline:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	TRAMPOLINE + trampoline_gdt - trampoline
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$CODE32, $other32
	.balign	4
trampoline_gdt:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.code32
other32:
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	lock btsl $0, other_is_up	/* one is enough */
	jc	2f
	mov	$stacks + 2 * STACK_SIZE, %esp
	mov	$other64, %edi
	jmp	long_mode
2:	cli
	hlt
	jmp	2b

	.code64
other64:
	xor	%ebp, %ebp
	call	cpu_other_main

/*
 * x86_five_levels(on): CR4.LA57 cannot be changed in long mode (APM 3.1.3), so that we leave it for a
 * moment. What the mode does not keep of the registers is on the stack.
 */
	.globl	x86_five_levels
x86_five_levels:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	$pml4, %esi
	xor	%ecx, %ecx
	test	%edi, %edi
	jz	1f
	mov	$pml5, %esi
	mov	$CR4_LA57, %ecx
1:	push	$CODE32
	push	$2f
	lretq
	.code32
2:	mov	%cr0, %eax
	and	$~CR0_PG, %eax
	mov	%eax, %cr0
	mov	%cr4, %eax
	and	$~CR4_LA57, %eax
	or	%ecx, %eax
	mov	%eax, %cr4
	mov	%esi, %cr3
	mov	%cr0, %eax
	or	$CR0_PG, %eax
	mov	%eax, %cr0
	ljmp	$CODE64, $3f
	.code64
3:	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* CODE64 */
	.quad	0x00cf93000000ffff	/* DATA */
	.quad	0x00cf9b000000ffff	/* CODE32 */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

/* The first 4 GiB, each address to itself, in pages of 1 GiB; the last of them has the local APIC. */
	.balign	4096
pml5:
	.quad	pml4 + 0x003
	.fill	511, 8, 0
pml4:
	.quad	pdpt + 0x003
	.fill	511, 8, 0
pdpt:
	.quad	0x00000083, 0x40000083, 0x80000083, 0xc000009b
	.fill	508, 8, 0

	.bss
	.balign	16
stacks:
	.skip	2 * STACK_SIZE
	.globl	boot_info
boot_info:
	.skip	4
	.globl	other_is_up
other_is_up:
	.skip	4

	.section .note.GNU-stack, "", @progbits
