/* SPDX-License-Identifier: BSD-2-Clause */
/* The x86_64 guest's memory map and interrupts. Private to this folder. */
#ifndef VMM_X86_LAYOUT_H
#define VMM_X86_LAYOUT_H

#include "../arch.h"

#define RAM_BASE UINT64_C(0)
#define RAM_END UINT64_C(0xc0000000) /* from here on to 4 GiB are devices */
#define SERIAL_BASE UINT64_C(0xd0000000)
#define CONTROL_BASE UINT64_C(0xd0010000)

/* Three pages of KVM's own, and one more, that Intel's processors may need. Below the APICs' pages. */
#define KVM_TSS_BASE UINT64_C(0xfeffd000)
#define KVM_IDENTITY_BASE UINT64_C(0xfeffc000)

#define SERIAL_IRQ 4

/* What the guest is started with, in low memory: struct hvm_start_info and the command line. */
#define INFO_BASE UINT64_C(0x1000)
#define CMDLINE_BASE UINT64_C(0x2000)
#define CMDLINE_MAX UINT64_C(0xe000) /* bytes, with the zero */
#define IMAGE_MIN UINT64_C(0x10000)  /* images begin here or above */

/* KVM_EXIT_HYPERCALL: carries the call out and leaves its result in vcpu->run. */
void hypercall(struct vcpu *vcpu);

#endif
