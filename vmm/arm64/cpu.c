/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <kvm_compat.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "layout.h"

const char arch_name[] = "aarch64";
const bool arch_supported = true;
const s2_gpa_t arch_ram_base = {RAM_BASE};
const s2_gpa_t arch_serial_base = {SERIAL_BASE};
const s2_gpa_t arch_control_base = {CONTROL_BASE};

/* Arm DDI 0487, "Translation granules": 4 KiB pages, 2 MiB and 1 GiB blocks; contiguous: 16 pages. */
const uint64_t arch_leaf_sizes =
	UINT64_C(1) << 12 | UINT64_C(1) << 16 | UINT64_C(1) << 21 | UINT64_C(1) << 30;
const char arch_leaf_model[] = "largest legal arm64 stage-2 leaf: 4K, 64K contiguous, 2M, 1G";

static bool cmdline_says_protected(void)
{
	char line[4096] = "";
	FILE *file = fopen("/proc/cmdline", "re");

	if (file) {
		if (!fgets(line, sizeof(line), file)) {
			line[0] = '\0';
		}
		fclose(file);
	}
	return strstr(line, "kvm-arm.mode=protected");
}

int arch_vm_type(const struct vm *vm, unsigned long *type)
{
	int ipa_bits = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);

	/* 0 means 40 bits (Documentation/virt/kvm/api.rst); our map ends far below. */
	*type = 0;
	if (ipa_bits > 0 && ipa_bits < 40) {
		*type = (unsigned long)ipa_bits;
	}
	if (RAM_BASE + vm->config.memory > UINT64_C(1) << (ipa_bits > 0 ? ipa_bits : 40)) {
		log_error("--memory ends past the %d address bits of this host's KVM: use less",
			  ipa_bits);
		return EXIT_CODE_UNAVAILABLE;
	}
	return 0;
}

int arch_vm_refused(const struct vm *vm, int err)
{
	if (vm->config.protect != PROTECT_PKVM) {
		log_error("KVM refuses a guest: %s", strerror(err));
	} else if (err == EINVAL && cmdline_says_protected()) {
		log_error(
			"this kernel's KVM has no protected guests: Linux 7.0 or newer is needed");
	} else if (err == EINVAL) {
		log_error(
			"KVM is not in protected mode: boot the host with kvm-arm.mode=protected");
	} else {
		log_error("KVM refuses a protected guest: %s", strerror(err));
	}
	return EXIT_CODE_UNAVAILABLE;
}

static int vcpu_error(const struct vcpu *vcpu, const char *what)
{
	log_error("cannot %s vCPU %u: %s", what, vcpu->index, strerror(errno));
	return EXIT_CODE_UNAVAILABLE;
}

int arch_vcpu_init(struct vcpu *vcpu)
{
	/*
	 * KVM_ARM_PREFERRED_TARGET is refused on a protected VM (arch/arm64/kvm/arm.c, ioctl table);
	 * the generic target is what it would answer.
	 */
	struct kvm_vcpu_init init = {.target = KVM_ARM_TARGET_GENERIC_V8};

	init.features[0] = 1U << KVM_ARM_VCPU_PSCI_0_2;
	if (vcpu->index > 0) {
		init.features[0] |= 1U << KVM_ARM_VCPU_POWER_OFF; /* PSCI turns it on */
	}
	return ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init) ? vcpu_error(vcpu, "initialise") : 0;
}

static int set_register(const struct vcpu *vcpu, size_t offset, uint64_t value)
{
	struct kvm_one_reg reg = {.id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
					(offset / sizeof(uint32_t)),
				  .addr = (uint64_t)(uintptr_t)&value};

	return ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg);
}

/* Linux, Documentation/arch/arm64/booting.rst: x0 is the device tree, x1 to x3 are 0, as after reset. */
int arch_vcpu_boot(struct vcpu *vcpu)
{
	const struct vm_image *image = &vcpu->vm->image;

	if (set_register(vcpu, offsetof(struct kvm_regs, regs.pc), image->entry.val) ||
	    set_register(vcpu, offsetof(struct kvm_regs, regs.regs[0]), image->info.val)) {
		return vcpu_error(vcpu, "set the registers of");
	}
	return 0;
}

/*
 * A synchronous external abort, at the address of the access that ended the last run (Linux,
 * Documentation/virt/kvm/api.rst, "KVM_SET_VCPU_EVENTS"). It is a data abort even where the guest wanted
 * to execute the page: KVM has no other.
 */
int arch_vcpu_abort(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = {.exception.ext_dabt_pending = 1};

	if (ioctl(vcpu->vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_INJECT_EXT_DABT) <= 0) {
		errno = EOPNOTSUPP;
		return vcpu_error(vcpu, "report a memory error to");
	}
	return ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events)
		       ? vcpu_error(vcpu, "report a memory error to")
		       : 0;
}
