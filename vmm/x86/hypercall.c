/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM_HC_MAP_GPA_RANGE (Linux, Documentation/virt/kvm/x86/hypercalls.rst): the guest wants pages to be
 * shared or private. KVM itself refuses addresses that are not of a page, no pages at all, and ranges that
 * wrap.
 */
#include <errno.h>
#include <kvm_compat.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../protect.h"
#include "layout.h"

#define HC_MAP_GPA_RANGE 12

/* Attributes: the preferred page size, the state, and nothing else. */
#define HC_SIZE_MASK UINT64_C(0xf)
#define HC_ENCRYPTED (UINT64_C(1) << 4)
#define HC_KNOWN (HC_SIZE_MASK | HC_ENCRYPTED)

/* The kinds' errors have no names in <linux/kvm_para.h> but these two. */
#define KVM_EINVAL 22
#define KVM_ENOSYS 1000

/* False if the guest asks for what cannot be. */
static bool decode(const uint64_t args[3], struct s2_range *range)
{
	static const uint64_t size[] = {UINT64_C(1) << 12, UINT64_C(1) << 21, UINT64_C(1) << 30};
	const uint64_t code = args[2] & HC_SIZE_MASK;
	const uint64_t gpa = args[0], pages = args[1];

	if (args[2] & ~HC_KNOWN || code >= sizeof(size) / sizeof(*size) ||
	    pages > UINT64_MAX / S2_PAGE_SIZE) {
		return false;
	}
	*range = s2_range(s2_gpa(gpa), pages * S2_PAGE_SIZE);
	return !((gpa | range->len) & (size[code] - 1)) && !s2_range_check(*range);
}

/*
 * With --populate the guest is not made to wait for each page that it has just made private. Only a wish:
 * what is not there yet comes with the first fault.
 */
static void prefault(struct vcpu *vcpu, struct s2_range range)
{
	struct kvm_pre_fault_memory fault = {.gpa = range.start.val, .size = range.len};

	while (fault.size && !vm_stopped(vcpu->vm)) {
		if (ioctl(vcpu->fd, KVM_PRE_FAULT_MEMORY, &fault) && errno != EAGAIN) {
			break;
		}
	}
}

int arch_forward_calls(const struct vm *vm)
{
	struct kvm_enable_cap exits = {.cap = KVM_CAP_EXIT_HYPERCALL,
				       .args = {UINT64_C(1) << HC_MAP_GPA_RANGE}};

	if (ioctl(vm->fd, KVM_ENABLE_CAP, &exits)) {
		log_error("KVM does not let the guest's hypercalls come to us: %s",
			  strerror(errno));
		return EXIT_CODE_UNAVAILABLE;
	}
	return 0;
}

void hypercall(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct memory *memory = &vcpu->vm->memory;
	struct s2_range range;
	bool encrypted;

	if (run->hypercall.nr != HC_MAP_GPA_RANGE || !memory->protect_ops->sees_calls) {
		run->hypercall.ret = (uint64_t)-KVM_ENOSYS;
		return;
	}
	run->hypercall.ret = (uint64_t)-KVM_EINVAL;
	if (!decode((const uint64_t *)run->hypercall.args, &range)) {
		return;
	}
	encrypted = run->hypercall.args[2] & HC_ENCRYPTED;
	if (encrypted ? memory_guest_unshare(memory, range) : memory_guest_share(memory, range)) {
		return;
	}
	run->hypercall.ret = 0;
	if (encrypted && vcpu->vm->config.populate) {
		prefault(vcpu, range);
	}
}
