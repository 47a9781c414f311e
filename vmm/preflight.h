/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What would go wrong later, found before anything is created, in one line that says what to do.
 * 0 or an exit code (log.h).
 */
#ifndef VMM_PREFLIGHT_H
#define VMM_PREFLIGHT_H

#include "vm.h"

/* Opens /dev/kvm; the descriptor goes to vm->kvm. */
int preflight_kvm(struct vm *vm);

/* Memory: size, the host's memory, the backing file. */
int preflight_memory(const struct vm *vm);

/* Protection: has this build and this architecture the kind, and does its own check agree? */
int preflight_protect(const struct vm *vm);

/* Kernel and initrd: are they there, and files, and not empty? What is in them is arch_load()'s. */
int preflight_files(const struct vm *vm);

/* Memory errors can be made: the kernel handles them, and we may (CAP_SYS_ADMIN). */
int preflight_inject(void);

/* Has this process the capability of that number (capabilities(7))? */
bool preflight_may(unsigned int capability);

/* Is this capability there? `what` completes "KVM has no ...". */
int preflight_capability(const struct vm *vm, long capability, const char *what);

/* If RAM is a file: is that on tmpfs? why: what a protected guest needs that for. */
int preflight_tmpfs(const struct vm *vm, const char *why);

#endif
