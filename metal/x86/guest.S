/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest runs: guest.h says what each function does. Arguments are in RDI, RSI and RDX. A
 * hypercall is VMMCALL with its number in RAX and arguments in RDI and RSI; it returns in RAX. The
 * guest has no stack: guest_call leaves the way back in R11, and machine_code() knows.
 */
#include "../guest.h"
#include "layout.h"

	.section .rodata.guest, "a", @progbits
	.balign	4096
	.globl	guest_code, guest_code_end
guest_code:

	.globl	guest_read
guest_read:
	mov	(%rdi), %rdi
	jmp	done

	.globl	guest_write
guest_write:
	mov	%rsi, (%rdi)
	xor	%edi, %edi
	jmp	done

	.globl	guest_call
guest_call:
	lea	1f(%rip), %r11
	jmp	*%rdi
1:	mov	%rax, %rdi
	jmp	done

	.globl	guest_touch
guest_touch:
	xor	%ecx, %ecx
1:	cmp	%rsi, %rcx
	jae	2f
	lea	(%rdi, %rcx), %rax
	mov	%rax, (%rax)
	add	%rdx, %rcx
	jmp	1b
2:	mov	%rsi, %rdi
	jmp	done

	.globl	guest_poll
guest_poll:
	mov	(%rdi), %rax
	cmp	%rsi, %rax
	jne	1f
	pause
	jmp	guest_poll
1:	mov	%rax, %rdi
	jmp	done

	.globl	guest_hypercall
guest_hypercall:
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	vmmcall
	mov	%rax, %rdi
	jmp	done

/* A page that the guest flushes from its own TLB is flushed by the host: run.c. */
	.globl	guest_spin
guest_spin:
	invlpg	(%rdi)
1:	jmp	1b

done:
	mov	$CALL_DONE, %eax
	vmmcall
	ud2

	.balign	4096
guest_code_end:

/*
 * The guest's page tables: each address to itself up to 1 TiB, in pages of 1 GiB. Accessed and dirty
 * are set, so that a walk finds nothing to write. All guests share them.
 */
	.data
	.balign	16384
	.globl	guest_tables, guest_tables_end
guest_tables:
	.quad	GUEST_TABLES_GPA + 0x1063, GUEST_TABLES_GPA + 0x2063
	.fill	510, 8, 0
	.set	address, 0
	.rept	1024
	.quad	address + 0xe3
	.set	address, address + 0x40000000
	.endr
guest_tables_end:

	.section .note.GNU-stack, "", @progbits
