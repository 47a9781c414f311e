/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM cost and what memory it got: figures from KVM and from /proc. */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include "vm.h"

/* Name of the emulated board that this runs on, from the environment (STAGE2_BOARD); NULL on hardware. */
const char *stats_board(void);

/* Seconds on CLOCK_MONOTONIC. */
double stats_now(void);

/* To be called first thing in main(): when this process started. */
void stats_start(void);

/*
 * Pages that KVM pinned and donated to protected guests of this process: what it accounts as locked
 * memory (VmLck of /proc/self/status). 0 if unknown.
 */
uint64_t stats_donated_pages(void);

/* KVM's own count of the exits of a vCPU (KVM_GET_STATS_FD, "exits"); 0 if this KVM has none. */
uint64_t stats_kvm_exits(const struct vcpu *vcpu);

/* Size of a power of two as people write it: 4K, 64K, 2M, 1G. Static storage, one a thread. */
const char *stats_size_name(unsigned int lg2);

/* Prints the lines of `stage2 run --stats` on stderr. The VM has stopped but is not destroyed. */
void stats_print(struct vm *vm);

/*
 * Prints, once the VM is destroyed, whether the host got back what was donated: before is
 * stats_donated_pages() without the VM, donated how many more it was when the guest stopped.
 */
void stats_print_reclaimed(uint64_t before, uint64_t donated);

#endif
