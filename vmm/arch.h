/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest architecture supplies; one folder of vmm/ implements it, chosen at build time.
 * What returns int returns 0 or an exit code (log.h) after one line on stderr.
 */
#ifndef VMM_ARCH_H
#define VMM_ARCH_H

#include "vm.h"

/* As uname -m calls it; and whether this build can run guests of it at all. */
extern const char arch_name[];
extern const bool arch_supported;

/* The guest's memory map: where RAM and our devices are. */
extern const s2_gpa_t arch_ram_base;
extern const s2_gpa_t arch_serial_base;
extern const s2_gpa_t arch_control_base;

/* Leaf sizes that this architecture's stage 2 can have with 4 KiB pages, and the name of that model. */
extern const uint64_t arch_leaf_sizes;
extern const char arch_leaf_model[];

/* Checks what only the architecture knows, and gives the type of an ordinary VM for KVM_CREATE_VM. */
int arch_vm_type(const struct vm *vm, unsigned long *type);

/* KVM_CREATE_VM failed with err: says why, and returns the exit code, never 0. */
int arch_vm_refused(const struct vm *vm, int err);

/* After KVM_CREATE_VM and the memory slot, before the vCPUs: the interrupt controller. */
int arch_irqchip_create(struct vm *vm);

/* Sets up one vCPU, already created. */
int arch_vcpu_init(struct vcpu *vcpu);

/* After the vCPUs: makes the interrupt controller ready. */
int arch_irqchip_ready(struct vm *vm);

/* Loads the image: fills vm->image and writes the device tree or what stands for it. */
int arch_load(struct vm *vm);

/* Sets the boot vCPU's registers for the image. */
int arch_vcpu_boot(struct vcpu *vcpu);

/*
 * The guest's last access, in this vCPU, went to memory with an error: it gets the abort that its
 * processor would raise. The vCPU is between two runs, in its own thread.
 */
int arch_vcpu_abort(struct vcpu *vcpu);

/*
 * Handles an exit that only this architecture has; called with the exits of vcpu.c taken out. Returns
 * false if it is none of its own either.
 */
bool arch_exit(struct vcpu *vcpu);

/*
 * Has the guest's calls to share and unshare memory come to us as exits, for kinds of protection that
 * carry them out themselves (protect.h). After KVM_CREATE_VM, before the first run.
 */
int arch_forward_calls(const struct vm *vm);

/* Drives the serial console's interrupt. */
void arch_serial_irq(struct vm *vm, bool level);

#endif
