/* SPDX-License-Identifier: BSD-2-Clause */
/* The arm64 guest's memory map and interrupts. Private to this folder. */
#ifndef VMM_ARM64_LAYOUT_H
#define VMM_ARM64_LAYOUT_H

#include "../arch.h"

#define GIC_DIST_BASE UINT64_C(0x08000000)
#define GIC_DIST_SIZE UINT64_C(0x10000)
#define GIC_REDIST_BASE UINT64_C(0x080a0000)
#define GIC_REDIST_SIZE UINT64_C(0x20000) /* a vCPU */
#define SERIAL_BASE UINT64_C(0x09000000)
#define CONTROL_BASE UINT64_C(0x09010000)
#define RAM_BASE UINT64_C(0x80000000)

#define SERIAL_SPI 0 /* interrupt number 32 */
#define GIC_IRQ_COUNT 64

/* Writes the device tree of a VM to buffer. 0 or an exit code (log.h). */
int fdt_build(const struct vm *vm, void *buffer, size_t size);

#endif
