/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * <linux/kvm.h>, and the few constants that are newer than Debian 12's copy of it (Linux 6.1).
 * Values from Linux 7.3, include/uapi/linux/kvm.h.
 */
#ifndef ARCH_KVM_KVM_COMPAT_H
#define ARCH_KVM_KVM_COMPAT_H

#include <linux/kvm.h>

#ifndef KVM_VM_TYPE_ARM_PROTECTED
#define KVM_VM_TYPE_ARM_PROTECTED (1UL << 31)
#endif

#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif

#ifndef KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES
#define KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES 229
#endif

/*
 * arm64, Linux 6.4, arch/arm64/include/uapi/asm/kvm.h: which of the guest's SMCCC calls come to us. By
 * names of our own, for newer headers have these as a structure and an enum.
 */
#define KVM_COMPAT_ARM_VM_SMCCC_CTRL 0
#define KVM_COMPAT_ARM_VM_SMCCC_FILTER 0
#define KVM_COMPAT_SMCCC_FWD_TO_USER 2

struct kvm_compat_smccc_filter {
	__u32 base;
	__u32 nr_functions;
	__u8 action;
	__u8 pad[15];
};

#endif
