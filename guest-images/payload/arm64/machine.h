/* SPDX-License-Identifier: BSD-2-Clause */
/* What the payload needs of the arm64 machine: command line, hypercalls, the counter, MMIO, power. */
#ifndef PAYLOAD_MACHINE_H
#define PAYLOAD_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* vmm/arm64/layout.h; a payload for another memory map would read the device tree. */
#define SERIAL_BASE UINT64_C(0x09000000)
#define CONTROL_BASE UINT64_C(0x09010000)

/* SMCCC vendor hypervisor calls of pKVM (Linux, Documentation/virt/kvm/arm/hypercalls.rst). */
#define HVC_MEM_SHARE UINT64_C(0xc6000003)
#define HVC_MEM_UNSHARE UINT64_C(0xc6000004)
#define HVC_SYSTEM_OFF UINT64_C(0x84000008) /* PSCI 0.2, Arm DEN 0022 */

/* Pages that one call can convert; the host is not told of it. */
#define MACHINE_CALL_PAGES 1
#define MACHINE_CALLS_SEEN 0

static inline int64_t machine_call(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

	/* SMCCC 1.1: x0 to x3 may change, x4 to x17 are kept. */
	__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory");
	return (int64_t)x0;
}

/* Shares pages, or takes them back; 0 or what the call returned. */
static inline int64_t machine_convert(uint64_t gpa, uint64_t pages, bool share)
{
	(void)pages; /* one */
	return machine_call(share ? HVC_MEM_SHARE : HVC_MEM_UNSHARE, gpa, 0, 0);
}

static inline void machine_off(void)
{
	machine_call(HVC_SYSTEM_OFF, 0, 0, 0);
}

/*
 * Is this syndrome a synchronous external abort of a data access at our own level, not on a table walk
 * (Arm DDI 0487, ESR_EL1: EC 0x25, DFSC 0x10)?
 */
static inline bool machine_external_abort(uint64_t esr)
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

static inline uint32_t machine_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline bool machine_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* The value of the first property "bootargs" (Devicetree Specification 0.4, section 5). */
static inline const char *machine_bootargs(const void *info)
{
	enum {
		BEGIN = 1,
		END = 2,
		PROP = 3,
		NOP = 4
	};
	const uint8_t *fdt = info;
	const uint8_t *at = fdt + machine_be32(fdt + 8);
	const char *strings = (const char *)fdt + machine_be32(fdt + 12);

	for (;;) {
		const uint32_t token = machine_be32(at);

		at += 4;
		if (token == BEGIN) {
			while (*at) {
				at++;
			}
			at++;
		} else if (token == PROP) {
			if (machine_equal(strings + machine_be32(at + 4), "bootargs")) {
				return (const char *)at + 8;
			}
			at += 8 + machine_be32(at);
		} else if (token != END && token != NOP) {
			return "";
		}
		at = (const uint8_t *)(((uint64_t)at + 3) & ~UINT64_C(3));
	}
}

#endif
