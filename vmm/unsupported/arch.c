/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For hosts whose guests stage2 cannot run yet: the program still builds, checks its input and reads
 * reports there.
 */
#include "../arch.h"

const char arch_name[] = "none";
const bool arch_supported = false;
const s2_gpa_t arch_ram_base = {UINT64_C(0x80000000)};
const s2_gpa_t arch_serial_base = {UINT64_C(0x09000000)};
const s2_gpa_t arch_control_base = {UINT64_C(0x09010000)};
const uint64_t arch_leaf_sizes = S2_PAGE_SIZE;
const char arch_leaf_model[] = "none";

static int unsupported(void)
{
	log_error(
		"this build cannot run guests: stage2 runs guests on arm64 and x86_64 hosts, or on "
		"an emulated board (guest-images/board)");
	return EXIT_CODE_UNAVAILABLE;
}

int arch_vm_type(const struct vm *vm, unsigned long *type)
{
	(void)vm;
	*type = 0;
	return unsupported();
}

int arch_vm_refused(const struct vm *vm, int err)
{
	(void)vm;
	(void)err;
	return unsupported();
}

int arch_irqchip_create(struct vm *vm)
{
	(void)vm;
	return unsupported();
}

int arch_vcpu_init(struct vcpu *vcpu)
{
	(void)vcpu;
	return unsupported();
}

int arch_irqchip_ready(struct vm *vm)
{
	(void)vm;
	return unsupported();
}

int arch_load(struct vm *vm)
{
	(void)vm;
	return unsupported();
}

int arch_vcpu_boot(struct vcpu *vcpu)
{
	(void)vcpu;
	return unsupported();
}

int arch_vcpu_abort(struct vcpu *vcpu)
{
	(void)vcpu;
	return unsupported();
}

bool arch_exit(struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

int arch_forward_calls(const struct vm *vm)
{
	(void)vm;
	return unsupported();
}

void arch_serial_irq(struct vm *vm, bool level)
{
	(void)vm;
	(void)level;
}
