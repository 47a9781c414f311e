/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What guests and hypervisor say to each other; for C and for assembler.
 *
 * The guest's functions, in guest.S of each machine, with arguments a, b and c:
 *
 *	guest_read	reads the 64-bit word at a; CALL_DONE(it)
 *	guest_write	writes b to the 64-bit word at a; CALL_DONE(0)
 *	guest_call	calls the function at a; CALL_DONE(what it returns)
 *	guest_touch	writes its address to the word at a, a + c, ... below a + b; CALL_DONE(b)
 *	guest_poll	reads the word at a until it is not b; CALL_DONE(it)
 *	guest_hypercall	makes the hypercall a with b and c; CALL_DONE(what it returned)
 *	guest_spin	never stops
 *
 * Words are in the machine's byte order. All is done with the guest's own paging off, or with one that
 * maps each address to itself.
 */
#ifndef METAL_GUEST_H
#define METAL_GUEST_H

#define CALL_DONE 0x100	   /* (value): the function has returned */
#define CALL_SHARE 0x101   /* (gpa, length): the host may see these pages. 0, or an error */
#define CALL_UNSHARE 0x102 /* (gpa, length): and no longer. 0, or an error */

/* What CALL_SHARE and CALL_UNSHARE return: enum s2_err, negated; this for all other numbers. */
#define CALL_UNKNOWN (-1000)

#endif
