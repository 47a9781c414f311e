/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing guest memory that the host may not be allowed to touch, or that is broken, and
 * what the kernel reports of broken memory.
 *
 * On pKVM an access to a page that the guest owns raises SIGSEGV (Linux, arch/arm64/mm/fault.c,
 * "stage-2 fault"), one to a page with a memory error SIGBUS with code BUS_MCEERR_AR; the guard catches
 * both. Only plain user accesses are used: a system call that makes the kernel touch such a page
 * through its own mapping would make the hypervisor clear it and kill the guest.
 */
#ifndef VMM_GUARD_H
#define VMM_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum guard_err {
	GUARD_OK = 0,
	GUARD_REFUSED, /* the MMU does not let us */
	GUARD_POISON   /* the memory has an error that cannot be corrected */
};

/* Installs the signal handlers. Once, before any other thread runs. Returns 0 or -errno. */
int guard_init(void);

/*
 * Copies from or to guest memory. If that fails, an unknown part was copied. A fault elsewhere still
 * ends the process. Any thread; not from signal handlers.
 */
enum guard_err guard_read(void *to, const void *guest, size_t len);
enum guard_err guard_write(void *guest, const void *from, size_t len);

/*
 * Memory errors in [start, start + len), guest RAM, are survived: they wait for guard_error_take().
 * An error anywhere else ends the process, as it would have without us. One range a process; len 0
 * ends it.
 */
void guard_watch(const void *start, size_t len);

/*
 * A memory error as the kernel reports it (sigaction(2), BUS_MCEERR_AR and BUS_MCEERR_AO): somewhere in
 * the aligned 2^lg2 bytes around addr, which are often many pages of which one is broken.
 */
struct guard_error {
	uintptr_t addr;
	unsigned int lg2;
	bool required; /* somebody was about to use the memory (AR); else it is early notice (AO) */
};

/*
 * Takes the oldest error that was reported to this thread outside of guard_read() and guard_write():
 * KVM_RUN reports the guest's accesses so, to the thread of the vCPU. False if there is none. A
 * thread that does not take its errors is ended by the ninth.
 */
bool guard_error_take(struct guard_error *error);

#endif
