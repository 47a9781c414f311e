/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hart, and how to speak to it and to the firmware; for C and for assembler.
 *
 * References are as in <stage2/riscv.h>; SBI is the "RISC-V Supervisor Binary Interface
 * Specification".
 */
#ifndef METAL_RISCV_CPU_H
#define METAL_RISCV_CPU_H

#define CPU_HART 0
#define CPU_STACK 8
#define CPU_HOST 16   /* ra, sp, s0 to s11 */
#define CPU_GUEST 128 /* pc, x1 to x31 */
#define CPU_SIZE 408
#define CPU_MAX 2
#define STACK_SIZE 16384

#ifndef __ASSEMBLER__

#include <stage2/riscv.h>

#include "machine.h"

/* What belongs to one of them: tp points at it while the hypervisor runs, sscratch while a guest does. */
struct cpu {
	uint64_t hart; /* as the firmware counts */
	char *stack;   /* its end */
	uint64_t host[14];
	uint64_t guest[32];
	uint64_t loaded;  /* the VMID that hgatp has; sets of bits, both */
	uint64_t vmids;	  /* those that the TLB may remember */
	uint64_t relaxed; /* how often it has waited */
};

extern struct cpu cpus[CPU_MAX];

static inline struct cpu *cpu_this(void)
{
	struct cpu *cpu;

	__asm__("mv %0, tp" : "=r"(cpu));
	return cpu;
}

/* The other hart's, or NULL where it has not been started. */
struct cpu *cpu_other(void);

#define CSR_READ(name)                                                            \
	__extension__({                                                           \
		uint64_t csr_value_;                                              \
		__asm__ volatile("csrr %0, " #name : "=r"(csr_value_)::"memory"); \
		csr_value_;                                                       \
	})
#define CSR_WRITE(name, value) \
	__asm__ volatile("csrw " #name ", %0" ::"r"((uint64_t)(value)) : "memory")
#define CSR_SET(name, bits) \
	__asm__ volatile("csrs " #name ", %0" ::"r"((uint64_t)(bits)) : "memory")
#define CSR_CLEAR(name, bits) \
	__asm__ volatile("csrc " #name ", %0" ::"r"((uint64_t)(bits)) : "memory")

/* For instructions that the compiler's options do not name. */
#define INSTRUCTION(extension, text, ...)                                        \
	__asm__ volatile(".option push\n\t.option arch, +" extension "\n\t" text \
			 "\n\t.option pop" ::__VA_ARGS__                         \
			 : "memory")

/* "Supervisor Interrupt Registers (sip and sie)"; also the codes of scause. */
#define INTERRUPT_SOFTWARE 1u
#define INTERRUPT_TIMER 5u

/* The firmware. What it answers in error is 0 or negative. */
struct sbi_ret {
	int64_t error;
	uint64_t value;
};

struct sbi_ret sbi_call(uint64_t extension, uint64_t function, const uint64_t arg[5]);
bool sbi_start(uint64_t hart, void (*entry)(void), void *cookie);
void sbi_timer(uint64_t time);
void sbi_kick(uint64_t hart);
bool sbi_fence(uint64_t hart, const struct s2_riscv_sbi *sbi);
bool sbi_fence_code(uint64_t hart);

/* start.S */
void start_other(void);

/* run.S: lets cpu's guest run until it traps. */
void guest_enter(struct cpu *cpu);

/* run.S: what may trap. 0, or scause. Addresses are the guest's ("Hypervisor Virtual-Machine Load"). */
uint64_t probe_load(uint64_t gpa, uint64_t *value);
uint64_t probe_store(uint64_t gpa, uint64_t value);
uint64_t probe_svinval(void);

/* probe.c: finds out which spaces this hart walks, and with which features. */
void probe_spaces(void);

/* mmu.c */
extern const struct s2_mmu riscv_mmu;
extern bool has_vmids;
void fence_all(void);
void fence_code(void);

#endif
#endif
