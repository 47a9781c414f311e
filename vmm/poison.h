/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory errors in guest RAM: which page it is, and that only this page is lost. The kernel unmaps the
 * page that broke and leaves a mark in its place (Linux, mm/memory-failure.c), so that every later
 * access, of the host and of KVM for the guest, ends in SIGBUS again; what else was in its folio stays.
 * A large folio that is pinned it leaves as it is, and only marks the page.
 *
 * Context: any thread; memory's lock is not held.
 */
#ifndef VMM_POISON_H
#define VMM_POISON_H

#include "memory.h"

/*
 * The pages of RAM that an error may be in: the granule that was reported, or what of it is RAM. A
 * granule is as large as the page that the kernel had mapped there (arch/arm64/kvm/mmu.c,
 * kvm_send_hwpoison_signal), which says nothing of how much is broken. len 0: none of it is RAM.
 */
struct s2_range poison_scope(const struct ram *ram, const struct guard_error *error);

/*
 * The kernel has reported an error: poisons the pages that it is in, no more and no fewer. Of a granule
 * of several pages those are the ones whose access raises the error again. Returns how many pages of
 * the granule are poisoned now: 0 if none of them turns out to be broken.
 */
uint64_t poison_take(struct memory *memory, const struct guard_error *error);

/*
 * For tests: breaks the page that holds gpa, as far as Linux is concerned (MADV_HWPOISON). The error
 * is reported to this thread as a real one would be. This machine loses the page until it is booted
 * again. Returns 0 or -errno: -EPERM without CAP_SYS_ADMIN, -EINVAL if this is not RAM, or if the
 * kernel has no memory failure handling.
 */
int poison_inject(struct memory *memory, s2_gpa_t gpa);

#endif
