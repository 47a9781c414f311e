/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's own PIC, IOAPIC and local APICs; vCPUs but the first wait there for their start-up IPI. */
#include <errno.h>
#include <kvm_compat.h>
#include <string.h>
#include <sys/ioctl.h>

#include "layout.h"

int arch_irqchip_create(struct vm *vm)
{
	uint64_t identity = KVM_IDENTITY_BASE;

	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) ||
	    ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)KVM_TSS_BASE) ||
	    ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0)) {
		log_error("cannot create the guest's interrupt controllers: %s", strerror(errno));
		return EXIT_CODE_UNAVAILABLE;
	}
	return 0;
}

int arch_irqchip_ready(struct vm *vm)
{
	(void)vm;
	return 0;
}

void arch_serial_irq(struct vm *vm, bool level)
{
	struct kvm_irq_level line = {.irq = SERIAL_IRQ, .level = level};

	if (ioctl(vm->fd, KVM_IRQ_LINE, &line)) {
		log_note("KVM did not take the console's interrupt: %s", strerror(errno));
	}
}
