/* SPDX-License-Identifier: BSD-2-Clause */
/* What the payload needs of the x86_64 machine: command line, hypercalls, the counter, MMIO, power. */
#ifndef PAYLOAD_MACHINE_H
#define PAYLOAD_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* vmm/x86/layout.h */
#define SERIAL_BASE UINT64_C(0xd0000000)
#define CONTROL_BASE UINT64_C(0xd0010000)

/* Linux, Documentation/virt/kvm/x86/hypercalls.rst, KVM_HC_MAP_GPA_RANGE */
#define HC_MAP_GPA_RANGE 12
#define HC_PAGES_PRIVATE (UINT64_C(1) << 4)

/* Pages that one call can convert; it goes through the host, which need not be told. */
#define MACHINE_CALL_PAGES (UINT64_C(1) << 40)
#define MACHINE_CALLS_SEEN 1

static inline void machine_cpuid(uint32_t leaf, uint32_t reg[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(reg[0]), "=b"(reg[1]), "=c"(reg[2]), "=d"(reg[3])
			 : "a"(leaf), "c"(0));
}

/* AMD's processors and Intel's have different instructions for it. */
static inline int64_t machine_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
	const uint32_t intel = 0x6c65746e; /* the end of "GenuineIntel" */
	uint32_t vendor[4];

	machine_cpuid(0, vendor);
	if (vendor[2] == intel) {
		__asm__ volatile("vmcall" : "+a"(number) : "b"(a), "c"(b), "d"(c) : "memory");
	} else {
		__asm__ volatile("vmmcall" : "+a"(number) : "b"(a), "c"(b), "d"(c) : "memory");
	}
	return (int64_t)number;
}

/* Shares pages, or takes them back; 0 or what the call returned. */
static inline int64_t machine_convert(uint64_t gpa, uint64_t pages, bool share)
{
	return machine_call(HC_MAP_GPA_RANGE, gpa, pages, share ? 0 : HC_PAGES_PRIVATE);
}

/* A machine check is not for one access: what it interrupts cannot be gone on with. */
static inline bool machine_external_abort(uint64_t kind)
{
	(void)kind;
	return false;
}

static inline uint64_t machine_ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* 0 if the hypervisor does not say. */
static inline uint64_t machine_tick_hz(void)
{
	uint32_t reg[4];

	machine_cpuid(0x40000000, reg);
	if (reg[0] < 0x40000010) {
		return 0;
	}
	machine_cpuid(0x40000010, reg);
	return (uint64_t)reg[0] * 1000;
}

/* Plain moves: KVM emulates these accesses, and reads the instructions to do so. */
static inline void machine_write64(uint64_t address, uint64_t value)
{
	__asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline uint64_t machine_read64(uint64_t address)
{
	uint64_t value;

	__asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void machine_write8(uint64_t address, uint8_t value)
{
	__asm__ volatile("movb %0, (%1)" : : "q"(value), "r"(address) : "memory");
}

/* An interrupt table of no length: the next exception is the last, and ends the VM. */
static inline void machine_off(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};

	__asm__ volatile("lidt %0\n\tud2" : : "m"(none));
}

/* struct hvm_start_info: the address of the command line is its fourth 64-bit word. */
static inline const char *machine_bootargs(const void *info)
{
	return (const char *)((const uint64_t *)info)[3];
}

#endif
