/* SPDX-License-Identifier: BSD-2-Clause */
/* Into the guest and out of it, and the hypervisor's own exceptions. */

/*
 * x86_vmrun(registers, guest, host): enters the guest and comes back with its next exit. Called with
 * the global interrupt flag clear; on return interrupts that were held back have been taken, and are
 * off again. VMRUN wants IF set: with V_INTR_MASKING it is the host's IF that lets an interrupt end
 * the guest's run (APM 15.21.1).
 */
	.text
	.globl	x86_vmrun
x86_vmrun:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdx
	push	%rdi
	mov	%rsi, %rax
	vmload	%rax
	mov	0x00(%rdi), %rbx
	mov	0x08(%rdi), %rcx
	mov	0x10(%rdi), %rdx
	mov	0x18(%rdi), %rsi
	mov	0x28(%rdi), %rbp
	mov	0x30(%rdi), %r8
	mov	0x38(%rdi), %r9
	mov	0x40(%rdi), %r10
	mov	0x48(%rdi), %r11
	mov	0x50(%rdi), %r12
	mov	0x58(%rdi), %r13
	mov	0x60(%rdi), %r14
	mov	0x68(%rdi), %r15
	mov	0x20(%rdi), %rdi
	sti
	vmrun	%rax

	xchg	%rdi, (%rsp)
	mov	%rbx, 0x00(%rdi)
	mov	%rcx, 0x08(%rdi)
	pop	%rcx
	mov	%rcx, 0x20(%rdi)
	mov	%rdx, 0x10(%rdi)
	mov	%rsi, 0x18(%rdi)
	mov	%rbp, 0x28(%rdi)
	mov	%r8, 0x30(%rdi)
	mov	%r9, 0x38(%rdi)
	mov	%r10, 0x40(%rdi)
	mov	%r11, 0x48(%rdi)
	mov	%r12, 0x50(%rdi)
	mov	%r13, 0x58(%rdi)
	mov	%r14, 0x60(%rdi)
	mov	%r15, 0x68(%rdi)
	vmsave	%rax
	pop	%rax
	vmload	%rax			/* the host's GS base is back */
	stgi
	nop
	cli
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* Vectors 0 to 31, EXCEPTION_STUB bytes each; some push an error code (APM 8.2). */
	.globl	exception_stubs
	.balign	16
exception_stubs:
	.set	vector, 0
	.rept	32
	.balign	16
	.ifeq	(0x60227d00 >> vector) & 1
	push	$0
	.endif
	push	$vector
	jmp	exception
	.set	vector, vector + 1
	.endr

exception:
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%r11
	push	%r10
	push	%r9
	push	%r8
	push	%rbp
	push	%rdi
	push	%rsi
	push	%rdx
	push	%rcx
	push	%rbx
	push	%rax
	cld
	mov	%rsp, %rdi
	call	cpu_exception

	.section .note.GNU-stack, "", @progbits
