/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arm64 at EL2: what the files of this folder share. Sections are those of the Arm Architecture
 * Reference Manual for A-profile, DDI 0487, issue M.a; addresses are those of QEMU's "virt".
 */
#ifndef METAL_MACHINE_ARM64_H
#define METAL_MACHINE_ARM64_H

#include "../metal.h"

#define CPU_COUNT 2

/* A system register as two functions, read_NAME() and write_NAME(). */
#define REGISTER(name)                                                           \
	static inline uint64_t read_##name(void)                                 \
	{                                                                        \
		uint64_t value;                                                  \
                                                                                 \
		__asm__ volatile("mrs %0, " #name : "=r"(value) : : "memory");   \
		return value;                                                    \
	}                                                                        \
	static inline void write_##name(uint64_t value)                          \
	{                                                                        \
		__asm__ volatile("msr " #name ", %0" : : "r"(value) : "memory"); \
	}                                                                        \
	struct register_##name /* takes the semicolon */

/* A barrier, or another instruction without operands. */
#define DO(instruction) __asm__ volatile(instruction : : : "memory")

/* Bits hi to lo. */
static inline uint64_t field(uint64_t value, unsigned hi, unsigned lo)
{
	return value >> lo & (UINT64_MAX >> (63 - (hi - lo)));
}

static inline volatile uint32_t *device(uint64_t address)
{
	return (volatile uint32_t *)(uintptr_t)address;
}

/* console.c */
void console_init(void);

/* interrupt.c: on each processor; the distributor only on the first. */
enum interrupt {
	INTERRUPT_NONE,
	INTERRUPT_KICK,
	INTERRUPT_DEADLINE,
};
void interrupt_init_machine(void);
void interrupt_init_cpu(void);
/* Takes what is pending and ends it. */
enum interrupt interrupt_take(void);
/* A time of the counter so many microseconds from now, and the interrupt at that time. */
uint64_t deadline_after(uint64_t microseconds);
void deadline_set(uint64_t time);
void deadline_clear(void);

/* mmu.c */
extern const struct s2_mmu arm64_mmu;
void mmu_init_cpu(void);
/* For what the processor says of TLB conflicts: everything of the guest that is loaded. */
void mmu_flush_conflict(void);
/* Instructions written by the hypervisor become what guests execute. */
void mmu_code_written(const void *code, uint64_t len);

/* run.c */
void run_init_cpu(void);

/* start.S: what PSCI starts processor 1 with. */
extern const char start_other[];
/* machine.c: what it calls there. */
void machine_other(void (*entry)(void));

#endif
