/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of metal/x86 know of each other. */
#ifndef METAL_X86_CPU_H
#define METAL_X86_CPU_H

#include "../machine.h"
#include "layout.h"
#include "vmcb.h"
#include <stage2/x86.h>

#define CPUS 2u
#define ASIDS 8u /* machine_load(): 1 to 7 */

/* The guest's registers that are not in the VMCB, in the order of exits.S. */
struct guest_registers {
	uint64_t rbx, rcx, rdx, rsi, rdi, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
};

/* A processor; its GS base points here. */
struct cpu {
	struct vmcb guest;
	struct vmcb host;	   /* what VMLOAD and VMSAVE keep of the host */
	uint8_t host_save[0x1000]; /* VM_HSAVE_PA: what VMRUN keeps */

	struct cpu *self;
	unsigned number;
	struct guest_registers registers;

	/* The back end, mmu.c. wanted is written by all, the rest by this processor. */
	uint64_t wanted[ASIDS]; /* flushes asked for */
	uint64_t done[ASIDS];	/* of these: has been done, or will be before the next entry */
	bool forget;		/* the next entry flushes all ASIDs */
	unsigned in_guest;	/* the ASID that it runs or is about to run; 0: none */

	bool running; /* in machine_run() */
	bool kicked;  /* set by the other processor */
	bool timed_out;
} __attribute__((aligned(4096)));

extern struct cpu cpus[CPUS];

static inline struct cpu *cpu_this(void)
{
	struct cpu *cpu;

	__asm__ volatile("mov %%gs:%c1, %0" : "=r"(cpu) : "i"(offsetof(struct cpu, self)));
	return cpu;
}

/* machine.c */
void cpu_levels(unsigned levels); /* of the page tables of this processor: 4 or 5 */

/* run.c */
void run_init(void); /* once */
void run_cpu_init(struct cpu *cpu);

/* mmu.c */
extern const struct s2_mmu mmu_npt;
void mmu_init(void); /* once */
/* With interrupts held back by CLGI: may the guest be entered now, and with what flush? */
void mmu_enter(struct cpu *cpu);
void mmu_leave(struct cpu *cpu);
void mmu_invlpga(uint64_t linear, uint32_t asid);

/* apic.c */
void apic_init(void); /* once: knows the timer's rate after it */
void apic_cpu_init(void);
void apic_kick_other(void);
void apic_start_others(uint64_t code);
void apic_timer_start(uint64_t microseconds);
void apic_timer_stop(void);
void apic_eoi(void);
void delay(unsigned microseconds); /* up to 50,000 */

#define VECTOR_KICK 0x40u
#define VECTOR_TIMER 0x41u
#define VECTOR_SPURIOUS 0xffu

/* start.S */
extern const char trampoline[], trampoline_end[];
extern uint8_t exception_stubs[];
extern uint32_t boot_info;
extern uint32_t other_is_up;
void x86_five_levels(bool on); /* of page tables, for this processor */

/* exits.S */
void x86_vmrun(struct guest_registers *registers, struct vmcb *guest, struct vmcb *host);

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

#define MSR_EFER 0xc0000080u
#define MSR_GS_BASE 0xc0000101u
#define MSR_VM_HSAVE_PA 0xc0010117u

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(0));
	return r;
}

static inline void vmsave(struct vmcb *vmcb)
{
	__asm__ volatile("vmsave %%rax" : : "a"(vmcb) : "memory");
}

static inline void clgi(void)
{
	__asm__ volatile("clgi" : : : "memory");
}

#endif
