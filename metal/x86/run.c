/* SPDX-License-Identifier: BSD-2-Clause */
/* Running a guest with SVM, APM chapter 15. */
#include "../metal.h"
#include "cpu.h"

#define VMMCALL_LENGTH 3u
#define INVLPG_LENGTH 3u /* of the guest's only one, (%rdi) */

/* Long mode at privilege level 0, with paging on and interrupts off. */
#define GUEST_CR0 UINT64_C(0x80010033) /* PG, WP, NE, ET, MP, PE */
#define GUEST_CR4 UINT64_C(0x20)       /* PAE */
#define GUEST_EFER UINT64_C(0x1d00)    /* NXE, LMA, LME; SVME, which VMRUN demands */
#define GUEST_RFLAGS UINT64_C(2)       /* this and the next three as after reset */
#define GUEST_DR6 UINT64_C(0xffff0ff0)
#define GUEST_DR7 UINT64_C(0x400)
#define GUEST_PAT UINT64_C(0x0007040600070406)
#define CODE_ATTRIBUTES 0xa9bu /* of 64 bits, accessed */
#define DATA_ATTRIBUTES 0xc93u

extern const char guest_tables[], guest_tables_end[];

/* Ones: no port and no model-specific register is the guest's. For both of the VMCB's maps. */
static uint8_t permission_map[0x3000] __attribute__((aligned(4096)));

void run_init(void)
{
	for (size_t i = 0; i < sizeof(permission_map); i++) {
		permission_map[i] = 0xff;
	}
}

/* What never changes. Our guests touch nothing but memory: all else is intercepted. */
void run_cpu_init(struct cpu *cpu)
{
	const struct vmcb_segment data = {DATA, DATA_ATTRIBUTES, UINT32_MAX, 0};
	struct vmcb *v = &cpu->guest;

	v->intercept_cr = UINT32_MAX;
	v->intercept_dr = UINT32_MAX;
	v->intercept_exceptions = UINT32_MAX;
	v->intercept_1 = ~VMCB_1_PAUSE;
	v->intercept_2 = VMCB_2_ALL;
	v->iopm = (uintptr_t)permission_map;
	v->msrpm = (uintptr_t)permission_map;
	v->interrupt_control = VMCB_INTR_MASKING;
	v->nested_control = VMCB_NESTED;

	v->cs = (struct vmcb_segment){CODE64, CODE_ATTRIBUTES, UINT32_MAX, 0};
	v->ss = data;
	v->ds = data;
	v->es = data;
	v->cr0 = GUEST_CR0;
	v->cr3 = GUEST_TABLES_GPA;
	v->cr4 = GUEST_CR4;
	v->efer = GUEST_EFER;
	v->dr6 = GUEST_DR6;
	v->dr7 = GUEST_DR7;
	v->pat = GUEST_PAT;
}

enum s2_err machine_guest_open(struct s2_space *s, struct s2_gather *g)
{
	const struct s2_run run = {
		.gpa = s2_gpa(GUEST_TABLES_GPA),
		.hpa = s2_hpa((uintptr_t)guest_tables),
		.len = (uint64_t)(guest_tables_end - guest_tables),
		.folio_order = 2,
	};

	/* A walk counts as a write to them, APM 15.25.5. Shared by all guests: ours leave them alone. */
	return s2_map(s, &run, 1, S2_RW, S2_MEM_NORMAL, g, NULL);
}

/* mov $value, %eax; jmp *%r11: see guest_call in guest.S. Caches are coherent. */
void machine_code(void *to, uint16_t value)
{
	const uint8_t code[] = {
		0xb8, (uint8_t)value, (uint8_t)(value >> 8), 0, 0, 0x41, 0xff, 0xe3,
	};
	uint8_t *byte = to;

	for (size_t i = 0; i < sizeof(code); i++) {
		byte[i] = code[i];
	}
}

void machine_load(const struct s2_space *s, unsigned id)
{
	struct vmcb *v = &cpu_this()->guest;

	v->asid = s ? id : 0; /* VMRUN refuses 0 */
	v->nested_cr3 = s ? s2_npt_ncr3(s2_space_root(s)) : 0;
	if (s) {
		/* Nested tables are walked in the mode of the host's own, APM 15.25.3. */
		cpu_levels(s->top + 1u);
	}
}

void machine_start(uint64_t pc, uint64_t a, uint64_t b, uint64_t c)
{
	struct cpu *cpu = cpu_this();

	cpu->registers = (struct guest_registers){.rdi = a, .rsi = b, .rdx = c};
	cpu->guest.rip = pc;
	cpu->guest.rax = 0;
	cpu->guest.rsp = 0;
	cpu->guest.rflags = GUEST_RFLAGS;
}

void machine_answer(uint64_t value)
{
	cpu_this()->guest.rax = value;
}

static void exit_call(struct cpu *cpu, struct guest_exit *e)
{
	e->kind = EXIT_CALL;
	e->call[0] = cpu->guest.rax;
	e->call[1] = cpu->registers.rdi;
	e->call[2] = cpu->registers.rsi;
	cpu->guest.rip += VMMCALL_LENGTH;
}

static void exit_fault(const struct vmcb *v, struct guest_exit *e)
{
	e->kind = v->exit_info_1 & NPF_RESERVED ? EXIT_OTHER : EXIT_FAULT;
	e->gpa = v->exit_info_2;
	e->access = v->exit_info_1 & NPF_WRITE ? S2_WRITE : S2_READ;
	if (v->exit_info_1 & NPF_FETCH) {
		e->access = S2_EXEC;
	}
	e->permission = v->exit_info_1 & NPF_PRESENT;
}

/* Interrupts have been taken by now. False: none that anybody has asked for, and the guest goes on. */
static bool exit_interrupt(struct cpu *cpu, struct guest_exit *e)
{
	if (cpu->timed_out) {
		e->kind = EXIT_DEADLINE;
	} else if (__atomic_exchange_n(&cpu->kicked, false, __ATOMIC_ACQUIRE)) {
		e->kind = EXIT_KICK;
	} else {
		return false;
	}
	return true;
}

static bool exit_decode(struct cpu *cpu, struct guest_exit *e)
{
	struct vmcb *v = &cpu->guest;

	*e = (struct guest_exit){
		.kind = EXIT_OTHER,
		.level = S2_LEVEL_ANY,
		.pc = v->rip,
		.raw = {v->exit_code, v->exit_info_1, v->exit_info_2},
	};
	switch (v->exit_code) {
	case VMEXIT_VMMCALL:
		exit_call(cpu, e);
		return true;
	case VMEXIT_NPF:
		exit_fault(v, e);
		return true;
	case VMEXIT_INTR:
		return exit_interrupt(cpu, e);
	case VMEXIT_INVLPG:
		mmu_invlpga(cpu->registers.rdi, v->asid);
		v->rip += INVLPG_LENGTH;
		return exit_interrupt(cpu, e);
	default:
		return true;
	}
}

void machine_run(struct guest_exit *e, uint64_t deadline)
{
	struct cpu *cpu = cpu_this();

	cpu->timed_out = false;
	__atomic_store_n(&cpu->kicked, false, __ATOMIC_RELAXED);
	__atomic_store_n(&cpu->running, true, __ATOMIC_RELEASE);
	apic_timer_start(deadline);
	do {
		clgi();
		mmu_enter(cpu);
		x86_vmrun(&cpu->registers, &cpu->guest, &cpu->host);
		mmu_leave(cpu);
	} while (!exit_decode(cpu, e));
	apic_timer_stop();
	__atomic_store_n(&cpu->running, false, __ATOMIC_RELEASE);
}

void machine_kick(void)
{
	struct cpu *other = &cpus[!cpu_this()->number];

	if (__atomic_load_n(&other->running, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&other->kicked, true, __ATOMIC_RELEASE);
		apic_kick_other();
	}
}
