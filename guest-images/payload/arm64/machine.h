/* SPDX-License-Identifier: BSD-2-Clause */
/* What the payload needs of the arm64 machine: hypercalls, the counter, MMIO, power. */
#ifndef PAYLOAD_MACHINE_H
#define PAYLOAD_MACHINE_H

#include <stdint.h>

/* vmm/arm64/layout.h; a payload for another memory map would read the device tree. */
#define SERIAL_BASE UINT64_C(0x09000000)
#define CONTROL_BASE UINT64_C(0x09010000)

/* SMCCC vendor hypervisor calls of pKVM (Linux, Documentation/virt/kvm/arm/hypercalls.rst). */
#define HVC_MEM_SHARE UINT64_C(0xc6000003)
#define HVC_MEM_UNSHARE UINT64_C(0xc6000004)
#define HVC_SYSTEM_OFF UINT64_C(0x84000008) /* PSCI 0.2, Arm DEN 0022 */

static inline int64_t machine_hvc_all(const uint64_t word[4])
{
	register uint64_t x0 __asm__("x0") = word[0];
	register uint64_t x1 __asm__("x1") = word[1];
	register uint64_t x2 __asm__("x2") = word[2];
	register uint64_t x3 __asm__("x3") = word[3];

	/* SMCCC 1.1: x0 to x3 may change, x4 to x17 are kept. */
	__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory");
	return (int64_t)x0;
}

static inline int64_t machine_hvc(uint64_t function, uint64_t argument)
{
	const uint64_t word[4] = {function, argument, 0, 0};

	return machine_hvc_all(word);
}

/*
 * Is this syndrome a synchronous external abort of a data access at our own level, not on a table walk
 * (Arm DDI 0487, ESR_EL1: EC 0x25, DFSC 0x10)?
 */
static inline int machine_external_abort(uint64_t esr)
{
	return esr >> 26 == 0x25 && (esr & 0x3f) == 0x10;
}

static inline uint64_t machine_ticks(void)
{
	uint64_t ticks;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
	return ticks;
}

static inline uint64_t machine_tick_hz(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

/*
 * Plain loads and stores with a register offset of none: KVM can only emulate an access whose
 * syndrome is valid (Arm DDI 0487, ESR_EL2.ISV), and gives a protected guest an abort otherwise.
 */
static inline void machine_write64(uint64_t address, uint64_t value)
{
	__asm__ volatile("dsb sy\n\tstr %0, [%1]" : : "r"(value), "r"(address) : "memory");
}

static inline uint64_t machine_read64(uint64_t address)
{
	uint64_t value;

	__asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void machine_write8(uint64_t address, uint8_t value)
{
	__asm__ volatile("strb %w0, [%1]" : : "r"((uint32_t)value), "r"(address) : "memory");
}

#endif
