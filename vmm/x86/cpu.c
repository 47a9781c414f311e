/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <kvm_compat.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../protect.h"
#include "layout.h"

const char arch_name[] = "x86_64";
const bool arch_supported = true;
const s2_gpa_t arch_ram_base = {RAM_BASE};
const s2_gpa_t arch_serial_base = {SERIAL_BASE};
const s2_gpa_t arch_control_base = {CONTROL_BASE};

/* AMD64 Architecture Programmer's Manual, volume 2, "Nested Paging": leaves as in long mode. */
const uint64_t arch_leaf_sizes = UINT64_C(1) << 12 | UINT64_C(1) << 21 | UINT64_C(1) << 30;
const char arch_leaf_model[] = "largest legal x86_64 nested-paging leaf: 4K, 2M, 1G";

#define CPUID_MAX 256
#define CPUID_APIC_ID_SHIFT 24
#define CPUID_HYPERVISOR 0x40000000U
#define CPUID_TIMING \
	0x40000010U /* eax: kHz of the time-stamp counter; an agreement of hypervisors */

int arch_vm_type(const struct vm *vm, unsigned long *type)
{
	*type = 0;
	if (vm->config.memory > RAM_END - RAM_BASE) {
		log_error("--memory is more than the %" PRIu64
			  " MiB below an x86_64 guest's devices: use less",
			  (RAM_END - RAM_BASE) >> 20);
		return EXIT_CODE_UNAVAILABLE;
	}
	return 0;
}

int arch_vm_refused(const struct vm *vm, int err)
{
	if (vm->config.protect == PROTECT_SW && err == EINVAL) {
		log_error("this host's KVM has no software-protected guests: a kernel with "
			  "CONFIG_KVM_SW_PROTECTED_VM is needed, see guest-images/README.md");
	} else {
		log_error("KVM refuses a guest: %s", strerror(err));
	}
	return EXIT_CODE_UNAVAILABLE;
}

static int vcpu_error(const struct vcpu *vcpu, const char *what)
{
	log_error("cannot %s vCPU %u: %s", what, vcpu->index, strerror(errno));
	return EXIT_CODE_UNAVAILABLE;
}

/* How fast the guest's time-stamp counter runs, if this KVM knows. There is room for one entry more. */
static void add_timing(const struct vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	const int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	for (uint32_t i = 0; khz > 0 && i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == CPUID_HYPERVISOR && entry->eax < CPUID_TIMING) {
			entry->eax = CPUID_TIMING;
			cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
				.function = CPUID_TIMING, .eax = (uint32_t)khz};
			break;
		}
	}
}

/* The processor that KVM offers, with the numbers that differ from vCPU to vCPU. */
int arch_vcpu_init(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid;
	int err;

	cpuid = calloc(1, sizeof(*cpuid) + (CPUID_MAX + 1) * sizeof(cpuid->entries[0]));
	if (!cpuid) {
		return vcpu_error(vcpu, "describe");
	}
	cpuid->nent = CPUID_MAX;
	err = ioctl(vcpu->vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	for (uint32_t i = 0; !err && i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case 1:
			entry->ebx &= (UINT32_C(1) << CPUID_APIC_ID_SHIFT) - 1;
			entry->ebx |= (uint32_t)vcpu->index << CPUID_APIC_ID_SHIFT;
			break;
		case 0xb:
		case 0x1f:
			entry->edx = vcpu->index;
			break;
		default:
			break;
		}
	}
	if (!err) {
		add_timing(vcpu, cpuid);
		err = ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	}
	free(cpuid);
	return err ? vcpu_error(vcpu, "describe") : 0;
}

/*
 * The PVH entry (Xen, docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, no paging, ebx at the
 * start info.
 */
int arch_vcpu_boot(struct vcpu *vcpu)
{
	const struct kvm_segment code = {.limit = 0xffffffff,
					 .selector = 0x8,
					 .type = 0xb,
					 .present = 1,
					 .db = 1,
					 .s = 1,
					 .g = 1};
	const struct kvm_segment task = {.limit = 0x67, .type = 0xb, .present = 1};
	const struct vm_image *image = &vcpu->vm->image;
	const struct kvm_regs regs = {.rip = image->entry.val, .rbx = image->info.val, .rflags = 2};
	struct kvm_segment data = code;
	struct kvm_sregs sregs;

	data.selector = 0x10;
	data.type = 0x3;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs)) {
		return vcpu_error(vcpu, "read the registers of");
	}
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
	sregs.tr = task;
	sregs.cr0 = 1; /* PE */
	sregs.cr4 = 0;
	sregs.efer = 0;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) || ioctl(vcpu->fd, KVM_SET_REGS, &regs)) {
		return vcpu_error(vcpu, "set the registers of");
	}
	return 0;
}

/*
 * An x86 processor raises a machine check, which does not belong to one instruction: a guest that has not
 * set its banks and CR4.MCE up dies of it (KVM makes it a triple fault; Linux, arch/x86/kvm/x86.c,
 * KVM_X86_SET_MCE), and one that has may not go on with what was interrupted. So there is no abort that we
 * could count on.
 */
int arch_vcpu_abort(struct vcpu *vcpu)
{
	errno = EOPNOTSUPP;
	return vcpu_error(vcpu, "report a memory error to");
}

/* Ports that nobody is behind: all ones, as on a bus without a device. */
static void port_access(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->io.direction == KVM_EXIT_IO_IN) {
		memset((uint8_t *)run + run->io.data_offset, 0xff,
		       (size_t)run->io.size * run->io.count);
	}
	__atomic_fetch_add(&vcpu->vm->unclaimed, 1, __ATOMIC_RELAXED);
}

bool arch_exit(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		port_access(vcpu);
		return true;
	case KVM_EXIT_HYPERCALL:
		hypercall(vcpu);
		return true;
	case KVM_EXIT_SHUTDOWN:
		vcpu_failed(vcpu, "triple fault");
		return true;
	default:
		return false;
	}
}
