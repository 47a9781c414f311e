/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC around the processor: console, memory, exceptions, the second processor, the exit. */
#include "../metal.h"
#include "cpu.h"

#define COM1 0x3f8u
#define EXIT_PORT 0xf4u /* -device isa-debug-exit,iobase=0xf4 */
#define EXIT_BIT 0x40u	/* so that no status of the emulator's own is like ours */

#define CPUID_LA57 (UINT32_C(1) << 16) /* Fn0000_0007_ECX */
#define CPUID_SVM (UINT32_C(1) << 2)   /* Fn8000_0001_ECX */
#define CPUID_NPT (UINT32_C(1) << 0)   /* Fn8000_000A_EDX */

#define GPA_BITS 40 /* as far as the guest's page tables go */

struct machine machine;
const struct test machine_tests[] = {{NULL, NULL, false}};
struct cpu cpus[CPUS];

/* What the PVH loader tells, of version 1; xen/include/public/arch-x86/hvm/start_info.h */
struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, command_line, rsdp, memory_map;
	uint32_t memory_entries, reserved;
};

struct memory_entry {
	uint64_t address, size;
	uint32_t type, reserved; /* type 1: RAM */
};

struct gate {
	uint16_t offset_0, selector, type, offset_16;
	uint32_t offset_32, reserved;
};

static struct gate idt[256];

/* What the processor pushes for an interrupt, and before it the stub in exits.S for an exception. */
struct interrupt_frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

struct exception_frame {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t vector, error;
	struct interrupt_frame frame;
};

_Noreturn void cpu_exception(const struct exception_frame *e);
_Noreturn void cpu_other_main(void);

_Noreturn void cpu_exception(const struct exception_frame *e)
{
	uint64_t cr2;

	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	print("exception %llu error %#llx rip %#llx rsp %#llx rflags %#llx cr2 %#llx cpu %u\n",
	      (unsigned long long)e->vector, (unsigned long long)e->error,
	      (unsigned long long)e->frame.rip, (unsigned long long)e->frame.rsp,
	      (unsigned long long)e->frame.rflags, (unsigned long long)cr2, machine_cpu());
	for (const uint64_t *r = &e->rax; r <= &e->r15; r++) {
		print("%llx%c", (unsigned long long)*r, r == &e->r15 ? '\n' : ' ');
	}
	machine_exit(4);
}

__attribute__((interrupt)) static void on_kick(struct interrupt_frame *frame)
{
	(void)frame;
	apic_eoi();
}

__attribute__((interrupt)) static void on_timer(struct interrupt_frame *frame)
{
	(void)frame;
	cpu_this()->timed_out = true;
	apic_eoi();
}

__attribute__((interrupt)) static void on_spurious(struct interrupt_frame *frame)
{
	(void)frame;
}

/* A 64-bit interrupt gate, APM 4.8.4. */
static void set_gate(unsigned vector, uint64_t address)
{
	idt[vector] = (struct gate){
		.offset_0 = (uint16_t)address,
		.selector = CODE64,
		.type = 0x8e00,
		.offset_16 = (uint16_t)(address >> 16),
		.offset_32 = (uint32_t)(address >> 32),
	};
}

static void idt_init(void)
{
	for (unsigned vector = 0; vector < 32; vector++) {
		set_gate(vector, (uintptr_t)(exception_stubs + 16 * vector));
	}
	set_gate(VECTOR_KICK, (uintptr_t)on_kick);
	set_gate(VECTOR_TIMER, (uintptr_t)on_timer);
	set_gate(VECTOR_SPURIOUS, (uintptr_t)on_spurious);
}

static void cpu_init(unsigned number)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} idtr = {sizeof(idt) - 1, (uintptr_t)idt};
	struct cpu *cpu = &cpus[number];

	cpu->self = cpu;
	cpu->number = number;
	wrmsr(MSR_GS_BASE, (uintptr_t)cpu);
	__asm__ volatile("lidt %0" : : "m"(idtr));
	wrmsr(MSR_VM_HSAVE_PA, (uintptr_t)cpu->host_save);
	vmsave(&cpu->host);
	run_cpu_init(cpu);
}

void cpu_levels(unsigned levels)
{
	static unsigned now[CPUS] = {4, 4};
	unsigned number = machine_cpu();

	if (now[number] != levels) {
		x86_five_levels(levels == 5);
		now[number] = levels;
	}
}

/* 115200 baud, 8 bits, no interrupts. */
static void console_init(void)
{
	out8(COM1 + 1, 0);
	out8(COM1 + 3, 0x80);
	out8(COM1 + 0, 1);
	out8(COM1 + 1, 0);
	out8(COM1 + 3, 0x03);
	out8(COM1 + 2, 0x07);
}

void machine_putc(char c)
{
	while (!(in8(COM1 + 5) & 0x20)) {
		machine_relax();
	}
	out8(COM1, (uint8_t)c);
}

/* The RAM that this image is in. */
static void memory_find(void)
{
	const struct start_info *info = (const struct start_info *)(uintptr_t)boot_info;
	const struct memory_entry *entry = (const struct memory_entry *)(uintptr_t)info->memory_map;
	uint64_t here = (uintptr_t)memory_start;

	MUST(info->version >= 1);
	for (uint32_t i = 0; i < info->memory_entries; i++) {
		if (entry[i].type == 1 && here - entry[i].address < entry[i].size) {
			machine.ram = entry[i].address;
			machine.ram_size = entry[i].size;
		}
	}
	MUST(machine.ram_size != 0);
}

/* Leaves of 1 GiB are there: start.S has used them. */
static struct machine_space spaces[] = {
	{"npt-4level", &s2_fmt_npt, 0, GPA_BITS, 0},
	{"npt-4level-1g", &s2_fmt_npt, S2_NPT_1G, GPA_BITS, 0},
	{"npt-5level-1g", &s2_fmt_npt, S2_NPT_1G | S2_NPT_5LEVEL, GPA_BITS, 0},
};

static void machine_describe(void)
{
	uint8_t bits = (uint8_t)cpuid(0x80000008).eax;

	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		spaces[i].hpa_bits = bits;
		spaces[i].gpa_bits = bits < GPA_BITS ? bits : GPA_BITS;
	}
	machine.name = "x86_64";
	machine.space = spaces;
	machine.space_count = cpuid(7).ecx & CPUID_LA57 ? 3 : 2;
	machine.fault_exact = true;
	machine.fault_permission = true;
	machine.mmu = &mmu_npt;
	memory_find();
}

void machine_init(void)
{
	console_init();
	MUST(cpuid(0x80000001).ecx & CPUID_SVM && cpuid(0x8000000a).edx & CPUID_NPT);
	idt_init();
	run_init();
	cpu_init(0);
	mmu_init();
	apic_init();
	machine_describe();
}

const char *machine_arguments(void)
{
	return (const char *)(uintptr_t)ARGUMENTS;
}

void machine_exit(unsigned code)
{
	out8(EXIT_PORT, (uint8_t)(code | EXIT_BIT));
	for (;;) {
		__asm__ volatile("cli; hlt");
	}
}

unsigned machine_cpu(void)
{
	return cpu_this()->number;
}

void machine_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

uint64_t machine_instructions(void)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static void (*other_entry)(void);

void cpu_other_main(void)
{
	cpu_init(1);
	apic_cpu_init();
	other_entry();
	for (;;) {
		__asm__ volatile("cli; hlt");
	}
}

bool machine_cpu_start(void (*entry)(void))
{
	char *to = (char *)(uintptr_t)TRAMPOLINE;

	other_entry = entry;
	for (const char *from = trampoline; from < trampoline_end; from++) {
		*to++ = *from;
	}
	apic_start_others(TRAMPOLINE);
	for (unsigned i = 0; i < 500 && !__atomic_load_n(&other_is_up, __ATOMIC_ACQUIRE); i++) {
		delay(200);
	}
	return __atomic_load_n(&other_is_up, __ATOMIC_ACQUIRE);
}
