/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing guest memory that the host may not be allowed to touch. On pKVM an access to a
 * page that the guest owns raises SIGSEGV (Linux, arch/arm64/mm/fault.c, "stage-2 fault"); the guard
 * catches it. Only plain user accesses are used: a system call that makes the kernel touch such a page
 * through its own mapping would make the hypervisor clear it and kill the guest.
 */
#ifndef VMM_GUARD_H
#define VMM_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Installs the signal handlers. Once, before any other thread runs. Returns 0 or -errno. */
int guard_init(void);

/*
 * Copies from or to guest memory; false if an access was refused, and then an unknown part was copied.
 * A fault elsewhere still ends the process. Any thread; not from signal handlers.
 */
bool guard_read(void *to, const void *guest, size_t len);
bool guard_write(void *guest, const void *from, size_t len);

#endif
