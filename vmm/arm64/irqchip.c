/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-kernel GICv3 (Linux, Documentation/virt/kvm/devices/arm-vgic-v3.rst). */
#include <errno.h>
#include <kvm_compat.h>
#include <string.h>
#include <sys/ioctl.h>

#include "layout.h"

static int gic_error(const char *what)
{
	log_error("cannot %s the guest's GICv3: %s", what, strerror(errno));
	return EXIT_CODE_UNAVAILABLE;
}

static int gic_set(const struct vm *vm, uint32_t group, uint64_t attribute, void *value)
{
	struct kvm_device_attr attr = {
		.group = group, .attr = attribute, .addr = (uint64_t)(uintptr_t)value};

	return ioctl(vm->irqchip, KVM_SET_DEVICE_ATTR, &attr);
}

int arch_irqchip_create(struct vm *vm)
{
	struct kvm_create_device device = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};
	uint64_t dist = GIC_DIST_BASE, redist = GIC_REDIST_BASE;

	if (ioctl(vm->fd, KVM_CREATE_DEVICE, &device)) {
		return gic_error("create");
	}
	vm->irqchip = (int)device.fd;
	if (gic_set(vm, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &dist) ||
	    gic_set(vm, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, &redist)) {
		return gic_error("place");
	}
	return 0;
}

int arch_irqchip_ready(struct vm *vm)
{
	uint32_t irqs = GIC_IRQ_COUNT;

	if (gic_set(vm, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &irqs) ||
	    gic_set(vm, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL)) {
		return gic_error("start");
	}
	return 0;
}

void arch_serial_irq(struct vm *vm, bool level)
{
	struct kvm_irq_level line = {.irq = (KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT) |
					    (32 + SERIAL_SPI),
				     .level = level};

	if (ioctl(vm->fd, KVM_IRQ_LINE, &line)) {
		log_note("KVM did not take the console's interrupt: %s", strerror(errno));
	}
}
