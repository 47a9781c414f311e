/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pKVM's guest hypercalls (Linux, Documentation/virt/kvm/arm/hypercalls.rst), answered here for guests
 * that KVM itself does not protect. KVM hands over just these (Documentation/virt/kvm/devices/vm.rst,
 * KVM_ARM_VM_SMCCC_FILTER), and goes on to answer all others of the vendor hypervisor service: who it is
 * (0x8600ff01) and its clock.
 */
#include <errno.h>
#include <kvm_compat.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../protect.h"
#include "layout.h"

#define CALL_FEATURES UINT32_C(0x86000000)
#define CALL_HYP_MEMINFO UINT32_C(0xc6000002)
#define CALL_MEM_SHARE UINT32_C(0xc6000003)
#define CALL_MEM_UNSHARE UINT32_C(0xc6000004)

/* Bits of FEATURES: one a function number. */
#define FEATURES_OURS UINT64_C(0x1c)

#define RET_INVALID_PARAMETER ((uint64_t)-3) /* Arm DEN 0028, "Return codes" */

/* KVM's own bits of FEATURES: words 0 and 2 (Linux, arch/arm64/include/uapi/asm/kvm.h). */
#define REG_VENDOR_HYP_BMAP KVM_REG_ARM_VENDOR_HYP_BMAP
#define REG_VENDOR_HYP_BMAP_2 KVM_REG_ARM_FW_FEAT_BMAP_REG(3)

int arch_forward_calls(const struct vm *vm)
{
	static const struct {
		uint32_t base;
		uint32_t count;
	} calls[] = {{CALL_FEATURES, 1}, {CALL_HYP_MEMINFO, 3}};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		struct kvm_compat_smccc_filter filter = {.base = calls[i].base,
							 .nr_functions = calls[i].count,
							 .action = KVM_COMPAT_SMCCC_FWD_TO_USER};
		struct kvm_device_attr attr = {.group = KVM_COMPAT_ARM_VM_SMCCC_CTRL,
					       .attr = KVM_COMPAT_ARM_VM_SMCCC_FILTER,
					       .addr = (uint64_t)(uintptr_t)&filter};

		if (ioctl(vm->fd, KVM_SET_DEVICE_ATTR, &attr)) {
			log_error(
				"KVM does not hand the guest's hypercalls over (%s): Linux 6.4 or "
				"newer is needed",
				strerror(errno));
			return EXIT_CODE_UNAVAILABLE;
		}
	}
	return 0;
}

static uint64_t reg_id(unsigned int x)
{
	const uint64_t offset = offsetof(struct kvm_regs, regs.regs[0]) + x * sizeof(uint64_t);

	return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | offset / sizeof(uint32_t);
}

static uint64_t get(const struct vcpu *vcpu, uint64_t id)
{
	uint64_t value = 0;
	struct kvm_one_reg reg = {.id = id, .addr = (uint64_t)(uintptr_t)&value};

	/* A register that this KVM does not have is 0: it offers nothing by it. */
	return ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg) ? 0 : value;
}

static void set(const struct vcpu *vcpu, unsigned int x, uint64_t value)
{
	struct kvm_one_reg reg = {.id = reg_id(x), .addr = (uint64_t)(uintptr_t)&value};

	if (ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg)) {
		log_note("cannot set x%u of vCPU %u: %s", x, vcpu->index, strerror(errno));
	}
}

/* One page, as the protocol has it; x2 and x3 are reserved for more. */
static bool move(struct vcpu *vcpu, bool share)
{
	struct memory *memory = &vcpu->vm->memory;
	const uint64_t gpa = get(vcpu, reg_id(1));
	const struct s2_range range = s2_range(s2_gpa(gpa), S2_PAGE_SIZE);

	if (gpa % S2_PAGE_SIZE || get(vcpu, reg_id(2)) || get(vcpu, reg_id(3))) {
		return false;
	}
	return !(share ? memory_guest_share(memory, range) : memory_guest_unshare(memory, range));
}

static uint64_t answer(struct vcpu *vcpu, uint32_t function)
{
	bool ok;

	if (function == CALL_HYP_MEMINFO) {
		ok = !get(vcpu, reg_id(1)) && !get(vcpu, reg_id(2)) && !get(vcpu, reg_id(3));
		return ok ? S2_PAGE_SIZE : RET_INVALID_PARAMETER;
	}
	return move(vcpu, function == CALL_MEM_SHARE) ? 0 : RET_INVALID_PARAMETER;
}

bool arch_exit(struct vcpu *vcpu)
{
	uint64_t x0, x2 = 0;
	uint32_t function;

	if (vcpu->run->exit_reason != KVM_EXIT_HYPERCALL) {
		return false;
	}
	function = (uint32_t)vcpu->run->hypercall.nr;
	if (function == CALL_FEATURES) {
		x0 = get(vcpu, REG_VENDOR_HYP_BMAP) | FEATURES_OURS;
		x2 = get(vcpu, REG_VENDOR_HYP_BMAP_2);
	} else {
		x0 = answer(vcpu, function);
	}
	/* The guest goes on behind its HVC: KVM has seen to that. */
	set(vcpu, 0, x0);
	set(vcpu, 1, 0);
	set(vcpu, 2, x2);
	set(vcpu, 3, 0);
	return true;
}
