/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry of the payload: PVH (Xen, docs/misc/pvh.pandoc), in 32-bit protected mode without paging, ebx =
 * struct hvm_start_info. Goes to long mode with an identity map of 4 GiB and calls payload_main(info).
 *
 * Code and page tables are in the file: KVM reads them to emulate MMIO, so the host must be able to.
 * The stack is not, and is the guest's own.
 */
#define CR0_LONG 0x80010033	/* PG, WP, NE, ET, MP, PE */
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define CODE32 0x08
#define DATA 0x10
#define CODE64 0x18

	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 8, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.quad	_start

	.section .note.GNU-stack, "", @progbits

	.section .head, "ax"
	.code32
	.globl	_start
_start:
	cld
	mov	%cr4, %eax
	or	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
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
	mov	%ebx, %ebx
	mov	$__bss_start, %edi
	mov	$__bss_end, %ecx
	sub	%edi, %ecx
	xor	%eax, %eax
	rep stosb
	mov	$stack_top, %esp
	call	make_idt
	lidt	idt_pointer
	mov	%rbx, %rdi
	xor	%ebp, %ebp
	call	payload_main
2:	hlt
	jmp	2b

/* Gates to the entries below, 16 bytes each: present, interrupt gate. */
make_idt:
	mov	$idt, %edi
	mov	$entries, %eax
	mov	$32, %ecx
3:	mov	%ax, (%rdi)
	movw	$CODE64, 2(%rdi)
	movw	$0x8e00, 4(%rdi)
	mov	%eax, %edx
	shr	$16, %edx
	mov	%dx, 6(%rdi)
	add	$16, %edi
	add	$16, %eax
	loop	3b
	ret

	/* Every exception is our own bug or a fault that nobody resolved: report and stop. */
	.balign	16
entries:
	.set	vector, 0
	.rept	32
	.balign	16
	/* Vectors 8, 10 to 14, 17, 21, 29 and 30 have an error code on the stack. */
	.if	((0x60227d00 >> vector) & 1) == 0
	push	$0
	.endif
	push	$vector
	jmp	exception
	.set	vector, vector + 1
	.endr

exception:
	pop	%rdi			/* vector */
	pop	%rax			/* error code */
	shl	$32, %rdi
	or	%rax, %rdi
	mov	%cr2, %rsi
	mov	(%rsp), %rdx		/* rip */
	and	$-16, %rsp
	call	payload_exception

	.section .data
	.balign	8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* CODE32 */
	.quad	0x00cf93000000ffff	/* DATA */
	.quad	0x00af9b000000ffff	/* CODE64 */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
	.balign	8
idt_pointer:
	.word	32 * 16 - 1
	.quad	idt

	/* Present, writable, accessed, dirty; the last level with 2 MiB pages. */
	.balign	4096
pml4:	.quad	pdpt + 0x23
	.fill	511, 8, 0
pdpt:	.set	table, 0
	.rept	4
	.quad	pds + table * 4096 + 0x23
	.set	table, table + 1
	.endr
	.fill	508, 8, 0
pds:	.set	page, 0
	.rept	2048
	.quad	(page << 21) + 0xe3
	.set	page, page + 1
	.endr

	.section .bss
	.balign	16
idt:	.space	32 * 16
	.space	8192
stack_top:
